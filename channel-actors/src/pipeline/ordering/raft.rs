//! Raft among the ordering peers of a channel, over the library raft 0.7 (decision 57). Several peers order; a majority of them
//! is enough, and whatever a majority has on its disks is never lost.
//!
//! [`driver`] drives the library; [`guard`] is the one gate to it; [`wire`] and [`records`] are the forms of what is said and
//! kept; [`window`] is the log in memory; [`sealing`] collects signatures; [`founding`] says with which lives of its peers a
//! channel begins. Never here: a panic from what others say or disks hold, a promise before its record, a signature of what is
//! not executed and final, randomness that does not follow from the seed.
//!
//! No product makes this engine yet: a channel of it needs rules that no program knows, a log for its records and a link. It
//! orders the simulator's channels of several peers. What is not here yet stops the channel by name: another set of ordering
//! peers, a state of another peer's, a peer that is behind what the others hold, a peer in a new life.

mod driver;
mod form;
mod founding;
mod guard;
pub(crate) mod records;
mod sealing;
mod window;
pub(crate) mod wire;

use super::{Begin, EngineError, OrderingEffect, OrderingEngine, OrderingInput};
use crate::pipeline::ordering::LifeId;
use driver::Driver;
use founding::Founding;
use ledger_classes::formats::config::{Orderers, OrderingPeer};
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use records::{Memory, Out};
use sealing::Seals;
use std::sync::Arc;
use wire::Said;

/// Decodes what an engine over Raft says to another, and encodes it again: for whoever tries the decoder with bytes of all
/// kinds.
///
/// # Errors
/// It is nothing that one says.
pub fn recode_message(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Said::decode(bytes)?.encode().ok_or_else(|| form::malformed("a message that is not carried"))
}

/// A tick.
const TICK_MS: u64 = 50;
/// Ticks that are made up for at once, after a stop or a clock that was set ahead: more would be an election for nothing.
const TICKS_AT_ONCE_MAX: u64 = 2;
/// Ticks after which what may be lost is asked for again.
const ASK_TICKS: u64 = 20;

/// The engine.
pub(super) struct Raft {
    own: (Address, LifeId),
    key: Arc<SigningKey>,
    orderers: Orderers,
    tip: (u64, Hash),
    random: u64,
    founding: Founding,
    /// What the records hold, until the channel is founded.
    memory: Option<Memory>,
    driver: Option<Driver>,
    clock: Clock,
    out: Out,
    begun: bool,
    halted: bool,
}

/// Ticks by a clock that may be set.
#[derive(Default)]
struct Clock {
    seen: Option<Time>,
    ticks: u64,
}

impl Clock {
    /// How many are due.
    fn due(&mut self, now: Time) -> u64 {
        let seen = *self.seen.get_or_insert(now);
        let due = now.millis_since(seen) / TICK_MS;
        // Set back, or far ahead: what is between is nobody's.
        let strange = now < seen || due > TICKS_AT_ONCE_MAX;
        self.seen = Some(if strange { now } else { seen.plus_millis(due * TICK_MS) });
        if now < seen { 1 } else { due.min(TICKS_AT_ONCE_MAX) }
    }

    /// One passes. Whether it is time to ask.
    fn passes(&mut self) -> bool {
        self.ticks += 1;
        self.ticks.is_multiple_of(ASK_TICKS)
    }
}

impl Raft {
    pub(super) fn new(begin: Begin<'_>) -> Result<Self, EngineError> {
        let Begin { channel, seed, key, orderers, tip, kept } = begin;
        let (life, records) = kept.ok_or(EngineError::NothingKept)?;
        let mut memory = Memory::of(channel, life, &records)?;
        let own = key.public().address();
        let founders = orderers.peers.iter().map(|peer| peer.key.address()).collect();
        let (met, founded) = (std::mem::take(&mut memory.met), memory.founded.take());
        let mut raft = Self {
            own: (own, life),
            key,
            orderers: orderers.clone(),
            tip: (tip.height, tip.hash),
            random: seed,
            founding: Founding::new(own, life, founders, met, founded),
            out: Out::new(life, memory.last, memory.records),
            memory: Some(memory),
            driver: None,
            clock: Clock::default(),
            begun: false,
            halted: false,
        };
        raft.begin()?;
        if raft.driver.is_none() && raft.tip.0 > 0 {
            return Err(EngineError::NoRecords { height: raft.tip.0 });
        }
        Ok(raft)
    }

