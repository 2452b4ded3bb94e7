//! What the authority counts, through the `metrics` facade.
//!
//! Each label is of a closed set: slugs of MCP servers that exist, the grant types and error codes of the RFCs, and words
//! that stand here. Nothing a caller writes becomes a label.

use std::sync::OnceLock;
use std::time::Instant;

use ::oauth::Error;
use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::StatusCode;
use metrics::{Histogram, counter, histogram};
use wire::oauth::ErrorCode;

use crate::respond::Step;

const TOKEN_REQUESTS: &str = "portcullis_token_requests_total";
const REGISTRATIONS: &str = "portcullis_registrations_total";
const AUTHORIZATIONS: &str = "portcullis_authorizations_total";
const SIGN_INS: &str = "portcullis_sign_ins_total";
const REVOCATIONS: &str = "portcullis_revocations_total";
const INTROSPECTIONS: &str = "portcullis_introspections_total";
const GATEWAY_CALLS: &str = "portcullis_gateway_calls_reported_total";
const GATEWAYS_REFUSED: &str = "portcullis_gateway_requests_refused_total";
const FORMS_REFUSED: &str = "portcullis_forms_refused_total";
const REQUEST_DURATION: &str = "portcullis_request_duration_seconds";
const FEED_FAILURES: &str = "portcullis_policy_feed_failures_total";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[
    (
        TOKEN_REQUESTS,
        "Token requests: issued, or refused with an error",
    ),
    (
        REGISTRATIONS,
        "Client registrations: registered, repeated, waiting for the owner, or refused with an error",
    ),
    (
        AUTHORIZATIONS,
        "Steps of authorizations: asked, shown, consented, continued, denied, or refused with an error",
    ),
    (
        SIGN_INS,
        "Sign-ins: ok, failed, throttled, or refused with an error",
    ),
    (
        REVOCATIONS,
        "Revocations: ended, nothing to end, or refused with an error",
    ),
    (
        INTROSPECTIONS,
        "Introspections: active, inactive, or refused with an error",
    ),
    (
        GATEWAY_CALLS,
        "Calls that gateways elsewhere told of: recorded, or dropped there for want of room",
    ),
    (
        GATEWAYS_REFUSED,
        "Requests of gateways, for the policy feed and beside it, that were refused with an error",
    ),
    (
        FORMS_REFUSED,
        "Other forms of people that were refused with an error",
    ),
    (
        FEED_FAILURES,
        "Times that the policy feed could not be read from the store",
    ),
];

/// The histograms, in seconds.
pub const DURATIONS: &[(&str, &str)] = &[(
    REQUEST_DURATION,
    "From a request's head to the head of the authority's answer",
)];

/// The label of what is absent.
const NONE: &str = "none";

/// A `grant_type` as a label.
pub(crate) fn grant_type(text: Option<&str>) -> &'static str {
    match text {
        None => NONE,
        Some("authorization_code") => "authorization_code",
        Some("refresh_token") => "refresh_token",
        Some("client_credentials") => "client_credentials",
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => "jwt_bearer",
        Some("urn:ietf:params:oauth:grant-type:token-exchange") => "token_exchange",
        Some("urn:ietf:params:oauth:grant-type:device_code") => "device_code",
        Some(_) => "other",
    }
}

/// Counts a token request, by its answer.
pub(crate) fn token_request(server: &str, grant_type: &'static str, answer: &Response) {
    let error = answer.extensions().get::<ErrorCode>();
    counter!(
        TOKEN_REQUESTS,
        "server" => server.to_owned(),
        "grant_type" => grant_type,
        "outcome" => if error.is_some() { "refused" } else { "issued" },
        "error" => error.map_or(NONE, |code| code.as_str()),
    )
    .increment(1);
}

/// Counts a registration that was not refused.
pub(crate) fn registered(server: &str, repeated: bool, waits: bool) {
    let outcome = match (repeated, waits) {
        (true, _) => "repeated",
        (false, true) => "waiting",
        (false, false) => "registered",
    };
    count(REGISTRATIONS, server, outcome, NONE);
}

/// Counts a step of an authorization: `asked`, `shown`, `consented`, `continued`, `denied`.
pub(crate) fn authorization(server: &str, outcome: &'static str) {
    count(AUTHORIZATIONS, server, outcome, NONE);
}

/// Counts a sign-in that worked.
pub(crate) fn signed_in() {
    counter!(SIGN_INS, "outcome" => "ok", "error" => NONE).increment(1);
}

/// Counts a revocation that was not refused.
pub(crate) fn revoked(server: &str, ended: bool) {
    let outcome = if ended { "ended" } else { "nothing" };
    count(REVOCATIONS, server, outcome, NONE);
}

/// Counts an introspection that was not refused.
pub(crate) fn introspected(server: &str, active: bool) {
    let outcome = if active { "active" } else { "inactive" };
    count(INTROSPECTIONS, server, outcome, NONE);
}

/// Counts the calls of one report of a gateway.
pub(crate) fn calls_reported(server: &str, recorded: u64, dropped: u64) {
    for (outcome, calls) in [("recorded", recorded), ("dropped", dropped)] {
        counter!(GATEWAY_CALLS, "server" => server.to_owned(), "outcome" => outcome)
            .increment(calls);
    }
}

