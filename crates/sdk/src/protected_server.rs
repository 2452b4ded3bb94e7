use std::sync::Arc;

use base::{Clock, Random, Timestamp};
use http::StatusCode;
use wire::mcp::Limits;

use crate::in_force::{ServerFeed, Suspended};
use crate::opaque_tokens::OpaqueExchange;
use crate::policy_feed::{FeedGap, PolicyFeed};
use crate::rate_counts::RateCounts;
use crate::resource_metadata::AskedAddress;
use crate::resource_path::ResourcePath;
use crate::{Addresses, HostRefusal, InForce, OpaqueTokens, OtherIssuer, Refusal, RefusalCause};

/// One MCP server as enforcement sees it. The steps of a call are its methods, in the order in which they are to be
/// taken: [`asked`](Self::asked), [`in_force`](Self::in_force), [`authenticate`](Self::authenticate),
/// [`read_call`](Self::read_call), [`authorize`](Self::authorize).
#[derive(Debug)]
pub struct ProtectedServer {
    pub(crate) addresses: Arc<Addresses>,
    path: ResourcePath,
    feed: ServerFeed,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) body_limits: Limits,
    pub(crate) opaque: Option<OpaqueExchange>,
    /// Beside the feed: a policy that changes takes nothing back of what was counted.
    pub(crate) rate_counts: RateCounts,
}

/// What a [`ProtectedServer`] is made of.
#[derive(Debug, Clone)]
pub struct ProtectedServerSettings {
    /// Its slug in the feed.
    pub slug: String,
    /// The path of its resource, such as `/mcp/todo`, byte for byte; empty when the resource is an origin alone.
    pub path: String,
    /// The largest request body read, in bytes.
    pub request_body_bytes_max: usize,
}

impl ProtectedServer {
    /// A server that answers under `addresses` and is judged by `feed`.
    pub fn new(
        settings: ProtectedServerSettings,
        addresses: Arc<Addresses>,
        feed: PolicyFeed,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            addresses,
            path: ResourcePath::new(&settings.path),
            feed: ServerFeed::new(&settings.slug, feed),
            clock,
            random,
            body_limits: Limits {
                bytes_max: settings.request_body_bytes_max,
                ..Limits::default()
            },
            opaque: None,
            rate_counts: RateCounts::new(),
        }
    }

    /// Takes service tokens too, which `source` turns into access tokens.
    pub fn with_opaque_tokens(mut self, source: Arc<dyn OpaqueTokens>) -> Self {
        if self.feed.other_issuer().is_none() {
            self.opaque = Some(OpaqueExchange::new(self.feed.slug(), source));
        }
        self
    }

    /// Takes the tokens of `issuer` in the place of those of the authority, which are refused then, service tokens included. Its
    /// metadata names that issuer.
    pub fn with_other_issuer(mut self, issuer: Arc<OtherIssuer>) -> Self {
        self.feed.set_other_issuer(issuer);
        self.opaque = None;
        self
    }

    pub(crate) fn other_issuer(&self) -> Option<&OtherIssuer> {
        self.feed.other_issuer()
    }

    /// The address that was asked, when `path` is this server's, in either slash form; nothing else is normalised.
    pub fn asked(&self, origin: &Arc<str>, path: &str) -> Option<AskedAddress> {
        address_among(self.path.of_calls(), origin, path)
    }

    /// The address whose metadata was asked for, when `suffix`, which followed the well-known path, is this server's.
    pub fn asked_metadata(&self, origin: &Arc<str>, suffix: &str) -> Option<AskedAddress> {
        address_among(self.path.of_metadata().into_iter(), origin, suffix)
    }

    /// The address that people type, for the root metadata of an origin with one server.
    pub fn canonical_address(&self, origin: &Arc<str>) -> AskedAddress {
        AskedAddress {
            origin: Arc::clone(origin),
            path: Arc::clone(self.path.canonical()),
        }
    }

    /// The paths of requests to it, each with the path of the address that it asks for.
    pub fn call_paths(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.path.of_calls()
    }

    /// What follows the well-known path in requests for its metadata, each with the path of the address that it asks
    /// for.
    pub fn metadata_paths(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.path.of_metadata().into_iter()
    }

    /// Under which origins it answers, and which pages may call it.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The same, to be kept.
    pub fn shared_addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// What is in force now; the call is judged by it to its end.
    ///
    /// # Errors
    /// 503 when nothing can be judged: never a 401, for a new login would not help.
    pub fn in_force(&self, now: Timestamp) -> Result<Arc<InForce>, Refusal> {
        self.feed
            .in_force(now)
            .map_err(|gap| self.unavailable(gap.to_string()))
    }

    /// What was last in force, however old: for what only ever closes doors.
    pub fn last_in_force(&self) -> Option<Arc<InForce>> {
        self.feed.last_in_force()
    }

    /// Whether the authority was not heard of for so long that nothing may be judged, nor go on that was.
    pub fn feed_is_stale(&self) -> bool {
        matches!(self.feed().current(self.now()), Err(FeedGap::Stale))
    }

    /// Denies these as if they were quarantined, and none that was said before, while the authority cannot be told of them.
    pub fn suspend(&self, suspended: Vec<Suspended>) {
        self.feed.suspend(suspended);
    }

    /// Ends what was suspended, once a policy of this revision or a later one is in force: the authority was told, and from that one
    /// on it says itself what is quarantined.
    pub fn unsuspend_from(&self, revision: i64) {
        self.feed.unsuspend_from(revision);
    }

    /// The feed that it is judged by.
    pub fn feed(&self) -> &PolicyFeed {
        self.feed.feed()
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn unavailable(&self, reason: String) -> Refusal {
        Refusal::oauth_because(
            &*self.random,
            RefusalCause::TemporarilyUnavailable,
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "Access cannot be judged at the moment; try again soon",
            reason,
        )
        .retry_after(5)
    }
}

fn address_among<'p>(
    mut paths: impl Iterator<Item = (&'p str, &'p Arc<str>)>,
    origin: &Arc<str>,
    asked: &str,
) -> Option<AskedAddress> {
    let (_, path) = paths.find(|(own, _)| *own == asked)?;
    Some(AskedAddress {
        origin: Arc::clone(origin),
        path: Arc::clone(path),
    })
}

/// 400 or 421: the request is not for a host of ours.
pub fn wrong_host(random: &dyn Random, addresses: &Addresses, refusal: &HostRefusal) -> Refusal {
    match refusal {
        HostRefusal::Malformed(why) => Refusal::oauth(
            random,
            RefusalCause::InvalidRequest,
            StatusCode::BAD_REQUEST,
            "invalid_request",
            why,
        ),
        HostRefusal::Unknown { asked } => Refusal::oauth(
            random,
            RefusalCause::UnknownHost,
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            &format!(
                "This server answers for {}, not for the host {asked}. If {asked} should lead here, start it with \
                 --public-url and that origin, or give an MCP server a resource there",
                addresses.canonical()
            ),
        ),
    }
}

/// 403: a browser page that may not call.
pub fn foreign_origin(random: &dyn Random, origin: &str) -> Refusal {
    Refusal::oauth(
        random,
        RefusalCause::ForeignOrigin,
        StatusCode::FORBIDDEN,
        "foreign_origin",
        &format!("Pages of {origin} may not call this server; allowed_origins says which may"),
    )
}
