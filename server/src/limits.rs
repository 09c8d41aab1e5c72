//! Bounds of the HTTP interface that are not configurable, each with its unit and its reason. What an operator may
//! want to change is in [`crate::setup::config::Limits`].

use std::time::Duration;

/// Blocks in one page of `…/blocks`.
pub const BLOCKS_PAGE_MAX: u64 = 100;
/// Encoded bytes of any page, its first item aside: a page ends by these or by its items. As many bytes of the state are
/// read for one at most, its last item aside.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one piece of an answer, which count until the next one is asked for.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that are encoded in one turn of a large answer, its last item aside: what a slow reader holds.
pub const SLICE_BYTES: usize = 128 * 1024;
/// Bytes of transactions that are looked at in one turn, if nothing of them is answered.
pub const SLICE_READ_BYTES: usize = 1024 * 1024;
/// Configuration changes that are looked up in one turn of a proof: each may be in a block of its own.
pub const LINKS_AT_ONCE: usize = 16;
/// Bytes of answers that the system is asked to keep for a connection: what it has is taken as far as the peer can tell.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of an answer that is encoded whole before it begins, so that it has a length.
pub const ANSWER_WHOLE_BYTES_MAX: usize = 256 * 1024;
/// How long a reader may let the peer wait beside what the least pace gives it.
pub const ANSWER_GRACE: Duration = Duration::from_secs(10);
/// How long an answer may take, whatever its pace; a subscription is none.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(600);
/// Outcomes of a batch that are encoded without a turn on the reading threads: in binary a hundred microseconds at most.
pub const OUTCOMES_INLINE_MAX: usize = 2048;
/// The same of outcomes in JSON, by the bytes that they hold.
pub const OUTCOMES_INLINE_BYTES_MAX: usize = 16 * 1024;
/// Events that a subscription encodes without a turn on the reading threads: some hundred microseconds.
pub const FRAMES_INLINE_MAX: usize = 32;
/// The part of the budget of memory that one caller may hold.
pub const BUDGET_CALLER: (usize, usize) = (1, 8);
/// That of all who ask one channel: the others keep half.
pub const BUDGET_CHANNEL: (usize, usize) = (1, 2);
/// That of all callers without a certificate.
pub const BUDGET_ANONYMOUS: (usize, usize) = (1, 2);
/// That of all but the peer's administrators.
pub const BUDGET_MEMBERS: (usize, usize) = (7, 8);
/// Items of any other page.
pub const PAGE_MAX: usize = 1_000;
/// Items of a page that says nothing.
pub const PAGE_DEFAULT: usize = 100;
/// Balances, and items, in the view of one account.
pub const ACCOUNT_LIST_MAX: usize = 1_000;
/// Envelopes of one batch: enough to fill half a block, small enough to be decoded between two other requests.
pub const BATCH_ENVELOPES_MAX: usize = 8_192;
/// Those of a batch that are decoded before other requests of the thread have their turn: some fifty microseconds.
pub const BATCH_SLICE: usize = 64;
/// Bytes of a JSON body: one transaction, whose payload grows by half in base64 and may be escaped.
pub const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that TLS keeps of what is written while the system takes nothing: one record, with what it is framed by.
pub const TLS_BUFFER_BYTES: usize = 16 * 1024 + 256;
/// Bytes of one chunk of a subscription: what is copied at most before the socket asks for more.
pub const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a subscription's classes: each of the four, and some again.
pub const CLASS_FILTER_BYTES_MAX: usize = 64;
/// Events that a subscription looks through before others of its thread have their turn, but for the rest of a receipt,
/// which holds a thousand at most.
pub const EVENTS_AT_ONCE: usize = 1_024;
/// Bytes of a block that is looked through on a thread of its own: less takes about a millisecond.
pub const LOOK_BYTES_MAX: usize = 1024 * 1024;
/// Transactions that a stream of submissions takes before it has told what became of them; of more nothing is read.
pub const STREAM_CREDITS: usize = 512;
/// Bytes of outcomes that wait on a stream for its reader: what comes above has to be asked for by its id.
pub const STREAM_OUTCOMES_BYTES_MAX: usize = 256 * 1024;
/// Bytes of what comes on a stream that have their place before they come.
pub const STREAM_ITEM_BYTES: usize = 128 * 1024;
/// Bytes of memory that a stream takes: these outcomes, and as much for what comes, until it is handed over, and for what
/// goes. A larger item takes more while it is there.
pub const STREAM_BYTES: usize = STREAM_OUTCOMES_BYTES_MAX + 256 * 1024;
/// How often a stream looks how long something has taken.
pub const STREAM_LOOK: Duration = Duration::from_secs(1);
/// How often a quiet subscription says that it is alive, so that a dropped reader is noticed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a request waits for a commit before it answers that it does not know. Below the time limits that clients
/// usually have, so that they get the answer.
pub const COMMIT_WAIT: Duration = Duration::from_secs(20);
/// How often the certificates' files are looked at: revoked means out within a second.
pub const TRUST_POLL: Duration = Duration::from_millis(250);
/// How often the peer judges its own certificate though no file has changed: time alone makes it expire.
pub const OWN_CERTIFICATE_LOOK: Duration = Duration::from_secs(60);
/// How far the wall clock may run from the monotonic one between two looks, milliseconds, before it counts as a jump.
/// Clocks that are disciplined move by far less.
pub const CLOCK_JUMP_MS: u64 = 60_000;
/// How often channels are looked at for another configuration, and held against CRLs without an answer. A new revocation
/// and a new channel do not wait for this.
pub const REVOCATION_LOOK: Duration = Duration::from_secs(5);
/// How long it waits after a channel took no revocation; twice as long after each further failure. Short at first: the
/// evidence of a revocation is written a moment after the revocation itself.
pub const REVOCATION_RETRY: Duration = Duration::from_millis(200);
/// Longest pause after a channel took no revocation: whoever can keep a channel full must not keep revocations from it
/// for longer once it has room.
pub const REVOCATION_RETRY_MAX: Duration = Duration::from_secs(10);
/// Revocations posted to one channel at a time; the rest follows once they are committed.
pub const REVOCATIONS_POSTED_MAX: usize = 64;
/// Revocations of which a channel is asked at a time whether it has met their certificates: some milliseconds.
pub const REVOCATIONS_LOOKED_UP_MAX: usize = 1_024;
/// Revocations that are being posted to all channels together, a kilobyte each: beyond it channels wait for others.
pub const REVOCATIONS_UNDER_WAY_MAX: usize = 16_384;
/// Of these so many of channels that were begun with just now: thousands of revocations must not keep the threads from
/// everybody else's transactions,
pub const REVOCATIONS_AT_ONCE_MAX: usize = 128;
/// and a channel that takes longer than this is slow, and keeps no other waiting.
pub const REVOCATION_STEP: Duration = Duration::from_millis(250);
/// Answers of CAs whose verdict is remembered: a thousand channels ask the same.
pub const EVIDENCE_REMEMBERED_MAX: usize = 8_192;
/// How long a verified certificate is believed without a look at the path again, milliseconds. Revocations and new
/// CAs do not wait for this; it bounds how late an expired CRL is noticed on connections that live. Judging a path
/// costs some 0.2 ms: a thousand busy connections must not spend a core on it.
pub const CERTIFICATE_RECHECK_MS: u64 = 60_000;
/// Bytes of a JSON body about certificates: a request and a certificate in PEM.
pub const REGISTRATION_BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a CRL that is offered: the largest that `pki` takes, in PEM.
pub const CRL_BODY_BYTES_MAX: usize = pki::limits::CRL_BYTES_MAX / 2 * 3;
/// Bytes of a CRL, DER, that is short: some 20,000 entries, verified within a tenth of a second. Longer ones wait for each
/// other and not in front of these.
pub const SHORT_CRL_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a CA's answer with its path, in JSON.
pub const ANSWER_BODY_BYTES_MAX: usize = 128 * 1024;
/// Answers of one organization's CAs elsewhere that are kept, each until its certificate expires.
pub const ANSWERS_MAX: usize = 10_000;
/// How long who brings an answer waits until the peer has noted what it owes its channels.
pub const NOTED_WAIT: Duration = Duration::from_secs(5);
/// How often participants are held against the CRLs of CAs elsewhere while no CRL changes.
pub const NOTICE_EVERY: Duration = Duration::from_secs(60);
/// Requests that work on the certificates folder at a time: each may wait for its lock and holds a thread.
pub const REGISTRATIONS_MAX: usize = 64;
/// OCSP requests at work at a time: each signs an answer, or looks for one, on a thread.
pub const OCSP_MAX: usize = 64;
/// The part of any places that callers without a certificate have together: one of so many. They cost nothing to be.
pub const PLACES_OF_STRANGERS: usize = 2;
/// The part that one address of such callers, or one identity, has: several have to be there to take all.
pub const PLACES_OF_ONE: usize = 4;
/// The part that is kept for administrators of the peer's organization, who must act when all others are taken.
pub const PLACES_FOR_ADMINISTRATORS: usize = 16;
/// Bytes of memory that an open connection takes with the subscription that may be on it: what it reads and writes, its TLS
/// session, and where it is in what it does. How many there may be follows from their part of the peer's memory.
pub const CONNECTION_BYTES: usize = 24 * 1024;
/// Connections in their handshake at a time, at most: each takes the memory of a TLS session that has just begun.
pub const HANDSHAKES_MAX: usize = 1_024;
/// The part of these that one address has before its oldest gives way to its newest.
pub const HANDSHAKES_OF_ONE: usize = 2;
/// How far the threads that do handshakes give way, as in `nice`: others who want a processor have three times as much.
pub const HANDSHAKES_NICE: i32 = 5;
/// Lines of the log in a second that whoever connects can cause.
pub const STRANGERS_LINES_MAX: u32 = 20;
/// Connections of the listener for metrics: more wait for the system, and take no files from callers.
pub const MONITOR_CONNECTIONS_MAX: usize = 32;
/// Bytes of a body of a caller without a certificate: that of a transaction in JSON.
pub const STRANGER_BODY_BYTES_MAX: usize = JSON_BODY_BYTES_MAX;
/// Milliseconds until somebody may have decided about a certificate request.
pub const REGISTRATION_RETRY_MS: u64 = 60_000;
/// How often the peer looks whether its own certificate should be renewed: one small file is read.
pub const RENEWAL_LOOK: Duration = Duration::from_secs(5);
/// How long it waits after a renewal that failed.
pub const RENEWAL_RETRY: Duration = Duration::from_secs(600);
/// Milliseconds before its end at which `chancery status` calls the peer's certificate something to look after: it renews
/// itself long before.
pub const CERTIFICATE_LEFT_MS: u64 = 7 * 24 * 3600 * 1000;
/// How often the peer looks what expires, and whether CRLs should be signed again.
pub const UPKEEP_LOOK: Duration = Duration::from_secs(60);
/// How long it waits after a CA that could not sign.
pub const UPKEEP_RETRY: Duration = Duration::from_secs(3_600);
/// How often CRLs are compared with those of other peers. A change does not wait for this.
pub const CRL_EXCHANGE: Duration = Duration::from_secs(10);
/// How long one comparison with one peer may take.
pub const CRL_ROUND: Duration = Duration::from_secs(30);
/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Connections that wait for the peer to take them; the system may allow fewer (`net.core.somaxconn`).
pub const LISTEN_QUEUE: i32 = 4_096;
/// How often the peer looks whether there are places again once somebody got none.
pub const PLACES_LOOK: Duration = Duration::from_secs(5);
/// Conversations on the operator's socket at a time: further ones wait.
pub const CONTROL_CONNECTIONS_MAX: usize = 4;
/// Bytes of a request line on the operator's socket.
pub const CONTROL_QUESTION_BYTES_MAX: u64 = 4_096;
/// How long it waits after the system gave it no connection.
pub const CONTROL_PAUSE: Duration = Duration::from_secs(1);
/// How long whoever asks there may take for the question, and to take a part of the answer: a backup's disk may be slow.
pub const CONTROL_WAIT: Duration = Duration::from_secs(120);
/// Bytes of a request's head, and of what is read ahead on a connection, which keeps that memory while it lives; above,
/// 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header lines of a request; above, 431.
pub const HEADER_LINES_MAX: usize = 96;
/// How long a connection that the peer closes is read on for its last answer to arrive (RFC 9112 §9.6).
pub const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at once of what still comes on such connections,
pub const LINGER_BYTES: usize = 64 * 1024;
/// and the time from one such read to the next of the same thread: all of it together is read at some 64 MB/s.
pub const LINGER_PAUSE: Duration = Duration::from_millis(1);
/// Milliseconds until a retry may help where nothing better is known.
pub const RETRY_AFTER_MS: u64 = 1_000;
/// The least part of the disk that a channel has, bytes: the files of one that is empty take less than a tenth of it.
pub const CHANNEL_BYTES_LEAST: u64 = 16 * 1024 * 1024;
/// Milliseconds until a disk without room may have some: somebody must make it, so not at once, but within what clients
/// wait by themselves.
pub const DISK_RETRY_MS: u64 = 5_000;
/// The hint of a peer behind a wrong fence: somebody must start it anew. Longer than clients wait by themselves.
pub const FENCE_RETRY_MS: u64 = 60_000;
/// How often the peer looks whether acts were added to the authorities' index: one file's length is asked for.
pub const AUDIT_LOOK: Duration = Duration::from_secs(1);
/// How long it waits after acts could not be posted; twice as long after each further failure.
pub const AUDIT_RETRY: Duration = Duration::from_secs(10);
/// How long it waits at most before it tries again what can succeed on a channel: then whoever mended it waits as long.
pub const DUTY_RETRY_MAX: Duration = Duration::from_secs(300);
/// Obstacles to the peer's duties in one status: more of them say no more, and metrics count all.
pub const OBSTACLES_SHOWN_MAX: usize = 100;
/// Acts posted in one transaction at most; the rest follows once they are committed.
pub const AUDIT_POSTED_MAX: usize = 64;
/// Bytes of log lines that wait for whoever reads standard error; more are lost, and counted.
pub const LOG_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a process that ends waits for its last words to be read.
pub const LOG_FLUSH: Duration = Duration::from_secs(1);
/// Bytes of a file with CAs and CRLs that a command is given: CRLs of a million entries, in PEM.
pub const TRUST_FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;
