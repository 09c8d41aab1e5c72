//! The OpenAPI 3.1 document, made from the table of routes: what a parameter may hold, what a body consists of, and which
//! problems each route answers with. Schemathesis holds it against a running peer (`tests/tests/peer/schemathesis.rs`).

use super::{
    route::{Answer, Method, Route},
    schemas::{address, hash, height, label, schemas, version},
};
use crate::{
    limits::{BLOCKS_PAGE_MAX, PAGE_MAX},
    problem::{Kind, MEDIA_TYPE},
};
use actix_web::HttpResponse;
use client::api::Problem;
use ledger_classes::limits::{CALL_BYTES_MAX, STATE_KEY_BYTES_MAX, TOPIC_BYTES_MAX};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a transaction and its actions look like in JSON: a document of `docs/formats`, held against the types by
/// `tests/tests/peer/schemas.rs`.
const TRANSACTION_SCHEMA: &str = include_str!("../../../docs/formats/transaction.schema.json");

pub(super) async fn transaction_schema() -> HttpResponse {
    HttpResponse::Ok().content_type("application/schema+json").body(TRANSACTION_SCHEMA)
}

/// The groups of routes.
const TAGS: &[(&str, &str)] = &[
    ("peer", "the peer itself, and this document"),
    ("channels", "channels, who takes part, how they are governed"),
    ("transactions", "posting, outcomes, proofs"),
    ("blocks", "what was committed, block by block"),
    ("events", "what was committed, as it happens"),
    ("assets", "assets, items, accounts"),
    ("contracts", "contracts and their instances"),
    ("apps", "applications"),
    ("logs", "log records"),
    ("certificates", "CA certificates, revocation, registration"),
    ("EST", "registration by RFC 7030"),
];

/// The whole document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            path.insert(route.method.text().to_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chancery",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A multi-channel ledger for consortia. Amounts and nonces are decimal strings, bytes are \
                lower-case hex, times are RFC 3339. A channel is named by its name or its id; one that the caller has \
                no right on answers like one that does not exist.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{}, { "certificate": [] }],
        "tags": TAGS.iter().map(|(name, description)| json!({ "name": name, "description": description })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "certificate": { "type": "mutualTLS", "description": "a certificate of the consortium" },
                "token": { "type": "http", "scheme": "basic", "description": "an identity and an enrolment token" },
            },
        },
    })
}

/// The group of a route: the resource that its path is about.
fn tag(route: &Route) -> &'static str {
    let mut segments = route.path.split('/').skip(1);
    match (segments.next(), segments.next(), segments.nth(1)) {
        (Some("v1"), Some("channels"), None) => "channels",
        (Some("v1"), Some("channels"), Some("trust" | "participants" | "proposals")) => "channels",
        (Some("v1"), Some("channels"), Some("transactions" | "submissions")) => "transactions",
        (Some("v1"), Some("channels"), Some("blocks")) => "blocks",
        (Some("v1"), Some("channels"), Some("events")) => "events",
        (Some("v1"), Some("channels"), Some("assets" | "accounts")) => "assets",
        (Some("v1"), Some("channels"), Some("contracts" | "instances")) => "contracts",
        (Some("v1"), Some("channels"), Some("apps")) => "apps",
        (Some("v1"), Some("channels"), Some("logs")) => "logs",
        (Some("v1"), Some("channels"), Some(_)) => "channels",
        (Some("v1"), Some("ca"), _) => "certificates",
        (Some(".well-known"), ..) => "EST",
        _ => "peer",
    }
}

/// What a name in a path may be. What is of another form is answered like what is unknown, or as `invalid-parameter`.
fn place(route: &Route, name: &str) -> (&'static str, Value) {
    match name {
        "channel" => ("a channel's name, or its id", json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" })),
        "height" => ("a block's number", height()),
        "address" => ("an account; in mixed case its checksum (EIP-55) must be right", address()),
        "spender" => ("whom the owner allowed", address()),
        "asset" => ("an asset's name", label()),
        "item" => ("an item's id", label()),
        "contract" => ("a contract's name", label()),
        "instance" => ("an instance's name", label()),
        "app" => ("an application's name", label()),
        "version" => ("a version of the application", version()),
        "organization" => {
            ("an organization, `root`, or `root-` and a key", json!({ "type": "string", "minLength": 1 }))
        }
        // What is none is answered by the protocol itself, as a malformed request.
        "request" => ("an OCSP request in base64", json!({ "type": "string", "minLength": 1 })),
        "id" if route.path.starts_with("/v1/ca/requests") => {
            ("the request's id", json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }))
        }
        "id" if route.path.starts_with("/v1/ca/tokens") => {
            ("the token's public part", json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" }))
        }
        "serial" => ("a certificate's serial number", json!({ "type": "string", "pattern": "^([0-9a-f]{2}){1,20}$" })),
        "key" => ("a key of the state, in hex", json!({ "type": "string", "pattern": "^([0-9a-f]{2}){1,640}$" })),
        "id" => ("an id", hash()),
        _ => ("", json!({ "type": "string" })),
    }
}

