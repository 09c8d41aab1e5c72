//! Lists that govern a channel: open proposals with their approvals, participants, items, instances. By API and by
//! command line, paged alike, each with the right that it needs.

use crate::harness::{Consortium, Peer, address, run, text, try_run};
use client::connection::RequestError;
use client::query::Paging;
use ledger_classes::hash::Hash;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A channel `trade` of `bank` and `dealer`, both with an administrator who was admitted; both must approve.
pub(crate) struct Trade {
    pub(crate) consortium: Consortium,
    pub(crate) bank: PathBuf,
    pub(crate) dealer: PathBuf,
    pub(crate) peer: Peer,
}

pub(crate) fn trade() -> Trade {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let (bank, dealer) = (consortium.admin(), consortium.profile("dealer", "admin", "boss"));
    let peer = consortium.serve();
    let create = ["channel", "create", "trade", "--org", "bank", "--org", "dealer", "--approvals", "all"];
    peer.run(&bank, &[&create[..], &["--grant", "bank=member,admin", "--grant", "dealer=member,admin"]].concat());
    for profile in [&bank, &dealer] {
        peer.run(profile, &["key", "new"]);
        peer.run(profile, &["participant", "admit", "--channel", "trade"]);
    }
    Trade { consortium, bank, dealer, peer }
}

impl Trade {
    /// Proposes to let `name` of dealer read all, as the bank.
    pub(crate) fn propose(&self, name: &str) -> String {
        let grant = format!("spiffe://test.example/dealer/client/{name}=audit");
        let reason = format!("{name} asked");
        let outcome = self.peer.run(&self.bank, &["channel", "grant", "trade", &grant, "--reason", &reason]);
        outcome["id"].as_str().expect("an id").to_owned()
    }

    /// Admits a client of the dealer: its address.
    fn client(&self, name: &str) -> String {
        let profile = self.consortium.profile("dealer", "client", name);
        let key = self.peer.run(&profile, &["key", "new"]);
        self.peer.run(&profile, &["participant", "admit", "--channel", "trade"]);
        key["address"].as_str().expect("an address").to_owned()
    }

    /// Every item of a list by the command line, in pages of one, and the cursors in between.
    fn all(&self, who: &Path, words: &[&str]) -> Vec<Value> {
        let (mut items, mut after) = (Vec::new(), None::<String>);
        loop {
            let mut arguments = [words, &["--limit", "1"]].concat();
            arguments.extend(after.iter().flat_map(|after| ["--after", after.as_str()]));
            let page = self.peer.run(who, &arguments);
            assert!(page["height"].is_u64(), "{page}");
            let found = page["items"].as_array().expect("items");
            assert!(found.len() <= 1, "{page}");
            items.extend(found.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return items,
            }
        }
    }
}

fn column<'a>(items: &'a [Value], field: &str) -> Vec<&'a str> {
    items.iter().map(|item| item[field].as_str().unwrap_or_default()).collect()
}

/// The status and name of a refusal.
fn refusal(error: &RequestError) -> (u16, &str) {
    error.problem().map(|problem| (problem.status, problem.name())).unwrap_or_default()
}

#[tokio::test]
async fn an_administrator_finds_what_waits_for_approval_and_who_must_still_say_yes() {
    let trade = trade();
    let (first, second) = (trade.propose("dora"), trade.propose("dan"));
    let open = trade.all(&trade.dealer, &["channel", "proposals", "trade"]);
    assert_eq!(column(&open, "id"), [&first, &second]);
    let shown = &open[0];
    assert_eq!(shown["summary"], json!(["grant audit to spiffe://test.example/dealer/client/dora"]));
    assert_eq!(shown["changes"][0]["change"], "grant", "{shown}");
    assert_eq!((&shown["reason"], &shown["state"]), (&json!("dora asked"), &json!("open")));
    assert_eq!((&shown["approvals_given"], &shown["approvals_needed"]), (&json!(1), &json!(2)));
    assert_eq!((&shown["approvals"][0]["organization"], &shown["not_yet"]), (&json!("bank"), &json!(["dealer"])));
    assert_eq!(shown["by"], "spiffe://test.example/bank/admin/admin");

    trade.peer.run(&trade.dealer, &["channel", "approve", "trade", &first]);
    let other = ["--profile", text(&trade.dealer), "--peer", &trade.peer.url];
    let refused = try_run(&[&other[..], &["channel", "withdraw", "trade", &second]].concat());
    assert_eq!(refused.status.code(), Some(1), "a proposal is its own organization's to take back");
    trade.peer.run(&trade.bank, &["channel", "withdraw", "trade", &second, "--reason", "a mistake"]);
    assert_eq!(trade.all(&trade.bank, &["channel", "proposals", "trade"]), Vec::<Value>::new());
    let ended = |id: &str| trade.peer.run(&trade.bank, &["channel", "proposal", "trade", id]);
    assert_eq!((&ended(&first)["state"], &ended(&second)["state"]), (&json!("done"), &json!("withdrawn")));
    assert_eq!(ended(&first)["approvals"].as_array().map(Vec::len), Some(2));
}

