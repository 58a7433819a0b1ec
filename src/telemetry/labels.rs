//! The closed vocabularies behind the label values. A label never carries what a client chose.

/// One table per vocabulary: variant, label value.
macro_rules! vocabulary {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $each:literal])* $variant:ident => $label:literal,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $each])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their declaration (= their discriminants).
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label's value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    )+};
}

vocabulary! {
    /// The label `direction`, seen from the gateway.
    Direction {
        /// From the client.
        In => "in",
        /// To the client.
        Out => "out",
    }

    /// How an upgrade request ended: the label `outcome`, and the `code` of a refusal's JSON body.
    Outcome {
        /// 101.
        Accepted => "accepted",
        /// 405: not `GET` (RFC 6455 §4.1).
        BadMethod => "bad_method",
        /// 400: `Connection` does not name `upgrade`.
        BadConnection => "bad_connection",
        /// 400: `Upgrade` does not name `websocket`.
        BadUpgrade => "bad_upgrade",
        /// 426: `Sec-WebSocket-Version` is not 13.
        BadVersion => "bad_version",
        /// 400: `Sec-WebSocket-Key` is not 16 bytes in base64, or not given once.
        BadKey => "bad_key",
        /// 400: `Host` is absent, doubled or malformed.
        BadHost => "bad_host",
        /// 400: older than HTTP/1.1.
        BadHttpVersion => "bad_http_version",
        /// 400: malformed in another way, a request body for instance.
        BadRequest => "bad_request",
        /// 403: the origin is not among the allowed ones.
        OriginRefused => "origin_refused",
        /// 400: the endpoint requires a user and none was named.
        UserRequired => "user_required",
        /// 400: the user's name is too long or malformed.
        BadUser => "bad_user",
        /// 400: the endpoint requires permessage-deflate.
        CompressionRequired => "compression_required",
        /// 503: `max_connections`.
        TooManyConnections => "too_many_connections",
        /// 429: `max_connections_per_ip`.
        TooManyConnectionsPerIp => "too_many_connections_per_ip",
        /// 503: the process is ending.
        ShuttingDown => "shutting_down",
        /// The request's head did not come in time.
        HeaderTimeout => "header_timeout",
        /// 431: the request's head is too large.
        HeaderTooLarge => "header_too_large",
        /// 400: not HTTP.
        UnreadableRequest => "unreadable_request",
        /// 404: an upgrade request on a path that is no endpoint.
        NotFound => "not_found",
        /// The client left between its request and the 101.
        Aborted => "aborted",
        /// 500: a defect of the gateway.
        InternalError => "internal_error",
    }

    /// What a pong answers: the label `kind`.
    PongKind {
        /// The outstanding ping, in time: gives an RTT.
        Matched => "matched",
        /// One of our pings, after the connection had been given up for it.
        Late => "late",
        /// No ping of ours (RFC 6455 §5.5.3 allows it as a heartbeat of the client).
        Unsolicited => "unsolicited",
    }

    /// Why no TCP connection could be accepted: the label `reason`.
    AcceptFailure {
        /// `EMFILE`, `ENFILE`: no file descriptor left.
        FileLimit => "file_limit",
        /// `ENOBUFS`, `ENOMEM`.
        Memory => "memory",
        /// `ECONNABORTED` and its like: the client left the backlog before it was accepted.
        Aborted => "aborted",
        /// As many sockets are open as there is room for; accepting goes on when one has ended.
        NoRoom => "no_room",
        /// Anything else.
        Other => "other",
    }

    /// Why an HTTP connection ended outside a request and its answer: the label `reason`. A head
    /// that is late, too large or unreadable is an [`Outcome`] instead.
    HttpFailure {
        /// The socket failed.
        Io => "io",
        /// The client left in the middle of a request.
        Incomplete => "incomplete",
        /// Anything else.
        Other => "other",
    }

    /// Where a publication came from: the label `source`.
    Source {
        /// What a client sent on an endpoint with `inbound = "broadcast"`.
        Client => "client",
        /// The publish API.
        Api => "api",
    }

    /// Why a receiver did not get a publication: the label `reason`.
    DropReason {
        /// There was no room in the receiver's queue.
        QueueOverflow => "queue_overflow",
        /// The receiver's connection was closing already.
        Closing => "closing",
        /// It was queued, and thrown away when the receiver's connection ended: it is among the
        /// deliveries too.
        Unsent => "unsent",
    }

    /// How a reload of the configuration ended: the label `outcome`.
    ReloadOutcome {
        /// All that had changed is in force.
        Applied => "applied",
        /// Nothing had changed.
        Unchanged => "unchanged",
        /// Something of what had changed needs a restart.
        Partial => "partial",
        /// The new configuration is invalid or unreadable; the old one stays in force.
        Failed => "failed",
    }

    /// The routes of the admin listener: the label `route`.
    Route {
        /// Prometheus' page.
        Metrics => "/metrics",
        /// Is the process alive?
        HealthLive => "/health/live",
        /// May it have traffic?
        HealthReady => "/health/ready",
        /// Sends a publication.
        ApiPublish => "/api/v1/publish",
        /// The open connections.
        ApiConnections => "/api/v1/connections",
        /// One connection: look at it, or end it.
        ApiConnection => "/api/v1/connections/{id}",
        /// Ends the connections of a user.
        ApiUserConnections => "/api/v1/users/{user}/connections",
        /// Counts.
        ApiStats => "/api/v1/stats",
        /// The description of the API.
        ApiOpenapi => "/api/v1/openapi.json",
        /// No route.
        Unmatched => "unmatched",
    }

    /// HTTP methods: the label `method`.
    Method {
        /// GET.
        Get => "GET",
        /// HEAD.
        Head => "HEAD",
        /// POST.
        Post => "POST",
        /// PUT.
        Put => "PUT",
        /// DELETE.
        Delete => "DELETE",
        /// OPTIONS.
        Options => "OPTIONS",
        /// Whatever else a client makes up.
        Other => "other",
    }

    /// What panicked: the label `task`.
    TaskKind {
        /// One connection; the others of its shard go on.
        Connection => "connection",
        /// A shard: all of its connections are gone.
        Shard => "shard",
        /// A task of the control runtime.
        Control => "control",
    }

    /// The two kinds of tokio runtime: the label `runtime`.
    RuntimeKind {
        /// Owns connections.
        Shard => "shard",
        /// Admin API, signals, upkeep.
        Control => "control",
    }
}

