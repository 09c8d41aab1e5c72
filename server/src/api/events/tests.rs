//! Tests of filters and cursors.

#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn a_filter_that_nothing_can_pass_is_refused() {
    let all: BTreeSet<Class> = Class::ALL.into();
    let long = "a".repeat(129);
    for (filter, in_all, in_assets) in [
        ("usd", true, true),
        ("usd*", true, true),
        ("*", true, true),
        ("trace.step", true, false),
        ("trace.*", true, false),
        ("trace*", true, true),
        ("channel.configured", true, false),
        ("channel.authority_renewed", true, false),
        ("", false, false),
        ("USD", false, false),
        ("a b", false, false),
        ("a..b", false, false),
        (".a*", false, false),
        ("a*b", false, false),
        ("a,b", false, false),
        (&long, false, false),
    ] {
        assert_eq!(check_topic(filter, &all).is_ok(), in_all, "{filter:?}");
        assert_eq!(check_topic(filter, &[Class::Assets].into()).is_ok(), in_assets, "{filter:?} of assets");
    }
}

#[test]
fn a_class_filter_is_a_subset_of_what_may_be_read() {
    let rights = |text: &str| text.split_whitespace().map(|right| right.parse::<Right>().unwrap()).collect();
    for (mine, filter, expected) in [
        ("read:assets read:logs", None, Ok(2)),
        ("read:assets read:logs", Some("logs"), Ok(1)),
        ("read:assets read:logs", Some("logs,assets,logs"), Ok(2)),
        ("read:assets read:logs", Some("logs,apps"), Err("forbidden")),
        ("read:assets", Some(""), Err("invalid-parameter")),
        ("read:assets", Some(&["assets"; 20].join(",")), Err("invalid-parameter")),
        ("read:assets", Some("asset"), Err("invalid-parameter")),
        ("audit", Some("apps"), Ok(1)),
        ("write:assets", None, Err("forbidden")),
        ("order", None, Err("forbidden")),
        ("", None, Err("channel-unknown")),
        ("", Some("logs"), Err("channel-unknown")),
    ] {
        let found = classes(filter).and_then(|classes| Readable::of(rights(mine), classes.as_ref()));
        assert_eq!(
            found.map(|readable| readable.classes.len()).map_err(|error| error.name()),
            expected,
            "{mine} {filter:?}"
        );
    }
}
