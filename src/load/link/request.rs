//! The upgrade request (RFC 6455 §4.1), made once but for its key and its number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::scratch;
use super::url::Url;
use crate::load::Scenario;
use crate::wire;

/// Headers that the upgrade is made of; a second one of them would be a request of two minds.
const OURS: [&str; 8] = [
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "content-length",
    "transfer-encoding",
];

/// Everything of a request that is the same for all connections.
pub(super) struct Template {
    url: Url,
    /// From behind the request line to the key.
    before_key: String,
}

impl Template {
    /// Refuses headers that would not be headers; the error names the flag.
    pub fn new(scenario: &Scenario, url: Url) -> Result<Self, String> {
        let given =
            |name: &str| scenario.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let mut head = String::from(" HTTP/1.1\r\n");
        let mut push = |name: &str, value: &str| {
            head.extend([name, ": ", value, "\r\n"]);
        };
        if !given("host") {
            push("Host", &url.authority());
        }
        push("Connection", "Upgrade");
        push("Upgrade", "websocket");
        push("Sec-WebSocket-Version", "13");
        if scenario.compression {
            push("Sec-WebSocket-Extensions", wire::offer(super::answer::DEFLATE));
        }
        if !scenario.subprotocols.is_empty() {
            check_subprotocols(&scenario.subprotocols)?;
            push("Sec-WebSocket-Protocol", &scenario.subprotocols.join(", "));
        }
        if let Some(token) = &scenario.token {
            let token = token.reveal();
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("the token of --token-file is empty, or holds what no header may: \
                            write it on one line, in visible ASCII"
                    .to_owned());
            }
            if given("authorization") {
                return Err("--header Authorization and --token-file are two answers to one \
                            question: leave one out"
                    .to_owned());
            }
            push("Authorization", &format!("Bearer {token}"));
        }
        if !given("user-agent") {
            push("User-Agent", concat!("gaugeway-load/", env!("CARGO_PKG_VERSION")));
        }
        for (name, value) in &scenario.headers {
            check_header(name, value)?;
            push(name, value);
        }
        head.push_str("Sec-WebSocket-Key: ");
        Ok(Self { url, before_key: head })
    }

    /// The request of connection `number`, and its key, which the answer must know.
    pub fn write(&self, number: u32) -> (Vec<u8>, String) {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&scratch::random().to_ne_bytes());
        nonce[8..].copy_from_slice(&scratch::random().to_ne_bytes());
        let key = BASE64.encode(nonce);
        let mut request = String::with_capacity(self.before_key.len() + 256);
        request.push_str("GET ");
        self.url.write_target(number, &mut request);
        request.extend([self.before_key.as_str(), key.as_str(), "\r\n\r\n"]);
        (request.into_bytes(), key)
    }
}

pub(in crate::load) fn check_subprotocols(subprotocols: &[String]) -> Result<(), String> {
    for (index, name) in subprotocols.iter().enumerate() {
        if !is_token(name) {
            let name = name.escape_debug();
            return Err(format!(
                "--subprotocol '{name}' is no token: letters, digits and -._~ are"
            ));
        }
        // RFC 6455 §4.1, item 10: each is unique.
        if subprotocols[..index].contains(name) {
            return Err(format!("--subprotocol {name} is given twice: leave one out"));
        }
    }
    Ok(())
}

/// What goes into a request as it is must not be able to end its line, or the head.
pub(in crate::load) fn check_header(name: &str, value: &str) -> Result<(), String> {
    let shown = name.escape_debug();
    if !is_token(name) {
        return Err(format!(
            "--header '{shown}': this is no name of a header: write 'Name: value'"
        ));
    }
    if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        return Err(format!(
            "--header {shown}: the load client writes this one itself; extensions and \
             subprotocols are asked for by --compression and --subprotocol"
        ));
    }
    let allowed = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
    if !value.bytes().all(allowed) || value.trim_ascii() != value {
        return Err(format!(
            "--header {shown}: its value holds a control character, non-ASCII, or blanks at an \
             end: write one line of visible ASCII"
        ));
    }
    Ok(())
}

/// A token of RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(tchar)
}
