//! Answers of CAs whose folders are elsewhere: each says that one certificate is revoked, and was brought by somebody of
//! that organization. They are kept beside the peer's certificates until those that they are about have expired, because
//! a channel may admit or open later.

use super::{
    Trust,
    brought::{BroughtAnswer, BroughtAnswers},
};
use crate::clock;
use ca::office::revocation_evidence::RevocationEvidence;
use client::api::CaAnswer;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::HexBytes;
use pki::{
    CertificateId, KeyId, LeafClaims, PathError,
    trust::participant::{EvidenceError, verify_revocation},
    x509::{certificate::ProfileError, ocsp},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

/// Why an answer is not taken, or passed over.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is about no certificate of our profile.
    #[error("the certificate")]
    Certificate(#[from] ProfileError),
    /// It does not say that a certificate of a trusted CA is revoked.
    #[error("the answer")]
    Evidence(#[from] EvidenceError),
    /// A file of another form.
    #[error("the file's form: {0}")]
    Form(String),
    /// There are as many of this organization as this peer keeps, or as many bytes.
    #[error("this peer keeps {0} answers of the organization: there is no room for more until certificates expire")]
    Full(usize),
    /// The disk.
    #[error("it cannot be kept")]
    Disk(#[from] io::Error),
}

impl Trust {
    /// A folder for each organization, in which none takes another's room or names.
    fn answers_dir(&self) -> PathBuf {
        self.certificate_dir.join("answers")
    }

    /// Keeps an answer, if a CA that is trusted here for the certificate's organization signed it. Returns whether it says
    /// more than what was kept about this certificate: that it is revoked, or that its key is compromised.
    ///
    /// # Errors
    /// It is not good, or cannot be kept.
    pub fn bring(&self, answer: &CaAnswer) -> Result<bool, AnswerError> {
        let mut brought = self.read_answer(answer)?;
        // Only the organization's own CAs speak of its certificates.
        let roots = self.authorities_of(brought.identity.organization());
        let roots: Vec<Vec<u8>> = roots.into_iter().map(|der| der.0).collect();
        let RevocationEvidence { path, answer: signed } = &brought.evidence;
        let certificate = verify_revocation(path, signed, &roots, clock::now())?.certificate;
        // The issuer is read of the path, in which nobody vouches for what stands behind a CA that is trusted here. A
        // stranger's certificate there would put another CA's name to the answer, and the true one would be known
        // already.
        if brought.id != *certificate.id() {
            return Err(EvidenceError::Path(PathError::UnknownIssuer).into());
        }
        brought.evidence.path = self.needed_of(path, &roots);
        let all = self.answers_dir();
        let folder = all.join(brought.identity.organization());
        let file = folder.join(brought.file());
        // Whoever reads the answers waits until this one is among them.
        let mut locked = self.brought();
        let known = Arc::make_mut(self.read_once(&mut locked));
        // As it is on the disk: another process may have taken it away.
        if let Some(before) = known.list.get(&brought.id).filter(|_| file.exists())
            && (before.compromised || !brought.compromised)
        {
            return Ok(false);
        }
        if !known.list.contains_key(&brought.id) && !known.has_room(&brought, self.answers_bytes_max) {
            self.forget_expired(known);
            if !known.has_room(&brought, self.answers_bytes_max) {
                let count = known.organizations.get(brought.identity.organization()).map_or(0, |(count, _)| *count);
                return Err(AnswerError::Full(count));
            }
        }
        ::files::private_folder(&all)?;
        ::files::private_folder(&folder)?;
        let path = brought.evidence.path.iter().cloned().map(HexBytes).collect();
        let kept = CaAnswer { path, evidence: answer.evidence.clone() };
        ::files::write_private(&file, &serde_json::to_vec(&kept).map_err(io::Error::from)?)?;
        tracing::info!(identity = %brought.identity, serial = %brought.id.serial, "a CA's answer was brought");
        known.insert(brought);
        self.obey(known);
        drop(locked);
        // Whoever hangs on this certificate is judged again.
        self.changes.send_modify(|generation| *generation += 1);
        Ok(true)
    }

    /// What channels may need of a path that was verified: what stands below the first CA that is trusted for the
    /// organization, and of the rest CAs of this peer. Nobody vouches for anything else there.
    fn needed_of(&self, path: &[Vec<u8>], roots: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let bundle = self.bundle();
        let below = path.iter().take_while(|der| !roots.contains(der)).count();
        let (verified, rest) = path.split_at(below);
        let trusted = rest.iter().filter(|der| roots.contains(der) || bundle.anchors.contains(der));
        let mut needed = verified.to_vec();
        for der in trusted {
            if !needed.contains(der) {
                needed.push(der.clone());
            }
        }
        needed
    }

    /// Whose certificates have expired go, with their files.
    fn forget_expired(&self, known: &mut BroughtAnswers) {
        let now = clock::now();
        let expired: Vec<_> = known.list.values().filter(|answer| answer.not_after < now).cloned().collect();
        for answer in expired {
            let file = self.answers_dir().join(answer.identity.organization()).join(answer.file());
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.display(), %error, "an answer about an expired certificate stays");
                }
                _ => known.remove(&answer.id),
            }
        }
    }

    /// The answers that are kept and whose certificates have not expired; the others go. They were verified when they
    /// were brought, and are again for each channel, under the CAs that it lists. What cannot be read is named in the log.
    pub fn answers(&self) -> Arc<BroughtAnswers> {
        Arc::clone(self.read_once(&mut self.brought()))
    }

    fn read_once<'a>(&self, brought: &'a mut Option<Arc<BroughtAnswers>>) -> &'a mut Arc<BroughtAnswers> {
        brought.get_or_insert_with(|| {
            let known = BroughtAnswers::of(self.read_answers());
            self.obey(&known);
            Arc::new(known)
        })
    }

    /// Reads the answers again: one that was passed over may be of a CA that is trusted now.
    pub(super) fn read_answers_again(&self) {
        let mut brought = self.brought();
        *brought = None;
        self.read_once(&mut brought);
    }

    /// Whose certificate an answer is about is out, as if its CA's list named it: the CA has said so, and its list may
    /// come later or never.
    fn obey(&self, known: &BroughtAnswers) {
        self.store.revocation().answered(known.list.keys().cloned());
    }

    fn brought(&self) -> MutexGuard<'_, Option<Arc<BroughtAnswers>>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_answers(&self) -> Vec<BroughtAnswer> {
        let mut answers = Vec::new();
        for folder in entries(&self.answers_dir()) {
            for file in entries(&folder).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "json"))
            {
                match self.kept(&file) {
                    Ok(answer) => answers.extend(answer),
                    // Of a CA that was replaced there is one for each certificate, and nothing to do.
                    Err(error @ AnswerError::Evidence(EvidenceError::Path(PathError::UnknownIssuer))) => {
                        let error = in_one_line(&error);
                        tracing::info!(file = %file.display(), error, "a CA's answer is passed over");
                    }
                    Err(error) => {
                        let error = in_one_line(&error);
                        tracing::error!(file = %file.display(), error, "a CA's answer is passed over");
                    }
                }
            }
        }
        answers
    }

    /// The answer in a file, unless its certificate has expired: then the file goes.
    fn kept(&self, file: &Path) -> Result<Option<BroughtAnswer>, AnswerError> {
        let text = fs::read(file)?;
        let answer = ledger_classes::primitives::json::from_slice(&text)
            .map_err(|error| AnswerError::Form(error.to_string()))?;
        let brought = self.read_answer(&answer)?;
        if brought.not_after < clock::now() {
            fs::remove_file(file)?;
            return Ok(None);
        }
        Ok(Some(brought))
    }

    /// What an answer is about. Whose certificate it is is read of the path: of one that ends below a CA that is trusted
    /// here, by the CA's name.
    fn read_answer(&self, answer: &CaAnswer) -> Result<BroughtAnswer, AnswerError> {
        let path: Vec<Vec<u8>> = answer.path.iter().map(|der| der.0.clone()).collect();
        let claims = LeafClaims::of_certificate(path.first().map_or(&[], Vec::as_slice))?;
        let HexBytes(signed) = &answer.evidence;
        let above = path.get(1).and_then(|der| KeyId::of_certificate(der));
        let known = || {
            let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            self.store()
                .names_of(&path)
                .into_iter()
                .find(|name| name.serial == *claims.serial())
                .map(|name| name.issuer)
        };
        let issuer = above.or_else(known).ok_or(EvidenceError::Path(PathError::UnknownIssuer))?;
        let compromised = ocsp::says_compromised(signed);
        Ok(BroughtAnswer {
            identity: claims.identity().clone(),
            id: CertificateId { issuer, serial: claims.serial().clone() },
            not_after: claims.not_after(),
            compromised,
            evidence: RevocationEvidence { path, answer: signed.clone() },
        })
    }
}

/// What is in a folder, in order; nothing if there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    match fs::read_dir(folder).and_then(|all| all.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()) {
        Ok(mut paths) => {
            paths.sort();
            paths
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::error!(folder = %folder.display(), %error, "answers of CAs cannot be read");
            Vec::new()
        }
    }
}
