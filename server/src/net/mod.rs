//! Connections: limited in number and time, secured, and read as HTTP; and who is at their other end.

pub mod address;
pub mod caller;
pub mod deadlines;
pub(crate) mod file_limits;
pub mod handshakes;
pub mod places;
pub mod standing;
pub(crate) mod wire;
