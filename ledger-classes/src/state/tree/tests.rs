//! The tree beside one that is computed from all entries, and its pages and proofs under changes.

use super::bucket::Set;
use super::proof::Way;
use crate::formats::blinding::{Blinder, BlindingSeed};
use crate::state::tree::*;
use crate::state::view::{ReadError, Writes};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Entries = BTreeMap<Path, u8>;

/// The root by the definition alone.
fn naive(entries: &[(Path, Hash)]) -> Hash {
    match entries {
        [] => EMPTY,
        [(path, value)] => Hash::plain(&[&[2], &path.0, &value.0]),
        [first, .., last] => {
            let depth = (0..256).find(|bit| first.0.bit(*bit) != last.0.bit(*bit)).expect("they differ");
            let middle = entries.iter().position(|(path, _)| path.bit(depth)).expect("the last one has a 1 there");
            let (left, right) = (naive(&entries[..middle]), naive(&entries[middle..]));
            Hash::plain(&[&[3, u8::try_from(depth).expect("a bit")], &left.0, &right.0])
        }
    }
}

fn blinder() -> Blinder {
    Blinder::new(&BlindingSeed::new([3; 32]), &Hash::ZERO)
}

fn encoded(way: &Way) -> Vec<u8> {
    let mut bytes = Vec::new();
    way.encode_into(&mut bytes);
    bytes
}

fn verdict(way: &Way, root: &Hash, path: Path, value: Option<&[u8]>) -> Result<(), ProofError> {
    if way.root(path, value)? == *root { Ok(()) } else { Err(ProofError::Root) }
}

fn naive_root(entries: &Entries) -> Hash {
    let entries: Vec<(Path, Hash)> = entries.iter().map(|(path, value)| (*path, value_hash(&[*value]))).collect();
    naive(&entries)
}

/// Paths of one of several kinds: spread evenly, with long common prefixes, and close to each other at the end.
fn path() -> impl Strategy<Value = Path> {
    prop_oneof![
        4 => prop_oneof![any::<u16>(), 0u16..400].prop_map(|number| Path::of(&[&[0x11][..], &number.to_be_bytes()].concat())),
        1 => (0u8..3, 0u8..32, any::<u8>()).prop_map(|(first, at, byte)| {
            let mut bytes = [first; 32];
            bytes[usize::from(at)] = byte;
            Path(bytes)
        }),
        1 => any::<u8>().prop_map(|last| {
            let mut bytes = [0xa5; 32];
            bytes[31] = last;
            Path(bytes)
        }),
    ]
}

fn apply(entries: &mut Entries, changes: &BTreeMap<Path, Option<u8>>) -> Vec<Set> {
    for (path, value) in changes {
        match value {
            Some(value) => entries.insert(*path, *value),
            None => entries.remove(path),
        };
    }
    changes.iter().map(|(path, value)| (*path, value.map(|value| value_hash(&[value])))).collect()
}

/// Pages on a disk.
#[derive(Clone, Default)]
struct Disk(BTreeMap<[u8; Place::KEY_BYTES], Vec<u8>>);

impl Pages for Disk {
    fn page(&self, place: &Place) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(&place.key()).cloned())
    }
}

impl Disk {
    fn save(&mut self, tree: &StateTree) {
        let before = self.clone();
        let saved = tree.save(&before, |change| {
            match change {
                Change::Put(place, page) => drop(self.0.insert(place.key(), page)),
                Change::Remove(place) => drop(self.0.remove(&place.key())),
                Change::RemoveBelow(place) => {
                    let (first, last) = place.below();
                    self.0.retain(|key, _| *key < first || *key > last);
                }
            }
            Ok::<_, ReadError>(())
        });
        assert_eq!(saved, Ok(()));
    }
}

