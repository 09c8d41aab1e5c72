//! A file system of the test's own, which it fills and makes read-only.

use super::PATIENCE;
use crate::harness::{chancery, text};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A small file system over a directory, in a mount namespace that ends with this.
pub(super) struct SmallDisk {
    holder: Child,
    mount: PathBuf,
}

impl SmallDisk {
    pub(super) fn new(mount: &Path, mib: u32) -> Self {
        fs::create_dir_all(mount).expect("a directory");
        let script = r#"mount -t tmpfs -o "size=$2m" chancery "$1" && echo mounted && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", text(mount), &mib.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        assert_eq!(line, "mounted\n", "a mount namespace needs root");
        Self { holder, mount: mount.to_owned() }
    }

    /// The program, where the file system is.
    pub(super) fn chancery(&self) -> Command {
        let outside = chancery();
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount", "--"]).arg(outside.get_program());
        command.stdin(Stdio::null());
        command
    }

    /// Something in it, as those outside reach it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.mount.strip_prefix("/").expect("an absolute path")).join(name)
    }

    /// Uses up all room.
    pub(super) fn fill(&self) {
        let mut file = File::create(self.path("filler")).expect("a file");
        let mut piece = vec![1; 1 << 20];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    pub(super) fn free(&self) {
        fs::remove_file(self.path("filler")).expect("removes");
    }

    /// Makes it read-only, as soon as no file is open for writing, or lets it be written again.
    pub(super) async fn remount(&self, mode: &str) {
        let option = format!("remount,{mode}");
        let mount = ["--mount", "--", "mount", "-o", &option, text(&self.mount)];
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        let remounted = async {
            loop {
                tries.tick().await;
                let mut command = Command::new("nsenter");
                command.args(["--target", &self.holder.id().to_string()]).args(mount).stderr(Stdio::null());
                if command.status().expect("nsenter runs").success() {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(PATIENCE, remounted).await.is_ok(), "files stay open for writing");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
