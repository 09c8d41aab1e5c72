//! What the loop asks for, and when it is done; what it tells and answers, and whether that is right.

use super::FaultKind;
use super::clients::CLIENTS;
use super::clock::Event;
use super::world::{Process, World};
use crate::block::refusal::SubmitRefusal;
use crate::limits::WAKE_MS_MAX;
use crate::pipeline::answer::SubmitResult;
use crate::pipeline::effects::{Kind, Shell, Work};
use crate::pipeline::machine::Input;
use crate::pipeline::ordering::Ticket;
use crate::pipeline::submission::Submission;
use ledger_classes::formats::transaction::TransactionError;
use ledger_classes::keys::Address;
use ledger_classes::primitives::time::Time;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A record of the ordering engine's, on its way to the disk.
pub(super) struct Kept {
    pub(super) ticket: Ticket,
    pub(super) record: Vec<u8>,
    /// It stands for all before it.
    pub(super) base: bool,
}

/// What the loop asked for and was not scheduled yet.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) now: Time,
    pub(super) work: Vec<Work>,
    pub(super) wake: Option<u64>,
    pub(super) halted: Option<String>,
    seeds: u64,
    pub(super) records: Vec<Kept>,
    pub(super) said: Vec<(Address, Vec<u8>)>,
    /// The last record on the disk.
    pub(super) recorded: Ticket,
}

impl Desk {
    pub(super) fn at(now: Time) -> Self {
        Self { now, ..Self::default() }
    }
}

impl Shell for Desk {
    fn now(&self) -> Time {
        self.now
    }

    fn crowded(&self) -> bool {
        false
    }

    fn seed(&mut self) -> [u8; 32] {
        self.seeds += 1;
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&self.seeds.to_le_bytes());
        seed
    }

    fn run(&mut self, work: Work) {
        self.work.push(work);
    }

    fn wake_in(&mut self, millis: u64) {
        self.wake = Some(self.wake.map_or(millis, |earlier| earlier.min(millis)));
    }

    fn persist(&mut self, ticket: Ticket, record: Vec<u8>, base: bool) {
        self.records.push(Kept { ticket, record, base });
    }

    fn send(&mut self, to: Address, bytes: Vec<u8>) {
        self.said.push((to, bytes));
    }

    fn halt(&mut self, reason: String) {
        self.halted.get_or_insert(reason);
    }
}

impl World {
    /// A thread takes up work.
    pub(super) fn begins(&mut self, work: Work) {
        let Some(process) = &mut self.process else { return };
        let to_disk = matches!(work.kind, Kind::ToDisk | Kind::Checkpoint);
        if to_disk && self.clock.now < self.faults.full_until {
            self.faults.hits(FaultKind::FullDisk);
            return self.clock.after(self.faults.full_until - self.clock.now, Event::Begin(work));
        }
        if to_disk {
            self.machine.forget(&mut self.random);
        }
        let outcome = if std::mem::take(&mut process.panics) {
            self.faults.hits(FaultKind::Panic);
            let mut lost = work.outcome();
            lost.fail("panicked: a bug");
            lost
        } else {
            work.run(&process.channel.place)
        };
        let slow = to_disk && self.clock.now < self.faults.slow_until;
        if slow {
            self.faults.hits(FaultKind::SlowDisk);
        }
        let delay = if slow { 100 + self.delay(500) } else { self.delay(4) };
        self.clock.after(delay, Event::Bring(outcome));
    }

    /// A record of the ordering engine's is on the disk.
    pub(super) fn recorded(&mut self, ticket: Ticket) {
        if let Some(process) = &mut self.process {
            process.channel.shell.recorded = ticket;
            process.channel.on([Input::Persisted(ticket)]);
        }
    }

