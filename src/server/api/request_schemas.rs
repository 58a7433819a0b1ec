//! What requests look like, for the API's description: parameters and the publish body.
//!
//! Written by hand, since the rules are finer than the types; tests hold them against the reader.

use serde_json::{Value, json};

use super::connections::{CODE_DEFAULT, LIMIT_DEFAULT, LIMIT_MAX, REASON_BYTES_MAX};
use super::operations::Action;
use super::publish::IDEMPOTENCY_KEY_CHARS_MAX;
use super::written::BATCH_MAX;
use crate::handshake::USER_BYTES_MAX;

/// Text that is no control character (U+0000 to U+001F, U+007F to U+009F).
const USER_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// Whole groups, then what one or two bytes leave over, with or without padding.
const BASE64_PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]={0,2}|\
                              [A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?$";
/// An id, for examples.
pub(super) const UUID_EXAMPLE: &str = "0198f3a0-7c1b-7d3e-9a4f-2b6c8d0e1f35";

/// The schemas that the others refer to by name.
pub(super) fn named(endpoints: &[String]) -> [(&'static str, Value); 4] {
    [
        ("Publication", publication()),
        ("Target", target(endpoints)),
        ("EndpointPath", endpoint(endpoints)),
        ("User", user()),
    ]
}

pub(super) fn path_parameters(action: Action) -> Vec<Value> {
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

pub(super) fn query_parameter(name: &str) -> Value {
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

pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": { "type": "string", "pattern": "^[!-~]+$",
            "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX },
        "description": "Sent again with the same body within ten minutes, the request publishes \
            nothing and gets the same answer again.",
        "example": "order-4711-shipped",
    })
}

pub(super) fn publish_body() -> Value {
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

/// JSON Schema counts characters, of which not so many fit if they are not ASCII: the description
/// says so.
fn user() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": USER_BYTES_MAX, "pattern": USER_PATTERN,
        "description": format!(
            "A user's name: 1 to {USER_BYTES_MAX} bytes of UTF-8 without control characters.") })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}
