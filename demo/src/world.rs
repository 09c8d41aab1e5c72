//! What the story plays in: the directory, the people with their profiles, the running peer, and the two ways to
//! speak to it, both over TLS: client processes for what people do, the SDK for preparing and for looking at results.

use crate::{
    Setup,
    cast::Cast,
    process::{Finished, PeerProcess, Program, Watcher},
    steps::{StepError, expect},
};
use client::{
    api::{ChannelState, CloudEvent, Outcome, PeerStatus, ReceiptView},
    connection::{Connection, Options},
    profile::Profile,
    query::Range,
    retry::Retry,
    submit::{VALIDITY_MS, Wait, sign_json, transaction},
};
use ledger_classes::action::Action;
use ledger_classes::formats::event::Event;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The longest wait for anything that the peer does by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A person with a profile.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) profile: PathBuf,
    pub(super) connection: Connection,
    pub(super) opened: Profile,
    pub(super) key: SigningKey,
    pub(super) address: Address,
}

impl Actor {
    /// Opens a profile that has an account key.
    pub(super) fn open(directory: &Path) -> Result<Self, StepError> {
        let opened = Profile::open(directory)?;
        let connection = Connection::open(&opened, Options::default())?;
        let key = opened.read_account_key()?;
        let address = key.public().address();
        Ok(Self { profile: directory.into(), connection, opened, key, address })
    }

    /// Posts a transaction and holds it to be committed with code 0.
    pub(super) async fn post(&self, channel: Hash, actions: Vec<Action>) -> Result<ReceiptView, StepError> {
        let outcome = self.submit(&channel.to_string(), channel, actions).await?;
        let receipt = outcome.receipt.ok_or_else(|| StepError::failed("a committed transaction has no receipt"))?;
        expect(&format!("the result of a transaction {}", receipt.message), &receipt.code, &0)?;
        Ok(receipt)
    }

    /// Posts a transaction under a channel's name, whatever comes of it.
    pub(super) async fn submit(&self, name: &str, channel: Hash, actions: Vec<Action>) -> Result<Outcome, StepError> {
        Ok(self.connection.submit(name, &self.sign(channel, actions)?, Wait::Committed).await?)
    }

    /// A transaction of this person's.
    pub(super) fn sign(&self, channel: Hash, actions: Vec<Action>) -> Result<Envelope, StepError> {
        let transaction = transaction(channel, self.address, actions, client::now(), VALIDITY_MS)?;
        Ok(sign_json(&transaction, &[&self.key]))
    }
}

/// Everything that the steps share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) cast: Cast,
    /// What makes a peer and its profiles.
    pub(super) setup: Box<dyn Setup>,
    pub(super) program: Program,
    /// All files of the demonstration.
    pub(super) dir: PathBuf,
    /// Where the peer answers, as `https://host:port`.
    pub(super) address: String,
    /// Where its metrics are, as `http://host:port/metrics`.
    pub(super) metrics: String,
    pub(super) people: BTreeMap<String, Actor>,
    pub(super) channels: BTreeMap<String, Hash>,
    pub(super) peer: Option<PeerProcess>,
    /// Subscribers by what they are called.
    pub(super) watchers: BTreeMap<String, Watcher>,
}

impl World {
    /// An empty world in a directory.
    pub(super) fn new(dir: &Path, setup: Box<dyn Setup>) -> Result<Self, StepError> {
        Ok(Self {
            cast: Cast::read()?,
            setup,
            program: Program::this()?,
            dir: dir.into(),
            address: String::new(),
            metrics: String::new(),
            people: BTreeMap::new(),
            channels: BTreeMap::new(),
            peer: None,
            watchers: BTreeMap::new(),
        })
    }

    /// The peer's directory.
    pub(super) fn peer_dir(&self) -> PathBuf {
        self.dir.join("peer-1")
    }

    /// Where a person's profile lies.
    pub(super) fn profile_dir(&self, name: &str) -> PathBuf {
        self.dir.join("profiles").join(name)
    }

    /// A person.
    pub(super) fn person(&self, name: &str) -> Result<&Actor, StepError> {
        self.people.get(name).ok_or_else(|| StepError::failed(format!("{name} has no profile")))
    }

    /// A channel's id.
    pub(super) fn channel(&self, name: &str) -> Result<Hash, StepError> {
        self.channels.get(name).copied().ok_or_else(|| StepError::failed(format!("there is no channel {name}")))
    }

    /// A subscriber.
    pub(super) fn watcher(&self, name: &str) -> Result<&Watcher, StepError> {
        self.watchers.get(name).ok_or_else(|| StepError::failed(format!("{name} does not subscribe")))
    }

