//! Lists that govern a channel: open proposals with their approvals, participants, items, instances. By API and by
//! command line, paged alike, each with the right that it needs.

use crate::harness::{Consortium, Peer, address, chancery, run, text, try_run};
use crate::wait;
use client::connection::RequestError;
use client::query::Paging;
use ledger_classes::primitives::hash::Hash;
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

/// What a command prints for people, on standard output and on standard error.
fn for_people(peer: &Peer, profile: &Path, words: &[&str]) -> (String, String) {
    let output = chancery().args(["--profile", text(profile), "--peer", &peer.url]).args(words).output().expect("runs");
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (shown(&output.stdout), shown(&output.stderr))
}

/// A proposal told the number of CA certificates that a member would have, and not whose key they are of.
#[tokio::test]
async fn whoever_approves_sees_the_key_of_each_ca_that_a_change_lists_keeps_or_drops() {
    let trade = trade();
    let (peer, home, file) = (&trade.peer, trade.consortium.path("carrier"), trade.consortium.path("carrier.pem"));
    // Of three members two, so that one may come without an administrator.
    let create = ["channel", "create", "deals", "--org", "bank", "--org", "dealer", "--approvals", "majority"];
    peer.run(&trade.bank, &create);
    for profile in [&trade.bank, &trade.dealer] {
        peer.run(profile, &["participant", "admit", "--channel", "deals"]);
    }
    run(&["ca", "init", "--consortium", "test.example", "--org", "carrier", "--dir", text(&home)]);
    run(&["ca", "bundle", "carrier", "--out", text(&file), "--dir", text(&home)]);
    let known = run(&["ca", "trust", "show", text(&file)])[0].clone();
    let key = known["key"].as_str().expect("a key");
    let named = format!("carrier={}", text(&file));
    let propose = |words: &[&str]| {
        let words = [&["channel", "update", "deals", "--reason", "as agreed"], words].concat();
        let (shown, said) = for_people(peer, &trade.bank, &words);
        let id = shown.lines().find_map(|line| line.strip_prefix("id ")).expect("an id").trim().to_owned();
        (id, said)
    };
    let authorities = |id: &str| peer.run(&trade.dealer, &["channel", "proposal", "deals", id])["authorities"].clone();

    let (id, said) = propose(&["--put-org", &named]);
    assert!(said.contains(&format!("for carrier this lists a CA with the key {key}")), "{said}");
    let ca = authorities(&id)[0].clone();
    assert_eq!(
        (&ca["change"], &ca["member"], &ca["organization"]),
        (&json!("lists"), &json!("carrier"), &json!("carrier"))
    );
    assert_eq!((&ca["key"], &ca["not_after"], &ca["compromised"]), (&known["key"], &known["not_after"], &json!(false)));
    assert!(ca["subject"].as_str().is_some_and(|subject| subject.contains("O=carrier")), "{ca}");
    assert!(ca["serial"].as_str().is_some_and(|serial| !serial.is_empty()), "{ca}");
    let (shown, _) = for_people(peer, &trade.dealer, &["channel", "proposal", "deals", &id]);
    assert!(shown.lines().any(|line| line == format!("CA key     {key}")), "{shown}");
    let (shown, _) = for_people(peer, &trade.dealer, &["channel", "proposals", "deals"]);
    assert!(shown.contains(&format!("lists the CA key {key} for carrier")), "{shown}");
    let (_, said) = for_people(peer, &trade.dealer, &["channel", "approve", "deals", &id]);
    assert!(said.contains(key) && said.contains("whoever has that key can be carrier"), "{said}");
    assert_eq!(authorities(&id)[0]["change"], "keeps", "by now it is listed");
    let (shown, _) = for_people(peer, &trade.dealer, &["channel", "show", "deals"]);
    assert!(shown.contains(&format!("carrier: key {key}")), "{shown}");

    // Another certificate of the listed key, beside one with a key of its own; then the member goes.
    run(&["ca", "reissue", "carrier", "--dir", text(&home)]);
    run(&["ca", "bundle", "carrier", "--out", text(&file), "--dir", text(&home)]);
    let (id, said) = propose(&["--put-org", &named]);
    assert!(!said.contains(key), "the key is listed already: {said}");
    assert_eq!(authorities(&id)[0]["change"], "keeps");
    let (id, _) = propose(&["--remove-org", "carrier"]);
    let gone = authorities(&id);
    assert_eq!((&gone[0]["change"], &gone[0]["key"]), (&json!("drops"), &known["key"]));
}