/// Recoveries had approvals of their own, and no list told of those that waited.
#[tokio::test]
async fn a_recovery_that_waits_is_listed_with_its_kind_and_approved_like_any_proposal() {
    let trade = trade();
    let (old, new) = (trade.client("dora"), trade.client("dan"));
    let on = ["--channel", "trade"];
    let define = ["asset", "define", "coin", "--title", "Coin", "--decimals", "2"];
    trade.peer.run(&trade.bank, &[&define[..], &on].concat());
    trade.peer.run(&trade.bank, &[&["asset", "mint", "coin", &old, "12.50", "--new"][..], &on].concat());
    let serial = trade.all(&trade.dealer, &["participant", "list", "--channel", "trade", "--organization", "dealer"]);
    let serial = serial.iter().find(|one| one["address"] == old.as_str()).expect("listed")["serial"].clone();
    let identity = "spiffe://test.example/dealer/client/dora";
    let revoke = ["participant", "revoke", identity, serial.as_str().expect("hex")];
    trade.peer.run(&trade.dealer, &[&revoke[..], &on].concat());

    let recover = ["account", "recover", &old, &new, "--reason", "key lost"];
    let proposed = trade.peer.run(&trade.dealer, &[&recover[..], &on].concat());
    let id = proposed["id"].as_str().expect("an id");
    let change = trade.propose("dave");
    let open = trade.all(&trade.bank, &["channel", "proposals", "trade"]);
    assert_eq!(column(&open, "id"), [id, &change]);
    assert_eq!(column(&open, "kind"), ["recovery", "configuration"]);
    let shown = &open[0];
    assert_eq!(shown["recovery"], json!({ "from": old, "to": new, "asset": null }));
    assert_eq!((&shown["changes"], &shown["reason"]), (&json!([]), &json!("key lost")));
    assert_eq!(shown["summary"], json!([format!("{new} has what is {old}'s")]));
    assert_eq!((&shown["approvals_given"], &shown["not_yet"]), (&json!(1), &json!(["bank"])));
    assert!(open[1]["recovery"].is_null(), "{}", open[1]);

    trade.peer.run(&trade.bank, &["channel", "approve", "trade", id]);
    assert_eq!(column(&trade.all(&trade.bank, &["channel", "proposals", "trade"]), "id"), [&change]);
    let balances = trade.all(&trade.dealer, &["account", "balances", &new, "--channel", "trade"]);
    assert_eq!(balances[0]["owned"], "1250", "{balances:?}");
    let done = trade.peer.run(&trade.dealer, &["channel", "proposal", "trade", id]);
    assert_eq!((&done["kind"], &done["state"]), (&json!("recovery"), &json!("done")));
}

