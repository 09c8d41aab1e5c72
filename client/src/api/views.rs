//! What the API answers with.

use ledger_classes::formats::block::{Header, Seal};
use ledger_classes::formats::config::{Approvals, Budgets, ChannelConfig, Engine, Limits};
use ledger_classes::formats::detail::{Detail, Value};
use ledger_classes::formats::event::Event;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::{Class, Grant, Right, Rights};
use ledger_classes::formats::transaction::Transaction;
use ledger_classes::keys::Address;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::time::Time;
use serde::{Deserialize, Serialize};

/// `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:chancery:problem:` and a stable name.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The name in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The same for programs, where execution would refuse, or has refused, a transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<DetailView>,
    /// Milliseconds after which a retry may help; also in `Retry-After`, rounded up to seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// What every `type` begins with.
    pub const TYPE_PREFIX: &'static str = "urn:chancery:problem:";

    /// The stable name at the end of `type`.
    pub fn name(&self) -> &str {
        self.type_uri.strip_prefix(Self::TYPE_PREFIX).unwrap_or(&self.type_uri)
    }
}

/// What a refusal tells beside its code: a name of the table of details and its arguments (docs/formats/refusal-details.txt).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailView {
    /// The stable name.
    pub name: String,
    /// The arguments by name: texts, numbers, lists of texts.
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

impl From<&Detail> for DetailView {
    fn from(detail: &Detail) -> Self {
        let arguments = detail.arguments().into_iter().map(|(name, value)| (name.to_owned(), json(value))).collect();
        Self { name: detail.name().to_owned(), arguments }
    }
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.into(),
        Value::Number(number) => number.into(),
        Value::List(texts) => texts.into(),
    }
}

/// An event in a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// The class whose readers may see it.
    pub class: Class,
    /// What subscribers filter by.
    pub topic: String,
    /// The event, in a field of its own as in a CloudEvent: its fields may be named like the two above.
    #[serde(rename = "data")]
    pub event: Event,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self { class: event.class(), topic: event.topic().to_owned(), event }
    }
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptView {
    /// The transaction's id.
    pub id: Hash,
    /// The block.
    pub height: u64,
    /// Position among the block's receipts.
    pub index: u32,
    /// Result code number.
    pub code: u16,
    /// Result code name.
    pub result: String,
    /// Why it failed, in words that may change, if the caller has posted it or reads the class of the result; of all classes
    /// for what is of none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why it failed, for programs; none where the code says all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<DetailView>,
    /// What the sender paid.
    pub fee: Amount,
    /// What happened, as far as the caller may read it.
    pub events: Vec<EventView>,
}

impl ReceiptView {
    /// The view of a receipt for somebody with `rights`. Events that do not decode are left out; the store was
    /// checked when it was opened.
    pub fn new(receipt: &Receipt, rights: Rights) -> Self {
        let shown = Self::posted(receipt, rights);
        match tells_why(receipt.head.code, &receipt.detail, rights) {
            true => shown,
            false => Self { message: String::new(), detail: None, ..shown },
        }
    }

    /// The same for whoever has posted the transaction, who is told why it failed.
    pub fn posted(receipt: &Receipt, rights: Rights) -> Self {
        let head = &receipt.head;
        let events = receipt.decoded_events().unwrap_or_default().into_iter();
        let readable = events.filter(|event| rights.reads(event.class(), event.topic()));
        Self {
            id: head.id,
            height: head.height,
            index: head.index,
            code: head.code,
            result: ResultCode::from_number(head.code).map_or("unknown", ResultCode::name).to_owned(),
            message: receipt.message(),
            detail: (receipt.detail != Detail::PLAIN).then(|| DetailView::from(&receipt.detail)),
            fee: head.fee,
            events: readable.map(EventView::from).collect(),
        }
    }
}

/// Whether somebody with `rights` who did not post it may know why a transaction failed, beyond its code: who reads the
/// code's class, or all of them if it is of none, and the class that the detail tells of: why collateral was refused is what
/// the assets say. Why an administrative act failed is for who may read the acts: it names people and their certificates.
pub fn tells_why(code: u16, detail: &Detail, rights: Rights) -> bool {
    let class = ResultCode::from_number(code).and_then(ResultCode::class);
    let reads = |class| rights.allows(Right::Read(class));
    let of_acts = detail.is_of_acts() || ResultCode::from_number(code).is_some_and(ResultCode::is_of_acts);
    class.map_or_else(|| Class::ALL.into_iter().all(reads), reads)
        && detail.class().is_none_or(reads)
        && (!of_acts || rights.reads_acts())
}

