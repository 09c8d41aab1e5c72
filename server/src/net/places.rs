//! Places: how many of a thing there may be at a time on this peer, and what part of them each kind of caller may take.
//!
//! Whoever has no certificate costs nothing to be, so that strangers together get a half of each, and one address a
//! quarter. One identity gets a quarter, too, and all of an organization together no more than they leave for others: it
//! gives as many certificates as it likes. What is kept to the end is for administrators of the peer's organization: with
//! many hands or few, nobody keeps out those who must act. What a place is, is its owner's matter: a
//! connection, a subscription, a byte of a body.

use crate::{
    limits::{PLACES_FOR_ADMINISTRATORS, PLACES_OF_ONE, PLACES_OF_STRANGERS, RETRY_AFTER_MS},
    net::address::place,
    net::standing::Standing,
    problem::{ApiError, Kind},
};
use ledger_classes::primitives::identity::Identity;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Who takes places: an identity, or the network that a stranger comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// What kind of caller.
    pub standing: Standing,
    name: Arc<str>,
    /// Of a member.
    organization: Option<Arc<str>>,
}

impl Who {
    /// The holder of a certificate, who `acts` as an administrator of this peer or does not.
    pub fn certified(identity: &Identity, acts: bool) -> Self {
        let standing = if acts { Standing::Administrator } else { Standing::Member };
        let organization = (!acts).then(|| identity.organization().into());
        Self { standing, name: identity.to_string().into(), organization }
    }

    /// Somebody without a certificate.
    pub fn stranger(address: Option<SocketAddr>) -> Self {
        let name = address.map_or_else(|| "unknown".to_owned(), |address| place(address.ip()));
        Self { standing: Standing::Anonymous, name: name.into(), organization: None }
    }

    /// The identity, or the network.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Nobody knows who.
impl Default for Who {
    fn default() -> Self {
        Self::stranger(None)
    }
}

/// A number of places.
#[derive(Debug)]
pub struct Places {
    what: &'static str,
    kind: Kind,
    total: usize,
    taken: Mutex<Taken>,
    refused: [AtomicU64; 3],
    /// Somebody was refused since the last look.
    lately: AtomicBool,
    /// It was said that they do not suffice.
    said: AtomicBool,
}

#[derive(Debug, Default)]
struct Taken {
    by: [usize; 3],
    by_name: HashMap<Arc<str>, usize>,
    by_organization: HashMap<Arc<str>, usize>,
}

impl Taken {
    fn all(&self) -> usize {
        self.by.iter().sum()
    }
}

/// Why somebody gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    what: &'static str,
    kind: Kind,
    why: Why,
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Address,
    Identity,
    Organization,
    Strangers,
    All,
}

impl From<Full> for ApiError {
    fn from(Full { what, kind, why, most }: Full) -> Self {
        let detail = match why {
            Why::Address => format!("{what}: one address without a certificate has {most} at most"),
            Why::Identity => format!("{what}: one identity has {most} at most"),
            Why::Organization => {
                format!("{what}: one organization has no more than it leaves for others, and its members have {most}")
            }
            Why::Strangers => format!("{what}: callers without a certificate have {most} at most, and have them"),
            Why::All => format!("{what}: all that there are for this caller, {most}, are taken"),
        };
        Self::new(kind, detail).retry_after_ms(RETRY_AFTER_MS)
    }
}

impl Places {
    /// So many of `what`; whoever gets none is told so by a problem of this kind.
    pub fn new(what: &'static str, kind: Kind, total: usize) -> Arc<Self> {
        Arc::new(Self {
            what,
            kind,
            total,
            taken: Mutex::default(),
            refused: Default::default(),
            lately: AtomicBool::new(false),
            said: AtomicBool::new(false),
        })
    }

    /// What they are.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// How many there are.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Places that callers of a kind have.
    pub fn taken(&self, standing: Standing) -> usize {
        self.lock().by[standing as usize]
    }

    /// How often callers of a kind got none.
    pub fn refused(&self, standing: Standing) -> u64 {
        self.refused[standing as usize].load(Ordering::Relaxed)
    }

