//! Known vectors of certificate transparency, and agreement of all forms with the definition in RFC 9162.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::primitives::codec::{decode, encode};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const LEAF_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const LEAF_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const NODE_2_4: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const NODE_4_6: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const NODE_6_8: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const NODE_4_8: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

fn known_leaves(size: usize) -> Vec<Hash> {
    LEAVES[..size].iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
}

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| Hash::parse(text).unwrap()).collect()
}

fn numbered_leaves(size: usize) -> Vec<Hash> {
    (0..size).map(|number| leaf_hash(&number.to_le_bytes())).collect()
}

/// MTH, PATH and SUBPROOF as RFC 9162 §2.1 writes them, for comparison.
mod definition {
    use super::*;

    fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
        leaves.split_at(leaves.len().next_power_of_two() / 2)
    }

    pub(super) fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::plain(&[]),
            [leaf] => *leaf,
            _ => {
                let (left, right) = halves(leaves);
                node_hash(&root(left), &root(right))
            }
        }
    }

    pub(super) fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = halves(leaves);
        let (mut path, other) = match index.checked_sub(left.len()) {
            None => (path(index, left), root(right)),
            Some(index) => (path(index, right), root(left)),
        };
        path.push(other);
        path
    }

    pub(super) fn subproof(size: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if size == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let (left, right) = halves(leaves);
        let (mut path, other) = match size.checked_sub(left.len()) {
            None | Some(0) => (subproof(size, left, whole), root(right)),
            Some(size) => (subproof(size, right, false), root(left)),
        };
        path.push(other);
        path
    }
}

#[test]
fn the_roots_are_those_of_certificate_transparency() {
    let mut range = CompactRange::new();
    for (size, text) in ROOTS.into_iter().enumerate() {
        assert_eq!(root(&known_leaves(size)).to_string(), text, "{size} leaves");
        assert_eq!((range.root().to_string().as_str(), range.size()), (text, size as u64));
        if let Some(leaf) = known_leaves(8).get(size) {
            range.append(*leaf);
        }
    }
}

#[test]
fn the_paths_are_those_of_certificate_transparency() {
    let inclusion: [(u64, usize, &[&str]); 6] = [
        (0, 1, &[]),
        (0, 8, &[LEAF_1, NODE_2_4, NODE_4_8]),
        (5, 8, &[LEAF_4, NODE_6_8, ROOTS[4]]),
        (2, 3, &[ROOTS[2]]),
        (1, 5, &[ROOTS[1], NODE_2_4, LEAF_4]),
        (4, 5, &[ROOTS[4]]),
    ];
    for (index, size, expected) in inclusion {
        let leaves = known_leaves(size);
        let path = inclusion_path(&leaves, index).unwrap();
        assert_eq!(path, hashes(expected), "leaf {index} of {size}");
        assert!(verify_inclusion(&root(&leaves), size as u64, index, &leaves[index as usize], &path));
    }
    let consistency: [(u64, usize, &[&str]); 5] = [
        (1, 1, &[]),
        (1, 8, &[LEAF_1, NODE_2_4, NODE_4_8]),
        (6, 8, &[NODE_4_6, NODE_6_8, ROOTS[4]]),
        (2, 5, &[NODE_2_4, LEAF_4]),
        (4, 5, &[LEAF_4]),
    ];
    for (size1, size2, expected) in consistency {
        let path = hashes(expected);
        assert_eq!(definition::subproof(size1 as usize, &known_leaves(size2), true), path, "{size1} in {size2}");
        let roots = hashes(&[ROOTS[size1 as usize], ROOTS[size2]]);
        assert!(verify_consistency(size1, size2 as u64, &roots[0], &roots[1], &path));
    }
}

#[test]
fn nothing_outside_the_tree_has_a_path() {
    let leaves = numbered_leaves(5);
    let outside = |index, size| Err(MerklePathError::OutOfBounds { index, size });
    assert_eq!(inclusion_path(&leaves, 5), outside(5, 5));
    assert_eq!(inclusion_path(&[], 0), outside(0, 0));
    assert_eq!(
        inclusion_path_from_nodes(5, 4, |level, _| (level != 2).then_some(Hash::ZERO)),
        Err(MerklePathError::MissingNode { level: 2, index: 0 })
    );
    let none = |_, _| None;
    assert_eq!(inclusion_path_from_nodes(u64::MAX, 0, none), Err(MerklePathError::MissingNode { level: 62, index: 2 }));
}

