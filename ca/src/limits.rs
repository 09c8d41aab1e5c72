//! Lifetimes of what is issued and bounds of what is kept, each with its unit and reason.
//! Bounds of what is read of others are in [`pki::limits`].

/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Alternative names of one peer besides its identity.
pub const ALTERNATIVE_NAMES_MAX: usize = 32;

/// Bytes of those together: with them a certificate stays below what paths take.
pub const ALTERNATIVE_NAME_BYTES_MAX: usize = 4 * 1024;

/// Lifetime of a root: outlives every issuing CA below it.
pub const ROOT_LIFETIME_MS: u64 = 20 * 365 * DAY_MS;

/// Lifetime of an organization's issuing CA.
pub const ISSUING_LIFETIME_MS: u64 = 10 * 365 * DAY_MS;

/// Lifetime of a leaf unless the administrator says otherwise.
pub const LEAF_LIFETIME_MS: u64 = 365 * DAY_MS;

/// From an issuing CA's CRL to its next update. After that, peers refuse its certificates by default.
pub const CRL_LIFETIME_MS: u64 = 30 * DAY_MS;

/// From the root's CRL to its next update: the root is kept offline and rarely revokes.
pub const ROOT_CRL_LIFETIME_MS: u64 = 365 * DAY_MS;

/// Requests for one organization that wait for a decision: strangers may file them, and somebody must look at each.
pub const REQUESTS_OPEN_MAX: usize = 256;

/// Those of them that callers without a certificate filed: they cost nothing to file.
pub const REQUESTS_OPEN_OF_STRANGERS_MAX: usize = 128;

/// Those of them that members of one organization filed, administrators aside: it gives as many certificates as it likes.
pub const REQUESTS_OPEN_OF_ORGANIZATION_MAX: usize = 64;

/// Places among all of them that are kept for administrators.
pub const REQUESTS_KEPT_FOR_ADMINISTRATORS: usize = 16;

/// Requests of one caller (an identity, or an address for those who have none yet) that wait for a decision.
pub const REQUESTS_OPEN_PER_REQUESTER_MAX: usize = 8;

/// From filing a request to its lapse, if nobody decides: a queue must not fill up for ever.
pub const REQUEST_LIFETIME_MS: u64 = 30 * DAY_MS;

/// The same for a request of a caller without a certificate to which no administrator has said yes: over a weekend, and
/// no longer than that does a stranger keep others out.
pub const STRANGERS_REQUEST_LIFETIME_MS: u64 = 3 * DAY_MS;

/// Certificates of one identity that are valid at the same time: renewal overlaps, but does not pile up.
pub const CERTIFICATES_PER_IDENTITY_MAX: usize = 16;

/// How long after its end a certificate may still be renewed by whoever holds its key: a member that was away for a
/// month need not be enrolled again.
pub const RENEWAL_GRACE_MS: u64 = 30 * DAY_MS;

/// How far the instant in a signed renewal may be from the CA's clock: a captured one is useless soon.
pub const RENEWAL_SKEW_MS: u64 = 5 * 60 * 1000;

/// Lifetime of a certificate that is issued for a request, unless the administrator says otherwise.
pub const ENROLLED_LIFETIME_MS: u64 = 90 * DAY_MS;

/// The longest lifetime that an administrator can give.
pub const ENROLLED_LIFETIME_MAX_MS: u64 = 3650 * DAY_MS;

/// Enrolment tokens of one organization that are open at a time. With one more, none is made until some are cancelled or
/// expire.
pub const TOKENS_OPEN_MAX: usize = 1_000;

/// The longest time for which an enrolment token is good.
pub const TOKEN_LIFETIME_MAX_MS: u64 = 90 * DAY_MS;

/// Octets of a passphrase.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// scrypt's N as a power of two, r and p (RFC 7914 §2) of keys that are written here: 30 MiB (128·N·r) and some 0.06 s.
/// OpenSSL 3 opens no key that takes more than 32 MiB, so that r is odd rather than N greater.
pub const SCRYPT_COST: (u8, u32, u32) = (14, 15, 1);

/// Bytes that opening a key file may take: 128·N·r. A file that asks for more is refused before any work.
pub const SCRYPT_MEMORY_MAX: u64 = 128 * 1024 * 1024;

/// N·r·p that a key file may ask for: some thirty times what is written here, two seconds.
pub const SCRYPT_WORK_MAX: u64 = 8 << 20;

/// PBKDF2 rounds that a key file of another program may ask for (RFC 8018 §4.2 names ten million for the most critical
/// keys): a few seconds.
pub const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// Approvals that a policy may ask for.
pub const APPROVALS_MAX: u32 = 8;

/// Characters of who did something in the folder: an identity is the longest.
pub const WHO_CHARS_MAX: usize = 512;

/// Most characters of a reason.
pub const WHY_CHARS_MAX: usize = 256;

const _: () = assert!(LEAF_LIFETIME_MS < ISSUING_LIFETIME_MS && ISSUING_LIFETIME_MS < ROOT_LIFETIME_MS);
