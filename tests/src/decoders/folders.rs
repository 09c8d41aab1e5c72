//! Files that come from elsewhere, with a disk below them: a folder of blocks, `backup.json`, the fence and the
//! incarnation beside it, and a bundle of CAs and CRLs.

use channel_actors::block::file::{BlockFileEntry, BlockFileReader, BlockFileWriter};
use channel_actors::block::folder::{BlockReader, BlockWriter, Kept};
use channel_actors::peer::fence;
use channel_actors::peer::fence::{FENCE, Incarnation};
use ledger_classes::formats::block::Block;
use pki::trust::bundle::TrustBundle;
use server::setup::backup::Manifest;
use std::fs;
use std::path::{Component, Path};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The first line of every file of a folder of blocks.
const BLOCKS_MAGIC: &[u8] = b"chancery/blocks/1\n";

/// An empty folder, for one decoder at a time.
fn emptied(home: &Mutex<Option<TempDir>>) -> MutexGuard<'_, Option<TempDir>> {
    let mut held = home.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = held.get_or_insert_with(|| tempfile::tempdir().expect("a directory")).path();
    for entry in fs::read_dir(folder).expect("readable") {
        fs::remove_file(entry.expect("readable").path()).expect("removed");
    }
    held
}

fn path(held: &Option<TempDir>) -> &Path {
    held.as_ref().expect("made").path()
}

/// A folder of blocks: the file that says what is there, and behind it the file with the blocks. What is read of it are
/// all the blocks that it says, in their order; and whoever goes on where it ends changes nothing of them.
///
/// # Panics
/// If that does not hold.
pub fn block_folder(bytes: &[u8]) {
    static HOME: Mutex<Option<TempDir>> = Mutex::new(None);
    let held = emptied(&HOME);
    let folder = path(&held);
    // The second file begins with the same line.
    let begins = bytes.windows(BLOCKS_MAGIC.len()).skip(1).position(|part| part == BLOCKS_MAGIC);
    let (said, blocks) = bytes.split_at(begins.map_or(bytes.len(), |at| at + 1));
    fs::write(folder.join("channel"), said).expect("writes");
    fs::write(folder.join("00000000000000000000.blocks"), blocks).expect("writes");
    let Ok(Some(kept)) = Kept::read(folder) else { return };
    let Some(found) = whole(folder) else { return };
    assert_eq!(found.len() as u64, kept.height + 1, "not all that it says");
    let writer = BlockWriter::open(folder, &kept.name, kept.channel).expect("it is whole");
    assert_eq!(writer.kept(), Some(&kept));
    drop(writer);
    assert_eq!(whole(folder), Some(found), "something was changed");
}

/// A channel's blocks in one file. What is read is at most what is there; what a chain of blocks is written from it is read
/// again, and answered by the `conformance` program.
///
/// # Panics
/// If that does not hold.
pub fn block_file(bytes: &[u8]) {
    let Ok(mut reader) = BlockFileReader::new(bytes) else { return };
    let (mut found, mut rest) = (Vec::new(), bytes.len() - 2);
    while let BlockFileEntry::Bytes(block) = reader.read_entry().expect("memory does not fail") {
        rest = rest.checked_sub(8 + block.len()).expect("no more than there is");
        found.push(block);
    }
    let mut answers = Vec::new();
    crate::conformance::chain::run(bytes, &mut answers).expect("memory does not fail");
    let lines = answers.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines <= found.len() + 1, "a line for each block, and one for what is no block");
    let channel = found.first().and_then(|block| Block::decode(block).ok()).map(|block| block.header.channel_id());
    let Some(channel) = channel else { return };
    let mut writer = BlockFileWriter::new(Vec::new(), channel).expect("memory does not fail");
    let written = found.iter().take_while(|block| writer.append(block).is_ok()).count();
    let again = writer.finish().expect("memory does not fail");
    assert_eq!(again, bytes[..again.len()], "a second form");
    assert!(written <= found.len());
}

/// The blocks of a folder, if all that it names are there.
fn whole(folder: &Path) -> Option<Vec<Vec<u8>>> {
    let (mut reader, mut found) = (BlockReader::open(folder).ok()?, Vec::new());
    while let Some((_, bytes)) = reader.next_block().ok()? {
        found.push(bytes);
    }
    Some(found)
}

