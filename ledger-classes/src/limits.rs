//! Every bound of the deterministic core, in one place, with its unit and its reason.
//!
//! These are protocol limits: peers must agree on them, so none of them is configurable.
//! A channel's own, lower limits are in its configuration ([`crate::formats::config::Limits`]).
//! Relations that must hold are asserted at compile time at the end of the file.

/// Bytes of a transaction's payload. At the limit a transaction is refused as `oversize`.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// The least that a channel may set for it: the largest admission, revocation by evidence and renewal of a CA fit in JSON,
/// where hex doubles certificates, and so does a proposal that raises the limit again. With less a channel would be locked.
pub const PAYLOAD_BYTES_MIN: usize = 96 * 1024;
/// Actions of one transaction.
pub const ACTIONS_MAX: usize = 256;
/// The least that a channel may set for it: one act, and `account.act` before it, or no joint account could do anything.
pub const ACTIONS_MIN: usize = 2;
/// Signatures of one envelope: joint accounts and multi-party approvals stay far below.
pub const SIGNATURES_MAX: usize = 32;
/// Bytes of a transaction's memo.
pub const MEMO_BYTES_MAX: usize = 256;
/// Milliseconds that `valid_until` may lie ahead of block time: 24 hours.
pub const VALIDITY_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Transactions of one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 16_384;
/// The least that a channel may set for it: a few people who fill blocks must not keep a revocation waiting.
pub const BLOCK_TRANSACTIONS_MIN: usize = 16;
/// Bytes of all envelopes of one block.
pub const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that a block has room for beside one payload, at least: the signatures of its envelope.
pub const ENVELOPE_ROOM_BYTES: usize = 8 * 1024;
/// Milliseconds that a channel may let a transaction wait for its block to fill, at most.
pub const BLOCK_AGE_MS_MAX: u32 = 60_000;
/// Timers that run at the start of one block; the rest run in the next.
pub const BLOCK_TIMERS_MAX: usize = 1_024;
/// Work that one transaction or timer may cause on any channel, in steps of about a microsecond
/// (`execution/budget.rs`). What one may do by the other limits fits: 1,024 transfers in batches take 6,000, a recovery
/// that looks at everything 20,000, a change of the largest configuration 76,000. At the limit it fails as
/// `budget-exceeded`.
pub const UNIT_STEPS_MAX: u64 = 131_072;
/// Bytes of events that one transaction or timer may cause: a reader takes an event of this size.
pub const UNIT_RECEIPT_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes that one transaction or timer may write: 1,024 movements between balances that hold 32 locks each.
pub const UNIT_WRITTEN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The least that a channel may set for it: a change of the largest configuration.
pub const UNIT_STEPS_MIN: u64 = 98_304;
/// The least that a channel may set for events: a revocation that ends everything of an identity.
pub const UNIT_EVENTS_MIN: u64 = 512;
/// The least that a channel may set for bytes of events.
pub const UNIT_RECEIPT_BYTES_MIN: u64 = 256 * 1024;
/// The least that a channel may set for bytes written: the largest configuration, with the proposal that sets it.
pub const UNIT_WRITTEN_BYTES_MIN: u64 = 1024 * 1024;
/// Transactions of the largest cost for which a block has room, at least: timers leave room for others, and one does not make
/// a block of its own.
pub const BLOCK_UNITS_MIN: u64 = 4;
/// Work of a block after which no other transaction begins in it; half of that for timers. A full block of transfers takes
/// less than 400,000.
pub const BLOCK_STEPS: u64 = 524_288;
/// Events of a block after which no other transaction begins in it.
pub const BLOCK_EVENTS: u64 = 65_536;
/// Bytes of a block's receipts after which no other transaction begins in it: readers take them whole.
pub const BLOCK_RECEIPT_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes that a block writes after which no other transaction begins in it.
pub const BLOCK_WRITTEN_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of the receipts of any block: one transaction may begin below that limit, and end above it.
pub const BLOCK_RECEIPTS_ENCODED_BYTES_MAX: usize = (BLOCK_RECEIPT_BYTES + 2 * UNIT_RECEIPT_BYTES_MAX) as usize;
/// Bytes of a name: channel, organization, asset symbol, contract, app, topic segment.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a human-readable title or display name.
pub const TITLE_BYTES_MAX: usize = 128;
/// Bytes of a log record's topic.
pub const TOPIC_BYTES_MAX: usize = 128;
/// Bytes of a log record's body.
pub const LOG_BODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a SPIFFE ID (SPIFFE-ID §2.3: at most 2048 bytes; ours are short).
pub const IDENTITY_BYTES_MAX: usize = 512;
/// Bytes of one certificate in a path carried by a transaction.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// Certificates of one path carried by a transaction, leaf and root included.
pub const CERTIFICATE_PATH_MAX: usize = 5;
/// Bytes of the OCSP answer that a revocation carries: one of our CAs' has some 500.
pub const OCSP_BYTES_MAX: usize = 4 * 1024;
/// Member organizations of a channel.
pub const ORGANIZATIONS_MAX: usize = 256;
/// Peers that order a channel: their seal and their record stay within what readers take of one proof.
pub const ORDERERS_MAX: usize = 128;
/// Batches that a block lists: beyond, its proposer verifies what is left anew, in larger ones.
pub const BATCHES_MAX: usize = 1_024;
/// Transactions in these: most are in the block.
pub const BATCH_LEAVES_MAX: usize = 2 * BLOCK_TRANSACTIONS_MAX;
/// Signatures under these: 32 batches of as many peers as may order, or more of fewer.
pub const WITNESSES_MAX: usize = 32 * ORDERERS_MAX;
/// Bytes of the encoded record of who may seal: each with the longest identity and the longest key.
pub const ORDERERS_BYTES_MAX: usize = 64 + ORDERERS_MAX * (IDENTITY_BYTES_MAX + 96);
/// The weight of an ordering peer, at most: sums of all stay far below what a u64 holds.
pub const WEIGHT_MAX: u32 = 1_000_000_000;
/// CA certificates of an organization on a channel.
pub const AUTHORITIES_MAX: usize = 8;
/// Grants of a channel's configuration.
pub const GRANTS_MAX: usize = 1_024;
/// How long a proposal is open, milliseconds: 30 days of block time. Then it lapses and is made anew.
pub const PROPOSAL_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Proposals whose time has passed that a new one takes off the list of those that are open.
pub const PROPOSALS_ENDED_MAX: usize = 8;
/// Administrators of an organization that a change of the configuration looks at, the last admitted ones. Beyond them the
/// first is forgotten until it is admitted again.
pub const ADMINISTRATORS_KNOWN_MAX: usize = 64;
/// Open proposals of one organization; nothing has to be paid for them.
pub const PROPOSALS_OPEN_MAX: usize = 64;
/// Admissions of one transaction: each is free, and costs the verification of certificate paths before and in its block.
pub const ADMISSIONS_MAX: usize = 4;
/// Addresses bound to one identity, and those bound by certificates of one key: a revocation touches them all in one action.
/// Revoked ones do not count.
pub const ADDRESSES_MAX: usize = 64;
/// Keys of a joint account.
pub const JOINT_KEYS_MAX: usize = 16;
/// Live locks on one balance.
pub const LOCKS_MAX: usize = 32;
/// Movements of one `account.recover`; posted again it goes on.
pub const RECOVERY_MOVES_MAX: usize = 256;
/// Balances, and items, of a revoked account that one `account.recover` looks at: with an asset named, of that asset.
pub const RECOVERY_LOOKS_MAX: usize = 2_048;
/// Successors one after another that are followed.
pub const SUCCESSORS_MAX: u32 = 64;
/// Transfers of one batch transfer.
pub const BATCH_TRANSFERS_MAX: usize = 256;
/// Decimals of a fungible asset.
pub const DECIMALS_MAX: u8 = 38;
/// Bytes of the settings of an app.
pub const APP_SETTINGS_BYTES_MAX: usize = 16 * 1024;
/// Contracts that an app may name.
pub const APP_CONTRACTS_MAX: usize = 32;
/// Bytes of one argument document of a contract call.
pub const CALL_BYTES_MAX: usize = 16 * 1024;
/// Writes, movements, timers and events of one contract call. At the limit the call fails as `too-many-effects`.
pub const CALL_EFFECTS_MAX: usize = 2_048;
/// Bytes of the data of one event of a contract, and of one value of its own state.
pub const CALL_DATA_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a contract's own state key: with the instance's name it stays within a state key.
pub const CALL_KEY_BYTES_MAX: usize = 160;
/// Milliseconds between a timer and the next one that it may set: no instance keeps a channel busy by itself.
pub const TIMER_STEP_MS_MIN: u64 = 1_000;
/// Milliseconds after a block by which the next one is made while a timer is set: a mark at least each minute.
pub const MARK_MS: u64 = 50_000;
/// Milliseconds by which a block may be later than due without proving an outage: a slow disk, a channel that wakes.
pub const LATE_MS: u64 = 3_000;
/// Milliseconds that deadlines give beyond an outage or a stop, to come back: longer than the time before a late mark
/// in which the channel may have served or not. A stop gives no more than it lasted.
pub const RETURN_MS: u64 = 60_000;
/// Milliseconds that a channel must serve for each one that it gives back after outages: of what it serves, half counts
/// for deadlines however often it restarts.
pub const RETURN_PRICE: u64 = 2;
/// Milliseconds that may be still to serve for what was given back: ten restarts one after another are given all of
/// [`RETURN_MS`]. So a deadline comes after at most [`RETURN_PRICE`] times its time and this much of served time.
pub const UNEARNED_MS_MAX: u64 = 10 * RETURN_PRICE * RETURN_MS;
/// Milliseconds by which pauses and freezes move one deadline at most: 30 days. Then its contract ends without them.
pub const STOPS_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// The least time between two looks at a deadline while something is stopped: each writes a receipt, whoever pays for it.
/// They become rarer, each as late again as the stop is old.
pub const STOP_LOOK_MS_MIN: u64 = 60 * 1_000;
/// Events of one receipt.
pub const EVENTS_MAX: usize = 1_024;
/// Bytes of an encoded detail of a refusal.
pub const DETAIL_BYTES_MAX: usize = 1_024;
/// Bytes of a text in a detail: what is longer is cut.
pub const DETAIL_TEXT_BYTES_MAX: usize = 256;
/// Names in a detail; of more it tells the number.
pub const DETAIL_NAMES_MAX: usize = 8;
/// Bytes of a state key: the longest are an identity and a serial number. A transaction that would write a longer one
/// fails.
pub const STATE_KEY_BYTES_MAX: usize = 640;
/// Bytes of a state value.
pub const STATE_VALUE_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a channel's encoded configuration, which each change writes anew: 256 members with a CA certificate of the
/// usual size, a title and a grant each.
pub const CONFIG_BYTES_MAX: usize = 192 * 1024;
/// Changes of the configuration that one organization's proposals may make at once, after a time without any. Who has
/// used them up stands in no other organization's way, and revocations are no changes.
pub const CONFIG_CHANGES_SAVED: u64 = 64;
/// Milliseconds until one more is there: four a day.
pub const CONFIG_CHANGE_MS: u64 = 6 * 60 * 60 * 1000;
/// Admissions of one organization's people at once, after a time without any: they are free, and each leaves a kilobyte.
/// Beyond, they wait, and nothing else does.
pub const ADMISSIONS_SAVED: u64 = 65_536;
/// Milliseconds until one more is there.
pub const ADMISSION_MS: u64 = 1000;
/// Certificates that the channel has not met which one organization's CAs may revoke at once, after a time without any.
/// Those that the channel has met are of no number. Beyond, they wait; the door of each peer that knows of them refuses
/// them all the same.
pub const UNMET_REVOCATIONS_SAVED: u64 = 65_536;
/// Milliseconds until one more is there.
pub const UNMET_REVOCATION_MS: u64 = 1000;
/// Certificates and identities that the channel has not met which one organization's administrators may revoke at once, and
/// identities that they may reinstate, after a time without any.
pub const NAMED_ACTS_SAVED: u64 = 256;
/// Certificates of an identity that are ended one by one with it, so that they stay out when it is reinstated: one a day
/// for a year. Beyond, none is admitted again all the same, but may read where its holder may.
pub const CERTIFICATES_ENDED_MAX: usize = 366;
/// Milliseconds until one more is there: 144 a day.
pub const NAMED_ACT_MS: u64 = 10 * 60 * 1000;
/// CAs of one organization that may take each other's place at once, after a time without any, by the word of keys that took
/// a place here themselves or were struck here before; a key that a change or genesis has listed names one without. Each
/// is kept for ever, and costs nobody anything.
pub const SUCCESSIONS_SAVED: u64 = 4;
/// Milliseconds until one more is there: four a day, as changes of the configuration.
pub const SUCCESSION_MS: u64 = 6 * 60 * 60 * 1000;
/// Height difference a single proof path may span: 2^63 leaves, RFC 9162 §2.1.3.
pub const MERKLE_PATH_MAX: usize = 64;
/// Bytes of the signature by which a CA's key renews its certificate: ECDSA on P-384 in ASN.1 has at most 104.
pub const AUTHORITY_PROOF_BYTES_MAX: usize = 160;
/// How long before its end a listed CA certificate may be renewed, milliseconds, and by how much at least. Nobody
/// approves a renewal, and each is kept for ever: together these leave a dozen a year to each key.
pub const AUTHORITY_RENEWAL_EARLY_MS: u64 = 365 * 24 * 60 * 60 * 1000;
/// See [`AUTHORITY_RENEWAL_EARLY_MS`].
pub const AUTHORITY_RENEWAL_MS_MIN: u64 = 30 * 24 * 60 * 60 * 1000;
/// Changes of who seals that a proof may walk through: with one ordering peer the largest links, in JSON, are less than
/// 24 MiB, and more than an organization can make in five years of nothing else.
pub const TRUST_LINKS_MAX: usize = 8_192;

