//! A peer that lies, after it or another one has told the truth: a member signs what it means, or nothing.

#![allow(clippy::unwrap_used)]

#[path = "support/peer.rs"]
mod peer;

use client::connection::{Connection, Options, RequestError};
use client::known::{Known, KnownError};
use client::profile::Profile;
use client::retry::Retry;
use ledger_classes::primitives::hash::Hash;
use peer::{Authority, answer, peer, peer_as, problem, profile};

fn options() -> Options {
    Options { retry: Retry::NEVER, ..Options::default() }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A channel as a peer shows it.
fn channel(id: Hash) -> String {
    let body = format!(
        r#"{{"name":"main","id":"{id}","height":1,"tip":"{id}","time":"2026-11-21T10:05:54.123Z","state":"serving","rights":[],
        "public_read":true,"open_submit":true,"queue":{{"transactions":0,"bytes":0,"subscriptions":0}}}}"#
    );
    answer("200 OK", "application/json", "", &body)
}

fn asset(decimals: u8) -> String {
    let body = format!(r#"{{"asset":"coin","kind":{{"fungible":{{"decimals":{decimals}}}}}}}"#);
    answer("200 OK", "application/json", "", &body)
}

/// The same profile at another peer of the consortium.
fn at(profile: &Profile, url: &str) -> Connection {
    let options = Options { peer: Some(url.parse().unwrap()), ..options() };
    Connection::open(profile, options).unwrap()
}

fn known(error: &RequestError) -> String {
    assert!(matches!(error, RequestError::Known(KnownError::Changed { .. })) && !error.is_unavailable(), "{error:?}");
    error.to_string()
}

/// A member that meant `main` signed for a hidden channel of the same peer.
#[test]
fn a_channels_name_goes_on_meaning_the_same_channel_whoever_answers() {
    let authority = Authority::new("root");
    let honest = peer(&authority, |_, _| channel(Hash([1; 32])));
    let lying = peer(&authority, |_, _| channel(Hash([2; 32])));
    let (_folder, profile) = profile(&authority, &authority, &honest.url);
    assert_eq!(run(at(&profile, &honest.url).channel("main")).unwrap().id, Hash([1; 32]));
    let later = at(&profile, &lying.url);
    let refused = known(&run(later.channel("main")).unwrap_err());
    assert!(refused.contains("\"main\" under [channels]") && refused.contains("known.toml"), "{refused}");
    assert_eq!(run(later.channel_id("main")).unwrap(), Hash([1; 32]));
    // Whoever names a channel by its id is asked about no other one.
    let by_id = run(later.channel(&Hash([1; 32]).to_string())).unwrap_err();
    assert!(matches!(by_id, RequestError::Known(KnownError::OtherChannel { .. })), "{by_id}");
}

/// `asset transfer coin X 1.50` moved 15,000.00.
#[test]
fn an_assets_decimals_stay_as_they_were_told_first() {
    let authority = Authority::new("root");
    let says = |decimals| {
        peer(&authority, move |_, seen| match seen.line.contains("/assets/") {
            true => asset(decimals),
            false => channel(Hash([1; 32])),
        })
    };
    let (honest, lying) = (says(2), says(6));
    let (_folder, profile) = profile(&authority, &authority, &honest.url);
    assert_eq!(run(at(&profile, &honest.url).decimals("main", "coin")).unwrap(), 2);
    for on in ["main".to_owned(), Hash([1; 32]).to_string()] {
        let refused = known(&run(at(&profile, &lying.url).decimals(&on, "coin")).unwrap_err());
        assert!(refused.contains("number of decimals of coin") && refused.contains("was 2"), "{refused}");
    }
}

/// Any peer of the consortium with the same host name passed for the profile's own one.
#[test]
fn another_peer_at_the_same_address_is_not_talked_to() {
    let authority = Authority::new("root");
    let other = peer_as("spiffe://harbour/bank/peer/p9", &authority, |_, _| problem("404 Not Found", "told", ""));
    let (_folder, profile) = profile(&authority, &authority, &other.url);
    let own = "spiffe://harbour/bank/peer/p1".parse().unwrap();
    Known::keep_in(&profile.directory).unwrap().hold_peer(&other.url, &own).unwrap();
    let error = run(Connection::open(&profile, options()).unwrap().status()).unwrap_err();
    let RequestError::Certificate { refusal, .. } = &error else { panic!("{error:?}") };
    let said = refusal.to_string();
    assert!(said.contains("bank/peer/p9") && said.contains("bank/peer/p1") && said.contains("[peers]"), "{said}");
    assert!(other.seen.lock().unwrap().is_empty() && !error.is_unavailable());

    // Once that is accepted on purpose, the next one is held to it.
    std::fs::remove_file(profile.directory.join(Known::FILE)).unwrap();
    assert!(run(Connection::open(&profile, options()).unwrap().status()).unwrap_err().problem().is_some());
    let text = std::fs::read_to_string(profile.directory.join(Known::FILE)).unwrap();
    assert!(text.contains(&format!("\"{}\" = \"spiffe://harbour/bank/peer/p9\"", other.url)), "{text}");
}
