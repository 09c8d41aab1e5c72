//! How a command ends when it does not succeed: one type, and the only place that knows exit codes.
//!
//! 0 done, 1 refused with a reason, 2 usage, 3 unavailable. What the caller can mend (options, files, the profile) is
//! usage; what the peer, the ledger or a proof says no to is refused; what may work later is unavailable.

use super::clean::clean;
use super::reasons::told_in;
use client::admit::AdmitError;
use client::api::Problem;
use client::connection::{OpenError, RequestError};
use client::keys::{AccountKeyError, WordsError};
use client::profile::ProfileError;
use client::submit::{NonceError, SubmitError};
use client::subscribe::SubscribeError;
use client::verify::VerifyError;
use client::window::AheadError;
use ledger_classes::primitives::causes::in_a_sentence;
use ledger_classes::primitives::hash::Hash;
use std::io;

/// What people are told of a failure: one line, in which a peer may be quoted, and advice of ours in lines below it. Whatever
/// is quoted stays in its line and steers no terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(String);

impl Message {
    /// The same with a line of advice below.
    #[must_use]
    pub fn below(self, advice: &str) -> Self {
        Self(format!("{}\n{}", self.0, clean(advice)))
    }

    /// Its lines.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Message {
    fn from(line: &str) -> Self {
        Self(clean(line))
    }
}

impl From<String> for Message {
    fn from(line: String) -> Self {
        line.as_str().into()
    }
}

/// Why a command has not done what was asked.
#[derive(Debug)]
pub enum Failure {
    /// No, with a reason.
    Refused {
        /// For people.
        message: Message,
        /// What the peer said.
        problem: Option<Box<Problem>>,
    },
    /// No, and the command's own output says why: a transaction that was committed without effect.
    Reported,
    /// Not all of it yet, and the command's own output says what is left.
    Left,
    /// The command cannot work as it was given.
    Usage(Message),
    /// Nobody answers, or the peer says later.
    Unavailable {
        /// For people.
        message: Message,
        /// What the peer said.
        problem: Option<Box<Problem>>,
        /// A transaction that was sent and whose outcome is not known, and its channel.
        transaction: Option<(Hash, String)>,
    },
    /// Standard output cannot be written.
    Output(io::Error),
}

impl Failure {
    /// A refusal in words.
    pub fn refused(message: impl Into<Message>) -> Self {
        Self::Refused { message: message.into(), problem: None }
    }

    /// Nobody answers, in words.
    pub fn unavailable(message: impl Into<Message>) -> Self {
        Self::Unavailable { message: message.into(), problem: None, transaction: None }
    }

    /// The same failure, if it came after `id` was sent to `channel`: who runs the command again makes another
    /// transaction, so this one must be asked for first.
    #[must_use]
    pub fn after_sending(self, id: Hash, channel: &str) -> Self {
        let transaction = Some((id, channel.to_owned()));
        match self {
            Self::Unavailable { message, problem, .. } => Self::Unavailable { message, problem, transaction },
            other => other,
        }
    }

    /// A mistake of the caller's.
    pub fn usage(message: impl Into<Message>) -> Self {
        Self::Usage(message.into())
    }

    /// A file that cannot be read or written.
    pub fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::usage(format!("{}: {error}", path.display()))
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Reported => 1,
            Self::Usage(_) => 2,
            Self::Unavailable { .. } | Self::Left => 3,
            // Whoever reads our output has read enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
        }
    }

    /// What to tell people, if it was not told already.
    pub fn message(&self) -> Option<Message> {
        match self {
            // Whoever asks again about one that was taken gets its outcome there, so this one was not.
            Self::Unavailable { message, problem: Some(problem), .. }
                if problem.type_uri.ends_with(":channel-full") =>
            {
                Some(message.clone())
            }
            Self::Unavailable { message, transaction: Some((id, channel)), .. } => Some(message.clone().below(&format!(
                "The transaction may have been taken. Before sending another, ask: chancery tx status {id} --channel \
                 {channel}"
            ))),
            Self::Refused { message, .. } | Self::Unavailable { message, .. } | Self::Usage(message) => {
                Some(message.clone())
            }
            Self::Output(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Some(error.to_string().into())
            }
            Self::Output(_) | Self::Reported | Self::Left => None,
        }
    }

    /// What to tell programs, if it was not told already.
    pub fn document(&self) -> Option<serde_json::Value> {
        let message = self.message()?;
        let mut error = serde_json::json!({ "message": message.as_str(), "exit_code": self.exit_code() });
        if let Self::Refused { problem: Some(problem), .. } | Self::Unavailable { problem: Some(problem), .. } = self {
            error["problem"] = serde_json::to_value(problem).unwrap_or_default();
        }
        if let Self::Unavailable { transaction: Some((id, _)), .. } = self {
            error["transaction"] = serde_json::to_value(id).unwrap_or_default();
        }
        Some(serde_json::json!({ "error": error }))
    }
}