    /// The most that callers of a kind have together.
    pub fn most(&self, standing: Standing) -> usize {
        match standing {
            Standing::Anonymous => part(self.total, PLACES_OF_STRANGERS),
            // With fewer there would be little left for the others.
            Standing::Member if self.total < 4 => self.total,
            Standing::Member => self.total - part(self.total, PLACES_FOR_ADMINISTRATORS),
            Standing::Administrator => self.total,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes places for somebody, until what is returned is dropped.
    pub fn take(self: &Arc<Self>, who: &Who, count: usize) -> Result<Place, Full> {
        self.add(who, count)?;
        Ok(Place { places: Arc::clone(self), who: who.clone(), count })
    }

    fn add(&self, who: &Who, count: usize) -> Result<(), Full> {
        let mut taken = self.lock();
        if let Err(why) = self.room(&taken, who, count) {
            drop(taken);
            return Err(self.refuse(who, why));
        }
        taken.by[who.standing as usize] += count;
        *taken.by_name.entry(Arc::clone(&who.name)).or_default() += count;
        if let Some(organization) = &who.organization {
            *taken.by_organization.entry(Arc::clone(organization)).or_default() += count;
        }
        Ok(())
    }

    fn room(&self, taken: &Taken, who: &Who, count: usize) -> Result<(), (Why, usize)> {
        let own = taken.by_name.get(&who.name).copied().unwrap_or_default();
        let strange = who.standing == Standing::Anonymous;
        let alone = if who.standing == Standing::Administrator { self.total } else { part(self.total, PLACES_OF_ONE) };
        // Whoever has nothing may have one thing, however large.
        if own > 0 && own + count > alone {
            return Err((if strange { Why::Address } else { Why::Identity }, alone));
        }
        let together = self.most(Standing::Anonymous);
        if strange && taken.by[Standing::Anonymous as usize] + count > together {
            return Err((Why::Strangers, together));
        }
        let for_all = if who.standing == Standing::Administrator { self.total } else { self.most(Standing::Member) };
        if taken.all() + count > for_all {
            return Err((Why::All, for_all));
        }
        let left = for_all - taken.all() - count;
        match who.organization.as_ref().and_then(|of| taken.by_organization.get(of).copied()) {
            Some(of_organization) if of_organization + count > left => Err((Why::Organization, of_organization)),
            _ => Ok(()),
        }
    }

    fn refuse(&self, who: &Who, (why, most): (Why, usize)) -> Full {
        self.refused[who.standing as usize].fetch_add(1, Ordering::Relaxed);
        self.lately.store(true, Ordering::Release);
        if !self.said.swap(true, Ordering::AcqRel) {
            let (places, standing) = (self.what, who.standing.word());
            tracing::warn!(places, total = self.total, standing, "there is no place left; others are refused");
        }
        Full { what: self.what, kind: self.kind, why, most }
    }

    /// Says so if places suffice again after a time in which they did not. To be called now and then.
    pub fn look(&self) {
        if !self.lately.swap(false, Ordering::AcqRel) && self.said.swap(false, Ordering::AcqRel) {
            tracing::info!(places = self.what, total = self.total, "there are places again");
        }
    }

    fn give_back(&self, who: &Who, count: usize) {
        let mut taken = self.lock();
        taken.by[who.standing as usize] -= count;
        less(&mut taken.by_name, &who.name, count);
        if let Some(organization) = &who.organization {
            less(&mut taken.by_organization, organization, count);
        }
    }
}

/// Somebody has fewer; who has none is forgotten.
fn less(parts: &mut HashMap<Arc<str>, usize>, of: &Arc<str>, count: usize) {
    if let Some(own) = parts.get_mut(of) {
        *own -= count;
        if *own == 0 {
            parts.remove(of);
        }
    }
}

/// A part of all, and at least one.
const fn part(total: usize, of: usize) -> usize {
    let part = total / of;
    if part == 0 { 1 } else { part }
}

/// Places that somebody has.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    who: Who,
    count: usize,
}

impl Place {
    /// How many.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Has so many: more if there is room for them, or fewer.
    pub fn resize(&mut self, count: usize) -> Result<(), Full> {
        if count > self.count {
            return self.grow(count - self.count);
        }
        self.places.give_back(&self.who, self.count - count);
        self.count = count;
        Ok(())
    }