#[tokio::test]
async fn members_list_each_other_and_strangers_learn_nothing() {
    let trade = trade();
    let stranger = trade.consortium.profile("dealer", "client", "carol");
    let all = trade.all(&trade.dealer, &["participant", "list", "--channel", "trade"]);
    assert_eq!(column(&all, "organization"), ["bank", "dealer"]);
    assert_eq!((column(&all, "role"), column(&all, "standing")), (vec!["admin"; 2], vec!["admitted"; 2]));
    let bank = trade.all(&trade.dealer, &["participant", "list", "--channel", "trade", "--organization", "bank"]);
    assert_eq!(bank, all[..1]);
    let serial = bank[0]["serial"].as_str().expect("hex").to_owned();
    let identity = "spiffe://test.example/bank/admin/admin";
    // The bank's administrator ends what its own certificate admitted.
    trade.peer.run(&trade.bank, &["participant", "revoke", identity, &serial, "--channel", "trade"]);
    let all = trade.all(&trade.dealer, &["participant", "list", "--channel", "trade"]);
    assert_eq!(column(&all, "standing"), ["revoked", "admitted"]);
    assert!(all[0]["revoked_height"].is_u64(), "{}", all[0]);

    // A channel of the bank alone: to a client of the dealer it does not exist.
    let create = ["channel", "create", "vault", "--org", "bank", "--grant", "bank=member,admin"];
    trade.peer.run(&trade.bank, &create);
    let outside = trade.peer.connect(&stranger);
    for channel in ["vault", "no-such"] {
        let error = outside.participants(channel, None, Paging::default()).await.expect_err("no right");
        assert_eq!(refusal(&error), (404, "channel-unknown"), "{channel}");
        let error = outside.proposals(channel, Paging::default()).await.expect_err("no right");
        assert_eq!(refusal(&error), (404, "channel-unknown"), "{channel}");
    }
    // A right on one class shows the channel, not its people.
    let create = ["channel", "create", "shop", "--org", "bank", "--org", "dealer"];
    let grants = ["--grant", "bank=member,admin", "--grant", "dealer=read:assets", "--approvals", "any"];
    trade.peer.run(&trade.bank, &[&create[..], &grants].concat());
    let address = all[0]["address"].as_str().expect("an address").parse().expect("one");
    // One rule for a list and for an item of it, whether or not there is such an item.
    let refused = [
        outside.participants("shop", None, Paging::default()).await.map(drop),
        outside.participant("shop", address).await.map(drop),
        outside.proposals("shop", Paging::default()).await.map(drop),
        outside.proposal("shop", Hash([7; 32])).await.map(drop),
    ];
    for refused in refused {
        assert_eq!(refusal(&refused.expect_err("no right to logs")), (403, "forbidden"));
    }
    for after in ["x", "0"] {
        let paging = Paging { after: Some(after), limit: None };
        let error = trade.peer.connect(&trade.dealer).proposals("trade", paging).await.expect_err("no cursor");
        assert_eq!(refusal(&error), (400, "invalid-parameter"));
    }
}

/// A list needed more than each of its items, and members could not see who may sign beside them.
#[tokio::test]
async fn members_without_an_administrators_right_see_participants_and_proposals_in_lists_and_one_by_one() {
    let trade = trade();
    let carol = trade.consortium.profile("dealer", "client", "carol");
    let proposal = trade.propose("dora");
    let listed = trade.all(&carol, &["participant", "list", "--channel", "trade"]);
    assert_eq!(column(&listed, "organization"), ["bank", "dealer"]);
    let open = trade.all(&carol, &["channel", "proposals", "trade"]);
    assert_eq!(column(&open, "id"), [&proposal]);
    let member = trade.peer.connect(&carol);
    let address = listed[0]["address"].as_str().expect("an address").parse().expect("one");
    assert_eq!(member.participant("trade", address).await.expect("seen")["identity"], listed[0]["identity"]);
    let id = proposal.parse().expect("an id");
    assert_eq!(member.proposal("trade", id).await.expect("seen")["summary"], open[0]["summary"]);
    // What was done, by whom and why, is an administrative act.
    let acts = member.logs("trade", Some("audit.proposal"), Paging::default()).await.expect_err("no right");
    assert_eq!(refusal(&acts), (403, "forbidden"));
}

