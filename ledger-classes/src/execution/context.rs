//! What an action sees while a block executes: state below, what the block and the transaction wrote so far, who
//! acts, and where events go. Nothing here outlives the block.

use super::Members;
use super::budget::{self, Allowed, Usage};
use super::contracts::timers::Timer;
use crate::formats::config::ChannelConfig;
use crate::formats::detail::{Detail, Part};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::receipt::Receipt;
use crate::formats::rights::Rights;
use crate::formats::transaction::VerifiedTransaction;
use crate::keys::{Address, PublicKey};
use crate::limits;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::hash::Hash;
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::participant::CertificatePaths;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{Families, ReadError, ReadView, Value, Writes, first_over_counting};
use std::cell::Cell;

/// What a block is executed with.
pub struct BlockInput<'a> {
    /// The channel's id.
    pub channel: Hash,
    /// The block's height, at least 1.
    pub height: u64,
    /// The block's time.
    pub time: Time,
    /// How certificate paths are verified.
    pub certificates: &'a dyn CertificatePaths,
    /// The transactions, in order.
    pub transactions: &'a [VerifiedTransaction],
}

/// Who a unit of execution is from.
#[derive(Clone, Copy)]
pub enum Sender<'a> {
    /// A verified transaction.
    Transaction(&'a VerifiedTransaction),
    /// A due timer.
    Timer,
}

/// Bytes of a receipt in a block without its detail and events, and of an event beside its encoding.
const RECEIPT_HEAD_BYTES: u64 = 160;
/// Bytes that a failure counts for beside that and its detail: the event of a timer.
const FAILURE_BYTES: u64 = 256;
/// See [`RECEIPT_HEAD_BYTES`].
const EVENT_BYTES: u64 = 8;

/// What the running action had done at some point.
pub(super) struct Savepoint {
    undo: usize,
    events: usize,
    unreadable: Option<Detail>,
}

/// The state of an executing block and of the transaction or timer in it that runs now.
pub struct Context<'a> {
    view: &'a dyn ReadView,
    members: Members<'a>,
    certificates: &'a dyn CertificatePaths,
    channel: Hash,
    height: u64,
    time: Time,
    /// Written by what ran before in this block.
    block: Writes,
    /// Families of that.
    families: Families,
    /// Written by what runs now.
    journal: Writes,
    /// What the journal held at each key that was written since the first savepoint, in the order of writing: whoever
    /// returns to one undoes what was written since, and copies nothing.
    undo: Vec<(Vec<u8>, Option<Option<Value>>)>,
    /// Whether there is a savepoint.
    saved: bool,
    /// In their binary encoding.
    events: Vec<Vec<u8>>,
    /// Work of what runs now: reading is work, and is done through shared references.
    steps: Cell<u64>,
    /// What else it has used.
    used: Usage,
    /// Used by what ran before in this block.
    block_used: Usage,
    /// What may be used.
    allowed: Allowed,
    /// What runs now would have written this, which could not be read back.
    unreadable: Option<Detail>,
    id: Hash,
    index: u32,
    action: u32,
    sender: Option<&'a VerifiedTransaction>,
    acting: Address,
    participant: Option<Identity>,
    rights: Rights,
    /// The timer that runs now.
    timer: Option<Timer>,
}

impl<'a> Context<'a> {
    pub(super) fn new(view: &'a dyn ReadView, input: &'a BlockInput<'a>, config: &'a ChannelConfig) -> Self {
        Self {
            view,
            members: Members::new(config, input.certificates),
            certificates: input.certificates,
            channel: input.channel,
            height: input.height,
            time: input.time,
            block: Writes::new(),
            families: Families::NONE,
            journal: Writes::new(),
            undo: Vec::new(),
            saved: false,
            events: Vec::new(),
            steps: Cell::new(0),
            used: Usage::default(),
            block_used: Usage::default(),
            allowed: Allowed::of(&config.budgets),
            unreadable: None,
            id: Hash::ZERO,
            index: 0,
            action: 0,
            sender: None,
            acting: Address::ZERO,
            participant: None,
            rights: Rights::NONE,
            timer: None,
        }
    }