/// A transaction in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionView {
    /// The id.
    pub id: Hash,
    /// The first signer's address.
    pub sender: Address,
    /// What was signed.
    pub transaction: Transaction,
    /// The receipt.
    pub receipt: ReceiptView,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// The header's hash.
    pub hash: Hash,
    /// The header.
    pub header: Header,
    /// The seal.
    pub seal: Seal,
    /// Transactions with their receipts, in order; none in the genesis block.
    pub transactions: Vec<TransactionView>,
    /// Transactions that are left out, because they carry administrative acts that the caller may not read.
    #[serde(default)]
    pub withheld: u32,
    /// Receipts of timers that ran at the start of the block.
    pub timers: Vec<ReceiptView>,
}

/// A member organization of a channel that is to be created; its CA certificates are those that the peer trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecOrganization {
    /// Its name in identities.
    pub name: String,
    /// For people to read; the name if absent.
    #[serde(default)]
    pub title: Option<String>,
    /// DER CA certificates, if not those that the peer knows under this name.
    #[serde(default)]
    pub authorities: Vec<HexBytes>,
}

/// `POST /v1/channels`: what an administrator says of a new channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// 1 to 64 of a-z, 0-9 and hyphen.
    pub name: String,
    /// The ordering engine; `solo` if absent.
    #[serde(default)]
    pub engine: Option<Engine>,
    /// Members.
    pub organizations: Vec<SpecOrganization>,
    /// Rights.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Anybody may read.
    #[serde(default)]
    pub public_read: bool,
    /// Anybody may submit.
    #[serde(default)]
    pub open_submit: bool,
    /// Limits, if not the usual ones.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// Who must approve configuration changes; a majority if absent.
    #[serde(default)]
    pub approvals: Option<Approvals>,
    /// What a transaction and a block may cause, if not the most.
    #[serde(default)]
    pub budgets: Option<Budgets>,
}

/// Where a channel is in its life on a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "lowercase")]
pub enum ChannelState {
    /// Its files are being opened.
    Opening,
    /// Blocks after the last checkpoint are executed again.
    Replaying {
        /// Blocks done.
        done: u64,
        /// Blocks to do.
        of: u64,
    },
    /// At work.
    Serving,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// Closed.
    Closed,
    /// Stopped for good; an operator must act.
    Halted {
        /// Why.
        reason: String,
    },
}

ledger_classes::tagged!(ChannelState, "state");

/// How full a channel's pipeline is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Transactions accepted and not yet committed.
    pub transactions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Live subscriptions.
    pub subscriptions: u64,
}

/// A channel as its members see it. Of one that cannot be opened, id, height, tip and time are zeros where they cannot be
/// read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Hash,
    /// Height of the last committed block.
    pub height: u64,
    /// Hash of that block's header.
    pub tip: Hash,
    /// Time of that block.
    pub time: Time,
    /// Where it is in its life on this peer.
    #[serde(flatten)]
    pub state: ChannelState,
    /// What the caller may do.
    pub rights: Rights,
    /// Whether anybody may read it, without a certificate.
    pub public_read: bool,
    /// Whether anybody may post to it, without a certificate.
    pub open_submit: bool,
    /// How full the pipeline is.
    pub queue: QueueView,
    /// What its files take of the peer's disk; for those who administer or audit the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskUseView>,
    /// The configuration; only in the view of one channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ChannelConfig>,
    /// The block that set the configuration; with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_height: Option<u64>,
}

/// What a channel takes of a peer's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUseView {
    /// Bytes that its files take.
    pub bytes: u64,
    /// Bytes that what was accepted and is not in them yet will take there, about: near the end of the part a burst is told
    /// `busy` for it.
    pub bytes_waiting: u64,
    /// Its part: above it only administrative acts are taken, and other transactions get `channel-full`.
    pub bytes_max: u64,
}