/// What is done to the tree that a disk is behind.
#[derive(Clone, Debug)]
enum Step {
    Block(BTreeMap<Path, Option<u8>>),
    /// A checkpoint is written of what was so many blocks ago, while the tree goes on.
    Checkpoint(usize),
    Forget,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    // Removed as often as set, at times, so that nodes come and go.
    let change = || (path(), prop::option::weighted(0.6, any::<u8>()));
    let block = |sizes| prop::collection::vec(change(), sizes).prop_map(|block| block.into_iter().collect());
    prop_oneof![
        6 => block(0..12).prop_map(Step::Block),
        4 => block(0..400).prop_map(Step::Block),
        2 => (0usize..3).prop_map(Step::Checkpoint),
        1 => Just(Step::Forget),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_the_root_is_that_of_the_entries_and_each_path_is_proven(
        blocks in prop::collection::vec(
            prop::collection::btree_map(path(), prop::option::weighted(0.7, any::<u8>()), 0..160), 1..10),
        asked in prop::collection::vec(path(), 20),
    ) {
        let (mut tree, mut entries) = (StateTree::default(), Entries::new());
        for changes in blocks {
            let changes = apply(&mut entries, &changes);
            tree = tree.update_paths(&NoPages, &changes).expect("all is in memory");
            prop_assert_eq!((tree.root(), tree.keys()), (naive_root(&entries), entries.len() as u64));
        }
        let mut parts = [EMPTY; 16];
        tree.part_roots(&NoPages, &mut parts).expect("all is in memory");
        for (part, root) in (0u8..).zip(parts) {
            let some = entries.iter().filter(|(path, _)| path.part() == part).map(|(path, value)| (*path, *value));
            prop_assert_eq!(root, naive_root(&some.collect()), "part {}", part);
        }
        let root = tree.root();
        for path in asked.into_iter().chain(entries.keys().copied()) {
            let proof = tree.way(&NoPages, path).expect("all is in memory");
            prop_assert_eq!(Way::decode(&encoded(&proof)), Some(proof.clone()));
            let value = entries.get(&path).map(|value| vec![*value]);
            prop_assert_eq!(verdict(&proof, &root, path, value.as_deref()), Ok(()));
            let wrong = if value.is_some() { None } else { Some(vec![7]) };
            prop_assert!(verdict(&proof, &root, path, wrong.as_deref()).is_err());
            prop_assert!(verdict(&proof, &Hash([7; 32]), path, value.as_deref()).is_err());
        }
    }

    #[test]
    fn no_proof_of_another_path_or_with_a_byte_changed_says_anything_about_this_one(
        paths in prop::collection::btree_map(path(), any::<u8>(), 2..120),
        asked in path(), other in path(), at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let mut entries = Entries::new();
        let changes = apply(&mut entries, &paths.into_iter().map(|(path, value)| (path, Some(value))).collect());
        let tree = StateTree::default().update_paths(&NoPages, &changes).expect("all is in memory");
        let (root, value) = (tree.root(), entries.get(&asked).map(|value| vec![*value]));
        let false_value = if value.is_some() { None } else { entries.get(&other).map(|value| vec![*value]) };
        let proof = tree.way(&NoPages, asked).expect("all is in memory");
        let of_other = tree.way(&NoPages, other).expect("all is in memory");
        for lie in [&false_value, &Some(vec![])].into_iter().filter(|lie| **lie != value) {
            prop_assert!(verdict(&of_other, &root, asked, lie.as_deref()).is_err());
        }
        let mut bytes = encoded(&proof);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some(changed) = Way::decode(&bytes) {
            prop_assert_eq!(encoded(&changed), bytes, "one form");
            for said in [&value, &false_value] {
                prop_assert!(verdict(&changed, &root, asked, said.as_deref()).is_err());
            }
        }
        prop_assert!(Way::decode(&[encoded(&proof), vec![0]].concat()).is_none());
    }

    #[test]
    fn pages_hold_the_tree_of_their_checkpoint_whatever_was_forgotten_and_no_page_is_left_over(
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let (mut disk, mut entries) = (Disk::default(), Entries::new());
        // The trees of the last blocks, the newest last, and what is on the disk.
        let (mut trees, mut saved) = (vec![(StateTree::default(), Entries::new())], (StateTree::default(), Entries::new()));
        for step in steps {
            let (tree, _) = trees.last().expect("never empty").clone();
            match step {
                Step::Block(changes) => {
                    let changes = apply(&mut entries, &changes);
                    let next = tree.update_paths(&disk, &changes).expect("pages");
                    prop_assert_eq!(next.root(), naive_root(&entries));
                    trees.push((next, entries.clone()));
                }
                Step::Checkpoint(ago) => {
                    let at = trees.len().saturating_sub(ago + 1);
                    let (tree, entries) = trees[at].clone();
                    disk.save(&tree);
                    tree.set_saved();
                    trees.drain(..at);
                    saved = (tree, entries);
                }
                Step::Forget => {
                    let (_, entries) = trees.pop().expect("never empty");
                    trees.push((tree.without_saved(), entries));
                }
                Step::Reopen => {
                    entries = saved.1.clone();
                    trees = vec![(StateTree::stored(saved.0.root(), saved.0.keys()), entries.clone())];
                }
            }
        }
        // All there is, read from its pages alone.
        let (tree, entries) = trees.pop().expect("never empty");
        disk.save(&tree);
        let read = StateTree::stored(tree.root(), tree.keys());
        prop_assert_eq!(read.state_root(&disk, &blinder()), tree.state_root(&disk, &blinder()));
        for (path, value) in &entries {
            let proof = read.way(&disk, *path).expect("pages");
            prop_assert_eq!(verdict(&proof, &naive_root(&entries), *path, Some(&[*value])), Ok(()));
        }
        let mut afresh = Disk::default();
        let changes = apply(&mut Entries::new(), &entries.into_iter().map(|(path, value)| (path, Some(value))).collect());
        afresh.save(&StateTree::default().update_paths(&NoPages, &changes).expect("all is in memory"));
        prop_assert_eq!(disk.0, afresh.0);
    }

    #[test]
    fn trees_of_any_age_are_proven_and_gone_on_with_as_if_each_were_alone(
        steps in prop::collection::vec((
            any::<prop::sample::Index>(),
            prop::collection::btree_map(path(), prop::option::weighted(0.6, any::<u8>()), 0..120),
            any::<bool>(),
        ), 1..16),
        asked in prop::collection::vec(path(), 8),
    ) {
        let mut trees = vec![(StateTree::default(), Entries::new())];
        for (of, changes, apart) in steps {
            let (tree, mut entries) = trees[of.index(trees.len())].clone();
            let tree = if apart { tree.apart() } else { tree };
            let changes = apply(&mut entries, &changes);
            let next = tree.update_paths(&NoPages, &changes).expect("all is in memory");
            prop_assert_eq!((next.root(), next.keys()), (naive_root(&entries), entries.len() as u64));
            trees.push((next, entries));
            // Trees that nobody has any more are gone, and others stay as they are.
            if trees.len() > 6 {
                trees.remove(of.index(6));
            }
        }
        for (tree, entries) in &trees {
            for path in asked.iter().chain(entries.keys().take(20)) {
                let proof = tree.way(&NoPages, *path).expect("all is in memory");
                let value = entries.get(path).map(|value| vec![*value]);
                prop_assert_eq!(verdict(&proof, &naive_root(entries), *path, value.as_deref()), Ok(()));
            }
        }
    }

    #[test]
    fn a_page_that_rots_or_is_another_one_is_an_error(
        at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let entries: BTreeMap<Path, Option<u8>> =
            (0u16..900).map(|number| (Path::of(&[&[0x11][..], &number.to_be_bytes()].concat()), Some(7))).collect();
        let changes = apply(&mut Entries::new(), &entries);
        let tree = StateTree::default().update_paths(&NoPages, &changes).expect("all is in memory");
        let mut disk = Disk::default();
        disk.save(&tree);
        let key = *disk.0.keys().nth(at.index(disk.0.len())).expect("there are pages");
        let page = disk.0.get_mut(&key).expect("it is there");
        let byte = byte.index(page.len());
        page[byte] ^= flip;
        let read = StateTree::stored(tree.root(), tree.keys());
        let found = entries.keys().map(|path| read.way(&disk, *path)).filter(Result::is_err).count();
        prop_assert!(found > 0);
    }
}

#[test]
fn what_a_block_writes_is_what_is_proven() {
    let value = |text: &str| crate::state::view::Value::from(text.as_bytes());
    let mut writes: Writes = (0..100u8).map(|number| (vec![0x11, number], Some(value("1")))).collect();
    let tree = StateTree::default().update(&NoPages, &writes).expect("all is in memory");
    writes = [(vec![0x11, 3], None), (vec![0x11, 4], Some(value("2")))].into();
    let next = tree.update(&NoPages, &writes).expect("all is in memory");
    let proven = |tree: &StateTree, key: &[u8], value: Option<&[u8]>| {
        let root = tree.state_root(&NoPages, &blinder()).expect("all is in memory");
        tree.prove(&NoPages, &blinder(), key).expect("all is in memory").verify(&root, key, value)
    };
    assert_eq!(proven(&tree, &[0x11, 3], Some(b"1")), Ok(()), "the earlier tree is as it was");
    assert_eq!(proven(&next, &[0x11, 3], None), Ok(()));
    assert_eq!(proven(&next, &[0x11, 4], Some(b"2")), Ok(()));
    assert_eq!(proven(&next, &[0x11, 4], Some(b"1")), Err(ProofError::Root));
    assert_eq!(proven(&StateTree::default(), &[0x11, 4], None), Ok(()), "nothing is in an empty tree");
}

/// Memory kept every bucket in which a key had changed, whole: a thousand keys of a million needed as much as twenty
/// thousand.
#[test]
fn of_buckets_that_changed_since_their_pages_memory_keeps_what_was_set() {
    let path = |number: u16| Path::of(&[&[0x11][..], &number.to_be_bytes()].concat());
    let all = (0u16..5000).map(|number| (path(number), Some(7))).collect();
    let mut entries = Entries::new();
    let tree = StateTree::default().update_paths(&NoPages, &apply(&mut entries, &all)).expect("all is in memory");
    assert_eq!((tree.bytes(), tree.bytes_needed()), (5000 * 128, 5000 * 128), "there are no pages yet");
    let mut disk = Disk::default();
    disk.save(&tree);
    tree.set_saved();
    let stored = tree.without_saved();
    assert_eq!((stored.bytes(), stored.root()), (0, tree.root()));
    // A value, another one, the first one again: what is set is what counts, not what differs.
    let set = |tree: &StateTree, disk: &Disk, entries: &mut Entries, numbers: std::ops::Range<u16>, value: u8| {
        let changes = numbers.map(|number| (path(number * 7), Some(value))).collect();
        tree.update_paths(disk, &apply(entries, &changes)).expect("pages")
    };
    let one = set(&stored, &disk, &mut entries, 0..100, 9);
    let of_one = entries.clone();
    assert!(one.bytes() > 50 * 128 * 15 && one.bytes_needed() <= 100 * (256 + 64), "{one:?}: {}", one.bytes());
    let late = one.without_saved();
    assert_eq!((late.bytes(), late.root()), (one.bytes_needed(), naive_root(&of_one)));
    let two = set(&late, &disk, &mut entries, 50..150, 7);
    let late = two.without_saved();
    let proven = |tree: &StateTree, disk: &Disk, entries: &Entries| {
        for (path, value) in entries.iter().step_by(3) {
            let way = tree.way(disk, *path).expect("pages");
            assert_eq!(verdict(&way, &naive_root(entries), *path, Some(&[*value])), Ok(()));
        }
    };
    proven(&late, &disk, &entries);
    // Pages of a checkpoint between: they have values that were set back since.
    let apart = one.apart();
    disk.save(&apart);
    proven(&late, &disk, &entries);
    // And of what was late when the checkpoint began.
    let three = set(&late, &disk, &mut entries, 140..160, 3);
    let late = three.without_saved();
    disk.save(&late);
    late.set_saved();
    assert_eq!(late.without_saved().bytes(), 0);
    proven(&StateTree::stored(late.root(), late.keys()), &disk, &entries);
    // Keys that come or go are not only set: their buckets stay.
    let gone = set(&late.without_saved(), &disk, &mut entries, 0..1, 1);
    let changes = apply(&mut entries, &BTreeMap::from([(path(1), None)]));
    let gone = gone.update_paths(&disk, &changes).expect("pages");
    assert!(gone.bytes_needed() > 256 + 64 && gone.without_saved().bytes() == gone.bytes_needed());
}

/// Pages of a disk that fails at some reads.
struct Failing<'a>(&'a Disk, std::cell::Cell<u32>);

