//! Ways into a peer that stay open: a body that comes slowly, a place that somebody holds, a list that is long. Who is
//! revoked gains nothing by any of them.

use crate::crl_exchange::second_peer;
use crate::harness::{Consortium, Peer, run, text};
use crate::places::Raw;
use crate::wait;
use client::connection::RequestError;
use serde_json::Value;

/// The head of a token's request was sent by an administrator, the body after the revocation: 201. So with every route
/// that has a body.
#[tokio::test]
async fn whoever_is_revoked_while_a_body_comes_does_nothing_by_it() {
    let consortium = Consortium::new();
    let boss = consortium.profile("bank", "admin", "boss");
    let peer = consortium.serve();
    let connection = peer.connect_once(&boss);
    let described: Value = connection.get(&["openapi.json"], &[]).await.expect("described");
    let paths = described["paths"].as_object().expect("paths");
    let mut under_way = Vec::new();
    // A stream of submissions is answered at once, and ends by a revocation in a test of its own.
    for (path, of) in paths.iter().filter(|(path, _)| !path.ends_with("/submissions")) {
        let Some(content) = of["post"]["requestBody"]["content"].as_object() else { continue };
        let media = content.keys().next().expect("a type");
        let path = path.replace("{channel}", "main").replace("{id}", &"0".repeat(32));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: peer\r\nContent-Type: {media}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        );
        let raw = Raw::send(&peer, Some(&boss), &head);
        let said = raw.answer("\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 100"), "{path}: {said}");
        under_way.push((path, raw));
    }
    assert!(under_way.len() > 10, "{}", under_way.len());

    let dir = consortium.dir();
    run(&["ca", "--dir", text(&dir), "revoke", "spiffe://test.example/bank/admin/boss"]);
    wait::until("the revocation is in force", async || {
        let refused = peer.connect_once(&boss).status().await;
        matches!(refused, Err(RequestError::Certificate { .. })).then_some(())
    })
    .await;
    for (path, mut raw) in under_way {
        raw.go_on("{}");
        let (status, answer) = raw.status();
        assert!(status == 401 && answer.contains("certificate-refused"), "{path}: {answer}");
    }
}

/// Members that are to be revoked held their organization's only place with bodies that never ended: the list that revokes
/// them was refused for as long as they liked.
#[tokio::test]
async fn bodies_that_never_end_keep_no_list_away() {
    let consortium = Consortium::new();
    let (ann, vic) = (consortium.profile("bank", "client", "ann"), consortium.profile("bank", "client", "vic"));
    let second = Peer::start(&second_peer(&consortium), &[]);
    let vics = second.connect_once(&vic);
    vics.status().await.expect("admitted");
    let head = "POST /v1/ca/crl HTTP/1.1\r\nHost: peer\r\nContent-Type: application/pkix-crl\r\nContent-Length: 100000\r\n\
                Expect: 100-continue\r\n\r\n";
    // One after the other: each writes the path's file that the one before may still read.
    let held: Vec<Raw> = std::iter::repeat_with(|| {
        let raw = Raw::send(&second, Some(&vic), head);
        assert!(raw.answer("\r\n\r\n").starts_with("HTTP/1.1 100"));
        raw
    })
    .take(4)
    .collect();
    let dir = consortium.dir();
    run(&["ca", "--dir", text(&dir), "revoke", "spiffe://test.example/bank/client/vic"]);
    let profile = ["--profile", text(&ann), "--peer", &second.url];
    let published = run(&[&profile[..], &["ca", "publish", "--dir", text(&dir)]].concat());
    assert_eq!(published["crls"][0]["became"], "taken", "{published}");
    let refused = vics.status().await.expect_err("revoked");
    assert_eq!(refused.problem().map(|problem| problem.name()), Some("certificate-refused"), "{refused}");
    drop(held);
}
