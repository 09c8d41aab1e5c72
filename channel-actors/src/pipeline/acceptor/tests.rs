//! The acceptor's rules on made-up blocks.

mod clocks;

use crate::pipeline::acceptor::*;
use crate::test_support::{Bench, NOW, bare_block, bare_id, config, envelope, verified};
use ledger_classes::formats::block::{Block, Seal};
use ledger_classes::keys::Address;

/// Does nothing by itself, but what it is told to in messages.
struct Manual;

impl OrderingEngine for Manual {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        let OrderingInput::Message { bytes, .. } = input else { return Vec::new() };
        let height = u64::from(bytes[1]);
        match bytes[0] {
            b'f' => vec![OrderingEffect::Final { height }],
            b's' => vec![OrderingEffect::Seal { height, seal: Sealing::Alone }],
            b'd' => vec![OrderingEffect::Discard { from: height }],
            b'x' => vec![OrderingEffect::Execute { height, block: Bytes::new() }],
            b'k' => vec![OrderingEffect::Settled { height }],
            _ => {
                let send = |number, after| OrderingEffect::Send { to: Address([number; 20]), bytes: vec![], after };
                let record = OrderingEffect::Persist { ticket: height, record: vec![], base: false };
                vec![send(1, Some(height)), record, send(2, None)]
            }
        }
    }
}

/// Makes each block final at once.
struct Immediate;

impl OrderingEngine for Immediate {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        let OrderingInput::Propose { block } = input else { return Vec::new() };
        let height = block.header.height;
        vec![OrderingEffect::Final { height }, OrderingEffect::Seal { height, seal: Sealing::Alone }]
    }
}

/// Every block of these tests is in the past then.
const LATER: Time = Time::from_millis(NOW.millis() + 100);

fn told(acceptor: &mut Acceptor, what: u8, height: u8) -> Vec<String> {
    seen(acceptor.ordered(OrderingInput::Message { from: Address([0; 20]), bytes: &[what, height] }))
}

fn acceptor(engine: impl OrderingEngine + 'static) -> Acceptor {
    let mut history = CompactRange::new();
    let _ = history.append(Hash([0; 32]));
    let (history_root, orderers_root) = (history.root(), Hash::ZERO);
    let parent = Parent { channel: Hash::ZERO, height: 0, hash: Hash([0; 32]), time: NOW, history_root, orderers_root };
    Acceptor::new(Box::new(engine), history, parent, None)
}

/// A block of one transaction, whose id follows from the height.
fn block(height: u64) -> Arc<ExecutedBlock> {
    bare_block(height, 0)
}

fn executed(height: u64) -> ExecutionResult {
    ExecutionResult { block: Some(block(height)), ..ExecutionResult::default() }
}

/// The block at this height is in the log.
fn appended(acceptor: &mut Acceptor, height: u64) -> Vec<String> {
    let made = block(height);
    let (header, transactions) = (made.header.clone(), made.envelopes.clone());
    let whole = Block { header, transactions, batches: Vec::new(), seed: made.seed, seal: Seal::Genesis {} };
    seen(acceptor.appended(Arc::new(CommittedBlock::new(whole, made.hash, made.receipts.clone()))))
}

/// The same, and applied.
fn persisted(acceptor: &mut Acceptor, height: u64, pressure: Pressure) -> Vec<String> {
    assert_eq!(appended(acceptor, height), [""; 0], "nothing is told before it is applied");
    seen(acceptor.applied(height, pressure))
}