impl Pages for Failing<'_> {
    fn page(&self, place: &Place) -> Result<Option<Vec<u8>>, ReadError> {
        let left = self.1.get().checked_sub(1).ok_or_else(|| ReadError("the disk failed".into()))?;
        self.1.set(left);
        self.0.page(place)
    }
}

#[test]
fn a_read_that_fails_leaves_the_tree_as_it_was() {
    let all = (0u16..900).map(|number| (Path::of(&[&[0x11][..], &number.to_be_bytes()].concat()), Some(7))).collect();
    let mut entries = Entries::new();
    let tree = StateTree::default().update_paths(&NoPages, &apply(&mut entries, &all)).expect("all is in memory");
    let mut disk = Disk::default();
    disk.save(&tree);
    // Other values, keys that go, and so many of them that buckets are put together.
    let some = |(at, path): (usize, &Path)| (*path, (at % 4 == 0).then_some(9));
    let changed: BTreeMap<Path, Option<u8>> = entries.keys().enumerate().map(some).collect();
    let before = entries.clone();
    let changes = apply(&mut entries, &changed);
    let (mut failed, mut reads) = (0, 0);
    let next = loop {
        let stored = StateTree::stored(tree.root(), tree.keys());
        match stored.update_paths(&Failing(&disk, reads.into()), &changes) {
            Ok(next) => break next,
            Err(_) => {
                failed += 1;
                let next = stored.update_paths(&disk, &changes).expect("pages");
                assert_eq!(next.root(), naive_root(&entries), "after {reads} reads");
                let path = before.keys().next().expect("there are keys");
                let proof = stored.way(&disk, *path).expect("pages");
                assert_eq!(verdict(&proof, &tree.root(), *path, Some(&[7])), Ok(()));
                reads += 7;
            }
        }
    };
    assert!(failed > 3 && next.root() == naive_root(&entries), "{failed} reads failed");
}

