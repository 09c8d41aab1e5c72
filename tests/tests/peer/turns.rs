//! Turns of what waits (decision 28), through the API: whoever floods a channel delays neither another member nor an
//! administrator, and a channel with thousands of costly transactions before it delays no other's revocation.
//!
//! Nothing here is judged by a clock: what counts is in which block each is, and what still waits then.

use crate::{
    harness::{Consortium, Peer, append, key, signed},
    wait::until,
};
use ca::{CertificateFolder, office::revocation::Selection};
use client::api::{BatchResult, ChannelSpec, SpecOrganization};
use client::connection::Connection;
use client::profile::Profile;
use client::submit::Wait;
use client::subscribe::{Filter, Start};
use ledger_classes::action::{Action, channel::Propose};
use ledger_classes::formats::config::{ConfigChange, Limits};
use ledger_classes::formats::rights::{Grant, Grantee, Right, Rights};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use pki::RevocationReason;
use std::path::Path;
use std::time::Instant;

/// Transactions of a block, so that a flood is one of many blocks.
const OF_BLOCK: u32 = 16;
/// Those of one request.
const OF_REQUEST: usize = 500;

/// A channel of two organizations, whose blocks are small.
async fn create(admin: &Connection, name: &str) -> Hash {
    let rights: Rights =
        ["read:logs", "write:logs", "admin"].iter().map(|right| right.parse::<Right>().expect("a right")).collect();
    let organization = |name: &str| SpecOrganization { name: name.into(), title: None, authorities: Vec::new() };
    let grant = |name: &str| Grant { to: Grantee::Organization(name.into()), rights };
    let spec = ChannelSpec {
        name: name.into(),
        engine: None,
        organizations: vec![organization("bank"), organization("dealer")],
        grants: vec![grant("bank"), grant("dealer")],
        public_read: false,
        open_submit: false,
        limits: Some(Limits { block_transactions_max: OF_BLOCK, ..Limits::default() }),
        approvals: None,
        budgets: None,
    };
    admin.create_channel(&spec).await.expect("made").id
}

/// Admits a profile's holder with the key of a number.
async fn admit(peer: &Peer, profile: &Path, channel: (&str, Hash), number: u8) -> Connection {
    let credential = Profile::open(profile).expect("a profile").credential.expect("a certificate");
    let address = key(number).public().address();
    let admission = client::admit::admission(&credential, channel.1, address).expect("signs");
    let connection = peer.connect(profile);
    let admitted = connection.submit(channel.0, &signed(channel.1, number, vec![admission]), Wait::Committed).await;
    assert_eq!(admitted.expect("taken").receipt.expect("committed").code, 0);
    connection
}

/// Posts so many transactions of so many actions and does not wait for their blocks. Returns the id of the last one.
async fn flood(by: &Connection, channel: (&str, Hash), number: u8, transactions: usize, actions: usize) -> Hash {
    let text = "costly".repeat(20);
    let envelopes: Vec<Envelope> = (0..transactions)
        .map(|_| signed(channel.1, number, (0..actions).map(|_| append("flood", text.as_str())).collect()))
        .collect();
    let mut last = None;
    for batch in envelopes.chunks(OF_REQUEST) {
        let results = by.submit_batch(channel.0, batch, Wait::Accepted).await.expect("answers");
        for result in results {
            match result {
                BatchResult::Accepted { id } | BatchResult::Committed { id, .. } => last = Some(id),
                BatchResult::Refused { problem, detail, .. } => panic!("{problem}: {detail}"),
            }
        }
    }
    last.expect("some")
}

/// The block of a transaction, if it is in one.
async fn height_of(by: &Connection, channel: &str, id: Hash) -> Option<u64> {
    by.transaction(channel, id).await.ok()?.receipt.map(|receipt| receipt.height)
}

