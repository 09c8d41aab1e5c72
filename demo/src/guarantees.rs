//! What the server promises, put to the test: subscribers miss nothing, outsiders learn nothing, revoked means out.

use crate::{
    consortium::{ALL_OF_AUCTION, ALL_OF_LENDING, ANONYMOUS, AUDITOR, LOG_READER, LOGS_OF_AUCTION, MAIN},
    process::Watcher,
    steps::{Shown, StepError, expect},
    world::{Actor, PATIENCE, World, short},
};
use client::{
    api::{CloudEvent, Problem},
    connection::RequestError,
    query::{Paging, Range},
    submit::SubmitError,
    subscribe::{Filter, Start, SubscribeError},
};
use ledger_classes::action::Action;
use ledger_classes::action::logs::Append;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::rights::{Class, is_act};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;

/// The problem of a channel that is not there for a caller (docs/formats/problems.md).
const CHANNEL_UNKNOWN: &str = "channel-unknown";
/// The problem of a caller whose certificate is revoked.
const CERTIFICATE_REFUSED: &str = "certificate-refused";
use std::time::{Duration, Instant};

/// Promise 5: a revoked certificate loses its subscriptions within this time.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);
/// A channel that does not exist.
const NO_CHANNEL: &str = "no-such-channel";

/// Holds what a subscriber has received to be exactly what the ledger holds, in order.
pub(super) async fn received_all(world: &World, called: &str, channel: &str) -> Result<usize, StepError> {
    let expected = world.ledger_events(AUDITOR, channel).await?;
    let enough = |events: &[CloudEvent]| (events.len() >= expected.len()).then_some(());
    let watcher = world.watcher(called)?;
    watcher.until(&format!("{} events of {channel}", expected.len()), PATIENCE, enough).await?;
    let received: Vec<String> = watcher.events().into_iter().map(|event| event.id).collect();
    for (at, (received, expected)) in received.iter().zip(&expected).enumerate() {
        expect(&format!("event {at} of {channel}"), received, expected)?;
    }
    expect(&format!("the number of events of {channel}"), &received.len(), &expected.len())?;
    Ok(expected.len())
}

/// Step 9: subscribers from the first block on have seen every event once, in order; the one that may read logs only
/// has seen those and no others, each checked with its evidence by the client.
pub(super) async fn subscribers(world: &mut World) -> Shown {
    let (lending, auction) = (&world.cast.loan.channel, &world.cast.auction.channel);
    let mut facts = Vec::new();
    for (called, channel) in [(ALL_OF_LENDING, lending), (ALL_OF_AUCTION, auction)] {
        let events = received_all(world, called, channel).await?;
        facts.push(format!("{AUDITOR} received all {events} events of {channel}, each once, in order"));
    }
    // Administrative acts are for administrators and auditors.
    let is_log = |event: &&CloudEvent| event.class == Class::Logs && !is_act(event.class, &event.subject);
    let all = world.watcher(ALL_OF_AUCTION)?.events();
    let expected: Vec<&str> = all.iter().filter(is_log).map(|event| event.id.as_str()).collect();
    let enough = |events: &[CloudEvent]| (events.len() >= expected.len()).then_some(());
    let reader = world.watcher(LOGS_OF_AUCTION)?;
    reader.until(&format!("{} log events", expected.len()), PATIENCE, enough).await?;
    let logs = reader.events();
    let received: Vec<&str> = logs.iter().map(|event| event.id.as_str()).collect();
    expect("the log events in their order", &received, &expected)?;
    let proven = logs.iter().filter(|event| event.evidence.is_some()).count();
    expect("events with evidence", &proven, &logs.len())?;
    let account = world.person(LOG_READER)?;
    let refused = account.connection.account(auction, account.address).await;
    expect("what a reader of logs gets of assets", &problem(refused)?.status, &403)?;
    facts.push(format!("{LOG_READER} received the {proven} log events only, the evidence of each holds"));
    Ok(facts)
}

/// The problem that a request was refused with.
fn problem<T>(result: Result<T, RequestError>) -> Result<Problem, StepError> {
    match result {
        Err(RequestError::Problem(problem)) => Ok(*problem),
        Err(error) => Err(error.into()),
        Ok(_) => Err(StepError::unexpected("a request", "it is refused", "it is answered")),
    }
}