#[test]
fn a_tree_from_which_thousands_were_made_goes_without_ado_and_is_proven_before() {
    let set = |value: u64| vec![(Path::of(&[0x11, 1]), Some(value_hash(&value.to_le_bytes())))];
    let first = StateTree::default().update_paths(&NoPages, &set(0)).expect("all is in memory");
    let mut newest = first.clone();
    for value in 1..100_000 {
        newest = newest.update_paths(&NoPages, &set(value)).expect("all is in memory");
    }
    let proven = |tree: &StateTree, value: u64| {
        let way = tree.way(&NoPages, Path::of(&[0x11, 1])).expect("all is in memory");
        verdict(&way, &tree.root(), Path::of(&[0x11, 1]), Some(&value.to_le_bytes()))
    };
    let one = first.clone();
    drop(first);
    assert_eq!((proven(&newest, 99_999), proven(&one, 0)), (Ok(()), Ok(())));
    let second = one.update_paths(&NoPages, &set(5)).expect("all is in memory");
    let mut newest = second.clone();
    for value in 1..100_000 {
        newest = newest.update_paths(&NoPages, &set(value)).expect("all is in memory");
    }
    drop((one, second));
}

/// What stands beside a key is of its class; of other classes there are hashes that are blinded.
#[test]
fn a_proof_shows_nothing_of_other_parts_that_could_be_guessed() {
    let value = |text: &'static [u8]| Some(crate::state::view::Value::from(text));
    // One key in a part, and some in others: in the part of the one that is asked for, in families of their own.
    let mut writes = Writes::from([(vec![0x20, 1], value(b"1")), (vec![0x11, 1], value(b"1"))]);
    for keys in [0, 60] {
        writes.extend(
            (0..keys).flat_map(|number| [vec![0x11, number], vec![0x40, number]]).map(|key| (key, value(b"1"))),
        );
        let tree = StateTree::default().update(&NoPages, &writes).expect("all is in memory");
        let root = tree.state_root(&NoPages, &blinder()).expect("all is in memory");
        let of_part = |first: u8| {
            let some = writes.iter().filter(|(key, _)| key[0] >> 4 == first);
            StateTree::of(&some.map(|(key, value)| (key.clone(), value.clone())).collect()).root()
        };
        let leaf = |key: &[u8]| leaf_hash(&Path::of(key), &value_hash(b"1"));
        let mut foreign: Vec<Hash> = writes.keys().filter(|key| key[0] >> 4 != 1).map(|key| leaf(key)).collect();
        foreign.extend([0, 2, 4].map(of_part));
        foreign.push(tree.root());
        for (key, there) in [(vec![0x11, 1], true), (vec![0x11, 200], false), (vec![0x10, 1], false)] {
            let proof = tree.prove(&NoPages, &blinder(), &key).expect("all is in memory");
            assert_eq!(proof.verify(&root, &key, there.then_some(&b"1"[..])), Ok(()));
            let bytes = proof.encode();
            let shown = |hash: &Hash| bytes.windows(32).any(|window| window == hash.0);
            assert!(!foreign.iter().any(shown), "{key:?} among {keys}");
            // Not with what is shown in place of what hides it, either.
            let hidden = |by: &[u8]| Hash::plain(&[&[0], by, &of_part(2).0]);
            assert!(!bytes.windows(32).any(|by| shown(&hidden(by))));
            let blinded = blinder().leaf(crate::formats::blinding::Blinded::StatePart { part: 2 }, &of_part(2).0);
            let far = bytes.windows(32).filter(|window| *window == blinded.0).count();
            assert_eq!(far, 0, "it stands two steps away, below a node");
        }
        // Absent from a part without keys, and the neighbour of a part with one.
        for (key, has) in [(vec![0x50, 1], None), (vec![0x20, 1], Some(&b"1"[..])), (vec![0x30], None), (vec![], None)]
        {
            let proof = tree.prove(&NoPages, &blinder(), &key).expect("all is in memory");
            assert_eq!(proof.verify(&root, &key, has), Ok(()), "{key:?}");
            assert!(proof.verify(&root, &key, if has.is_some() { None } else { Some(b"1") }).is_err());
            assert_eq!(Proof::decode(&proof.encode()), Ok(proof));
        }
    }
}

