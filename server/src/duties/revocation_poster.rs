//! A revocation at a CA ends the participation on every channel that lists the CA, whether or not the channel has met the
//! certificate: the peer posts the CA's signed answer there, which tells a serial number and nobody's name, and execution
//! decides by that answer alone. So who comes later with that certificate is refused by the ledger itself.
//!
//! What is revoked is numbered ([`source`]), and each channel has a course through the numbers ([`course`]). Each step of
//! a channel is a future of its own, so that one that is slow, full or halted delays no other's; a new revocation starts
//! at once, told by whoever changed trust, and a channel that has all of them costs nothing until there is another.
//! The ledger says for ever what was revoked: a restart asks each channel once, and another peer that posts the same and an
//! answer that was lost on the way do no harm, since a second one is refused at the door and leaves nothing.
//!
//! Of a CA whose folder is elsewhere this peer has the answers that were brought (`chancery ca publish`,
//! [`crate::identity::trust`]). Whom that CA's CRL names without an answer is told of ([`elsewhere`]), and refused at
//! this peer's door if it comes ([`channel_actors::Door`]). Nothing is posted that the channel's rules refuse: the
//! evidence is judged here first as execution would, and what execution refused all the same is final until the channel
//! has another configuration. Both are told of ([`crate::duties`]).

mod course;
mod elsewhere;
mod posting;
mod source;

use crate::{
    duties::{Duties, Duty, Pause},
    identity::trust::Trust,
    limits::{
        REVOCATION_LOOK, REVOCATION_RETRY, REVOCATION_RETRY_MAX, REVOCATION_STEP, REVOCATIONS_AT_ONCE_MAX,
        REVOCATIONS_UNDER_WAY_MAX,
    },
};
use ca::office::error::FolderError;
use channel_actors::runtime::tasks::blocking;
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle};
use course::{Course, Outcome, Step};
use elsewhere::Elsewhere;
use futures_util::{FutureExt as _, StreamExt as _, future::OptionFuture, stream::FuturesUnordered};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use posting::{Poster, Stepped};
use source::{Proven, Source};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Posts revocations until the peer stops.
pub(crate) async fn spread(
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    key: Arc<SigningKey>,
    duties: Arc<Duties>,
) -> Infallible {
    let (tells, told) = watch::channel(Arc::new(Proven::default()));
    let elsewhere = Elsewhere::new(Arc::clone(&trust), Arc::clone(&registry), Arc::clone(&duties));
    let pause = Pause::new(REVOCATION_RETRY, REVOCATION_RETRY_MAX);
    let poster = Poster::new(key);
    let spreader = Spreader {
        trust,
        registry,
        duties,
        poster,
        tells,
        channels: HashMap::new(),
        courses: HashMap::new(),
        wakes: HashMap::new(),
        crowded: VecDeque::new(),
        under_way: 0,
        quick: HashMap::new(),
        pause,
    };
    // A look at the participants of one channel waits for that channel: no revocation waits for it.
    tokio::join!(spreader.run(), elsewhere.keep(told)).0
}

/// Steps, and of how many revocations each is.
type Steps = FuturesUnordered<Pin<Box<dyn Future<Output = (usize, Stepped)>>>>;
type Reading = Pin<Box<dyn Future<Output = Result<Source, FolderError>>>>;

struct Spreader {
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    duties: Arc<Duties>,
    poster: Poster,
    tells: watch::Sender<Arc<Proven>>,
    channels: HashMap<Hash, ChannelHandle>,
    courses: HashMap<Hash, Course>,
    /// When a channel has something to do again, of those that wait for a time.
    wakes: HashMap<Hash, Instant>,
    /// Channels for which there was no room, in their order.
    crowded: VecDeque<Hash>,
    /// Revocations in steps that are under way.
    under_way: usize,
    /// Of these those of channels that are not slow: when their step began, and how many.
    quick: HashMap<Hash, (Instant, usize)>,
    /// Until what lacks an answer, or could not be read, is read again.
    pause: Pause,
}

