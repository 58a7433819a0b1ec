//! Requests to the API over one kept connection.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Answer, Gateway, Raw, wait_for};

/// A backend that calls the API.
pub struct Api {
    pub raw: Raw,
    host: String,
    headers: String,
}

impl Api {
    /// Connects.
    #[track_caller]
    pub fn of(gateway: &Gateway) -> Self {
        Self::at(gateway.admin)
    }

    /// Connects to an admin listener.
    #[track_caller]
    pub fn at(admin: SocketAddr) -> Self {
        Self { raw: Raw::connect(admin), host: admin.to_string(), headers: String::new() }
    }

    /// Every later request carries this header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// Every later request has this `Host`.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The bytes of a request; JSON if it has a body.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> String {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{}", self.host, self.headers);
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            let length = body.len().to_string();
            request.extend(["Content-Type: application/json\r\nContent-Length: ", &length, "\r\n"]);
        }
        request + "\r\n" + body
    }

    /// One request and its answer.
    #[track_caller]
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.raw.send(self.request(method, path, body, &[]).as_bytes());
        self.raw.read_answer()
    }

    /// One that must succeed; its JSON.
    #[track_caller]
    pub fn well(&mut self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.call(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// A publication, or several, that must succeed.
    #[track_caller]
    pub fn publish(&mut self, body: &Value) -> Value {
        self.well("POST", "/api/v1/publish", &body.to_string())
    }

    /// A publication with an `Idempotency-Key`.
    #[track_caller]
    pub fn publish_with_key(&mut self, key: &str, body: &Value) -> Answer {
        let headers = [("Idempotency-Key", key)];
        let request = self.request("POST", "/api/v1/publish", &body.to_string(), &headers);
        self.raw.send(request.as_bytes());
        self.raw.read_answer()
    }
}

/// The first log line with this message, when it has come.
#[track_caller]
pub fn first_line(gateway: &Gateway, message: &str) -> Value {
    wait_for(message, || gateway.log(message).into_iter().next())
}

impl Answer {
    /// Expects an error of this status and code that has a message; the field that it names, or "".
    #[track_caller]
    pub fn refused(&self, what: &str, status: u16, code: &str) -> String {
        let error = self.error();
        assert_eq!((self.status, error["code"].as_str()), (status, Some(code)), "{what}: {self:?}");
        assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{what}: {error}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{what}");
        error["field"].as_str().unwrap_or_default().to_owned()
    }
}
