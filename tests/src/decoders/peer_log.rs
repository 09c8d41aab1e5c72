//! A segment of a peer's log of ordering records (docs/formats/peer-log.md). Its checks are made right first, as only who has
//! its key could: without that hardly any bytes would come far.

use channel_actors::store::StoreError;
use channel_actors::store::peer_log::{PeerLogCore, PeerLogOptions, Record, SegmentDirectory, TakeError, What, Write};
use ledger_classes::primitives::hash::{Hash, Tag};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use twox_hash::XxHash3_64;

const SECTOR: usize = 512;
/// Where records begin: behind two pages with a head each.
const BEGIN: usize = 2 * 4096;
/// Version, key, number, length, check.
const HEAD: usize = 1 + 32 + 8 + 4 + 8;
/// Version, kind, channel, three numbers, length, two checks.
const RECORD: usize = 1 + 1 + 32 + 3 * 8 + 4 + 2 * 8;
/// Channels that are asked for, of one input.
const CHANNELS_MAX: usize = 16;

fn check(key: &[u8], bytes: &[u8]) -> [u8; 8] {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), bytes).to_le_bytes()
}

fn under(secret: &[u8], bytes: &[u8]) -> [u8; 8] {
    *Hash::tagged(Tag::Content, &[secret, bytes]).0.first_chunk().expect("32 bytes")
}

/// A record of a segment that [`peer_log_segment`] makes: kind, channel, sequence number, those before and durable, body.
pub type SegmentRecord<'a> = (u8, u8, u64, u64, u64, &'a [u8]);

/// A channel of such records.
pub fn segment_channel(number: u8) -> Hash {
    Hash([number; 32])
}

/// A segment with one copy of each of these records, up to the last of them.
pub fn peer_log_segment(records: &[SegmentRecord<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; BEGIN];
    bytes[0] = 1;
    bytes[1..33].copy_from_slice(&[9; 32]);
    for (kind, channel, sequence, before, durable, body) in records {
        let begin = bytes.len();
        bytes.extend_from_slice(&[1, *kind]);
        bytes.extend_from_slice(&segment_channel(*channel).0);
        [sequence, before, durable].into_iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(body);
        bytes.resize(begin + (RECORD + body.len()).next_multiple_of(SECTOR), 0);
    }
    made_right(&mut bytes);
    bytes
}

/// Makes the checks of the first head and of what begins as a record does right. Gives the channels of those.
fn made_right(bytes: &mut [u8]) -> Vec<Hash> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let Some(head) = bytes.get_mut(..HEAD) else { return Vec::new() };
    head[0] = 1;
    head[33..41].copy_from_slice(&1_u64.to_le_bytes());
    head[41..45].copy_from_slice(&length.to_le_bytes());
    let (content, sum) = head.split_at_mut(HEAD - 8);
    sum.copy_from_slice(&check(b"segment", content));
    let key = content[1..33].to_vec();
    let (mut at, mut channels) = (BEGIN, Vec::new());
    while let Some((head, rest)) = bytes.get_mut(at..).and_then(|bytes| bytes.split_at_mut_checked(RECORD)) {
        at += SECTOR;
        if head[0] != 1 || head[1] > 3 {
            continue;
        }
        let length = u32::from_le_bytes(head[58..62].try_into().expect("four bytes")) as usize;
        let Some(body) = rest.get(..length) else { continue };
        head[62..70].copy_from_slice(&check(&key, body));
        let (content, sum) = head.split_at_mut(RECORD - 8);
        sum.copy_from_slice(&under(&key, content));
        if head[1] < 3 {
            channels.push(Hash(head[2..34].try_into().expect("32 bytes")));
        }
    }
    channels.sort();
    channels.dedup();
    channels.truncate(CHANNELS_MAX);
    channels
}

