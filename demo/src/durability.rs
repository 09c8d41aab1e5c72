//! What is acknowledged is there after `kill -9`; a drained peer leaves a ledger that verifies from its first block on.

use crate::{
    consortium::{ALL_OF_AUCTION, AUDITOR},
    guarantees::{received_all, recorded, tips},
    process::Watcher,
    steps::{Shown, StepError, expect},
    world::{PATIENCE, World, short},
};
use client::api::{CloudEvent, Outcome};
use serde_json::Value;

/// Step 13: a peer that is killed without notice.
pub(super) async fn killed(world: &mut World) -> Shown {
    let channel = world.cast.auction.channel.clone();
    let signed = world.dir.join("signed.json");
    let words = ["log", "append", "power.cut", "--body", "acknowledged just before", "--channel", &channel, "--print"];
    let printed = world.run("bea", &words).await?.ended(0)?;
    std::fs::write(&signed, &printed.stdout)?;
    let file = signed.to_string_lossy().into_owned();
    let first = world.run("bea", &["tx", "submit", &file]).await?.receipt(0)?;
    recorded(world).await?;
    let before = tips(world).await?;
    let peer = world.peer.take().ok_or_else(|| StepError::failed("no peer runs"))?;
    peer.kill().await?;

    world.start_peer().await?;
    expect("the channels after kill -9", &tips(world).await?, &before)?;
    let id = first.id.to_string();
    let found: Outcome = world.run("bea", &["tx", "status", &id, "--channel", &channel]).await?.ended(0)?.json()?;
    expect("the receipt after kill -9", &found.receipt.as_ref(), &Some(&first))?;
    let again = world.run("bea", &["tx", "submit", &file]).await?.receipt(0)?;
    expect("the receipt of the same transaction sent again", &again, &first)?;
    // The subscriber has connected again by itself and goes on where it was.
    let words = ["log", "append", "power.back", "--channel", &channel];
    world.run("bea", &words).await?.receipt(0)?;
    let events = received_all(world, ALL_OF_AUCTION, &channel).await?;
    Ok(vec![
        format!("{} is still in block {}; sent again, it has the same receipt", short(&first.id), first.height),
        format!("{AUDITOR}'s subscription connected again by itself: {events} events, each once, in order"),
    ])
}

/// Step 14: SIGTERM, the whole ledger verified offline, and everything back.
pub(super) async fn verified(world: &mut World) -> Shown {
    let channel = world.cast.auction.channel.clone();
    let acts = recorded(world).await?;
    let before = tips(world).await?;
    let last = world.watcher(ALL_OF_AUCTION)?.events().last().map(|event| event.id.clone());
    let last = last.ok_or_else(|| StepError::failed("no event was seen"))?;
    let peer = world.peer.take().ok_or_else(|| StepError::failed("no peer runs"))?;
    expect("the exit code of the drained peer", &peer.terminate(PATIENCE).await?, &Some(0))?;
    world.watchers.clear();

    let directory = world.peer_dir().to_string_lossy().into_owned();
    let report: Value = world.program.run(None, &["verify", "--dir", &directory]).await?.ended(0)?.json()?;
    let empty = Vec::new();
    let channels = report["channels"].as_array().unwrap_or(&empty);
    let mut facts = vec![format!("{acts} acts of the authorities are on main, as their index has them")];
    for (name, id, height, tip) in &before {
        let found = channels.iter().find(|channel| channel["name"] == *name);
        let found = found.ok_or_else(|| StepError::unexpected("verified channels", name, report.to_string()))?;
        expect(&format!("the verified height of {name}"), &found["height"].as_u64(), &Some(*height))?;
        for (field, expected) in [("channel", id), ("tip", tip)] {
            let expected = expected.to_string();
            expect(&format!("{field} of {name}"), &found[field].as_str(), &Some(expected.as_str()))?;
        }
        let (transactions, receipts) = (&found["transactions"], &found["receipts"]);
        let blocks = height + 1;
        facts.push(format!("{name}: {blocks} blocks, {transactions} transactions, {receipts} receipts executed again"));
    }
    expect("channels on disk", &channels.len(), &before.len())?;

    world.start_peer().await?;
    expect("the channels after the restart", &tips(world).await?, &before)?;
    // A subscriber that comes back with its cursor gets what came after it, and nothing else.
    let profile = world.person(AUDITOR)?.profile.clone();
    let watcher = Watcher::start(&world.program, &profile, &channel, &["--from", &last])?;
    let appended = world.run("bea", &["log", "append", "open.again", "--channel", &channel]).await?.receipt(0)?;
    let next = |events: &[CloudEvent]| events.first().map(|event| (event.transaction, event.subject.clone()));
    let next = watcher.until("the first event after the cursor", PATIENCE, next).await?;
    expect("the first event after the cursor", &next, &(appended.id, "open.again".into()))?;
    facts
        .push(format!("restarted: all heights as before; a subscriber resumed behind {last} got the next event first"));
    Ok(facts)
}
