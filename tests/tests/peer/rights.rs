//! Rights end with their reason: what was given to a key, a CA or an organization is gone once that is, on public channels
//! too, in approvals, and through contracts.

use crate::{
    governance::{Trade, trade},
    harness::{Consortium, Peer, address, append, define, mint, signed, text, transfer, try_run},
    wait,
};
use ca::{CertificateFolder, office::revocation::Selection};
use client::connection::{Connection, RequestError};
use client::profile::Profile;
use client::submit::Wait;
use ledger_classes::action::{Action, assets, channel, contracts};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::json::from_slice;
use ledger_classes::state::keyspace;
use pki::RevocationReason;
use serde_json::Value;
use std::path::Path;

fn revoke(consortium: &Consortium, who: &str) {
    let identity = Identity::parse(&format!("spiffe://test.example/{who}")).expect("a valid identity");
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    folder
        .revocation()
        .revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, client::now())
        .expect("revokes");
}

/// Admits the address of key `number` by a profile's certificate.
async fn admit(poster: &Connection, channel: &str, profile: &Path, number: u8) {
    let id = poster.channel(channel).await.expect("there").id;
    let credential = Profile::open(profile).expect("a profile").credential.expect("a certificate");
    let admission = client::admit::admission(&credential, id, address(number)).expect("signs");
    assert_eq!(posted(poster, channel, id, number, vec![admission]).await, "done");
}

/// What becomes of a transaction: `done`, or the name of what refuses it.
async fn posted(poster: &Connection, channel: &str, id: Hash, number: u8, actions: Vec<Action>) -> String {
    match poster.submit(channel, &signed(id, number, actions), Wait::Committed).await {
        Ok(outcome) => outcome.receipt.expect("committed").result,
        Err(error) => {
            let said = format!("{error:?}");
            let name = said.split("urn:chancery:problem:").nth(1).and_then(|rest| rest.split('"').next());
            name.unwrap_or_else(|| panic!("{said}")).to_owned()
        }
    }
}

/// Waits until a participant's standing on a channel is this.
async fn stands(admin: &Connection, channel: &str, number: u8, standing: &str) {
    wait::until(standing, async || {
        let shown = admin.participant(channel, address(number)).await.expect("known");
        (shown["standing"] == standing).then_some(())
    })
    .await;
}

/// On `main`, which is public, all 5,000 units were moved after the revocation for key compromise.
#[tokio::test]
async fn a_revoked_participant_has_not_the_publics_rights_either() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let admin = peer.connect(&consortium.admin());
    let id = admin.channel("main").await.expect("there").id;
    admit(&admin, "main", &ann, 5).await;
    let fund = vec![define("coin"), mint("coin", 5, 5_000)];
    assert_eq!(posted(&admin, "main", id, 6, fund).await, "done", "a stranger has the public's");
    assert_eq!(posted(&admin, "main", id, 5, vec![transfer("coin", 7, 1)]).await, "done");
    revoke(&consortium, "bank/client/ann");
    stands(&admin, "main", 5, "revoked").await;
    let height = admin.channel("main").await.expect("there").height;
    for actions in [vec![transfer("coin", 7, 4_999)], vec![append("tests", "late")]] {
        assert_eq!(posted(&admin, "main", id, 5, actions).await, "participant-revoked");
    }
    assert_eq!(admin.channel("main").await.expect("there").height, height, "refused at the door");
    assert_eq!(posted(&admin, "main", id, 6, vec![append("tests", "a stranger")]).await, "done");
}

