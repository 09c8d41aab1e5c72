//! The limits alone, without a peer: for a look at a machine, or at another build of the same code.

use crate::error::LoadError;
use crate::machine::Machine;
use crate::options::Options;
use crate::report::Measured;
use std::path::Path;

pub(super) fn run(_: &Options) -> Result<Measured, LoadError> {
    Ok(Measured::on(Machine::with_disk(Path::new("."))))
}
