use authz::ServerSnapshot;
use base::Random;
use http::{StatusCode, header};
use wire::oauth::{Challenge, ErrorCode, ScopeSet};

use crate::resource_metadata::AskedAddress;
use crate::{Refusal, RefusalCause};

/// 401: no token, or (with `invalid`: why, what is wrong with it and what the log is told) a bad one.
///
/// Spec: RFC 6750 section 3.1; RFC 9728 section 5.1; MCP 2026-07-28, authorization, "Protected Resource Metadata
/// Discovery Requirements".
pub(crate) fn unauthenticated(
    random: &dyn Random,
    server: &ServerSnapshot,
    asked: &AskedAddress,
    invalid: Option<(RefusalCause, &str, String)>,
) -> Refusal {
    let (cause, description, reason) = match &invalid {
        None => (
            RefusalCause::NoToken,
            "An access token is needed; the resource metadata says where to get one",
            "no token was presented".to_owned(),
        ),
        Some((cause, description, reason)) => (*cause, *description, reason.clone()),
    };
    let challenge = Challenge {
        resource_metadata: asked.metadata_url(),
        scope: server.policy.default_scopes.clone(),
        error: invalid
            .is_some()
            .then(|| (ErrorCode::InvalidToken, description.to_owned())),
    };
    Refusal::oauth_because(
        random,
        cause,
        StatusCode::UNAUTHORIZED,
        ErrorCode::InvalidToken.as_str(),
        description,
        reason,
    )
    .with_header(header::WWW_AUTHENTICATE, challenge.to_header())
}

/// 403: the token is valid and lacks `scope`, which the person could grant.
///
/// Spec: RFC 6750 section 3.1; MCP 2026-07-28, authorization, "Runtime Insufficient Scope Errors".
pub(crate) fn insufficient_scope(
    random: &dyn Random,
    asked: &AskedAddress,
    scope: ScopeSet,
    rule: &str,
) -> Refusal {
    let description = "This call needs more scope than the token has";
    let reason = format!("needs {scope} ({rule})");
    let challenge = Challenge {
        resource_metadata: asked.metadata_url(),
        scope,
        error: Some((ErrorCode::InsufficientScope, description.to_owned())),
    };
    Refusal::oauth_because(
        random,
        RefusalCause::InsufficientScope,
        StatusCode::FORBIDDEN,
        ErrorCode::InsufficientScope.as_str(),
        description,
        reason,
    )
    .with_header(header::WWW_AUTHENTICATE, challenge.to_header())
}