const _: () = assert!(IDENTITY_BYTES_MAX + 22 <= STATE_KEY_BYTES_MAX);
const _: () = assert!(LOG_BODY_BYTES_MAX < PAYLOAD_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX < BLOCK_BYTES_MAX);
/// In JSON, with all that is around what is in hex.
const _: () = assert!(
    2 * (CERTIFICATE_BYTES_MAX * CERTIFICATE_PATH_MAX + OCSP_BYTES_MAX) + 4_096 <= PAYLOAD_BYTES_MIN
        && 2 * (CERTIFICATE_BYTES_MAX + AUTHORITY_PROOF_BYTES_MAX) + 4_096 <= PAYLOAD_BYTES_MIN
        && PAYLOAD_BYTES_MIN <= PAYLOAD_BYTES_MAX
);
const _: () = assert!(SIGNATURES_MAX * 160 + 32 <= ENVELOPE_ROOM_BYTES);
const _: () = assert!(BATCH_TRANSFERS_MAX <= EVENTS_MAX);
const _: () = assert!(CALL_KEY_BYTES_MAX + NAME_BYTES_MAX + 2 <= STATE_KEY_BYTES_MAX);
const _: () = assert!(MARK_MS + LATE_MS < 60_000 && MARK_MS + LATE_MS <= RETURN_MS);
const _: () = assert!(RETURN_PRICE > 1 && UNEARNED_MS_MAX >= RETURN_PRICE * RETURN_MS);
const _: () = assert!(CALL_DATA_BYTES_MAX < STATE_VALUE_BYTES_MAX);
const _: () = assert!(CONFIG_BYTES_MAX + 64 <= STATE_VALUE_BYTES_MAX);
