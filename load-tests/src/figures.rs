//! What a scenario has to say beside the keys that all reports have: its parts, each with its own figures, and what it
//! must reach.

use crate::drive::Driven;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Milliseconds to the microsecond.
pub fn ms(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

/// To three decimals: more is noise.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// One part of a scenario: a phase, a step, a sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Which part.
    pub part: String,
    /// Its figures, with their units in their names.
    #[serde(flatten)]
    pub figures: Map<String, Value>,
}

impl Part {
    /// Without figures yet.
    pub fn new(part: impl Into<String>) -> Self {
        Self { part: part.into(), figures: Map::new() }
    }

    /// With what the generator saw: rate, refusals, latencies.
    pub fn of(part: impl Into<String>, driven: &Driven) -> Self {
        let rate = driven.committed_per_s().round();
        let mut all = Self::new(part).with("committed", driven.committed).with("committed_per_s", rate);
        for (name, count) in [("failed", driven.failed), ("refused", driven.refused)] {
            all = all.with(name, count);
        }
        let shares = driven.latencies.percentiles([50.0, 99.0, 99.9, 100.0]);
        for (name, time) in ["p50_ms", "p99_ms", "p999_ms", "max_ms"].into_iter().zip(shares.into_iter().flatten()) {
            all = all.with(name, ms(time));
        }
        if !driven.reasons.is_empty() {
            all = all.with("reasons", driven.reasons.join(", "));
        }
        if driven.ran_out { all.with("ran_out", true) } else { all }
    }

    /// One more figure; a fraction is rounded to three decimals.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let value = value.as_f64().filter(|_| value.is_f64()).map_or(value, |value| rounded(value).into());
        self.figures.insert(name.into(), value);
        self
    }
}

/// On which side of its limit a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Not above it.
    AtMost,
    /// Not below it.
    AtLeast,
}

/// What a scenario must reach, and whether it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// Which figure, with its unit.
    pub figure: String,
    /// On which side.
    pub bound: Bound,
    /// Of what.
    pub limit: f64,
    /// What was measured; null if there was nothing to measure.
    pub value: Option<f64>,
    /// Whether it was reached. What was not measured was not reached.
    pub reached: bool,
}

impl Target {
    fn new(figure: impl Into<String>, bound: Bound, limit: f64, value: Option<f64>) -> Self {
        let reached = value.is_some_and(|value| match bound {
            Bound::AtMost => value <= limit,
            Bound::AtLeast => value >= limit,
        });
        Self { figure: figure.into(), bound, limit: rounded(limit), value: value.map(rounded), reached }
    }

    /// A figure that must not be above `limit`.
    pub fn at_most(figure: impl Into<String>, limit: f64, value: impl Into<Option<f64>>) -> Self {
        Self::new(figure, Bound::AtMost, limit, value.into())
    }

    /// A figure that must not be below `limit`.
    pub fn at_least(figure: impl Into<String>, limit: f64, value: impl Into<Option<f64>>) -> Self {
        Self::new(figure, Bound::AtLeast, limit, value.into())
    }

    /// The target as a line for people.
    pub fn text(&self) -> String {
        let bound = match self.bound {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        };
        let value = self.value.map_or_else(|| "not measured".into(), |value| value.to_string());
        let verdict = if self.reached { "reached" } else { "MISSED" };
        format!("{} {bound} {}: {value}, {verdict}", self.figure, self.limit)
    }
}

/// One figure to another; `None` where there is nothing to divide by.
pub fn ratio(one: f64, other: f64) -> Option<f64> {
    (other > 0.0).then(|| one / other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_target_is_reached_at_its_limit_and_never_without_a_figure() {
        for (target, reached) in [
            (Target::at_most("p99, ms", 60.0, 60.0), true),
            (Target::at_most("p99, ms", 60.0, 60.001), false),
            (Target::at_least("ratio", 0.9, 0.9), true),
            // What is missed by less than the rounding shows is missed still.
            (Target::at_least("ratio", 0.9, 0.89999), false),
            (Target::at_least("ratio", 0.9, None), false),
            (Target::at_most("ratio", 0.9, f64::NAN), false),
        ] {
            assert_eq!(target.reached, reached, "{target:?}");
            assert_eq!(target.text().ends_with("MISSED"), !reached, "{}", target.text());
        }
        assert_eq!((ratio(1.0, 2.0), ratio(1.0, 0.0)), (Some(0.5), None));
    }

    #[test]
    fn a_part_is_one_flat_object() {
        let mut driven = Driven { committed: 10, window: Duration::from_secs(2), ..Driven::default() };
        driven.latencies.add(Duration::from_micros(1_500), 10);
        let json = serde_json::to_value(Part::of("alone", &driven).with("share", 1.0 / 3.0)).unwrap();
        assert_eq!(
            (&json["part"], &json["committed_per_s"], &json["p99_ms"]),
            (&"alone".into(), &5.0.into(), &1.5.into())
        );
        assert_eq!((&json["share"], &json["refused"]), (&0.333.into(), &0.into()));
    }
}
