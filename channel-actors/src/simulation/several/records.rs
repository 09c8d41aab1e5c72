//! What a peer's engine keeps: in the peer's log, on the same disk as its store. Records gather while those before them are
//! on their way; another channel's go with them. What was told to be on the disk is found at each start, and perhaps
//! some of what was on its way.

use super::super::Random;
use super::super::disk::{Image, Machine};
use crate::pipeline::ordering::Ticket;
use crate::store::peer_log::{PeerLogCore, PeerLogOptions, Record, What, Write};
use bytes::Bytes;
use ledger_classes::primitives::hash::Hash;

const OPTIONS: PeerLogOptions = PeerLogOptions { bytes_max: 64 << 20, segment_bytes_max: 64 << 10 };
const OTHER: Hash = Hash([7; 32]);

#[derive(Default)]
pub(super) struct Records {
    log: Option<PeerLogCore>,
    waiting: Vec<(Ticket, Bytes)>,
    under_way: Vec<(Ticket, Bytes)>,
    /// A batch is to be written, or to be synced.
    busy: bool,
    /// What is on the disk, and how much of it is known to be.
    kept: Vec<Bytes>,
    /// The other channel's last number that is on the disk.
    other: u64,
}

impl Records {
    /// Opens the log. Gives what it holds.
    pub(super) fn start(&mut self, machine: &Machine, channel: &Hash) -> Result<Vec<(Ticket, Vec<u8>)>, String> {
        let log = PeerLogCore::open(Box::new(machine.clone()), OPTIONS).map_err(|error| error.to_string())?;
        let take = |channel: &Hash| log.take(channel).map_err(|error| error.to_string());
        let (found, other) = (take(channel)?, take(&OTHER)?);
        let is_there = found.iter().map(|record| &record.body).take(self.kept.len()).eq(&self.kept);
        let told = other.last().and_then(|record| record.body.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes);
        if !is_there || told < self.other {
            return Err(format!(
                "{} records were on the disk, and {} others: not all are",
                self.kept.len(),
                self.other
            ));
        }
        (self.kept, self.other) = (found.iter().map(|record| record.body.clone()).collect(), told);
        self.log = Some(log);
        Ok(found.into_iter().map(|Record { sequence, body, .. }| (sequence, body.to_vec())).collect())
    }

    /// The process ends.
    pub(super) fn stop(&mut self) {
        (self.log, self.busy) = (None, false);
        self.waiting.clear();
        self.under_way.clear();
    }

    /// The engine wants a record kept.
    pub(super) fn ask(&mut self, ticket: Ticket, record: Vec<u8>) {
        self.waiting.push((ticket, record.into()));
    }

    /// Whether a batch is to be written that nobody writes yet.
    pub(super) fn begins(&mut self) -> bool {
        !self.waiting.is_empty() && !std::mem::replace(&mut self.busy, true)
    }

    /// Writes all that waits.
    pub(super) fn write(&mut self, channel: Hash) -> Result<(), String> {
        let log = self.log.as_mut().ok_or("who is down writes")?;
        self.under_way = std::mem::take(&mut self.waiting);
        let records = self.under_way.iter().map(|(_, body)| What::Record(body.clone()));
        let mut batch: Vec<Write> = records.map(|what| Write { channel, what }).collect();
        let other = Bytes::copy_from_slice(&(self.other + 1).to_le_bytes());
        batch.push(Write { channel: OTHER, what: What::Base(other) });
        log.write(&batch).into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    }

    /// What was written is on the disk. Gives the last of the engine's records.
    pub(super) fn sync(&mut self) -> Result<Ticket, String> {
        let log = self.log.as_mut().ok_or("who is down syncs")?;
        log.sync().map_err(|error| error.to_string())?;
        let last = self.under_way.last().map(|(ticket, _)| *ticket).ok_or("nothing was written")?;
        self.kept.extend(self.under_way.drain(..).map(|(_, body)| body));
        self.other += 1;
        self.busy = false;
        Ok(last)
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
