//! For MCP servers that are written with rmcp: who calls, where a tool is.

use std::sync::Arc;

use ::rmcp::ErrorData;
use ::rmcp::RoleServer;
use ::rmcp::handler::server::common::{AsRequestContext, FromContextPart};
use ::rmcp::service::RequestContext;
use ::rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use http::Extensions;
use http::request::Parts;
use serde_json::json;

use crate::{MissingScope, VerifiedCaller};

/// Who calls, as an argument of a tool or a prompt:
///
/// ```
/// # use portcullis::rmcp::Caller;
/// # struct Todos;
/// # #[rmcp::tool_router]
/// # impl Todos {
/// #[rmcp::tool(description = "Who am I?")]
/// async fn whoami(&self, caller: Caller) -> String {
///     caller.principal().subject.to_string()
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Caller(Arc<VerifiedCaller>, Extensions);

impl Caller {
    /// From the context of a request, for handlers that are given one.
    ///
    /// # Errors
    /// When the server is not behind the layer of [`Protection`](crate::Protection).
    pub fn of(context: &RequestContext<RoleServer>) -> Result<Self, ErrorData> {
        let extensions = context
            .extensions
            .get::<Parts>()
            .map(|head| &head.extensions);
        let caller = extensions.and_then(|found| found.get::<Arc<VerifiedCaller>>());
        match (caller, extensions) {
            (Some(caller), Some(extensions)) => Ok(Self(Arc::clone(caller), extensions.clone())),
            _ => Err(refusal(&MissingScope::NoCaller)),
        }
    }

    /// Goes on only when their token has `scope`, for what only a part of a tool's code needs. The error is for the tool to
    /// return; when the scope could be granted, the client is answered 403 with a challenge, as for a tool of which the policy
    /// says that it needs it, unless the server answers with an event stream.
    ///
    /// # Errors
    /// When it does not have it.
    pub fn require_scope(&self, scope: &str) -> Result<(), ErrorData> {
        match crate::require_scope(&self.1, scope) {
            Ok(_) => Ok(()),
            Err(missing) => Err(refusal(&missing)),
        }
    }
}

impl std::ops::Deref for Caller {
    type Target = VerifiedCaller;

    fn deref(&self) -> &VerifiedCaller {
        &self.0
    }
}

impl<C: AsRequestContext> FromContextPart<C> for Caller {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Self::of(context.as_request_context())
    }
}

/// The settings of a `StreamableHttpService` behind the layer: without sessions, answering in JSON, so that each refusal has its
/// HTTP status; the host is checked by the layer, which knows the public one.
pub fn http_config() -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
}

fn refusal(missing: &MissingScope) -> ErrorData {
    let data = match missing {
        MissingScope::Obtainable(scope) => {
            Some(json!({"error": "insufficient_scope", "scope": scope.to_string()}))
        }
        MissingScope::NotPermitted => Some(json!({"error": "access_denied"})),
        MissingScope::NoCaller => {
            tracing::error!("{missing}");
            return ErrorData::internal_error("The caller is not known", None);
        }
    };
    ErrorData::invalid_request(missing.to_string(), data)
}