/// Effects as words: what a reader of the log would write down.
fn seen(effects: impl IntoIterator<Item = AcceptorEffect>) -> Vec<String> {
    let word = |effect| match effect {
        AcceptorEffect::Execute { parent, time, above, .. } => {
            let above: Vec<u64> = above.iter().map(|block| block.header.height).collect();
            format!("execute {} at {} above {above:?}", parent.height + 1, time.millis_since(NOW))
        }
        AcceptorEffect::Check { parent, above, .. } => {
            let above: Vec<u64> = above.iter().map(|block| block.header.height).collect();
            format!("check {} above {above:?}", parent.height + 1)
        }
        AcceptorEffect::Lead { leader } => format!("lead {}", leader.is_some()),
        AcceptorEffect::Executed(_) => "executed".into(),
        AcceptorEffect::Known(ids) => format!("known {}", ids.len()),
        AcceptorEffect::Append { block, .. } => format!("append {}", block.header.height),
        AcceptorEffect::Apply(block) => format!("apply {}", block.header.height),
        AcceptorEffect::Checkpoint => "checkpoint".into(),
        AcceptorEffect::Commit { block, receipts, .. } => {
            let height = block.map(|block| block.block.header.height);
            let told: Vec<u64> = receipts.iter().map(|(_, receipt)| receipt.head.height).collect();
            format!("commit {height:?} tell {told:?}")
        }
        AcceptorEffect::Discarded(Discarded { blocks, transactions, offered, .. }) => {
            let offered = offered.map(|offered| offered.len());
            format!("discarded {blocks} with {}, offered {offered:?}", transactions.len())
        }
        AcceptorEffect::Persist { ticket, .. } => format!("record {ticket}"),
        AcceptorEffect::Send { to, .. } => format!("send {}", to.0[0]),
        AcceptorEffect::WakeAt(time) => format!("wake {}", time.millis_since(NOW)),
        AcceptorEffect::Ahead(ahead) => ahead.text().into(),
        AcceptorEffect::Halt(reason) => format!("halt: {reason}"),
    };
    effects.into_iter().map(word).collect()
}

#[test]
fn a_block_is_executed_ordered_persisted_and_only_then_told() {
    let mut acceptor = acceptor(Immediate);
    assert_eq!(seen(acceptor.propose(vec![], NOW.plus_millis(1))), ["execute 1 at 1 above []"]);
    assert_eq!(seen(acceptor.executed(executed(1))), ["executed", "append 1", "apply 1"]);
    assert_eq!(persisted(&mut acceptor, 1, Pressure::None), ["commit Some(1) tell [1]"]);
}

/// A disk that stands still kept all that an engine wanted to say.
#[test]
fn of_what_waits_for_records_there_is_a_bounded_number_and_the_rest_is_lost() {
    let mut acceptor = acceptor(Manual);
    for _ in 0..UNSENT_MAX + 3 {
        assert_eq!(told(&mut acceptor, b'p', 7), ["record 7", "send 2"], "what promises nothing waits for nothing");
    }
    let sent = seen(acceptor.ordered(OrderingInput::Persisted { ticket: 7 }));
    assert_eq!(sent, vec!["send 1"; UNSENT_MAX]);
    assert_eq!(told(&mut acceptor, b'p', 8), ["record 8", "send 2"]);
    assert_eq!(seen(acceptor.ordered(OrderingInput::Persisted { ticket: 8 })), ["send 1"]);
}

#[test]
fn the_next_block_executes_above_those_under_way_and_persists_after_them() {
    let mut acceptor = acceptor(Immediate);
    let _ = acceptor.propose(vec![], NOW.plus_millis(1));
    let _ = acceptor.executed(executed(1));
    assert_eq!(seen(acceptor.propose(vec![], NOW.plus_millis(2))), ["execute 2 at 2 above [1]"]);
    assert_eq!(seen(acceptor.executed(executed(2))), ["executed"], "one persist at a time");
    assert_eq!(persisted(&mut acceptor, 1, Pressure::None), ["commit Some(1) tell [1]", "append 2", "apply 2"]);
    assert_eq!(seen(acceptor.propose(vec![], NOW)), ["execute 3 at 2 above [2]"], "block time never goes back");
    assert_eq!(persisted(&mut acceptor, 2, Pressure::None), ["commit Some(2) tell [2]"]);
}