impl Spreader {
    async fn run(mut self) -> Infallible {
        let (mut changes, mut made) = (self.trust.subscribe(), self.registry.follow_made());
        let mut source = Arc::new(Source::default());
        let (mut steps, mut reading): (Steps, Option<Reading>) = (FuturesUnordered::new(), None);
        // The change that is being read, and the one that was.
        let (mut begun, mut read) = (None::<u64>, None::<u64>);
        // Whether all channels are to be looked at: after a step only those are that it may have made a difference for.
        let mut all = true;
        loop {
            let now = Instant::now();
            let changed = *changes.borrow_and_update();
            // What could not be read is read after a pause, and so are answers that are still being written.
            let again = (begun.is_none() || source.is_incomplete()) && self.pause.is_over(now);
            if reading.is_none() && (begun.is_some_and(|begun| begun != changed) || again) {
                begun = Some(changed);
                reading = Some(self.read(&source));
            }
            if std::mem::take(&mut all) {
                self.look_at_all(&source, &mut steps);
            }
            if let Some(read) = read.filter(|_| reading.is_none()) {
                self.trust.has_noted(read);
            }
            let pause = self.wait(now);
            tokio::select! {
                // The sender lives in the trust.
                _ = changes.changed() => all = true,
                // And this one in the registry.
                _ = made.changed() => all = true,
                Some(done) = OptionFuture::from(reading.as_mut()) => {
                    (reading, read, all) = (None, begun, true);
                    match done {
                        Ok(next) => source = self.take_up(next),
                        Err(error) => {
                            self.pause.lengthen(Instant::now());
                            begun = None;
                            tracing::error!(error = in_one_line(&error), "revocations cannot be read");
                        }
                    }
                }
                Some(stepped) = steps.next(), if !steps.is_empty() => {
                    let mut at = vec![self.stepped(stepped)];
                    // Those that are done at the same instant, before their channels are looked at again.
                    while let Some(Some(stepped)) = steps.next().now_or_never() {
                        at.push(self.stepped(stepped));
                    }
                    self.look_on(at, &source, &mut steps);
                }
                () = tokio::time::sleep_until((now + pause).into()) => all = true,
            }
        }
    }

    fn read(&self, source: &Source) -> Reading {
        let (trust, source) = (Arc::clone(&self.trust), source.clone());
        blocking(move || source.read(&trust)).boxed_local()
    }

    fn take_up(&mut self, source: Source) -> Arc<Source> {
        match source.is_incomplete() {
            true => self.pause.lengthen(Instant::now()),
            false => self.pause.end(),
        }
        self.tells.send_replace(Arc::new(Proven { own: source.own.clone(), names: source.proven() }));
        Arc::new(source)
    }

    /// How long until something is due, if nothing changes.
    fn wait(&self, now: Instant) -> Duration {
        let due = self.wakes.values().min().map_or(REVOCATION_LOOK, |at| at.saturating_duration_since(now));
        // Until one of those that others wait for is slow.
        let begun = self.quick.values().map(|(begun, _)| *begun).min().filter(|_| !self.crowded.is_empty());
        let slow = begun.map_or(due, |begun| (begun + REVOCATION_STEP).saturating_duration_since(now));
        due.min(slow).min(self.pause.remains(now).unwrap_or(REVOCATION_LOOK)).min(REVOCATION_LOOK)
    }

    /// Begins a step of every channel that has something to do.
    fn look_at_all(&mut self, source: &Arc<Source>, steps: &mut Steps) {
        let channels = self.registry.list();
        let known = channels.into_iter().filter_map(|channel| Some((channel.id()?, channel)));
        self.channels = known.collect();
        let there = |id: &Hash| self.channels.contains_key(id);
        self.courses.retain(|id, _| there(id));
        self.wakes.retain(|id, _| there(id));
        // Those without room keep their order.
        let crowded = std::mem::take(&mut self.crowded);
        let first: HashSet<Hash> = crowded.iter().copied().collect();
        let others: Vec<Hash> = self.channels.keys().filter(|id| !first.contains(*id)).copied().collect();
        crowded.into_iter().chain(others).for_each(|id| self.look_at(id, source, steps));
    }

