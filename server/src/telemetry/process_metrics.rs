//! What Prometheus' client libraries tell of every process, under their names. Of Linux; elsewhere nothing is told.

use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

/// The process's metrics.
#[derive(Debug)]
pub(crate) struct ProcessMetrics {
    registry: Registry,
    cpu: Counter<f64, AtomicU64>,
    resident: Gauge,
    virtual_memory: Gauge,
    threads: Gauge,
    started: Gauge<f64, AtomicU64>,
    open_files: Gauge,
    files_max: Gauge,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let (cpu, started) = (Counter::default(), Gauge::default());
        let [resident, virtual_memory, threads, open_files, files_max]: [Gauge; 5] = Default::default();
        r.register_with_unit("process_cpu", "Processor time, user and system", Unit::Seconds, cpu.clone());
        r.register_with_unit("process_resident_memory", "Resident memory", Unit::Bytes, resident.clone());
        r.register_with_unit("process_virtual_memory", "Virtual memory", Unit::Bytes, virtual_memory.clone());
        r.register("process_threads", "Threads", threads.clone());
        r.register_with_unit("process_start_time", "Start, since the epoch", Unit::Seconds, started.clone());
        r.register("process_open_fds", "Open file descriptors", open_files.clone());
        r.register("process_max_fds", "File descriptors that may be open", files_max.clone());
        Self { registry, cpu, resident, virtual_memory, threads, started, open_files, files_max }
    }
}

impl ProcessMetrics {
    /// Reads the process's state and writes it as text. What cannot be read is not told.
    pub(crate) fn expose(&self, text: &mut String) {
        if self.look().is_some() {
            // Writing to a string does not fail.
            encode_registry(text, &self.registry).unwrap_or_default();
        }
    }

    /// proc(5): `/proc/self/stat`, whose second field may hold anything and ends with the last parenthesis.
    fn look(&self) -> Option<()> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
        // The first of these is the third of the manual's.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let cpu = (field(14)? + field(15)?) as f64 / ticks;
        self.cpu.inner().store(cpu.to_bits(), Ordering::Relaxed);
        self.threads.set(signed(field(20)?));
        self.virtual_memory.set(signed(field(23)?));
        self.resident.set(signed(field(24)?.saturating_mul(rustix::param::page_size() as u64)));
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok())?;
        self.started.set(boot + field(22)? as f64 / ticks);
        self.open_files.set(signed(fs::read_dir("/proc/self/fd").ok()?.count() as u64));
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.files_max.set(limit.map_or(i64::MAX, signed));
        Some(())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_what_it_uses() {
        let mut text = String::new();
        ProcessMetrics::default().expose(&mut text);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6 && value("process_virtual_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0 && value("process_cpu_seconds_total") >= 0.0);
        let now = crate::clock::now().millis() as f64 / 1000.0;
        // A test that runs under a wrong clock knows no better.
        assert!((0.0..7.0 * 86_400.0).contains(&(now - value("process_start_time_seconds"))));
        assert!(text.contains("# UNIT process_resident_memory_bytes bytes\n"));
    }
}
