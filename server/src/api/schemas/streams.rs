//! Schemas of the items of a stream of submissions, each of which is a line.

use super::forms::{named, number, object};
use serde_json::{Value, json};

/// Every schema by name.
pub(super) fn schemas() -> Value {
    json!({
        "SubmissionLine": {
            "type": "object", "additionalProperties": false, "required": ["number", "transaction"],
            "properties": { "number": number(), "transaction": named("Envelope") },
        },
        "StreamLine": object(
            json!({
                "credits": number(), "item_bytes_max": number(), "number": number(), "line": number(),
                "outcome": named("Outcome"), "problem": named("Problem"),
            }),
            &[],
        ),
    })
}
