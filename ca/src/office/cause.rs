//! By whom something is done in the office, and why.

use crate::limits::{WHO_CHARS_MAX, WHY_CHARS_MAX};
use serde::{Deserialize, Serialize};

/// By whom something is done in the folder, and why. What is absent is filled in by what is done, if that says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// An identity, or a user of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) who: Option<String>,
    /// For people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// A name or a reason that is too long, or would steer a terminal.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("who has 1 to {WHO_CHARS_MAX} and why at most {WHY_CHARS_MAX} characters, none of control")]
pub struct CauseError;

impl Cause {
    /// Somebody, with or without a reason.
    pub fn new(who: &str, why: Option<&str>) -> Result<Self, CauseError> {
        let fits = |text: &str, most| text.chars().count() <= most && !text.chars().any(char::is_control);
        if who.is_empty() || !fits(who, WHO_CHARS_MAX) || why.is_some_and(|why| !fits(why, WHY_CHARS_MAX)) {
            return Err(CauseError);
        }
        let why = why.filter(|why| !why.is_empty()).map(str::to_owned);
        Ok(Self { who: Some(who.to_owned()), why })
    }

    /// Who, if anybody said.
    pub fn who(&self) -> Option<&str> {
        self.who.as_deref()
    }

    /// Why, if anybody said.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Fills in what is absent.
    pub(crate) fn fill(&mut self, who: &str, why: Option<&str>) {
        self.who.get_or_insert_with(|| who.to_owned());
        if let (None, Some(why)) = (&self.why, why) {
            self.why = Some(why.to_owned());
        }
    }
}
