use super::catalogue::examples;
use crate::formats::detail::*;
use crate::primitives::codec;

/// The numbers are kept for ever: a changed or reused one breaks every reader.
#[test]
fn the_table_of_details_is_append_only() {
    let golden = include_str!("../../../../docs/formats/refusal-details.txt");
    let terms = [
        Thing::table(),
        Part::table(),
        Duty::table(),
        ItemFault::table(),
        Party::table(),
        Moment::table(),
        Stage::table(),
        Resource::table(),
        Revoked::table(),
        Often::table(),
        KeyFault::table(),
        PathFault::table(),
    ];
    let table = Detail::table() + &terms.concat();
    assert_eq!(table, golden, "append only:\n{table}");
    let numbers = examples().into_iter().map(|detail| detail.number());
    assert!(numbers.is_sorted_by(|one, next| one < next), "each number once, ascending");
}

#[test]
fn a_detail_has_one_encoding_within_its_bound_and_no_bytes_beside_it() {
    for detail in examples() {
        let bytes = codec::encode(&detail);
        assert!(bytes.len() <= limits::DETAIL_BYTES_MAX, "{}: {} bytes", detail.name(), bytes.len());
        assert_eq!(codec::decode::<Detail>(&bytes, limits::DETAIL_BYTES_MAX), Ok(detail.clone()));
        for cut in 0..bytes.len() {
            assert!(codec::decode::<Detail>(&bytes[..cut], 1024).is_err(), "{} cut at {cut}", detail.name());
        }
        assert!(codec::decode::<Detail>(&[bytes.as_slice(), &[0]].concat(), 2048).is_err(), "{}", detail.name());
    }
    for unknown in [[20u8, 0], [255, 255]] {
        assert!(codec::decode::<Detail>(&unknown, 1024).is_err(), "{unknown:?}");
    }
}

/// Texts that are longer than a detail holds are cut where it is made, and refused where it is read.
#[test]
fn a_text_above_its_bound_is_cut_and_no_encoding_holds_one() {
    let long = "é".repeat(limits::DETAIL_TEXT_BYTES_MAX);
    let detail = Detail::UnknownAsset { asset: Text::from(&format!("a{long}")) };
    let bytes = codec::encode(&detail);
    assert_eq!(bytes.len(), 2 + 8 + limits::DETAIL_TEXT_BYTES_MAX - 1, "not within a character");
    let forged = [&200u16.to_le_bytes()[..], &codec::encode(&"a".repeat(limits::DETAIL_TEXT_BYTES_MAX + 1))].concat();
    assert!(codec::decode::<Detail>(&forged, 1024).is_err());
    let names = Names::of(["a".repeat(65).as_str(), "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    assert_eq!(names.to_string(), "b, c, d, e, f, g, h, i, 2 more");
}

/// A template that forgets an argument would lose what a person was told.
#[test]
fn words_tell_every_argument() {
    for detail in examples() {
        let words = detail.words(ResultCode::BidBySeller);
        assert!(!words.is_empty() && !words.contains(['…', '\n']), "{}: {words}", detail.name());
        for (name, value) in detail.arguments() {
            let told = match value {
                Value::Number(number) => words.contains(&number.to_string()),
                // Closed enumerations have words of their own.
                Value::Text(text) => words.contains(&text) || detail.is_closed(name),
                Value::List(texts) => texts.iter().all(|text| words.contains(text)),
            };
            assert!(told, "{} does not tell {name}: {words}", detail.name());
        }
    }
    assert_eq!(Detail::PLAIN.words(ResultCode::BidBySeller), "the seller cannot bid");
    assert_eq!(Detail::AtMost { part: Part::Title, most: 7 }.to_string(), "a title has at most 7 bytes");
    assert_eq!(
        Detail::Named { thing: Thing::Asset }.to_string(),
        "an asset is named by 1 to 64 of a-z, 0-9 and hyphen"
    );
}
