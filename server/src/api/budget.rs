//! The peer's budget of memory for what is under way: what answers hold until their readers have taken it. One budget
//! for the whole peer, with fair parts: nobody may take so much of it that nothing is left for others.
//!
//! Always: what is held is given back when its [`Held`] is dropped; no part is above its share but by what was held
//! first in it, so that something that is larger than a part is late and not impossible.
//! What must never happen here: waiting. Who finds a part used up is refused at once, with a hint when to retry.

use crate::{
    limits::{BUDGET_ANONYMOUS, BUDGET_CALLER, BUDGET_CHANNEL, BUDGET_MEMBERS, RETRY_AFTER_MS},
    net::standing::Standing,
    problem::{ApiError, Kind},
};
use channel_actors::Asker;
use ledger_classes::primitives::hash::Hash;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// For whom something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer {
    /// Who a caller is.
    pub standing: Standing,
    /// The caller: an identity, or an address.
    pub asker: Asker,
    /// The channel that is asked, if it is one.
    pub channel: Option<Hash>,
}

/// What something is held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Answers that their readers have not taken yet.
    Answers,
}

impl Use {
    /// All.
    pub const ALL: [Self; 1] = [Self::Answers];

    /// Its name in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answers => "answers",
        }
    }
}

/// A part of the budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} of the peer's memory is used up")]
pub struct UsedUp(&'static str);

impl From<UsedUp> for ApiError {
    fn from(used_up: UsedUp) -> Self {
        Self::new(Kind::PeerBusy, used_up.to_string()).retry_after_ms(RETRY_AFTER_MS)
    }
}

/// The budget; clones share it.
#[derive(Clone)]
pub struct Budget(Arc<BudgetState>);

struct BudgetState {
    most: usize,
    used: Mutex<Used>,
    refused: [AtomicU64; Use::ALL.len()],
}

#[derive(Default)]
struct Used {
    all: usize,
    anonymous: usize,
    /// Anonymous callers too, but not administrators.
    members: usize,
    callers: HashMap<Asker, usize>,
    /// Members of each organization, but not administrators.
    organizations: HashMap<u64, usize>,
    channels: HashMap<Hash, usize>,
    uses: [usize; Use::ALL.len()],
}

/// A part of the whole: so many of so many.
type Part = (usize, usize);

impl BudgetState {
    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, (of, parts): Part) -> usize {
        self.most / parts * of
    }

    fn take(&self, payer: &Payer, what: Use, bytes: usize, begun: bool) -> Result<(), UsedUp> {
        let mut used = self.lock();
        let fits = |used: usize, part: Part| used == 0 || used + bytes <= self.part(part);
        let anonymous = payer.standing == Standing::Anonymous;
        let administrator = payer.standing == Standing::Administrator;
        let organization = payer.asker.organization().filter(|_| !administrator);
        let of_organization = organization.and_then(|of| used.organizations.get(&of).copied()).unwrap_or_default();
        // An organization takes no more than it leaves for others, however many certificates it gives.
        let left = self.part(BUDGET_MEMBERS).saturating_sub(used.members + bytes);
        let of_caller = used.callers.get(&payer.asker).copied().unwrap_or_default();
        let of_channel = payer.channel.and_then(|channel| used.channels.get(&channel).copied()).unwrap_or_default();
        let used_up = [
            (fits(of_caller, BUDGET_CALLER), "the caller's part"),
            (of_organization == 0 || of_organization + bytes <= left, "the organization's part"),
            (fits(of_channel, BUDGET_CHANNEL), "the channel's part"),
            (!anonymous || fits(used.anonymous, BUDGET_ANONYMOUS), "the part of callers without a certificate"),
            (administrator || fits(used.members, BUDGET_MEMBERS), "the part of all but administrators"),
            (fits(used.all, (1, 1)), "all"),
        ];
        if let Some((_, which)) = used_up.iter().find(|(fits, _)| !fits && !begun) {
            self.refused[what as usize].fetch_add(1, Ordering::Relaxed);
            return Err(UsedUp(which));
        }
        used.all += bytes;
        used.uses[what as usize] += bytes;
        used.anonymous += if anonymous { bytes } else { 0 };
        used.members += if administrator { 0 } else { bytes };
        *used.callers.entry(payer.asker).or_default() += bytes;
        if let Some(organization) = organization {
            *used.organizations.entry(organization).or_default() += bytes;
        }
        if let Some(channel) = payer.channel {
            *used.channels.entry(channel).or_default() += bytes;
        }
        Ok(())
    }

    fn give_back(&self, payer: &Payer, what: Use, bytes: usize) {
        fn less<K: std::hash::Hash + Eq>(parts: &mut HashMap<K, usize>, key: K, bytes: usize) {
            if let Some(used) = parts.get_mut(&key) {
                *used -= bytes;
                if *used == 0 {
                    parts.remove(&key);
                }
            }
        }
        let mut used = self.lock();
        used.all -= bytes;
        used.uses[what as usize] -= bytes;
        used.anonymous -= if payer.standing == Standing::Anonymous { bytes } else { 0 };
        used.members -= if payer.standing == Standing::Administrator { 0 } else { bytes };
        less(&mut used.callers, payer.asker, bytes);
        if let Some(organization) = payer.asker.organization().filter(|_| payer.standing != Standing::Administrator) {
            less(&mut used.organizations, organization, bytes);
        }
        if let Some(channel) = payer.channel {
            less(&mut used.channels, channel, bytes);
        }
    }
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(BudgetState { most, used: Mutex::default(), refused: Default::default() }))
    }

    /// The budget for somebody.
    pub fn purse(&self, payer: Payer) -> Purse {
        Purse { budget: self.clone(), payer }
    }

    /// Holds nothing yet.
    pub fn hold(&self, payer: Payer, what: Use) -> Held {
        Held { budget: self.clone(), payer, what, bytes: 0 }
    }

    /// Bytes of the whole.
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// Bytes that are held for a use.
    pub fn used(&self, what: Use) -> usize {
        self.0.lock().uses[what as usize]
    }

    /// How often something was refused since the start.
    pub fn refused(&self, what: Use) -> u64 {
        self.0.refused[what as usize].load(Ordering::Relaxed)
    }
}

