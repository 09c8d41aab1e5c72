//! Answers of CAs whose folders are elsewhere: each says that one certificate is revoked, and was brought by somebody of
//! that organization. They are kept beside the peer's certificates until those that they are about have expired, because
//! a channel may admit or open later.

use super::{Trust, describe};
use crate::{clock, limits::ANSWERS_MAX};
use ca::{LeafClaims, evidence::RevocationEvidence, participant::verify_revocation};
use ledger_classes::{action::channel::RevokeByEvidence, hash::HexBytes, identity::Identity, time::Time};
use std::{fs, io, path::PathBuf};

/// A certificate that its CA says is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtAnswer {
    /// Whose it is.
    pub identity: Identity,
    /// Its serial number.
    pub serial: ca::Serial,
    /// The path and the answer.
    pub evidence: RevocationEvidence,
}

/// Why an answer is not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It does not say that a certificate of a trusted CA is revoked.
    #[error("{0}")]
    Refused(String),
    /// There are as many as this peer keeps.
    #[error("no more are kept")]
    Full,
    /// The disk.
    #[error("it cannot be kept")]
    Kept(#[from] io::Error),
}

impl Trust {
    fn answers_dir(&self) -> PathBuf {
        self.certificate_dir.join("answers")
    }

    /// Keeps an answer, if a CA that is trusted here for the certificate's organization signed it. Returns whether none
    /// about this certificate was kept.
    pub fn bring(&self, answer: RevokeByEvidence) -> Result<bool, AnswerError> {
        let brought = self.judge_answer(&answer, clock::now()).map_err(AnswerError::Refused)?;
        self.exclusively(|| {
            let folder = self.answers_dir();
            ::files::private_folder(&folder)?;
            let file = folder.join(format!("{}.json", brought.serial));
            if file.exists() {
                return Ok(false);
            }
            if fs::read_dir(&folder)?.count() >= ANSWERS_MAX {
                return Err(AnswerError::Full);
            }
            let text = serde_json::to_vec(&answer).map_err(io::Error::from)?;
            ::files::write_private(&file, &text)?;
            tracing::info!(identity = %brought.identity, serial = %brought.serial, "a CA's answer was brought");
            self.changes.send_modify(|generation| *generation += 1);
            Ok(true)
        })
    }

    /// The answers that are kept and whose certificates have not expired; the others go. One that cannot be read is
    /// named in the log.
    pub fn answers(&self) -> Vec<BroughtAnswer> {
        let Ok(entries) = fs::read_dir(self.answers_dir()) else { return Vec::new() };
        let files = entries.flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> =
            files.filter(|file| file.extension().is_some_and(|kind| kind == "json")).collect();
        files.sort();
        let now = clock::now();
        let read = |file: &PathBuf| {
            let text = fs::read(file).map_err(|error| error.to_string())?;
            let answer: RevokeByEvidence =
                ledger_classes::json::from_slice(&text).map_err(|error| error.to_string())?;
            let leaf = answer.path.first().map_or(&[][..], |der| &der.0);
            let claims = LeafClaims::of_certificate(leaf).map_err(|error| describe(&error))?;
            if claims.not_after() < now {
                fs::remove_file(file).map_err(|error| error.to_string())?;
                return Ok(None);
            }
            self.judge_answer(&answer, now).map(Some)
        };
        let mut answers = Vec::new();
        for file in &files {
            match read(file) {
                Ok(answer) => answers.extend(answer),
                Err(error) => tracing::error!(file = %file.display(), error, "a CA's answer is passed over"),
            }
        }
        answers
    }

    fn judge_answer(&self, answer: &RevokeByEvidence, now: Time) -> Result<BroughtAnswer, String> {
        let path: Vec<Vec<u8>> = answer.path.iter().map(|der| der.0.clone()).collect();
        let claims = LeafClaims::of_certificate(path.first().map_or(&[], Vec::as_slice));
        let claims = claims.map_err(|error| describe(&error))?;
        let HexBytes(answer) = &answer.evidence;
        // Only the organization's own CAs speak of its certificates.
        let roots = self.authorities_of(claims.identity().organization());
        let roots: Vec<Vec<u8>> = roots.into_iter().map(|der| der.0).collect();
        let revoked = verify_revocation(&path, answer, &roots, now).map_err(|error| describe(&error))?;
        Ok(BroughtAnswer {
            identity: claims.identity().clone(),
            serial: revoked.certificate.serial().clone(),
            evidence: RevocationEvidence { path, answer: answer.clone() },
        })
    }
}
