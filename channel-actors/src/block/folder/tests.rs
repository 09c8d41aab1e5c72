use crate::block::folder::*;
use crate::block::replay::tests::fill;
use crate::block::verify_offline::{audit, audit_blocks, rebuild};
use crate::test_support::{Bench, config};
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::state::participant::NoCertificates;

/// Encoded blocks of a channel of some height.
fn blocks(height: u64) -> (Hash, Vec<Vec<u8>>) {
    of(config(), height)
}

fn of(config: ChannelConfig, height: u64) -> (Hash, Vec<Vec<u8>>) {
    let bench = Bench::new(&config);
    fill(&bench, height);
    let store = &bench.opened.store;
    let blocks = (0..=height).map(|height| store.block(height).expect("readable").expect("there").to_vec());
    (bench.opened.channel, blocks.collect())
}

fn write(directory: &Path, channel: Hash, blocks: &[Vec<u8>]) -> BlockWriter {
    let mut writer = BlockWriter::open(directory, "main", channel).expect("opens");
    let next = usize::try_from(writer.next()).expect("small");
    blocks[next..].iter().for_each(|block| writer.append(block).expect("follows"));
    writer.commit().expect("writes");
    writer
}

fn read(directory: &Path) -> Result<Vec<Vec<u8>>, BlockFolderError> {
    let (mut reader, mut read) = (BlockReader::open(directory)?, Vec::new());
    while let Some((_, bytes)) = reader.next_block()? {
        read.push(bytes);
    }
    Ok(read)
}

#[test]
fn blocks_are_added_and_come_back_and_make_a_channel() {
    let home = tempfile::tempdir().expect("a directory");
    let (channel, blocks) = blocks(6);
    let folder = home.path().join("blocks");
    write(&folder, channel, &blocks[..3]);
    assert_eq!(read(&folder).expect("whole"), blocks[..3]);
    let before = fs::read(folder.join(file_name(0))).expect("readable");
    let writer = write(&folder, channel, &blocks);
    let kept = writer.kept().expect("something").clone();
    assert_eq!((kept.height, kept.channel, kept.name.as_str()), (6, channel, "main"));
    assert_eq!(read(&folder).expect("whole"), blocks);
    assert!(fs::read(folder.join(file_name(0))).expect("readable").starts_with(&before), "what was there stays");

    let open = || BlockReader::open(&folder).expect("opens");
    let report = audit_blocks(open(), &NoCertificates, |_, _| {}).expect("sound");
    assert_eq!((report.height, report.tip, report.channel), (6, kept.tip, channel));
    let made = home.path().join("main");
    let rebuilt = rebuild(open(), 6, &made, &NoCertificates, |_, _| {}).expect("rebuilds");
    assert_eq!((rebuilt.tip, rebuilt.transactions, rebuilt.state_height), (report.tip, report.transactions, Some(6)));
    let audited = audit(&made, &NoCertificates, |_, _| {}).expect("sound");
    assert_eq!((audited.tip, audited.entries), (report.tip, report.entries));
    let earlier = home.path().join("earlier");
    assert_eq!(rebuild(open(), 2, &earlier, &NoCertificates, |_, _| {}).expect("rebuilds").height, 2);
}

/// Whatever a kill leaves, what the folder says is there, and the next run goes on.
#[test]
fn what_was_not_finished_is_cut_off() {
    let home = tempfile::tempdir().expect("a directory");
    let (channel, blocks) = blocks(5);
    let whole = home.path().join("whole");
    write(&whole, channel, &blocks[..3]);
    let length = fs::metadata(whole.join(file_name(0))).expect("there").len();
    write(&whole, channel, &blocks);
    let all = fs::read(whole.join(file_name(0))).expect("readable");
    let said = fs::read(whole.join(CHANNEL)).expect("readable");

    let torn = home.path().join("torn");
    for end in (length..all.len() as u64).step_by(37) {
        fs::remove_dir_all(&torn).unwrap_or_default();
        write(&torn, channel, &blocks[..3]);
        fs::write(torn.join(file_name(0)), &all[..usize::try_from(end).expect("small")]).expect("writes");
        fs::write(torn.join(".channel.1.0.new"), &said[..20]).expect("writes");
        fs::write(torn.join(file_name(4)), b"begun").expect("writes");
        assert_eq!(read(&torn).expect("what it says is there"), blocks[..3], "cut at {end}");
        write(&torn, channel, &blocks);
        assert_eq!(read(&torn).expect("whole"), blocks, "cut at {end}");
    }
    // Killed before it said anything.
    fs::remove_file(torn.join(CHANNEL)).expect("there");
    assert!(read(&torn).is_err());
    write(&torn, channel, &blocks);
    assert_eq!(read(&torn).expect("whole"), blocks);
}

#[test]
fn what_rots_or_is_exchanged_is_never_taken_for_whole() {
    let home = tempfile::tempdir().expect("a directory");
    let (channel, blocks) = blocks(3);
    let folder = home.path().join("blocks");
    write(&folder, channel, &blocks);
    let file = folder.join(file_name(0));
    let all = fs::read(&file).expect("readable");
    let sound = || {
        audit_blocks(BlockReader::open(&folder).map_err(|error| error.to_string())?, &NoCertificates, |_, _| {})
            .map_err(|error| error.to_string())
    };
    let report = sound().expect("sound");
    for at in 0..all.len() {
        let mut rotten = all.clone();
        rotten[at] ^= 1;
        fs::write(&file, &rotten).expect("writes");
        sound().expect_err(&format!("byte {at} of {}", all.len()));
    }
    for end in (0..all.len()).step_by(11) {
        fs::write(&file, &all[..end]).expect("writes");
        sound().expect_err(&format!("cut at {end}"));
    }
    fs::write(&file, &all).expect("writes");
    assert_eq!(sound().expect("as before"), report);

    let said = fs::read_to_string(folder.join(CHANNEL)).expect("readable");
    for (from, to) in [("name main", "name other"), ("height 3", "height 4"), ("height 3", "height 03"), ("\n", "\r\n")]
    {
        fs::write(folder.join(CHANNEL), said.replace(from, to)).expect("writes");
        sound().expect_err(to);
    }
}

#[test]
fn a_block_that_does_not_follow_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let (channel, blocks) = blocks(3);
    let (other, others) = of(ChannelConfig { salt: HexBytes(vec![9; 16]), ..config() }, 3);
    let mut writer = BlockWriter::open(&home.path().join("one"), "main", channel).expect("opens");
    writer.append(&blocks[0]).expect("genesis");
    for (wrong, why) in [(&blocks[0], "block 0"), (&blocks[2], "block 2"), (&others[1], "another channel")] {
        let error = writer.append(wrong).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
    writer.append(&blocks[1]).expect("follows");
    writer.commit().expect("writes");
    let error = BlockWriter::open(&home.path().join("one"), "main", other).map(|_| ()).expect_err("of another channel");
    assert!(error.to_string().contains("it is about the channel main"), "{error}");
}