/// Posts one and waits for its block.
async fn one(by: &Connection, channel: (&str, Hash), number: u8, action: Action) -> u64 {
    let outcome = by.submit(channel.0, &signed(channel.1, number, vec![action]), Wait::Committed).await;
    let receipt = outcome.expect("taken").receipt.expect("committed");
    assert_eq!(receipt.code, 0, "{receipt:?}");
    receipt.height
}

/// 3 MB of costly transactions of one writer made a transfer of somebody else wait for 18 s, and a revocation for longer.
#[tokio::test]
async fn a_flood_of_one_member_delays_neither_anothers_transactions_nor_an_administrators_act() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let lou = consortium.profile("bank", "client", "lou");
    let quinn = consortium.profile("dealer", "client", "quinn");
    let boss = consortium.profile("bank", "admin", "boss");
    let head = consortium.profile("dealer", "admin", "head");
    let peer = consortium.serve();
    let channel = ("crowded", create(&peer.connect(&consortium.admin()), "crowded").await);
    let lou = admit(&peer, &lou, channel, 1).await;
    let quinn = admit(&peer, &quinn, channel, 2).await;
    let boss = admit(&peer, &boss, channel, 3).await;
    // Who could approve what is proposed.
    admit(&peer, &head, channel, 4).await;
    let before = boss.channel("crowded").await.expect("there").height;
    let last = flood(&lou, channel, 1, 2_000, 8).await;
    let (began, flooded) = (Instant::now(), boss.channel("crowded").await.expect("there").height);

    let mut heights = Vec::new();
    for _ in 0..3 {
        heights.push(one(&quinn, channel, 2, append("quiet", "one")).await);
    }
    let changes = vec![ConfigChange::SetPublicRead { public_read: true }];
    let act = Action::ChannelPropose(Propose { changes, reason: String::new() });
    heights.push(one(&boss, channel, 3, act).await);
    let took = began.elapsed();
    assert_eq!(height_of(&boss, "crowded", last).await, None, "the flood is over: {before} {flooded} {heights:?}");
    let end = until("the flood ends", async || height_of(&boss, "crowded", last).await).await;
    println!("three transactions and an act took {took:?}: blocks {heights:?} of {before} to {end}, flood {flooded}");
    // In the next block, or in that behind those which were under way.
    let mut at = flooded;
    for height in heights {
        assert!(height <= at + 12, "{at} {height}, of {end}");
        at = height;
    }
    assert!(end > at + 20, "{at} {end}: the flood waited all the same");
}

/// Its disk, its queue, its turns: whatever holds one channel up is no matter of another's.
#[tokio::test]
async fn a_channel_with_thousands_of_costly_transactions_delays_no_others_revocation() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let lou = consortium.profile("bank", "client", "lou");
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let admin = peer.connect(&consortium.admin());
    let slow = ("slow", create(&admin, "slow").await);
    let quick = ("quick", create(&admin, "quick").await);
    let lou = admit(&peer, &lou, slow, 1).await;
    for (channel, number) in [(slow, 4), (quick, 4)] {
        admit(&peer, &ann, channel, number).await;
    }
    let last = flood(&lou, slow, 1, 2_000, 48).await;

    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let identity = "spiffe://test.example/bank/client/ann".parse().expect("an identity");
    let began = Instant::now();
    folder
        .revocation()
        .revoke(&Selection::Identity(identity), RevocationReason::Superseded, client::now())
        .expect("revokes");
    for channel in [quick, slow] {
        let filter = Filter { start: Start::Height(0), topic: Some("participant.revoked".into()), ..Filter::default() };
        let mut events = admin.subscribe(channel.0, filter);
        let told = tokio::time::timeout(crate::wait::PATIENCE, events.next()).await.expect("in time");
        told.expect("goes on").expect("an event");
        println!("{} was told after {:?}", channel.0, began.elapsed());
        assert_eq!(height_of(&admin, "slow", last).await, None, "{}: the flood is over", channel.0);
    }
    // It is in nobody's interest to wait for the rest.
    peer.kill();
}
