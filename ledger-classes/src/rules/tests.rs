//! What came with which number.

use super::*;
use crate::execution::contracts::builtin::CODES;
use crate::formats::config::{Engine, Witnesses};
use crate::keys::Scheme;

/// Whoever adds an action, a scheme, a contract or a policy after formats are kept adds it under a later number.
#[test]
fn what_came_with_which_number_is_in_the_golden_file() {
    let schema: serde_json::Value =
        crate::primitives::json::from_str(include_str!("../../../docs/formats/transaction.schema.json")).expect("JSON");
    let mut made = String::new();
    for (number, kind) in Action::TYPES.iter().enumerate() {
        let example = schema["$defs"][*kind]["examples"][0].clone();
        let action: Action = crate::primitives::json::from_value(example).expect("an example");
        made += &format!("{} action {number} {kind}\n", since(&action));
    }
    for scheme in [Scheme::Ed25519, Scheme::EcdsaP256] {
        made += &format!("1 scheme {} {scheme}\n", scheme.byte());
    }
    made += &format!("1 engine {} solo\n", Engine::Solo as u8);
    made += &format!("1 witnesses {} {}\n", Witnesses::Own as u8, Witnesses::Own.text());
    for code in CODES {
        made += &format!("1 contract {code}\n");
    }
    for (number, paths) in PATHS {
        made += &format!("{number} paths {}\n", paths.number());
    }
    let golden = include_str!("../../../docs/formats/rules.txt");
    assert!(golden == made, "docs/formats/rules.txt should read:\n{made}");
}