/// The budget, for one caller.
#[derive(Clone)]
pub struct Purse {
    budget: Budget,
    payer: Payer,
}

impl Purse {
    /// Holds nothing yet.
    pub fn hold(&self, what: Use) -> Held {
        self.budget.hold(self.payer, what)
    }
}

/// What is held for somebody, until it is dropped.
pub struct Held {
    budget: Budget,
    payer: Payer,
    what: Use,
    bytes: usize,
}

impl Held {
    /// Holds more.
    ///
    /// # Errors
    /// A part is used up; nothing more is held then.
    pub fn grow(&mut self, bytes: usize) -> Result<(), UsedUp> {
        if bytes > 0 {
            self.budget.0.take(&self.payer, self.what, bytes, false)?;
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Holds more of what has begun and cannot be refused any more. Others find the parts used up so much sooner.
    pub fn add(&mut self, bytes: usize) {
        if bytes > 0 && self.budget.0.take(&self.payer, self.what, bytes, true).is_ok() {
            self.bytes += bytes;
        }
    }

    /// Gives some back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if bytes > 0 {
            self.bytes -= bytes;
            self.budget.0.give_back(&self.payer, self.what, bytes);
        }
    }

    /// What is held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MOST: usize = 8_000;

    fn payer(standing: Standing, asker: u64, channel: u8) -> Payer {
        Payer { standing, asker: Asker::from_number(asker), channel: Some(Hash([channel; 32])) }
    }

    /// Takes as much as there is for a payer, a hundred at a time.
    fn fill(budget: &Budget, payer: Payer) -> Held {
        let mut held = budget.hold(payer, Use::Answers);
        while held.grow(100).is_ok() {}
        held
    }