/// What to do about a problem, where that is known here better than on the peer.
fn hint(problem: &Problem) -> Option<&'static str> {
    Some(match problem.name() {
        "not-a-participant" => {
            "The account key is not bound to a certificate there yet: chancery participant admit --channel CHANNEL"
        }
        "participant-expired" => {
            "Renew the certificate (`chancery ca renew --profile DIR`), then bind the key to the new one: chancery participant \
             admit --channel CHANNEL"
        }
        "participant-unvouched" => {
            "The channel lists other CAs of your organization than the one of the certificate that the key was bound by: bind it \
             by a certificate of a listed one, chancery participant admit --channel CHANNEL"
        }
        "channel-unknown" => "`chancery channel list` shows those that this profile may see",
        "asset-unknown" => "`chancery asset list` shows those of the channel",
        "contract-unknown" => "`chancery contract list` shows those of the channel",
        "instance-unknown" => "`chancery contract instances` shows those of the channel",
        "app-unknown" => "`chancery app list` shows those of the channel",
        "no-authority" | "certificate-unknown" | "request-unknown" => {
            "The profile's peer knows of what its own folder has issued. Where the CA's folder is on this machine, name it: \
             --dir DIR"
        }
        _ => return None,
    })
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let reason = in_a_sentence(&error);
        let units = error.problem().map_or("", |problem| told_in(problem.name(), &reason));
        let mut message = Message::from(format!("{reason}{units}"));
        if let Some(hint) = error.problem().and_then(hint) {
            message = message.below(hint);
        }
        let problem = error.problem().cloned().map(Box::new);
        match &error {
            RequestError::Name(_) => Self::Usage(message),
            error if error.is_unavailable() => Self::Unavailable { message, problem, transaction: None },
            _ => Self::Refused { message, problem },
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Request(error) => error.into(),
            error @ SubmitError::Results { .. } => Self::refused(in_a_sentence(&error)),
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Request(error) => error.into(),
            SubscribeError::Lost => Self::unavailable(error.to_string()),
            SubscribeError::Problem(ref problem) => {
                let problem = problem.clone();
                RequestError::Problem(problem).into()
            }
            error => Self::refused(in_a_sentence(&error)),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Trust(error) => error.into(),
            error @ VerifyError::Read { .. } => Self::usage(in_a_sentence(&error)),
            error => Self::refused(in_a_sentence(&error)),
        }
    }
}

impl From<WordsError> for Failure {
    fn from(error: WordsError) -> Self {
        match error {
            WordsError::Randomness => Self::unavailable(error.to_string()),
            error => Self::refused(error.to_string()),
        }
    }
}

impl From<AheadError> for Failure {
    fn from(error: AheadError) -> Self {
        Self::refused(Message::from(error.to_string()).below(
            "Some peer's clock was ahead once, or this clock is behind: compare it with another one. If it is right, \
             --at-channel-time follows the channel.",
        ))
    }
}

impl From<NonceError> for Failure {
    fn from(error: NonceError) -> Self {
        Self::unavailable(error.to_string())
    }
}

macro_rules! usage {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::usage(in_a_sentence(&error))
            }
        })*
    };
}

usage!(ProfileError, OpenError, AccountKeyError, AdmitError);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn problem(status: u16) -> RequestError {
        RequestError::Problem(Box::new(Problem {
            type_uri: "urn:chancery:problem:told".into(),
            title: "Told".into(),
            status,
            detail: Some("so".into()),
            refusal: None,
            retry_after_ms: None,
        }))
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let path = std::path::Path::new("x");
        for (failure, code) in [
            (Failure::from(problem(400)), 1),
            (Failure::from(problem(403)), 1),
            (Failure::from(problem(404)), 1),
            (Failure::from(problem(429)), 3),
            (Failure::from(problem(500)), 1),
            (Failure::from(problem(503)), 3),
            (Failure::from(problem(507)), 3),
            (Failure::from(RequestError::Name("..".into())), 2),
            (Failure::from(RequestError::Answer("odd".into())), 1),
            (Failure::from(SubmitError::from(problem(503))), 3),
            (Failure::from(SubmitError::Results { envelopes: 2, results: 1 }), 1),
            (Failure::from(SubscribeError::Lost), 3),
            (Failure::from(SubscribeError::from(problem(404))), 1),
            (Failure::from(VerifyError::Absent), 1),
            (Failure::from(VerifyError::Trust(problem(503))), 3),
            (Failure::from(VerifyError::Read { path: path.into(), source: io::Error::other("x") }), 2),
            (Failure::from(WordsError::Checksum), 1),
            (Failure::from(AccountKeyError::Form { path: path.into() }), 2),
            (Failure::from(ProfileError::Half { path: path.into() }), 2),
            (Failure::from(AdmitError::Oversize), 2),
            (Failure::Reported, 1),
            (Failure::Left, 3),
            (Failure::Output(io::ErrorKind::BrokenPipe.into()), 0),
            (Failure::Output(io::ErrorKind::StorageFull.into()), 1),
        ] {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
        }
    }

    #[test]
    fn a_problem_reaches_people_and_programs() {
        let failure = Failure::from(problem(403));
        assert_eq!(failure.message().unwrap().as_str(), "Told: so");
        let document = failure.document().unwrap();
        assert_eq!(document["error"]["exit_code"], 1);
        assert_eq!(document["error"]["problem"]["type"], "urn:chancery:problem:told");
        assert_eq!(Failure::Reported.document(), None);
    }

    /// A peer's line break began a line of its own, which read as the program's.
    #[test]
    fn what_is_quoted_stays_in_its_line() {
        let told = Message::from("a\r\nchancery: paid\u{1b}[2J\u{2028}b").below("ask\nagain");
        assert_eq!(told.as_str(), "a\\r\\nchancery: paid\\u{1b}[2J\\u{2028}b\nask\\nagain");
        assert_eq!(Failure::refused("a\nb").message().unwrap().as_str(), "a\\nb");
    }

    #[test]
    fn a_transaction_of_unknown_outcome_is_named() {
        let id = Hash([5; 32]);
        let failure = Failure::from(problem(503)).after_sending(id, "trade");
        assert_eq!(failure.exit_code(), 3);
        assert!(failure.message().unwrap().as_str().contains(&format!("chancery tx status {id} --channel trade")));
        assert_eq!(failure.document().unwrap()["error"]["transaction"], id.to_string());
        let refused = Failure::from(problem(400)).after_sending(id, "trade");
        assert!(
            !refused.message().unwrap().as_str().contains("tx status"),
            "what was refused has no outcome to ask for"
        );
    }
}