    /// Starts the peer and waits until it answers the founder and serves every channel. Gives what it says of itself.
    pub(super) async fn start_peer(&mut self) -> Result<PeerStatus, StepError> {
        let mut peer = PeerProcess::start(&self.program, &self.peer_dir(), &self.dir.join("peer-1.log"))?;
        let founder = self.person(&self.cast.founder()?.name)?;
        let options = Options { timeout: Duration::from_secs(2), retry: Retry::NEVER, ..Options::default() };
        let connection = Connection::open(&founder.opened, options)?;
        let began = Instant::now();
        // Nothing tells from outside that a process has begun to listen, so it is asked again and again.
        let mut asks = tokio::time::interval(Duration::from_millis(25));
        let status = loop {
            asks.tick().await;
            peer.lives()?;
            match connection.status().await {
                Ok(status) if self.channels.keys().all(|name| serves(&status, name)) => break status,
                Ok(status) if began.elapsed() > PATIENCE => {
                    return Err(StepError::unexpected("channels after the start", "all serve", format!("{status:?}")));
                }
                Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        };
        self.peer = Some(peer);
        Ok(status)
    }

    /// Runs a client command as a person.
    pub(super) async fn run(&self, person: &str, words: &[&str]) -> Result<Finished, StepError> {
        self.program.run(Some(&self.person(person)?.profile), words).await
    }

    /// Calls a contract's method by a client process; the receipt has to have `code`.
    pub(super) async fn call(
        &self,
        person: &str,
        channel: &str,
        (instance, method): (&str, &str),
        arguments: Value,
        code: u16,
    ) -> Result<ReceiptView, StepError> {
        let arguments = arguments.to_string();
        let words = ["contract", "call", instance, method, &arguments, "--base-units", "--channel", channel];
        self.run(person, &words).await?.receipt(code)
    }

    /// Asks a contract as a person.
    pub(super) async fn ask(
        &self,
        person: &str,
        channel: &str,
        (instance, method): (&str, &str),
        arguments: Value,
    ) -> Result<Value, StepError> {
        let connection = &self.person(person)?.connection;
        Ok(connection.instance_query(channel, instance, method, &arguments.to_string()).await?)
    }

    /// How many base units of an asset a person owns on a channel, as the person sees it.
    pub(super) async fn owned(&self, person: &str, channel: &str, asset: &str) -> Result<u128, StepError> {
        let actor = self.person(person)?;
        let account = actor.connection.account(channel, actor.address).await?;
        let balance = account.balances.iter().find(|balance| balance.asset == asset);
        Ok(balance.map_or(0, |balance| balance.owned.0))
    }

    /// Holds a person to own an item on a channel, or not to.
    pub(super) async fn expect_item(
        &self,
        person: &str,
        channel: &str,
        item: &str,
        owns: bool,
    ) -> Result<(), StepError> {
        let actor = self.person(person)?;
        let account = actor.connection.account(channel, actor.address).await?;
        let owned = account.items.iter().any(|owned| owned.item == item);
        expect(&format!("whether {person} owns {item}"), &owned, &owns)
    }

    /// A time far enough ahead for `commands` client processes on this machine, one after the other.
    pub(super) fn deadline(&self, commands: u64) -> Time {
        client::now().plus_millis(1_500 + 3 * commands * self.program.slowest_ms())
    }

    /// Where every event of a channel is, by the blocks that the auditor reads.
    pub(super) async fn ledger_events(&self, auditor: &str, channel: &str) -> Result<Vec<String>, StepError> {
        let connection = &self.person(auditor)?.connection;
        let (mut cursors, mut from) = (Vec::new(), None);
        loop {
            let page = connection.blocks(channel, Range { from: from.as_deref(), limit: None }).await?;
            for block in &page.items {
                // A cursor names its history by the first eight bytes of the block's hash.
                let tag = hex::encode(&block.hash.0[..8]);
                let posted = block.transactions.iter().map(|transaction| &transaction.receipt);
                for receipt in block.timers.iter().chain(posted) {
                    let events = 0..receipt.events.len();
                    cursors.extend(events.map(|event| format!("{}.{}.{event}.{tag}", receipt.height, receipt.index)));
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(cursors),
            }
        }
    }
}

/// Whether a channel is open.
fn serves(status: &PeerStatus, name: &str) -> bool {
    status.channels.iter().any(|channel| channel.name == name && channel.state == ChannelState::Serving)
}

/// What a contract said in an event, if it is this instance's and has this name.
pub(super) fn emitted(event: &CloudEvent, of: &str, called: &str) -> Option<Value> {
    match &event.data {
        Event::ContractEmitted { instance, name, data } if instance == of && name == called => {
            ledger_classes::primitives::json::from_str(data).ok()
        }
        _ => None,
    }
}

/// An amount in a JSON answer.
pub(super) fn amount(value: &Value) -> Result<u128, StepError> {
    let text = value.as_str().ok_or_else(|| StepError::failed(format!("{value} is no amount")))?;
    Ok(text.parse::<Amount>()?.0)
}

/// The first digits of an id.
pub(super) fn short(id: &impl std::fmt::Display) -> String {
    let text = id.to_string();
    match text.char_indices().nth(10) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
