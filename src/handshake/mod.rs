//! From an upgrade request to a [`Ticket`] or a [`Refusal`].
//!
//! [`examine`] judges one request head by RFC 6455 §4.2.1 and by the policy of its endpoint; it is
//! pure, so that every refusal can be tested as a row of a table. What outlives the request is the
//! ticket's [`Identity`]: who is connected, from where, and by which nginx connection.
//! [`Admission`] is the one thing here that is shared: how many connections may be open.
//!
//! The order for a caller: [`Endpoints::find`], [`examine`], [`Admission::admit`] with the address
//! that the ticket names, then [`Ticket::response`]. A bad request thus never takes a place.

mod admission;
mod authority;
mod endpoints;
mod error_answer;
mod examine;
mod forwarded;
mod origin;
mod refusal;
mod ticket;
mod user;

#[cfg(test)]
mod tests;

pub use admission::{Admission, Permit};
pub use endpoints::{EndpointPolicy, Endpoints};
pub use error_answer::ErrorAnswer;
pub use examine::examine;
pub use forwarded::{ClientOrigin, NginxHop, Proxies};
pub use origin::AllowedOrigins;
pub use refusal::Refusal;
pub use ticket::{Identity, Ticket};
pub use user::{USER_BYTES_MAX, check_user, decode as decode_form};

use http::{HeaderMap, HeaderValue, header::HeaderName};

/// How often a header that may stand once was sent.
enum Occurrence<'h> {
    Absent,
    Once(&'h HeaderValue),
    Repeated,
}

impl<'h> Occurrence<'h> {
    fn of(headers: &'h HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}