/// How many of a thing callers may have at a time on a peer, and have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacesView {
    /// What: `connections`, `subscriptions`, `registrations`, `ocsp`, `body_bytes`.
    pub what: String,
    /// How many there are.
    pub total: u64,
    /// Those that callers without a certificate have.
    pub strangers: u64,
    /// Those that holders of certificates have.
    pub members: u64,
    /// Those that administrators of the peer have.
    pub administrators: u64,
    /// How often somebody got none since the peer started.
    pub refused: u64,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The program's version.
    pub version: String,
    /// The peer's identity.
    pub peer: String,
    /// The consortium.
    pub consortium: String,
    /// Start of this run.
    pub started: Time,
    /// The peer's clock.
    pub time: Time,
    /// Who the caller is to this peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Open client connections. Strangers are told of the peer's health only: not this, its incarnation or its tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Expiry of the peer's own certificate.
    pub certificate_not_after: Time,
    /// Why channels may be missing below that the caller has a right on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_incomplete: Option<String>,
    /// The peer's incarnation: how many times it was made, moved or restored, and a random id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Why the peer seals and issues nothing, if it does not: its channels are not where they were. In full for its
    /// administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<String>,
    /// Why the peer's disk takes no transactions now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_trouble: Option<String>,
    /// What stands in the way of what the peer owes channels that the caller administers or audits.
    #[serde(default)]
    pub obstacles: Vec<ObstacleView>,
    /// What the peer owes those channels and is about to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingView>,
    /// What the peer does beside answering requests.
    #[serde(default)]
    pub tasks: Vec<TaskView>,
    /// Lines of the peer's log that nobody took in time, or that could not be written.
    #[serde(default)]
    pub log_lines_lost: u64,
    /// What is wrong with the CRLs of the authorities' folder: one that lacks what was revoked, or a folder that is behind
    /// what it has published. For administrators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_troubles: Vec<String>,
    /// What callers may have at a time on this peer, for its administrators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlacesView>,
    /// Channels that the caller may see.
    pub channels: Vec<ChannelView>,
}

/// What a peer is about to do on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingView {
    /// The channel.
    pub channel: String,
    /// What the peer owes it: `revocation`.
    pub duty: String,
    /// How many are still to come.
    pub count: u64,
}

/// What stands in the way of a duty of a peer on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObstacleView {
    /// The channel.
    pub channel: String,
    /// What the peer owes it: `revocation` or `audit`.
    pub duty: String,
    /// Whom or what it is about: a certificate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Why it is not done.
    pub reason: String,
}

/// A background task of a peer, or threads that share one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// What it is called.
    pub name: String,
    /// How many of it run; 0 is a defect.
    pub running: u32,
    /// How often it panicked and began anew.
    pub restarts: u64,
}

/// A part of a list, with the height that it reflects; `next` continues it, as `after` (blocks: as `from`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The height that the answer reflects.
    pub height: u64,
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What an account owns of a fungible asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceView {
    /// The asset.
    pub asset: String,
    /// Digits after the point when amounts of it are shown to people; all amounts here are base units.
    pub decimals: u8,
    /// All base units owned.
    pub owned: Amount,
    /// Those that can be moved now.
    pub free: Amount,
    /// Those that are frozen.
    pub frozen: Amount,
    /// Those that are locked at the answer's block time.
    pub locked: Amount,
}

/// An item that an account owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemView {
    /// The asset.
    pub asset: String,
    /// The item.
    pub item: String,
}

/// `GET …/accounts/{address}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The height that the answer reflects.
    pub height: u64,
    /// The account.
    pub address: Address,
    /// Balances, up to 1,000.
    pub balances: Vec<BalanceView>,
    /// Where the others begin (`…/balances?after=`), if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balances_next: Option<String>,
    /// Items, up to 1,000.
    pub items: Vec<ItemView>,
    /// Where the others begin (`…/items?after=`), if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_next: Option<String>,
    /// Identity of the participant record, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<serde_json::Value>,
    /// Keys and threshold of a joint account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<serde_json::Value>,
}