#[test]
fn a_block_that_comes_to_the_disk_out_of_order_halts() {
    let mut after = acceptor(Immediate);
    let _ = after.executed(executed(1));
    let _ = after.executed(executed(2));
    assert_eq!(appended(&mut after, 2), ["halt: block 2 was appended out of order"]);
    let mut twice = acceptor(Immediate);
    let _ = twice.executed(executed(1));
    let _ = twice.executed(executed(2));
    assert_eq!(appended(&mut twice, 1), [""; 0]);
    assert_eq!(appended(&mut twice, 2), ["halt: block 2 was appended out of order"], "one at a time");
    let mut unseen = acceptor(Immediate);
    let _ = unseen.executed(executed(1));
    assert_eq!(
        seen(unseen.applied(1, Pressure::None)),
        ["halt: block 1 was applied out of order"],
        "it is not in the log"
    );
}

/// The head of `pipeline/acceptor.rs` says what is never ahead of what.
#[test]
#[should_panic(expected = "durable: 1, last_final: 0")]
fn a_block_in_the_log_that_is_not_final_is_a_bug() {
    let mut acceptor = acceptor(Manual);
    let _ = acceptor.executed(executed(1));
    let _ = appended(&mut acceptor, 1);
}

#[test]
fn nothing_goes_to_the_disk_before_it_is_final_and_sealed() {
    let mut manual = acceptor(Manual);
    assert_eq!(seen(manual.executed(executed(1))), ["executed"]);
    assert_eq!(seen(manual.executed(executed(2))), ["executed"]);
    assert_eq!(told(&mut manual, b's', 1), [""; 0]);
    assert_eq!(told(&mut manual, b'f', 1), ["append 1", "apply 1"]);
    assert_eq!(told(&mut manual, b'f', 2), [""; 0]);
    assert_eq!(told(&mut manual, b's', 2), [""; 0], "one at a time");
    assert_eq!(persisted(&mut manual, 1, Pressure::None), ["commit Some(1) tell [1]", "append 2", "apply 2"]);
}

/// Blocks become final in their order, and only what was executed here does.
#[test]
fn an_engine_that_contradicts_itself_halts() {
    for (what, height, halt) in [
        (b'f', 77, "halt: block 77 was final but is not under way"),
        (b'f', 2, "halt: block 2 was final but is not under way"),
        (b's', 77, "halt: block 77 was sealed but is not under way"),
        (b's', 0, "halt: block 0 was sealed but is not under way"),
        (b'd', 0, "halt: block 0 is final and was to be discarded"),
    ] {
        let mut mad = acceptor(Manual);
        let _ = mad.executed(executed(1));
        let _ = mad.executed(executed(2));
        assert_eq!(told(&mut mad, what, height), [halt]);
    }
}

/// Whoever promised something, and lost the record of it, would promise something else.
#[test]
fn nothing_is_said_before_its_record_is_on_the_disk() {
    let mut manual = acceptor(Manual);
    assert_eq!(
        told(&mut acceptor(Manual), b'p', 0),
        ["record 0", "send 2"],
        "a first record is not on the disk by default"
    );
    assert_eq!(told(&mut manual, b'p', 5), ["record 5", "send 2"]);
    assert_eq!(told(&mut manual, b'p', 6), ["record 6", "send 2"]);
    assert_eq!(seen(manual.ordered(OrderingInput::Persisted { ticket: 4 })), [""; 0]);
    assert_eq!(seen(manual.ordered(OrderingInput::Persisted { ticket: 5 })), ["send 1"]);
    assert_eq!(seen(manual.ordered(OrderingInput::Persisted { ticket: 6 })), ["send 1"]);
    assert_eq!(told(&mut manual, b'p', 6), ["record 6", "send 1", "send 2"], "it is there already");
}

