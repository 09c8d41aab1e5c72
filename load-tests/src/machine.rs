//! Where a figure comes from: the commit, the processor, the disk.

use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// The machine and the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that this program may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// File system under the peer's directory.
    pub file_system: String,
    /// The elliptic curve code that this program was compiled for.
    pub curve_code: &'static str,
    /// Whether this is an optimised build.
    pub optimised: bool,
}

impl Machine {
    /// This machine, with the file system under `dir`.
    pub fn with_disk(dir: &Path) -> Self {
        let line = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let processor = line(&read("/proc/cpuinfo"), "model name");
        let memory = line(&read("/proc/meminfo"), "MemTotal");
        let kib: Option<u64> = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Self {
            processor: processor.unwrap_or_else(|| "unknown".into()),
            cores: cores(),
            memory_bytes: kib.unwrap_or_default() * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/self/mounts"), dir).to_owned(),
            curve_code: curve_code(),
            optimised: cfg!(not(debug_assertions)),
        }
    }

    /// Whether the peer's directory survives a power cut at all.
    pub fn has_real_disk(&self) -> bool {
        !["tmpfs", "ramfs", "unknown"].contains(&self.file_system.as_str())
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Cores that this program may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What `.cargo/config.toml` or `RUSTFLAGS` chose; "default" is the library's own choice.
#[allow(unexpected_cfgs, reason = "a setting of curve25519-dalek, not of this workspace")]
const fn curve_code() -> &'static str {
    if cfg!(curve25519_dalek_backend = "avx512") {
        "avx512 where the processor has it"
    } else if cfg!(curve25519_dalek_backend = "simd") {
        "simd"
    } else if cfg!(curve25519_dalek_backend = "serial") {
        "serial"
    } else {
        "default"
    }
}

/// The type of the innermost mount that holds `dir`.
fn file_system<'a>(mounts: &'a str, dir: &Path) -> &'a str {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.into());
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(point, _)| dir.starts_with(point));
    holding.max_by_key(|(point, _)| point.len()).map_or("unknown", |(_, kind)| kind)
}

/// The commit that this program's sources are of, with `-dirty` if they were changed since.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "HEAD"]) {
        None => "unknown".into(),
        Some(commit) => {
            let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|text| !text.is_empty());
            if changed { format!("{commit}-dirty") } else { commit }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_the_disk() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /nowhere tmpfs rw 0 0\nx /nowhere/deep xfs rw 0 0\n";
        for (dir, kind) in [("/nowhere/else", "tmpfs"), ("/nowhere/deep/er", "xfs"), ("/nowhereelse", "ext4")] {
            assert_eq!(file_system(mounts, Path::new(dir)), kind, "{dir}");
        }
        assert_eq!(file_system("", Path::new("/")), "unknown");
    }
}
