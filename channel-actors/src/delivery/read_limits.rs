//! How many reads of a channel each caller has, and each organization: so that none has them all.

use crate::limits::{READS_OF_CALLER_MAX, READS_OF_ORGANIZATION_MAX};
use crate::runtime::asker::Asker;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The reads of a channel that somebody has.
#[derive(Default)]
pub(crate) struct Reads(Mutex<Counts>);

/// Of each caller, and of each organization; strangers count as one.
#[derive(Default)]
struct Counts {
    callers: HashMap<Asker, usize>,
    organizations: HashMap<Option<u64>, usize>,
}

impl Counts {
    /// One more, if the caller's part and that of its organization have room. The peer's own reads have no part.
    fn take(&mut self, caller: Asker) -> bool {
        let of_caller = self.callers.get(&caller).copied().unwrap_or_default();
        let of_organization = self.organizations.get(&caller.organization()).copied().unwrap_or_default();
        let room = of_caller < READS_OF_CALLER_MAX && of_organization < READS_OF_ORGANIZATION_MAX;
        if room && caller != Asker::PEER {
            self.callers.insert(caller, of_caller + 1);
            self.organizations.insert(caller.organization(), of_organization + 1);
        }
        room || caller == Asker::PEER
    }

    fn give_back(&mut self, caller: Asker) {
        fn less<K: std::hash::Hash + Eq>(parts: &mut HashMap<K, usize>, key: &K) {
            if let Some(part) = parts.get_mut(key) {
                *part -= 1;
                if *part == 0 {
                    parts.remove(key);
                }
            }
        }
        if caller != Asker::PEER {
            less(&mut self.callers, &caller);
            less(&mut self.organizations, &caller.organization());
        }
    }
}

impl Reads {
    /// A place for a read of this caller, if it may have one more.
    pub(crate) fn take(self: &Arc<Self>, caller: Asker) -> Option<ReadPlace> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(caller);
        taken.then(|| ReadPlace { reads: self.clone(), caller })
    }
}

/// One of the reads that a caller may have on a channel.
pub(crate) struct ReadPlace {
    reads: Arc<Reads>,
    caller: Asker,
}

impl Drop for ReadPlace {
    fn drop(&mut self) {
        self.reads.0.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::READS_MAX;

    /// Eight certificates of one organization had all reads of a channel.
    #[test]
    fn an_organization_or_all_strangers_together_have_half_of_the_reads() {
        let mut reads = Counts::default();
        let mut fill = |name: &str, organization: Option<&str>| {
            let caller = Asker::named(name);
            let caller = organization.map_or(caller, |organization| caller.of(organization));
            std::iter::repeat_with(|| reads.take(caller)).take_while(|taken| *taken).count()
        };
        let of = |fill: &mut dyn FnMut(&str, Option<&str>) -> usize, organization: Option<&str>| -> Vec<usize> {
            (0..6).map(|number| fill(&format!("{organization:?} {number}"), organization)).collect()
        };
        assert_eq!(of(&mut fill, Some("dealer")), [128, 128, 128, 128, 0, 0]);
        assert_eq!(of(&mut fill, None), [128, 128, 128, 128, 0, 0]);
        assert_eq!(fill("bank", Some("bank")), READS_OF_CALLER_MAX, "another organization has its own");
        for number in 0..4 {
            let stranger = Asker::named(&format!("None {number}"));
            let dealer = Asker::named(&format!("Some(\"dealer\") {number}")).of("dealer");
            (0..READS_OF_CALLER_MAX).for_each(|_| (reads.give_back(stranger), reads.give_back(dealer)).0);
        }
        (0..READS_OF_CALLER_MAX).for_each(|_| reads.give_back(Asker::named("bank").of("bank")));
        assert!(reads.callers.is_empty() && reads.organizations.is_empty());
        assert!((0..2 * READS_MAX).all(|_| reads.take(Asker::PEER)), "the peer itself has no part");
    }
}
