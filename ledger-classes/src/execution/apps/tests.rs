//! Rules of the apps class, one row each.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::action::Action;
use crate::execution::test_support::{Ledger, address};
use ResultCode as Code;

fn publish_action(app: &str, version: &str, settings: &str) -> Publish {
    Publish {
        app: app.into(),
        version: version.into(),
        title: "Application".into(),
        bundle: Hash([9; 32]),
        contracts: vec!["auction".into()],
        settings: settings.into(),
    }
}

fn published(app: &str, version: &str) -> Action {
    Action::AppPublish(publish_action(app, version, "{}"))
}

fn with(change: impl FnOnce(&mut Publish)) -> Action {
    let mut body = publish_action("shop", "1.0.0", "{}");
    change(&mut body);
    Action::AppPublish(body)
}

fn settings(app: &str, settings: &str) -> Action {
    Action::AppUpdateSettings(UpdateSettings { app: app.into(), settings: settings.into() })
}

fn retired(app: &str) -> Action {
    Action::AppRetire(Retire { app: app.into() })
}

/// A ledger where signer 1 owns `known` (1.0.0) and `old` (1.0.0, retired).
fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.done(1, vec![published("known", "1.0.0"), published("old", "1.0.0"), retired("old")]);
    ledger
}

#[test]
fn every_rule_of_apps_has_its_code() {
    let long = |bytes: usize| "x".repeat(bytes);
    let json = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    #[rustfmt::skip]
    let rows: Vec<(&str, u8, Action, Code)> = vec![
        ("first publication", 2, published("shop", "1.0.0"), Code::Done),
        ("a new version by the owner", 1, published("known", "1.0.1-rc.1+5"), Code::Done),
        ("a new version by another", 2, published("known", "1.0.1"), Code::NotTheAppOwner),
        ("the same version again", 1, published("known", "1.0.0"), Code::VersionExists),
        ("a version of a retired app", 1, published("old", "2.0.0"), Code::AppIsRetired),
        ("no name", 1, published("", "1"), Code::InvalidField),
        ("a name in capitals", 1, published("Shop", "1"), Code::InvalidField),
        ("a name of 64 bytes", 1, published(&long(64), "1"), Code::Done),
        ("a name of 65 bytes", 1, published(&long(65), "1"), Code::InvalidField),
        ("no version", 1, published("shop", ""), Code::InvalidField),
        ("a version with a space", 1, published("shop", "1 0"), Code::InvalidField),
        ("a version of 64 bytes", 1, published("shop", &long(64)), Code::Done),
        ("a version of 65 bytes", 1, published("shop", &long(65)), Code::InvalidField),
        ("a title of 128 bytes", 1, with(|body| body.title = long(128)), Code::Done),
        ("a title of 129 bytes", 1, with(|body| body.title = long(129)), Code::InvalidField),
        ("no contracts", 1, with(|body| body.contracts.clear()), Code::Done),
        ("32 contracts", 1, with(|body| body.contracts = vec![long(64); 32]), Code::Done),
        ("33 contracts", 1, with(|body| body.contracts = vec![long(64); 33]), Code::InvalidField),
        ("a contract that is no name", 1, with(|body| body.contracts = vec!["A".into()]), Code::InvalidField),
        ("settings of 16 KiB", 1, with(|body| body.settings = json(16 * 1024)), Code::Done),
        ("settings above 16 KiB", 1, with(|body| body.settings = json(16 * 1024 + 1)), Code::SettingsInvalid),
        ("settings that are no JSON", 1, with(|body| body.settings = "{".into()), Code::SettingsInvalid),
        ("settings with more behind", 1, with(|body| body.settings = "{} {}".into()), Code::SettingsInvalid),
        ("settings with a key twice", 1, with(|body| body.settings = "{\"a\":1,\"a\":2}".into()), Code::SettingsInvalid),
        ("half of a surrogate pair", 1, settings("known", r#"{"a":"\ud800"}"#), Code::SettingsInvalid),
        ("deeply nested settings", 1, with(|body| body.settings = "[".repeat(16 * 1024)), Code::SettingsInvalid),
        ("empty settings", 1, settings("known", ""), Code::SettingsInvalid),
        ("settings by the owner", 1, settings("known", "{\"a\":1}"), Code::Done),
        ("settings by another", 2, settings("known", "{}"), Code::NotTheAppOwner),
        ("settings of nothing", 1, settings("none", "{}"), Code::AppUnknown),
        ("settings of a retired app", 1, settings("old", "{}"), Code::AppIsRetired),
        ("retirement by the owner", 1, retired("known"), Code::Done),
        ("retirement by another", 2, retired("known"), Code::NotTheAppOwner),
        ("retirement of nothing", 1, retired("none"), Code::AppUnknown),
        ("retirement twice", 1, retired("old"), Code::AppIsRetired),
    ];
    for (rule, signer, action, expected) in rows {
        let mut ledger = ledger();
        let before = ledger.state.clone();
        let (code, message) = ledger.one(signer, vec![action]);
        assert_eq!(code, expected, "{rule}: {message}");
        assert_eq!(ledger.state == before, expected != Code::Done, "{rule}: what failed wrote nothing");
        assert_eq!(message.is_empty(), expected == Code::Done, "{rule}: a failure says why");
    }
}

#[test]
fn old_versions_stay_readable_and_settings_follow_the_owner() {
    let mut ledger = ledger();
    ledger.done(1, vec![settings("known", "{\"a\":1}")]);
    let record = app(&ledger.state, "known").unwrap().unwrap();
    assert_eq!((record.settings.as_str(), record.settings_height, record.published_height), ("{\"a\":1}", 2, 1));
    ledger.done(1, vec![Action::AppPublish(publish_action("known", "2.0.0", "{\"b\":2}")), retired("known")]);

    let record = app(&ledger.state, "known").unwrap().unwrap();
    assert_eq!((record.version.as_str(), record.settings.as_str()), ("2.0.0", "{\"b\":2}"));
    assert_eq!((record.owner, record.retired_height), (address(1), Some(3)));
    let old = app_version(&ledger.state, "known", "1.0.0").unwrap().unwrap();
    assert_eq!((old.settings.as_str(), old.height, old.bundle), ("{}", 1, Hash([9; 32])));
    assert_eq!(app_version(&ledger.state, "known", "3.0.0"), Ok(None));
    assert_eq!(app(&ledger.state, "none"), Ok(None));
}

#[test]
fn lists_of_apps_and_versions_continue_where_a_page_ended() {
    let mut ledger = Ledger::new();
    ledger.done(1, vec![published("a", "1"), published("a", "2"), published("a-b", "9"), published("b", "1")]);
    let span =
        |after: Option<&str>, limit| Span { after: after.map(|after| after.as_bytes().to_vec()), ..Span::first(limit) };
    let names = |after, limit| -> Vec<String> {
        apps(&ledger.state, &span(after, limit)).unwrap().items.into_iter().map(|named| named.app).collect()
    };
    assert_eq!(names(None, 2), ["a", "a-b"]);
    assert_eq!(names(Some("a-b"), 2), ["b"]);
    let versions = |after| -> Vec<String> {
        app_versions(&ledger.state, "a", &span(after, 9))
            .unwrap()
            .items
            .into_iter()
            .map(|named| named.version)
            .collect()
    };
    assert_eq!(versions(None), ["1", "2"], "those of another app whose name begins alike are not listed");
    assert_eq!(versions(Some("1")), ["2"]);
}
