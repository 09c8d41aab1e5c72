//! The bytes of the log are those of docs/formats/peer-log.md.

use super::*;
use crate::store::log::pages::PAGE;
use twox_hash::XxHash3_64;

#[test]
fn records_and_heads_are_those_of_the_format_document() {
    let home = tempfile::tempdir().unwrap();
    let files = Box::new(SegmentDirectory::new(home.path().to_owned()).unwrap());
    let mut log = PeerLogCore::open(files, SMALL).unwrap();
    put(&mut log, &[record(channel(1), "first"), record(channel(1), vec![9; 500]), base(channel(2), "base")]).unwrap();
    put(&mut log, &[record(channel(1), "third"), forget(channel(2))]).unwrap();
    put(&mut log, &[record(channel(2), "anew")]).unwrap();
    let bytes = std::fs::read(home.path().join("00000001.segment")).unwrap();
    let check = |key: &[u8], content: &[u8]| {
        let seed = XxHash3_64::oneshot(key);
        XxHash3_64::oneshot_with_seed(seed, content).to_le_bytes()
    };
    assert_eq!(bytes.len(), 65_536);
    let key = bytes[1..33].to_vec();
    let head = [&[1][..], &key, &1_u64.to_le_bytes(), &65_536_u32.to_le_bytes()].concat();
    let head = [&head[..], &check(b"segment", &head)].concat();
    for at in [0, PAGE] {
        assert_eq!(bytes[at..at + head.len()], head);
        assert!(bytes[at + head.len()..at + PAGE].iter().all(|byte| *byte == 0));
    }
    // The first number that is given when nothing is there.
    let first = 2 + 4_096_u64;
    let none = Hash([0; 32]);
    let entry =
        |channel: Hash, sequence: u64, forgotten: u8| [&channel.0[..], &sequence.to_le_bytes(), &[forgotten]].concat();
    let mut at = 2 * PAGE;
    for (kind, channel, sequence, before, durable, body) in [
        (0, channel(1), 0, 0, 0, b"first".to_vec()),
        (0, channel(1), 1, first, 0, vec![9; 500]),
        (1, channel(2), 2, 0, 0, b"base".to_vec()),
        (3, none, 3, 0, 0, by_channel([entry(channel(1), first + 1, 0), entry(channel(2), first + 2, 0)])),
        (0, channel(1), 4, first + 1, first + 1, b"third".to_vec()),
        (2, channel(2), 5, first + 2, first + 2, vec![]),
        (3, none, 6, 0, 0, by_channel([entry(channel(1), first + 4, 0), entry(channel(2), first + 5, 1)])),
        (0, channel(2), 7, 0, 0, b"anew".to_vec()),
    ] {
        let (number, length) = ((first + sequence).to_le_bytes(), (body.len() as u32).to_le_bytes());
        let numbers = [number, u64::to_le_bytes(before), u64::to_le_bytes(durable)].concat();
        let head = [&[1, kind][..], &channel.0, &numbers, &length, &check(&key, &body)].concat();
        let secret = Hash::plain(&[b"chancery/content/1\0", &key, &head]).0;
        let expected = [&head[..], &secret[..8], &body].concat();
        for at in [at, at + 32_768] {
            assert_eq!(bytes[at..at + expected.len()], expected, "record {sequence}");
            let end = at + expected.len().next_multiple_of(512);
            assert!(bytes[at + expected.len()..end].iter().all(|byte| *byte == 0), "record {sequence}");
        }
        at += expected.len().next_multiple_of(512);
    }
    assert!(bytes[at..32_768].iter().all(|byte| *byte == 0));
}

/// Lists are in the order of channels.
fn by_channel(mut entries: [Vec<u8>; 2]) -> Vec<u8> {
    entries.sort();
    entries.concat()
}
