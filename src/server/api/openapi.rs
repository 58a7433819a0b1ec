//! `GET /api/v1/openapi.json`: made from the table of operations, from the types of the answers, and
//! from the configuration in force.

use axum::http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::connections::{
    CODE_DEFAULT, Connections, Disconnected, LIMIT_DEFAULT, LIMIT_MAX, REASON_BYTES_MAX,
};
use super::operations::{Action, COMMON_CODES, KEYED_CODES, KEYLESS_CODES, OPERATIONS, Operation};
use super::problem::{self, Code, ErrorAnswer};
use super::publication::BATCH_MAX;
use super::publish::{IDEMPOTENCY_KEY_CHARS_MAX, Published};
use super::stats::Stats;
use super::view::Connection;
use super::{Answered, Call};
use crate::handshake::USER_BYTES_MAX;

/// Text that is no control character (U+0000 to U+001F, U+007F to U+009F).
const USER_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// Whole groups, then what one or two bytes leave over, with or without padding.
const BASE64_PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]={0,2}|\
                              [A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?$";
const UUID_EXAMPLE: &str = "0198f3a0-7c1b-7d3e-9a4f-2b6c8d0e1f35";

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
    components["schemas"]["Publication"] = publication();
    components["schemas"]["Target"] = target(endpoints);
    components["schemas"]["EndpointPath"] = endpoint(endpoints);
    components["schemas"]["User"] = user();
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
        "operationId": format!("{:?}", operation.action),
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
            ("Open connections.", schema::<Connections>(schemas), example)
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

fn path_parameters(action: Action) -> Vec<Value> {
    let parameter = |name: &str, schema: Value, means: &str, example: &str| {
        vec![json!({ "name": name, "in": "path", "required": true, "schema": schema,
            "description": means, "example": example })]
    };
    match action {
        Action::GetConnection | Action::Disconnect => {
            parameter("id", uuid(), "The id of a connection.", UUID_EXAMPLE)
        }
        Action::DisconnectUser => {
            let schema = json!({ "$ref": "#/components/schemas/User" });
            parameter("user", schema, "The user's name, percent-encoded.", "42")
        }
        Action::Publish | Action::ListConnections | Action::Stats | Action::Openapi => Vec::new(),
    }
}

fn query_parameter(name: &str) -> Value {
    let (schema, means) = match name {
        "endpoint" => (
            json!({ "$ref": "#/components/schemas/EndpointPath" }),
            "Only those of this endpoint.".to_owned(),
        ),
        "user" => {
            (json!({ "$ref": "#/components/schemas/User" }), "Only those of this user.".to_owned())
        }
        "limit" => (
            json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT }),
            "At most so many.".to_owned(),
        ),
        "after" => (uuid(), "Only those whose id is greater.".to_owned()),
        "code" => (
            json!({ "type": "integer", "default": CODE_DEFAULT,
                "anyOf": [{ "enum": [1000, 1008] }, { "minimum": 3000, "maximum": 4999 }] }),
            "The code of the Close frame.".to_owned(),
        ),
        "reason" => (
            json!({ "type": "string", "maxLength": REASON_BYTES_MAX }),
            format!("The reason in the Close frame, at most {REASON_BYTES_MAX} bytes of UTF-8."),
        ),
        // The table's own test sees to it that none is forgotten here.
        _ => (json!({}), String::new()),
    };
    json!({ "name": name, "in": "query", "required": false, "schema": schema,
        "description": means })
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": { "type": "string", "pattern": "^[!-~]+$",
            "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX },
        "description": "Sent again with the same body within ten minutes, the request publishes \
            nothing and gets the same answer again.",
        "example": "order-4711-shipped",
    })
}

fn publish_body() -> Value {
    let publication = json!({ "$ref": "#/components/schemas/Publication" });
    json!({
        "required": true,
        "content": { "application/json": {
            "schema": { "oneOf": [
                publication,
                { "type": "array", "items": publication, "minItems": 1, "maxItems": BATCH_MAX },
            ]},
            "examples": {
                "user": { "value": { "to": { "user": "42" }, "data": { "order": 4711 } } },
                "everyone": { "value": { "to": { "everyone": true }, "text": "hello" } },
                "several": { "value": [
                    { "to": { "user": "42" }, "text": "first" },
                    { "to": { "user": "42" }, "data_base64": "AAEC", "compress": false },
                ]},
            },
        }},
    })
}

fn publication() -> Value {
    let one = |payload: &str, schema: Value| {
        json!({
            "type": "object", "required": ["to", payload], "additionalProperties": false,
            "properties": {
                "to": { "$ref": "#/components/schemas/Target" },
                payload: schema,
                "compress": { "type": "boolean", "default": true, "description":
                    "false: it goes out plain to everybody." },
            },
        })
    };
    json!({
        "description": "A message and whom it is for. Receivers get the bare payload.",
        "oneOf": [
            one("data", json!({ "description": "Any JSON; it is sent as a text frame, as written." })),
            one("text", json!({ "type": "string", "description": "It is sent as a text frame." })),
            one("data_base64", json!({ "type": "string", "pattern": BASE64_PATTERN,
                "description": "Bytes in base64 (RFC 4648 §4), padded or not; a binary frame." })),
        ],
    })
}

fn target(endpoints: &[String]) -> Value {
    let one = |key: &str, schema: Value| {
        json!({ "type": "object", "required": [key], "additionalProperties": false,
            "properties": { key: schema } })
    };
    let first = endpoints.first().map_or("/", String::as_str);
    json!({
        "description": "All connections of a user, of an endpoint, or of the gateway.",
        "oneOf": [
            one("user", json!({ "$ref": "#/components/schemas/User" })),
            one("endpoint", json!({ "$ref": "#/components/schemas/EndpointPath" })),
            one("everyone", json!({ "const": true })),
        ],
        "examples": [{ "user": "42" }, { "endpoint": first }, { "everyone": true }],
    })
}

/// A path is known with and without a slash at its end.
fn endpoint(endpoints: &[String]) -> Value {
    let both = endpoints.iter().flat_map(|path| {
        let bare = path.strip_suffix('/').unwrap_or(path);
        [bare.to_owned(), format!("{bare}/")]
    });
    json!({ "type": "string", "enum": both.filter(|path| !path.is_empty()).collect::<Vec<_>>(),
        "description": "A configured endpoint." })
}

fn user() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": USER_BYTES_MAX,
        "pattern": USER_PATTERN, "description": format!(
            "A user's name: 1 to {USER_BYTES_MAX} bytes of UTF-8 without control characters.") })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
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
