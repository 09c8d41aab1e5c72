//! A certificate that was revoked before a channel met it. Its key was admitted all the same, and took the channel over: the
//! revocation was posted where the certificate was known, and so two blocks later.

use crate::{
    harness::{Consortium, Peer, address, append, key, signed, text, transaction},
    wait,
};
use ca::{CertificateFolder, office::revocation::Selection};
use client::connection::Connection;
use client::profile::Profile;
use client::submit::Wait;
use client::subscribe::{Filter, Start};
use ledger_classes::action::assets::AccountAct;
use ledger_classes::action::{Action, channel::Propose};
use ledger_classes::formats::config::ConfigChange;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use pki::RevocationReason;
use std::path::{Path, PathBuf};

/// A profile without a certificate: whoever has one of the peer's CA certificates.
fn stranger(consortium: &Consortium, from: &Path) -> PathBuf {
    let folder = consortium.path("stranger");
    std::fs::create_dir_all(&folder).expect("writable");
    for file in ["ca.pem", "profile.toml"] {
        std::fs::copy(from.join(file), folder.join(file)).expect("copied");
    }
    folder
}

fn revoke(consortium: &Consortium, identity: &str, reason: RevocationReason) {
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let identity = format!("spiffe://test.example/{identity}").parse().expect("an identity");
    folder.revocation().revoke(&Selection::Identity(identity), reason, client::now()).expect("revokes");
}

fn admission(profile: &Path, channel: Hash, number: u8) -> Action {
    let credential = Profile::open(profile).expect("a profile").credential.expect("a certificate");
    client::admit::admission(&credential, channel, address(number)).expect("signs")
}

fn takeover() -> Action {
    let changes = vec![ConfigChange::SetPublicRead { public_read: true }];
    Action::ChannelPropose(Propose { changes, reason: String::new() })
}

/// The name of the problem that a transaction is refused with.
async fn refusal(connection: &Connection, channel: &str, envelope: &Envelope) -> String {
    let error = connection.submit(channel, envelope, Wait::Committed).await.expect_err("refused");
    let said = format!("{error:?}");
    let name = said.split("urn:chancery:problem:").nth(1).and_then(|rest| rest.split('"').next());
    name.unwrap_or(&said).to_owned()
}

/// Waits until a channel was told of so many revocations, and returns its height.
async fn told(admin: &Connection, channel: &str, count: usize) -> u64 {
    let filter = Filter { start: Start::Height(0), topic: Some("participant.revoked".into()), ..Filter::default() };
    let mut events = admin.subscribe(channel, filter);
    for _ in 0..count {
        let next = tokio::time::timeout(wait::PATIENCE, events.next()).await.expect("in time");
        next.expect("goes on").expect("an event");
    }
    admin.channel(channel).await.expect("there").height
}

fn create(peer: &Peer, by: &Path, name: &str, more: &[&str]) -> Hash {
    let words = ["channel", "create", name, "--org", "bank", "--grant", "bank=read:logs,write:logs,admin"];
    let made = peer.run(by, &[&words[..], more].concat());
    made["id"].as_str().expect("an id").parse().expect("hex")
}

