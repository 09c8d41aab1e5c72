//! Why a request has no answer, and whether to ask again.

use crate::{api::Problem, known::KnownError, refusal::CertificateRefusal};
use reqwest::Url;
use std::time::Duration;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The peer could not be reached, or did not answer in time.
    #[error("{peer} does not answer")]
    Unreachable {
        /// The peer.
        peer: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The peer was reached, and one side does not accept the other's certificate.
    #[error("{peer} {refusal}")]
    Certificate {
        /// The peer.
        peer: Url,
        /// Whose, and why.
        refusal: Box<CertificateRefusal>,
    },
    /// A stream of events did not open in time.
    #[error("{peer} does not answer within {} s", timeout.as_secs())]
    Late {
        /// The peer.
        peer: Url,
        /// The time limit.
        timeout: Duration,
    },
    /// The peer was reached and answered with a problem.
    #[error("{}", problem_text(.0))]
    Problem(Box<Problem>),
    /// The answer is not what this request has for an answer.
    #[error("the peer's answer is unreadable: {0}")]
    Answer(String),
    /// A name that cannot be part of a URL's path.
    #[error("{0:?} cannot be a name in a request")]
    Name(String),
    /// The peer contradicts what this profile was told before.
    #[error(transparent)]
    Known(#[from] KnownError),
}

/// Whether waiting is all that it takes. No room, without a time when to ask again, needs somebody to act.
fn passes_by_itself(problem: &Problem) -> bool {
    matches!(problem.status, 429 | 503) || problem.status == 507 && problem.retry_after_ms.is_some()
}

fn problem_text(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title.clone(),
    }
}

impl RequestError {
    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502 | 503 | 504 | 507),
            // TLS that fails is a refusal, by them or by us: waiting changes no certificate.
            Self::Certificate { .. } | Self::Answer(_) | Self::Name(_) | Self::Known(_) => false,
        }
    }

    /// Whether to ask again by oneself. `again` says whether an attempt whose answer was lost may be repeated.
    pub(crate) fn is_worth_another(&self, again: bool) -> bool {
        match self {
            // A refused connection reached nobody; what else failed underway may have been done.
            Self::Unreachable { source, .. } => source.is_connect() || (again && !source.is_timeout()),
            Self::Problem(problem) => passes_by_itself(problem),
            Self::Certificate { .. } | Self::Late { .. } | Self::Answer(_) | Self::Name(_) | Self::Known(_) => false,
        }
    }

    /// The problem that the peer named.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// How long the peer asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem().and_then(|problem| problem.retry_after_ms).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command on a channel whose part of the disk was used up said nothing for 22 seconds.
    #[test]
    fn what_somebody_must_mend_is_not_asked_for_again() {
        let problem = |status, retry_after_ms| Problem {
            type_uri: "urn:chancery:problem:any".into(),
            title: String::new(),
            status,
            detail: None,
            refusal: None,
            retry_after_ms,
        };
        assert!(passes_by_itself(&problem(429, None)) && passes_by_itself(&problem(503, None)));
        assert!(passes_by_itself(&problem(507, Some(5_000))));
        assert!(!passes_by_itself(&problem(507, None)));
        assert!(!passes_by_itself(&problem(404, None)) && !passes_by_itself(&problem(502, Some(1))));
    }
}
