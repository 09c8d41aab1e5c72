//! Checks the blocks of a folder that `chancery channel fetch` wrote.

use crate::{
    certificates::paths::ParticipantPaths,
    cli::{ca::in_full, failure::Failure, output::Output, progress::Progress},
};
use channel_actors::block::{
    folder::BlockReader,
    verify_offline::{AuditReport, audit_blocks},
};
use ledger_classes::primitives::hash::Hash;
use std::path::Path;

/// Checks the blocks of a folder.
pub(super) fn checked(folder: &Path, known: Option<Hash>, output: Output) -> Result<AuditReport, Failure> {
    let blocks = BlockReader::open(folder).map_err(|error| Failure::usage(in_full(&error)))?;
    let is = blocks.kept().channel;
    if let Some(known) = known.filter(|known| *known != is) {
        return Err(Failure::refused(format!("these are blocks of the channel {is}, not of {known}")));
    }
    let mut progress = Progress::new(output);
    let name = blocks.kept().name.clone();
    let audited: Result<AuditReport, channel_actors::ChannelError> =
        audit_blocks(blocks, &ParticipantPaths, |done, of| progress.show(&name, done, of));
    drop(progress);
    audited.map_err(|error| Failure::refused(format!("{}: NOT SOUND: {}", folder.display(), in_full(&error))))
}
