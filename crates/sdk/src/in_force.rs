use std::sync::Arc;

use arc_swap::ArcSwapOption;
use authz::{FeedSnapshot, ServerSnapshot, VerifyingKeys};
use base::Timestamp;

use crate::mcp_session::SessionBinding;
use crate::policy_feed::{FeedGap, PolicyFeed};
use crate::token_cache::TokenCache;
use crate::{Principal, VerifiedCaller};

/// What is in force for one MCP server: its slice of one snapshot, with the keys parsed. A call holds one from
/// beginning to end.
#[derive(Debug)]
pub struct InForce {
    feed: Arc<FeedSnapshot>,
    server: Arc<ServerSnapshot>,
    pub(crate) keys: Arc<VerifyingKeys>,
    pub(crate) sessions: Arc<SessionBinding>,
    pub(crate) tokens: Arc<TokenCache>,
}

impl InForce {
    /// The slice of the snapshot.
    pub fn server(&self) -> &ServerSnapshot {
        &self.server
    }

    /// Whether `caller`'s token was revoked, or the key that signed it withdrawn.
    pub fn revoked(&self, caller: &VerifiedCaller) -> bool {
        authz::revoked(&self.server.revocations, caller.token())
            || !self.keys.contains(caller.token().key_id())
    }

    /// The MCP session id as `principal` is to see it; `None` when the server's own one is no id at all.
    pub fn outward_session(&self, principal: &Principal, own: &str) -> Option<String> {
        self.sessions.outward(principal, own)
    }
}

/// One MCP server's view of the feed. Prepares a snapshot once, when it is first used.
#[derive(Debug)]
pub(crate) struct ServerFeed {
    slug: String,
    feed: PolicyFeed,
    prepared: ArcSwapOption<InForce>,
}

impl ServerFeed {
    pub(crate) fn new(slug: &str, feed: PolicyFeed) -> Self {
        Self {
            slug: slug.to_owned(),
            feed,
            prepared: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn slug(&self) -> &str {
        &self.slug
    }

    pub(crate) fn feed(&self) -> &PolicyFeed {
        &self.feed
    }

    pub(crate) fn in_force(&self, now: Timestamp) -> Result<Arc<InForce>, FeedGap> {
        self.prepared(self.feed.current(now)?)
    }

    /// What was last in force, however old.
    pub(crate) fn last_in_force(&self) -> Option<Arc<InForce>> {
        self.prepared(self.feed.last()?).ok()
    }

    fn prepared(&self, feed: Arc<FeedSnapshot>) -> Result<Arc<InForce>, FeedGap> {
        let before = self.prepared.load();
        if let Some(before) = &*before
            && Arc::ptr_eq(&before.feed, &feed)
        {
            return Ok(Arc::clone(before));
        }
        let server = feed.servers.get(&self.slug).ok_or(FeedGap::UnknownServer)?;
        let prepared = Arc::new(prepare(Arc::clone(server), feed.clone(), before.as_deref()));
        self.prepared.store(Some(Arc::clone(&prepared)));
        Ok(prepared)
    }
}

fn prepare(
    server: Arc<ServerSnapshot>,
    feed: Arc<FeedSnapshot>,
    before: Option<&InForce>,
) -> InForce {
    let same_keys = before.filter(|before| before.server.keys == server.keys);
    // A verified token stays verified while issuer and audience are the same and keys are only added; otherwise all are
    // checked anew.
    let same_tokens = before.filter(|before| {
        server.keys.keys.starts_with(&before.server.keys.keys)
            && before.server.issuer == server.issuer
            && before.server.resource == server.resource
    });
    let same_sessions = before
        .filter(|before| before.server.session_mac_key.expose() == server.session_mac_key.expose());
    InForce {
        keys: same_keys.map_or_else(
            || Arc::new(VerifyingKeys::from_jwks(&server.keys)),
            |before| Arc::clone(&before.keys),
        ),
        tokens: same_tokens.map_or_else(
            || Arc::new(TokenCache::new()),
            |before| Arc::clone(&before.tokens),
        ),
        sessions: same_sessions.map_or_else(
            || Arc::new(SessionBinding::new(server.session_mac_key.expose())),
            |before| Arc::clone(&before.sessions),
        ),
        feed,
        server,
    }
}