/// What somebody is told about a channel, by everything that can be asked or posted.
async fn told(actor: &Actor, channel: &str, envelope: &Envelope) -> Result<Vec<(&'static str, Problem)>, StepError> {
    let connection = &actor.connection;
    let id = envelope.id();
    let posted = match connection.submit(channel, envelope, client::submit::Wait::Accepted).await {
        Err(SubmitError::Request(error)) => Err(error),
        Err(error) => return Err(error.into()),
        Ok(outcome) => Ok(outcome),
    };
    let subscribed = match connection.subscribe(channel, Filter::default()).next().await {
        Some(Err(SubscribeError::Request(error))) => Err(error),
        other => return Err(StepError::unexpected("a subscription", "it is refused", format!("{other:?}"))),
    };
    Ok(vec![
        ("its view", problem(connection.channel(channel).await)?),
        ("its blocks", problem(connection.blocks(channel, Range::default()).await)?),
        ("its first block", problem(connection.block_view(channel, 0).await)?),
        ("its logs", problem(connection.logs(channel, None, Paging::default()).await)?),
        ("an account", problem(connection.account(channel, actor.address).await)?),
        ("a contract", problem(connection.instance_query(channel, "lot-1", "state", "{}").await)?),
        ("a transaction", problem(connection.transaction(channel, id).await)?),
        ("a proof", problem(connection.proof(channel, id, None).await)?),
        ("its configurations", problem(connection.trust(channel).await)?),
        ("its events", problem::<()>(subscribed)?),
        ("posting", problem(posted)?),
    ])
}

/// Step 10: a member of the consortium, and of the channel's organizations, but without a right on the channel; and
/// somebody without certificate. To both the channel is as one that does not exist.
pub(super) async fn outsiders(world: &mut World) -> Shown {
    let secret = world.cast.auction.channel.as_str();
    let id = world.channel(secret)?;
    let append = || Action::LogAppend(Append { topic: "hello".into(), digest: None, body: String::new() });
    let mut facts = Vec::new();
    for name in ["nils", ANONYMOUS] {
        let actor = world.person(name)?;
        let envelope = actor.sign(id, vec![append()])?;
        let there = told(actor, secret, &envelope).await?;
        let nowhere = told(actor, NO_CHANNEL, &envelope).await?;
        for ((what, problem), (_, elsewhere)) in there.iter().zip(&nowhere) {
            let asked = format!("what {name} is told of {secret}, asking for {what}");
            expect(&asked, &(problem.status, problem.name()), &(404, CHANNEL_UNKNOWN))?;
            expect(&format!("{asked}, as of {NO_CHANNEL}"), problem, elsewhere)?;
        }
        let by_id = problem(actor.connection.channel(&id.to_string()).await)?;
        expect("what an id tells", &Some(&by_id), &there.first().map(|(_, problem)| problem))?;
        // The same by processes, to the byte.
        for words in [&["channel", "show"][..], &["watch"], &["log", "append", "hello", "--channel"]] {
            let asked = async |channel| world.run(name, &[words, &[channel]].concat()).await?.ended(1);
            let (there, nowhere) = (asked(secret).await?, asked(NO_CHANNEL).await?);
            expect(&format!("the two answers to chancery {}", words.join(" ")), &there.stdout, &nowhere.stdout)?;
        }
        let visible: Vec<String> =
            actor.connection.all_channels().await?.into_iter().map(|channel| channel.name).collect();
        let expected: &[&str] = if name == ANONYMOUS { &[] } else { &["lending", MAIN] };
        expect(
            &format!("channels that {name} sees"),
            &visible.iter().map(String::as_str).collect(),
            &expected.to_vec(),
        )?;
        let ways = there.len() + 4;
        facts.push(format!("{name} asks for {secret} in {ways} ways: each time 404, as for {NO_CHANNEL}"));
    }
    Ok(facts)
}