/// The block of a proposal, with its one transaction.
fn real(bench: &Bench, height: u64) -> (VerifiedTransaction, ExecutionResult) {
    let one = verified(bench.opened.channel, envelope(bench.opened.channel, height, 1));
    let mut made = (*block(height)).clone();
    made.ids = vec![(one.id(), 0)];
    (one, ExecutionResult { block: Some(Arc::new(made)), ..ExecutionResult::default() })
}

#[test]
fn what_is_discarded_waits_again_and_the_next_block_is_above_what_stays() {
    let bench = Bench::new(&config());
    let [(one, first), (two, second), (three, third)] = [1, 2, 3].map(|height| real(&bench, height));
    let mut acceptor = acceptor(Manual);
    let _ = acceptor.propose(vec![one.clone()], NOW.plus_millis(1));
    let _ = acceptor.executed(first);
    let _ = acceptor.propose(vec![two.clone()], NOW.plus_millis(2));
    let _ = acceptor.executed(second);
    assert_eq!(told(&mut acceptor, b'd', 2), ["discarded 1 with 1, offered None"]);
    assert_eq!(seen(acceptor.propose(vec![two.clone()], NOW)), ["execute 2 at 1 above [1]"], "not above block 2");
    // One that is being executed above what is discarded comes to nothing, too, with all that was offered for it.
    assert_eq!(told(&mut acceptor, b'd', 1), [""; 0], "it is told when that is known");
    assert_eq!(seen(acceptor.executed(third)), ["discarded 2 with 1, offered Some(1)"]);
    assert_eq!(seen(acceptor.propose(vec![one, two, three], NOW)), ["execute 1 at 0 above []"]);
    assert_eq!(told(&mut acceptor, b'd', 1), [""; 0], "nothing is there to be discarded");
}

#[test]
fn what_waits_for_a_checkpoint_is_discarded_with_the_blocks_below_it() {
    let bench = Bench::new(&config());
    let [(one, first), (two, _)] = [1, 2].map(|height| real(&bench, height));
    let mut acceptor = acceptor(Manual);
    let _ = acceptor.propose(vec![one], NOW);
    let _ = acceptor.executed(first);
    let _ = acceptor.propose(vec![two.clone()], NOW);
    let _ = acceptor.executed(ExecutionResult { held: vec![two], ..ExecutionResult::default() });
    assert_eq!(told(&mut acceptor, b'd', 1), ["discarded 2 with 1, offered Some(1)"]);
    assert_eq!(seen(acceptor.checkpointed()), [""; 0]);
}

#[test]
fn blocks_of_another_peer_are_executed_in_their_order_and_before_what_is_proposed_above_them() {
    let mut manual = acceptor(Manual);
    assert_eq!(told(&mut manual, b'x', 1), ["check 1 above []"]);
    assert_eq!(told(&mut manual, b'x', 2), [""; 0], "one at a time");
    assert_eq!(seen(manual.propose(vec![], NOW.plus_millis(9))), [""; 0]);
    assert_eq!(seen(manual.checked(Some(block(1)), LATER)), ["check 2 above [1]"]);
    assert_eq!(seen(manual.checked(Some(block(2)), LATER)), ["execute 3 at 9 above [1, 2]"]);
    assert_eq!(seen(manual.executed(executed(3))), ["executed"]);
    assert_eq!((told(&mut manual, b'f', 1), told(&mut manual, b's', 1).len()), (vec![], 2));
    assert_eq!(persisted(&mut manual, 1, Pressure::None), ["commit Some(1) tell [1]"], "its own receipts are told");
    // Of what is discarded only the third was proposed here.
    assert_eq!(told(&mut manual, b'd', 2), ["discarded 1 with 0, offered None"]);
}

