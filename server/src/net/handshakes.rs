//! Connections of which nobody knows yet whose they are: those in their TLS handshake, and those that are told that there
//! is no place for them. None is kept out for lack of room here: the one that has been here longest goes, of the same
//! address if that has its part. A handshake takes milliseconds, so whoever means it is through before.

use crate::{
    limits::{HANDSHAKES_MAX, HANDSHAKES_OF_ONE},
    net::address::place,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;

/// Connections of which nobody knows whose they are.
#[derive(Debug)]
pub struct Handshakes {
    most: usize,
    standing: Mutex<Standing>,
    sent_away: AtomicU64,
}

#[derive(Debug, Default)]
struct Standing {
    /// By their numbers, which ascend as they come.
    all: BTreeMap<u64, (Arc<str>, oneshot::Sender<()>)>,
    by_network: HashMap<Arc<str>, BTreeSet<u64>>,
    next: u64,
}

impl Standing {
    fn leave(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let (network, told) = self.all.remove(&number)?;
        if let Some(numbers) = self.by_network.get_mut(&network) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_network.remove(&network);
            }
        }
        Some(told)
    }
}

impl Handshakes {
    /// Room for half as many as there are places for connections.
    pub fn new(connections: usize) -> Arc<Self> {
        let most = (connections / 2).clamp(1, HANDSHAKES_MAX);
        Arc::new(Self { most, standing: Mutex::default(), sent_away: AtomicU64::new(0) })
    }

    /// How many stand there at most.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How many stand there.
    pub fn standing(&self) -> usize {
        self.lock().all.len()
    }

    /// How many had to go for others.
    pub fn sent_away(&self) -> u64 {
        self.sent_away.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection has come.
    pub fn come(self: &Arc<Self>, address: Option<SocketAddr>) -> Waiting {
        let network: Arc<str> = address.map_or_else(|| "unknown".into(), |address| place(address.ip()).into());
        let (told, goes) = oneshot::channel();
        let mut standing = self.lock();
        let own = standing.by_network.get(&network);
        let of_one = (self.most / HANDSHAKES_OF_ONE).max(1);
        let leaves = match own {
            Some(own) if own.len() >= of_one => own.first().copied(),
            _ if standing.all.len() >= self.most => standing.all.first_key_value().map(|(number, _)| *number),
            _ => None,
        };
        if let Some(told) = leaves.and_then(|number| standing.leave(number)) {
            self.sent_away.fetch_add(1, Ordering::Relaxed);
            // Whoever is gone needs not be told.
            let _ = told.send(());
        }
        let number = standing.next;
        standing.next += 1;
        standing.by_network.entry(Arc::clone(&network)).or_default().insert(number);
        standing.all.insert(number, (network, told));
        drop(standing);
        Waiting { handshakes: Arc::clone(self), number, goes }
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Waiting {
    handshakes: Arc<Handshakes>,
    number: u64,
    goes: oneshot::Receiver<()>,
}

impl Waiting {
    /// Resolves once it has to go for others.
    pub async fn goes(&mut self) {
        // The sender is dropped unsent by nobody but this.
        let _ = (&mut self.goes).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.handshakes.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn come(handshakes: &Arc<Handshakes>, last: u8) -> Waiting {
        handshakes.come(Some(SocketAddr::from(([192, 0, 2, last], 1))))
    }

    /// Numbers of those that have to go.
    fn gone(waiting: &mut [Waiting]) -> Vec<usize> {
        (0..waiting.len()).filter(|at| waiting[*at].goes().now_or_never().is_some()).collect()
    }

    #[test]
    fn the_oldest_of_an_address_goes_for_its_next_one_and_the_oldest_of_all_once_all_places_are_taken() {
        let handshakes = Handshakes::new(16);
        let mut one: Vec<Waiting> = (0..6).map(|_| come(&handshakes, 1)).collect();
        assert_eq!((gone(&mut one), handshakes.standing(), handshakes.sent_away()), (vec![0, 1], 4, 2));
        let mut others: Vec<Waiting> = (2..7).map(|last| come(&handshakes, last)).collect();
        assert_eq!((gone(&mut one[2..]), gone(&mut others)), (vec![0], vec![]));
        assert_eq!((handshakes.most(), handshakes.standing(), handshakes.sent_away()), (8, 8, 3));
        drop((one, others));
        assert_eq!(handshakes.standing(), 0);
        assert!(handshakes.lock().by_network.is_empty());
        assert_eq!(Handshakes::new(1).most(), 1);
    }
}
