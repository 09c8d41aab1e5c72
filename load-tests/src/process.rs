//! What a process has used, from `/proc/<pid>`.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Ticks a second of the times in `/proc` (`sysconf(_SC_CLK_TCK)`): 100 on every Linux that this runs on, proc(5).
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu: Duration,
    /// The most resident memory, bytes.
    pub rss_max_bytes: u64,
    /// Resident memory now, bytes.
    pub rss_bytes: u64,
    /// Processor time by threads' names, those that differ in a number only together.
    pub threads: BTreeMap<String, Duration>,
}

/// What a thread's name had used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThreadUse {
    /// The name, without its number.
    pub thread: String,
    /// Processor seconds.
    pub cpu_s: f64,
}

impl Usage {
    /// Of a process that lives; zeros for one that does not.
    pub fn of(pid: u32) -> Self {
        let root = format!("/proc/{pid}");
        let read = |name: &str| fs::read_to_string(Path::new(&root).join(name)).unwrap_or_default();
        let mut threads = BTreeMap::<String, Duration>::new();
        for entry in fs::read_dir(Path::new(&root).join("task")).into_iter().flatten().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some((name, cpu)) = name_and_cpu(&stat) {
                *threads.entry(name).or_default() += cpu;
            }
        }
        let status = read("status");
        Self {
            cpu: name_and_cpu(&read("stat")).map(|(_, cpu)| cpu).unwrap_or_default(),
            rss_max_bytes: bytes_of(&status, "VmHWM:"),
            rss_bytes: bytes_of(&status, "VmRSS:"),
            threads,
        }
    }

    /// What was used since `earlier`; memory stays as it is: the most of the whole life, and that of now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let used = |(name, cpu): (&String, &Duration)| {
            let before = earlier.threads.get(name).copied().unwrap_or_default();
            (name.clone(), cpu.saturating_sub(before))
        };
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            rss_max_bytes: self.rss_max_bytes,
            rss_bytes: self.rss_bytes,
            threads: self.threads.iter().map(used).collect(),
        }
    }

    /// The threads that used the most, first.
    pub fn busiest(&self) -> Vec<ThreadUse> {
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_by_key(|(_, cpu)| std::cmp::Reverse(**cpu));
        let used = threads.into_iter().filter(|(_, cpu)| !cpu.is_zero());
        used.map(|(name, cpu)| ThreadUse { thread: name.clone(), cpu_s: cpu.as_secs_f64() }).collect()
    }
}

/// Name and processor time of a `stat` file: the name may hold blanks and parentheses, so the last `)` ends it.
fn name_and_cpu(stat: &str) -> Option<(String, Duration)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let name = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || "-:#".contains(letter));
    // proc_pid_stat(5): utime and stime are fields 14 and 15; the first after the name is field 3.
    let mut times = tail.split_whitespace().skip(11).take(2);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some((name.to_owned(), Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)))
}

fn bytes_of(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|text| text.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_gives_name_and_time() {
        let stat = "77 (a (b) work-12) S 1 1 1 0 -1 0 9 9 9 9 150 25 3 3 20 0 1 0 5 6 7";
        assert_eq!(name_and_cpu(stat), Some(("a (b) work".into(), Duration::from_millis(1750))));
        assert_eq!(name_and_cpu(""), None);
        let status = "VmPeak:\t 9 kB\nVmHWM:\t   12 kB\nVmRSS:\t 7 kB\n";
        assert_eq!(["VmHWM:", "VmRSS:", "VmNone:"].map(|name| bytes_of(status, name)), [12 * 1024, 7 * 1024, 0]);
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(std::process::id());
        assert!(usage.rss_max_bytes > 0 && !usage.threads.is_empty(), "{usage:?}");
        assert_eq!(usage.since(&usage).cpu, Duration::ZERO);
    }
}