    /// Begins to order, if the channel is founded.
    fn begin(&mut self) -> Result<(), EngineError> {
        let Some(lives) = self.founding.founded().cloned() else { return Ok(()) };
        let Some(memory) = self.memory.take() else { return Ok(()) };
        if !self.founding.is_whole(&lives) {
            return Err(EngineError::Founders);
        }
        let seals = Seals::new(self.key.clone(), self.orderers.clone(), memory.signed);
        let kept = (memory.window, memory.hard);
        self.driver = Some(Driver::new(kept, &lives, self.own, self.tip, seals, self.random)?);
        Ok(())
    }

    /// Goes on after what may have founded the channel: what the log holds is executed before anything else.
    fn founded(&mut self) {
        if let Err(error) = self.begin() {
            return self.out.halt(error.to_string());
        }
        if let Some(driver) = &mut self.driver {
            driver.drive(&mut self.out);
        }
    }

    fn message(&mut self, from: Address, bytes: &[u8]) {
        let said = match Said::decode(bytes) {
            Ok(said) => said,
            Err(error) => return tracing::debug!(peer = %from, %error, "bytes that no engine over Raft says"),
        };
        let out = &mut self.out;
        match (said, &mut self.driver) {
            (Said::Here(here), _) => {
                self.founding.hears(from, here, out);
                self.founded();
            }
            (Said::Raft { to, from: life, message }, Some(driver)) => driver.hears((from, life), to, *message, out),
            (Said::Signed(signed), Some(driver)) => driver.signed(from, signed, out),
            (Said::Behind(behind), Some(driver)) => driver.behind(from, &behind, out),
            // Not before the channel is founded: nothing that was said is needed then.
            (_, None) => {}
        }
    }

    fn tick(&mut self, now: Time) {
        let mut asked = false;
        for _ in 0..self.clock.due(now) {
            let asks = self.clock.passes();
            asked |= asks;
            let out = &mut self.out;
            match &mut self.driver {
                Some(driver) => {
                    driver.tick(out);
                    if asks {
                        driver.asks(out);
                    }
                }
                None if asks => self.founding.say(None, out),
                None => {}
            }
        }
        if asked {
            // A channel on which nothing is written has elections, whose entries and votes are kept, too.
            self.cut();
        }
        self.out.push(OrderingEffect::WakeAt(now.plus_millis(TICK_MS)));
    }

    /// The peers that order above the last final block.
    fn configure(&mut self, peers: &[OrderingPeer]) {
        if peers != self.orderers.peers {
            self.out.halt("the ordering peers of a channel of Raft's cannot change yet".into());
        }
    }

    fn cut(&mut self) {
        if let Some(driver) = &mut self.driver
            && driver.cut(self.out.records)
        {
            let mut items = driver.items();
            items.extend(self.founding.items());
            self.out.persist(&items);
        }
    }
}

impl OrderingEngine for Raft {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        if self.halted {
            return Vec::new();
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.out.push(OrderingEffect::Lead { leader: None });
            self.founding.begin(&mut self.out);
            self.founded();
            if self.driver.is_none() {
                self.founding.say(None, &mut self.out);
            }
        }
        let out = &mut self.out;
        match (input, &mut self.driver) {
            (OrderingInput::Message { from, bytes }, _) => self.message(from, bytes),
            (OrderingInput::Tick { now }, _) => self.tick(now),
            (OrderingInput::Configure { peers }, _) => self.configure(peers),
            (OrderingInput::Installed { height }, _) => {
                out.halt(format!(
                    "the state of block {height} is another peer's, from which this engine cannot go on yet"
                ));
            }
            (OrderingInput::Propose { block }, Some(driver)) => driver.propose(block, out),
            (OrderingInput::Propose { block }, None) => {
                out.push(OrderingEffect::Discard { from: block.header.height });
            }
            (OrderingInput::Executed { height, valid }, Some(driver)) => driver.executed(height, valid, out),
            (OrderingInput::Persisted { ticket }, Some(driver)) => driver.persisted(ticket, out),
            (OrderingInput::Appended { height }, Some(driver)) => {
                driver.appended(height);
                self.cut();
            }
            (
                OrderingInput::Executed { .. } | OrderingInput::Persisted { .. } | OrderingInput::Appended { .. },
                None,
            ) => {}
        }
        let (effects, halts) = self.out.done();
        self.halted = halts;
        effects
    }
}

#[cfg(test)]
mod tests;