impl Outcome {
    /// Whether it can happen to a request whose path is an endpoint.
    pub const fn is_of_an_endpoint(self) -> bool {
        !matches!(
            self,
            Self::NotFound | Self::HeaderTimeout | Self::HeaderTooLarge | Self::UnreadableRequest
        )
    }

    /// Whether it can happen to a request that is not known to be of an endpoint: one without a
    /// readable head, one on another path, or one that came to grief before it was looked up.
    pub const fn is_of_no_endpoint(self) -> bool {
        match self {
            Self::NotFound
            | Self::HeaderTimeout
            | Self::HeaderTooLarge
            | Self::UnreadableRequest
            | Self::TooManyConnections
            | Self::TooManyConnectionsPerIp
            | Self::ShuttingDown
            | Self::Aborted
            | Self::InternalError => true,
            Self::Accepted
            | Self::BadMethod
            | Self::BadConnection
            | Self::BadUpgrade
            | Self::BadVersion
            | Self::BadKey
            | Self::BadHost
            | Self::BadHttpVersion
            | Self::BadRequest
            | Self::OriginRefused
            | Self::UserRequired
            | Self::BadUser
            | Self::CompressionRequired => false,
        }
    }
}

impl Method {
    /// The label of a request's method.
    pub fn of(method: &str) -> Self {
        Self::ALL.iter().copied().find(|known| known.as_str() == method).unwrap_or(Self::Other)
    }
}

/// An endpoint's place in `TelemetryOptions::endpoints`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointIndex(pub u16);

impl EndpointIndex {
    /// No endpoint: the label `endpoint="unknown"`. Any index past the last endpoint means the same.
    pub const UNKNOWN: Self = Self(u16::MAX);
}

/// The value of the label `endpoint` for what belongs to none.
pub const UNKNOWN_ENDPOINT: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_unknown_method_makes_no_new_label() {
        assert_eq!(Method::of("GET"), Method::Get);
        assert_eq!(Method::of("get"), Method::Other);
        assert_eq!(Method::of("BREW\u{1b}"), Method::Other);
    }

    #[test]
    fn every_outcome_can_happen_somewhere() {
        for outcome in Outcome::ALL {
            assert!(outcome.is_of_an_endpoint() || outcome.is_of_no_endpoint(), "{outcome:?}");
        }
    }
}
