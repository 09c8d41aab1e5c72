//! What can be measured, one file each. A new scenario is a file with a `run` and a line in [`ALL`].

mod bench;
mod channels;
mod fanout;
mod half;
mod hostile;
mod hot;
mod json;
mod latency;
mod limit;
mod noisy;
mod recovery;
mod revocations;
mod single;
mod soak;
mod throughput;

pub(crate) use bench::block_on;

use crate::error::LoadError;
use crate::options::Options;
use crate::report::Measured;

/// One thing to measure.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it measures, for the help.
    pub about: &'static str,
    /// Measures; the limits before and after are the caller's.
    pub run: fn(&Options) -> Result<Measured, LoadError>,
}

/// Every scenario.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "throughput",
        about: "transfers of many senders in batches over several connections, as fast as the peer commits them",
        run: throughput::run,
    },
    Scenario {
        name: "latency",
        about: "one client with one transfer in flight: from sending it to its durable commit",
        run: latency::run,
    },
    Scenario {
        name: "half",
        about: "half of the throughput by a timetable: latencies from the times that were fixed beforehand",
        run: half::run,
    },
    Scenario {
        name: "hot",
        about: "everybody pays one merchant, then ten accounts pay each other, beside throughput",
        run: hot::run,
    },
    Scenario {
        name: "channels",
        about: "the same load over 1, 10, 100 and 1,000 channels, then what 10,000 idle ones cost",
        run: channels::run,
    },
    Scenario {
        name: "noisy",
        about: "a quiet channel's latency while another one is flooded, with good, bad and heavy transactions",
        run: noisy::run,
    },
    Scenario {
        name: "hostile",
        about: "memory, and a quiet channel's latency, while all that strangers and members can try is tried at once",
        run: hostile::run,
    },
    Scenario {
        name: "revocations",
        about: "10,000 certificates revoked at once, of a CA that 1,000 channels list, and a bystander beside",
        run: revocations::run,
    },
    Scenario {
        name: "recovery",
        about: "from the start of the process to the first answer, after a clean end and a kill, as history grows",
        run: recovery::run,
    },
    Scenario {
        name: "json",
        about: "as throughput, with JSON payloads posted one by one over 64 connections",
        run: json::run,
    },
    Scenario {
        name: "single",
        about: "one transaction an item, 256 in flight: by 8 streams of submissions, then by plain requests",
        run: single::run,
    },
    Scenario {
        name: "fanout",
        about: "live subscribers over TLS, a tenth of them slow: order, deliveries a second, the rate of commits beside",
        run: fanout::run,
    },
    Scenario {
        name: "soak",
        about: "minutes of mixed work: whether memory stays, whether the disk grows as predicted, whether totals agree",
        run: soak::run,
    },
    Scenario { name: "limit", about: "the limits alone, without a peer", run: limit::run },
];

/// The scenario of a name.
pub fn find(name: &str) -> Result<&'static Scenario, LoadError> {
    ALL.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        LoadError::Scenario { given: name.into(), known: known.join(", ") }
    })
}

/// The list of scenarios for the command line's help.
pub fn help() -> String {
    let lines = ALL.iter().map(|scenario| format!("  {:12}{}\n", scenario.name, scenario.about));
    format!("Scenarios:\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "no scenario \"speed\": there are throughput, latency, half, hot, channels, noisy, hostile, revocations, recovery, json, single, fanout, soak, limit";

    #[test]
    fn scenarios_are_found_by_their_names() {
        assert!(ALL.iter().all(|scenario| find(scenario.name).is_ok() && help().contains(scenario.about)));
        let error = find("speed").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(NAMES));
    }
}