/// One delivered event: CloudEvents 1.0, structured JSON (`application/cloudevents+json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// `1.0`.
    pub specversion: String,
    /// The cursor, `height.index.event`.
    pub id: String,
    /// `/v1/channels/<name>`.
    pub source: String,
    /// `chancery.` and the event's kind.
    #[serde(rename = "type")]
    pub type_text: String,
    /// The event's topic.
    pub subject: String,
    /// Block time.
    pub time: Time,
    /// `application/json`.
    pub datacontenttype: String,
    /// Extension: the class.
    pub class: Class,
    /// Extension: the transaction's id.
    pub transaction: Hash,
    /// The event.
    pub data: Event,
    /// Extension, only if asked for with `proof=true`: JSON text of [`ledger_classes::formats::proof::Evidence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::formats::detail::PathFault;

    /// An appended log record has a `topic` of its own. When views were flat, its receipt had two, and no client
    /// could read the answer to a committed `log.append`.
    #[test]
    fn an_event_with_a_topic_of_its_own_is_readable() {
        let event =
            Event::LogAppended { topic: "tests".into(), author: Address::ZERO, digest: None, body: "text".into() };
        let view = EventView::from(event);
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(ledger_classes::primitives::json::from_str::<EventView>(&text).unwrap(), view, "{text}");
    }

    /// `GET …/transactions/{id}` told everybody, whatever they read, what somebody owns who had too little.
    #[test]
    fn why_a_transaction_failed_is_for_readers_of_its_results_class_and_for_who_posted_it() {
        let reads = |classes: &[Class]| classes.iter().map(|class| Right::Read(*class)).collect::<Rights>();
        for (code, class) in [
            (ResultCode::InsufficientBalance, Some(Class::Assets)),
            (ResultCode::ThresholdNotMet, Some(Class::Assets)),
            (ResultCode::BidTooLow, Some(Class::Contracts)),
            (ResultCode::VersionExists, Some(Class::Apps)),
            (ResultCode::TopicIsReserved, Some(Class::Logs)),
            (ResultCode::NoRight, None),
        ] {
            let receipt = Receipt::new(Hash::ZERO, 1, 0, code, Detail::Fee { fee: Amount(57) }, Amount::ZERO, &[]);
            for reader in Class::ALL {
                let shown = ReceiptView::new(&receipt, reads(&[reader]));
                assert_eq!(!shown.message.is_empty(), class == Some(reader), "{code:?} to readers of {reader}");
                assert_eq!(shown.detail.is_some(), class == Some(reader), "{code:?} to readers of {reader}");
                assert_eq!((shown.code, shown.result.as_str()), (code.number(), code.name()));
            }
            assert_eq!(ReceiptView::new(&receipt, reads(&Class::ALL)).message, "the fee is 57");
            assert_eq!(ReceiptView::posted(&receipt, Rights::NONE).message, "the fee is 57");
        }
        let detail = Detail::Insufficient { needed: Amount(5), asset: "coin".into(), owned: Amount(3) };
        let receipt = Receipt::new(Hash::ZERO, 1, 0, ResultCode::CollateralRefused, detail, Amount::ZERO, &[]);
        for (classes, told) in [(&[Class::Contracts][..], false), (&[Class::Contracts, Class::Assets], true)] {
            assert_eq!(ReceiptView::new(&receipt, reads(classes)).detail.is_some(), told, "{classes:?}");
        }
        // Readers of logs were told whose certificate was refused, and of acts that they may not read.
        let names = || Detail::OfAnotherIdentity { address: Address::ZERO };
        let path = || Detail::Path { refusal: PathFault::Expired.into() };
        let plain = || Detail::Fee { fee: Amount(57) };
        for (code, detail) in [
            (ResultCode::PathRefused, path()),
            (ResultCode::AddressIsTaken, plain()),
            (ResultCode::InvalidField, names()),
        ] {
            let receipt = Receipt::new(Hash::ZERO, 1, 0, code, detail, Amount::ZERO, &[]);
            let all = reads(&Class::ALL);
            for (rights, told) in [
                (all, false),
                (all.union(Rights::from_iter([Right::Audit])), true),
                (all.union(Rights::from_iter([Right::Admin])), true),
                (Rights::from_iter([Right::Admin]), false),
            ] {
                assert_eq!(ReceiptView::new(&receipt, rights).detail.is_some(), told, "{code:?}: {rights:?}");
            }
        }
    }
}
