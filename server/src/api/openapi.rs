//! The OpenAPI 3.1 document, made from the table of routes.

use super::{
    routes::{Method, ROUTES, Route},
    schemas::schemas,
    service::json,
};
use crate::problem::{ApiError, MEDIA_TYPE};
use actix_web::HttpResponse;
use serde_json::{Map, Value, json};

pub(super) async fn show() -> Result<HttpResponse, ApiError> {
    json(&document())
}

/// What a transaction and its actions look like in JSON: a document of `docs/formats`, held against the types by
/// `tests/tests/peer/schemas.rs`.
const TRANSACTION_SCHEMA: &str = include_str!("../../../docs/formats/transaction.schema.json");

pub(super) async fn transaction_schema() -> HttpResponse {
    HttpResponse::Ok().content_type("application/schema+json").body(TRANSACTION_SCHEMA)
}

/// The whole document.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
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
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "certificate": { "type": "mutualTLS", "description": "a certificate of the consortium" },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(route.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": { "type": parameter.kind },
        })
    }));
    let mut responses: Map<String, Value> = Map::new();
    for answer in route.answers {
        let content = content(answer.content);
        responses.insert(answer.status.to_string(), json!({ "description": route.summary, "content": content }));
    }
    let problem = content(&[(MEDIA_TYPE, "Problem")]);
    responses.insert("default".into(), json!({ "description": "A refusal (RFC 9457)", "content": problem }));
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "description": format!("Needs {}.", route.needs),
        "parameters": parameters,
        "responses": responses,
    });
    if route.method == Method::Post {
        operation["requestBody"] = json!({ "required": true, "content": content(route.body) });
    }
    operation
}

fn content(types: &[(&str, &str)]) -> Value {
    let entry = |(media_type, schema): &(&str, &str)| {
        let schema = if schema.is_empty() {
            json!({})
        } else {
            json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } })
        };
        ((*media_type).to_owned(), schema)
    };
    Value::Object(types.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::configure;
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
            let documented: BTreeSet<String> = operations.as_object().unwrap().keys().cloned().collect();
            assert_eq!(allowed, documented, "{path}");
        }
        let documented: usize =
            document["paths"].as_object().unwrap().values().map(|o| o.as_object().unwrap().len()).sum();
        assert_eq!(documented, ROUTES.len(), "two routes share a path and a method");
        let request = test::TestRequest::get().uri("/v1/nothing").to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), 404);
        let problem: client::api::Problem = test::read_body_json(response).await;
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
        let names: BTreeSet<&str> = ROUTES.iter().map(|route| route.operation).collect();
        assert_eq!(names.len(), ROUTES.len(), "an operation's name is used twice");
    }
}
