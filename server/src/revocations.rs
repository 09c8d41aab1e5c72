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
//! [`crate::trust`]). Whom that CA's CRL names without an answer is told of ([`elsewhere`]), and refused at this peer's
//! door if it comes ([`channel_actors::Door`]).
//! Nothing is posted that the channel's rules refuse: the evidence is judged here first as execution would, and what
//! execution refused all the same is final until the channel has another configuration. Both are told of
//! ([`crate::duties`]).

mod course;
mod elsewhere;
mod posting;
mod source;

use crate::{
    certificates::describe,
    duties::{Duties, Duty, Pause},
    limits::{REVOCATION_LOOK, REVOCATION_RETRY, REVOCATION_RETRY_MAX, REVOCATIONS_UNDER_WAY_MAX},
    trust::Trust,
};
use ca::{KeyId, folder::FolderError};
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle, tasks::blocking};
use course::{Course, Outcome};
use elsewhere::Elsewhere;
use futures_util::{FutureExt as _, StreamExt as _, future::OptionFuture, stream::FuturesUnordered};
use ledger_classes::{hash::Hash, keys::SigningKey};
use posting::{Poster, Stepped};
use source::Source;
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What is proven, and by whom: for who looks at CRLs.
#[derive(Clone, Debug, Default)]
struct Proven {
    /// Keys of the CAs whose folder is here.
    own: HashSet<KeyId>,
    /// What has an answer, as it is named.
    names: HashSet<Arc<str>>,
}

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
    let spreader = Spreader { trust, registry, duties, poster, tells, courses: HashMap::new(), under_way: 0, pause };
    // A look at the participants of one channel waits for that channel: no revocation waits for it.
    tokio::join!(spreader.run(), elsewhere.keep(told)).0
}

type Steps = FuturesUnordered<Pin<Box<dyn Future<Output = Stepped>>>>;
type Reading = Pin<Box<dyn Future<Output = Result<Source, FolderError>>>>;

struct Spreader {
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    duties: Arc<Duties>,
    poster: Poster,
    tells: watch::Sender<Arc<Proven>>,
    courses: HashMap<Hash, Course>,
    /// Revocations in steps that are under way.
    under_way: usize,
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
        loop {
            let now = Instant::now();
            let changed = *changes.borrow_and_update();
            // What could not be read is read after a pause, and so are answers that are still being written.
            let again = (begun.is_none() || source.is_incomplete()) && self.pause.is_over(now);
            if reading.is_none() && (begun.is_some_and(|begun| begun != changed) || again) {
                begun = Some(changed);
                reading = Some(self.read(&source));
            }
            let channels = self.look(&source, &mut steps);
            let settled = self.courses.values().all(|course| course.has_all(&source, now));
            if let Some(read) = read.filter(|_| settled && reading.is_none()) {
                self.trust.has_spread(read);
            }
            let pause = self.wait(now);
            tokio::select! {
                // The sender lives in the trust.
                _ = changes.changed() => {}
                // And this one in the registry.
                _ = made.changed() => {}
                Some(done) = OptionFuture::from(reading.as_mut()) => {
                    (reading, read) = (None, begun);
                    match done {
                        Ok(next) => source = self.take_up(next),
                        Err(error) => {
                            self.pause.lengthen(Instant::now());
                            begun = None;
                            tracing::error!(error = describe(&error), "revocations cannot be read");
                        }
                    }
                }
                Some(stepped) = steps.next(), if !steps.is_empty() => {
                    self.stepped(stepped, &source, &channels);
                    // Those that are done at the same instant, before the channels are looked at again.
                    while let Some(Some(stepped)) = steps.next().now_or_never() {
                        self.stepped(stepped, &source, &channels);
                    }
                }
                () = tokio::time::sleep_until((now + pause).into()) => {}
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
        let wakes = self.courses.values().filter_map(|course| course.wakes(now)).min();
        let due = wakes.map_or(REVOCATION_LOOK, |at| at.saturating_duration_since(now));
        due.min(self.pause.remains(now).unwrap_or(REVOCATION_LOOK)).min(REVOCATION_LOOK)
    }

    /// Begins a step of every channel that has something to do. Returns the channels' names.
    fn look(&mut self, source: &Arc<Source>, steps: &mut Steps) -> HashMap<Hash, ChannelHandle> {
        let channels = self.registry.list();
        let known = channels.into_iter().filter_map(|channel| Some((channel.id()?, channel)));
        let channels: HashMap<Hash, ChannelHandle> = known.collect();
        self.courses.retain(|id, _| channels.contains_key(id));
        let now = Instant::now();
        for (id, channel) in &channels {
            let (Some(config), LifeCycle::Serving) = (channel.config(), channel.state()) else { continue };
            let course = self.courses.entry(*id).or_default();
            course.configure(config.height, &config.config);
            let room = REVOCATIONS_UNDER_WAY_MAX.saturating_sub(self.under_way);
            let batch = course.take(source, room, now);
            if !batch.is_empty() {
                self.under_way += batch.len();
                steps.push(self.poster.step(channel.clone(), *id, config, batch).boxed_local());
            }
        }
        channels
    }

    /// Notes what became of a step.
    fn stepped(&mut self, stepped: Stepped, source: &Source, channels: &HashMap<Hash, ChannelHandle>) {
        let Stepped { channel: id, outcomes } = stepped;
        self.under_way -= outcomes.len();
        let (Some(course), Some(handle)) = (self.courses.get_mut(&id), channels.get(&id)) else { return };
        let (channel, now) = (handle.name(), Instant::now());
        let mut waits = false;
        for (number, revoked, outcome) in outcomes {
            let certificate = &*revoked.name;
            let hindered = |reason: &str| self.duties.hinder(channel, Duty::Revocation, certificate, reason);
            match &outcome {
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
        self.duties.wait_for(channel, Duty::Revocation, course.waiting(source));
    }
}
