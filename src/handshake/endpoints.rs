//! The endpoints as the handshake needs them: compiled once from the configuration.

use super::origin::AllowedOrigins;
use crate::config::{Config, Inbound};
use crate::telemetry::EndpointIndex;
use crate::wire::DeflatePolicy;

/// Every path that speaks WebSocket.
#[derive(Debug, Clone)]
pub struct Endpoints(Box<[EndpointPolicy]>);

/// One endpoint with the general settings filled in where it has none of its own.
#[derive(Debug, Clone)]
pub struct EndpointPolicy {
    /// Its place in [`Endpoints`].
    pub index: EndpointIndex,
    /// As configured; the label value of metrics.
    pub path: Box<str>,
    /// What a plain client's message does.
    pub inbound: Inbound,
    /// Refuse a client that does not name its user.
    pub require_user: bool,
    /// Refuse a client that does not offer an acceptable permessage-deflate.
    pub require_compression: bool,
    /// Bytes of a message's payload, after inflating.
    pub max_message_bytes: usize,
    /// The pages that may connect.
    pub origins: AllowedOrigins,
    /// `None`: compression is off, every offer is declined.
    pub deflate: Option<DeflatePolicy>,
}

impl Endpoints {
    /// Resolves what each endpoint inherits.
    pub fn compile(config: &Config) -> Self {
        let compression = &config.compression;
        let policies = config.endpoints.iter().enumerate().map(|(index, endpoint)| {
            let origins = &endpoint.allowed_origins;
            let takeover = endpoint.context_takeover;
            EndpointPolicy {
                index: EndpointIndex(u16::try_from(index).expect("fewer than 65,536 endpoints")),
                path: endpoint.path.as_str().into(),
                inbound: endpoint.inbound,
                require_user: endpoint.require_user,
                require_compression: endpoint.require_compression,
                max_message_bytes: endpoint
                    .max_message_bytes
                    .unwrap_or(config.limits.max_message_bytes),
                origins: AllowedOrigins::compile(
                    origins.as_deref().unwrap_or(&config.auth.allowed_origins),
                ),
                deflate: compression.enabled.then_some(DeflatePolicy {
                    context_takeover: takeover.unwrap_or(compression.context_takeover),
                }),
            }
        });
        Self(policies.collect())
    }

    /// The endpoint at a request's path, written with or without a trailing slash. Paths compare
    /// byte by byte, still percent-encoded, as nginx' `location` was told to pass them on.
    pub fn find(&self, path: &str) -> Option<(EndpointIndex, &EndpointPolicy)> {
        let wanted = without_slash(path);
        let found = self.0.iter().find(|policy| without_slash(&policy.path) == wanted)?;
        Some((found.index, found))
    }

    /// The endpoint of an index that [`Self::find`] gave; `None` for one of another configuration.
    pub fn get(&self, index: EndpointIndex) -> Option<&EndpointPolicy> {
        self.0.get(usize::from(index.0))
    }

    /// The paths in the order of their indices: the label values of metrics.
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|policy| policy.path.to_string()).collect()
    }

    /// The endpoints in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &EndpointPolicy> {
        self.0.iter()
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::config;

    fn check(path: &str, expected: Option<&str>) {
        let endpoints = Endpoints::compile(&config());
        let found = endpoints.find(path).map(|(index, policy)| {
            assert_eq!(endpoints.get(index).unwrap().path, policy.path);
            &*policy.path
        });
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        check("/ws", Some("/ws"));
        check("/ws/", Some("/ws"));
        check("/strict/", Some("/strict"));
        check("/ws//", None);
        check("/WS", None);
        check("/ws-notifications", None);
        check("/ws/more", None);
        check("*", None);
    }

    #[test]
    fn the_root_can_be_an_endpoint() {
        let mut config = config();
        config.endpoints[0].path = "/".into();
        let endpoints = Endpoints::compile(&config);
        assert_eq!(endpoints.find("/").map(|(index, _)| index.0), Some(0));
        assert!(endpoints.find("/other").is_none());
    }

    #[test]
    fn an_endpoint_inherits_what_it_does_not_set() {
        let endpoints = Endpoints::compile(&config());
        let (_, ws) = endpoints.find("/ws").unwrap();
        assert_eq!(ws.max_message_bytes, 65_536);
        assert_eq!(ws.deflate.map(|policy| policy.context_takeover), Some(false));
        let (_, strict) = endpoints.find("/strict").unwrap();
        assert_eq!(strict.max_message_bytes, 100);
        assert_eq!(strict.deflate.map(|policy| policy.context_takeover), Some(true));
        assert_ne!(ws.origins, strict.origins);
        assert_eq!(endpoints.names(), ["/ws", "/im", "/strict", "/open"]);
        assert!(endpoints.get(EndpointIndex(9)).is_none());
    }
}