/// The documented remedy for a stolen CA is to list another: what the stolen one had vouched for went on writing.
#[tokio::test]
async fn whom_a_replaced_ca_vouched_for_writes_no_more_until_a_listed_one_does() {
    let consortium = Consortium::closed(&[]);
    consortium.organization("dealer");
    let (dora, boss) = (consortium.profile("dealer", "client", "dora"), consortium.profile("dealer", "admin", "boss"));
    let peer = consortium.serve();
    let bank = consortium.admin();
    let create = ["channel", "create", "trade", "--org", "bank", "--org", "dealer", "--approvals", "any"];
    peer.run(&bank, &create);
    let admin = peer.connect(&bank);
    let id = admin.channel("trade").await.expect("there").id;
    for (profile, number) in [(&dora, 5), (&boss, 6)] {
        admit(&admin, "trade", profile, number).await;
    }
    peer.run(&bank, &["key", "new"]);
    peer.run(&bank, &["participant", "admit", "--channel", "trade"]);
    assert_eq!(posted(&admin, "trade", id, 5, vec![append("tests", "dora")]).await, "done");

    // Another CA of dealer, as if this one's key had been stolen.
    let other = Consortium::closed(&[]);
    other.organization("dealer");
    let replaced = format!("dealer={}", text(&other.dir().join("ca/dealer.pem")));
    let update = ["channel", "update", "trade", "--put-org", &replaced, "--reason", "its key was stolen"];
    let made = peer.run(&bank, &update);
    // Whatever the policy, not without an administrator of dealer.
    assert_eq!(posted(&admin, "trade", id, 5, vec![append("tests", "dora")]).await, "done");
    let proposal = made["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let approve = Action::ChannelApprove(channel::Approve { proposal });
    assert_eq!(posted(&admin, "trade", id, 6, vec![approve]).await, "done");
    let height = admin.channel("trade").await.expect("there").height;
    for number in [5, 6] {
        stands(&admin, "trade", number, "unvouched").await;
        assert_eq!(posted(&admin, "trade", id, number, vec![append("tests", "x")]).await, "participant-unvouched");
    }
    assert_eq!(admin.channel("trade").await.expect("there").height, height, "refused at the door");
    // By a certificate of the new one it goes on, under its name and with what it has.
    let again = other.profile("dealer", "client", "dora");
    admit(&admin, "trade", &again, 5).await;
    assert_eq!(posted(&admin, "trade", id, 5, vec![append("tests", "dora")]).await, "done");
    stands(&admin, "trade", 6, "unvouched").await;
}

/// Proposals of a revoked administrator still counted: one member alone completed them, and the policy became `any`.
#[tokio::test]
async fn approvals_of_who_was_revoked_do_not_complete_a_proposal() {
    let Trade { consortium, bank, dealer, peer } = trade();
    let words = ["channel", "update", "trade", "--approvals", "any", "--reason", "by a stolen key"];
    let made = peer.run(&dealer, &words)["id"].as_str().expect("an id").to_owned();
    let shown = |peer: &Peer| {
        let shown = peer.run(&bank, &["channel", "proposal", "trade", &made]);
        let counts = shown["approvals"].as_array().expect("a list").iter().filter(|one| one["counts"] == true).count();
        (shown["state"].as_str().expect("a word").to_owned(), counts)
    };
    assert_eq!(shown(&peer), ("open".into(), 1));
    revoke(&consortium, "dealer/admin/boss");
    wait::until_found("the approval is not counted", || (shown(&peer).1 == 0).then_some(()));
    peer.run(&bank, &["channel", "approve", "trade", &made]);
    assert_eq!(shown(&peer), ("open".into(), 1));
    let approvals = || peer.run(&bank, &["channel", "show", "trade"])["config"]["approvals"].clone();
    assert_eq!(approvals(), "all");
    // Another administrator of dealer, who is there, may.
    let next = consortium.profile("dealer", "admin", "next");
    peer.run(&next, &["key", "new"]);
    peer.run(&next, &["participant", "admit", "--channel", "trade"]);
    peer.run(&next, &["channel", "approve", "trade", &made]);
    assert_eq!((shown(&peer).0.as_str(), approvals()), ("done", "any".into()));
}

/// Beside a key stand hashes of its neighbours of the same class that could be guessed, and of other classes none.
#[tokio::test]
async fn proofs_of_the_state_are_for_who_reads_all_that_stands_beside() {
    let consortium = Consortium::closed(&[]);
    let profiles = ["aud", "ann", "eve"].map(|name| consortium.profile("bank", "client", name));
    let peer = consortium.serve();
    let grant = |who: &str, rights: &str| format!("spiffe://test.example/bank/client/{who}={rights}");
    let grants = [grant("aud", "audit"), grant("ann", "read"), grant("eve", "read:assets,read:contracts,read:apps")];
    let mut create = vec!["channel", "create", "trade", "--org", "bank", "--grant", "bank=admin"];
    grants.iter().for_each(|grant| create.extend(["--grant", grant]));
    peer.run(&consortium.admin(), &create);
    let keys = [
        (keyspace::balance(&address(1), "usd"), [true, true, true]),
        (keyspace::app("none"), [true, true, true]),
        (keyspace::instance("a1"), [true, true, false]),
        (keyspace::log("a", 1, 0, 0), [true, false, false]),
        (keyspace::audit_head("a", &Hash::ZERO), [true, false, false]),
        (keyspace::config(), [true, false, false]),
        (vec![0x77], [true, false, false]),
    ];
    for (key, may) in keys {
        for (profile, may) in profiles.iter().zip(may) {
            let answer = peer.connect(profile).state_proof("trade", &key).await;
            let refused = matches!(&answer, Err(RequestError::Problem(problem)) if problem.status == 403);
            assert!(if may { answer.is_ok() } else { refused }, "{key:?}: {answer:?}");
        }
    }
}

/// Only a program could ask for a proof of the state.
#[tokio::test]
async fn a_proof_of_the_state_is_kept_and_checked_offline_and_nothing_is_kept_for_who_may_not_read() {
    let consortium = Consortium::closed(&[]);
    let [ann, eve] = ["ann", "eve"].map(|name| consortium.profile("bank", "client", name));
    let peer = consortium.serve();
    let grant = |who: &str, rights: &str| format!("spiffe://test.example/bank/client/{who}={rights}");
    let (of_ann, of_eve) = (grant("ann", "read:assets"), grant("eve", "read:apps"));
    let create = ["channel", "create", "trade", "--org", "bank", "--grant", "bank=admin", "--open-submit"];
    let made = peer.run(&consortium.admin(), &[&create[..], &["--grant", &of_ann, "--grant", &of_eve]].concat());
    let id = made["id"].as_str().expect("an id").parse().expect("hex");
    let admin = peer.connect(&consortium.admin());
    assert_eq!(posted(&admin, "trade", id, 1, vec![define("usd"), mint("usd", 1, 777)]).await, "done");
    let (has, has_none) = (address(1).to_string(), address(2).to_string());
    let ran = |words: &[&str]| {
        let output = try_run(words);
        let document = from_slice::<Value>(&output.stdout).unwrap_or_default();
        (output.status.code(), document)
    };
    let fetch = |profile: &Path, what: &[&str], out: &Path| {
        let words = ["--profile", text(profile), "--peer", &peer.url, "state", "proof", "--channel", "trade"];
        ran(&[&words[..], what, &["--out", text(out)]].concat())
    };
    let check = |file: &Path| ran(&["verify", "--proof", text(file), "--channel-id", &id.to_string()]);
    let asset = hex::encode(keyspace::asset("usd"));
    let all: [(&str, &[&str], bool); 4] = [
        ("has", &["--balance", "usd", "--of", &has], true),
        ("has-none", &["--balance", "usd", "--of", &has_none], false),
        ("asset", &[&asset], true),
        ("no-asset", &["--balance", "eur", "--of", &has], false),
    ];
    for (name, what, there) in all {
        let file = consortium.path(&format!("{name}.json"));
        let (code, told) = fetch(&ann, what, &file);
        assert_eq!(
            (code, told["value"].is_string(), &told["channel"]),
            (Some(0), there, &made["id"]),
            "{name}: {told}"
        );
        let (code, checked) = check(&file);
        assert_eq!((code, &checked["value"], &checked["key"]), (Some(0), &told["value"], &told["key"]), "{name}");
        assert_eq!(fetch(&ann, what, &file).0, Some(2), "a file that is there is not written over");
        // Whoever may not read the class learns neither the value nor whether there is one.
        let file = consortium.path(&format!("{name}-of-eve.json"));
        let (code, refused) = fetch(&eve, what, &file);
        let said = refused["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(code == Some(1) && said.contains("read:assets") && !file.exists(), "{name}: {refused}");
    }
    // What proves a value proves no other one.
    let file = consortium.path("has.json");
    let proof = std::fs::read_to_string(&file).expect("readable");
    let value = check(&file).1["value"].as_str().expect("a value").to_owned();
    let other = value.replacen("0903", "0904", 1);
    assert!(value != other && proof.contains(&value), "777 is 0x309: {value}");
    let forged = consortium.path("forged.json");
    std::fs::write(&forged, proof.replace(&value, &other)).expect("writable");
    assert_eq!(check(&forged).0, Some(1));
    assert_eq!(fetch(&ann, &["--balance", "No Asset"], &consortium.path("x.json")).0, Some(2));
}

/// `asset.transfer` was refused, and the same money went by `buy_now`.
#[tokio::test]
async fn the_right_to_call_contracts_alone_moves_nothing_of_the_caller() {
    let consortium = Consortium::closed(&[]);
    let eve = consortium.profile("bank", "client", "eve");
    let peer = consortium.serve();
    let (bank, ann) = (consortium.admin(), consortium.profile("bank", "client", "ann"));
    let grant = |who: &str, rights: &str| format!("spiffe://test.example/bank/client/{who}={rights}");
    let (may, may_not) = (grant("ann", "member"), grant("eve", "read,write:contracts"));
    let create = ["channel", "create", "trade", "--org", "bank", "--grant", "bank=admin"];
    peer.run(&bank, &[&create[..], &["--grant", &may, "--grant", &may_not]].concat());
    let admin = peer.connect(&bank);
    let id = admin.channel("trade").await.expect("there").id;
    admit(&admin, "trade", &ann, 5).await;
    admit(&admin, "trade", &eve, 6).await;
    let ends = client::now().plus_millis(600_000);
    let item = assets::MintItem { asset: "art".into(), item: "mona".into(), to: address(5), metadata: Hash::ZERO };
    let art = assets::Define {
        asset: "art".into(),
        title: String::new(),
        kind: assets::Kind::Unique {},
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    };
    let arguments = format!(
        r#"{{"item":{{"asset":"art","item":"mona"}},"currency":"eur","ends":"{ends}","reserve":"50","minimum_increment":"5","buy_now":"500"}}"#
    );
    let sale = vec![
        define("eur"),
        mint("eur", 6, 1_000),
        Action::AssetDefine(art),
        Action::AssetMintItem(item),
        Action::ContractDeploy(contracts::Deploy {
            contract: "auction".into(),
            engine: "builtin".into(),
            code: "auction".into(),
        }),
        Action::ContractCreate(contracts::Create { contract: "auction".into(), instance: "a1".into(), arguments }),
    ];
    let poster = peer.connect(&ann);
    assert_eq!(posted(&poster, "trade", id, 5, sale).await, "done");
    let buy = || {
        let (instance, method, arguments) = ("a1".into(), "buy_now".into(), "{}".into());
        vec![Action::ContractCall(contracts::Call { instance, method, arguments })]
    };
    assert_eq!(posted(&poster, "trade", id, 6, vec![transfer("eur", 5, 500)]).await, "no-right");
    assert_eq!(posted(&poster, "trade", id, 6, buy()).await, "no-right");
    peer.run(&bank, &["key", "new"]);
    peer.run(&bank, &["participant", "admit", "--channel", "trade"]);
    let more = grant("eve", "write:assets");
    let outcome = try_run(&["--profile", text(&bank), "--peer", &peer.url, "channel", "grant", "trade", &more]);
    assert!(outcome.status.success(), "{outcome:?}");
    assert_eq!(posted(&poster, "trade", id, 6, buy()).await, "done");
}