    /// Looks at the channels that have ended a step, and at those that found no room. Who has few left, or may have met some,
    /// comes first. Of the others whoever has begun goes on to its end: each is awake, with its files in memory, for a short
    /// time, and not all of them for the whole time.
    fn look_on(&mut self, at: Vec<Hash>, source: &Arc<Source>, steps: &mut Steps) {
        let is_urgent = |id: &Hash| self.courses.get(id).is_some_and(|course| course.is_urgent(source));
        let crowded = std::mem::take(&mut self.crowded);
        let (urgent, others): (Vec<Hash>, Vec<Hash>) = crowded.into_iter().partition(is_urgent);
        let (first, then): (Vec<Hash>, Vec<Hash>) = at.into_iter().partition(is_urgent);
        for id in [urgent, first, then, others].concat() {
            self.look_at(id, source, steps);
        }
    }

    /// Begins a step of a channel, if it has something to do and there is room.
    fn look_at(&mut self, id: Hash, source: &Arc<Source>, steps: &mut Steps) {
        let Some(channel) = self.channels.get(&id) else { return };
        let (Some(config), LifeCycle::Serving) = (channel.config(), channel.state()) else { return };
        let (course, now) = (self.courses.entry(id).or_default(), Instant::now());
        course.configure(config.height, &config.config);
        self.quick.retain(|_, (begun, _)| now.duration_since(*begun) < REVOCATION_STEP);
        let quick: usize = self.quick.values().map(|(_, count)| count).sum();
        let room = REVOCATIONS_UNDER_WAY_MAX.saturating_sub(self.under_way);
        let room = room.min(REVOCATIONS_AT_ONCE_MAX.saturating_sub(quick));
        let step = course.take(source, room, now);
        let told = course.tell(source);
        let has_all = course.has_all(source, now);
        match course.wakes(now) {
            Some(at) => drop(self.wakes.insert(id, at)),
            None => drop(self.wakes.remove(&id)),
        }
        if room == 0 && !has_all && !course.under_way {
            self.crowded.push_back(id);
        }
        if let Some(waiting) = told {
            self.duties.wait_for(channel.name(), Duty::Revocation, waiting);
        }
        let (step, count) = match step {
            None => return,
            Some(Step::Look(batch)) => (Poster::look(channel.clone(), id, batch).boxed_local(), 1),
            Some(Step::Post(batch)) => {
                let count = batch.len();
                (self.poster.post(channel.clone(), id, config, batch).boxed_local(), count)
            }
        };
        self.under_way += count;
        self.quick.insert(id, (now, count));
        steps.push(step.map(move |stepped| (count, stepped)).boxed_local());
    }

    /// Notes what became of a step. Returns whose it was.
    fn stepped(&mut self, (count, stepped): (usize, Stepped)) -> Hash {
        let Stepped { channel: id, outcomes, unseen } = stepped;
        self.under_way -= count;
        self.quick.remove(&id);
        let (Some(course), Some(handle)) = (self.courses.get_mut(&id), self.channels.get(&id)) else { return id };
        let (channel, now) = (handle.name(), Instant::now());
        let mut waits = unseen.is_some();
        if let Some(unseen) = unseen {
            course.look_again(unseen);
        }
        for (number, revoked, outcome) in outcomes {
            let certificate = &*revoked.name;
            let hindered = |reason: &str| self.duties.hinder(channel, Duty::Revocation, certificate, reason);
            match &outcome {
                Outcome::Met => {}
                Outcome::Done => self.duties.done(channel, Duty::Revocation, certificate),
                Outcome::Judged(reason) => {
                    if hindered(reason) {
                        tracing::error!(channel, certificate, reason, "a revocation is not for the channel");
                    }
                }
                Outcome::Refused(reason) => {
                    hindered(reason);
                    tracing::error!(channel, certificate, reason, "the channel refuses a revocation, for good");
                }
                Outcome::Unproven(reason) | Outcome::Waits(reason) => {
                    waits |= matches!(outcome, Outcome::Waits(_));
                    if hindered(reason) {
                        tracing::warn!(channel, certificate, reason, "a revocation waits");
                    }
                }
            }
            course.became(number, &outcome, now);
        }
        course.stepped(waits, now);
        id
    }
}
