//! What the program that shows itself makes for the demonstration.

use ca::Cause;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A peer to be made for the demonstration.
#[derive(Clone, Copy, Debug)]
pub struct NewPeer<'a> {
    /// Its directory, which is not there yet.
    pub dir: &'a Path,
    /// The trust domain.
    pub consortium: &'a str,
    /// The organization that has it.
    pub organization: &'a str,
    /// Its first administrator.
    pub admin: &'a str,
    /// Where it answers HTTPS.
    pub listen: SocketAddr,
    /// Where it answers those who watch over it.
    pub metrics_listen: SocketAddr,
}

/// What the program that shows itself makes for the demonstration. All else goes through the API, as for everybody.
pub trait Setup: fmt::Debug {
    /// Makes a peer's directory, as `chancery init` does; returns the administrator's profile.
    ///
    /// # Errors
    /// It cannot be made.
    fn make_peer(&self, peer: &NewPeer<'_>) -> io::Result<PathBuf>;

    /// Makes a folder with certificates a profile of a peer.
    ///
    /// # Errors
    /// It cannot be written.
    fn make_profile(&self, folder: &Path, address: &str, consortium: &str) -> io::Result<()>;

    /// By whom certificates are issued, and why.
    fn cause(&self) -> Cause;
}
