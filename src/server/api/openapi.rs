//! `GET /api/v1/openapi.json`: made from the table of operations, from the types of the answers, and
//! from the configuration in force.

use axum::http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::connections::{Connections, Disconnected};
use super::operations::{Action, COMMON_CODES, KEYED_CODES, KEYLESS_CODES, OPERATIONS, Operation};
use super::problem::{self, Code};
use super::publish::Published;
use super::request_schemas::{
    UUID_EXAMPLE, idempotency_key, named, path_parameters, publish_body, query_parameter,
};
use super::stats::Stats;
use super::view::Connection;
use super::written::BATCH_MAX;
use super::{Answered, Call};
use crate::handshake::ErrorAnswer;

pub(super) fn describe(call: &Call<'_>) -> Answered {
    call.query()?;
    let needs_key = !call.live.api_keys.is_empty();
    let endpoints = call.live.endpoints.names();
    Ok(problem::json(StatusCode::OK, &document(&endpoints, needs_key)))
}

/// The description of a gateway with these endpoints.
pub(super) fn document(endpoints: &[String], needs_key: bool) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = SchemaGenerator::new(settings);
    schemas.subschema_for::<ErrorAnswer<'_>>();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.route.as_str()).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_ascii_lowercase();
        path[method] = describe_operation(operation, &mut schemas, needs_key);
    }
    let mut components = json!({ "schemas": schemas.take_definitions(true) });
    for (name, schema) in named(endpoints) {
        components["schemas"][name] = schema;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gaugeway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The API of the admin listener. Every error is JSON that names its code, \
                and the field where there is one. Unknown keys and parameters are errors.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The gateway that answered." }],
        "paths": paths,
    });
    if needs_key {
        components["securitySchemes"] = json!({ "key": {
            "type": "http", "scheme": "bearer", "description": "The secret of one of `[api] keys`.",
        }});
        document["security"] = json!([{ "key": [] }]);
    }
    document["components"] = components;
    document
}

fn describe_operation(
    operation: &Operation,
    schemas: &mut SchemaGenerator,
    needs_key: bool,
) -> Value {
    let mut parameters = path_parameters(operation.action);
    parameters.extend(operation.query.iter().map(|name| query_parameter(name)));
    let mut described = json!({
        "operationId": name(operation.action),
        "summary": operation.summary,
        "description": operation.description,
        "responses": errors(operation, needs_key),
    });
    described["responses"]["200"] = good_answer(operation.action, schemas);
    if operation.action == Action::Publish {
        described["requestBody"] = publish_body();
        parameters.push(idempotency_key());
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    described
}

fn name(action: Action) -> String {
    format!("{action:?}")
}

fn good_answer(action: Action, schemas: &mut SchemaGenerator) -> Value {
    let one = json!({ "seq": 42, "receivers": 3 });
    let (means, schema, example) = match action {
        Action::Publish => {
            let published = schema::<Published>(schemas);
            let several = json!({ "type": "array", "items": published,
                "minItems": 1, "maxItems": BATCH_MAX });
            let content = json!({
                "schema": { "oneOf": [published, several] },
                "examples": {
                    "one": { "value": one },
                    "several": { "value": [one, { "seq": 43, "receivers": 0 }] },
                },
            });
            let replayed = json!({ "schema": { "const": "true" }, "description":
                "The answer of an earlier request with the same `Idempotency-Key`." });
            return json!({
                "description": "Published; for an array an array of the same order.",
                "headers": { "Idempotency-Replayed": replayed },
                "content": { "application/json": content },
            });
        }
        Action::ListConnections => {
            let example = json!({ "connections": [example_connection()], "next": null });
            let first = json!({ "id": "$response.body#/connections/0/id" });
            let link = |action| json!({ "operationId": name(action), "parameters": first });
            let schema = schema::<Connections>(schemas);
            return json!({
                "description": "Open connections.",
                "content": { "application/json": { "schema": schema, "example": example } },
                "links": {
                    "look": link(Action::GetConnection),
                    "disconnect": link(Action::Disconnect),
                },
            });
        }
        Action::GetConnection => {
            ("The connection.", schema::<Connection>(schemas), example_connection())
        }
        Action::Disconnect | Action::DisconnectUser => {
            let example = json!({ "disconnected": 1 });
            ("How many were told to end.", schema::<Disconnected>(schemas), example)
        }
        Action::Stats => ("The gateway now.", schema::<Stats>(schemas), example_stats()),
        Action::Openapi => {
            ("An OpenAPI document.", json!({ "type": "object" }), json!({ "openapi": "3.1.0" }))
        }
    };
    json!({
        "description": means,
        "content": { "application/json": { "schema": schema, "example": example } },
    })
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    let schema: Schema = schemas.subschema_for::<T>();
    schema.to_value()
}

/// One entry for each status; a status may stand for several codes.
fn errors(operation: &Operation, needs_key: bool) -> Value {
    let access = if needs_key { KEYED_CODES } else { KEYLESS_CODES };
    let codes = [operation.codes, COMMON_CODES, access].concat();
    let mut errors = Map::new();
    for code in &codes {
        let status = code.status().as_str().to_owned();
        let entry = errors.entry(status).or_insert_with(|| {
            let schema = json!({ "$ref": "#/components/schemas/ErrorAnswer" });
            json!({ "description": "", "headers": headers(*code),
                "content": { "application/json": { "schema": schema, "examples": {} } } })
        });
        let line = format!("`{}`: {}", code.as_str(), code.means());
        let before = entry["description"].as_str().unwrap_or_default();
        let lines = if before.is_empty() { line } else { format!("{before}\n\n{line}") };
        entry["description"] = lines.into();
        let example = json!({ "error": { "code": code.as_str(), "message": code.means() } });
        entry["content"]["application/json"]["examples"][code.as_str()] =
            json!({ "value": example });
    }
    errors.into()
}

fn headers(code: Code) -> Value {
    let text = |means: &str| json!({ "description": means, "schema": { "type": "string" } });
    match code {
        Code::Unauthorized => json!({ "WWW-Authenticate": text("The scheme: Bearer.") }),
        Code::Congested | Code::ShuttingDown => {
            json!({ "Retry-After": text("Seconds; sent with `congested`.") })
        }
        _ => json!({}),
    }
}

fn example_connection() -> Value {
    json!({
        "id": UUID_EXAMPLE, "endpoint": "/ws", "user": "42", "remote": "203.0.113.7:50314",
        "request_id": "4f00c2d6a1b34c5e8f7a9b0c1d2e3f40",
        "nginx": { "host": "edge-1", "pid": 4711, "connection": 90210 },
        "opened_at": "2026-03-01T12:34:56.789Z",
        "age_seconds": 61.5, "idle_seconds": 1.25, "last_rtt_seconds": 0.018, "state": "open",
        "extensions": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "messages_in": 0, "messages_out": 12, "payload_bytes_in": 0, "payload_bytes_out": 3072,
        "wire_bytes_in": 30, "wire_bytes_out": 1480, "queued_bytes": 0,
    })
}

fn example_stats() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "unknown", "uptime_seconds": 86_400.5,
        "stage": "serving", "seq": 42, "shards": 2, "users": 1,
        "connections": { "total": 1, "by_endpoint": { "/ws": 1, "/ws-notifications": 0 } },
        "queues": { "backlogged_connections": 0, "bytes": 0, "max_bytes": 0 },
    })
}
