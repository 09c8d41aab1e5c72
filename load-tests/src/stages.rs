//! Where a transaction's time goes on the peer: the stage histograms of its `/metrics`.

use serde::Serialize;
use std::collections::BTreeMap;

/// Each stage's histogram, of all channels together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages(BTreeMap<String, Histogram>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Histogram {
    sum: f64,
    count: f64,
    /// Upper bounds in seconds, ascending, with how many jobs were at most as long.
    buckets: Vec<(f64, f64)>,
}

/// One stage in a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Jobs: batches, blocks, or transactions for `end_to_end`.
    pub jobs: f64,
    /// Mean milliseconds of a job, waiting included.
    pub mean_ms: f64,
    /// 99 of 100 jobs took at most so many milliseconds: a bound of the histogram, each twice the one before. `None` if
    /// that is beyond all of them.
    pub p99_at_most_ms: Option<f64>,
    /// The same of all jobs.
    pub longest_at_most_ms: Option<f64>,
    /// Seconds of all jobs; they overlap.
    pub total_s: f64,
}

impl Stages {
    /// From the OpenMetrics text.
    pub fn parse(text: &str) -> Self {
        let mut stages = BTreeMap::<String, Histogram>::new();
        for line in text.lines().filter(|line| line.starts_with("chancery_stage_seconds_")) {
            let label = |name| line.split_once(name).and_then(|(_, rest)| rest.split_once('"')).map(|(value, _)| value);
            let value = line.split_whitespace().last().and_then(|value| value.parse::<f64>().ok());
            let (Some(stage), Some(value)) = (label("stage=\""), value) else { continue };
            let histogram = stages.entry(stage.to_owned()).or_default();
            if line.contains("_seconds_sum{") {
                histogram.sum = value;
            } else if line.contains("_seconds_count{") {
                histogram.count = value;
            } else if let Some(bound) = label("le=\"").and_then(|bound| bound.parse().ok()) {
                histogram.buckets.push((bound, value));
            }
        }
        Self(stages)
    }

    /// What was added since `earlier`, the longest first.
    pub fn since(&self, earlier: &Self) -> Vec<StageTime> {
        let none = Histogram::default();
        let mut times: Vec<StageTime> = self
            .0
            .iter()
            .map(|(stage, now)| {
                let before = earlier.0.get(stage).unwrap_or(&none);
                let (total_s, jobs) = (now.sum - before.sum, now.count - before.count);
                let bound = |share: f64| {
                    let earlier = before.buckets.iter().map(|(_, count)| count).chain(std::iter::repeat(&0.0));
                    let mut bounds = now.buckets.iter().zip(earlier);
                    let found = bounds.find(|((_, count), earlier)| count - *earlier >= jobs * share);
                    found.map(|((bound, _), _)| bound * 1000.0).filter(|bound| bound.is_finite())
                };
                StageTime {
                    stage: stage.clone(),
                    jobs,
                    mean_ms: total_s * 1000.0 / jobs.max(1.0),
                    p99_at_most_ms: bound(0.99),
                    longest_at_most_ms: bound(1.0),
                    total_s,
                }
            })
            .collect();
        times.sort_by(|one, other| other.total_s.total_cmp(&one.total_s));
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_to_a_stage_is_told() {
        let text = |sum, count, short| {
            format!(
                "# TYPE chancery_stage_seconds histogram\n\
                 chancery_stage_seconds_sum{{stage=\"verify\"}} {sum}\n\
                 chancery_stage_seconds_count{{stage=\"verify\"}} {count}\n\
                 chancery_stage_seconds_bucket{{le=\"0.25\",stage=\"verify\"}} {short}\n\
                 chancery_stage_seconds_bucket{{le=\"0.5\",stage=\"verify\"}} {count}\n\
                 chancery_stage_seconds_bucket{{le=\"+Inf\",stage=\"verify\"}} {count}\n"
            )
        };
        let earlier = Stages::parse(&text(1.0, 10, 10));
        for (short, bound) in [(108, 500.0), (109, 250.0)] {
            let times = Stages::parse(&text(21.0, 110, short)).since(&earlier);
            let verify = StageTime {
                stage: "verify".into(),
                jobs: 100.0,
                mean_ms: 200.0,
                p99_at_most_ms: Some(bound),
                longest_at_most_ms: Some(500.0),
                total_s: 20.0,
            };
            assert_eq!(times, [verify]);
        }
        let fresh = Stages::parse(&text(1.0, 10, 10)).since(&Stages::default());
        assert_eq!(fresh[0].p99_at_most_ms, Some(250.0));
    }
}
