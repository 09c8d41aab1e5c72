//! Answers of CAs whose folders are elsewhere: each says that one certificate is revoked, and was brought by somebody of
//! that organization. They are kept beside the peer's certificates until those that they are about have expired, because
//! a channel may admit or open later.

use super::{Trust, describe};
use crate::{clock, limits::ANSWERS_MAX};
use ca::{
    CertificateId, KeyId, LeafClaims, PathError,
    evidence::RevocationEvidence,
    ocsp,
    participant::{EvidenceError, verify_revocation},
    profile::ProfileError,
};
use client::api::CaAnswer;
use ledger_classes::{
    hash::{Hash, HexBytes},
    identity::Identity,
    time::Time,
};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

/// A certificate that its CA says is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtAnswer {
    /// Whose it is.
    pub identity: Identity,
    /// The key of the CA that issued it, and its serial number.
    pub id: CertificateId,
    /// When it expires.
    pub not_after: Time,
    /// Others have its key.
    pub compromised: bool,
    /// The path and the answer.
    pub evidence: RevocationEvidence,
}

/// All that were brought.
#[derive(Clone, Debug, Default)]
pub struct BroughtAnswers {
    list: Vec<Arc<BroughtAnswer>>,
    ids: HashSet<CertificateId>,
}

impl BroughtAnswers {
    fn of(list: Vec<Arc<BroughtAnswer>>) -> Self {
        let ids = list.iter().map(|answer| answer.id.clone()).collect();
        Self { list, ids }
    }

    /// These and another one, in place of what was known about its certificate.
    fn with(&self, answer: Arc<BroughtAnswer>) -> Self {
        let others = self.list.iter().filter(|known| known.id != answer.id);
        Self::of(others.cloned().chain([Arc::clone(&answer)]).collect())
    }

    /// Those of certificates that have not expired.
    pub fn iter(&self) -> impl Iterator<Item = &BroughtAnswer> {
        let now = clock::now();
        self.list.iter().map(AsRef::as_ref).filter(move |answer| answer.not_after >= now)
    }

    /// Whether one of them revokes a certificate.
    pub fn revokes(&self, id: &CertificateId) -> bool {
        self.ids.contains(id)
    }
}

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
    /// There are as many of this organization as this peer keeps.
    #[error("{ANSWERS_MAX} answers of this organization are kept: no more")]
    Full,
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
        let brought = self.read_answer(answer)?;
        // Only the organization's own CAs speak of its certificates.
        let roots = self.authorities_of(brought.identity.organization());
        let roots: Vec<Vec<u8>> = roots.into_iter().map(|der| der.0).collect();
        let RevocationEvidence { path, answer: signed } = &brought.evidence;
        let certificate = verify_revocation(path, signed, &roots, clock::now())?.certificate;
        // The issuer is read of the path, in which nobody vouches for what stands behind a CA that is trusted here. A stranger's
        // certificate there would put another CA's name to the answer, and the true one would be known already.
        if brought.id != *certificate.id() {
            return Err(EvidenceError::Path(PathError::UnknownIssuer).into());
        }
        self.exclusively(|| {
            let all = self.answers_dir();
            let folder = all.join(brought.identity.organization());
            ::files::private_folder(&all)?;
            ::files::private_folder(&folder)?;
            // By the certificate, and not by a serial, which another CA may choose as well.
            let leaf = path.first().map_or(&[][..], Vec::as_slice);
            let file = folder.join(format!("{}.json", Hash::plain(&[leaf])));
            // As it is on the disk: another process may have taken it away.
            if file.exists() {
                let known = self.kept(&file).ok().flatten();
                if known.is_some_and(|known| known.compromised || !brought.compromised) {
                    return Ok(false);
                }
            } else if fs::read_dir(&folder)?.count() >= ANSWERS_MAX {
                return Err(AnswerError::Full);
            }
            // Whoever reads the answers waits until this one is among them.
            let mut known = self.brought();
            ::files::write_private(&file, &serde_json::to_vec(answer).map_err(io::Error::from)?)?;
            tracing::info!(identity = %brought.identity, serial = %brought.id.serial, "a CA's answer was brought");
            *known = known.take().map(|known| Arc::new(known.with(Arc::new(brought.clone()))));
            drop(known);
            self.changes.send_modify(|generation| *generation += 1);
            Ok(true)
        })
    }

    /// The answers that are kept and whose certificates have not expired; the others go. They were verified when they
    /// were brought, and are again for each channel, under the CAs that it lists. What cannot be read is named in the log.
    pub fn answers(&self) -> Arc<BroughtAnswers> {
        let mut known = self.brought();
        Arc::clone(known.get_or_insert_with(|| Arc::new(BroughtAnswers::of(self.read_answers()))))
    }

    fn brought(&self) -> MutexGuard<'_, Option<Arc<BroughtAnswers>>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_answers(&self) -> Vec<Arc<BroughtAnswer>> {
        let mut answers = Vec::new();
        for folder in entries(&self.answers_dir()) {
            for file in entries(&folder).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "json"))
            {
                match self.kept(&file) {
                    Ok(answer) => answers.extend(answer.map(Arc::new)),
                    Err(error) => {
                        let error = describe(&error);
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
        let answer = ledger_classes::json::from_slice(&text).map_err(|error| AnswerError::Form(error.to_string()))?;
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