/// Step 11: a bidder's certificate is revoked while the bidder subscribes.
pub(super) async fn revocation(world: &mut World) -> Shown {
    const REVOKED: &str = "ben";
    let channel = world.cast.auction.channel.as_str();
    let actor = world.person(REVOKED)?;
    let mut watcher = Watcher::start(&world.program, &actor.profile, channel, &["--from", "0"])?;
    let some = |events: &[CloudEvent]| (!events.is_empty()).then_some(());
    watcher.until(&format!("{REVOKED} subscribes"), PATIENCE, some).await?;
    world.run(REVOKED, &["status"]).await?.ended(0)?;

    let identity = world.cast.identity(REVOKED)?;
    let (text, directory) = (identity.to_string(), world.peer_dir().to_string_lossy().into_owned());
    let began = Instant::now();
    let words = ["ca", "revoke", &text, "--reason", "key-compromise", "--dir", &directory];
    let revoked: Value = world.program.run(None, &words).await?.ended(0)?.json()?;
    let published = Instant::now();
    let ended = watcher.ended(PATIENCE).await?;
    expect("the problem that ends the subscription", &ended.problem.as_str(), &CERTIFICATE_REFUSED)?;
    expect("the exit code of the subscriber", &ended.code, &Some(1))?;
    let elapsed = ended.at.saturating_duration_since(published);
    if elapsed > REVOKED_WITHIN {
        let what = "time from the published CRL to the end of the subscription";
        return Err(StepError::unexpected(what, format!("at most {REVOKED_WITHIN:?}"), format!("{elapsed:?}")));
    }
    let again = world.run(REVOKED, &["status"]).await?;
    if again.code == Some(0) {
        return Err(StepError::unexpected("a new request of the revoked", "it is refused", "it is answered"));
    }

    // The ledger too: the peer brings the CA's answer to every channel that knows the certificate, and what is signed
    // with the account's key is refused by execution, whoever delivers it.
    let id = world.channel(channel)?;
    let serial = revoked["revoked"][0]["serial"].as_str().ok_or_else(|| StepError::failed("nothing was revoked"))?;
    let topic = Some("participant.revoked".to_owned());
    let filter = Filter { start: Start::Height(0), topic, ..Filter::default() };
    let mut revocations = world.person("bea")?.connection.subscribe(channel, filter);
    let delivery = tokio::time::timeout(PATIENCE, revocations.next()).await;
    let delivery = delivery.map_err(|_| StepError::failed("no channel learnt of the revocation"))?;
    let delivery = delivery.ok_or_else(|| StepError::failed("the subscription ended"))??;
    let known = serde_json::to_value(&delivery.event.data)?;
    expect("the serial that the channel knows as revoked", &known["serial"].as_str(), &Some(serial))?;
    let signed = Append { topic: "late".into(), digest: None, body: "signed by a revoked participant".into() };
    let envelope = actor.sign(id, vec![Action::LogAppend(signed)])?;
    let courier = &world.person("bea")?.connection;
    let refused = match courier.submit(channel, &envelope, client::submit::Wait::Committed).await {
        Ok(outcome) => outcome.receipt.map(|receipt| receipt.result),
        Err(SubmitError::Request(RequestError::Problem(problem))) => Some(problem.name().to_owned()),
        Err(error) => return Err(error.into()),
    };
    expect("what becomes of it", &refused.as_deref(), &Some(ResultCode::ParticipantIsRevoked.name()))?;
    Ok(vec![
        format!(
            "{REVOKED}'s subscription is closed {} ms after the revocation began: {}",
            ended.at.saturating_duration_since(began).as_millis(),
            ended.problem
        ),
        format!("new connections are refused; block {} ends the participant on {channel}", delivery.cursor.height),
    ])
}

