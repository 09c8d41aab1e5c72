//! What an engine gives as a seal is held against the rules of the chain before the block is on the disk.

use super::*;
use crate::pipeline::ordering::{OrderingEffect, OrderingEngine, OrderingInput, Sealing};
use ledger_classes::formats::block::{Seal, SealSignature, seal_message};
use ledger_classes::keys::SigningKey;

/// The seal of a block with this hash.
type MakeSeal = fn(&Hash) -> Sealing;

/// Makes each block final, with this seal.
struct Seals(MakeSeal);

impl OrderingEngine for Seals {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        let OrderingInput::Propose { block } = input else { return Vec::new() };
        let (height, seal) = (block.header.height, (self.0)(&block.hash));
        vec![OrderingEffect::Final { height }, OrderingEffect::Seal { height, seal }]
    }
}

fn signed(key: &SigningKey, hash: &Hash, place: u64) -> Sealing {
    let signature = key.sign(&seal_message(hash, place));
    Sealing::Signed(Seal::Quorum { place, signatures: vec![SealSignature { key: key.public(), signature }] })
}

/// The last block, the halt and the answers, after one transaction.
fn after_one(world: &mut World) -> (u64, Option<String>, Option<SubmitResult>) {
    let credits = Arc::new(Credits::default());
    let envelope = envelope(world.bench.opened.channel, 1, 1);
    let (mut submission, arrival) = arrival(envelope, Wait::Committed, &credits);
    world.channel.submit(vec![arrival]);
    while world.channel.shell.halted.is_none()
        && let Some(waiting) = world.channel.shell.waiting.pop()
    {
        let outcome = match waiting {
            Waiting::Work(work) => work.run(&world.channel.place),
            Waiting::Done(outcome) => outcome,
        };
        world.channel.done(outcome);
    }
    (world.channel.place.shared.tip().height, world.channel.shell.halted.clone(), answer(&mut submission))
}

/// Only heights were looked at: a peer kept a log that no peer could open, and told its blocks.
#[test]
fn a_seal_of_an_engine_that_does_not_make_its_block_final_halts_before_anything_is_kept_or_told() {
    let wrong: [(&str, MakeSeal); 6] = [
        ("those who sealed it weigh 0, and 1 is needed", |_| {
            Sealing::Signed(Seal::Quorum { place: 0, signatures: Vec::new() })
        }),
        ("the seal is not of the kind that this block needs", |_| Sealing::Signed(Seal::Genesis {})),
        ("the seal has a signature of a key that orders no block here", |hash| signed(&key(9), hash, 0)),
        ("one peer orders alone, and the seal names the term or round 3", |hash| signed(&key(200), hash, 3)),
        ("a signature of the seal does not verify", |_| signed(&key(200), &Hash([7; 32]), 0)),
        ("a signature of the seal, or its key, is not in its canonical form", |hash| {
            let Sealing::Signed(Seal::Quorum { place, mut signatures }) = signed(&key(200), hash, 0) else {
                panic!("a quorum")
            };
            signatures[0].signature.0[63] |= 0xf0;
            Sealing::Signed(Seal::Quorum { place, signatures })
        }),
    ];
    for (words, seal) in wrong {
        let mut world = World::ordered_by(Box::new(Seals(seal)));
        let (height, halted, told) = after_one(&mut world);
        assert_eq!((height, world.bench.opened.store.log_tip()), (0, Some(0)), "{words}");
        let reason = halted.expect("it halts");
        assert_eq!(reason, format!("persisting failed: block 1: {words}"));
        assert!(!matches!(told, Some(SubmitResult::Committed { .. })), "{told:?}");
    }
    for seal in [|hash: &Hash| signed(&key(200), hash, 0), |_: &Hash| Sealing::Alone] {
        let (height, halted, told) = after_one(&mut World::ordered_by(Box::new(Seals(seal))));
        assert_eq!((height, halted), (1, None));
        assert!(matches!(told, Some(SubmitResult::Committed { .. })), "{told:?}");
    }
}

/// Its key signs what goes to the disk, and is nobody's any more.
#[test]
fn a_peer_that_does_not_order_seals_nothing_alone() {
    let mut world = World::new();
    let place = Arc::get_mut(&mut world.channel.place).expect("nobody else has it");
    place.key = Arc::new(key(9));
    let (height, halted, _) = after_one(&mut world);
    let words = "persisting failed: block 1: the seal has a signature of a key that orders no block here";
    assert_eq!((height, halted.as_deref()), (0, Some(words)));
}