/// A way that begins above its part leads elsewhere, whatever hash it comes to.
#[test]
fn a_proof_stays_in_its_part() {
    let value = |text: &'static [u8]| Some(crate::state::view::Value::from(text));
    let writes = Writes::from([(vec![0x20, 1], value(b"1")), (vec![0x11, 1], value(b"1"))]);
    let tree = StateTree::default().update(&NoPages, &writes).expect("all is in memory");
    let path = Path::of(&[0x11, 1]);
    let way = tree.way(&NoPages, path).expect("all is in memory");
    assert!(way.leaves_part(path) && !way.clone().within_part(path).leaves_part(path));
    let absent = Path::of(&[0x50, 1]);
    let way = tree.way(&NoPages, absent).expect("all is in memory");
    assert!(way.leaves_part(absent) && !way.clone().within_part(absent).leaves_part(absent));
    // Whatever root somebody would make for it.
    let reached = way.root(absent, None).expect("it leads to another key");
    let leaf = crate::merkle::blinded_leaf_hash(&Hash::ZERO, &reached.0);
    let above = |hash: Hash, bit: u8| match absent.part() >> bit & 1 {
        1 => crate::merkle::node_hash(&Hash::ZERO, &hash),
        _ => crate::merkle::node_hash(&hash, &Hash::ZERO),
    };
    let root = (0..4).fold(leaf, above);
    let proof = Proof::decode(&[vec![0; 160], encoded(&way)].concat()).expect("of the form");
    assert_eq!(proof.verify(&root, &[0x50, 1], None), Err(ProofError::Root));
}

