//! `conformance state`: what keys have in a state, through `state::tree::Proof::verify`; and vectors for others.

use super::answer_lines;
use ledger_classes::formats::blinding::{Blinder, BlindingSeed};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::state::tree::{NoPages, Proof, StateTree};
use ledger_classes::state::view::{Value, Writes};
use serde::Deserialize;
use serde_json::json;
use std::io::{self, BufRead, Write};

/// A vector; all in hex.
#[derive(Debug, Deserialize)]
pub struct StateVector {
    /// The header's state root.
    pub root: Hash,
    /// The key.
    pub key: HexBytes,
    /// The value; null says that the key is absent.
    #[serde(default)]
    pub value: Option<HexBytes>,
    /// The proof.
    pub proof: HexBytes,
}

/// Answers every line of `input`.
pub fn run(input: impl BufRead, output: &mut impl Write) -> io::Result<()> {
    answer_lines(input, output, |vector| Ok(judge(vector)))
}

fn judge(vector: &StateVector) -> bool {
    let StateVector { root, key, value, proof } = vector;
    let proof = Proof::decode(&proof.0);
    proof.is_ok_and(|proof| proof.verify(root, &key.0, value.as_ref().map(|value| value.0.as_slice())).is_ok())
}

/// A state of so many keys of several families, with values of several lengths.
fn state(keys: u32) -> Writes {
    let entry = |number: u32| {
        let family = [0x01, 0x11, 0x11, 0x11, 0x11, 0x13, 0x40][number as usize % 7];
        let key = [&[family][..], b"key/", number.to_string().as_bytes()].concat();
        (key, Some(Value::from(format!("value {number}").repeat(number as usize % 4).as_bytes())))
    };
    (0..keys).map(entry).collect()
}

/// Lines in the form that [`run`] reads, each with its verdict as `ok`: a file for other languages.
pub fn vectors() -> String {
    let mut lines = String::new();
    let blinder = Blinder::new(&BlindingSeed::new([7; 32]), &Hash::ZERO);
    let mut line = |id: String, ok: bool, root: Hash, key: &[u8], value: Option<&[u8]>, proof: &[u8]| {
        let (key, value, proof) = (hex::encode(key), value.map(hex::encode), hex::encode(proof));
        let vector = json!({ "id": id, "ok": ok, "root": root, "key": key, "value": value, "proof": proof });
        lines.push_str(&format!("{vector}\n"));
    };
    for size in [0, 1, 2, 3, 40, 1_000] {
        let state = state(size);
        let tree = StateTree::of(&state);
        let root = tree.state_root(&NoPages, &blinder).unwrap_or_default();
        let absent = [vec![0x11, 0xff], vec![0x11], vec![0x77, 1], Vec::new()].map(|key| (key, None));
        let asked = state.iter().step_by((state.len() / 3).max(1)).map(|(key, value)| (key.clone(), value.clone()));
        for (number, (key, value)) in asked.chain(absent).enumerate() {
            let id = |what: &str| format!("{size} keys, {number}, {what}");
            let proof = tree.prove(&NoPages, &blinder, &key).map(|proof| proof.encode()).unwrap_or_default();
            let value = value.as_deref();
            line(id(if value.is_some() { "present" } else { "absent" }), true, root, &key, value, &proof);
            let lie = if value.is_some() { None } else { Some(&b"something"[..]) };
            line(id("the contrary"), false, root, &key, lie, &proof);
            line(id("another value"), false, root, &key, Some(b"another"), &proof);
            line(id("another root"), false, Hash([7; 32]), &key, value, &proof);
            line(id("another key"), false, root, &[&key[..], b"x"].concat(), value.or(Some(b"")), &proof);
            line(id("a byte behind it"), false, root, &key, value, &[&proof[..], &[0]].concat());
            line(id("cut off"), false, root, &key, value, &proof[..proof.len() - 1]);
            // The blinding and the four hashes beside the part; the way begins behind them.
            for (at, what) in [(0, "another blinding"), (40, "another part beside it"), (159, "other parts above")] {
                let mut changed = proof.clone();
                changed[at] ^= 1;
                line(id(what), false, root, &key, value, &changed);
            }
            let (head, way) = proof.split_at(160);
            if way[0] > 1 {
                // The first two steps in the other order, and the first one left out.
                let swapped = [head, &way[..2], &way[35..68], &way[2..35], &way[68..]].concat();
                line(id("steps in another order"), false, root, &key, value, &swapped);
                let shorter = [head, &[way[0] - 1, 0], &way[35..]].concat();
                line(id("a step left out"), false, root, &key, value, &shorter);
                let mut doubled = proof.clone();
                doubled[162] ^= 1;
                line(id("a step at another bit"), false, root, &key, value, &doubled);
            }
        }
    }
    lines
}
