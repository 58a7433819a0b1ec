//! The demo page, `GET /demo`: one HTML file on the wire, which connects to this gateway's own endpoints.
//!
//! Everything it needs is inside, and its `Content-Security-Policy` admits nothing else: script and
//! style by their hashes, sockets as the only way out.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Gateway;
use crate::config::Inbound;
use crate::handshake::{EndpointPolicy, Endpoints};

/// Holds `{{style}}`, `{{endpoints}}`, `{{admin}}` and `{{script}}`.
const TEMPLATE: &str = include_str!("demo/page.html");
const STYLE: &str = include_str!("demo/page.css");
const SCRIPT: &str = concat!(include_str!("demo/close_codes.js"), include_str!("demo/page.js"));

/// Nothing but the page's own script and style runs, even if a name of an endpoint or a message
/// found a way into its markup; `require-trusted-types-for` makes `innerHTML` and its like throw.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; \
         connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// `/demo`, with and without a trailing slash. The page is written anew for each request, so that it
/// offers the endpoints as they are.
pub(super) fn routes(gateway: &Arc<Gateway>) -> Router {
    let gateway = Arc::clone(gateway);
    let demo = move || async move {
        let live = gateway.live();
        answer(&live.endpoints, live.config.server.admin_listen)
    };
    Router::new().route("/demo", get(demo.clone())).route("/demo/", get(demo))
}

fn answer(endpoints: &Endpoints, admin: SocketAddr) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page(endpoints, admin)).into_response()
}

fn page(endpoints: &Endpoints, admin: SocketAddr) -> String {
    let mut pieces = TEMPLATE.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    // In one pass: a marker in what was filled in is text.
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").expect("each marker of the template is closed");
        match name {
            "style" => page += STYLE,
            "script" => page += SCRIPT,
            "admin" => page += &admin_from_its_machine(admin),
            "endpoints" => endpoints.iter().for_each(|endpoint| add_option(&mut page, endpoint)),
            other => unreachable!("the template has no marker {other}"),
        }
        page += rest;
    }
    page
}

/// What the endpoint does, for the script to read and for people to see.
fn add_option(page: &mut String, endpoint: &EndpointPolicy) {
    let path = escaped(&endpoint.path);
    let (returns, does) = match endpoint.inbound {
        Inbound::Ignore => {
            ("", "Takes messages and does nothing with them; it is there for pushes.")
        }
        Inbound::Echo => ("echo", "Sends every message back to you."),
        Inbound::Broadcast => ("broadcast", "Sends every message to everybody here, you included."),
    };
    let max_bytes = endpoint.max_message_bytes;
    let user = if endpoint.require_user { " data-needs-user" } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\n<option value=\"{path}\" data-returns=\"{returns}\" data-does=\"{does}\" \
         data-max-bytes=\"{max_bytes}\"{user}>{path}</option>"
    );
}

/// The admin listener's address as seen from the gateway's own machine. A public page must not tell
/// the addresses of a private network: any other is left for the reader to fill in.
fn admin_from_its_machine(admin: SocketAddr) -> String {
    let port = admin.port();
    if admin.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()
    } else if admin.ip().is_loopback() {
        admin.to_string()
    } else {
        format!("GATEWAY:{port}")
    }
}

/// For text and for attributes in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn page_of(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        page(&Endpoints::compile(&config), config.server.admin_listen)
    }

    #[test]
    fn each_endpoint_is_offered_with_what_it_does() {
        let page = page_of(|config| config.endpoints[0].max_message_bytes = Some(1000));
        for expected in [
            "<option value=\"/ws-notifications\" data-returns=\"echo\" data-does=\"Sends every \
             message back to you.\" data-max-bytes=\"1000\">/ws-notifications</option>",
            "<option value=\"/ws\" data-returns=\"broadcast\"",
            "data-max-bytes=\"65536\" data-needs-user>/im</option>",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
    }

    #[test]
    fn a_path_cannot_leave_its_attribute() {
        let page = page_of(|config| config.endpoints[0].path = "/\"><img src=x>&{{script}}".into());
        assert!(page.contains("value=\"/&quot;&gt;&lt;img src=x&gt;&amp;{{script}}\""));
        assert!(!page.contains("<img"));
    }

    #[test]
    fn nothing_of_the_template_is_left_over() {
        let page = page_of(|_| {});
        assert!(!page.contains("{{"));
        // What the browser hashes ends at the first closing tag.
        for (text, tag) in [(SCRIPT, "</script"), (STYLE, "</style")] {
            assert!(page.contains(text) && !text.to_lowercase().contains(tag), "{tag}");
        }
    }

    #[test]
    fn the_page_does_not_tell_private_addresses() {
        let check = |admin: &str, shown: &str| {
            assert_eq!(admin_from_its_machine(admin.parse().unwrap()), shown, "{admin}");
        };
        check("127.0.0.1:8081", "127.0.0.1:8081");
        check("[::1]:8081", "[::1]:8081");
        check("0.0.0.0:9000", "127.0.0.1:9000");
        check("[::]:9000", "127.0.0.1:9000");
        check("10.1.2.3:9000", "GATEWAY:9000");
    }
}
