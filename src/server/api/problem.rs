//! What can be wrong with a request: the closed list of codes, and the JSON that tells it.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::handshake::ErrorAnswer;

/// One table: variant, code, status, what it means.
macro_rules! codes {
    ($($variant:ident => $code:literal, $status:ident, $means:literal;)+) => {
        /// The `code` of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $(#[doc = $means] $variant,)+ }

        impl Code {
            /// As it stands in the answer.
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// For the API's description.
            pub(super) const fn means(self) -> &'static str {
                match self { $(Self::$variant => $means,)+ }
            }
        }
    };
}

codes! {
    BadJson => "bad_json", BAD_REQUEST, "The body is not JSON, or not UTF-8.";
    BadPublication => "bad_publication", BAD_REQUEST, "A field of the body is wrong; nothing was published.";
    UnknownEndpoint => "unknown_endpoint", BAD_REQUEST, "The configuration has no endpoint at this path.";
    BadParameter => "bad_parameter", BAD_REQUEST, "A parameter of the path or the query is wrong or unknown.";
    BadHeader => "bad_header", BAD_REQUEST, "A header is wrong.";
    Incomplete => "incomplete_body", BAD_REQUEST, "The body ended before its end.";
    Unauthorized => "unauthorized", UNAUTHORIZED, "No key was sent, or none that is known.";
    ForbiddenHost => "forbidden_host", FORBIDDEN, "Without keys: `Host` is neither an IP address nor `localhost`.";
    ForbiddenOrigin => "forbidden_origin", FORBIDDEN, "Without keys: a web page of another origin sent the request.";
    NotFound => "not_found", NOT_FOUND, "There is nothing at this path, or no such connection.";
    BadMethod => "bad_method", METHOD_NOT_ALLOWED, "The path does not answer this method; `Allow` lists those that it does.";
    BodyTimeout => "body_timeout", REQUEST_TIMEOUT, "The body did not come within 10 seconds.";
    BodyTooLarge => "body_too_large", PAYLOAD_TOO_LARGE, "The body is larger than `api.max_body_bytes`.";
    PublicationTooLarge => "publication_too_large", PAYLOAD_TOO_LARGE, "The message does not fit into a receiver's queue, `limits.send_queue_bytes`.";
    BadContentType => "bad_content_type", UNSUPPORTED_MEDIA_TYPE, "The body is not declared as `application/json`.";
    IdempotencyMismatch => "idempotency_mismatch", UNPROCESSABLE_ENTITY, "The `Idempotency-Key` was sent before with another request.";
    ShuttingDown => "shutting_down", SERVICE_UNAVAILABLE, "The gateway is ending; nothing was published.";
    Congested => "congested", SERVICE_UNAVAILABLE, "The gateway was behind for 5 seconds; nothing was published. Try again after `Retry-After`.";
    NoAnswer => "no_answer", SERVICE_UNAVAILABLE, "A part of the gateway did not answer within 5 seconds.";
    InternalError => "internal_error", INTERNAL_SERVER_ERROR, "A defect of the gateway; it is logged.";
}

/// Why a request got no other answer.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    message: String,
    field: Option<String>,
    hint: Option<String>,
    /// Boxed, since few have one and every answer passes through this type's `Result`.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, hint: None, header: None }
    }

    pub(super) fn field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> Code {
        self.code
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn response(&self) -> Response<Body> {
        let Self { code, message, field, hint, header } = self;
        let answer = ErrorAnswer::new(code.as_str(), message, field.as_deref(), hint.as_deref());
        let mut response = json(code.status(), &answer);
        if let Some((name, value)) = header.as_deref() {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(body).expect("texts and numbers always become JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What it says is about this moment, and for whoever has the key.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