/// All channels came at once, however many.
#[tokio::test]
async fn channels_are_listed_in_pages_of_what_the_caller_may_see() {
    let trade = trade();
    for name in ["alpha", "beta", "gamma", "zeta"] {
        let members: &[&str] = if name == "beta" { &["--org", "bank"] } else { &["--org", "bank", "--org", "dealer"] };
        trade.peer.run(&trade.bank, &[&["channel", "create", name][..], members].concat());
    }
    let names = |who: &Path| column(&trade.all(who, &["channel", "list"]), "name").join(" ");
    assert_eq!(names(&trade.bank), "alpha beta gamma main trade zeta");
    assert_eq!(names(&trade.dealer), "alpha gamma main trade zeta");
    let connection = trade.peer.connect(&trade.dealer);
    let page = connection.channels(Paging { after: None, limit: Some(2) }).await.expect("answers");
    assert_eq!(page.items.iter().map(|channel| channel.name.as_str()).collect::<Vec<_>>(), ["alpha", "gamma"]);
    assert!(page.next.is_some());
    // A place between two channels that the caller may see is one, also where a channel is hidden.
    for (after, first) in [("beta", Some("gamma")), ("b", Some("gamma")), ("zeta", None), ("zz", None)] {
        let after: String = after.bytes().map(|byte| format!("{byte:02x}")).collect();
        let page = connection.channels(Paging { after: Some(&after), limit: Some(1) }).await.expect("answers");
        assert_eq!(page.items.first().map(|channel| channel.name.as_str()), first, "{after}");
    }
    for (after, limit) in [(Some("x"), None), (Some("0"), None), (None, Some(1001)), (None, Some(0))] {
        let error = connection.channels(Paging { after, limit }).await.expect_err("no page");
        assert_eq!(refusal(&error), (400, "invalid-parameter"));
    }
}

#[tokio::test]
async fn items_and_instances_are_listed_by_asset_account_and_contract() {
    let trade = trade();
    let (peer, bank) = (&trade.peer, trade.bank.as_path());
    let on = ["--channel", "trade"];
    let act = |words: &[&str]| peer.run(bank, &[words, &on].concat());
    let own = run(&["--profile", text(bank), "key", "show"])["address"].as_str().expect("an address").to_owned();
    act(&["asset", "define", "deed", "--unique"]);
    let (digest, other) = ("00".repeat(32), address(9).to_string());
    for (item, to) in [("lot-2", &own), ("lot-1", &own), ("lot-3", &other)] {
        act(&["asset", "mint-item", "deed", item, to, "--metadata", &digest, "--new"]);
    }
    act(&["asset", "burn-item", "deed", "lot-2"]);
    let items = trade.all(bank, &["asset", "items", "deed", "--channel", "trade"]);
    assert_eq!(column(&items, "item"), ["lot-1", "lot-2", "lot-3"]);
    assert!(items[1]["burnt_height"].is_u64() && items[0]["burnt_height"].is_null(), "{items:?}");
    let mine = trade.all(bank, &["account", "items", "--channel", "trade"]);
    assert_eq!((column(&mine, "asset"), column(&mine, "item")), (vec!["deed"], vec!["lot-1"]));
    act(&["asset", "define", "coin"]);
    act(&["asset", "mint", "coin", &own, "5"]);
    assert_eq!(column(&trade.all(bank, &["account", "balances", "--channel", "trade"]), "owned"), ["5"]);

    act(&["contract", "deploy", "sale", "lending"]);
    act(&["contract", "deploy", "other", "lending"]);
    let terms = json!({ "currencies": ["coin"], "grace_seconds": 60, "registrars": ["bank"] }).to_string();
    let created = |contract: &str, instance: &str| {
        let words = ["--profile", text(bank), "--peer", &peer.url, "contract", "create", contract, instance, &terms];
        try_run(&[&words[..], &on].concat())
    };
    let made = created("sale", "desk-1");
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stdout));
    assert_eq!(created("other", "desk-2").status.code(), Some(0));
    assert_eq!(created("sale", "desk-3").status.code(), Some(0));
    let of = |words: &[&str]| {
        let listed = trade.all(bank, &[&["contract", "instances"], words, &on].concat());
        column(&listed, "instance").join(" ")
    };
    assert_eq!(
        (of(&["sale"]), of(&["other"]), of(&[])),
        ("desk-1 desk-3".into(), "desk-2".into(), "desk-1 desk-2 desk-3".into())
    );
    assert_eq!(of(&["no-such"]), "");
}
