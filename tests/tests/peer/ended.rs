//! Who was revoked on a channel by its own administrators reads nothing there any more: without the CA's folder that is
//! all that they can do, and it ended posting alone.

use crate::harness::{Consortium, Peer, copy_folder};
use crate::wait;
use client::connection::{Connection, RequestError};
use client::query::Range;
use client::subscribe::{Filter, Start, SubscribeError};
use std::path::Path;

/// The name of the problem that a request is refused with.
fn refusal<T: std::fmt::Debug>(answer: Result<T, RequestError>) -> String {
    answer.expect_err("refused").problem().expect("a problem").name().to_owned()
}

/// Nothing of the channel, by no way.
async fn sees_nothing(who: &Connection, channel: &str) {
    assert_eq!(refusal(who.channel(channel).await), "channel-unknown");
    assert_eq!(refusal(who.blocks(channel, Range::default()).await), "channel-unknown");
    let listed = who.all_channels().await.expect("answers");
    let told = who.status().await.expect("answers").channels;
    assert!(listed.iter().chain(&told).all(|one| one.name != channel), "{listed:?} {told:?}");
}

fn create(peer: &Peer, by: &Path, name: &str) {
    peer.run(by, &["channel", "create", name, "--org", "bank", "--grant", "bank=read,write,admin"]);
}

#[tokio::test]
async fn who_is_revoked_on_a_private_channel_reads_it_no_more_also_after_a_restart_and_a_crash() {
    let consortium = Consortium::new();
    let (ann, bob) = (consortium.profile("bank", "client", "ann"), consortium.profile("bank", "client", "bob"));
    let (peer, boss) = (consortium.serve(), consortium.admin());
    create(&peer, &boss, "private");
    create(&peer, &boss, "other");
    for profile in [&boss, &ann, &bob] {
        peer.run(profile, &["key", "new"]);
        peer.run(profile, &["participant", "admit", "--channel", "private"]);
    }
    let (gone, stays) = (peer.connect(&ann), peer.connect(&bob));
    let filter = || Filter { start: Start::Height(0), ..Filter::default() };
    let (mut lost, mut kept) = (gone.subscribe("private", filter()), gone.subscribe("other", filter()));
    lost.next().await.expect("goes on").expect("an event");

    peer.run(&boss, &["participant", "revoke", "spiffe://test.example/bank/client/ann", "--channel", "private"]);
    sees_nothing(&gone, "private").await;
    loop {
        match tokio::time::timeout(wait::PATIENCE, lost.next()).await.expect("ends in time") {
            Some(Ok(told)) => assert_ne!(told.event.type_text, "chancery.participant.revoked"),
            Some(Err(SubscribeError::Problem(problem))) => break assert_eq!(problem.name(), "channel-unknown"),
            other => panic!("{other:?}"),
        }
    }
    // It is that channel's word alone, and about nobody else.
    assert!(!gone.channel("other").await.expect("there").rights.is_empty());
    peer.run(&bob, &["participant", "admit", "--channel", "other"]);
    kept.next().await.expect("goes on").expect("an event");
    assert!(!stays.channel("private").await.expect("there").rights.is_empty());

    peer.drain();
    let peer = consortium.serve();
    sees_nothing(&peer.connect(&ann), "private").await;
    assert!(peer.connect(&bob).channel("private").await.is_ok());
    // Opened, so that a crash leaves no summary.
    peer.run(&bob, &["log", "append", "tests", "--body", "here", "--channel", "private"]);
    peer.kill();
    let peer = consortium.serve();
    let bob = peer.connect(&bob);
    let opened = async || bob.status().await.ok()?.channels_incomplete.is_none().then_some(());
    wait::until("the channels are open", opened).await;
    assert!(bob.channel("private").await.is_ok());
    sees_nothing(&peer.connect(&ann), "private").await;
}

/// Once its identity was reinstated, the stolen certificate read the channel again, and an administrator's the peer.
#[tokio::test]
async fn who_had_a_certificate_when_its_identity_ended_reads_by_none_of_them_once_it_is_reinstated() {
    let consortium = Consortium::new();
    let (boss, ann) = (consortium.admin(), consortium.profile("bank", "client", "ann"));
    let peer = consortium.serve();
    create(&peer, &boss, "private");
    let mut had = Vec::new();
    for profile in [&boss, &ann] {
        peer.run(profile, &["key", "new"]);
        peer.run(profile, &["participant", "admit", "--channel", "private"]);
    }
    // Renewed and admitted again: the earlier one is nobody's record any more.
    for name in ["first", "second"] {
        let kept = consortium.path(name);
        copy_folder(&ann, &kept);
        had.push(kept);
        peer.run(&ann, &["ca", "renew"]);
        if name == "first" {
            peer.run(&ann, &["participant", "admit", "--channel", "private"]);
        }
    }
    let who = "spiffe://test.example/bank/client/ann";
    peer.run(&boss, &["participant", "revoke", who, "--channel", "private"]);
    peer.run(&boss, &["participant", "reinstate", who, "--channel", "private"]);
    for profile in &had {
        sees_nothing(&peer.connect(profile), "private").await;
    }
    let renewed = peer.connect(&ann);
    assert!(renewed.channel("private").await.is_ok(), "one that had not admitted it");
    peer.run(&ann, &["participant", "admit", "--channel", "private"]);
}
