//! Somebody has an organization's CA key. Until the members had approved a change of each channel's configuration the thief
//! went on making administrators; and a folder could not give the organization another key.

use crate::{
    harness::{Consortium, Peer, address, append, copy_folder, run, signed, text, try_run},
    wait,
};
use ca::{CertificateFolder, office::issuing::LeafOptions};
use client::connection::Connection;
use client::profile::Profile;
use client::submit::Wait;
use ledger_classes::action::{
    Action,
    channel::{Propose, Revoke},
};
use ledger_classes::formats::config::ConfigChange;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::limits::CONFIG_CHANGES_SAVED;
use ledger_classes::primitives::hash::Hash;
use std::path::{Path, PathBuf};

/// A copy of all CAs of the consortium, in a thief's hands.
struct Thief {
    folder: CertificateFolder,
    home: PathBuf,
    template: PathBuf,
}

impl Thief {
    fn steal(consortium: &Consortium, template: &Path) -> Self {
        let home = consortium.path("thief");
        copy_folder(&consortium.dir().join("ca"), &home.join("ca"));
        std::fs::copy(consortium.dir().join("authority.passphrase"), home.join("authority.passphrase"))
            .expect("copied");
        Self { folder: CertificateFolder::open(&home).expect("a folder"), home, template: template.into() }
    }

    /// A profile that the stolen CA makes.
    fn profile(&self, identity: &str) -> PathBuf {
        let identity = format!("spiffe://test.example/{identity}").parse().expect("an identity");
        let into = self.home.join(client::now().millis().to_string());
        self.folder.issuing().issue_profile(&identity, &LeafOptions::default(), &into, client::now()).expect("issued");
        std::fs::copy(self.template.join("profile.toml"), into.join("profile.toml")).expect("copied");
        into
    }
}

fn admission(profile: &Path, channel: Hash, number: u8) -> Action {
    let credential = Profile::open(profile).expect("a profile").credential.expect("a certificate");
    client::admit::admission(&credential, channel, address(number)).expect("signs")
}

fn takeover() -> Action {
    public(true)
}

fn public(public_read: bool) -> Action {
    let changes = vec![ConfigChange::SetPublicRead { public_read }];
    Action::ChannelPropose(Propose { changes, reason: String::new() })
}

/// What becomes of a transaction: `done`, or why not.
async fn fate(connection: &Connection, channel: &str, envelope: &Envelope) -> String {
    match connection.submit(channel, envelope, Wait::Committed).await {
        Ok(outcome) => outcome.receipt.map_or_else(|| "no receipt".into(), |receipt| receipt.result),
        Err(error) => {
            let said = format!("{error:?}");
            let name = said.split("urn:chancery:problem:").nth(1).and_then(|rest| rest.split('"').next());
            name.unwrap_or(&said).to_owned()
        }
    }
}

