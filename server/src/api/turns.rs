//! Turns for work that is long, done one at a time, and asked for by members: the verification of CRLs. Nobody holds a turn
//! before all that it needs is here; who waits, waits behind one of each other organization, and behind each other member
//! of the own one once. Who is to be revoked cannot keep the list away that revokes it.

use ledger_classes::primitives::identity::Identity;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of a peer.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    /// One waits for each organization; the others of it wait behind that one. As many as there are organizations with a CA
    /// that this peer trusts, at most.
    organizations: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Who waits, or has the turn.
    members: Mutex<HashSet<Identity>>,
}

/// Somebody's turn; the next one has it when this is dropped.
#[derive(Debug)]
pub struct Turn {
    // Dropped in this order: the next of the organization begins to wait once the turn has passed on.
    _turn: OwnedSemaphorePermit,
    _first: OwnedSemaphorePermit,
    _member: Member,
}

#[derive(Debug)]
struct Member {
    turns: Arc<Turns>,
    identity: Identity,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.turns.members.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.identity);
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(1)), organizations: Mutex::default(), members: Mutex::default() }
    }
}

impl Turns {
    /// Waits for a turn. `None` if this member waits for one already, or the peer stops.
    pub async fn take(self: &Arc<Self>, identity: &Identity) -> Option<Turn> {
        let new = self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone());
        let member = new.then(|| Member { turns: Arc::clone(self), identity: identity.clone() })?;
        let organization = {
            let mut organizations = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
            let one = organizations.entry(identity.organization().to_owned());
            Arc::clone(one.or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        let first = organization.acquire_owned().await.ok()?;
        let turn = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _turn: turn, _first: first, _member: member })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt as _;
    use std::pin::pin;

    fn who(text: &str) -> Identity {
        Identity::parse(&format!("spiffe://harbour.example/{text}")).unwrap()
    }

    /// A member that was to be revoked held its organization's only place, and the peer's only permit by a known list.
    #[tokio::test]
    async fn everybody_waits_behind_each_other_one_once() {
        let turns = Arc::new(Turns::default());
        let (mallory, fae, ann) = (who("north/client/mallory"), who("north/admin/fae"), who("south/admin/ann"));
        let first = turns.take(&mallory).await.unwrap();
        assert!(turns.take(&mallory).await.is_none(), "one at a time");
        let (mut publisher, mut other) = (pin!(turns.take(&fae)), pin!(turns.take(&ann)));
        assert!(publisher.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        drop(first);
        let turn = other.as_mut().now_or_never().expect("the other organization is next").unwrap();
        // Mallory is there again, behind who waited before.
        let mut again = pin!(turns.take(&mallory));
        assert!(publisher.as_mut().now_or_never().is_none() && again.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(again.as_mut().now_or_never().is_none());
        let turn = publisher.as_mut().now_or_never().expect("the publisher is next").unwrap();
        drop(turn);
        drop(again.as_mut().now_or_never().expect("at last").unwrap());
        assert!(turns.members.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_place_behind() {
        let turns = Arc::new(Turns::default());
        let (mallory, fae) = (who("north/client/mallory"), who("north/admin/fae"));
        let first = turns.take(&mallory).await.unwrap();
        {
            let mut waits = Box::pin(turns.take(&fae));
            assert!(waits.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert!(turns.take(&fae).await.is_some());
    }
}
