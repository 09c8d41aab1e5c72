//! How transactions come to a channel: with credits, or not at all, and to its machine.
//!
//! What is posted alone waits until its thread has looked for further requests once ([`ChannelHandle::submit_with_others`]):
//! what has come by then to the same channel goes to the machine together, as one submission. Each alone would wake a thread
//! for itself, and the first would be verified by itself.
//!
//! Always: what has its credits comes to the machine, or its waiters are told; also where whoever posted it goes away.

use crate::block::refusal::SubmitRefusal;
use crate::channel::actor::Submit;
use crate::channel::handle::ChannelHandle;
use crate::channel::slot::Passed;
use crate::pipeline::answer::Wait;
use crate::pipeline::batcher::Submitted;
use crate::pipeline::inbox::Inbox;
use crate::pipeline::submission::{Submission, Waiter, submission, waiters};
use crate::runtime::life::LifeCycle;
use actix::dev::SendError;
use ledger_classes::formats::transaction::{Envelope, SignedBy};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::yield_now;

/// What an envelope takes of the bytes in flight.
fn size(envelope: &Envelope) -> u32 {
    let signatures = envelope.signatures.len().saturating_mul(size_of::<SignedBy>());
    u32::try_from(envelope.payload.len().saturating_add(signatures)).unwrap_or(u32::MAX)
}

thread_local! {
    /// What waits to be passed on together with others, by channel. Credits bound it.
    static GATHERED: RefCell<Vec<(ChannelHandle, Vec<Submitted>)>> = const { RefCell::new(Vec::new()) };
}

/// The duty to pass on what a thread has gathered for a channel: done when it is dropped, on that thread.
struct Gathers(ChannelHandle, PhantomData<Rc<()>>);

impl Gathers {
    /// Adds what is posted. None, where somebody has the duty already.
    fn add(channel: &ChannelHandle, arrivals: Vec<Submitted>) -> Option<Self> {
        GATHERED.with_borrow_mut(|gathered| {
            match gathered.iter_mut().find(|(known, _)| Arc::ptr_eq(&known.0, &channel.0)) {
                Some((_, others)) => {
                    others.extend(arrivals);
                    None
                }
                None => {
                    gathered.push((channel.clone(), arrivals));
                    Some(Self(channel.clone(), PhantomData))
                }
            }
        })
    }
}

impl Drop for Gathers {
    fn drop(&mut self) {
        // A thread that ends drops what its tasks hold when what it has gathered is gone: whoever waits is told so.
        let found = GATHERED.try_with(|gathered| {
            let mut gathered = gathered.borrow_mut();
            let place = gathered.iter().position(|(known, _)| Arc::ptr_eq(&known.0, &self.0.0))?;
            Some(gathered.swap_remove(place))
        });
        if let Ok(Some((channel, arrivals))) = found {
            // Whoever waits was told with the refusal.
            let _ = channel.pass_on(arrivals);
        }
    }
}

impl ChannelHandle {
    /// Posts transactions. They go their way whether or not the answer is awaited.
    ///
    /// # Errors
    /// The channel takes nothing now: it is full, or not serving. Nothing was taken then.
    pub fn submit(&self, envelopes: Vec<Envelope>, wait: Wait) -> Result<Submission, SubmitRefusal> {
        let (submission, waiters) = submission(envelopes.len(), wait);
        self.post(envelopes.into_iter().zip(waiters).collect()).map(|()| submission)
    }

    /// [`Self::submit`], for what is too little to wake a thread for: with what others on this thread post meanwhile.
    ///
    /// # Errors
    /// As those of [`Self::submit`].
    pub async fn submit_with_others(&self, envelopes: Vec<Envelope>, wait: Wait) -> Result<Submission, SubmitRefusal> {
        let (submission, waiters) = submission(envelopes.len(), wait);
        let arrivals = self.admit(envelopes.into_iter().zip(waiters).collect())?;
        if let Some(gathers) = Gathers::add(self, arrivals) {
            // All that has come to this thread has its turn, and the thread looks for more.
            yield_now().await;
            drop(gathers);
        }
        Ok(submission)
    }

