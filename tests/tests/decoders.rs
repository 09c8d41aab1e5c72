//! Decoders of outside bytes on their corpora, and on mutations of them from a seed that every failure prints;
//! `CHANCERY_SEED` takes it back. The fuzz targets of `fuzz/` run the same functions for longer.

use channel_actors::pipeline::ordering::recode_message;
use channel_actors::pipeline::witness_message::WitnessMessage;
use ledger_classes::formats::block::{Block, Header, Seal};
use ledger_classes::formats::proof::{Proof, Trust};
use ledger_classes::primitives::{codec, json};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use tests::conformance;
use tests::decoders::DECODERS;

/// Mutations of each file.
const ROUNDS: u32 = 200;

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(&path).expect("readable"));
    files.into_iter().map(read).collect()
}

fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    let below = |random: &mut ChaCha8Rng, end: usize| random.next_u32() as usize % end.max(1);
    for _ in 0..=random.next_u32() % 4 {
        let at = below(random, bytes.len());
        match random.next_u32() % 5 {
            _ if bytes.is_empty() => bytes.push(random.next_u32() as u8),
            0 => bytes[at] ^= 1 << (random.next_u32() % 8),
            1 => bytes[at] = random.next_u32() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next_u32() as u8),
            // A length that claims everything.
            _ => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
        }
    }
}

/// Of another form they would all be refused at their first byte, and try nothing behind it.
#[test]
fn corpora_of_blocks_proofs_and_messages_are_of_the_form_of_now() {
    let of = |name: &str| {
        corpus(name)
            .into_iter()
            .map(|(path, bytes)| (path.file_name().expect("a file").to_string_lossy().into_owned(), bytes))
    };
    for (file, bytes) in of("block") {
        match file.as_str() {
            "header" => drop(codec::decode::<Header>(&bytes, bytes.len()).expect("a header")),
            "seal" => drop(codec::decode::<Seal>(&bytes, bytes.len()).expect("a seal")),
            _ => {
                Block::decode(&bytes).expect("a block").check_body().expect("whole");
            }
        }
    }
    for (file, bytes) in of("proof") {
        match file.as_str() {
            "trust" => drop(json::from_slice::<Trust>(&bytes).expect("a way").verify(None).expect("holds")),
            _ => drop(json::from_slice::<Proof>(&bytes).expect("a proof").verify(None).expect("holds")),
        }
    }
    for (file, bytes) in of("witness_message").filter(|(file, _)| file != "empty") {
        WitnessMessage::decode(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    for (file, bytes) in of("ordering_message").filter(|(file, _)| file != "empty") {
        assert_eq!(recode_message(&bytes).ok(), Some(bytes), "{file}");
    }
    let whole = of("block_file").find(|(file, _)| file == "three-blocks").expect("there").1;
    let mut said = Vec::new();
    conformance::chain::run(whole.as_slice(), &mut said).expect("of the form");
    let said = String::from_utf8(said).expect("text");
    assert_eq!(said.lines().filter(|line| line.contains("\"ok\":true")).count(), 3, "{said}");
}

#[test]
fn no_bytes_make_a_decoder_panic_or_accept_a_second_form() {
    let seed = std::env::var("CHANCERY_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    for (name, decode) in DECODERS {
        let files = corpus(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for (path, bytes) in files {
            decode(&bytes);
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            for round in 0..ROUNDS {
                let mut changed = bytes.clone();
                mutate(&mut changed, &mut random);
                let done = catch_unwind(|| decode(&changed));
                assert!(
                    done.is_ok(),
                    "CHANCERY_SEED={seed}, {}, round {round}: {}",
                    path.display(),
                    hex::encode(changed)
                );
            }
        }
    }
}