/// A position among a channel's events; it must be one of this channel's.
fn cursor(or_height: bool) -> Value {
    let number = "(0|[1-9][0-9]{0,18})";
    let place = format!("[.]{number}[.]{number}([.][0-9a-f]{{16}})?");
    let pattern = if or_height { format!("^{number}({place})?$") } else { format!("^{number}{place}$") };
    json!({ "type": "string", "pattern": pattern })
}

/// What a parameter of the query may be.
fn asked(route: &Route, name: &str, kind: &str) -> Value {
    match (name, kind) {
        ("limit", _) if route.operation == "blocks" => {
            json!({ "type": "integer", "minimum": 1, "maximum": BLOCKS_PAGE_MAX, "default": BLOCKS_PAGE_MAX })
        }
        ("limit", _) => json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": 100 }),
        ("wait", _) => json!({ "enum": ["committed", "accepted"], "default": "committed" }),
        ("status", _) if route.operation == "issuedCertificates" => {
            json!({ "enum": ["valid", "expired", "revoked", "intended"] })
        }
        ("status", _) => {
            let one = "(requested|approved|rejected|issued|lapsed)";
            json!({ "type": "string", "pattern": format!("^{one}(,{one})*$") })
        }
        ("organization", _) => label(),
        ("identity", _) => {
            let form = "^spiffe://[a-z0-9._-]{1,255}/[a-z0-9-]{1,64}/(peer|admin|client|auditor)/[A-Za-z0-9._-]{1,64}$";
            json!({ "type": "string", "pattern": form, "maxLength": 512 })
        }
        ("expires_within_days", _) => json!({ "type": "integer", "minimum": 0, "maximum": 36500 }),
        ("after", _) => {
            json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$", "maxLength": 2 * STATE_KEY_BYTES_MAX })
        }
        ("class", _) => {
            let class = "(assets|contracts|apps|logs)";
            json!({ "type": "string", "pattern": format!("^{class}(,{class})*$") })
        }
        ("topic", _) if route.operation == "logs" => {
            let label = "[a-z0-9-]{1,64}";
            let pattern = format!("^{label}([.]{label})*$");
            json!({ "type": "string", "pattern": pattern, "maxLength": TOPIC_BYTES_MAX })
        }
        ("arguments", _) => {
            json!({ "type": "string", "contentMediaType": "application/json", "maxLength": CALL_BYTES_MAX })
        }
        ("unless", _) => hash(),
        ("from", "string") if route.operation == "events" => cursor(true),
        (_, "integer") => height(),
        (_, kind) => json!({ "type": kind }),
    }
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| {
            let (description, schema) = place(route, name);
            json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
        })
        .collect();
    parameters.extend(route.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": asked(route, parameter.name, parameter.kind),
        })
    }));
    if route.operation == "events" {
        parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "required": false, "schema": cursor(false),
            "description": "the `id` of the last event that was received; goes before `from`",
        }));
    }
    let mut responses: Map<String, Value> = Map::new();
    for answer in route.answers {
        responses.insert(answer.status.to_string(), done(route, answer));
    }
    for (status, kinds) in refusals(route) {
        responses.insert(status.to_string(), refusal(route, status, &kinds));
    }
    for (status, what) in [(414, "The target is too long"), (431, "The head is too large")] {
        // Before anything is known of the request: without a problem.
        responses.insert(status.to_string(), json!({ "description": what }));
    }
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "description": format!("Needs {}.", route.needs),
        "tags": [tag(route)],
        "parameters": parameters,
        "responses": responses,
    });
    if route.method == Method::Post {
        operation["requestBody"] = json!({ "required": true, "content": content(route.body) });
    }
    if route.operation == "submissions" {
        // Neither a body nor an answer that is a stream of items has a schema of its own.
        operation["description"] = json!(format!(
            "Needs {}. Each line of the body is a `SubmissionLine`, each line of the answer a `StreamLine`; frames hold the \
             same in binary. The answer begins at once and tells each outcome when it is known.",
            route.needs
        ));
    }
    match route.operation {
        "createChannel"
        | "offerCrl"
        | "estReenrol"
        | "certificateRequests"
        | "approveCertificateRequest"
        | "rejectCertificateRequest" => operation["security"] = json!([{ "certificate": [] }]),
        "estEnrol" => operation["security"] = json!([{}, { "token": [] }]),
        _ => {}
    }
    operation
}