/// It was left out of this peer's block, since another peer's held it, and when that one went nobody had it any more: its
/// sender waited for ever.
#[test]
fn what_another_peers_block_holds_waits_again_when_that_one_is_discarded() {
    let bench = Bench::new(&config());
    let [(one, first), (two, second)] = [1, 2].map(|height| real(&bench, height));
    // Beside something else that is in this peer's own block, or alone, so that there is none.
    for (offered, result, again) in [
        (vec![one.clone(), two.clone()], second, "discarded 1 with 2, offered None"),
        (vec![one.clone()], ExecutionResult::default(), "discarded 0 with 1, offered None"),
    ] {
        let mut manual = acceptor(Manual);
        assert_eq!(told(&mut manual, b'x', 1), ["check 1 above []"]);
        assert_eq!(seen(manual.checked(first.block.clone(), LATER)), [""; 0]);
        assert_eq!(seen(manual.propose(offered, NOW)), ["execute 2 at 1 above [1]"]);
        let _ = manual.executed(result);
        assert_eq!(told(&mut manual, b'd', 1), [again]);
    }
    // What became final meanwhile was told.
    let mut manual = acceptor(Manual);
    let _ = (told(&mut manual, b'x', 1), manual.checked(first.block, LATER));
    let _ = manual.propose(vec![one], NOW);
    let _ = (told(&mut manual, b'f', 1), told(&mut manual, b's', 1));
    assert_eq!(persisted(&mut manual, 1, Pressure::None), ["commit Some(1) tell [1]"]);
    assert_eq!(seen(manual.executed(executed(2))), ["executed"]);
    assert_eq!(told(&mut manual, b'd', 2), ["discarded 1 with 0, offered None"]);
}

#[test]
fn of_blocks_that_will_not_be_none_is_executed_and_one_that_is_leaves_nothing() {
    let mut manual = acceptor(Manual);
    assert_eq!(told(&mut manual, b'x', 1), ["check 1 above []"]);
    assert_eq!(told(&mut manual, b'x', 2), [""; 0]);
    assert_eq!(told(&mut manual, b'd', 1), [""; 0]);
    assert_eq!(told(&mut manual, b'x', 1), [""; 0], "one at a time");
    assert_eq!(seen(manual.checked(Some(block(1)), LATER)), ["check 1 above []"], "another one, above what was");
    assert_eq!(seen(manual.checked(None, LATER)), [""; 0], "it is no valid one");
    assert_eq!(seen(manual.propose(vec![], NOW)), ["execute 1 at 0 above []"]);
    assert_eq!(seen(manual.checked(None, LATER)), ["halt: a block was checked that nobody asked for"]);
}

/// What is executed above a block that removes this peer could be nobody's: the channel halted for it, before those who
/// wait for that block had their answers.
#[test]
fn nothing_is_proposed_above_a_block_that_sets_a_configuration_before_it_is_committed() {
    let turning = |orderers_since: u64| {
        let mut made = (*block(1)).clone();
        made.config = Some(Arc::new(ConfigRecord { config: config(), height: 1, orderers_since }));
        ExecutionResult { block: Some(Arc::new(made)), ..ExecutionResult::default() }
    };
    let mut other = acceptor(Immediate);
    assert_eq!(seen(other.executed(turning(1))), ["executed", "append 1", "apply 1"]);
    assert_eq!(seen(other.propose(vec![], NOW.plus_millis(2))), [""; 0]);
    // What was cut before it is cut anew: another configuration rules.
    let cut_anew = ["discarded 1 with 0, offered Some(0)", "commit Some(1) tell [1]"];
    assert_eq!(persisted(&mut other, 1, Pressure::None), cut_anew);
    assert_eq!(seen(other.propose(vec![], NOW.plus_millis(3))), ["execute 2 at 3 above []"]);
    // Whatever it changes: who vouches for what is offered may be others, too.
    let mut same = acceptor(Immediate);
    let _ = same.executed(turning(0));
    assert_eq!(seen(same.propose(vec![], NOW.plus_millis(2))), [""; 0]);
}

