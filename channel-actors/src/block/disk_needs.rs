//! What room of a channel's disk a transaction needs. What repairs finds more than others; by how much, `store/quota.rs`
//! says.

use crate::limits::{
    ACT_OF_ANYBODY_BYTES_MAX, DISK_BYTES_OF_ACTION, DISK_BYTES_OF_BYTE, DISK_BYTES_OF_CALL, DISK_BYTES_OF_TRANSACTION,
    DISK_BYTES_OF_TRANSFER,
};
use crate::runtime::place::Place;
use crate::store::Room;
use ledger_classes::action::Action;
use ledger_classes::formats::transaction::Transaction;
use ledger_classes::state::participant::{CertificatePaths, PathRules};

/// Whose room a transaction needs. What people may post without any right, such as admissions, is no act beyond the size
/// that it has need of: blanks in its JSON, or certificates that its path passes over, would take the room of what repairs.
pub(crate) fn room(actions: &[Action], payload_bytes: usize, of_peer: bool) -> Room {
    let any = |is: fn(&Action) -> bool| actions.iter().any(is);
    let repairs = |action: &Action| action.is_administrative() || ends_a_stop(action);
    let acts = actions.iter().all(repairs);
    let large = payload_bytes > ACT_OF_ANYBODY_BYTES_MAX.saturating_mul(actions.len());
    if !acts {
        Room::All
    } else if of_peer {
        Room::Peer
    } else if large && any(Action::carries_authority) {
        Room::All
    } else if any(|action| matches!(action, Action::ParticipantAdmit(_))) {
        Room::Admissions
    } else {
        Room::Acts
    }
}

/// Whether it ends a pause or a freeze: while one lasts, what waits for it goes on to take of the disk.
const fn ends_a_stop(action: &Action) -> bool {
    matches!(action, Action::AssetResume(_) | Action::AssetUnfreeze(_) | Action::AssetUnfreezeItem(_))
}

/// How many bytes of a channel's files a transaction will take, about: a small one may do a great deal, and what changes the
/// configuration writes all of it, `config_bytes`, again.
pub(crate) fn disk_bytes(actions: &[Action], payload_bytes: u32, config_bytes: impl Fn() -> usize) -> u64 {
    let of = |action: &Action| match action {
        Action::AssetTransferBatch(batch) => batch.transfers.len() as u64 * DISK_BYTES_OF_TRANSFER,
        Action::ContractCreate(_) | Action::ContractCall(_) => DISK_BYTES_OF_CALL,
        Action::ChannelPropose(_)
        | Action::ChannelApprove(_)
        | Action::ChannelRenewAuthority(_)
        | Action::ChannelRevokeAuthority(_) => DISK_BYTES_OF_ACTION + config_bytes() as u64 / 4 * 5,
        _ => DISK_BYTES_OF_ACTION,
    };
    let all: u64 = actions.iter().map(of).sum();
    u64::from(payload_bytes) * DISK_BYTES_OF_BYTE + DISK_BYTES_OF_TRANSACTION + all
}

/// Whose part of the room of acts a transaction takes: whoever admits itself has no record yet, and is of the organization
/// that its certificate names; others are where their sender is. For what was screened: the certificate is that CA's.
pub(crate) fn place(transaction: &Transaction, sender: Place, certificates: &dyn CertificatePaths) -> Place {
    let leaf = transaction.actions.iter().find_map(|action| match action {
        Action::ParticipantAdmit(body) => body.path.first(),
        _ => None,
    });
    let organization = leaf.and_then(|leaf| certificates.claimed_organization(PathRules::NEWEST, &leaf.0));
    organization.map_or(sender, |organization| Place::of_organization(&organization))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::action::channel::{Admit, Propose, RevokeByEvidence};
    use ledger_classes::action::logs::Append;
    use ledger_classes::keys::{Address, Signature};
    use ledger_classes::primitives::hash::HexBytes;

    /// 2,155 changes of a few hundred bytes wrote 147 MB.
    #[test]
    fn what_a_small_transaction_does_counts() {
        let append = Action::LogAppend(Append { topic: "test".into(), digest: None, body: String::new() });
        let propose = Action::ChannelPropose(Propose { changes: Vec::new(), reason: String::new() });
        let bytes = |actions: &[Action]| disk_bytes(actions, 100, || 60_000);
        let one = bytes(std::slice::from_ref(&append));
        assert_eq!(bytes(&vec![append; 64]) - one, 63 * DISK_BYTES_OF_ACTION);
        assert_eq!(bytes(&[propose]) - one, 75_000);
    }

    #[test]
    fn acts_find_more_room_than_others_and_admissions_less_than_acts() {
        let admit = || {
            let (path, possession) = (vec![HexBytes(vec![1])], Signature([1; 64]));
            Action::ParticipantAdmit(Admit { address: Address([1; 20]), path, possession })
        };
        let evidence =
            || Action::ParticipantRevokeByEvidence(RevokeByEvidence { path: Vec::new(), evidence: HexBytes(vec![1]) });
        let propose = || Action::ChannelPropose(Propose { changes: Vec::new(), reason: String::new() });
        let append = || Action::LogAppend(Append { topic: "test".into(), digest: None, body: String::new() });
        let one = ACT_OF_ANYBODY_BYTES_MAX;
        for (actions, bytes, of_others, of_peer) in [
            (vec![append()], 1, Room::All, Room::All),
            (vec![propose()], 1, Room::Acts, Room::Peer),
            (vec![propose()], 10 * one, Room::Acts, Room::Peer),
            (vec![propose(), append()], 1, Room::All, Room::All),
            (vec![evidence()], one, Room::Acts, Room::Peer),
            (vec![evidence()], one + 1, Room::All, Room::Peer),
            (vec![admit()], one, Room::Admissions, Room::Peer),
            (vec![admit()], one + 1, Room::All, Room::Peer),
            (vec![admit(), admit()], 2 * one, Room::Admissions, Room::Peer),
            (vec![propose(), admit()], one, Room::Admissions, Room::Peer),
        ] {
            let rooms = [false, true].map(|peer| room(&actions, bytes, peer));
            assert_eq!(rooms, [of_others, of_peer], "{actions:?}, {bytes} bytes");
        }
    }
}