fn done(route: &Route, answer: &Answer) -> Value {
    let mut response = json!({ "description": route.summary });
    if !answer.content.is_empty() {
        response["content"] = content(answer.content);
    }
    if route.path.starts_with("/.well-known/est") && answer.status == 200 {
        response["headers"] = json!({
            "Content-Transfer-Encoding": { "required": true, "schema": { "const": "base64" } },
        });
    }
    if answer.status == 202 && ["certificates", "EST"].contains(&tag(route)) {
        response["headers"] = json!({ "Retry-After": retry_after() });
    }
    response
}

fn retry_after() -> Value {
    json!({ "description": "seconds", "required": true, "schema": { "type": "integer", "minimum": 1 } })
}

/// What a route refuses with, by status. A kind that any request may meet is in every route.
fn refusals(route: &Route) -> BTreeMap<u16, Vec<Kind>> {
    let mut kinds = vec![Kind::Malformed, Kind::CertificateRefused, Kind::NoPlace, Kind::PeerBusy, Kind::Broken];
    if !route.parameters.is_empty() {
        kinds.push(Kind::InvalidParameter);
    }
    if route.method == Method::Post {
        kinds.extend([Kind::RequestTimeout, Kind::Oversize, Kind::UnsupportedMediaType, Kind::TransferCodingUnknown]);
        kinds.push(Kind::Draining);
    }
    if route.path.contains("{channel}") {
        kinds.extend([
            Kind::ChannelUnknown,
            Kind::Forbidden,
            Kind::Busy,
            Kind::Unavailable,
            Kind::Stopped,
            Kind::ChannelHalted,
        ]);
    }
    let unknown = [
        ("{asset}", Kind::AssetUnknown),
        ("{item}", Kind::ItemUnknown),
        ("{contract}", Kind::ContractUnknown),
        ("{instance}", Kind::InstanceUnknown),
        ("{app}", Kind::AppUnknown),
        ("{height}", Kind::BlockUnknown),
        ("transactions/{id}", Kind::TransactionUnknown),
        ("proposals/{id}", Kind::ProposalUnknown),
        ("participants/{address}", Kind::ParticipantUnknown),
        ("{organization}", Kind::AuthorityUnknown),
        ("requests/{id}", Kind::RequestUnknown),
        ("{serial}", Kind::CertificateUnknown),
    ];
    kinds.extend(unknown.iter().filter(|(name, _)| route.path.contains(name)).map(|(_, kind)| *kind));
    if ["{height}", "{id}", "{address}", "{spender}", "{key}"].iter().any(|name| route.path.contains(name)) {
        kinds.push(Kind::InvalidParameter);
    }
    let registration = [
        Kind::NoAuthority,
        Kind::RequestsFull,
        Kind::RequestInvalid,
        Kind::RequestDecided,
        Kind::AuthorityLocked,
        Kind::PeerFenced,
        Kind::TokenRefused,
        Kind::Forbidden,
        Kind::RequestUnknown,
        Kind::TokenUnknown,
        Kind::CertificateRequired,
        Kind::Unavailable,
    ];
    kinds.extend_from_slice(match route.operation {
        "submit" => {
            &[Kind::StorageReadOnly, Kind::PeerFenced, Kind::StorageFull, Kind::ChannelFull, Kind::CommitPending]
        }
        "createChannel" => &[
            Kind::ChannelHalted,
            Kind::CertificateRequired,
            Kind::Forbidden,
            Kind::ChannelExists,
            Kind::ConfigurationInvalid,
            Kind::Busy,
            Kind::StorageReadOnly,
            Kind::PeerFenced,
            Kind::StorageFull,
            Kind::Unavailable,
        ],
        "events" => &[
            Kind::MalformedCursor,
            Kind::TooManySubscriptions,
            Kind::Draining,
            Kind::CursorAhead,
            Kind::CursorOtherHistory,
            Kind::CursorNoEvent,
        ],
        "queryInstance" => &[Kind::QueryRefused],
        "offerCrl" => {
            &[Kind::CertificateRequired, Kind::CrlOlder, Kind::CrlRefused, Kind::RequestsFull, Kind::Unavailable]
        }
        "bringAnswer" => &[Kind::CertificateRequired, Kind::AnswerRefused, Kind::RequestsFull, Kind::Unavailable],
        "ocsp" | "ocspByGet" => &[Kind::Unavailable],
        "renewCertificate" | "estReenrol" => &[Kind::RenewalRefused],
        _ => &[],
    });
    let registers = ["/v1/ca/re", "/v1/ca/issued", "/v1/ca/tokens", "/.well-known/est"];
    if registers.iter().any(|prefix| route.path.starts_with(prefix)) {
        kinds.extend(registration);
    }
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds {
        let same = by_status.entry(kind.status()).or_default();
        if !same.contains(&kind) {
            same.push(kind);
        }
    }
    if route.operation == "submit" {
        // The transaction's own faults: `docs/formats/problems.md`.
        for status in [400, 403, 409, 410, 413, 422] {
            by_status.entry(status).or_default();
        }
    }
    by_status
}