/// A peer takes a new list into force within a second.
async fn refused_at_the_door(peer: &Peer, profile: &Path) {
    wait::until("its certificate is refused", async || {
        let output = try_run(&["--profile", text(profile), "--peer", &peer.url, "status"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code() == Some(1) && said.contains("refuses the profile's certificate")).then_some(())
    })
    .await;
}

/// How many CAs a channel lists for a member, as somebody sees it.
async fn listed(connection: &Connection, channel: &str, organization: &str) -> usize {
    let config = connection.channel(channel).await.expect("there").config.expect("seen");
    let member = config.organizations.into_iter().find(|member| member.name == organization);
    member.expect("a member").authorities.len()
}

/// Whether somebody sees the channel, and that it lists the newest CA of a folder for its organization, and no other.
fn lists_the_newest(peer: &Peer, profile: &Path, channel: &str, (dir, organization): (&Path, &str)) -> bool {
    let shown = try_run(&["--profile", text(profile), "--peer", &peer.url, "channel", "show", channel]);
    let shown: serde_json::Value = ledger_classes::primitives::json::from_slice(&shown.stdout).unwrap_or_default();
    let newest = pki::trust::files::read_certificates(&dir.join(format!("ca/{organization}.pem"))).expect("readable");
    let members = shown["config"]["organizations"].as_array().cloned().unwrap_or_default();
    let member = members.into_iter().find(|member| member["name"] == organization);
    member.is_some_and(|member| member["authorities"] == serde_json::json!([hex::encode(&newest[0])]))
}

/// A consortium of bank, whose peer it is, and dealer; channels `pair`, by a majority, and `loose`, by anybody's word.
struct World {
    consortium: Consortium,
    bank: PathBuf,
    boss: PathBuf,
    dora: PathBuf,
}

fn world() -> (World, Peer) {
    let consortium = Consortium::closed(&[]);
    consortium.organization("dealer");
    let (bank, boss) = (consortium.admin(), consortium.profile("dealer", "admin", "boss"));
    let dora = consortium.profile("dealer", "client", "dora");
    let peer = consortium.serve();
    for (channel, approvals) in [("pair", "majority"), ("loose", "any")] {
        peer.run(&bank, &["channel", "create", channel, "--org", "bank", "--org", "dealer", "--approvals", approvals]);
    }
    for profile in [&bank, &boss, &dora] {
        peer.run(profile, &["key", "new"]);
        for channel in ["pair", "loose"] {
            peer.run(profile, &["participant", "admit", "--channel", channel]);
        }
    }
    peer.run(&bank, &["participant", "admit", "--channel", "main"]);
    (World { consortium, bank, boss, dora }, peer)
}

impl World {
    fn ca(&self, words: &[&str]) -> serde_json::Value {
        run(&[&["ca"], words, &["--dir", text(&self.consortium.dir())]].concat())
    }

    /// A file with an organization's CA.
    fn bundle(&self, organization: &str) -> String {
        let file = self.consortium.path(&format!("{organization}.pem"));
        self.ca(&["bundle", organization, "--out", text(&file)]);
        format!("{organization}={}", text(&file))
    }
}

#[tokio::test]
async fn a_stolen_ca_is_off_every_channel_within_seconds_and_its_people_come_back_by_the_new_one() {
    let (world, peer) = world();
    let admin = peer.connect(&world.bank);
    let ids = [
        ("pair", admin.channel("pair").await.expect("there").id),
        ("loose", admin.channel("loose").await.expect("there").id),
    ];
    let dora = peer.run(&world.dora, &["key", "show"])["address"].as_str().expect("an address").to_owned();
    peer.run(&world.bank, &["asset", "define", "coin", "--channel", "pair"]);
    peer.run(&world.bank, &["asset", "mint", "coin", &dora, "5", "--new", "--channel", "pair"]);
    // What the thief could do: an administrator of dealer, on each channel, through anybody's connection.
    let thief = Thief::steal(&world.consortium, &world.boss);
    let first = thief.profile("dealer/admin/thief");
    for (channel, id) in ids {
        assert_eq!(fate(&admin, channel, &signed(id, 7, vec![admission(&first, id, 7)])).await, "done");
    }
    assert_eq!(fate(&admin, "loose", &signed(ids[1].1, 7, vec![takeover()])).await, "done", "it ruled");

    world.ca(&["replace", "dealer", "--why", "the disk was stolen"]);
    for (channel, id) in ids {
        wait::until(channel, async || (listed(&admin, channel, "dealer").await == 0).then_some(())).await;
        let refused = fate(&admin, channel, &signed(id, 7, vec![append("tests", "still here")])).await;
        assert_eq!(refused, "participant-unvouched");
        // By what the stolen key makes now, too.
        let second = thief.profile("dealer/admin/second");
        let refused = fate(&admin, channel, &signed(id, 8, vec![admission(&second, id, 8)])).await;
        assert!(refused == "path-refused" || refused == "certificate-revoked", "{refused}");
        for profile in [&first, &second] {
            refused_at_the_door(&peer, profile).await;
        }
    }
    // Whom the CA had vouched for truly is out as well, and comes back: renewed with the folder, and by no peer.
    for profile in [&world.boss, &world.dora] {
        let online = try_run(&["--profile", text(profile), "--peer", &peer.url, "ca", "renew"]);
        assert_eq!(online.status.code(), Some(1), "{online:?}");
        world.ca(&["renew", text(profile)]);
    }
    let hidden = try_run(&["--profile", text(&world.boss), "--peer", &peer.url, "channel", "show", "pair"]);
    assert_eq!(hidden.status.code(), Some(1), "no CA of dealer is listed");
    // Bank is the majority of those who have a CA, and could only be misled about which is dealer's.
    peer.run(
        &world.bank,
        &["channel", "update", "pair", "--put-org", &world.bundle("dealer"), "--reason", "it was stolen"],
    );
    for profile in [&world.boss, &world.dora] {
        peer.run(profile, &["participant", "admit", "--channel", "pair"]);
    }
    peer.run(&world.dora, &["asset", "transfer", "coin", &dora, "5", "--channel", "pair"]);
    // Both are needed again.
    let proposed = peer.run(&world.bank, &["channel", "update", "pair", "--approvals", "all"]);
    let open = peer.run(&world.boss, &["channel", "proposals", "pair"]);
    assert_eq!(open["items"][0]["id"], proposed["id"], "{open}");
    peer.run(&world.boss, &["channel", "approve", "pair", proposed["id"].as_str().expect("an id")]);
    let refused = fate(&admin, "pair", &signed(ids[0].1, 7, vec![append("tests", "again")])).await;
    assert_eq!(refused, "participant-unvouched");
    // A restart brings it nowhere again, and another channel that lists the stolen key loses it.
    let height = admin.channel("pair").await.expect("there").height;
    peer.drain();
    let peer = world.consortium.serve();
    let admin = peer.connect(&world.bank);
    let stolen = world.consortium.path("stolen.pem");
    run(&["ca", "bundle", "dealer", "--out", text(&stolen), "--dir", text(&thief.home)]);
    peer.run(&world.bank, &["channel", "update", "loose", "--put-org", &format!("dealer={}", text(&stolen))]);
    wait::until("loose", async || (listed(&admin, "loose", "dealer").await == 0).then_some(())).await;
    assert_eq!(admin.channel("pair").await.expect("there").height, height);
    assert_eq!(listed(&admin, "pair", "dealer").await, 1);
}

/// On a channel that nobody but the organization could change its new CA takes the place of the old one, and none is locked.
#[tokio::test]
async fn the_peers_own_ca_is_replaced_and_no_channel_of_its_own_is_locked() {
    let (world, peer) = world();
    let thief = Thief::steal(&world.consortium, &world.bank);
    let first = thief.profile("bank/admin/thief");
    world.ca(&["replace", "bank"]);
    world.ca(&["renew", text(&world.bank)]);
    // The peer renews itself. Pair goes on with dealer; main has nobody else.
    let bank = (&*world.consortium.dir(), "bank");
    wait::until("main", async || lists_the_newest(&peer, &world.bank, "main", bank).then_some(())).await;
    let boss = peer.connect(&world.boss);
    for channel in ["pair", "loose"] {
        wait::until(channel, async || (listed(&boss, channel, "bank").await == 0).then_some(())).await;
    }
    refused_at_the_door(&peer, &first).await;
    let status = peer.run(&world.bank, &["status"]).to_string();
    assert!(!status.contains("nobody could change it again"), "{status}");
    peer.run(&world.bank, &["participant", "admit", "--channel", "main"]);
    peer.run(&world.bank, &["channel", "update", "main", "--public-read", "true", "--reason", "it goes on"]);
    peer.run(&world.bank, &["log", "append", "tests", "--body", "it goes on", "--channel", "main"]);
    peer.run(&world.boss, &["channel", "update", "pair", "--put-org", &world.bundle("bank")]);
    peer.run(&world.bank, &["participant", "admit", "--channel", "pair"]);
    peer.run(&world.bank, &["log", "append", "tests", "--body", "it goes on", "--channel", "pair"]);
    // Replaced twice while the peer is down: the words of both keys are brought one after the other.
    peer.drain();
    world.ca(&["replace", "bank"]);
    world.ca(&["replace", "bank"]);
    world.ca(&["renew", text(&world.bank)]);
    let peer = world.consortium.serve();
    wait::until("main", async || lists_the_newest(&peer, &world.bank, "main", bank).then_some(())).await;
    peer.run(&world.bank, &["participant", "admit", "--channel", "main"]);
    peer.run(&world.bank, &["channel", "update", "main", "--public-read", "false"]);
}

/// A thief ended all administrators and made as many changes of configuration as there may be: nobody was left who could
/// have listed another CA, and the channel kept the stolen one for ever.
#[tokio::test]
async fn a_thief_who_ended_all_administrators_and_spent_all_changes_loses_the_channel_within_seconds() {
    let (world, peer) = world();
    let main = peer.connect(&world.bank).channel("main").await.expect("there").id;
    let thief = Thief::steal(&world.consortium, &world.bank);
    let first = thief.profile("bank/admin/thief");
    let thieving = peer.connect(&first);
    assert_eq!(fate(&thieving, "main", &signed(main, 7, vec![admission(&first, main, 7)])).await, "done");
    let identity = "spiffe://test.example/bank/admin/admin";
    let end = Revoke { identity: identity.parse().expect("an identity"), serial: None, reason: String::new() };
    assert_eq!(fate(&thieving, "main", &signed(main, 7, vec![Action::ParticipantRevoke(end)])).await, "done");
    for number in 0..CONFIG_CHANGES_SAVED {
        assert_eq!(fate(&thieving, "main", &signed(main, 7, vec![public(number % 2 == 0)])).await, "done", "{number}");
    }
    assert_eq!(fate(&thieving, "main", &signed(main, 7, vec![takeover()])).await, "changes-too-frequent");

    world.ca(&["replace", "bank", "--why", "the disk was stolen"]);
    let second = world.consortium.profile("bank", "admin", "second");
    let bank = (&*world.consortium.dir(), "bank");
    wait::until("main", async || lists_the_newest(&peer, &second, "main", bank).then_some(())).await;
    refused_at_the_door(&peer, &first).await;
    // Nor is a door needed that knows the thief: the ledger refuses what it signs.
    let (still, again) = (signed(main, 7, vec![append("tests", "still here")]), thief.profile("bank/admin/again"));
    let admin = peer.connect(&second);
    assert_eq!(fate(&admin, "main", &still).await, "participant-unvouched");
    let refused = fate(&admin, "main", &signed(main, 8, vec![admission(&again, main, 8)])).await;
    assert!(refused == "path-refused" || refused == "certificate-revoked", "{refused}");
    // Whom the thief has ended comes back by an administrator under a new name.
    peer.run(&second, &["key", "new"]);
    peer.run(&second, &["participant", "admit", "--channel", "main"]);
    world.ca(&["renew", text(&world.bank)]);
    peer.run(&second, &["participant", "reinstate", identity, "--channel", "main"]);
    peer.run(&world.bank, &["participant", "admit", "--channel", "main"]);
    peer.run(&world.bank, &["log", "append", "tests", "--body", "it goes on", "--channel", "main"]);
    let words =
        ["--profile", text(&world.bank), "--peer", &peer.url, "channel", "update", "main", "--public-read", "true"];
    let early = String::from_utf8_lossy(&try_run(&words).stdout).into_owned();
    assert!(early.contains("changes-too-frequent"), "what the thief has spent comes back with time: {early}");
}

/// A key that is gone can say nothing. Main lists the stolen CA still, and whoever has its key need not show its certificate.
#[tokio::test]
async fn where_the_old_key_is_gone_an_administrator_who_is_there_lists_the_new_ca() {
    let (world, peer) = world();
    let thief = Thief::steal(&world.consortium, &world.bank);
    std::fs::remove_file(world.consortium.dir().join("ca/bank.key")).expect("there");
    let replaced = world.ca(&["replace", "bank"]);
    assert!(replaced["unsaid"].as_str().is_some_and(|why| why.contains("bank.key")), "{replaced}");
    world.ca(&["renew", text(&world.bank)]);
    wait::until("the peer has a certificate of the new CA", async || {
        let shown = try_run(&["--profile", text(&world.bank), "--peer", &peer.url, "channel", "show", "main"]);
        shown.status.success().then_some(())
    })
    .await;
    let admin = peer.connect(&world.bank);
    assert_eq!(listed(&admin, "main", "bank").await, 1);
    let main = admin.channel("main").await.expect("there").id;
    let second = thief.profile("bank/admin/second");
    for shown in [2, 1] {
        let mut action = admission(&second, main, 8);
        if let Action::ParticipantAdmit(admit) = &mut action {
            admit.path.truncate(shown);
        }
        assert_eq!(fate(&admin, "main", &signed(main, 8, vec![action])).await, "certificate-revoked", "{shown}");
    }
    let twice = ["channel", "update", "main", "--put-org", &world.bundle("bank")];
    let alone = try_run(&[&["--profile", text(&world.bank), "--peer", &peer.url], &twice[..]].concat());
    assert_eq!(alone.status.code(), Some(1), "nobody of the new one is there yet");
    peer.run(&world.bank, &["channel", "update", "main", "--add-ca", "bank", "--reason", "the old one was stolen"]);
    assert_eq!(listed(&admin, "main", "bank").await, 2);
    peer.run(&world.bank, &["participant", "admit", "--channel", "main"]);
    peer.run(&world.bank, &twice);
    assert!(lists_the_newest(&peer, &world.bank, "main", (&world.consortium.dir(), "bank")));
    peer.run(&world.bank, &["log", "append", "tests", "--body", "it goes on", "--channel", "main"]);
}

/// Freight is carrier's alone to change, and carrier's folder is nowhere near a peer.
#[tokio::test]
async fn the_word_of_a_key_whose_folder_is_elsewhere_brings_its_successor() {
    let (world, peer) = world();
    let home = world.consortium.path("carrier");
    let ca = |words: &[&str]| run(&[&["ca"], words, &["--dir", text(&home)]].concat());
    ca(&["init", "--consortium", "test.example", "--org", "carrier"]);
    let (cora, file, ours) =
        (world.consortium.path("cora"), world.consortium.path("c.pem"), world.consortium.path("o.pem"));
    ca(&["issue", "carrier", "admin", "cora", "--at", &peer.url, "--out", text(&cora)]);
    world.ca(&["bundle", "bank", "--out", text(&ours)]);
    run(&["ca", "trust", "add", text(&ours), "--into", text(&cora), "--root"]);
    ca(&["bundle", "carrier", "--out", text(&file)]);
    world.ca(&["trust", "add", text(&file)]);
    let create = ["channel", "create", "freight", "--org", "bank", "--org", &format!("carrier={}", text(&file))];
    let grants = ["--grant", "carrier=read,write,admin", "--grant", "bank=read,write"];
    peer.run(&world.bank, &[&create[..], &grants, &["--approvals", "any"]].concat());
    wait::until("the peer knows cora", async || {
        let shown = try_run(&["--profile", text(&cora), "--peer", &peer.url, "channel", "show", "freight"]);
        shown.status.success().then_some(())
    })
    .await;
    peer.run(&cora, &["key", "new"]);
    peer.run(&cora, &["participant", "admit", "--channel", "freight"]);
    ca(&["replace", "carrier"]);
    let said = peer.run(&world.bank, &["channel", "revoke-authority", "freight", "carrier", "--dir", text(&home)]);
    let event = said["receipt"]["events"][0]["data"].clone();
    assert!(event["kind"] == "channel.authority_revoked" && event["successor"].is_string(), "{said}");
    assert!(lists_the_newest(&peer, &world.bank, "freight", (&home, "carrier")));
    ca(&["bundle", "carrier", "--out", text(&file)]);
    world.ca(&["trust", "add", text(&file), "--beside"]);
    ca(&["renew", text(&cora)]);
    wait::until("the peer knows cora's new certificate", async || {
        let shown = try_run(&["--profile", text(&cora), "--peer", &peer.url, "channel", "show", "freight"]);
        shown.status.success().then_some(())
    })
    .await;
    peer.run(&cora, &["participant", "admit", "--channel", "freight"]);
    peer.run(&cora, &["channel", "update", "freight", "--public-read", "true"]);
}

/// An administrator's word ended one certificate, and the renewed one of the same person was admitted again.
#[tokio::test]
async fn an_identity_that_ended_comes_back_by_no_certificate_until_it_is_reinstated() {
    let (world, peer) = world();
    let who = "spiffe://test.example/dealer/client/dora";
    let on = ["--channel", "pair"];
    peer.run(&world.boss, &[&["participant", "revoke", who, "--reason", "left"][..], &on].concat());
    let code = |profile: &Path, words: &[&str]| {
        let output = try_run(&[&["--profile", text(profile), "--peer", &peer.url], words, &on].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for renewed in [false, true] {
        if renewed {
            peer.run(&world.dora, &["ca", "renew"]);
        }
        let (exit, said) = code(&world.dora, &["participant", "admit"]);
        // Whoever is ended does not see the channel either.
        assert!(exit == Some(1) && said.contains("channel-unknown"), "{said}");
    }
    let (exit, said) = code(&world.bank, &["participant", "reinstate", who]);
    assert!(exit == Some(1) && said.contains("other-organization"), "{said}");
    peer.run(&world.boss, &[&["participant", "reinstate", who, "--reason", "back"][..], &on].concat());
    peer.run(&world.dora, &[&["participant", "admit"][..], &on].concat());
    // Nobody is known under another name, and that is said.
    let nobody = peer.run(
        &world.boss,
        &[&["participant", "revoke", "spiffe://test.example/dealer/client/nobody"][..], &on].concat(),
    );
    assert!(nobody.to_string().contains("participant.ended"), "{nobody}");
}

/// The page said that a number that the index had lost is revoked; the command did not know it, and the certificate went on.
#[tokio::test]
async fn a_number_that_the_index_lost_is_revoked_everywhere() {
    let (world, peer) = world();
    peer.drain();
    // The folder as a backup of before eve's certificate.
    let index = world.consortium.dir().join("ca/index.jsonl");
    let backup = std::fs::read(&index).expect("readable");
    let eve = world.consortium.profile("dealer", "client", "eve");
    std::fs::write(&index, backup).expect("writable");
    let peer = world.consortium.serve();
    peer.run(&eve, &["key", "new"]);
    let admitted = peer.run(&eve, &["participant", "admit", "--channel", "pair"]);
    let serial = admitted["receipt"]["events"][0]["data"]["serial"].as_str().expect("a serial").to_owned();
    let dir = world.consortium.dir();
    let unknown = try_run(&["ca", "revoke", &serial, "--dir", text(&dir)]);
    let said = String::from_utf8_lossy(&unknown.stdout).into_owned();
    assert!(unknown.status.code() == Some(1) && said.contains("--of"), "{said}");
    let lost = try_run(&["ca", "revoke", &serial, "--of", "dealer", "--reason", "key-compromise", "--dir", text(&dir)]);
    let warned = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(lost.status.success() && warned.contains("does not know"), "{lost:?}");
    let admin = peer.connect(&world.bank);
    wait::until("the channel knows", async || {
        let list = peer.run(&world.bank, &["participant", "list", "--channel", "pair", "--organization", "dealer"]);
        let all = list["items"].as_array().expect("items").clone();
        all.iter().any(|one| one["serial"] == serial.as_str() && one["standing"] == "revoked").then_some(())
    })
    .await;
    let refused = try_run(&["--profile", text(&eve), "--peer", &peer.url, "channel", "show", "pair"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    drop(admin);
    // One that the index has is revoked without that.
    let known = world.ca(&["list", "--identity", "spiffe://test.example/dealer/client/dora"]);
    let known = known["items"][0]["serial"].as_str().expect("a serial").to_owned();
    let twice = try_run(&["ca", "revoke", &known, "--of", "dealer", "--dir", text(&dir)]);
    assert_eq!(twice.status.code(), Some(1));
}