    pub(super) fn begin(&mut self, id: Hash, index: u32, sender: Sender<'a>) {
        self.discard();
        self.id = id;
        self.index = index;
        self.action = 0;
        (self.participant, self.rights) = (None, Rights::NONE);
        self.timer = None;
        (self.sender, self.acting) = match sender {
            Sender::Transaction(transaction) => (Some(transaction), transaction.sender()),
            Sender::Timer => (None, Address::ZERO),
        };
    }

    /// Nothing of what runs now stays, but what it has cost.
    pub(super) fn discard(&mut self) {
        self.journal.clear();
        self.forget_savepoints();
        self.events.clear();
        let used = self.usage();
        self.block_used.add(used);
        self.steps.set(0);
        self.used = Usage::default();
        self.unreadable = None;
    }

    /// What runs now has used so much.
    fn usage(&self) -> Usage {
        Usage { steps: self.steps.get(), ..self.used }
    }

    /// What the block has used, what runs now included.
    pub(super) fn block_usage(&self) -> Usage {
        let mut usage = self.block_used;
        usage.add(self.usage());
        usage
    }

    /// What may be used.
    pub(super) const fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// Counts work.
    pub(super) fn work(&self, steps: u64) {
        self.steps.set(self.steps.get().saturating_add(steps));
    }

    /// Refuses what has used more than one transaction or timer may, and what would have written what cannot be read back.
    pub(super) fn check_budget(&self) -> Result<(), Refusal> {
        if let Some(what) = &self.unreadable {
            return reject(ResultCode::TooManyEffects, what.clone());
        }
        match self.usage().beyond(&self.allowed.unit) {
            Some(resource) => reject(ResultCode::BudgetExceeded, Detail::Beyond { resource }),
            None => Ok(()),
        }
    }

    /// What was written so far stays, whatever follows.
    pub(super) fn keep(&mut self) {
        // One by one: `append` merges the maps, which costs as much as the block is large, for each transaction.
        for (key, value) in std::mem::take(&mut self.journal) {
            self.families.add(&key);
            self.block.insert(key, value);
        }
        self.forget_savepoints();
    }

    fn forget_savepoints(&mut self) {
        self.undo.clear();
        self.saved = false;
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Value>) {
        match self.saved {
            true => {
                let before = self.journal.insert(key.clone(), value);
                self.undo.push((key, before));
            }
            false => {
                self.journal.insert(key, value);
            }
        }
    }

    pub(super) fn finish(&mut self, fee: Amount) -> Receipt {
        self.keep();
        let events = std::mem::take(&mut self.events);
        self.used.receipt_bytes += RECEIPT_HEAD_BYTES;
        Receipt::of_encoded(self.id, self.height, self.index, ResultCode::Done, Detail::PLAIN, fee, events)
    }

    /// The receipt of what failed. Nobody waits for the outcome of a timer, so its receipt has one event that tells
    /// whom it concerns.
    pub(super) fn fail(&mut self, code: ResultCode, detail: Detail, fee: Amount) -> Receipt {
        self.discard();
        self.used.receipt_bytes += RECEIPT_HEAD_BYTES + FAILURE_BYTES + codec::encode(&detail).len() as u64;
        let event = self.timer.take().map(|timer| Event::ContractTimerFailed {
            instance: timer.instance,
            timer: timer.timer,
            code: code.number(),
        });
        Receipt::new(self.id, self.height, self.index, code, detail, fee, event.as_slice())
    }

    /// Notes which timer runs.
    pub(super) fn set_timer(&mut self, timer: Timer) {
        self.timer = Some(timer);
    }

    /// Where to return to if what follows fails and the action goes on without it.
    pub(super) fn savepoint(&mut self) -> Savepoint {
        self.work(1);
        self.saved = true;
        Savepoint { undo: self.undo.len(), events: self.events.len(), unreadable: self.unreadable.clone() }
    }

    /// Undoes everything since `savepoint`, which was taken by the same action.
    pub(super) fn return_to(&mut self, savepoint: Savepoint) {
        while self.undo.len() > savepoint.undo {
            match self.undo.pop() {
                Some((key, Some(before))) => self.journal.insert(key, before),
                Some((key, None)) => self.journal.remove(&key),
                None => break,
            };
        }
        self.events.truncate(savepoint.events);
        self.unreadable = savepoint.unreadable;
    }

    pub(super) fn into_writes(self) -> Writes {
        self.block
    }

    pub(super) fn set_action(&mut self, action: u32) {
        self.action = action;
    }

