//! Where a command of an organization's administrator does its work: in the authorities' folder, or at a peer that has it.

use super::directory::Directory;
use crate::cli::{
    failure::Failure,
    session::{Global, Session},
};
use ca::CertificateFolder;
use client::connection::{Connection, RequestError};
use tokio::runtime::Runtime;

/// The folder that was named, else the profile's peer.
pub(super) enum Place {
    /// The folder itself: whoever has it may do everything.
    Folder(CertificateFolder),
    /// A peer: the profile's certificate says who asks.
    Peer(Box<Remote>),
}

/// A peer that is asked over HTTPS.
pub(super) struct Remote {
    session: Session,
    runtime: Runtime,
}

impl Remote {
    /// The profile's peer.
    pub(super) fn open(global: &Global) -> Result<Self, Failure> {
        let session = Session::open(global)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::unavailable(error.to_string()))?;
        Ok(Self { session, runtime })
    }

    /// Does something that takes more than one request.
    pub(super) fn work<T>(&self, work: impl AsyncFnOnce(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        self.runtime.block_on(work(&self.session))
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T, RequestError>,
    ) -> Result<T, Failure> {
        Ok(self.runtime.block_on(question(&self.session.connection))?)
    }
}

impl Directory {
    /// Where the work is done.
    pub(super) fn place(&self, global: &Global) -> Result<Place, Failure> {
        if self.dir.is_some() {
            return Ok(Place::Folder(self.open()?));
        }
        if global.profile.is_none() {
            return Err(Failure::usage(
                "where are the authorities? Give --dir DIR (or CHANCERY_DIR) for their folder on this machine, or \
                 --profile DIR (or CHANCERY_PROFILE) to ask a peer that has it",
            ));
        }
        if self.acting.by.is_some() {
            return Err(Failure::usage("over HTTPS the profile's certificate says who acts: leave --by out"));
        }
        Ok(Place::Peer(Box::new(Remote::open(global)?)))
    }
}