    /// After each step: what the channel wants, tells and answers.
    pub(super) fn follow(&mut self) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let desk = &mut process.channel.shell;
        let (work, records) = (std::mem::take(&mut desk.work), std::mem::take(&mut desk.records));
        let (said, recorded) = (std::mem::take(&mut desk.said), desk.recorded);
        if let Some(millis) = desk.wake.take() {
            let wake = self.clock.now + millis.clamp(1, WAKE_MS_MAX);
            if process.wake.is_none_or(|earlier| wake < earlier) {
                process.wake = Some(wake);
                self.clock.wake(wake);
            }
        }
        for work in work {
            let delay = self.delay(2);
            self.clock.after(delay, Event::Begin(work));
        }
        self.orders(records, said, recorded)?;
        self.blocks()?;
        self.answers()?;
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(reason) = process.channel.shell.halted.take() {
            let excuse = process.excuse;
            self.say(format_args!("halts: {reason}"));
            if excuse.is_none() && !self.faults.misread {
                return Err(format!("the channel halted: {reason}"));
            }
            let image = self.after_halt();
            self.stops(image);
            return Ok(());
        }
        self.goes_wrong()
    }

    /// What the ordering engine keeps and says.
    fn orders(&mut self, records: Vec<Kept>, said: Vec<(Address, Vec<u8>)>, recorded: Ticket) -> Result<(), String> {
        for Kept { ticket, .. } in records {
            let slow = if self.clock.now < self.faults.slow_until { self.delay(500) } else { self.delay(6) };
            // One after the other.
            let delay = self.clock.recorded().max(slow);
            self.clock.after(delay, Event::Recorded(ticket));
        }
        for (_, bytes) in said {
            // Behind the byte that says to whom.
            let ticket =
                bytes.get(1..).and_then(|bytes| bytes.try_into().ok()).map_or(Ticket::MAX, Ticket::from_le_bytes);
            self.promised(ticket, recorded)?;
            let delay = self.delay(5);
            self.clock.after(delay, Event::Message(bytes));
        }
        Ok(())
    }

    /// Something was said that a record promises.
    fn promised(&mut self, ticket: Ticket, recorded: Ticket) -> Result<(), String> {
        self.say(format_args!("says what record {ticket} promises"));
        if ticket > recorded {
            return Err(format!(
                "what record {ticket} promises was said, and record {recorded} is the last on the disk"
            ));
        }
        Ok(())
    }

    /// Takes what is told of blocks.
    fn blocks(&mut self) -> Result<(), String> {
        let Some(Process { channel, .. }) = &self.process else { return Ok(()) };
        let place = channel.place.clone();
        while self.ledger.height() < place.shared.tip().height {
            let height = self.ledger.height() + 1;
            let block = place.shared.ring.block(height).ok_or("a block that was told is not published")?;
            self.ledger.told(&block)?;
            let (count, hash) = (block.block.transactions.len(), block.header_hash);
            self.say(format_args!("block {height} {hash} of {count}"));
        }
        Ok(())
    }

    fn answers(&mut self) -> Result<(), String> {
        for client in 0..CLIENTS {
            let mut answered = Vec::new();
            for mut out in std::mem::take(&mut self.clients[client].out) {
                match answers_of(&mut out.submission) {
                    None => self.clients[client].out.push(out),
                    Some(results) => answered.extend(out.numbers.into_iter().zip(results)),
                }
            }
            for (number, result) in answered {
                self.answer(client, number, result)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, client: usize, number: usize, result: SubmitResult) -> Result<(), String> {
        let id = self.prepared.envelopes[client][number].0;
        match result {
            SubmitResult::Committed { receipt, .. } => {
                self.ledger.answered(&id, &receipt)?;
                self.clients[client].knows(number);
                self.say(format_args!("client {client} knows {number} of {}", receipt.head.height));
            }
            // It wants to know what becomes of it.
            SubmitResult::Accepted { .. } => self.clients[client].has_none([number]),
            SubmitResult::Refused { refusal, .. } => {
                self.say(format_args!("client {client} is refused {number}: {refusal}"));
                let out = self.clients[client].is_out(number);
                if !out {
                    self.ledger.went(&id);
                }
                match refusal {
                    SubmitRefusal::Transaction(TransactionError::Expired(_)) if !out => {
                        self.ledger.refused(id)?;
                        self.clients[client].knows(number);
                    }
                    SubmitRefusal::Transaction(TransactionError::Expired(_))
                    | SubmitRefusal::Busy { .. }
                    | SubmitRefusal::Disk(_)
                    | SubmitRefusal::OutcomeUnknown
                    | SubmitRefusal::Stopped { .. } => self.clients[client].has_none([number]),
                    other => return Err(format!("{id} was refused: {other}")),
                }
            }
        }
        Ok(())
    }
}

/// The answers to a submission, if they are there.
pub(super) fn answers_of(submission: &mut Submission) -> Option<Vec<SubmitResult>> {
    match Pin::new(submission).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(results) => Some(results),
        Poll::Pending => None,
    }
}