    pub(super) fn set_participant(&mut self, identity: Option<Identity>, rights: Rights) {
        (self.participant, self.rights) = (identity, rights);
    }

    /// The configuration that rules this block.
    pub const fn config(&self) -> &'a ChannelConfig {
        self.members.config()
    }

    /// The members under that configuration.
    pub const fn members(&self) -> &Members<'a> {
        &self.members
    }

    /// How certificate paths are verified.
    pub const fn certificates(&self) -> &'a dyn CertificatePaths {
        self.certificates
    }

    /// The channel's id.
    pub const fn channel(&self) -> Hash {
        self.channel
    }

    /// The block's height.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// The block's time.
    pub const fn time(&self) -> Time {
        self.time
    }

    /// Id of the running transaction, or of the running timer's receipt.
    pub const fn id(&self) -> Hash {
        self.id
    }

    /// Position of the running receipt in the block.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Position of the running action in its transaction.
    pub const fn action(&self) -> u32 {
        self.action
    }

    /// Everybody who signed the running transaction; nobody for a timer.
    pub fn signers(&self) -> &'a [PublicKey] {
        self.sender.map_or(&[], VerifiedTransaction::signers)
    }

    /// Who acts: the sender, or the joint account that it acts for, or a contract's account.
    pub const fn acting(&self) -> Address {
        self.acting
    }

    /// Makes `account` act from here on; the caller has checked that it may.
    pub(super) fn set_acting(&mut self, account: Address) {
        self.acting = account;
    }

    /// The sender's identity, if it has a participant record in good standing.
    pub const fn participant(&self) -> Option<&Identity> {
        self.participant.as_ref()
    }

    /// The sender's rights; none for a timer.
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Who signed first: the address by whose record the transaction is judged. [`Address::ZERO`] for a timer.
    pub fn sender(&self) -> Address {
        self.sender.map_or(Address::ZERO, VerifiedTransaction::sender)
    }

    /// Reads a record.
    pub fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, Refusal> {
        self.check_budget()?;
        Ok(self.get_value(key)?.map(|value| record::from_value(&value)).transpose()?)
    }

    /// Reads a value.
    pub fn get_value(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        let before = || self.families.may_have(key).then(|| self.block.get(key)).flatten();
        let value = match self.journal.get(key).or_else(before) {
            Some(value) => value.clone(),
            None => self.view.get(key)?,
        };
        self.work(budget::of_value(value.as_ref().map_or(0, |value| value.len())));
        Ok(value)
    }

    /// Writes a record.
    pub fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) {
        self.put_value(key, record::to_value(record));
    }

    /// Writes a value. Values above the record limit are not written; the transaction fails. Read back they would be damage
    /// of the store, and the channel would halt.
    pub fn put_value(&mut self, key: Vec<u8>, value: Value) {
        self.count_write(key.len() + value.len());
        if key.len() > limits::STATE_KEY_BYTES_MAX {
            self.unreadable = Some(Detail::TooLong { part: Part::StateKey, bytes: key.len() as u64 });
        } else if value.len() > limits::STATE_VALUE_BYTES_MAX {
            self.unreadable = Some(Detail::TooLong { part: Part::StateValue, bytes: value.len() as u64 });
        } else {
            self.write(key, Some(value));
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.count_write(key.len());
        self.write(key, None);
    }

    fn count_write(&mut self, bytes: usize) {
        self.work(budget::of_value(bytes));
        self.used.written_bytes = self.used.written_bytes.saturating_add(bytes as u64);
    }

    /// Reports what happened.
    pub fn emit(&mut self, event: Event) -> Result<(), Refusal> {
        if self.events.len() >= limits::EVENTS_MAX {
            return reject(
                ResultCode::TooManyEffects,
                Detail::AtMost { part: Part::Events, most: limits::EVENTS_MAX as u64 },
            );
        }
        let event = codec::encode(&event);
        self.used.events += 1;
        self.used.receipt_bytes = self.used.receipt_bytes.saturating_add(EVENT_BYTES + event.len() as u64);
        self.events.push(event);
        self.check_budget()
    }
}

/// What is below the journal.
struct Below<'a> {
    view: &'a dyn ReadView,
    block: &'a Writes,
    steps: &'a Cell<u64>,
}