fn refusal(route: &Route, status: u16, kinds: &[Kind]) -> Value {
    let mut says: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.name(), kind.title())).collect();
    let mut schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }] });
    let of_transactions = route.operation == "submit" && [400, 403, 409, 410, 413, 422].contains(&status);
    let mut properties = json!({ "status": { "const": status } });
    if of_transactions {
        says.push("a fault of the transaction itself".into());
    } else {
        let types: Vec<String> = kinds.iter().map(|kind| format!("{}{}", Problem::TYPE_PREFIX, kind.name())).collect();
        properties["type"] = json!({ "enum": types });
    }
    schema["properties"] = properties;
    let mut response = json!({ "description": says.join("; "), "content": { MEDIA_TYPE: { "schema": schema } } });
    let headers = match status {
        401 => json!({ "WWW-Authenticate": { "required": true, "schema": { "type": "string" } } }),
        415 => json!({
            "Accept": { "schema": { "type": "string" } }, "Accept-Encoding": { "schema": { "type": "string" } },
        }),
        429 | 503 | 507 => json!({ "Retry-After": { "schema": { "type": "integer", "minimum": 1 } } }),
        _ => return response,
    };
    response["headers"] = headers;
    response
}

/// Media types with the schema of each; bytes are described by their media type alone (OpenAPI 3.1 §4.8.14.4).
fn content(types: &[(&str, &str)]) -> Value {
    let entry = |(media_type, schema): &(&str, &str)| {
        let schema = match *schema {
            "" => json!({ "type": "string", "contentMediaType": media_type }),
            name => json!({ "$ref": format!("#/components/schemas/{name}") }),
        };
        ((*media_type).to_owned(), json!({ "schema": schema }))
    };
    Value::Object(types.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::{ROUTES, configure, document};
    use actix_web::{App, test};
    use std::collections::BTreeSet;

    /// Paths with every name filled in.
    fn concrete(path: &str) -> String {
        let fill = |segment: &str| if segment.starts_with('{') { "x".to_owned() } else { segment.to_owned() };
        path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    #[actix_web::test]
    async fn every_documented_path_is_served_and_knows_its_methods() {
        let app = test::init_service(App::new().configure(configure)).await;
        let document = document();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let request = test::TestRequest::delete().uri(&concrete(path)).to_request();
            let response = test::call_service(&app, request).await;
            assert_eq!(response.status(), 405, "{path} is not registered");
            let allowed = response.headers().get("allow").unwrap().to_str().unwrap();
            let allowed: BTreeSet<String> = allowed.split(", ").map(str::to_lowercase).collect();
            let mut documented: BTreeSet<String> = operations.as_object().unwrap().keys().cloned().collect();
            if documented.contains("get") {
                documented.insert("head".into());
            }
            assert_eq!(allowed, documented, "{path}");
        }
        let documented: usize =
            document["paths"].as_object().unwrap().values().map(|o| o.as_object().unwrap().len()).sum();
        assert_eq!(documented, ROUTES.len(), "two routes share a path and a method");
        let request = test::TestRequest::get().uri("/v1/nothing").to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), 404);
        let problem: Problem = test::read_body_json(response).await;
        assert_eq!(problem.name(), "route-unknown");
    }

    #[actix_web::test]
    async fn every_reference_and_operation_name_holds() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is not a schema");
        }
        let tags: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
        assert_eq!(tags, ROUTES.iter().map(tag).collect(), "a group that is empty or not described");
        let names: BTreeSet<&str> = ROUTES.iter().map(|route| route.operation).collect();
        assert_eq!(names.len(), ROUTES.len(), "an operation's name is used twice");
    }
}
