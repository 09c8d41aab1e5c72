//! The table of key families in `docs/formats/state.md` is what `state/keyspace.rs` says.

/// Bytes and names of the families, in order, from lines such as `Config = 0x01,`.
fn families_in_code() -> Vec<(&'static str, &'static str)> {
    let source = include_str!("../src/state/keyspace.rs");
    let entry = |line: &'static str| {
        let (name, byte) = line.trim().strip_suffix(',')?.split_once(" = ")?;
        byte.starts_with("0x").then_some((byte, name))
    };
    source.lines().filter_map(entry).collect()
}

/// The first two columns of the table.
fn families_in_document() -> Vec<(&'static str, &'static str)> {
    let document = include_str!("../../docs/formats/state.md");
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| 0x").map(|_| line.split('|').skip(1).map(str::trim))?;
        Some((cells.next()?, cells.next()?))
    };
    document.lines().filter_map(row).collect()
}

#[test]
fn every_family_of_keys_is_documented() {
    assert!(!families_in_code().is_empty());
    assert_eq!(families_in_code(), families_in_document());
}