impl ReadView for Below<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        match self.block.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.view.get(key),
        }
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        first_over_counting(self.view, self.block, from, end, self.steps)
    }
}

/// A context reads as a view of everything written so far, so that lists and queries work inside execution.
impl ReadView for Context<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        self.get_value(key)
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        let block = Below { view: self.view, block: &self.block, steps: &self.steps };
        let first = first_over_counting(&block, &self.journal, from, end, &self.steps)?;
        self.work(budget::LOOK + first.as_ref().map_or(0, |(_, value)| budget::of_value(value.len())));
        Ok(first)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::execution::test_support::open_config;
    use crate::state::participant::NoCertificates;
    use crate::state::view::MemoryState;

    #[test]
    fn a_key_above_the_limit_is_refused() {
        let (config, state) = (open_config(), MemoryState::default());
        let input = BlockInput {
            channel: Hash::ZERO,
            height: 1,
            time: Time::ZERO,
            certificates: &NoCertificates,
            transactions: &[],
        };
        for (bytes, taken) in [(limits::STATE_KEY_BYTES_MAX, true), (limits::STATE_KEY_BYTES_MAX + 1, false)] {
            let mut context = Context::new(&state, &input, &config);
            context.put_value(vec![1; bytes], [1u8].as_slice().into());
            assert_eq!(context.check_budget().is_ok(), taken, "{bytes}");
        }
    }

    /// A savepoint copied the whole journal. Now what is undone is what the journal held, whichever was written how often
    /// since, nested savepoints and what the block below holds included.
    #[test]
    fn returning_to_a_savepoint_leaves_what_was_written_before_it() {
        let (config, state) = (open_config(), MemoryState::default());
        let input = BlockInput {
            channel: Hash::ZERO,
            height: 1,
            time: Time::ZERO,
            certificates: &NoCertificates,
            transactions: &[],
        };
        let mut context = Context::new(&state, &input, &config);
        let value = |byte: u8| -> Value { [byte].as_slice().into() };
        for key in 0..4 {
            context.put_value(vec![key], value(0));
        }
        context.keep();
        context.put_value(vec![0], value(1));
        context.remove(vec![1]);
        // What each key was at each savepoint, by a random course of writes, savepoints, and returns to any of them.
        let read = |context: &Context<'_>| [0, 1, 2, 3, 4].map(|key| context.get_value(&[key]).unwrap());
        let mut saved = Vec::new();
        let mut random = 7u32;
        for _ in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (what, key, byte) = (random >> 24, (random >> 16) as u8 % 5, (random >> 8) as u8);
            match what % 8 {
                0 if saved.len() < 8 => saved.push((context.savepoint(), read(&context))),
                1 if !saved.is_empty() => {
                    saved.truncate(usize::from(byte) % saved.len() + 1);
                    let (savepoint, held) = saved.pop().unwrap();
                    context.return_to(savepoint);
                    assert_eq!(read(&context), held);
                }
                2 => context.remove(vec![key]),
                _ => context.put_value(vec![key], value(byte)),
            }
        }
        context.discard();
        assert_eq!(read(&context), [0, 1, 2, 3, 4].map(|key| (key < 4).then(|| value(0))));
        assert!(context.undo.is_empty(), "what is thrown away is not kept");
    }

    /// Once, it was looked for at the end only, and what read it before halted the channel.
    #[test]
    fn a_value_above_the_limit_is_refused_at_once_and_is_not_what_is_read() {
        let (config, state) = (open_config(), MemoryState::default());
        let input = BlockInput {
            channel: Hash::ZERO,
            height: 1,
            time: Time::ZERO,
            certificates: &NoCertificates,
            transactions: &[],
        };
        for (bytes, taken) in [(limits::STATE_VALUE_BYTES_MAX, true), (limits::STATE_VALUE_BYTES_MAX + 1, false)] {
            let mut context = Context::new(&state, &input, &config);
            let before = context.savepoint();
            context.put_value(vec![1], vec![0; bytes].into());
            assert_eq!(context.get_value(&[1]).unwrap().is_some(), taken, "{bytes}");
            assert_eq!(context.emit(Event::AssetPaused { asset: "eur".into() }).is_ok(), taken, "{bytes}");
            context.return_to(before);
            assert_eq!(context.check_budget(), Ok(()), "a contract that goes on without it");
        }
    }
}
