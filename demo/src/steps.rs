//! Steps that hold or do not: each runs once, is printed with its figures, and the first that does not hold ends the
//! story with what was expected and what came. Nothing here knows what the steps do.

use serde::Serialize;
use std::{fmt::Debug, future::Future, io::Write, time::Instant};

/// Why a step does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StepError {
    /// Something is otherwise than it has to be.
    Unexpected {
        /// What was looked at.
        what: String,
        /// What it has to be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// Something could not be done.
    Failed(String),
}

impl StepError {
    /// Something could not be done.
    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// Something is otherwise than it has to be.
    pub(super) fn unexpected(what: &str, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self::Unexpected { what: what.into(), expected: expected.into(), actual: actual.into() }
    }
}

/// Every error of what the demonstration calls: with its causes, in one line.
impl<E: std::error::Error> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Failed(ledger_classes::primitives::causes::in_one_line(&error))
    }
}

/// What a step shows when it holds, one line each.
pub(super) type Shown = Result<Vec<String>, StepError>;

/// Holds both to be equal.
pub(super) fn expect<T: PartialEq + Debug>(what: &str, actual: &T, expected: &T) -> Result<(), StepError> {
    match actual == expected {
        true => Ok(()),
        false => Err(StepError::unexpected(what, format!("{expected:?}"), format!("{actual:?}"))),
    }
}

/// The story ended early: a step did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// One step that was made.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    number: usize,
    title: String,
    held: bool,
    elapsed_ms: u64,
    facts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<String>,
}

/// Prints steps as they are made.
pub(super) struct Steps<W> {
    out: W,
    colour: bool,
    quiet: bool,
    made: Vec<Step>,
}

impl<W: Write> Steps<W> {
    /// `quiet` keeps everything for [`Steps::made`].
    pub(super) const fn new(out: W, colour: bool, quiet: bool) -> Self {
        Self { out, colour, quiet, made: Vec::new() }
    }

    /// The steps so far.
    pub(super) fn made(&self) -> &[Step] {
        &self.made
    }

    /// Whether every step so far held.
    pub(super) fn held(&self) -> bool {
        self.made.iter().all(|step| step.held)
    }

    /// Makes a step and prints it.
    pub(super) async fn make(&mut self, title: &str, step: impl Future<Output = Shown>) -> Result<(), Broken> {
        let began = Instant::now();
        let shown = step.await;
        let mut made = Step {
            number: self.made.len() + 1,
            title: title.into(),
            held: shown.is_ok(),
            elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            facts: Vec::new(),
            expected: None,
            actual: None,
        };
        match shown {
            Ok(facts) => made.facts = facts,
            Err(StepError::Unexpected { what, expected, actual }) => {
                made.facts.push(what);
                made.expected = Some(expected);
                made.actual = Some(actual);
            }
            Err(StepError::Failed(why)) => made.actual = Some(why),
        }
        let held = made.held;
        self.print(&made);
        self.made.push(made);
        if held { Ok(()) } else { Err(Broken) }
    }

    /// Prints lines that are no step.
    pub(super) fn say(&mut self, text: &str) {
        if !self.quiet {
            // Whoever reads our output may have read enough; the exit code still tells.
            let _ = writeln!(self.out, "{text}");
            let _ = self.out.flush();
        }
    }

    fn print(&mut self, step: &Step) {
        let (mark, colour) = if step.held { ("✓", "32") } else { ("✗", "31;1") };
        let mark = self.paint(mark, colour);
        let title = self.paint(&format!("{:<58}", step.title), "1");
        let elapsed = self.paint(&format!("{:>6} ms", step.elapsed_ms), "2");
        self.say(&format!("{:>2} {mark} {title}{elapsed}", step.number));
        for fact in &step.facts {
            let fact = self.paint(fact, "2");
            self.say(&format!("     {fact}"));
        }
        if let Some(expected) = &step.expected {
            self.say(&format!("     expected: {}", brief(expected)));
        }
        if let Some(actual) = &step.actual {
            self.say(&format!("     actual:   {}", brief(actual)));
        }
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }
}

/// A value as a terminal bears it; programs get all of it.
fn brief(text: &str) -> std::borrow::Cow<'_, str> {
    const CHARACTERS_MAX: usize = 600;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn story(steps: &mut Steps<&mut Vec<u8>>, price: u32) -> Result<(), Broken> {
        steps.make("one", async { Ok(vec!["a figure".into()]) }).await?;
        steps.make("two", async { expect("the price", &price, &7).map(|()| Vec::new()) }).await?;
        steps.make("three", async { Ok(Vec::new()) }).await
    }

    fn told(price: u32, colour: bool) -> (bool, String) {
        let mut out = Vec::new();
        let mut steps = Steps::new(&mut out, colour, false);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let end = runtime.block_on(story(&mut steps, price));
        assert_eq!(end.is_ok(), steps.held());
        (steps.held(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_story_whose_steps_hold_is_told_to_its_end() {
        let (held, text) = told(7, false);
        assert!(held);
        assert_eq!(text.matches('✓').count(), 3);
        assert!(text.contains(" 3 ✓ three"));
        assert!(text.contains("     a figure"));
        assert!(!text.contains('\u{1b}'), "no colour unless asked for");
    }

    #[test]
    fn a_step_that_does_not_hold_ends_the_story_with_both_values() {
        let (held, text) = told(8, true);
        assert!(!held);
        assert_eq!((text.matches('✓').count(), text.matches('✗').count()), (1, 1));
        assert!(text.contains("the price"));
        assert!(text.contains("expected: 7\n     actual:   8"), "{text}");
        assert!(!text.contains("three"), "what follows is not made");
    }
}
