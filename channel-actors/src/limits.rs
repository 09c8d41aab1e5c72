//! Every bound of a channel's pipeline on this peer, with its unit and its reason. Protocol limits, on which peers
//! must agree, are in [`ledger_classes::limits`].

use std::time::Duration;

/// Transactions that one channel holds between the door and its commit. At the limit a submission is refused with
/// a hint when to retry; nothing queues behind it.
pub const TRANSACTIONS_IN_FLIGHT_MAX: u32 = 65_536;
/// Bytes of payloads and signatures that one channel holds between the door and its commit.
pub const BYTES_IN_FLIGHT_MAX: u32 = 256 * 1024 * 1024;
/// The part of these that one caller may hold: a fourth. At the limit it is refused with a hint, and others are not.
pub const CALLER_PART: u32 = 4;
/// The part of these that is left to the peer's own posts, such as revocations, when callers fill the rest.
pub const PEER_PART: u32 = 16;
/// Submissions (each up to a batch) that may wait for a channel's machine.
pub const MAILBOX: usize = 1_024;
/// Messages of an ordering engine that wait for records. What finds no room is lost, as on the way to another peer.
pub const UNSENT_MAX: usize = 4_096;
/// Bytes of them.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How far a valid block of another peer's may be ahead of this peer's clock, milliseconds: up to here it is accepted when the
/// clock arrives, beyond it is not accepted: a clock that is kept by NTP is never so wrong, and one that is not must not hold
/// up a channel for longer. A block that is final is not asked.
pub const AHEAD_MS_MAX: u64 = 5_000;
/// What a thread takes of a channel's mail before others have it.
pub const TURN_LETTERS_MAX: usize = 64;
/// Transactions of a block up to which the thread that has brought it so far goes on with it: waking another one takes as
/// long as some tens of them. With more, the disk is not to wait until all of the block before are answered.
pub const GO_ON_TRANSACTIONS_MAX: usize = 256;
/// Transactions that a verifier shard checks in one job: beyond a thousand, larger batches gain little.
pub const VERIFY_JOB_TRANSACTIONS_MAX: usize = 1_024;
/// Microseconds of a core that a job takes, as far as that is known before, after which another channel has its turn.
pub const VERIFY_JOB_MICROS_MAX: u64 = 24_000;
/// The same while other channels verify, too, or this one has something to verify apart.
pub const VERIFY_JOB_CROWDED_MICROS_MAX: u64 = 5_000;
/// The same of what is verified apart: bad signatures are found one by one, which takes four times as long.
pub const VERIFY_JOB_APART_MICROS_MAX: u64 = 2_000;
/// Microseconds that are worth a second job beside the one that runs: below, the smaller batch costs more
/// than waiting for that one.
pub const VERIFY_JOB_WORTH_MICROS: u64 = 2_048;
/// Microseconds of a job that a channel with nothing else under way, beside which no other one verifies, has done by the
/// thread that executes and persists what comes of it: to wake that one takes as long.
pub const VERIFY_ALONE_MICROS_MAX: u64 = 64;
/// Microseconds of a caller's turn among those who wait for verification.
pub const VERIFY_TURN_MICROS: u64 = 500;
/// Microseconds that a job may take for paths, evidence and recoveries beside other work; what would take more is set
/// aside, and has jobs of its own.
pub const VERIFY_JOB_CHECKS_MICROS_MAX: u64 = 2_000;
/// Microseconds that a job judges what was verified, before others have a turn: a store may be slow.
pub const VERIFY_SLICE: Duration = Duration::from_millis(3);
/// Microseconds of an Ed25519 signature in a batch.
pub const VERIFY_ED25519_MICROS: u64 = 16;
/// Microseconds of a P-256 signature.
pub const VERIFY_P256_MICROS: u64 = 56;
/// Bytes of a payload that take a microsecond to decode and hash.
pub const VERIFY_BYTES_OF_MICRO: u64 = 128;
/// Microseconds for each certificate of a path, its root included.
pub const VERIFY_CERTIFICATE_MICROS: u64 = 250;
/// Microseconds of a recovery that is tried at the door.
pub const VERIFY_RECOVERY_MICROS: u64 = 1_000;
/// Transactions with good signatures that a caller posts after wrong ones before it is verified with others again.
pub const SUSPECT_UNTIL: usize = 1_024;
/// Callers of a channel whose signatures are known to have been wrong.
pub const SUSPECTS_MAX: usize = 4_096;
/// Answers about certificate paths and evidence that a channel remembers, in each of two generations: a block's admissions
/// many times over, of about 1 KB each.
pub const REMEMBERED_ANSWERS_MAX: usize = 256;
/// Transactions of a batch that witnesses are asked for, and bytes of their envelopes, but for the last one: one signature and
/// one message for all of them.
pub const WITNESS_BATCH_TRANSACTIONS_MAX: usize = 1_024;
/// See [`WITNESS_BATCH_TRANSACTIONS_MAX`].
pub const WITNESS_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Batches of this peer that may lack witnesses at a time: meanwhile what is verified makes the next one larger. So of another
/// peer's as many are verified at a time, and more are refused: it asks again.
pub const WITNESS_BATCHES_OPEN_MAX: usize = 4;
/// Bytes of what all other peers ask this one to vouch for at a time: four batches of each of sixteen. Beyond, a request is
/// refused, and comes again, but for one batch of each peer.
pub const WITNESS_REQUESTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Milliseconds after which those who have not signed a batch are asked again: it or the answer may be lost.
pub const WITNESS_AGAIN_MS: u64 = 250;
/// Milliseconds that a transaction whose time is over waits for a block that tells its outcome, where another peer proposes: one
/// that has it may be on its way, as long as such a block may be ahead of the clock ([`AHEAD_MS_MAX`]).
pub const EXPIRED_KEPT_MS: u64 = 5_000;
/// Milliseconds between two sweeps for such: each goes through all that wait.
pub const EXPIRED_SWEEP_MS: u64 = 1_000;
/// Window over which each channel's CPU share is measured: the last one to two of these count.
pub const SPAN: Duration = Duration::from_millis(100);
/// CPU share that other channels must have used before they count as contention.
pub const CROWD_SHARE: f64 = 0.005;
/// A channel's part of the threads' time from which on it gives way to others that have work. Channels with about as
/// much work as each other must not come near it by chance: who gives way falls behind, and then wants more.
pub const LOUD_SHARE: f64 = 2.0 / 3.0;
/// How far it gives way, as in `nice`: others who want a processor have ten times as much of it.
pub const LOUD_NICE: i32 = 10;
/// Bytes of payloads in one job of a verifier, which are decoded there.
pub const VERIFY_JOB_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest timer sleep, in milliseconds; then the clock is read again, since it may have been set.
pub const WAKE_MS_MAX: u64 = 60_000;
/// Blocks between execution and commit: one persists while the next executes.
pub const PIPELINE_DEPTH: usize = 2;
/// A pool this full is worth a block of its own while the one before is still being persisted.
pub const EAGER_BLOCK_TRANSACTIONS_MAX: usize = 2_048;
/// A pool less full never is: executing it later, with more, costs less.
pub const EAGER_BLOCK_TRANSACTIONS_MIN: usize = 16;
/// What is offered to a block's execution after one whose budget ended early, as a multiple of what that one took: what is
/// not executed was offered in vain, and is looked up again.
pub const OFFER_FACTOR: usize = 2;
/// Milliseconds that a refused caller is asked to wait: about the time in which a full pipeline moves on.
pub const RETRY_AFTER_MS: u64 = 250;
/// Recent blocks that subscribers share in memory; older ones come from the store.
pub const RING_BLOCKS_MAX: usize = 256;
/// Bytes of the blocks in the ring.
pub const RING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of the frames that are kept of one block, those made last: of one with large receipts all frames with evidence
/// would be hundreds of megabytes, and readers at about the same place share what they need.
pub const FRAMES_OF_BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The same while all channels together hold more than they may.
pub const FRAMES_OF_BLOCK_BYTES_MIN: usize = 1024 * 1024;
/// Bytes of the newest block of a channel above which it is not kept in memory while all channels together hold more
/// than they may.
pub const NEWEST_KEPT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of recent blocks of all channels with what was made of them, and of what is between door and commit, unless the
/// peer says otherwise.
pub const POOL_DEFAULT: usize = 128 * 1024 * 1024;
/// What a store's cache has at least of what it would have alone, one of so many: a quarter of a MiB.
pub const GRANT_LEAST: usize = 256;
/// Bytes that a channel may have applied and not written yet, however much others have.
pub const DIRTY_LEAST: usize = 1024 * 1024;
/// Filter checks per published block, about a millisecond; beyond it every subscriber is woken.
pub const LOOKS_MAX: usize = 65_536;
/// Reads that one channel holds at once, running or waiting; at the limit a query is refused with a hint.
pub const READS_MAX: usize = 1_024;
/// Those of one caller: the others' places stay free.
pub const READS_OF_CALLER_MAX: usize = 128;
/// Those of all callers of one organization, or of all who have none, together.
pub const READS_OF_ORGANIZATION_MAX: usize = READS_MAX / 2;
/// Channels of one peer.
pub const CHANNELS_MAX: usize = 16_384;
/// Seconds that a draining channel may take to commit what it has accepted.
pub const DRAIN_SECONDS_MAX: u64 = 30;
/// Verifier shards of one channel, at most.
pub const SHARDS_MAX: usize = 64;
/// Active channels from which on they are suspended after a sixteenth of the usual time: each holds three open
/// files, and a quarter of a MiB of blocks that are in its write-ahead log.
pub const ACTIVE_MAX: usize = 2_048;
/// Channels that are suspended at a time: each takes a store thread for some milliseconds.
pub const SUSPENDING_MAX: usize = 2;
/// How often the peer looks whether channels may be suspended and whether timers of those that are suspended are due,
/// at most: a timer of a channel that is suspended is late by as much.
pub const SUSPEND_LOOK_MAX: Duration = Duration::from_secs(1);
/// The same at least: with a suspension time of milliseconds, looking must not take a core.
pub const SUSPEND_LOOK_MIN: Duration = Duration::from_millis(5);
/// The longest pause of a checkpoint between two pieces that it writes; usually as long as the disk took for one.
pub const CHECKPOINT_PAUSE_MAX: Duration = Duration::from_millis(20);
/// Bytes of a file with blocks from which on another one is begun: what is added to it last is read again, and what was
/// not finished is written again.
pub const BLOCK_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of the file that says which blocks a folder holds.
pub const CHANNEL_FILE_BYTES_MAX: u64 = 4_096;
/// Bytes of blocks that are read from a store in one turn for a copy: some milliseconds, after which others read.
pub const COPY_TURN_BYTES: usize = 1024 * 1024;
/// Bytes of a channel's configuration changes that are kept for proofs.
pub const LINKS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Configuration changes of a channel whose place in the row is remembered.
pub const LINKS_KNOWN_MAX: usize = 65_536;
/// How often the peer looks whether the disk has room, and how long a write that found none waits until it is tried
/// again. At a hundred megabytes a second, a look finds a quarter of the usual reserve used.
pub const DISK_LOOK: Duration = Duration::from_millis(150);
/// A channel's part of the file system unless the peer says otherwise: one of so many.
pub const DISK_PART: u64 = 4;
/// What administrative acts have beyond a channel's part, one of so many of it: so that they repair what is full.
pub const ACTS_PART: u64 = 8;
/// The least that they have beyond it: what was on its way when a small part was used up must not take all of that.
pub const ACTS_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Bytes of a payload for each action, of what people post without any right and administrators need in the room of acts:
/// an admission's path of five usual certificates, in JSON. With more it finds room as others do.
pub const ACT_OF_ANYBODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a channel's files that a byte of an accepted payload becomes: of itself, of its receipt and of the state.
pub const DISK_BYTES_OF_BYTE: u64 = 3;
/// The same of a transaction beside its payload: envelope, receipt, index.
pub const DISK_BYTES_OF_TRANSACTION: u64 = 1_024;
/// The same of each of its actions: an event, and what it changes in the state and in the state's tree.
pub const DISK_BYTES_OF_ACTION: u64 = 512;
/// The same of each transfer of a batch.
pub const DISK_BYTES_OF_TRANSFER: u64 = 256;
/// The same of each instance of a contract that it makes or calls: records, timers, events.
pub const DISK_BYTES_OF_CALL: u64 = 1_536;
/// How often the quota looks at most what a channel's files take: at a hundred megabytes a second, as much as a fourth of a
/// large part is written in a minute, and a look costs some ten microseconds.
pub const QUOTA_INSPECT: Duration = Duration::from_millis(150);
/// The same for those who only show it.
pub const QUOTA_SHOWN: Duration = Duration::from_secs(2);
/// The pause before a background task that panicked begins anew; four times as long after each further panic. Revoked
/// means out within a second, also when the task that watches has just panicked.
pub const TASK_PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
pub const TASK_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often in a row a background task may panic and begin anew; the next time ends the peer.
pub const TASK_RESTARTS_MAX: u32 = 5;
/// A task that ran for so long before it panicked has not panicked in a row.
pub const TASK_PROVEN: Duration = Duration::from_secs(600);