/// A stolen CA's key could be listed again by whoever did not have its old certificate at hand.
#[tokio::test]
async fn a_proposal_says_that_a_cas_key_is_known_to_others() {
    let trade = trade();
    let dir = trade.consortium.dir();
    let (dir, file) = (text(&dir), trade.consortium.path("old.pem"));
    run(&["ca", "bundle", "dealer", "--out", text(&file), "--dir", dir]);
    let old = format!("dealer={}", text(&file));
    let proposed = |reason: &str| {
        let update = ["channel", "update", "trade", "--put-org", &old, "--grant", "dealer=audit", "--reason", reason];
        let words = [&["--profile", text(&trade.bank), "--peer", &trade.peer.url], &update[..]].concat();
        let done = try_run(&words);
        let outcome: Value = ledger_classes::primitives::json::from_slice(&done.stdout).expect("JSON");
        outcome["id"].as_str().expect("an id").to_owned()
    };
    let compromised = |id: &str| {
        let shown = trade.peer.run(&trade.bank, &["channel", "proposal", "trade", id]);
        shown["authorities"][0]["compromised"].clone()
    };
    assert_eq!(compromised(&proposed("as before")), json!(false));
    run(&["ca", "replace", "dealer", "--why", "stolen", "--dir", dir]);
    let gone = async || {
        let config = trade.peer.connect(&trade.bank).channel("trade").await.expect("there").config.expect("seen");
        let member = config.organizations.into_iter().find(|member| member.name == "dealer");
        member.expect("a member").authorities.is_empty().then_some(())
    };
    wait::until("the old key is off the channel", gone).await;
    // The peer reads the list that says so beside what it tells its channels.
    let again = proposed("again");
    let known = async || (compromised(&again) == json!(true)).then_some(());
    wait::until("the proposal says that others have the key", known).await;
}

/// An identity that had ended looked like one of which a certificate was revoked, and could be admitted by another.
#[tokio::test]
async fn who_ended_is_told_from_whose_certificate_was_revoked() {
    let trade = trade();
    let dora = trade.client("dora");
    let who = "spiffe://test.example/dealer/client/dora";
    let act = |words: &[&str]| trade.peer.run(&trade.dealer, &[words, &["--channel", "trade"]].concat());
    let shown = || {
        let record = act(&["participant", "show", &dora]);
        let listed = act(&["participant", "list", "--organization", "dealer"]);
        let item = listed["items"].as_array().into_iter().flatten().find(|item| item["address"] == *dora).cloned();
        let item = item.expect("listed");
        assert_eq!((&item["standing"], &item["ended_height"]), (&record["standing"], &record["ended_height"]));
        (record["standing"].as_str().unwrap_or_default().to_owned(), record["ended_height"].as_u64())
    };
    assert_eq!(shown(), ("admitted".into(), None));
    let receipt = act(&["participant", "revoke", who])["receipt"].clone();
    assert_eq!(shown(), ("ended".into(), receipt["height"].as_u64()));
    let list = ["participant", "list", "--channel", "trade"];
    let (table, _) = for_people(&trade.peer, &trade.dealer, &list);
    assert!(table.contains(&format!("ended in block {}", receipt["height"])), "{table}");
    act(&["participant", "reinstate", who]);
    assert_eq!(shown(), ("revoked".into(), None), "it may come, and has not");
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