    /// Posts transactions that have nothing to do with each other: each is taken if there is room for it, and its commit or
    /// refusal is told to an inbox under its number.
    pub fn submit_each(&self, envelopes: Vec<(usize, Envelope)>, inbox: &Inbox) {
        let told = waiters(inbox, envelopes.iter().map(|(number, _)| *number));
        if let Some(refusal) = self.refuses(envelopes.len()) {
            refuse(told.into_iter(), refusal);
            return;
        }
        let credits = self.0.credits.take_each(self.1, envelopes.iter().map(|(_, envelope)| size(envelope)));
        let (arrived, mut arrivals, mut busy) = (Instant::now(), Vec::with_capacity(envelopes.len()), Vec::new());
        for (((_, envelope), waiter), credit) in envelopes.into_iter().zip(told).zip(credits) {
            match credit {
                Some(credit) => arrivals.push(Submitted::new(envelope, self.1, waiter, credit, arrived)),
                None => busy.push(waiter),
            }
        }
        if !busy.is_empty() {
            let refusal = self.busy(busy.len());
            refuse(busy.into_iter(), refusal);
        }
        if !arrivals.is_empty() {
            // Whoever waits was told with the refusal.
            let _ = self.pass_on(arrivals);
        }
    }

    /// All or none goes on; who is refused is told so.
    fn post(&self, envelopes: Vec<(Envelope, Waiter)>) -> Result<(), SubmitRefusal> {
        self.admit(envelopes).and_then(|arrivals| self.pass_on(arrivals))
    }

    /// Why the channel takes nothing now, whatever it is and however little.
    fn refuses(&self, count: usize) -> Option<SubmitRefusal> {
        if self.0.known.get().is_none() || self.state() != LifeCycle::Serving {
            return Some(SubmitRefusal::Stopped { reason: self.stopped() });
        }
        let trouble = self.0.disk.trouble()?;
        self.0.metrics.refused("disk", count as u64);
        Some(SubmitRefusal::Disk(trouble))
    }

    /// Gives all of them their credits, or none; who is refused is told so.
    fn admit(&self, envelopes: Vec<(Envelope, Waiter)>) -> Result<Vec<Submitted>, SubmitRefusal> {
        let sizes = envelopes.iter().map(|(envelope, _)| size(envelope));
        let taken = match self.refuses(envelopes.len()) {
            Some(refusal) => Err(refusal),
            None => self.0.credits.take(self.1, sizes).ok_or_else(|| self.busy(envelopes.len())),
        };
        match taken {
            Ok(credits) => {
                let arrived = Instant::now();
                let arrival = |((envelope, waiter), credit)| Submitted::new(envelope, self.1, waiter, credit, arrived);
                Ok(envelopes.into_iter().zip(credits).map(arrival).collect())
            }
            Err(refusal) => Err(refuse(envelopes.into_iter().map(|(_, waiter)| waiter), refusal)),
        }
    }

    /// The refusal of so many for which there is no room.
    fn busy(&self, count: usize) -> SubmitRefusal {
        self.0.metrics.refused("busy", count as u64);
        SubmitRefusal::BUSY
    }

    /// To the machine, or to where it is waited for.
    fn pass_on(&self, arrivals: Vec<Submitted>) -> Result<(), SubmitRefusal> {
        let (refusal, arrivals) = match self.0.slot.submit(Submit(arrivals)) {
            Ok(Passed::Done) => return Ok(()),
            Ok(Passed::Resume) => {
                self.resume();
                return Ok(());
            }
            Ok(Passed::Turn(turn)) => {
                turn.take_one();
                return Ok(());
            }
            Err(SendError::Full(Submit(arrivals))) => (self.busy(arrivals.len()), arrivals),
            Err(SendError::Closed(Submit(arrivals))) => (SubmitRefusal::Stopped { reason: self.stopped() }, arrivals),
        };
        Err(refuse(arrivals.into_iter().map(|arrival| arrival.waiter), refusal))
    }
}

/// Tells those who wait.
fn refuse(waiters: impl Iterator<Item = Waiter>, refusal: SubmitRefusal) -> SubmitRefusal {
    waiters.for_each(|waiter| waiter.refuse(None, refusal.clone()));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::envelope;
    use ledger_classes::primitives::hash::Hash;

    #[test]
    fn signatures_count_as_bytes_in_flight() {
        let mut many = envelope(Hash::ZERO, 1, 1);
        let before = size(&many);
        assert!(before as usize > many.payload.len());
        many.signatures = vec![many.signatures[0].clone(); 100];
        assert!(size(&many) > before + 99 * 64);
    }
}
