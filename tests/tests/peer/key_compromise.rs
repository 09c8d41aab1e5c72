//! A stolen key: whoever has it holds every certificate of it, and may renew itself to a key that nobody else has.

use crate::harness::{Consortium, copy_folder, text, try_run};
use serde_json::{Value, json};
use std::path::Path;

const ALICE: &str = "spiffe://test.example/dealer/client/alice";

fn serial_of(profile: &Path) -> String {
    let credential = client::profile::Profile::open(profile).expect("a profile").credential.expect("a certificate");
    let leaf = credential.path().first().expect("a leaf").clone();
    pki::LeafClaims::of_certificate(&leaf).expect("of the profile").serial().to_string()
}

/// `ca revoke --reason key-compromise` revoked one serial. The certificate's sibling, of the same key, then renewed itself
/// to a new key.
#[tokio::test]
async fn revoking_a_compromised_key_revokes_its_siblings_and_tells_of_what_it_was_renewed_to() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let boss = consortium.profile("dealer", "admin", "boss");
    let alice = consortium.profile("dealer", "client", "alice");
    let peer = consortium.serve();
    let copy = |name: &str| {
        let folder = consortium.path(name);
        copy_folder(&alice, &folder);
        folder
    };
    // Who has copied the key renews itself: once under the same key, once to another.
    let (thief, hidden) = (copy("thief"), copy("hidden"));
    peer.run(&thief, &["ca", "renew"]);
    peer.run(&hidden, &["ca", "renew", "--new-key"]);
    let serials = [&alice, &thief, &hidden].map(|profile| serial_of(profile));
    let live = peer.connect_once(&thief);
    assert_eq!(live.status().await.expect("a member").caller.as_deref(), Some(ALICE));

    let words = ["ca", "revoke", &serials[0], "--reason", "key-compromise"];
    let revoked = peer.run(&boss, &words);
    let of = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(|item| item["serial"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(of(&revoked["revoked"]), serials[..2], "{revoked}");
    assert_eq!(of(&revoked["renewed"]), serials[2..], "{revoked}");
    assert_eq!(revoked["renewed"][0]["renews"], json!(serials[0]));
    // On the connection that is open, and on new ones.
    assert!(live.status().await.is_err());
    let command = |profile: &Path, words: &[&str]| {
        let output = try_run(&[&["--profile", text(profile), "--peer", &peer.url], words].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for words in [&["ca", "renew"][..], &["ca", "renew", "--new-key"]] {
        let (code, said) = command(&thief, words);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("revoked"), "{said}");
    }
    // What was renewed before goes on until the administrator says otherwise.
    assert_eq!(peer.run(&hidden, &["status"])["caller"], ALICE);
    let revoked = peer.run(&boss, &[&words[..], &["--renewals"]].concat());
    assert_eq!((of(&revoked["revoked"]), of(&revoked["renewed"])), (serials.to_vec(), vec![]), "{revoked}");
    assert_eq!(command(&hidden, &["status"]).0, Some(1));
}
