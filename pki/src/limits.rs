//! Bounds of certificates, CRLs and requests that are read of others, each with its unit and reason.
//! Bounds that participants' paths share with the ledger are in [`ledger_classes::limits`].

/// Bytes of a CRL: some 400,000 entries. A larger one is refused unread.
pub const CRL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Earlier CRLs of one CA that are kept because they revoke what no newer one does. With one more, the oldest is
/// forgotten: a CA that drops what has expired needs one more only once in the life of a certificate.
pub const EARLIER_CRLS_MAX: usize = 16;

/// Bytes of those of one CA.
pub const EARLIER_CRL_BYTES_MAX: usize = 2 * CRL_BYTES_MAX;

/// Octets of a serial number (RFC 5280 §4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;

/// Bytes of a certificate request, DER. One with a P-256 key and one name has some 250.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a certificate request in PEM or base64: those of the largest one, with its lines.
pub const REQUEST_TEXT_BYTES_MAX: usize = 24 * 1024;

/// CA certificates that a peer may offer at once: two for each of a hundred organizations, with roots and links. Each
/// may cost whoever is offered them some signature checks.
pub const OFFERED_MAX: usize = 256;

/// Maximum trust anchors that a holder keeps; further ones offered by a peer are ignored. A consortium has two roots while
/// one replaces the other, and few organizations have their own. Each is compared with each path.
pub const ANCHORS_MAX: usize = 64;

/// Issuing CAs of one organization that are taken from peers: one name and key has two certificates while a root is
/// replaced, and few have more than one key.
pub const ISSUING_PER_ORGANIZATION_MAX: usize = 8;

/// How far back a certificate's validity begins, so that a peer whose clock is behind accepts it at once.
pub const BACKDATE_MS: u64 = 5 * 60 * 1000;
