//! How far a channel has come with what is revoked. A pure core: what is to be posted next, and what became of it.

use super::source::{Revoked, Source};
use crate::{
    certificates::authority_keys::key_of,
    duties::Pause,
    limits::{
        DUTY_RETRY_MAX, REVOCATION_RETRY, REVOCATION_RETRY_MAX, REVOCATIONS_LOOKED_UP_MAX, REVOCATIONS_POSTED_MAX,
    },
};
use ledger_classes::formats::config::ChannelConfig;
use pki::KeyId;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// The keys of the CAs that a channel lists, by organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed(HashMap<String, HashSet<KeyId>>);

impl Listed {
    pub(super) fn of(config: &ChannelConfig) -> Self {
        let keys = |ders: &[ledger_classes::primitives::hash::HexBytes]| {
            ders.iter().filter_map(|der| key_of(&der.0)).collect()
        };
        Self(config.organizations.iter().map(|member| (member.name.clone(), keys(&member.authorities))).collect())
    }

    /// Whether the channel lists a CA that may vouch for this revocation. Only the organization's own CAs speak of it.
    pub(super) fn concerns(&self, revoked: &Revoked) -> bool {
        self.lists(&revoked.organization, &revoked.vouching)
    }

    fn lists(&self, organization: &str, vouching: &[KeyId]) -> bool {
        let keys = self.0.get(organization);
        keys.is_some_and(|keys| vouching.iter().any(|key| keys.contains(key)))
    }

    /// Whether it lists a CA that `before` did not.
    fn adds_to(&self, before: &Self) -> bool {
        let known = |name: &String, key: &KeyId| before.0.get(name).is_some_and(|keys| keys.contains(key));
        self.0.iter().any(|(name, keys)| keys.iter().any(|key| !known(name, key)))
    }
}

/// Revocations with their numbers.
pub(super) type Batch = Vec<(u64, Arc<Revoked>)>;

/// What a channel does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is asked which of these are of certificates that it has met: those go before all others.
    Look(Batch),
    /// It is asked which of these it knows, and the others are posted.
    Post(Batch),
}

/// What became of a revocation on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The channel has met the certificate, and does not know yet.
    Met,
    /// The channel knows.
    Done,
    /// No, before anything was posted.
    Judged(String),
    /// No, in a block.
    Refused(String),
    /// Its CA's answer is not here yet.
    Unproven(String),
    /// Not now.
    Waits(String),
}

/// A revocation that the channel has not taken.
#[derive(Debug)]
enum Left {
    /// It goes with the next step.
    Open,
    /// Judged before anything was posted: again after a pause, or under another configuration.
    Judged(Pause),
    /// It goes once its answer is here. Others do not wait for it.
    Unproven,
    /// Refused in a block: only under another configuration.
    Refused,
}

/// A channel's course.
#[derive(Debug)]
pub(super) struct Course {
    /// Everything below was taken up.
    next: u64,
    /// Everything below was taken up, or the channel was asked whether it has met it.
    looked: u64,
    /// What was taken up and is not done.
    left: BTreeMap<u64, Left>,
    listed: Listed,
    /// The block that set the configuration.
    config: Option<u64>,
    /// It took nothing.
    pause: Pause,
    slow: bool,
    /// How many wait, as was told last.
    told: u64,
    /// A step is under way.
    pub(super) under_way: bool,
}

impl Default for Course {
    fn default() -> Self {
        let pause = Pause::new(REVOCATION_RETRY, REVOCATION_RETRY_MAX);
        Self {
            next: 0,
            looked: 0,
            left: BTreeMap::new(),
            listed: Listed::default(),
            config: None,
            pause,
            slow: false,
            told: 0,
            under_way: false,
        }
    }
}

impl Course {
    /// The channel's configuration. Under another one what was refused may be taken; where it lists a CA that it did not,
    /// everything is looked at again.
    pub(super) fn configure(&mut self, height: u64, config: &ChannelConfig) {
        if self.config == Some(height) {
            return;
        }
        let listed = Listed::of(config);
        if listed.adds_to(&self.listed) {
            (self.next, self.looked) = (0, 0);
        }
        self.left.values_mut().for_each(|left| *left = Left::Open);
        (self.config, self.listed) = (Some(height), listed);
        self.pause.end();
    }

