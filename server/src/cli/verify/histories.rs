//! Whether two proofs, or two folders of blocks, are of one history.

use super::blocks::checked;
use crate::cli::{
    ca::in_full,
    failure::Failure,
    output::{Output, clean},
};
use channel_actors::block::folder::BlockReader;
use client::fork::{CompareError, Comparison, Contradiction, Fork, SealedBytes, Sealer, Side, compare_files};
use ledger_classes::formats::block::Block;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use serde::Serialize;
use std::path::Path;

/// What was found.
#[derive(Serialize)]
struct Told<'a> {
    /// `fork`, `one-history` or `not-tied`.
    histories: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fork: Option<&'a Fork>,
}

/// Holds two proofs against each other.
pub(super) fn proofs(one: &Path, other: &Path, known: Option<Hash>, output: Output) -> Result<(), Failure> {
    match compare_files(one, other, known) {
        Ok(Comparison::Fork(fork)) => tell(&fork, output),
        Ok(Comparison::OneHistory) => told(output, "one-history", "Both proofs hold, and one history holds both.\n"),
        Ok(Comparison::NotTied) => told(
            output,
            "not-tied",
            "Both proofs hold and do not contradict each other. Whether one history holds both they do not tell: ask for \
             the earlier one again with the height of the other (`chancery tx proof ID --later HEIGHT`).\n",
        ),
        Err(CompareError::Verify(error)) => Err(error.into()),
        Err(error @ CompareError::Channels { .. }) => Err(Failure::refused(error.to_string())),
    }
}

fn told(output: Output, histories: &'static str, text: &str) -> Result<(), Failure> {
    output.show(&Told { histories, fork: None }, |_| text.to_owned())
}

fn tell(fork: &Fork, output: Output) -> Result<(), Failure> {
    output.show(&Told { histories: "fork", fork: Some(fork) }, |_| {
        let mut text = format!("FORK: the channel {} has two histories, which part at block {}", fork.channel, fork.height);
        text.push_str(match fork.contradiction {
            Contradiction::Header => ".\n",
            Contradiction::Previous => ": the later block follows another one.\n",
            Contradiction::Configuration => " or before: each knows of another configuration.\n",
            Contradiction::Time => " or before: block time goes back.\n",
            Contradiction::Outcome => " or before: one transaction has two outcomes.\n",
        });
        fork.sides.iter().for_each(|side| text.push_str(&format!("  {}\n", clean(&side.to_string()))));
        text + "Both seals hold. The ledger was copied and runs twice, or its orderer seals what it likes: keep the files.\n"
    })?;
    Err(Failure::Reported)
}

/// Checks two folders of blocks and finds where they part.
pub(super) fn blocks(folders: [&Path; 2], known: Option<Hash>, output: Output) -> Result<(), Failure> {
    let reports = [checked(folders[0], known, output)?, checked(folders[1], known, output)?];
    let [one, other] = &reports;
    if one.channel != other.channel {
        let error = CompareError::Channels { one: one.channel, other: other.channel };
        return Err(Failure::refused(error.to_string().replacen("the proofs are", "the blocks are", 1)));
    }
    match parting(folders, one.channel)? {
        Some(fork) => tell(&fork, output),
        None => told(output, "one-history", "Both folders are sound, and one history holds both.\n"),
    }
}

/// The first height at which two sound folders of one channel have different blocks.
fn parting(folders: [&Path; 2], channel: Hash) -> Result<Option<Fork>, Failure> {
    let damaged = |error| Failure::refused(in_full(&error));
    let [one, other] = folders;
    let mut ones = BlockReader::open(one).map_err(damaged)?;
    let mut others = BlockReader::open(other).map_err(damaged)?;
    let mut genesis: Option<ChannelConfig> = None;
    while let (Some((one, _)), Some((other, _))) =
        (ones.next_block().map_err(damaged)?, others.next_block().map_err(damaged)?)
    {
        let (height, contradiction) = (one.header.height, Contradiction::Header);
        if one.header.hash() != other.header.hash() {
            let sides = vec![side(&one, genesis.as_ref()), side(&other, genesis.as_ref())];
            return Ok(Some(Fork { channel, height, contradiction, transaction: None, sides }));
        }
        if height == 0 {
            genesis = one.genesis_config().ok();
        }
    }
    Ok(None)
}

/// The ordering peer is genesis' as long as no change can set another.
fn side(block: &Block, genesis: Option<&ChannelConfig>) -> Side {
    let peers = genesis.map(|genesis| genesis.peers.as_slice()).unwrap_or_default();
    let time: Time = block.header.time;
    Side {
        height: block.header.height,
        header: block.header.hash(),
        time,
        sealed_by: Sealer::of(&block.seal, peers),
        evidence: SealedBytes::new(&block.header, &block.seal),
    }
}