    #[test]
    fn nobody_takes_more_than_its_part_and_what_is_dropped_is_given_back() {
        let budget = Budget::new(MOST);
        let caller = budget.0.part(BUDGET_CALLER);
        let one = fill(&budget, payer(Standing::Member, 1, 1));
        assert_eq!(one.bytes(), caller);
        // The same caller on another channel.
        assert_eq!(fill(&budget, payer(Standing::Member, 1, 2)).bytes(), 0);
        // Others on its channel, up to the channel's part.
        let others: Vec<Held> = (2..20).map(|asker| fill(&budget, payer(Standing::Member, asker, 1))).collect();
        assert_eq!(one.bytes() + others.iter().map(Held::bytes).sum::<usize>(), budget.0.part(BUDGET_CHANNEL));
        let elsewhere = fill(&budget, payer(Standing::Member, 30, 2));
        assert_eq!(elsewhere.bytes(), caller, "another channel has its own");
        drop((one, others, elsewhere));
        assert_eq!(budget.used(Use::Answers), 0);
        assert!(budget.0.lock().callers.is_empty() && budget.0.lock().channels.is_empty());
    }

    #[test]
    fn strangers_leave_room_for_members_and_both_for_administrators() {
        let budget = Budget::new(MOST);
        let all = |standing, from: u64| -> Vec<Held> {
            (from..from + 40).map(|asker| fill(&budget, payer(standing, asker, asker as u8))).collect()
        };
        let total = |held: &[Held]| held.iter().map(Held::bytes).sum::<usize>();
        let strangers = all(Standing::Anonymous, 1);
        assert_eq!(total(&strangers), budget.0.part(BUDGET_ANONYMOUS));
        let members = all(Standing::Member, 100);
        assert_eq!(total(&strangers) + total(&members), budget.0.part(BUDGET_MEMBERS));
        let refused = budget.refused(Use::Answers);
        assert!(refused > 0);
        let administrators = all(Standing::Administrator, 200);
        assert_eq!(total(&strangers) + total(&members) + total(&administrators), MOST);
    }

    /// Members of one organization, each with its part, held all that members have.
    #[test]
    fn an_organization_takes_no_more_than_it_leaves_for_others() {
        let budget = Budget::new(MOST);
        let of = |organization: &str, asker: u64, standing| Payer {
            asker: Asker::from_number(asker).of(organization),
            ..payer(standing, asker, asker as u8)
        };
        let fill_all = |organization: &str, from: u64| -> Vec<Held> {
            (from..from + 20).map(|asker| fill(&budget, of(organization, asker, Standing::Member))).collect()
        };
        let total = |held: &[Held]| held.iter().map(Held::bytes).sum::<usize>();
        let many = fill_all("many", 1);
        let few = fill_all("few", 40);
        let members = budget.0.part(BUDGET_MEMBERS);
        assert_eq!((total(&many), total(&few)), (members / 2, members / 4 / 100 * 100));
        assert!(total(&fill_all("third", 80)) > 0);
        assert!(fill(&budget, of("many", 120, Standing::Administrator)).bytes() > 0, "administrators act");
        drop((many, few));
        assert_eq!(budget.used(Use::Answers), 0);
        assert!(budget.0.lock().organizations.is_empty());
    }

    #[test]
    fn what_is_larger_than_a_part_is_held_alone() {
        let budget = Budget::new(MOST);
        let mut large = budget.hold(payer(Standing::Anonymous, 1, 1), Use::Answers);
        large.grow(MOST / 2 + 100).unwrap();
        assert_eq!(large.grow(1), Err(UsedUp("the caller's part")));
        let mut other = budget.hold(payer(Standing::Anonymous, 2, 2), Use::Answers);
        assert!(other.grow(1).is_err());
        large.shrink(MOST);
        assert_eq!(large.bytes(), 0);
        other.grow(1).unwrap();
        large.add(MOST);
        drop((large, other));
        assert_eq!(budget.used(Use::Answers), 0);
    }
}
