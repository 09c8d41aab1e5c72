//! Certificate paths in x509-limbo's format, in good and bad pairs: every bad path is a good one but for the one
//! change that its id names. Written octet by octet, because no certificate library writes what must be refused.
//!
//! The keys come from fixed seeds and Ed25519 signs without chance, so that the same document comes out each time.
//! `docs/conformance.md` says which of limbo's cases each stands for.

mod certificates;
mod crls;
mod draft;
mod heaps;
mod names;
mod path;
mod paths;

use path::Path;
use serde_json::{Value, json};

/// Id, whether the path is good, and what is done to the good path.
type Row = (&'static str, bool, fn(&mut Path));

/// The document.
pub fn document() -> Value {
    let rows = [paths::ROWS, heaps::ROWS, certificates::ROWS, names::ROWS, crls::ROWS];
    let cases = rows.into_iter().flatten().map(|(id, good, change)| {
        let mut path = Path::good();
        change(&mut path);
        path.case(&format!("chancery::{id}"), *good)
    });
    json!({"version": 1, "testcases": cases.collect::<Vec<Value>>()})
}
