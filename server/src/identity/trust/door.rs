//! What this peer's lists say of who would be admitted to a channel. The ledger knows a revocation once it is in a block;
//! until then, and on a channel that has just listed a CA, the peer refuses at its door whom it knows to be revoked.

use super::Trust;
use crate::clock;
use channel_actors::Door;
use ledger_classes::action::Action;
use ledger_classes::formats::detail::{Detail, Revoked};
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::primitives::hash::HexBytes;
use pki::{KeyId, LeafClaims, Usage};

impl Trust {
    /// Whether a CRL in force, or an answer that was brought, revokes a certificate of this path, leaf first.
    fn revokes(&self, path: &[HexBytes]) -> bool {
        let path: Vec<&[u8]> = path.iter().map(|der| der.0.as_slice()).collect();
        let current = self.store.revocation().current();
        self.store.names_of(&path).iter().any(|name| current.is_revoked(name))
    }
}

impl Trust {
    /// Whether a path is of an organization of which a CA here was replaced, and leads to none that it has now. A
    /// channel that nobody else can change may list the old one still, and whoever has its key need not show its
    /// certificate.
    fn is_of_a_lost_authority(&self, path: &[HexBytes]) -> bool {
        let Some(Ok(claims)) = path.first().map(|leaf| LeafClaims::of_certificate(&leaf.0)) else { return false };
        let organization = claims.identity().organization();
        if !self.successors.load().iter().any(|one| one.organization == organization) {
            return false;
        }
        let (bundle, now) = (self.bundle(), clock::now());
        let own: Vec<&[u8]> = path.iter().map(|der| der.0.as_slice()).collect();
        // The channel may list the issuing CA itself: then the path ends below it.
        let issuing = bundle.issuing.iter().map(|der| Some(der.as_slice()));
        let is_good = |issuing: Option<&[u8]>| {
            let path: Vec<&[u8]> = own.iter().copied().chain(issuing).collect();
            self.store.verify(&path, now, Usage::ClientAuth).is_ok()
        };
        ![None].into_iter().chain(issuing).any(is_good)
    }
}

impl Trust {
    /// Whether this peer knows that others have a CA's key, or that its certificate, DER, was revoked: by its folder,
    /// in which another has replaced it, or by a list or an answer of who certified it.
    pub fn knows_as_compromised(&self, certificate: &HexBytes, key: KeyId) -> bool {
        self.successors.load().iter().any(|one| one.before == key) || self.revokes(std::slice::from_ref(certificate))
    }
}

impl Door for Trust {
    fn refuses(&self, action: &Action) -> Option<(ResultCode, Detail)> {
        let revoked = match action {
            Action::ParticipantAdmit(admission) => {
                self.revokes(&admission.path) || self.is_of_a_lost_authority(&admission.path)
            }
            Action::ChannelRenewAuthority(renewal) => self.revokes(std::slice::from_ref(&renewal.certificate)),
            _ => false,
        };
        let detail = || Detail::WasRevoked { what: Revoked::ByItsAuthority };
        revoked.then(|| (ResultCode::CertificateIsRevoked, detail()))
    }
}
