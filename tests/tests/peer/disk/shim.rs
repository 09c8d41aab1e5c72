//! A disk that misbehaves on demand: a library between the peer and the system's calls.

use crate::harness::text;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The shim of `shim.c`, and the files that command it.
pub(crate) struct Shim {
    library: String,
    pub(crate) stall: PathBuf,
    pub(crate) read_only: PathBuf,
    pub(crate) sync: PathBuf,
    _home: tempfile::TempDir,
}

impl Shim {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (source, library) = (home.path().join("shim.c"), home.path().join("shim.so"));
        fs::write(&source, include_str!("shim.c")).expect("writes");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", text(&library), text(&source)]).status();
        assert!(made.expect("cc is installed").success());
        let file = |name: &str| home.path().join(name);
        let (stall, read_only, sync) = (file("stall"), file("read-only"), file("sync"));
        Self { library: text(&library).into(), stall, read_only, sync, _home: home }
    }

    /// One sync from now on fails.
    pub(crate) fn fail_a_sync(&self, errno: i32) {
        // Found whole, or not at all.
        let new = self.sync.with_extension("new");
        fs::write(&new, errno.to_string()).expect("writes");
        fs::rename(new, &self.sync).expect("renames");
    }

    pub(crate) fn variables(&self) -> [(&str, &str); 4] {
        [
            ("LD_PRELOAD", &self.library),
            ("CHANCERY_TEST_STALL", text(&self.stall)),
            ("CHANCERY_TEST_READ_ONLY", text(&self.read_only)),
            ("CHANCERY_TEST_SYNC", text(&self.sync)),
        ]
    }
}