#[test]
fn above_a_state_that_is_installed_nothing_is_left_of_what_was_under_way() {
    let bench = Bench::new(&config());
    let [(one, first), (two, second)] = [1, 2].map(|height| real(&bench, height));
    let mut manual = acceptor(Manual);
    let _ = manual.propose(vec![one], NOW);
    let _ = manual.executed(first);
    let _ = manual.propose(vec![two], NOW);
    let _ = manual.executed(second);
    let _ = manual.propose(vec![], NOW);
    let parent = Parent { height: 7, ..manual.parent };
    let history = manual.history.clone();
    assert_eq!(seen(manual.install(parent, history.clone(), None)), [""; 0], "it is told when the third is known");
    assert_eq!(seen(manual.executed(executed(3))), ["discarded 3 with 2, offered Some(0)"]);
    assert_eq!(seen(manual.propose(vec![], NOW.plus_millis(9))), ["execute 8 at 9 above []"]);
    let older = Parent { height: 6, ..parent };
    let halt = "halt: a state was installed that is older, or while a block was on its way to the disk";
    assert_eq!(seen(manual.install(older, history, None)), [halt]);
}

#[test]
fn nothing_left_to_do_gives_its_place_back_and_what_the_index_has_is_looked_up() {
    let mut acceptor = acceptor(Immediate);
    assert_eq!(seen(acceptor.executed(ExecutionResult::default())), ["executed", "commit None tell []"]);
    let found = ExecutionResult { committed: vec![bare_id(7)], ..ExecutionResult::default() };
    assert_eq!(seen(acceptor.executed(found)), ["executed", "known 1", "commit None tell []"]);
}

#[test]
fn what_waits_for_a_checkpoint_is_executed_after_it_and_nothing_else_is_meanwhile() {
    let bench = Bench::new(&config());
    let waits = || {
        let held = vec![verified(bench.opened.channel, envelope(bench.opened.channel, 1, 1))];
        ExecutionResult { held, ..ExecutionResult::default() }
    };
    let mut acceptor = acceptor(Immediate);
    let _ = acceptor.propose(vec![], NOW.plus_millis(1));
    let _ = acceptor.executed(executed(1));
    let _ = acceptor.propose(vec![], NOW.plus_millis(2));
    assert_eq!(seen(acceptor.executed(waits())), ["checkpoint"]);
    // Blocks before it come to the disk meanwhile, and want a checkpoint, too.
    assert_eq!(persisted(&mut acceptor, 1, Pressure::Wait), ["commit Some(1) tell [1]"]);
    assert_eq!(seen(acceptor.checkpointed()), ["execute 2 at 2 above []"]);
    assert_eq!(seen(acceptor.executed(waits())), ["checkpoint"], "what came meanwhile is not written yet");
    assert_eq!(seen(acceptor.checkpointed()), ["execute 2 at 2 above []"]);
    assert_eq!(seen(acceptor.executed(executed(2))), ["executed", "append 2", "apply 2"]);
    assert_eq!(seen(acceptor.checkpointed()), [""; 0], "it is executed once");
}

#[test]
fn pressure_holds_persisting_until_the_checkpoint() {
    let mut acceptor = acceptor(Immediate);
    let _ = acceptor.executed(executed(1));
    let _ = acceptor.executed(executed(2));
    assert_eq!(persisted(&mut acceptor, 1, Pressure::Wait), ["commit Some(1) tell [1]", "checkpoint"], "block 2 waits");
    assert_eq!(seen(acceptor.checkpoint()), [""; 0], "one checkpoint at a time");
    assert_eq!(seen(acceptor.checkpointed()), ["append 2", "apply 2"]);
    assert_eq!(persisted(&mut acceptor, 2, Pressure::CheckpointDue), ["commit Some(2) tell [2]", "checkpoint"]);
    assert_eq!(seen(acceptor.executed(executed(3))), ["executed", "append 3", "apply 3"], "due is no reason to wait");
}