/// A page of a directory says how many keys there are below, and its hash does not hold that: the sum of two was not checked.
#[test]
fn a_directory_with_more_keys_than_can_be_is_an_error() {
    let changes: Vec<Set> = (0..=255u8).map(|number| (Path([number; 32]), Some(value_hash(&[1])))).collect();
    let tree = StateTree::default().update_paths(&NoPages, &changes).expect("in memory");
    let mut disk = Disk::default();
    disk.save(&tree);
    let mut spoilt = 0;
    for bytes in disk.0.values_mut() {
        if let Ok(page::Page::Directory(mut below)) = page::Page::decode(bytes) {
            below.iter_mut().for_each(|one| one.keys = u64::MAX);
            *bytes = page::Page::Directory(below).encode();
            spoilt += 1;
        }
    }
    assert!(spoilt > 0);
    let stored = StateTree::stored(tree.root(), tree.keys());
    assert!(stored.check(&disk).is_err());
    assert!(stored.update_paths(&disk, &changes[..1]).is_err());
}

/// Who wanted a proof of a tree waited for the disk that the next tree was read from.
#[test]
fn pages_are_read_while_others_have_the_nodes() {
    struct Watched<'a>(&'a Disk, &'a StateTree, std::cell::Cell<u32>);
    impl Pages for Watched<'_> {
        fn page(&self, place: &Place) -> Result<Option<Vec<u8>>, ReadError> {
            assert!(!self.1.is_held(), "nobody waits");
            self.2.set(self.2.get() + 1);
            self.0.page(place)
        }
    }
    let changes: Vec<Set> = (0..=255u8).map(|number| (Path([number; 32]), Some(value_hash(&[1])))).collect();
    let whole = StateTree::default().update_paths(&NoPages, &changes).expect("in memory");
    let mut disk = Disk::default();
    disk.save(&whole);
    let tree = StateTree::stored(whole.root(), whole.keys());
    let pages = Watched(&disk, &tree, Default::default());
    let next: Vec<Set> = changes.iter().step_by(9).map(|(path, _)| (*path, None)).collect();
    let newer = tree.update_paths(&pages, &next).expect("its pages are there");
    assert!(pages.2.get() > 1);
    assert_eq!(newer, whole.update_paths(&NoPages, &next).expect("in memory"));
    assert_eq!(tree.keys(), 256);
}
