//! The program `chancery`.

use std::process::ExitCode;

/// What one thread allocates another often frees here: bodies and envelopes come from HTTP threads, and end with blocks
/// on store threads. The system's allocator spends a sixth of the peer's time on that, this one a third of it
/// (docs/performance.md).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    server::cli::main()
}