#[tokio::test]
async fn a_revoked_certificate_that_no_channel_has_met_is_admitted_nowhere_by_nobody_in_no_way() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let deputy = consortium.profile("bank", "admin", "deputy");
    let boss = consortium.profile("dealer", "admin", "boss");
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let admin = peer.connect(&consortium.admin());
    let main = admin.channel("main").await.expect("there").id;
    let joint = ["--org", "dealer", "--grant", "dealer=read:logs,admin"];
    let private = create(&peer, &consortium.admin(), "private", &joint);
    // Neither has signed anything on any channel. One was renewed before, under the same key.
    peer.run(&deputy, &["ca", "renew"]);
    revoke(&consortium, "bank/admin/deputy", RevocationReason::Superseded);
    revoke(&consortium, "dealer/admin/boss", RevocationReason::KeyCompromise);
    // Every channel that lists the CA knows, whether or not it has met the certificate: two of bank's, one of dealer's.
    let heights = [told(&admin, "main", 2).await, told(&admin, "private", 3).await];
    // The channels know by the CAs' answers, the door by their lists, which may be read a moment later.
    for revoked in [&deputy, &boss] {
        let refused = async || peer.connect_once(revoked).status().await.is_err().then_some(());
        wait::until("the door knows", refused).await;
    }

    let nobody = peer.connect_once(&stranger(&consortium, &ann));
    let client = peer.connect_once(&ann);
    for (who, channel, id, profile) in
        [(&nobody, "main", main, &deputy), (&client, "private", private, &boss), (&client, "private", private, &deputy)]
    {
        let admit = || admission(profile, id, 7);
        let account = AccountAct { account: address(9) };
        for actions in [vec![admit()], vec![admit(), takeover()], vec![Action::AccountAct(account), admit()]] {
            let alone = actions.len() == 1;
            let refused = refusal(who, channel, &signed(id, 7, actions)).await;
            // With what needs a right, or an account that there is not, it may be refused for that before.
            assert!(refused == "certificate-revoked" || !alone, "{refused}");
        }
        // In a batch, beside one that is good or refused for its own reason, and in JSON.
        let batch = [signed(id, 7, vec![admit()]), signed(id, 8, vec![append("tests", "beside")])];
        let results = who.submit_batch(channel, &batch, Wait::Committed).await.expect("answers");
        assert!(format!("{:?}", results[0]).contains("certificate-revoked"), "{results:?}");
        let json = client::submit::sign_json(&transaction(id, vec![admit()]), &[&key(7)]);
        assert_eq!(refusal(who, channel, &json).await, "certificate-revoked");
        let refused = refusal(who, channel, &signed(id, 7, vec![takeover()])).await;
        assert_ne!(refused, "done", "its key has no right here");
    }
    let height = admin.channel("private").await.expect("there").height;
    assert_eq!(height, heights[1], "what was refused left nothing");

    // A channel that is made now gets all of them, and so does one that lists the CA from now on.
    let later = create(&peer, &consortium.admin(), "later", &[]);
    told(&admin, "later", 2).await;
    assert_eq!(
        refusal(&client, "later", &signed(later, 7, vec![admission(&deputy, later, 7)])).await,
        "certificate-revoked"
    );
    let profile = consortium.admin();
    peer.run(&profile, &["key", "new"]);
    peer.run(&profile, &["participant", "admit", "--channel", "later"]);
    peer.run(&profile, &["channel", "update", "later", "--add-org", "dealer", "--grant", "dealer=member"]);
    let height = told(&admin, "later", 3).await;

    // A restart asks and posts nothing again, on any channel.
    let before = heights_of(&admin).await;
    peer.drain();
    let peer = consortium.serve();
    let admin = peer.connect(&consortium.admin());
    // This one comes behind whatever would be posted again.
    revoke(&consortium, "bank/client/ann", RevocationReason::Superseded);
    assert_eq!(told(&admin, "later", 4).await, height + 1);
    told(&admin, "private", 4).await;
    let after = heights_of(&admin).await;
    assert_eq!((after[0].1, after[2].1), (before[0].1 + 1, before[2].1 + 1), "{before:?} {after:?}");
}

/// Heights of the channels, by name.
async fn heights_of(admin: &Connection) -> Vec<(String, u64)> {
    let channels = admin.all_channels().await.expect("answers");
    channels.into_iter().map(|channel| (channel.name, channel.height)).collect()
}

/// A revocation took what the peer's account had: its posts offered to pay any fee. They offer nothing, and are free.
#[tokio::test]
async fn what_the_peer_posts_costs_its_account_nothing() {
    let consortium = Consortium::new();
    consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let admin = peer.connect(&consortium.admin());
    let own = |words: &[&str]| peer.run(&consortium.admin(), &[words, &["--channel", "priced"]].concat());
    peer.run(&consortium.admin(), &["channel", "create", "priced", "--org", "bank"]);
    peer.run(&consortium.admin(), &["key", "new"]);
    own(&["participant", "admit"]);
    own(&["asset", "define", "coin"]);
    // The account that posts has funds: there would be something to take.
    let tip = admin.blocks("priced", client::query::Range { from: Some("1"), limit: Some(1) }).await.expect("readable");
    let seal = tip.items[0].header.proposer;
    own(&["asset", "mint", "coin", &seal.to_string(), "5000", "--new"]);
    let issuer = own(&["asset", "show", "coin"])["mint_authority"].clone();
    let changes = consortium.path("fees.json");
    let fees = serde_json::json!([{
        "change": "set_fees", "asset": "coin", "issuer": issuer, "base": "5", "per_byte": "1", "collector": null,
    }]);
    std::fs::write(&changes, fees.to_string()).expect("writable");
    peer.run(&consortium.admin(), &["channel", "update", "priced", "--changes", text(&changes)]);
    let before = admin.account("priced", seal).await.expect("readable").balances;
    assert!(!before.is_empty());
    revoke(&consortium, "bank/client/ann", RevocationReason::Superseded);
    told(&admin, "priced", 1).await;
    // It is charged nothing, and what it says that it would pay at most is nothing.
    assert_eq!(admin.account("priced", seal).await.expect("readable").balances, before);
    let page = admin.blocks("priced", client::query::Range { from: Some("1"), limit: Some(20) }).await;
    let page = page.expect("readable");
    let all = page.items.iter().flat_map(|block| &block.transactions);
    let posted: Vec<_> = all.filter(|one| one.sender == seal).collect();
    assert_eq!(posted.len(), 1);
    for one in posted {
        assert!(one.receipt.fee.is_zero() && one.transaction.fee_max.is_zero(), "{one:?}");
        assert!(matches!(one.transaction.actions[..], [Action::ParticipantRevokeByEvidence(_)]), "{one:?}");
    }
}
