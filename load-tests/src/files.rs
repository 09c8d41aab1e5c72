//! Open files: each connection is one, on both sides, and a channel's store holds some.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are neither connections nor channels: logs, listeners, the pools of both programs, directories that are
/// walked.
pub const SPARE: u64 = 512;

/// Raises this process's limit of open files to the hard one, which its children inherit. The limit that holds then.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// Files and sockets that a process has open.
pub fn open_files(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

/// How many of `wanted` things fit that take `files` each, above those that are open already; and what to say if that
/// is fewer.
pub fn fitting(wanted: u32, what: &str, files: u64, open: u64, limit: u64) -> (u32, Option<String>) {
    let room = limit.saturating_sub(open + SPARE).checked_div(files).unwrap_or(u64::MAX);
    let fits = u32::try_from(room).unwrap_or(u32::MAX).min(wanted);
    let said = (fits < wanted).then(|| {
        format!("{fits} {what} instead of {wanted}: each takes {files} open files, and the hard limit (ulimit -Hn) is {limit}")
    });
    (fits, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_scaled_down_and_said() {
        assert_eq!(fitting(100, "channels", 2, 12, SPARE + 12 + 200), (100, None));
        let (fits, said) = fitting(100, "channels", 2, 12, SPARE + 12 + 199);
        assert_eq!(fits, 99);
        assert!(said.is_some_and(|said| said.starts_with("99 channels instead of 100: each takes 2 open files")));
        assert_eq!(fitting(5, "channels", 1, 0, 10).0, 0);
        assert_eq!(fitting(5, "channels", 0, 0, 10), (5, None), "what takes none always fits");
    }

    #[test]
    fn this_process_has_files_open_and_a_limit_above_them() {
        let limit = raise_limit();
        let (before, file) = (open_files(std::process::id()), std::fs::File::open("/proc/self/stat"));
        assert!(file.is_ok() && before > 0 && limit > before);
    }
}