#[test]
fn consistency_with_an_empty_tree_proves_nothing() {
    let (empty, one) = (empty_root(), leaf_hash(b"one"));
    assert!(verify_consistency(0, 0, &empty, &empty, &[]));
    assert!(!verify_consistency(0, 0, &empty, &empty, &[one]));
    assert!(!verify_consistency(0, 1, &empty, &one, &[]));
    assert!(!verify_consistency(0, 1, &empty, &one, &[one]));
    assert!(!verify_consistency(1, 0, &one, &empty, &[]));
    assert!(!verify_inclusion(&empty, 0, 0, &one, &[]));
}

/// A path that stops below the top of the tree it claims proves nothing about that tree.
#[test]
fn a_path_too_short_for_the_size_is_refused() {
    let roots = hashes(&ROOTS);
    let path = definition::subproof(6, &known_leaves(8), true);
    assert!(verify_consistency(6, 8, &roots[6], &roots[8], &path));
    for size2 in [9, 16, 17, 1 << 40, u64::MAX] {
        assert!(!verify_consistency(6, size2, &roots[6], &roots[8], &path), "{size2}");
        assert!(!verify_consistency(4, size2, &roots[4], &roots[4], &[]), "{size2}");
    }
    let (leaf, path) = (known_leaves(8)[2], inclusion_path(&known_leaves(8), 2).unwrap());
    for size in [9, 16, 17, 1 << 40, u64::MAX] {
        assert!(!verify_inclusion(&roots[8], size, 2, &leaf, &path), "{size}");
    }
}

#[test]
fn a_stored_range_is_read_back_and_a_false_one_refused() {
    let mut range = CompactRange::new();
    for leaf in numbered_leaves(13) {
        range.append(leaf);
    }
    let bytes = encode(&range);
    assert_eq!(bytes.len(), 8 + 3 * 32);
    assert_eq!(decode::<CompactRange>(&bytes, 200), Ok(range));
    assert!(decode::<CompactRange>(&bytes[..bytes.len() - 1], 200).is_err());
    let mut other = bytes.clone();
    other[0] = 15; // four peaks
    assert!(decode::<CompactRange>(&other, 200).is_err());
    other[0] = 12; // two peaks
    assert!(decode::<CompactRange>(&other, 200).is_err());
    assert!(decode::<CompactRange>(&[0xff; 8 + 64 * 32], 4096).is_err());
}

#[test]
fn a_range_is_rebuilt_from_stored_nodes_at_every_past_size() {
    let (mut range, mut nodes, mut past) = (CompactRange::new(), BTreeMap::new(), vec![CompactRange::new()]);
    for leaf in numbered_leaves(70) {
        nodes.extend(range.append(leaf).into_iter().map(|node| ((node.level, node.index), node.hash)));
        past.push(range.clone());
    }
    for then in past {
        let rebuilt = CompactRange::from_nodes(then.size(), |level, index| nodes.get(&(level, index)).copied());
        assert_eq!(rebuilt, Ok(then));
    }
    let missing = CompactRange::from_nodes(6, |level, _| (level == 2).then_some(Hash::ZERO));
    assert_eq!(missing, Err(MerklePathError::MissingNode { level: 1, index: 2 }));
}

#[test]
fn all_forms_agree_with_the_definition_at_every_size() {
    let leaves = numbered_leaves(70);
    let mut nodes = BTreeMap::new();
    let mut range = CompactRange::new();
    for leaf in &leaves {
        for node in range.append(*leaf) {
            assert_eq!(nodes.insert((node.level, node.index), node.hash), None, "a node completes once");
        }
    }
    let lookup = |level, index| nodes.get(&(level, index)).copied();
    for size in 1..=leaves.len() {
        let (tree, size64) = (&leaves[..size], size as u64);
        let expected_root = definition::root(tree);
        assert_eq!(root(tree), expected_root);
        assert_eq!(root_from_nodes(size64, lookup), Ok(expected_root));
        for (index, leaf) in tree.iter().enumerate() {
            let path = definition::path(index, tree);
            assert_eq!(inclusion_path(tree, index as u64).as_ref(), Ok(&path));
            assert_eq!(inclusion_path_from_nodes(size64, index as u64, lookup).as_ref(), Ok(&path));
            assert!(verify_inclusion(&expected_root, size64, index as u64, leaf, &path));
        }
        for size1 in 1..=size {
            let path = definition::subproof(size1, tree, true);
            assert!(verify_consistency(
                size1 as u64,
                size64,
                &definition::root(&leaves[..size1]),
                &expected_root,
                &path
            ));
        }
    }
}

