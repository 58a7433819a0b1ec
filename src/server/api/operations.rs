//! What the API can do, in one table: requests are dispatched by it, their parameters are checked
//! against it, and the API's description is made from it.

use axum::http::Method;

use super::problem::Code;
use crate::telemetry::labels::Route;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Publish,
    ListConnections,
    GetConnection,
    Disconnect,
    DisconnectUser,
    Stats,
    Openapi,
}

/// One method of one route.
pub(super) struct Operation {
    pub(super) action: Action,
    pub(super) method: Method,
    /// Its label is the path.
    pub(super) route: Route,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    /// The parameters of its query: any other is an error.
    pub(super) query: &'static [&'static str],
    /// The errors beside those that every operation has.
    pub(super) codes: &'static [Code],
}

/// The errors of every operation.
pub(super) const COMMON_CODES: &[Code] = &[Code::BadParameter];
/// Those where keys are needed, and where they are not.
pub(super) const KEYED_CODES: &[Code] = &[Code::Unauthorized];
pub(super) const KEYLESS_CODES: &[Code] = &[Code::ForbiddenHost, Code::ForbiddenOrigin];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        action: Action::Publish,
        method: Method::POST,
        route: Route::ApiPublish,
        summary: "Publish one message, or several",
        description: "To a user, an endpoint or everyone. A batch gets consecutive numbers, with \
            nothing between them; if one of its publications is wrong, nothing is published.",
        query: &[],
        codes: &[
            Code::BadJson,
            Code::BadPublication,
            Code::UnknownEndpoint,
            Code::BadHeader,
            Code::Incomplete,
            Code::BodyTimeout,
            Code::BodyTooLarge,
            Code::PublicationTooLarge,
            Code::BadContentType,
            Code::IdempotencyMismatch,
            Code::ShuttingDown,
            Code::Congested,
            Code::NoAnswer,
            Code::InternalError,
        ],
    },
    Operation {
        action: Action::ListConnections,
        method: Method::GET,
        route: Route::ApiConnections,
        summary: "List open connections",
        description: "In the order of their ids, which is that of their beginnings. Send `next` \
            as `after` for those that follow.",
        query: &["endpoint", "user", "limit", "after"],
        codes: &[Code::UnknownEndpoint, Code::NoAnswer],
    },
    Operation {
        action: Action::GetConnection,
        method: Method::GET,
        route: Route::ApiConnection,
        summary: "Look at one open connection",
        description: "One that has ended is not there any more.",
        query: &[],
        codes: &[Code::NotFound, Code::NoAnswer],
    },
    Operation {
        action: Action::Disconnect,
        method: Method::DELETE,
        route: Route::ApiConnection,
        summary: "Disconnect one connection",
        description: "It gets a Close frame, behind everything that was published to it before.",
        query: &["code", "reason"],
        codes: &[Code::NotFound, Code::NoAnswer, Code::InternalError],
    },
    Operation {
        action: Action::DisconnectUser,
        method: Method::DELETE,
        route: Route::ApiUserConnections,
        summary: "Disconnect all connections of a user",
        description: "Each gets a Close frame, behind everything that was published to it before.",
        query: &["code", "reason"],
        codes: &[Code::NoAnswer, Code::InternalError],
    },
    Operation {
        action: Action::Stats,
        method: Method::GET,
        route: Route::ApiStats,
        summary: "Counts",
        description: "What the gateway is, and what it holds at this moment.",
        query: &[],
        codes: &[Code::NoAnswer],
    },
    Operation {
        action: Action::Openapi,
        method: Method::GET,
        route: Route::ApiOpenapi,
        summary: "This description",
        description: "OpenAPI 3.1, with the endpoints and limits of this gateway.",
        query: &[],
        codes: &[],
    },
];

/// The route of a path, and what stands where the route has a parameter (still percent-encoded,
/// never empty).
pub(in crate::server) fn route_of(path: &str) -> (Route, &str) {
    let matching = Route::ALL.iter().find_map(|route| {
        let (template, mut parameter) = (route.as_str(), "");
        let mut segments = path.split('/');
        for wanted in template.split('/') {
            let segment = segments.next()?;
            if wanted.starts_with('{') && !segment.is_empty() {
                parameter = segment;
            } else if wanted != segment {
                return None;
            }
        }
        segments.next().is_none().then_some((*route, parameter))
    });
    // The label of `Unmatched` has no slash, as no path has.
    matching.unwrap_or((Route::Unmatched, ""))
}

/// The operation of a request; otherwise what `Allow` has to list. HEAD is GET without its body.
pub(super) fn find(route: Route, method: &Method) -> Result<&'static Operation, String> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let of_route = || OPERATIONS.iter().filter(|operation| operation.route == route);
    of_route().find(|operation| operation.method == method).ok_or_else(|| {
        let methods = of_route().map(|operation| match operation.method {
            Method::GET => "GET, HEAD",
            ref other => other.as_str(),
        });
        methods.collect::<Vec<_>>().join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_routes() {
        let check = |path: &str, expected| assert_eq!(route_of(path), expected, "{path}");
        check("/metrics", (Route::Metrics, ""));
        check("/api/v1/connections", (Route::ApiConnections, ""));
        check("/api/v1/connections/7", (Route::ApiConnection, "7"));
        check("/api/v1/users/a%2Fb/connections", (Route::ApiUserConnections, "a%2Fb"));
        for path in [
            "",
            "/",
            "*",
            "unmatched",
            "/unmatched",
            "/api/v1/connections/",
            "/api/v1/connections/7/",
            "/api/v1/connections/7/8",
            "/api/v1/users//connections",
            "/API/v1/stats",
            "//api/v1/stats",
        ] {
            check(path, (Route::Unmatched, ""));
        }
    }

    #[test]
    fn a_route_has_its_methods() {
        let action = |route, method| find(route, &method).map(|operation| operation.action);
        assert_eq!(action(Route::ApiStats, Method::HEAD), Ok(Action::Stats));
        assert_eq!(action(Route::ApiConnection, Method::DELETE), Ok(Action::Disconnect));
        assert_eq!(action(Route::ApiConnection, Method::PUT), Err("GET, HEAD, DELETE".to_owned()));
        assert_eq!(action(Route::ApiPublish, Method::GET), Err("POST".to_owned()));
    }
}