/// Counts a refusal, by the step it happened at. Token requests are counted with their grant type, elsewhere.
pub(crate) fn refused(step: Step<'_>, error: &Error) {
    let server = step.server.unwrap_or_default();
    let code = error.code().as_str();
    match step.name {
        "token" => {}
        "register" => count(REGISTRATIONS, server, "refused", code),
        "authorize" | "consent" => count(AUTHORIZATIONS, server, "refused", code),
        "revoke" => count(REVOCATIONS, server, "refused", code),
        "introspect" => count(INTROSPECTIONS, server, "refused", code),
        "feed" | "manifest" | "activity" => counter!(
            GATEWAYS_REFUSED, "server" => server.to_owned(), "request" => step.name, "error" => code
        )
        .increment(1),
        "sign-in" => {
            let outcome = match error.code() {
                ErrorCode::AccessDenied => "failed",
                ErrorCode::TemporarilyUnavailable => "throttled",
                _ => "refused",
            };
            counter!(SIGN_INS, "outcome" => outcome, "error" => code).increment(1);
        }
        form => counter!(FORMS_REFUSED, "form" => form, "error" => code).increment(1),
    }
}

/// Counts a look at the store that did not give the policy feed.
pub(crate) fn feed_failed() {
    counter!(FEED_FAILURES).increment(1);
}

fn count(name: &'static str, server: &str, outcome: &'static str, error: &'static str) {
    counter!(
        name,
        "server" => server.to_owned(),
        "outcome" => outcome,
        "error" => error,
    )
    .increment(1);
}

const ENDPOINTS: [&str; 14] = [
    "token",
    "authorize",
    "register",
    "revoke",
    "introspect",
    "metadata",
    "jwks",
    "sign_in",
    "sign_out",
    "setup",
    "admin",
    "account",
    "asset",
    "other",
];

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Each is looked up by name once, when it first counts.
static DURATION_OF: [[OnceLock<Histogram>; STATUS_CLASSES.len()]; ENDPOINTS.len()] =
    [const { [const { OnceLock::new() }; STATUS_CLASSES.len()] }; ENDPOINTS.len()];

/// Measures how long one request takes.
pub(crate) struct Measure {
    endpoint: usize,
    began: Instant,
}

impl Measure {
    /// Begins, at the route that was found.
    pub(crate) fn begin(request: &Request) -> Self {
        let pattern = request.extensions().get().map(MatchedPath::as_str);
        if let Some(pattern) = pattern {
            // The pattern, never the path.
            tracing::Span::current().record("http.route", pattern);
        }
        Self {
            endpoint: endpoint(pattern),
            began: Instant::now(),
        }
    }

    /// Ends with the answer.
    pub(crate) fn end(self, status: StatusCode) {
        let class = status_class(status);
        DURATION_OF[self.endpoint][class]
            .get_or_init(|| {
                histogram!(
                    REQUEST_DURATION,
                    "endpoint" => ENDPOINTS[self.endpoint],
                    "status" => STATUS_CLASSES[class],
                )
            })
            .record(self.began.elapsed());
    }
}

/// Which endpoint the pattern of a route belongs to: never the path of a request.
fn endpoint(pattern: Option<&str>) -> usize {
    let name = match pattern.unwrap_or_default() {
        "/servers/{slug}/token" => "token",
        "/servers/{slug}/authorize" => "authorize",
        "/servers/{slug}/register" => "register",
        "/servers/{slug}/revoke" => "revoke",
        "/servers/{slug}/introspect" => "introspect",
        "/jwks.json" | "/identity/jwks.json" => "jwks",
        "/sign-in" => "sign_in",
        "/sign-out" => "sign_out",
        "/setup" => "setup",
        "/assets/{*name}" | "/client-logos/{digest}" => "asset",
        path if path.contains("/.well-known/") => "metadata",
        path if path.starts_with("/admin") => "admin",
        path if path.starts_with("/account") => "account",
        _ => "other",
    };
    let last = ENDPOINTS.len() - 1;
    ENDPOINTS
        .iter()
        .position(|known| *known == name)
        .unwrap_or(last)
}

fn status_class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, STATUS_CLASSES.len()) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_caller_writes_there_is_a_label_of_the_list() {
        assert_eq!(grant_type(Some("refresh_token")), "refresh_token");
        for text in ["", "x", "Refresh_Token", "none", "\u{1b}[2J"] {
            assert_eq!(grant_type(Some(text)), "other");
        }
        for (status, class) in [(100, "1xx"), (200, "2xx"), (503, "5xx"), (999, "5xx")] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(STATUS_CLASSES[status_class(status)], class);
        }
    }

    #[test]
    fn the_pattern_of_a_route_says_which_endpoint_it_is() {
        for (pattern, name) in [
            (Some("/servers/{slug}/token"), "token"),
            (
                Some("/.well-known/oauth-authorization-server/servers/{slug}"),
                "metadata",
            ),
            (Some("/admin/clients"), "admin"),
            (Some("/account/tokens/revoke"), "account"),
            (Some("/"), "other"),
            (None, "other"),
        ] {
            assert_eq!(ENDPOINTS[endpoint(pattern)], name, "{pattern:?}");
        }
    }
}
