//! What a peer's engine keeps: in the peer's log, on the same disk as its store. Records gather while those before them are
//! on their way; another channel's go with them. What was told to be on the disk is found at each start, and perhaps
//! some of what was on its way.

use super::super::Random;
use super::super::disk::{Image, Machine};
use super::super::effects::Kept;
use crate::pipeline::ordering::Ticket;
use crate::store::peer_log::{PeerLogCore, PeerLogOptions, Record, What, Write};
use bytes::Bytes;
use ledger_classes::primitives::hash::Hash;

const OPTIONS: PeerLogOptions = PeerLogOptions { bytes_max: 64 << 20, segment_bytes_max: 64 << 10 };
const OTHER: Hash = Hash([7; 32]);

/// A record, and whether it stands for all before it.
type Written = (Bytes, bool);

/// What a peer's engine begins with.
pub(super) struct Found {
    pub(super) records: Vec<(Ticket, Bytes)>,
    /// Those of them that nobody was told of: the process ended while they were on their way.
    pub(super) unsaid: Vec<Bytes>,
}

#[derive(Default)]
pub(super) struct Records {
    log: Option<PeerLogCore>,
    waiting: Vec<(Ticket, Written)>,
    under_way: Vec<(Ticket, Written)>,
    /// A batch is to be written, or to be synced.
    busy: bool,
    /// What is known to be on the disk, and what may be.
    kept: Vec<Bytes>,
    perhaps: Vec<Written>,
    /// The other channel's last number that is on the disk.
    other: u64,
}

/// What stands when one more record is there.
fn stands((record, base): &Written, records: &mut Vec<Bytes>) {
    if *base {
        records.clear();
    }
    records.push(record.clone());
}

impl Records {
    /// Opens the log. Gives what it holds.
    pub(super) fn start(&mut self, machine: &Machine, channel: &Hash) -> Result<Found, String> {
        let log = PeerLogCore::open(Box::new(machine.clone()), OPTIONS).map_err(|error| error.to_string())?;
        let take = |channel: &Hash| log.take(channel).map_err(|error| error.to_string());
        let (found, other) = (take(channel)?, take(&OTHER)?);
        let told = other.last().and_then(|record| record.body.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes);
        let (perhaps, mut unsaid) = (std::mem::take(&mut self.perhaps), Vec::new());
        let same = |kept: &[Bytes]| found.iter().map(|record| &record.body).eq(kept);
        for written in &perhaps {
            if same(&self.kept) {
                break;
            }
            stands(written, &mut self.kept);
            unsaid.push(written.0.clone());
        }
        if !same(&self.kept) || told < self.other {
            return Err(format!("records were on the disk, and {} others: not all are, or there are more", self.other));
        }
        (self.other, self.log) = (told, Some(log));
        let records = found.into_iter().map(|Record { sequence, body, .. }| (sequence, body)).collect();
        Ok(Found { records, unsaid })
    }

    /// The process ends.
    pub(super) fn stop(&mut self) {
        (self.log, self.busy) = (None, false);
        self.waiting.clear();
        self.perhaps.extend(self.under_way.drain(..).map(|(_, written)| written));
    }

    /// The engine wants a record kept.
    pub(super) fn ask(&mut self, Kept { ticket, record, base }: Kept) {
        self.waiting.push((ticket, (record.into(), base)));
    }

    /// Whether a batch is to be written that nobody writes yet.
    pub(super) fn begins(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.busy, true)
    }

    /// Writes all that waits.
    pub(super) fn write(&mut self, channel: Hash) -> Result<(), String> {
        let log = self.log.as_mut().ok_or("who is down writes")?;
        self.under_way = std::mem::take(&mut self.waiting);
        let what = |(_, (record, base)): &(Ticket, Written)| match base {
            true => What::Base(record.clone()),
            false => What::Record(record.clone()),
        };
        let mut batch: Vec<Write> = self.under_way.iter().map(|one| Write { channel, what: what(one) }).collect();
        let other = Bytes::copy_from_slice(&(self.other + 1).to_le_bytes());
        batch.push(Write { channel: OTHER, what: What::Base(other) });
        log.write(&batch).into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    }

    /// What was written is on the disk. Gives the last ticket and the engine's records.
    pub(super) fn sync(&mut self) -> Result<(Ticket, Vec<Bytes>), String> {
        let log = self.log.as_mut().ok_or("who is down syncs")?;
        log.sync().map_err(|error| error.to_string())?;
        let last = self.under_way.last().map(|(ticket, _)| *ticket).ok_or("nothing was written")?;
        let mut synced = Vec::new();
        for (_, written) in self.under_way.drain(..) {
            stands(&written, &mut self.kept);
            synced.push(written.0);
        }
        self.other += 1;
        self.busy = false;
        Ok((last, synced))
    }
}

/// A bit rots in what the peer's log has on the disk, always in the first copy of a record: the second one makes it good.
pub(super) fn rot(image: &mut Image, random: &mut Random) -> bool {
    const PAGE: usize = 4096;
    let segments = image.segments();
    if segments.is_empty() {
        return false;
    }
    let file = random.choose(&segments);
    let first_half = image.length(file) / 2;
    first_half > PAGE && image.rot(file, PAGE + random.below(first_half - PAGE), random.below(8))
}
