//! What an upgrade request earns: its answer, and the identity that the connection keeps.

use std::net::IpAddr;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use uuid::Uuid;

use super::forwarded::{ClientOrigin, NginxHop};
use crate::telemetry::EndpointIndex;
use crate::wire::Deflate;

/// A good upgrade request. Move [`Self::identity`] out once the response is made: the rest has
/// then done its work.
#[derive(Debug)]
pub struct Ticket {
    /// Who is connected.
    pub identity: Identity,
    /// permessage-deflate as answered to the client; `None`: messages go plain.
    pub deflate: Option<Deflate>,
    /// `Sec-WebSocket-Accept`: base64 of a SHA-1, always ASCII.
    pub(super) accept_key: [u8; 28],
}

/// Who is connected, for as long as the connection lives: 72 bytes and at most one allocation.
///
/// The three texts lie behind each other in one string; three strings would cost two more
/// allocations and some 70 bytes more on each of many thousand idle connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The connection's id.
    pub id: Uuid,
    /// The endpoint it is connected to.
    pub endpoint: EndpointIndex,
    address: IpAddr,
    /// 0: not known. No client has that port.
    port: u16,
    /// User, request id and nginx host, of which each may be empty.
    texts: Box<str>,
    user_bytes: u8,
    request_id_bytes: u8,
    /// 0: no nginx. No worker has that pid.
    nginx_pid: u32,
    nginx_connection: u64,
}

impl Ticket {
    /// The 101 (RFC 6455 §4.2.2), with the empty body of whichever HTTP library asks.
    pub fn response<B: Default>(&self) -> Response<B> {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept_key = HeaderValue::from_bytes(&self.accept_key);
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept_key.expect("base64 is visible ASCII"));
        if let Some(deflate) = &self.deflate {
            let answer = HeaderValue::try_from(deflate.to_string());
            let answer = answer.expect("extension parameters are visible ASCII and spaces");
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, answer);
        }
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }
}

impl Identity {
    /// Copies what is kept. A text over 255 bytes is cut, which the limits of user (128), request
    /// id (128) and nginx host (255) rule out for a request that was examined.
    pub fn new(
        id: Uuid,
        endpoint: EndpointIndex,
        user: Option<&str>,
        client: ClientOrigin<'_>,
    ) -> Self {
        let ClientOrigin { address, port, request_id, nginx } = client;
        let user = cut(user.unwrap_or_default());
        let request_id = cut(request_id.unwrap_or_default());
        let host = cut(nginx.map_or("", |hop| hop.host));
        Self {
            id,
            endpoint,
            address,
            port: port.unwrap_or(0),
            texts: [user, request_id, host].concat().into(),
            user_bytes: user.len() as u8,
            request_id_bytes: request_id.len() as u8,
            nginx_pid: nginx.map_or(0, |hop| hop.pid),
            nginx_connection: nginx.map_or(0, |hop| hop.connection),
        }
    }

    /// The user it belongs to, 1 to 128 bytes without control characters.
    pub fn user(&self) -> Option<&str> {
        let (user, _, _) = self.texts();
        Some(user).filter(|user| !user.is_empty())
    }

    /// Where it comes from.
    pub fn client(&self) -> ClientOrigin<'_> {
        let (_, request_id, host) = self.texts();
        ClientOrigin {
            address: self.address,
            port: Some(self.port).filter(|port| *port != 0),
            request_id: Some(request_id).filter(|id| !id.is_empty()),
            nginx: (self.nginx_pid != 0).then_some(NginxHop {
                host,
                pid: self.nginx_pid,
                connection: self.nginx_connection,
            }),
        }
    }

    /// Bytes on the heap that it holds, for the accounting of memory per connection.
    pub fn heap_bytes(&self) -> usize {
        self.texts.len()
    }

    fn texts(&self) -> (&str, &str, &str) {
        let (user, rest) = self.texts.split_at(usize::from(self.user_bytes));
        let (request_id, host) = rest.split_at(usize::from(self.request_id_bytes));
        (user, request_id, host)
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(usize::from(u8::MAX))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: Option<&str>, client: ClientOrigin<'_>) {
        let identity = Identity::new(Uuid::nil(), EndpointIndex(3), user, client);
        assert_eq!(identity.user(), user);
        assert_eq!(identity.client(), client);
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let bare = ClientOrigin {
            address: IpAddr::from([1, 2, 3, 4]),
            port: None,
            request_id: None,
            nginx: None,
        };
        let hop = NginxHop { host: "edge-1", pid: 4711, connection: u64::MAX };
        check(None, bare);
        check(Some("k\u{f6}nig"), bare);
        for request_id in [None, Some("4f00c2"), Some(&*"x".repeat(128))] {
            for nginx in [None, Some(hop)] {
                let client = ClientOrigin { port: Some(4711), request_id, nginx, ..bare };
                check(None, client);
                check(Some(&"u".repeat(128)), client);
            }
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let client = ClientOrigin {
            address: IpAddr::from([1, 2, 3, 4]),
            port: None,
            request_id: Some(&*"r".repeat(300)),
            nginx: None,
        };
        let user = "\u{f6}".repeat(200);
        let identity = Identity::new(Uuid::nil(), EndpointIndex(0), Some(&user), client);
        assert_eq!(identity.user().unwrap().len(), 254);
        assert_eq!(identity.client().request_id.unwrap().len(), 255);
    }

    #[test]
    fn an_identity_stays_small() {
        assert_eq!(size_of::<Identity>(), 72);
    }
}
