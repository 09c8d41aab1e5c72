//! Where a transaction's time goes on the peer: the stage histograms of its `/metrics`.

use serde::Serialize;
use std::collections::BTreeMap;

/// Sum and count of each stage's histogram, of one channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages(BTreeMap<String, (f64, f64)>);

/// One stage in a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Jobs: batches, blocks, or transactions for `end_to_end`.
    pub jobs: f64,
    /// Mean milliseconds of a job, waiting included.
    pub mean_ms: f64,
    /// Seconds of all jobs; they overlap.
    pub total_s: f64,
}

impl Stages {
    /// From the OpenMetrics text.
    pub fn parse(text: &str, channel: &str) -> Self {
        let mut stages = BTreeMap::<String, (f64, f64)>::new();
        let channel = format!("channel=\"{channel}\"");
        for line in text.lines().filter(|line| line.contains("channel_stage_seconds_") && line.contains(&channel)) {
            let parts = line.split_once("stage=\"").and_then(|(_, rest)| rest.split_once('"'));
            let value = line.split_whitespace().last().and_then(|value| value.parse::<f64>().ok());
            let (Some((stage, _)), Some(value)) = (parts, value) else { continue };
            if line.contains("_seconds_sum{") {
                stages.entry(stage.to_owned()).or_default().0 = value;
            } else if line.contains("_seconds_count{") {
                stages.entry(stage.to_owned()).or_default().1 = value;
            }
        }
        Self(stages)
    }

    /// What was added since `earlier`, the longest first.
    pub fn since(&self, earlier: &Self) -> Vec<StageTime> {
        let mut times: Vec<StageTime> = self
            .0
            .iter()
            .map(|(stage, (sum, count))| {
                let before = earlier.0.get(stage).copied().unwrap_or_default();
                let (total_s, jobs) = (sum - before.0, count - before.1);
                StageTime { stage: stage.clone(), jobs, mean_ms: total_s * 1000.0 / jobs.max(1.0), total_s }
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
    fn stages_of_one_channel_are_told_apart() {
        let text = |sum, count| {
            format!(
                "# TYPE chancery_channel_stage_seconds histogram\n\
                 chancery_channel_stage_seconds_sum{{channel=\"load\",stage=\"verify\"}} {sum}\n\
                 chancery_channel_stage_seconds_count{{channel=\"load\",stage=\"verify\"}} {count}\n\
                 chancery_channel_stage_seconds_bucket{{le=\"1\",channel=\"load\",stage=\"verify\"}} 77\n\
                 chancery_channel_stage_seconds_sum{{channel=\"main\",stage=\"verify\"}} 99\n"
            )
        };
        let (earlier, later) = (Stages::parse(&text(1.0, 10), "load"), Stages::parse(&text(3.0, 20), "load"));
        let times = later.since(&earlier);
        assert_eq!(times, [StageTime { stage: "verify".into(), jobs: 10.0, mean_ms: 200.0, total_s: 2.0 }]);
    }
}
