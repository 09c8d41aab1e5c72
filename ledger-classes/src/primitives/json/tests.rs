use crate::action::Action;
use crate::formats::block::Seal;
use crate::formats::config::ConfigChange;
use crate::formats::event::Event;
use crate::primitives::json::*;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Debug;

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Point {
    x: u8,
    y: Option<u8>,
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Shape {
    Nothing,
    Dot(Point),
    Line(Point, Point),
    Circle { centre: Point, radius: u8 },
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", rename_all = "lowercase", deny_unknown_fields)]
enum Move {
    Stay,
    Go(Point),
    Turn { at: Point, by: Vec<u8>, like: Shape },
}

crate::tagged!(Move, "move");

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Journey {
    name: String,
    #[serde(flatten)]
    last: Move,
}

/// Reads all of `rows`, the same if it is written again, and none of `refused`.
fn check<T: for<'de> Deserialize<'de> + Serialize + Debug + PartialEq>(rows: &[(&str, T)], refused: &[&str]) {
    for (text, value) in rows {
        assert_eq!(&from_str::<T>(text).unwrap_or_else(|error| panic!("{text}: {error}")), value);
        let again = serde_json::to_string(value).expect("our own");
        assert_eq!(&from_slice::<T>(again.as_bytes()).expect("what was written"), value, "{again}");
        assert_eq!(&from_value::<T>(from_str(text).expect("JSON")).expect("a document of it"), value, "{text}");
    }
    for text in refused {
        assert!(from_str::<T>(text).is_err(), "{text}");
        // A document has no second key of the same name.
        if let Some(document) = from_str(text).ok().filter(|document: &Value| document.to_string().len() == text.len())
        {
            assert!(from_value::<T>(document).is_err(), "{text}");
        }
    }
}

#[test]
fn a_structure_is_an_object_at_every_depth() {
    let point = |x| Point { x, y: None };
    check(
        &[(r#"{"x":1}"#, point(1)), (r#"{"y":null,"x":1}"#, point(1))],
        &["[1,null]", "[1]", "1", "{}", "{\"x\":1}x"],
    );
    check(&[(r#"[{"x":1}]"#, vec![point(1)])], &["[[1,null]]", r#"{"0":{"x":1}}"#]);
    check(&[(r#"[{"x":1},2]"#, (point(1), 2))], &["[[1,null],2]", r#"[{"x":1}]"#, r#"[{"x":1},2,3]"#]);
    check(&[(r#"{"x":1}"#, Some(point(1))), ("null", None)], &["[1,null]"]);
    check::<Point>(&[], &[r#"{"x":1,"x":1}"#, r#"{"x":1,"z":1}"#]);
}

/// Whoever posted a list of transactions was told of `struct JsonEnvelope`.
#[test]
fn no_type_of_the_program_is_named_to_who_sends_something_else() {
    fn told<T: DeserializeOwned + Debug>(text: &str) -> String {
        let error = from_str::<T>(text).expect_err(text).to_string();
        error.split(" at line").next().unwrap_or_default().to_owned()
    }
    let object = |what: &str| format!("invalid type: {what}, expected an object");
    let word = |what: &str| format!("invalid type: {what}, expected a word, or an object with one key");
    for (told, expected) in [
        (told::<Point>("[]"), object("array")),
        (told::<Point>("7"), object("integer `7`")),
        (told::<Vec<Point>>("[null]"), object("null")),
        (told::<Shape>("[]"), word("array")),
        (told::<Shape>("true"), word("boolean `true`")),
        (told::<Shape>(r#"{"circle":[]}"#), object("array")),
        (told::<Shape>(r#"{"circle":1}"#), object("integer `1`")),
        (told::<Move>("[]"), "invalid type: sequence, expected an object with `move`".into()),
        (told::<Move>(r#"{"move":"turn","at":1}"#), object("integer `1`")),
    ] {
        assert_eq!(told, expected);
    }
}

#[test]
fn a_variant_is_a_word_or_an_object_with_one_key() {
    let point = |x| Point { x, y: None };
    check(
        &[
            (r#""nothing""#, Shape::Nothing),
            (r#"{"dot":{"x":1}}"#, Shape::Dot(point(1))),
            (r#"{"line":[{"x":1},{"x":2}]}"#, Shape::Line(point(1), point(2))),
            (r#"{"circle":{"centre":{"x":1},"radius":2}}"#, Shape::Circle { centre: point(1), radius: 2 }),
        ],
        &[
            r#"{"nothing":null}"#,
            r#""dot""#,
            r#"{"dot":[1,null]}"#,
            r#"{"line":[[1,null],{"x":2}]}"#,
            r#"{"line":{"0":{"x":1},"1":{"x":2}}}"#,
            r#"{"circle":[{"x":1},2]}"#,
            r#"{"circle":{"centre":[1,null],"radius":2}}"#,
            r#"{"circle":{"centre":{"x":1},"radius":2,"colour":3}}"#,
            r#"{"dot":{"x":1},"line":[]}"#,
            "{}",
            "[]",
            r#"["nothing"]"#,
        ],
    );
}

#[test]
fn a_tag_may_stand_anywhere_and_what_comes_before_it_is_held_to_the_same() {
    let turn = |by: &[u8]| Move::Turn { at: Point { x: 1, y: Some(2) }, by: by.to_vec(), like: Shape::Nothing };
    check(
        &[
            (r#"{"move":"stay"}"#, Move::Stay),
            (r#"{"move":"go","x":1}"#, Move::Go(Point { x: 1, y: None })),
            (r#"{"x":1,"move":"go","y":null}"#, Move::Go(Point { x: 1, y: None })),
            (r#"{"move":"turn","at":{"x":1,"y":2},"by":[],"like":"nothing"}"#, turn(&[])),
            (r#"{"at":{"x":1,"y":2},"by":[3,4],"move":"turn","like":"nothing"}"#, turn(&[3, 4])),
            (r#"{"like":"nothing","at":{"x":1,"y":2},"by":[3],"move":"turn"}"#, turn(&[3])),
        ],
        &[
            r#"{"x":1}"#,
            r#"{"move":"fly"}"#,
            r#"{"move":1}"#,
            r#"["go",{"x":1}]"#,
            r#"["go",1,null]"#,
            r#""stay""#,
            r#"{"go":{"x":1}}"#,
            r#"{"move":"turn","at":[1,2],"by":[],"like":"nothing"}"#,
            r#"{"at":[1,2],"move":"turn","by":[],"like":"nothing"}"#,
            r#"{"like":{"nothing":null},"move":"turn","at":{"x":1},"by":[]}"#,
            r#"{"at":{"x":1,"x":1},"move":"turn","by":[],"like":"nothing"}"#,
            r#"{"move":"go","x":1,"move":"go"}"#,
            r#"{"x":1,"move":"go","x":1}"#,
            r#"{"move":"go","x":1,"z":1}"#,
            r#"{"x":300,"move":"go"}"#,
        ],
    );
    let last = Move::Go(Point { x: 1, y: None });
    check(&[(r#"{"name":"a","x":1,"move":"go"}"#, Journey { name: "a".into(), last })], &[r#"["a","go",1]"#]);
}

fn said(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own")
}

#[test]
fn enums_with_a_tag_are_written_as_serde_does() {
    assert_eq!(said(&Seal::Genesis {}), r#"{"kind":"genesis"}"#);
    assert_eq!(said(&Event::AssetPaused { asset: "eur".into() }), r#"{"kind":"asset.paused","asset":"eur"}"#);
    let removed = ConfigChange::RemoveOrganization { name: "north".into() };
    assert_eq!(said(&removed), r#"{"change":"remove_organization","name":"north"}"#);
    let paused = Action::AssetPause(crate::action::assets::AssetName { asset: "eur".into() });
    assert_eq!(said(&paused), r#"{"type":"asset.pause","asset":"eur"}"#);
    assert_eq!(said(&Move::Stay), r#"{"move":"stay"}"#);
}
