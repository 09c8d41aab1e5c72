//! Bounds and lifetimes of certificates and CRLs, each with its unit and reason.
//! Bounds that participants' paths share with the ledger are in [`ledger_classes::limits`].

/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Bytes of a CRL: some 400,000 entries. A larger one is refused unread.
pub const CRL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Octets of a serial number (RFC 5280 §4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;

/// Alternative names of one peer besides its identity.
pub const ALTERNATIVE_NAMES_MAX: usize = 32;

/// Lifetime of a root: outlives every issuing CA below it.
pub const ROOT_LIFETIME_MS: u64 = 20 * 365 * DAY_MS;

/// Lifetime of an organization's issuing CA.
pub const ISSUING_LIFETIME_MS: u64 = 10 * 365 * DAY_MS;

/// Lifetime of a leaf unless the administrator says otherwise.
pub const LEAF_LIFETIME_MS: u64 = 365 * DAY_MS;

/// How far back a certificate's validity begins, so that a peer whose clock is behind accepts it at once.
pub const BACKDATE_MS: u64 = 5 * 60 * 1000;

/// From an issuing CA's CRL to its next update. After that, peers refuse its certificates by default.
pub const CRL_LIFETIME_MS: u64 = 30 * DAY_MS;

/// From the root's CRL to its next update: the root is kept offline and rarely revokes.
pub const ROOT_CRL_LIFETIME_MS: u64 = 365 * DAY_MS;

const _: () = assert!(LEAF_LIFETIME_MS < ISSUING_LIFETIME_MS && ISSUING_LIFETIME_MS < ROOT_LIFETIME_MS);