    /// Takes more of them.
    pub fn grow(&mut self, more: usize) -> Result<(), Full> {
        self.places.add(&self.who, more)?;
        self.count += more;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(&self.who, self.count);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn who(standing: Standing, name: &str) -> Who {
        Who { standing, name: name.into(), organization: None }
    }

    fn of(organization: &str, name: &str) -> Who {
        Who { organization: Some(organization.into()), ..who(Standing::Member, name) }
    }

    /// How many places somebody gets until none is left.
    fn fill(places: &Arc<Places>, who: &Who) -> Vec<Place> {
        std::iter::from_fn(|| places.take(who, 1).ok()).collect()
    }

    /// 32 anonymous subscriptions of 32 places kept the administrator out.
    #[test]
    fn each_kind_of_caller_has_its_part_and_administrators_are_never_kept_out() {
        let places = Places::new("subscriptions", Kind::TooManySubscriptions, 32);
        let strangers: Vec<Who> = (0..9).map(|n| who(Standing::Anonymous, &format!("192.0.2.{n}"))).collect();
        let members: Vec<Who> = (0..9).map(|n| who(Standing::Member, &format!("member {n}"))).collect();
        let all: Vec<Vec<Place>> = strangers.iter().map(|who| fill(&places, who)).collect();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 0, 0, 0, 0, 0, 0, 0]);
        let held: Vec<Vec<Place>> = members.iter().map(|who| fill(&places, who)).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [8, 6, 0, 0, 0, 0, 0, 0, 0]);
        let admin = fill(&places, &who(Standing::Administrator, "admin"));
        assert_eq!(admin.len(), 2);
        assert_eq!(Standing::ALL.map(|standing| places.taken(standing)), [16, 14, 2]);
        assert_eq!(Standing::ALL.map(|standing| places.refused(standing)), [9, 9, 1]);
        drop((all, held, admin));
        assert!(places.lock().by_name.is_empty() && places.lock().all() == 0);
        assert_eq!(fill(&places, &who(Standing::Administrator, "admin")).len(), 32);
    }

    /// Four certificates of one organization took all places that members have.
    #[test]
    fn an_organization_takes_no_more_places_than_it_leaves_for_others() {
        let places = Places::new("connections", Kind::NoPlace, 64);
        let fill_all = |organization: &str| -> Vec<Vec<Place>> {
            (0..6).map(|number| fill(&places, &of(organization, &format!("{organization} {number}")))).collect()
        };
        let count = |held: &[Vec<Place>]| held.iter().map(Vec::len).collect::<Vec<_>>();
        let dealers = fill_all("dealer");
        assert_eq!(count(&dealers), [16, 14, 0, 0, 0, 0]);
        let carriers = fill_all("carrier");
        assert_eq!(count(&carriers), [15, 0, 0, 0, 0, 0]);
        assert_eq!(places.take(&of("carrier", "another"), 1).unwrap_err().why, Why::Organization);
        let third = fill_all("third");
        assert_eq!(count(&third), [7, 0, 0, 0, 0, 0]);
        assert!(places.take(&of("fourth", "a"), 1).is_ok(), "there is always one for another organization");
        let admin = fill(&places, &who(Standing::Administrator, "admin"));
        assert_eq!(admin.len(), 64 - 30 - 15 - 7);
        drop((dealers, carriers, third, admin));
        assert!(places.lock().by_organization.is_empty());
        let strangers: Vec<_> =
            (0..9).map(|n| fill(&places, &who(Standing::Anonymous, &format!("192.0.2.{n}")))).collect();
        assert_eq!(strangers.iter().map(Vec::len).sum::<usize>(), 32);
        assert_eq!(count(&fill_all("dealer")).iter().sum::<usize>(), 14, "half of what strangers leave");
    }

    #[test]
    fn a_place_may_be_many_and_grow_and_whoever_has_nothing_may_have_one_large_thing() {
        let places = Places::new("bytes", Kind::NoPlace, 1000);
        let [one, other] = ["a", "b"].map(|name| who(Standing::Member, name));
        let mut place = places.take(&one, 100).unwrap();
        assert_eq!((place.grow(150), place.count()), (Ok(()), 250));
        let full = place.grow(1).unwrap_err();
        assert_eq!((full.why, full.most, place.count()), (Why::Identity, 250, 250));
        let large = places.take(&other, 600).unwrap();
        assert_eq!(places.take(&other, 1).unwrap_err().why, Why::Identity);
        assert_eq!(places.take(&who(Standing::Member, "c"), 300).unwrap_err().why, Why::All);
        drop((place, large));
        assert_eq!(places.taken(Standing::Member), 0);
    }

    #[test]
    fn few_places_are_there_for_everybody() {
        for (total, stranger, member, admin) in [(1, 1, 1, 1), (2, 1, 1, 2), (4, 1, 1, 4), (8, 2, 2, 8)] {
            let got = Standing::ALL.map(|standing| {
                let places = Places::new("connections", Kind::NoPlace, total);
                fill(&places, &who(standing, "x")).len()
            });
            assert_eq!(got, [stranger, member, admin], "{total}");
        }
    }

    #[test]
    fn a_refusal_says_what_there_is_none_of_and_when_to_ask_again() {
        let places = Places::new("subscriptions", Kind::TooManySubscriptions, 4);
        let stranger = who(Standing::Anonymous, "192.0.2.1");
        let _one = places.take(&stranger, 1).unwrap();
        let refusal = ApiError::from(places.take(&stranger, 1).unwrap_err());
        assert_eq!((refusal.name(), refusal.retry_hint_ms()), ("too-many-subscriptions", Some(RETRY_AFTER_MS)));
        assert_eq!(refusal.detail(), "subscriptions: one address without a certificate has 1 at most");
    }
}