/// Step 12: the receipt of the last sale is proven to somebody who has nothing but the channel's id.
pub(super) async fn proof(world: &mut World) -> Shown {
    let channel = world.cast.auction.channel.as_str();
    let id = world.channel(channel)?;
    let words = ["log", "append", "handover.done", "--body", "keys received", "--channel", channel];
    let receipt = world.run("bea", &words).await?.receipt(0)?;
    let (good, bad) = (world.dir.join("proof.json"), world.dir.join("proof-altered.json"));
    let (good_text, bad_text) = (good.to_string_lossy().into_owned(), bad.to_string_lossy().into_owned());
    let transaction = receipt.id.to_string();
    let fetch = ["tx", "proof", &transaction, "--channel", channel, "--out", &good_text];
    world.run("bea", &fetch).await?.ended(0)?;

    // No profile, no peer: a file and the channel's id.
    let channel_id = id.to_string();
    let verify = async |file: &str| {
        let words = ["verify", "--proof", file, "--channel-id", &channel_id];
        world.program.run(None, &words).await
    };
    let proven: Value = verify(&good_text).await?.ended(0)?.json()?;
    expect("the transaction that is proven", &proven["id"].as_str(), &Some(transaction.as_str()))?;
    expect("its height", &proven["height"].as_u64(), &Some(receipt.height))?;

    let mut altered: Value = ledger_classes::primitives::json::from_str(&std::fs::read_to_string(&good)?)?;
    let mut leaves = Vec::new();
    hex_leaves(&altered, String::new(), &mut leaves);
    let places = [Place::First, Place::Middle, Place::Last];
    for (pointer, place) in leaves.iter().flat_map(|pointer| places.map(|place| (pointer, place))) {
        let before = altered.clone();
        alter(&mut altered, pointer, place);
        std::fs::write(&bad, serde_json::to_vec(&altered)?)?;
        let believed =
            client::verify::read_proof(&bad).is_ok_and(|proof| client::verify::verify_proof(&proof, Some(id)).is_ok());
        expect(&format!("whether a proof with another {pointer} is believed"), &believed, &false)?;
        altered = before;
    }
    // The last altered copy once more by a process of its own.
    verify(&bad_text).await?.ended(1)?;
    Ok(vec![
        format!("{} in block {} proven by {good_text}", short(&receipt.id), receipt.height),
        format!("{} copies with one digit altered are all rejected", leaves.len() * places.len()),
    ])
}

/// Every text of hex digits in a document, by its pointer.
fn hex_leaves(value: &Value, at: String, leaves: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| hex_leaves(value, format!("{at}/{name}"), leaves)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| hex_leaves(value, format!("{at}/{index}"), leaves));
        }
        Value::String(text) if text.len() >= 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            leaves.push(at);
        }
        _ => {}
    }
}

/// Which digit of a text.
#[derive(Clone, Copy)]
enum Place {
    First,
    Middle,
    Last,
}

/// Changes one digit of a text.
fn alter(document: &mut Value, pointer: &str, place: Place) {
    if let Some(Value::String(text)) = document.pointer_mut(pointer) {
        let at = match place {
            Place::First => 0,
            Place::Middle => text.len() / 2,
            Place::Last => text.len() - 1,
        };
        let other = if text[at..].starts_with('0') { "1" } else { "0" };
        text.replace_range(at..=at, other);
    }
}

/// The channel's id and a height, to compare before and after.
pub(super) type Tip = (String, Hash, u64, Hash);

/// Waits until every act of the authorities is recorded: from then on nothing is posted to `main` by itself. Gives the
/// number of acts.
pub(super) async fn recorded(world: &World) -> Result<u64, StepError> {
    let directory = world.peer_dir().to_string_lossy().into_owned();
    let founder = world.cast.founder()?.name.clone();
    let began = Instant::now();
    // The peer looks at the index every second; nothing tells from outside when it has.
    let mut asks = tokio::time::interval(Duration::from_millis(100));
    loop {
        asks.tick().await;
        let words = ["ca", "--dir", &directory, "audit"];
        let agreed: Value = world.run(&founder, &words).await?.ended(0)?.json()?;
        if agreed["waiting"] == 0 {
            return Ok(agreed["records"].as_u64().unwrap_or_default());
        }
        if began.elapsed() > PATIENCE {
            return Err(StepError::unexpected("acts not recorded yet", "none", agreed.to_string()));
        }
    }
}

/// Where every channel stands, as the auditor sees it.
pub(super) async fn tips(world: &World) -> Result<Vec<Tip>, StepError> {
    let status = world.person(AUDITOR)?.connection.status().await?;
    let tips = status.channels.into_iter().map(|channel| (channel.name, channel.id, channel.height, channel.tip));
    Ok(tips.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn one_digit_of_one_text_is_altered() {
        let digits = "ab".repeat(32);
        let mut document = json!({ "a": { "b": [digits, "short", "z".repeat(64)] }, "n": 7 });
        let mut leaves = Vec::new();
        hex_leaves(&document, String::new(), &mut leaves);
        assert_eq!(leaves, ["/a/b/0"]);
        for (place, expected) in [
            (Place::First, format!("0b{}", "ab".repeat(31))),
            (Place::Middle, format!("0b{}0b{}", "ab".repeat(15), "ab".repeat(15))),
            (Place::Last, format!("0b{}0b{}a0", "ab".repeat(15), "ab".repeat(14))),
        ] {
            alter(&mut document, "/a/b/0", place);
            assert_eq!(document["a"]["b"][0], expected);
        }
    }
}
