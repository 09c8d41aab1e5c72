//! Whose certificates a channel has ended, in a form that a peer keeps in memory: reading is no transaction, and is
//! judged for each request, also of a channel whose files are closed.
//!
//! A certificate is ended by what keeps it from being admitted: its name by its CA's key and serial number, its name by
//! identity and serial number, its key that was compromised, or its identity. Each is a key of the state, and a mark is a
//! hash of that. What a CA revoked of certificates that the channel has not met has none, and so have CAs' own
//! certificates: it may be any number, and is the peer's own matter, which knows the CA's list or answer.

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::state::keyspace;
use crate::state::keyspace::Family;
use crate::state::participant::{
    CertificateKey, CertifiedIdentity, KnownCertificate, KnownIdentity, NamedCertificate, certificate_key,
};
use crate::state::record;
use crate::state::view::{ReadError, ReadView, Writes, prefix_end};
use std::collections::BTreeSet;

/// Under what a channel ends certificates: the first 16 bytes of the SHA-256 of a key of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Mark([u8; 16]);

impl Mark {
    fn of(key: &[u8]) -> Self {
        let mut mark = [0; 16];
        mark.copy_from_slice(&Hash::plain(&[key]).0[..16]);
        Self(mark)
    }
}

/// Where what ends certificates is in the state.
const FAMILIES: [Family; 4] = [Family::Certificate, Family::NamedCertificate, Family::CertificateKey, Family::Identity];

/// The marks of which one is enough to end a certificate.
pub fn marks_of(certified: &CertifiedIdentity) -> Vec<Mark> {
    let CertifiedIdentity { identity, serial, issuer, key, .. } = certified;
    let keys = [
        keyspace::certificate(issuer, serial),
        keyspace::named_certificate(&identity.to_string(), serial),
        keyspace::certificate_key(issuer, &certificate_key(key)),
        keyspace::identity(&identity.to_string()),
    ];
    keys.iter().map(|key| Mark::of(key)).collect()
}

/// Whether a record says that what its key names has ended.
fn ends(key: &[u8], value: &[u8]) -> Result<bool, ReadError> {
    Ok(match key.first() {
        Some(family) if *family == Family::Certificate as u8 => {
            let known: KnownCertificate = record::from_value(value)?;
            known.revoked_height.is_some() && known.holder.is_some()
        }
        Some(family) if *family == Family::NamedCertificate as u8 => {
            record::from_value::<NamedCertificate>(value)?.revoked_height.is_some()
        }
        Some(family) if *family == Family::CertificateKey as u8 => {
            record::from_value::<CertificateKey>(value)?.compromised_height.is_some()
        }
        Some(family) if *family == Family::Identity as u8 => record::from_value::<KnownIdentity>(value)?.is_ended(),
        _ => false,
    })
}

/// The marks whose records a block has written, each with whether it ends certificates from here on.
pub fn changed_marks(writes: &Writes) -> Result<Vec<(Mark, bool)>, ReadError> {
    let mut changed = Vec::new();
    for family in FAMILIES {
        let prefix = [family as u8];
        for (key, value) in writes.range(prefix.to_vec()..prefix_end(&prefix)) {
            let ends = value.as_ref().map_or(Ok(false), |value| ends(key, value))?;
            changed.push((Mark::of(key), ends));
        }
    }
    Ok(changed)
}

/// The marks of a state that end certificates.
pub fn marks_in(view: &dyn ReadView) -> Result<BTreeSet<Mark>, ReadError> {
    let mut marks = BTreeSet::new();
    for family in FAMILIES {
        let (mut from, end) = (vec![family as u8], prefix_end(&[family as u8]));
        while let Some((key, value)) = view.first_in(&from, &end)? {
            if ends(&key, &value)? {
                marks.insert(Mark::of(&key));
            }
            from = key;
            from.push(0);
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::test_support::open_config;
    use crate::keys::SigningKey;
    use crate::primitives::time::Time;
    use crate::state::participant::CertificateHolder;
    use crate::state::view::MemoryState;

    #[test]
    fn what_ends_a_certificate_is_told_by_one_of_its_marks_and_what_is_taken_back_is_none() {
        let identity = crate::primitives::identity::Identity::new(
            &open_config().consortium,
            "north",
            crate::primitives::identity::Role::Client,
            "ann",
        );
        let identity = identity.expect("valid");
        let (issuer, key) = (Hash([1; 32]), SigningKey::from_seed(&[7; 32]).public());
        let certified = CertifiedIdentity {
            identity: identity.clone(),
            serial: vec![5],
            issuer,
            not_after: Time::from_millis(9),
            key,
            authorities: vec![issuer],
            above: Vec::new(),
        };
        let mine = marks_of(&certified);
        let holder = Some(CertificateHolder { identity: identity.clone(), key: certificate_key(&key) });
        let revoked = Some(3);
        let known =
            |holder, revoked_height| record::to_value(&KnownCertificate { holder, revoked_height, compromised: false });
        let named =
            |revoked_height| record::to_value(&NamedCertificate { revoked_height, ..NamedCertificate::default() });
        let whole =
            |reinstated| record::to_value(&KnownIdentity { addresses: Vec::new(), ended_height: revoked, reinstated });
        let name = keyspace::certificate(&issuer, &[5]);
        let by_name = keyspace::named_certificate(&identity.to_string(), &[5]);
        let of_key = keyspace::certificate_key(&issuer, &certificate_key(&key));
        let compromised = record::to_value(&CertificateKey { addresses: Vec::new(), compromised_height: revoked });
        for (key, value, ended) in [
            (&name, known(holder.clone(), None), false),
            (&name, known(holder.clone(), revoked), true),
            (&name, known(None, revoked), false),
            (&by_name, named(None), false),
            (&by_name, named(revoked), true),
            (&of_key, compromised, true),
            (&keyspace::identity(&identity.to_string()), whole(false), true),
            (&keyspace::identity(&identity.to_string()), whole(true), false),
            (&keyspace::named_certificate(&identity.to_string(), &[6]), named(revoked), false),
        ] {
            let writes: Writes = [(key.clone(), Some(value))].into();
            let mut state = MemoryState::default();
            state.apply(&writes);
            let all = marks_in(&state).expect("readable");
            assert_eq!(mine.iter().any(|mark| all.contains(mark)), ended, "{key:?}");
            let changed = changed_marks(&writes).expect("readable");
            assert_eq!(changed.len(), 1);
            assert_eq!(changed[0].1, !all.is_empty());
        }
        let gone: Writes = [(of_key, None)].into();
        assert_eq!(
            changed_marks(&gone).expect("readable").into_iter().map(|(_, ends)| ends).collect::<Vec<_>>(),
            [false]
        );
    }
}
