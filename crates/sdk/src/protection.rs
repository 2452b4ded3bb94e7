use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_layer::Layer as _;
use tower_service::Service;
use wire::oauth::Scope;

use crate::answer::BoxError;
use crate::door::Door;
use crate::own_manifest::{OwnScopes, publish_lists};
use crate::{
    MetadataService, OwnServer, Protect, ProtectLayer, ProtectedServer, ProtectionBuilder,
    RequireScopeLayer,
};

/// How often [`Protection::ready`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One MCP server of this program, protected: the front door of this library. Cheap to clone; what it reads of its authority or
/// issuer goes on being read while a clone, or a service or layer that it made, is there.
#[derive(Debug, Clone)]
pub struct Protection {
    pub(crate) door: Door,
    pub(crate) authority: Option<OwnServer>,
    pub(crate) scopes: Arc<Mutex<OwnScopes>>,
}

/// Something that should be a scope and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope: RFC 6749, section 3.3")]
pub struct NotAScope(String);

impl Protection {
    /// Protects the MCP server with this URL: the exact one that people type, and that tokens name as their audience.
    pub fn for_resource(resource: &str) -> ProtectionBuilder {
        ProtectionBuilder::new(resource)
    }

    /// Protects `mcp`, a tower service that is an MCP server, such as rmcp's `StreamableHttpService` or `axum::routing::post` of
    /// a handler. The service that comes out answers the MCP URL's path and its well-known document, and 404 for anything else:
    /// it is what an axum router takes as its `fallback_service`.
    ///
    /// With an authority, what `mcp` lists is told to it now, when a list changes and on a schedule. So this is for one service
    /// alone, and within a tokio runtime.
    pub fn protect<S, Answer>(&self, mcp: S) -> Protect<S>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<Answer>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        S::Error: std::fmt::Display + Send,
        Answer: Body<Data = Bytes> + Send + 'static,
        Answer::Error: Into<BoxError>,
    {
        if let Some(authority) = &self.authority {
            self.door.tasks.spawn(publish_lists(
                mcp.clone(),
                authority.clone(),
                Arc::clone(&self.scopes),
                Arc::clone(&self.door.server),
                Arc::clone(&self.door.lists_changed),
            ));
        }
        self.layer().layer(mcp)
    }

    /// The same as a layer. Nothing is told to an authority of what the service lists.
    pub fn layer(&self) -> ProtectLayer {
        ProtectLayer::with(self.door.clone())
    }

    /// Protects plain HTTP routes beside the MCP server, for callers whose token has `scope`. They find their
    /// [`VerifiedCaller`](crate::VerifiedCaller) among the request's extensions. The token is the same as for the MCP server.
    ///
    /// # Errors
    /// When it is no scope.
    pub fn require_scope(&self, scope: &str) -> Result<RequireScopeLayer, NotAScope> {
        let scope = Scope::parse(scope).map_err(|_| NotAScope(scope.to_owned()))?;
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if scopes.enforce(&scope) {
            self.door.lists_changed.notify_one();
        }
        Ok(RequireScopeLayer::new(self.door.clone(), scope))
    }

    /// Answers the protected resource metadata and nothing else, for a program that does not mount [`Protection::protect`]
    /// where the well-known address leads to.
    pub fn metadata(&self) -> MetadataService {
        MetadataService::new(self.door.clone())
    }

    /// The paths of the protected resource metadata, such as `/.well-known/oauth-protected-resource/mcp`.
    pub fn metadata_paths(&self) -> Vec<String> {
        let paths = self.door.server.metadata_paths();
        paths
            .map(|(suffix, _)| format!("{}{suffix}", crate::WELL_KNOWN_PATH))
            .collect()
    }

    /// Resolves when calls can be judged: the policy, or the issuer's keys, have arrived. Until then they are answered 503.
    pub async fn ready(&self) {
        let server = &self.door.server;
        let mut feed = server.feed().clone();
        while server.in_force(server.now()).is_err() {
            tokio::select! {
                () = feed.changed() => {}
                // The authority may be heard of again without anything new.
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The steps themselves, for whoever takes them one by one.
    pub fn server(&self) -> &Arc<ProtectedServer> {
        &self.door.server
    }
}
