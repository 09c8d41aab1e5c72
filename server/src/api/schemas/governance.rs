//! Schemas of lists that govern: participants, proposals, balances, an organization's certificates.

use super::forms::{body, object, or_null};
use serde_json::{Value, json};

/// Every schema by name.
pub(super) fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let number = || json!({ "type": "integer", "minimum": 0 });
    let amount = || json!({ "type": "string", "pattern": "^[0-9]+$" });
    let hash = || json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    let hex = || json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let any = || json!({ "type": "object" });
    let list = |of: Value| json!({ "type": "array", "items": of });
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let page =
        |of: Value| object(json!({ "height": number(), "items": list(of), "next": text() }), &["height", "items"]);
    let register = |of: Value| object(json!({ "items": list(of), "next": text() }), &["items"]);
    json!({
        "BalancePage": page(object(
            json!({
                "asset": text(), "decimals": number(), "owned": amount(), "free": amount(), "frozen": amount(), "locked": amount(),
            }),
            &["asset", "decimals", "owned", "free", "frozen", "locked"],
        )),
        "Participant": object(
            json!({
                "height": number(), "address": text(), "identity": text(), "organization": text(),
                "role": { "enum": ["peer", "admin", "client", "auditor"] },
                "standing": { "enum": ["admitted", "revoked", "expired", "unvouched", "ended"] }, "serial": hex(),
                "not_after": time(), "admitted_height": number(),
                "revoked_height": { "type": ["integer", "null"], "minimum": 0 },
                "ended_height": { "type": ["integer", "null"], "minimum": 0 },
            }),
            &["address", "identity", "organization", "role", "standing", "serial", "not_after", "admitted_height",
              "revoked_height", "ended_height"],
        ),
        "ParticipantPage": page(named("Participant")),
        "Proposal": object(
            json!({
                "height": number(), "id": hash(), "kind": { "enum": ["configuration", "recovery"] },
                "state": { "enum": ["open", "done", "withdrawn", "lapsed"] }, "summary": list(text()), "changes": list(any()),
                "authorities": list(named("ProposedAuthority")),
                "recovery": or_null(object(
                    json!({ "from": text(), "to": text(), "asset": or_null(text()) }),
                    &["from", "to", "asset"],
                )),
                "reason": text(), "by": text(),
                "proposed_height": number(), "ended_height": { "type": ["integer", "null"], "minimum": 0 },
                "approvals": list(object(
                    json!({
                        "organization": text(), "by": text(), "approved_height": number(),
                        "counts": { "type": "boolean" },
                    }),
                    &["organization", "by", "approved_height", "counts"],
                )),
                "approvals_given": number(), "approvals_needed": number(), "not_yet": list(text()),
            }),
            &["id", "kind", "state", "summary", "changes", "authorities", "recovery", "reason", "by", "proposed_height",
              "ended_height", "approvals", "approvals_given", "approvals_needed", "not_yet"],
        ),
        "ProposedAuthority": object(
            json!({
                "change": { "enum": ["lists", "keeps", "drops"] }, "member": text(), "subject": text(),
                "organization": or_null(text()), "key": hash(), "serial": hex(), "not_after": time(),
                "compromised": { "type": "boolean" },
            }),
            &["change", "member", "subject", "organization", "key", "serial", "not_after", "compromised"],
        ),
        "ProposalPage": page(named("Proposal")),
        "CertificateRequestPage": register(named("CertificateRequest")),
        "Issued": object(
            json!({
                "serial": hex(), "identity": text(), "authority": text(),
                "status": { "enum": ["valid", "expired", "revoked", "intended"] }, "not_before": time(),
                "not_after": time(), "fingerprint": hash(), "key": hash(), "request": text(), "renews": hex(),
                "revoked": object(json!({ "at": time(), "reason": text() }), &["at", "reason"]),
                "acts": list(object(
                    json!({ "act": { "enum": ["issued", "revoked"] }, "at": time(), "who": text(), "why": text() }),
                    &["act", "at"],
                )),
                "certificate": text(),
            }),
            &["serial", "identity", "authority", "status", "not_before", "not_after", "acts"],
        ),
        "IssuedPage": register(named("Issued")),
        "RevocationBody": body(
            json!({
                "serial": or_null(text()), "identity": or_null(text()), "reason": or_null(text()),
                "why": or_null(text()), "renewals": { "type": "boolean" },
            }),
            &[],
        ),
        "Revoked": object(
            json!({ "revoked": list(named("Issued")), "renewed": list(named("Issued")) }),
            &["revoked"],
        ),
        "TokenBody": body(
            json!({
                "identity": text(), "hours": or_null(number()), "hosts": list(text()), "days": or_null(number()),
                "why": or_null(text()),
            }),
            &["identity"],
        ),
        "Token": object(
            json!({
                "id": text(), "status": { "enum": ["open", "spent", "expired", "cancelled", "void"] }, "identity": text(),
                "by": text(), "made": time(), "expires": time(), "hosts": list(text()), "days": number(),
                "request": text(),
            }),
            &["id", "status", "identity", "made", "expires", "days"],
        ),
        "TokenPage": register(named("Token")),
        "CancelBody": body(json!({ "why": or_null(text()) }), &[]),
        "EnrolmentToken": object(
            json!({ "token": text(), "identity": text(), "expires": time() }),
            &["token", "identity", "expires"],
        ),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use client::api::{AuthorityChange, ParticipantStanding as Standing};
    use ledger_classes::execution::channel::ProposalState as State;
    use serde_json::{Value, to_value};

    /// The standing `unvouched` and the state `lapsed` were sent, and stood in no schema.
    #[test]
    fn every_word_that_is_sent_is_in_its_schema() {
        let schemas = super::schemas();
        let check = |schema: &str, field: &str, sent: &[Value]| {
            let words = schemas[schema]["properties"][field]["enum"].as_array().unwrap();
            assert_eq!(words, sent, "{schema}: {field}");
        };
        let standings =
            [Standing::Admitted, Standing::Revoked, Standing::Expired, Standing::Unvouched, Standing::Ended];
        check("Participant", "standing", &standings.map(|one| to_value(one).unwrap()));
        let states = [State::Open, State::Done, State::Withdrawn, State::Lapsed];
        check("Proposal", "state", &states.map(|one| to_value(one).unwrap()));
        let changes = [AuthorityChange::Lists, AuthorityChange::Keeps, AuthorityChange::Drops];
        check("ProposedAuthority", "change", &changes.map(|one| to_value(one).unwrap()));
    }
}
