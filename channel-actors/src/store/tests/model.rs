//! The store against a plain map, under random blocks, checkpoints, reopenings and reads.

use super::disk::Machine;
use super::*;
use ledger_classes::formats::blinding::{Blinder, BlindingSeed};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Apply a block: key number, and value or removal.
    Apply(Vec<(u8, Option<u8>)>),
    Checkpoint,
    /// Drop the store without closing, open it, replay.
    Reopen,
    /// Keep a view and look at it again at the end.
    Hold,
    /// Let the oldest kept view go.
    Release,
    Read(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..24u8, prop_oneof![2 => any::<u8>().prop_map(Some), 1 => Just(None)]);
    let step = prop_oneof![
        6 => prop::collection::vec(change, 0..6).prop_map(Step::Apply),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        2 => Just(Step::Hold),
        1 => Just(Step::Release),
        3 => (0..26u8, 0..26u8).prop_map(|(from, end)| Step::Read(from, end)),
    ];
    prop::collection::vec(step, 1..40)
}

fn first_of(model: &BTreeMap<Vec<u8>, Vec<u8>>, from: &[u8], end: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    model.iter().find(|(key, _)| key.as_slice() >= from && key.as_slice() < end).map(|(k, v)| (k.clone(), v.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_reads_as_a_map_does_and_its_tree_is_that_over_the_map(
        steps in steps(), tree_bytes in prop_oneof![Just(0), Just(1 << 18)],
    ) {
        let machine = Machine::default();
        let (state_cache_bytes, log_cache_bytes) = (1 << 18, 1 << 18);
        let options = StoreOptions { state_cache_bytes, log_cache_bytes, tree_bytes, ..Default::default() };
        let mut store = ChannelStore::create_on(&machine, options).unwrap();
        let (mut model, mut blocks, mut held) = (BTreeMap::new(), Vec::<Writes>::new(), Vec::new());
        for step in steps {
            match step {
                Step::Apply(changes) => {
                    let value = |byte: u8| Value::from([byte].as_slice());
                    // Several keys for each, so that the tree has many pages.
                    let keys = |(key, byte): (u8, Option<u8>)| {
                        let more = (0..6).map(move |more| (vec![key, more], byte.map(value)));
                        std::iter::once((vec![key], byte.map(value))).chain(more)
                    };
                    let writes: Writes = changes.into_iter().flat_map(keys).collect();
                    for (key, value) in &writes {
                        match value {
                            Some(value) => model.insert(key.clone(), value.to_vec()),
                            None => model.remove(key),
                        };
                    }
                    let height = blocks.len() as u64;
                    store.append(&record(height)).unwrap();
                    let _ = store.apply_writes(height, &writes, &[(id(height), 1)]).unwrap();
                    blocks.push(writes);
                }
                Step::Checkpoint => {
                    let height = store.checkpoint().unwrap();
                    prop_assert_eq!(height, store.state_height());
                }
                Step::Reopen => {
                    held.clear();
                    drop(store);
                    store = ChannelStore::open_on(&machine, options).unwrap();
                    let from = store.state_height().map_or(0, |height| height + 1);
                    for (height, writes) in (0..).zip(&blocks).skip(from as usize) {
                        let _ = store.apply_writes(height, writes, &[(id(height), 1)]).unwrap();
                    }
                }
                Step::Hold => held.push((store.view().unwrap(), model.clone())),
                Step::Release if held.is_empty() => {}
                Step::Release => drop(held.remove(0)),
                Step::Read(from, end) => {
                    let view = store.view().unwrap();
                    let first = view.first_in(&[from], &[end]).unwrap().map(|(key, value)| (key, value.to_vec()));
                    prop_assert_eq!(first, first_of(&model, &[from], &[end]));
                    let value = view.get(&[from]).unwrap().map(|value| value.to_vec());
                    prop_assert_eq!(value, model.get([from].as_slice()).cloned());
                }
            }
        }
        held.push((store.view().unwrap(), model));
        for (view, model) in held {
            prop_assert_eq!(entries(&view), model.clone());
            check_tree(&view, &model);
            for key in 0..26 {
                let (key, value) = ([key, 3], model.get([key, 3].as_slice()).map(Vec::as_slice));
                let blinder = Blinder::new(&BlindingSeed::new([1; 32]), &Hash::ZERO);
                let proof = view.tree().prove(&view, &blinder, &key).unwrap();
                let root = view.tree().state_root(&view, &blinder).unwrap();
                prop_assert_eq!(proof.verify(&root, &key, value), Ok(()));
            }
        }
        for height in 0..blocks.len() as u64 {
            prop_assert_eq!(store.transaction(&id(height)).unwrap(), Some((height, 1)));
        }
    }
}
