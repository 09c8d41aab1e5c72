//! The command line.

use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// Benchmarks of a peer
#[derive(Clone, Debug, Parser)]
#[command(name = "load-tests", after_help = crate::scenario::help())]
pub struct Options {
    /// What to measure, see below
    pub scenario: String,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Length of the measured window
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_000))]
    pub seconds: u64,
    /// Keys, nonces and recipients follow from it
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// The program under test; the one next to this executable if absent
    #[arg(long, value_name = "PATH")]
    pub chancery: Option<PathBuf>,
    /// Where the peer's directory is made, on a real disk; next to this executable if absent
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Keep the peer's directory
    #[arg(long)]
    pub keep: bool,
    /// Accounts that pay and are paid, each once before any pays again; `throughput --senders 1000000` spreads its
    /// transfers evenly over a million existing accounts, whose balances take about a minute to make
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(2..=4_000_000))]
    pub senders: u32,
    /// Connections of the generator, one request in flight on each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    /// Transactions of one request
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub batch: u32,
    /// Transactions offered a second by the scenarios that send by a timetable: `half` (half of what it measured itself
    /// if absent), `noisy` (1000 if absent), `hostile` and `revocations` (200 if absent), `soak` (2000 if absent)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: Option<u64>,
    /// Numbers of active channels that `channels` compares, ascending; the largest is how many `revocations` has
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [1, 10, 100, 1_000],
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub channels: Vec<u32>,
    /// Idle channels that `channels` adds
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub idle_channels: u32,
    /// Certificates that `revocations` revokes at once
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub revocations: u32,
    /// Numbers of live subscribers of everything that `fanout` compares
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [1, 100, 1_000, 10_000],
        value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub subscribers: Vec<u32>,
    /// Subscribers of a filter that matches little, beside which `fanout` measures the rate of commits
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub filtered: u32,
    /// Deliveries that each step of `fanout` aims at, over all subscribers
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub deliveries: u64,
    /// Totals of transactions after which `recovery` restarts the peer, ascending
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [200_000, 500_000, 1_000_000],
        value_parser = clap::value_parser!(u64).range(1..))]
    pub transactions: Vec<u64>,
    /// Minutes of `soak`
    #[arg(long, value_name = "N", default_value = "10", value_parser = minutes)]
    pub minutes: Duration,
    /// Another build of this program that measures the fixed limit, such as one for the library's own choice of
    /// curve code; this one if absent
    #[arg(long, value_name = "PATH")]
    pub yardstick: Option<PathBuf>,
    /// Seconds for each measurement of a limit
    #[arg(long, value_name = "N", default_value = "3", value_parser = seconds)]
    pub limit_seconds: Duration,
}

// What is wrong with an option is words for people, to which clap adds its name.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match (0.01..=600.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("0.01 to 600 seconds".into()),
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("{text:?} is no number of minutes"))?;
    match (0.01..=100_000.0).contains(&minutes) {
        true => Ok(Duration::from_secs_f64(minutes * 60.0)),
        false => Err("0.01 to 100000 minutes".into()),
    }
}