/// A log with this segment is opened, or it says what is wrong with it. Then every channel has its records or is lost, by its
/// name, and this is so after each start; and what is put there is found.
///
/// # Panics
/// If that does not hold.
pub fn peer_log(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let _ = opened(&bytes, &[]);
    let channels = made_right(&mut bytes);
    let _ = opened(&bytes, &channels);
}

/// What a channel has; `None` if it is lost.
type Taken = BTreeMap<Hash, Option<Vec<Record>>>;

fn taken(log: &PeerLogCore, channels: &[Hash]) -> Taken {
    let of = |channel: &Hash| match log.take(channel) {
        Ok(records) => {
            assert!(records.windows(2).all(|two| two[0].sequence < two[1].sequence), "in their order");
            assert!(records.iter().skip(1).all(|record| !record.base), "nothing before a base counts");
            (*channel, Some(records))
        }
        Err(TakeError::Lost(lost)) => {
            assert!(lost.channel == *channel && log.lost().contains(&lost));
            (*channel, None)
        }
        Err(TakeError::Read(error)) => panic!("{error}"),
    };
    channels.iter().map(of).collect()
}

/// A folder in memory, where syncs cost nothing, if there is one.
fn home() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

fn opened(bytes: &[u8], channels: &[Hash]) -> Result<Taken, String> {
    let home = home();
    let folder: PathBuf = home.path().join("ordering");
    let open = || {
        let files = SegmentDirectory::new(folder.clone()).expect("a directory");
        PeerLogCore::open(Box::new(files), PeerLogOptions::default())
    };
    fs::create_dir(&folder).expect("a directory");
    fs::write(folder.join("00000001.segment"), bytes).expect("writes");
    let mut log = match open() {
        Ok(log) => log,
        Err(StoreError::Corrupt(why)) => return Err(why),
        Err(error) => panic!("{error}"),
    };
    let first = taken(&log, channels);
    drop(log);
    log = open().expect("it was open");
    assert_eq!(taken(&log, channels), first, "the same after each start");
    let write = |channel: &Hash| Write { channel: *channel, what: What::Record("more".into()) };
    let batch: Vec<Write> = channels.iter().map(write).collect();
    let written = log.write(&batch);
    log.sync().expect("syncs");
    drop(log);
    let again = taken(&open().expect("it was open"), channels);
    for (channel, written) in channels.iter().zip(written) {
        match (&first[channel], &again[channel]) {
            (Some(before), Some(after)) => {
                let (last, kept) = after.split_last().expect("there is one more");
                assert!(written.is_ok() && kept == before && last.body == "more");
            }
            (None, None) => assert!(written.is_err()),
            other => panic!("{other:?}"),
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made right is what the log takes for right.
    #[test]
    fn the_corpus_says_by_its_names_what_is_found() {
        let lost = None;
        for (name, expected) in [
            ("only-heads", Ok(vec![])),
            ("three-channels", Ok(vec![Some(2), Some(1), Some(1)])),
            ("base", Ok(vec![Some(2)])),
            ("forgotten", Ok(vec![Some(0), Some(1)])),
            ("lost", Ok(vec![lost, Some(1)])),
            ("torn", Ok(vec![Some(1)])),
            ("refused-before", Ok(vec![Some(2)])),
            ("names-a-later-one", Ok(vec![Some(1)])),
            ("numbers-that-nobody-gave", Err("numbers that nobody gave")),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/peer_log").join(name);
            let mut bytes = fs::read(path).expect("readable");
            let channels = made_right(&mut bytes);
            match (opened(&bytes, &channels), expected) {
                (Ok(found), Ok(expected)) => {
                    let counts: Vec<_> =
                        found.into_values().map(|records| records.map(|records| records.len())).collect();
                    assert_eq!(counts, expected, "{name}");
                }
                (Err(why), Err(part)) => assert!(why.contains(part), "{name}: {why}"),
                (found, expected) => panic!("{name}: {found:?}, and not {expected:?}"),
            }
        }
    }
}
