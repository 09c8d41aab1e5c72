//! `conformance chain`: a channel's blocks, in the form that `chancery block export` writes, through the function that
//! every block of the ledger passes, `ledger_classes::chain::check`.

use channel_actors::block::file::{BlockFileEntry, BlockFileReader};
use ledger_classes::chain;
use ledger_classes::chain::{ExecutionError, History, Invalid};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::tree::NoPages;
use ledger_classes::state::view::MemoryState;
use serde::Serialize;
use server::certificates::paths::ParticipantPaths;
use std::io;
use std::io::{Read, Write};

/// What is said of one height.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Its height.
    pub height: u64,
    /// Whether it is the next valid block.
    pub ok: bool,
    /// The name of the rule that it breaks (`docs/formats/invalid-blocks.txt`).
    pub reason: Option<&'static str>,
}

/// Answers a line for each block of `input`, up to the first that is refused.
///
/// # Errors
/// Reading or writing fails, or the input is of another form.
pub fn run(input: impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut reader = BlockFileReader::new(input)?;
    let (mut history, mut state) = (History::new(), MemoryState::default());
    loop {
        let height = history.next();
        let invalid = match reader.read_entry()? {
            BlockFileEntry::End => return Ok(()),
            BlockFileEntry::Broken => Some(Invalid::Malformed),
            BlockFileEntry::Bytes(bytes) => next(&mut history, &mut state, &bytes)?,
        };
        let reason = invalid.map(|invalid| invalid.name());
        serde_json::to_writer(&mut *output, &Verdict { height, ok: reason.is_none(), reason })?;
        output.write_all(b"\n")?;
        if reason.is_some() {
            return Ok(());
        }
    }
}

/// Takes the next block, or says why not.
fn next(history: &mut History, state: &mut MemoryState, bytes: &[u8]) -> io::Result<Option<Invalid>> {
    if history.last().is_some()
        && let Err(error) = chain::check_rules(state)
    {
        return refused(error);
    }
    let block = match chain::decode(bytes) {
        Ok(block) => block,
        Err(invalid) => return Ok(Some(invalid)),
    };
    // Reproducible, which a peer's seed must not be: see `verify_batch`.
    let Hash(seed) = Hash::plain(&[bytes]);
    match history.check(&block, None, state, &NoPages, &ParticipantPaths, seed) {
        Ok(checked) => {
            state.apply(&checked.writes);
            let _ = history.advance(&checked);
            Ok(None)
        }
        Err(error) => refused(error),
    }
}

fn refused(error: ExecutionError) -> io::Result<Option<Invalid>> {
    match error {
        ExecutionError::Invalid(invalid) => Ok(Some(invalid)),
        ExecutionError::Read(error) => Err(io::Error::other(error)),
    }
}