    /// What is done next, of at most `room` revocations. Whatever becomes of the step, none of them is forgotten.
    pub(super) fn take(&mut self, source: &Source, room: usize, now: Instant) -> Option<Step> {
        if self.under_way || room == 0 || !self.pause.is_over(now) {
            return None;
        }
        // Who was slow gets one at a time: others need the room.
        let room = room.min(if self.slow { 1 } else { REVOCATIONS_POSTED_MAX });
        let open = |number: u64, left: &Left| match left {
            Left::Open => true,
            Left::Unproven => source.get(number).is_some_and(|revoked| revoked.evidence.is_ok()),
            Left::Judged(pause) => pause.is_over(now),
            Left::Refused => false,
        };
        let listed = &self.listed;
        // What has expired, or is not the channel's any more, is nothing to it.
        self.left.retain(|number, _| source.get(*number).is_some_and(|revoked| listed.concerns(revoked)));
        let again =
            self.left.iter().filter(|(number, left)| open(**number, left)).map(|(number, _)| *number).take(room);
        let mut numbers: Vec<u64> = again.collect();
        if numbers.is_empty()
            && let Some(batch) = self.look(source)
        {
            self.under_way = true;
            return Some(Step::Look(batch));
        }
        for (number, revoked) in source.from(self.next) {
            if numbers.len() >= room {
                break;
            }
            self.next = number + 1;
            if self.listed.concerns(revoked) && !self.left.contains_key(&number) {
                self.left.insert(number, Left::Open);
                numbers.push(number);
            }
        }
        self.under_way = !numbers.is_empty();
        let batch = numbers.into_iter().filter_map(|number| Some((number, Arc::clone(source.get(number)?)))).collect();
        self.under_way.then_some(Step::Post(batch))
    }

    /// Of more than fit into one step the channel is asked first which it has met: who is admitted to it must not stay
    /// for as long as it takes to tell of thousands who never came.
    fn look(&mut self, source: &Source) -> Option<Batch> {
        let from = self.looked.max(self.next);
        let concerned = source.from(from).filter(|(_, revoked)| self.listed.concerns(revoked));
        let batch: Batch =
            concerned.map(|(number, it)| (number, Arc::clone(it))).take(REVOCATIONS_LOOKED_UP_MAX).collect();
        let ahead = source.ahead(self.next, |organization, vouching| self.listed.lists(organization, vouching));
        let Some((last, _)) = batch.last() else {
            // None of what is left concerns it.
            self.looked = source.end();
            return None;
        };
        if ahead <= REVOCATIONS_POSTED_MAX {
            return None;
        }
        self.looked = last + 1;
        Some(batch)
    }

    /// Whether it has few left, or may have met some of them.
    pub(super) fn is_urgent(&self, source: &Source) -> bool {
        let ahead = source.ahead(self.next, |organization, vouching| self.listed.lists(organization, vouching));
        let open = self.left.values().any(|left| matches!(left, Left::Open));
        ahead <= REVOCATIONS_POSTED_MAX || self.looked.max(self.next) < source.end() || open
    }

    /// The channel could not be asked what it has met, from this number on.
    pub(super) fn look_again(&mut self, from: u64) {
        self.looked = self.looked.min(from);
    }

    /// What became of one of them.
    pub(super) fn became(&mut self, number: u64, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Done => drop(self.left.remove(&number)),
            Outcome::Met | Outcome::Waits(_) => drop(self.left.insert(number, Left::Open)),
            Outcome::Unproven(_) => drop(self.left.insert(number, Left::Unproven)),
            Outcome::Refused(_) => drop(self.left.insert(number, Left::Refused)),
            Outcome::Judged(_) => {
                let mut pause = match self.left.remove(&number) {
                    Some(Left::Judged(pause)) => pause,
                    _ => Pause::new(REVOCATION_RETRY, DUTY_RETRY_MAX),
                };
                pause.lengthen(now);
                self.left.insert(number, Left::Judged(pause));
            }
        }
    }

    /// A step has ended; `waits` if the channel took something not now.
    pub(super) fn stepped(&mut self, waits: bool, now: Instant) {
        (self.under_way, self.slow) = (false, waits);
        if waits { self.pause.lengthen(now) } else { self.pause.end() }
    }

    /// When there is something to do again, if nothing changes.
    pub(super) fn wakes(&self, now: Instant) -> Option<Instant> {
        let judged = self.left.values().filter_map(|left| match left {
            Left::Judged(pause) => pause.remains(now),
            Left::Open | Left::Unproven | Left::Refused => None,
        });
        let open = self.left.values().any(|left| matches!(left, Left::Open));
        let paused = self.pause.remains(now).filter(|_| open);
        judged.chain(paused).min().map(|remains| now + remains)
    }

    /// Whether it has all, or is told why not.
    pub(super) fn has_all(&self, source: &Source, now: Instant) -> bool {
        let open = self.left.values().any(|left| matches!(left, Left::Open));
        let told = !self.pause.is_over(now);
        !self.under_way && (told || (self.next >= source.end() && !open))
    }

    /// How many it has not taken, at most.
    pub(super) fn waiting(&self, source: &Source) -> u64 {
        let ahead = source.ahead(self.next, |organization, vouching| self.listed.lists(organization, vouching));
        // What is left of those that are still ahead is met, and among them.
        (self.left.range(..self.next).count() + ahead) as u64
    }

    /// The same, if it is not what was told last.
    pub(super) fn tell(&mut self, source: &Source) -> Option<u64> {
        let waiting = self.waiting(source);
        (std::mem::replace(&mut self.told, waiting) != waiting).then_some(waiting)
    }
}

#[cfg(test)]
mod tests;
