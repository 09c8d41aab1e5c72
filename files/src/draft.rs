//! A folder that appears whole or not at all: it is made under another name beside its place, and renamed. Whoever makes it
//! holds it until then; what somebody who was killed has left is nobody's, and goes with the next one.

use crate::{private_folder, sync_directory};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A folder that is being made, its owner's alone.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    target: PathBuf,
    done: bool,
    /// Released by the system when it is closed, also by `kill -9`.
    _held: File,
}

impl Draft {
    /// Begins a folder that will be `target`, after whatever others have left of it. Its parents are made, too.
    ///
    /// # Errors
    /// `target` is there, or nothing can be made beside it.
    pub fn begin(target: &Path) -> io::Result<Self> {
        if target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        crate::private_folders(parent)?;
        let path = parent.join(format!(".{name}.{}.new", std::process::id()));
        sweep(parent, &name)?;
        private_folder(&path)?;
        let held = File::open(&path)?;
        // Where nothing can be held, nobody takes it for left behind either.
        let _ = held.try_lock();
        Ok(Self { path, target: target.into(), done: false, _held: held })
    }

    /// Where it is made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// Another one is there by now, or it cannot be renamed: then it goes away.
    pub fn finish(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.done = true;
        sync_directory(self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // The error that matters was another one; what stays goes with the next try.
            fs::remove_dir_all(&self.path).unwrap_or_default();
        }
    }
}

/// Removes drafts of a folder that nobody holds: they hold keys.
fn sweep(parent: &Path, name: &str) -> io::Result<()> {
    let (before, after) = (format!(".{name}."), ".new");
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = file.strip_prefix(&before).and_then(|rest| rest.strip_suffix(after));
        if number.is_none_or(|number| number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let held = File::open(&path).is_ok_and(|folder| matches!(folder.try_lock(), Err(TryLockError::WouldBlock)));
        if !held {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A killed `init` left a folder with keys for ever, under the number of its process.
    #[test]
    fn what_a_killed_process_left_goes_with_the_next_and_what_is_held_or_named_otherwise_stays() {
        let dir = tempfile::tempdir().unwrap();
        for left in [".peer.7.new", ".peer.8.new", ".peer.x.new", ".peer.new", ".other.7.new", "peer.7.new"] {
            fs::create_dir(dir.path().join(left)).unwrap();
            fs::write(dir.path().join(left).join("root.key"), "x").unwrap();
        }
        let held = File::open(dir.path().join(".peer.8.new")).unwrap();
        held.try_lock().unwrap();
        let target = dir.path().join("peer");
        let draft = Draft::begin(&target).unwrap();
        let own = format!(".peer.{}.new", std::process::id());
        let mut expected = [".other.7.new", ".peer.8.new", ".peer.new", ".peer.x.new", "peer.7.new", own.as_str()];
        expected.sort_unstable();
        assert_eq!(names(dir.path()), expected);
        fs::write(draft.path().join("file"), "whole").unwrap();
        draft.finish().unwrap();
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "whole");
        assert!(!dir.path().join(own).exists());
        assert_eq!(Draft::begin(&target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a").join("peer");
        let draft = Draft::begin(&target).unwrap();
        fs::write(draft.path().join("file"), "x").unwrap();
        drop(draft);
        assert_eq!(names(&dir.path().join("a")), Vec::<String>::new());
        // Somebody else was there in between.
        let draft = Draft::begin(&target).unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("theirs"), "x").unwrap();
        assert!(draft.finish().is_err());
        assert_eq!(names(&dir.path().join("a")), ["peer"]);
        assert_eq!(names(&target), ["theirs"]);
    }
}
