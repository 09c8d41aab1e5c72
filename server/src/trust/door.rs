//! What this peer's lists say of who would be admitted to a channel. The ledger knows a revocation once it is in a block;
//! until then, and on a channel that has just listed a CA, the peer refuses at its door whom it knows to be revoked.

use super::Trust;
use channel_actors::Door;
use ledger_classes::{action::Action, hash::HexBytes, outcome::ResultCode};

impl Trust {
    /// Whether a CRL in force, or an answer that was brought, revokes a certificate of this path, leaf first.
    fn revokes(&self, path: &[HexBytes]) -> bool {
        let path: Vec<&[u8]> = path.iter().map(|der| der.0.as_slice()).collect();
        let current = self.store.revocation().current();
        self.store.names_of(&path).iter().any(|name| current.is_revoked(name))
    }
}

impl Door for Trust {
    fn refuses(&self, action: &Action) -> Option<(ResultCode, String)> {
        let revoked = match action {
            Action::ParticipantAdmit(admission) => self.revokes(&admission.path),
            Action::ChannelRenewAuthority(renewal) => self.revokes(std::slice::from_ref(&renewal.certificate)),
            _ => false,
        };
        revoked.then(|| (ResultCode::CertificateIsRevoked, "this peer knows from its CA that it is revoked".into()))
    }
}
