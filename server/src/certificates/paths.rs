//! What the ledger asks of certificates, answered by `pki`. A pure function of its arguments: execution and every
//! replay must get the same verdict.

use crate::{certificates::authority_keys::key_of, limits::EVIDENCE_REMEMBERED_MAX};
use channel_actors::runtime::generations::{Generations, question};
use ledger_classes::formats::detail::{PathFault, PathRefusal};
use ledger_classes::keys::{PublicKey, Scheme};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{
    AuthorityContinuation, AuthorityFacts, CertificateName, CertificatePaths, CertifiedIdentity, PathRules,
    RevocationCause, RevokedCertificate,
};
use pki::{
    AuthorityScope, CertificateId, RevocationReason, VerifiedCertificate, claimed_organization, path_fault, steady,
    verify_continuation, verify_evidence, verify_participant,
};
use std::{
    ops::Range,
    sync::{LazyLock, Mutex, PoisonError},
};

/// `pki`'s path verification behind the ledger's trait.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParticipantPaths;

fn owned(list: &[&[u8]]) -> Vec<Vec<u8>> {
    list.iter().map(|der| der.to_vec()).collect()
}

impl CertificatePaths for ParticipantPaths {
    fn verify(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        roots: &[&[u8]],
        time: Time,
    ) -> Result<CertifiedIdentity, PathRefusal> {
        let PathRules::V1 = rules;
        let verified = verify_participant(&owned(path), &owned(roots), time);
        // Which fault it has is a rule of ours, and not what the path library found first.
        let verified = verified.map_err(|_| path_fault(path, roots, time))?;
        certified(&verified).ok_or_else(|| PathFault::LeafKey.into())
    }

    fn claimed_organization(&self, rules: PathRules, leaf: &[u8]) -> Option<String> {
        let PathRules::V1 = rules;
        claimed_organization(leaf)
    }

    fn steady(&self, rules: PathRules, path: &[&[u8]], roots: &[&[u8]], time: Time) -> Range<Time> {
        let PathRules::V1 = rules;
        steady(path.iter().chain(roots).copied(), time)
    }

    fn authority_key(&self, rules: PathRules, certificate: &[u8]) -> Option<Hash> {
        let PathRules::V1 = rules;
        key_of(certificate).map(|key| Hash(*key.as_bytes()))
    }

    fn authority(
        &self,
        rules: PathRules,
        certificate: &[u8],
        consortium: &str,
        organization: &str,
    ) -> Result<(), PathRefusal> {
        let PathRules::V1 = rules;
        let scope = AuthorityScope::of_certificate(certificate).map_err(|error| PathFault::from(&error))?;
        if scope.consortium != consortium {
            return Err(PathFault::Consortium.into());
        }
        // The consortium's root vouches for every organization.
        if scope.organization.is_some_and(|of| of != organization) {
            Err(PathFault::Organization.into())
        } else {
            Ok(())
        }
    }

    fn authority_facts(&self, rules: PathRules, certificate: &[u8]) -> Result<AuthorityFacts, PathRefusal> {
        let PathRules::V1 = rules;
        pki::authority_facts(certificate).map_err(|error| PathFault::from(&error).into())
    }

    fn continuation(
        &self,
        rules: PathRules,
        certificate: &[u8],
        listed: &[&[u8]],
        message: &[u8],
        proof: &[u8],
    ) -> Result<AuthorityContinuation, PathRefusal> {
        let PathRules::V1 = rules;
        verify_continuation(certificate, listed, message, proof).map_err(|error| PathRefusal::from(&error))
    }

    fn revocation(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        evidence: &[u8],
        roots: &[&[u8]],
    ) -> Result<RevokedCertificate, PathRefusal> {
        let PathRules::V1 = rules;
        let asked = question(rules.number(), &[path, &[evidence], roots]);
        if let Some(known) = EVIDENCE.lock().unwrap_or_else(PoisonError::into_inner).get(&asked) {
            return Ok(known);
        }
        let proven = verify_evidence(path, evidence, roots).map_err(|error| PathRefusal::from(&error))?;
        let revoked = RevokedCertificate {
            certificate: name_of(&proven.certificate),
            organization: proven.organization,
            cause: match proven.reason {
                RevocationReason::Unspecified => RevocationCause::Unspecified,
                RevocationReason::KeyCompromise => RevocationCause::KeyCompromise,
                RevocationReason::CaCompromise => RevocationCause::CaCompromise,
                RevocationReason::AffiliationChanged => RevocationCause::AffiliationChanged,
                RevocationReason::Superseded => RevocationCause::Superseded,
                RevocationReason::CessationOfOperation => RevocationCause::CessationOfOperation,
                RevocationReason::PrivilegeWithdrawn => RevocationCause::PrivilegeWithdrawn,
            },
        };
        EVIDENCE.lock().unwrap_or_else(PoisonError::into_inner).put(asked, revoked.clone());
        Ok(revoked)
    }
}

/// What was proven of late. Every channel that lists a CA asks the same of each revocation, and the answer depends on
/// nothing but the question. Refusals are not kept: they are free to cause.
static EVIDENCE: LazyLock<Mutex<Generations<RevokedCertificate>>> =
    LazyLock::new(|| Mutex::new(Generations::new(EVIDENCE_REMEMBERED_MAX)));

/// What a verified certificate is to the ledger. `None`: its key is of no scheme that the ledger knows.
pub(crate) fn certified(verified: &VerifiedCertificate) -> Option<CertifiedIdentity> {
    let key = verified.public_key();
    let scheme = Scheme::from_byte(key.algorithm().scheme())?;
    Some(CertifiedIdentity {
        identity: verified.identity().clone(),
        serial: verified.serial().as_bytes().to_vec(),
        issuer: Hash(*verified.issuer().as_bytes()),
        not_after: verified.not_after(),
        key: PublicKey::new(scheme, key.as_bytes()).ok()?,
        authorities: verified.authorities().iter().map(|key| Hash(*key.as_bytes())).collect(),
        above: verified.above().iter().map(name_of).collect(),
    })
}

fn name_of(id: &CertificateId) -> CertificateName {
    CertificateName { issuer: Hash(*id.issuer.as_bytes()), serial: HexBytes(id.serial.as_bytes().to_vec()) }
}
