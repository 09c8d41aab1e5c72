//! Promise 4: without a right on a channel a caller cannot read it, write it, count it, or learn that it exists.

use crate::harness::{Consortium, Peer, define, signed, text};
use client::api::JsonEnvelope;
use ledger_classes::primitives::hash::Hash;
use std::path::Path;
use std::process::{Command, Stdio};

/// A whole answer as `curl` sees it: status, headers without the date, body.
pub(crate) fn ask(
    peer: &Peer,
    profile: Option<&Path>,
    ca: &Path,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--include", "--max-time", "20", "--request", method]);
    curl.args(["--cacert", text(ca)]);
    if let Some(profile) = profile {
        curl.args(["--cert", text(&profile.join("cert.pem")), "--key", text(&profile.join("key.pem"))]);
    }
    if let Some(body) = body {
        curl.args(["--header", "Content-Type: application/json", "--data", body]);
    }
    let output = curl.arg(format!("{}{path}", peer.url)).stdin(Stdio::null()).output().expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    let (head, body) = answer.split_once("\n\n").unwrap_or((&answer, ""));
    // The order of headers is random in every answer.
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.to_lowercase().starts_with("date:")).collect();
    lines[1..].sort_unstable();
    format!("{}\n\n{body}", lines.join("\n"))
}

#[test]
fn a_hidden_channel_answers_as_one_that_does_not_exist() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let outsider = consortium.profile("dealer", "client", "ann");
    let foreign_admin = consortium.profile("dealer", "admin", "boss");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let made = peer.run(&admin, &["channel", "create", "secret", "--org", "bank"]);
    let secret = made["id"].as_str().expect("an id").to_owned();
    let ca = admin.join("ca.pem");

    // The same length of name and id, so that nothing but existence differs.
    let absent = ("absent", "0".repeat(64));
    let id = Hash([1; 32]).to_string();
    let envelope = signed(secret.parse().expect("an id"), 1, vec![define("usd")]);
    let post = serde_json::to_string(&JsonEnvelope::from(&envelope)).expect("serializes");
    let account = "0x".to_owned() + &"12".repeat(20);
    let requests: Vec<(&str, String, Option<&str>)> = vec![
        ("GET", String::new(), None),
        ("GET", "/blocks".into(), None),
        ("GET", "/blocks/0".into(), None),
        ("GET", "/blocks/999".into(), None),
        ("GET", "/events?from=0".into(), None),
        ("GET", "/events?from=wrong".into(), None),
        ("GET", format!("/transactions/{id}"), None),
        ("GET", format!("/transactions/{id}/proof"), None),
        ("GET", "/state/01/proof".into(), None),
        ("GET", "/state/xx/proof".into(), None),
        ("GET", "/trust".into(), None),
        ("GET", "/assets".into(), None),
        ("GET", "/assets/usd".into(), None),
        ("GET", format!("/accounts/{account}"), None),
        ("GET", "/contracts".into(), None),
        ("GET", "/apps".into(), None),
        ("GET", "/logs?topic=a".into(), None),
        ("GET", format!("/participants/{account}"), None),
        ("GET", format!("/proposals/{id}"), None),
        ("GET", "/participants?organization=Not+a+name".into(), None),
        ("GET", "/proposals?after=wrong".into(), None),
        ("GET", "/assets/usd/items?after=wrong".into(), None),
        ("GET", format!("/accounts/{account}/items"), None),
        ("GET", format!("/accounts/{account}/balances?limit=0"), None),
        ("GET", "/contracts/sale/instances".into(), None),
        ("GET", "/instances?limit=0".into(), None),
        ("POST", "/transactions".into(), Some(&post)),
        ("POST", "/transactions".into(), Some("{")),
        ("POST", "/transactions?wait=never".into(), Some(&post)),
    ];
    for caller in [None, Some(outsider.as_path()), Some(foreign_admin.as_path())] {
        for (method, path, body) in &requests {
            for (there, not_there) in [("secret", absent.0), (secret.as_str(), absent.1.as_str())] {
                let hidden = ask(&peer, caller, &ca, method, &format!("/v1/channels/{there}{path}"), *body);
                let missing = ask(&peer, caller, &ca, method, &format!("/v1/channels/{not_there}{path}"), *body);
                // A parameter that no channel takes is refused before the channel is looked for.
                let status = if path.contains("never") { "HTTP/1.1 400" } else { "HTTP/1.1 404" };
                assert!(hidden.starts_with(status), "{method} {path}: {hidden}");
                assert_eq!(hidden.replace(there, "…"), missing.replace(not_there, "…"), "{method} {path}");
                assert_eq!(hidden, missing, "{method} {path}: the answer names the channel");
            }
        }
        let lists = ["/v1/channels", "/v1/status"].map(|path| ask(&peer, caller, &ca, "GET", path, None));
        lists.iter().for_each(|list| assert!(!list.contains("secret") && !list.contains(&secret), "{list}"));
    }
    // Its members do see it.
    let seen = ask(&peer, Some(&admin), &ca, "GET", "/v1/channels/secret", None);
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
}

/// The peer looks at the folder of certificates when it is asked, and not only now and then.
#[test]
fn an_organization_can_be_a_member_as_soon_as_its_ca_is_there() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    for organization in ["carrier", "dealer", "insurer"] {
        consortium.organization(organization);
        let channel = ["channel", "create", organization, "--org", "bank", "--org", organization];
        peer.run(&consortium.admin(), &channel);
    }
    peer.drain();
}

/// `POST /v1/channels` says that a name is taken where `GET` says that there is no such channel. Who administers the peer
/// may know which names are taken on it, and no more of a channel without a right on it; to everybody else all names are one.
#[test]
fn only_who_administers_the_peer_is_told_that_a_name_is_taken() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let deputy = consortium.profile("bank", "admin", "deputy");
    let others = [
        None,
        Some(consortium.profile("bank", "client", "ann")),
        Some(consortium.profile("bank", "auditor", "eve")),
        Some(consortium.profile("dealer", "admin", "boss")),
    ];
    let peer = consortium.serve();
    let admin = consortium.admin();
    let only_admin = "spiffe://test.example/bank/admin/admin=read,write,admin";
    let made = peer.run(&admin, &["channel", "create", "secret", "--org", "bank", "--grant", only_admin]);
    let id = made["id"].as_str().expect("an id");
    let ca = admin.join("ca.pem");
    let create = |who: Option<&Path>, name: &str| {
        let body = format!("{{\"name\":\"{name}\",\"organizations\":[{{\"name\":\"bank\"}}]}}");
        ask(&peer, who, &ca, "POST", "/v1/channels", Some(&body))
    };
    for who in &others {
        let who = who.as_deref();
        let answers = ["absent", "secret", "main", id].map(|name| create(who, name));
        assert!(answers[0].starts_with("HTTP/1.1 40"), "{}", answers[0]);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    let deputy = Some(deputy.as_path());
    let hidden = ask(&peer, deputy, &ca, "GET", "/v1/channels/secret", None);
    assert_eq!(hidden, ask(&peer, deputy, &ca, "GET", "/v1/channels/absent", None));
    // As of a channel that is seen, and nothing of the one that is not.
    let body = |answer: String| answer.split_once("\n\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    let (taken, seen) = (body(create(deputy, "secret")), body(create(deputy, "main")));
    assert!(taken.contains("channel-exists"), "{taken}");
    assert_eq!(taken, seen.replace("main", "secret"));
    assert!(create(deputy, "absent").starts_with("HTTP/1.1 201"));
}