/// The ways a path can be wrong: a bit, a hash too many or too few at either end.
fn mutations(path: &[Hash], place: usize, bit: usize) -> Vec<Vec<Hash>> {
    let mut mutations = vec![[path, &[Hash::ZERO]].concat(), [&[Hash::ZERO], path].concat()];
    if let (Some((_, without_first)), Some((_, without_last))) = (path.split_first(), path.split_last()) {
        mutations.push(without_first.to_vec());
        mutations.push(without_last.to_vec());
        let mut flipped = path.to_vec();
        flipped[place % path.len()].0[bit / 8] ^= 1 << (bit % 8);
        mutations.push(flipped);
        mutations.push([path, &path[path.len() - 1..]].concat());
    }
    mutations
}

proptest! {
    #[test]
    fn no_other_inclusion_path_verifies(
        size in 1usize..200, index in any::<usize>(), other in any::<u64>(), place in any::<usize>(), bit in 0usize..256,
    ) {
        let (leaves, index) = (numbered_leaves(size), index % size);
        let (tree_root, leaf, size, index) = (root(&leaves), leaves[index], size as u64, index as u64);
        let path = inclusion_path(&leaves, index).unwrap();
        prop_assert_eq!(&path, &definition::path(index as usize, &leaves));
        prop_assert!(verify_inclusion(&tree_root, size, index, &leaf, &path));
        for path in mutations(&path, place, bit) {
            prop_assert!(!verify_inclusion(&tree_root, size, index, &leaf, &path));
        }
        for other in [other % size, other, u64::MAX, size] {
            prop_assert_eq!(verify_inclusion(&tree_root, size, other, &leaf, &path), other == index);
        }
        prop_assert!(!verify_inclusion(&tree_root, size, index, &Hash::ZERO, &path));
        prop_assert!(!verify_inclusion(&Hash::ZERO, size, index, &leaf, &path));
    }

    #[test]
    fn no_other_consistency_path_verifies(
        size1 in 1usize..200, more in 1usize..200, place in any::<usize>(), bit in 0usize..256,
    ) {
        let leaves = numbered_leaves(size1 + more);
        let (root1, root2) = (root(&leaves[..size1]), root(&leaves));
        let (size1, size2) = (size1 as u64, leaves.len() as u64);
        let path = definition::subproof(size1 as usize, &leaves, true);
        prop_assert!(verify_consistency(size1, size2, &root1, &root2, &path));
        for path in mutations(&path, place, bit) {
            prop_assert!(!verify_consistency(size1, size2, &root1, &root2, &path));
        }
        prop_assert!(!verify_consistency(size1, size2, &root2, &root1, &path));
        prop_assert!(!verify_consistency(size1, size2, &root1, &Hash::ZERO, &path));
        prop_assert!(!verify_consistency(size1, size2, &Hash::ZERO, &root2, &path));
        prop_assert!(!verify_consistency(size2, size1, &root1, &root2, &path));
    }

    #[test]
    fn no_input_panics(
        numbers in any::<[u64; 2]>(), small in any::<[u8; 2]>(), path in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let path: Vec<_> = path.into_iter().map(Hash).collect();
        let numbers = [numbers, small.map(u64::from), numbers.map(|number| u64::MAX - number % 3), numbers.map(|n| 1 << (n % 64))];
        for [first, second] in numbers {
            prop_assert!(!verify_inclusion(&Hash::ZERO, first, second, &Hash::ZERO, &path));
            prop_assert!(!verify_consistency(first, second, &Hash::ZERO, &leaf_hash(b""), &path));
            let _ = inclusion_path_from_nodes(first, second, |_, _| Some(Hash::ZERO));
        }
    }
}

#[test]
fn paths_of_levels_are_inclusion_paths() {
    for size in 1..40u8 {
        let leaves: Vec<Hash> = (0..size).map(|leaf| leaf_hash(&[leaf])).collect();
        let levels = Levels::new(leaves.clone());
        for index in 0..size {
            let path = inclusion_path(&leaves, u64::from(index)).unwrap();
            assert_eq!(levels.path(u32::from(index)), path, "{index} of {size}");
        }
    }
}