/// What a backup says of itself. What is accepted leads nowhere outside of the backup, and reads the same when it is
/// written again.
///
/// # Panics
/// If that does not hold.
pub fn backup(bytes: &[u8]) {
    static HOME: Mutex<Option<TempDir>> = Mutex::new(None);
    let held = emptied(&HOME);
    let folder = path(&held);
    let write = |bytes: &[u8]| fs::write(folder.join("backup.json"), bytes).expect("writes");
    write(bytes);
    let Ok(Some(manifest)) = Manifest::read(folder) else { return };
    let inside = |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let names = manifest.files.iter().map(|file| &file.path).chain(manifest.relocated.values());
    assert!(names.into_iter().all(|path| path == "." || inside(path)), "a path that leads out");
    assert!(inside(&manifest.folder), "a folder that is elsewhere");
    assert!(manifest.channels.iter().all(|channel| inside(&channel.name)), "a channel that is elsewhere");
    write(&serde_json::to_vec(&manifest).expect("JSON"));
    assert_eq!(Manifest::read(folder).ok().flatten(), Some(manifest));
}

/// A fence, and an incarnation, of which there is one form each.
///
/// # Panics
/// If that does not hold.
pub fn fence(bytes: &[u8]) {
    static HOME: Mutex<Option<TempDir>> = Mutex::new(None);
    let held = emptied(&HOME);
    let folder = path(&held);
    let incarnation = folder.join("incarnation");
    fs::write(folder.join(FENCE), bytes).expect("writes");
    // It was written elsewhere, or is none.
    if let Ok(found) = look(folder) {
        assert!(found.is_some_and(|why| why.contains("--moved")), "a fence of nowhere fits");
    }
    fs::write(&incarnation, bytes).expect("writes");
    if let Ok(Some(read)) = Incarnation::read(&incarnation) {
        read.write(&incarnation).expect("writes");
        assert_eq!(fs::read(&incarnation).expect("readable"), bytes, "a second form");
    }
}

fn look(folder: &Path) -> std::io::Result<Option<String>> {
    let authorities = folder.join("ca");
    let entry = fence::Entry { incarnation: folder.join("incarnation"), authorities, moved: false };
    entry.look(folder, &folder.join("seal.pem"))
}

/// CAs and CRLs in one file, as organizations give them to each other: what is read says the same when it is written
/// again.
///
/// # Panics
/// If that does not hold.
pub fn bundle(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(bundle) = TrustBundle::of_text(text) else { return };
    assert!(!bundle.anchors.is_empty() || !bundle.issuing.is_empty(), "nobody to trust");
    assert_eq!(TrustBundle::of_text(&bundle.to_text()).as_ref().ok(), Some(&bundle), "another bundle");
    let _ = bundle.describe("harbour.example");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(file: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        fs::read(folder.join(file)).expect("readable")
    }

    /// Whoever refuses everything never panics.
    #[test]
    fn what_is_whole_in_the_corpora_is_accepted() {
        let home = tempfile::tempdir().expect("a directory");
        let folder = home.path();
        for (file, found) in
            [("block_folder/three-blocks", Some(3)), ("block_folder/cut-off", None), ("block_folder/no-blocks", None)]
        {
            let bytes = corpus(file);
            let begins = bytes.windows(BLOCKS_MAGIC.len()).rposition(|part| part == BLOCKS_MAGIC).unwrap_or_default();
            let (said, blocks) = bytes.split_at(if begins == 0 { bytes.len() } else { begins });
            fs::write(folder.join("channel"), said).expect("writes");
            fs::write(folder.join("00000000000000000000.blocks"), blocks).expect("writes");
            assert!(Kept::read(folder).expect("of the form").is_some(), "{file}");
            assert_eq!(whole(folder).map(|blocks| blocks.len()), found, "{file}");
        }
        fs::write(folder.join("backup.json"), corpus("backup/whole.json")).expect("writes");
        let manifest = Manifest::read(folder).expect("of the form").expect("there");
        assert!(!manifest.files.is_empty() && !manifest.channels.is_empty());
        fs::write(folder.join(FENCE), corpus("fence/place")).expect("writes");
        let elsewhere = look(folder).expect("of the form");
        assert!(elsewhere.is_some_and(|why| why.contains("written")), "a fence of another place");
        fs::write(folder.join("incarnation"), corpus("fence/incarnation")).expect("writes");
        assert!(Incarnation::read(&folder.join("incarnation")).expect("of the form").is_some());
        let of = |file: &str| String::from_utf8(corpus(file)).expect("text");
        let three = TrustBundle::of_text(&of("bundle/three.pem")).expect("a bundle");
        assert_eq!((three.anchors.len(), three.issuing.len(), three.crls.len()), (1, 2, 3));
        assert!(TrustBundle::of_text(&of("bundle/south.pem")).is_ok());
    }
}
