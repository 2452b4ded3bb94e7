use std::collections::HashMap;
use std::sync::Arc;

use base::{Clock, Random};
use sdk::{
    Addresses, AliasPlace, CanonicalResource, OpaqueTokens, OtherIssuer, ProtectedServer,
    ProtectedServerSettings,
};
use tokio::sync::watch;

use crate::definitions::{Changes, Definitions};
use crate::feeds::Feeds;
use crate::left_views::LeftViews;
use crate::metric::ServerMetric;
use crate::settings::{Limits, ServerSettings, SettingsError};
use crate::tool_metric::ToolMetrics;
use crate::upstream::Forwarder;
use crate::views::Views;

/// Addresses that say something about the others at their origin.
const WELL_KNOWN_PREFIX: &str = "/.well-known/";

/// One MCP server behind the gateway. Every call holds it from beginning to end.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) slug: Arc<str>,
    pub(crate) settings: ServerSettings,
    pub(crate) metric: Arc<ServerMetric>,
    pub(crate) protected: ProtectedServer,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) views: Views,
    pub(crate) left_views: LeftViews,
    retired: watch::Sender<bool>,
}

impl Server {
    /// Says that no new call will come: what only listens ends, what has begun may finish.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// True once it is retired; closed once the last call has let go of it.
    pub(crate) fn retirement(&self) -> watch::Receiver<bool> {
        self.retired.subscribe()
    }
}

/// What all servers of a gateway have in common.
#[derive(Debug)]
pub(crate) struct ServerMaker {
    /// Those of the authority.
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) feeds: Feeds,
    pub(crate) opaque_tokens: Option<Arc<dyn OpaqueTokens>>,
    pub(crate) other_issuers: HashMap<String, Arc<OtherIssuer>>,
    pub(crate) changes: Arc<Changes>,
    pub(crate) tool_metrics: ToolMetrics,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl ServerMaker {
    /// Takes the aliases out of `settings`, as places.
    ///
    /// # Errors
    /// Names the one that cannot be used.
    pub(crate) fn places(
        &self,
        settings: &mut ServerSettings,
    ) -> Result<Vec<(String, AliasPlace)>, SettingsError> {
        std::mem::take(&mut settings.aliases)
            .into_iter()
            .map(|url| match AliasPlace::new(&url, &self.allowed_origins) {
                Ok(place) => Ok((url, place)),
                Err(error) => Err(SettingsError::Alias {
                    slug: settings.slug.clone(),
                    url,
                    reason: error.to_string(),
                }),
            })
            .collect()
    }

    /// # Errors
    /// When its resource or its upstream cannot be used.
    pub(crate) fn make(&self, settings: ServerSettings) -> Result<Server, SettingsError> {
        let resource = CanonicalResource::parse(&settings.resource)
            .map_err(|error| SettingsError::resource(&settings, error.to_string()))?;
        if resource.path().starts_with(WELL_KNOWN_PREFIX) {
            let reason = format!("{WELL_KNOWN_PREFIX} is where metadata is");
            return Err(SettingsError::resource(&settings, reason));
        }
        let addresses = if self.addresses.declares(resource.origin()) {
            Arc::clone(&self.addresses)
        } else {
            let own = Addresses::new(resource.origin(), &[], &self.allowed_origins);
            Arc::new(own.map_err(|error| SettingsError::resource(&settings, error.to_string()))?)
        };
        let feed = self.feeds.of(&settings.slug).cloned().ok_or_else(|| {
            SettingsError::resource(&settings, "it has no policy feed".to_owned())
        })?;
        let mut protected = ProtectedServer::new(
            ProtectedServerSettings {
                slug: settings.slug.clone(),
                path: resource.path().to_owned(),
                request_body_bytes_max: self.limits.request_body_bytes_max,
            },
            addresses,
            feed,
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
        );
        if let Some(source) = &self.opaque_tokens {
            protected = protected.with_opaque_tokens(Arc::clone(source));
        }
        if let Some(issuer) = self.other_issuers.get(&settings.slug) {
            protected = protected.with_other_issuer(Arc::clone(issuer));
        }
        let forwarder = Forwarder::new(&settings.slug, &settings.upstream, &self.limits)?;
        let slug: Arc<str> = settings.slug.as_str().into();
        Ok(Server {
            metric: Arc::new(ServerMetric::new(&slug, self.tool_metrics.of(&slug))),
            slug,
            protected,
            forwarder: Arc::new(forwarder),
            definitions: Arc::new(self.changes.definitions(&settings.slug)),
            views: Views::default(),
            left_views: LeftViews::default(),
            retired: watch::Sender::new(false),
            settings,
        })
    }
}
