use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use authz::{
    ArgumentDigests, EntryState, FeedSnapshot, ListKind, QuarantineFrom, ServerSnapshot,
    VerifyingKeys, View, ViewBasis,
};
use base::Timestamp;

use crate::mcp_session::SessionBinding;
use crate::other_issuer::OtherIssuer;
use crate::policy_feed::{FeedGap, PolicyFeed};
use crate::token_cache::TokenCache;
use crate::{Principal, VerifiedCaller};

/// What is in force for one MCP server: its slice of one snapshot, with the keys parsed. A call holds one from
/// beginning to end.
#[derive(Debug)]
pub struct InForce {
    feed: Arc<FeedSnapshot>,
    server: Arc<ServerSnapshot>,
    suspended: Arc<Suspensions>,
    pub(crate) keys: Arc<VerifyingKeys>,
    pub(crate) sessions: Arc<SessionBinding>,
    pub(crate) tokens: Arc<TokenCache>,
    digests: Option<ArgumentDigests>,
    view_basis: Arc<OnceLock<ViewBasis>>,
    other_issuer: Option<Arc<OtherIssuer>>,
}

impl InForce {
    /// The slice of the snapshot.
    pub fn server(&self) -> &ServerSnapshot {
        &self.server
    }

    /// Whether `caller`'s token was revoked, or the key that signed it withdrawn.
    pub fn revoked(&self, caller: &VerifiedCaller) -> bool {
        let signed_by_a_key_in_force = || match (caller.token().key_id(), &self.other_issuer) {
            (None, _) => true,
            (Some(id), Some(issuer)) => issuer.has_key(id),
            (Some(id), None) => self.keys.contains(id),
        };
        authz::revoked(&self.server.revocations, caller.token()) || !signed_by_a_key_in_force()
    }

    /// Makes digests of arguments for the records of calls, when the authority gave a key for them.
    pub fn argument_digests(&self) -> Option<&ArgumentDigests> {
        self.digests.as_ref()
    }

    /// What `caller` sees of the lists. When a later one differs, clients are to be told (`notifications/tools/list_changed` and
    /// its neighbours).
    pub fn view(&self, caller: &VerifiedCaller) -> View {
        let policy = &self.server.policy;
        View::of(policy, caller.caller(), policy.list_step_up)
    }

    /// What all views depend on: while it is the same, so is each of them.
    pub fn view_basis(&self) -> ViewBasis {
        let of = || ViewBasis::of(&self.server.policy);
        *self.view_basis.get_or_init(of)
    }

    /// The MCP session id as `principal` is to see it; `None` when the server's own one is no id at all.
    pub fn outward_session(&self, principal: &Principal, own: &str) -> Option<String> {
        self.sessions.outward(principal, own)
    }
}

/// An element that was seen to be another one than was accepted, while the authority could not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// Of the definition that was accepted: another policy, in which another one is, ends it.
    pub fingerprint: String,
}

/// All that is suspended of a server.
#[derive(Debug, Default, PartialEq, Eq)]
struct Suspensions {
    elements: Vec<Suspended>,
    /// The authority was told: from this revision of the policy on it says itself what is quarantined.
    until: Option<i64>,
}

/// One MCP server's view of the feed. Prepares a snapshot once, when it is first used.
#[derive(Debug)]
pub(crate) struct ServerFeed {
    slug: String,
    feed: PolicyFeed,
    prepared: ArcSwapOption<InForce>,
    suspended: ArcSwap<Suspensions>,
    other_issuer: Option<Arc<OtherIssuer>>,
}

impl ServerFeed {
    pub(crate) fn new(slug: &str, feed: PolicyFeed) -> Self {
        Self {
            slug: slug.to_owned(),
            feed,
            prepared: ArcSwapOption::empty(),
            suspended: ArcSwap::default(),
            other_issuer: None,
        }
    }

    /// Its tokens are from somebody else. To be said before the first use.
    pub(crate) fn set_other_issuer(&mut self, issuer: Arc<OtherIssuer>) {
        self.other_issuer = Some(issuer);
    }

    pub(crate) fn other_issuer(&self) -> Option<&OtherIssuer> {
        self.other_issuer.as_deref()
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

    pub(crate) fn suspend(&self, suspended: Vec<Suspended>) {
        self.suspend_until(suspended, None);
    }

    pub(crate) fn unsuspend_from(&self, revision: i64) {
        let elements = self.suspended.load().elements.clone();
        self.suspend_until(elements, Some(revision));
    }

    fn suspend_until(&self, elements: Vec<Suspended>, until: Option<i64>) {
        let until = until.filter(|_| !elements.is_empty());
        let suspended = Suspensions { elements, until };
        if **self.suspended.load() != suspended {
            self.suspended.store(Arc::new(suspended));
        }
    }

    fn prepared(&self, feed: Arc<FeedSnapshot>) -> Result<Arc<InForce>, FeedGap> {
        let before = self.prepared.load();
        let suspended = self.suspended.load_full();
        if let Some(before) = &*before
            && Arc::ptr_eq(&before.feed, &feed)
            && Arc::ptr_eq(&before.suspended, &suspended)
        {
            return Ok(Arc::clone(before));
        }
        let server = feed.servers.get(&self.slug).ok_or(FeedGap::UnknownServer)?;
        let mut server = quarantined(server, &suspended);
        if let Some(issuer) = &self.other_issuer {
            issuer.take_over(Arc::make_mut(&mut server));
        }
        let mut prepared = prepare(server, feed.clone(), suspended, before.as_deref());
        prepared.other_issuer.clone_from(&self.other_issuer);
        let prepared = Arc::new(prepared);
        self.prepared.store(Some(Arc::clone(&prepared)));
        Ok(prepared)
    }
}

fn prepare(
    server: Arc<ServerSnapshot>,
    feed: Arc<FeedSnapshot>,
    suspended: Arc<Suspensions>,
    before: Option<&InForce>,
) -> InForce {
    let same_keys = before.filter(|before| before.server.keys == server.keys);
    // A verified token stays verified while issuer and audience are the same and keys are only added; otherwise all are
    // checked anew.
    let same_tokens = before.filter(|before| {
        server.keys.keys.starts_with(&before.server.keys.keys)
            && before.server.issuer == server.issuer
            && before.server.resource == server.resource
            // Another issuer's tokens have the roles of the policy that they were read under.
            && (before.other_issuer.is_none() || before.server.policy.roles == server.policy.roles)
    });
    let same_sessions = before
        .filter(|before| before.server.session_mac_key.expose() == server.session_mac_key.expose());
    let same_server = before.filter(|before| Arc::ptr_eq(&before.server, &server));
    InForce {
        view_basis: same_server
            .map(|before| Arc::clone(&before.view_basis))
            .unwrap_or_default(),
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
        digests: ArgumentDigests::new(server.argument_digest_key.expose()),
        other_issuer: None,
        feed,
        server,
        suspended,
    }
}

/// As the authority would have it, had it been told.
fn quarantined(server: &Arc<ServerSnapshot>, suspended: &Suspensions) -> Arc<ServerSnapshot> {
    let mut server = Arc::clone(server);
    let until = suspended.until;
    let was_told = until.is_some_and(|until| server.policy_revision >= until);
    if was_told || server.policy.quarantine_from == QuarantineFrom::Never {
        return server;
    }
    for one in &suspended.elements {
        let entries = server.policy.entries(one.kind);
        let entry = entries.get(&one.identity);
        if entry.is_some_and(|entry| entry.fingerprint.as_ref() == Some(&one.fingerprint)) {
            let entries = Arc::make_mut(&mut server).policy.entries_mut(one.kind);
            if let Some(entry) = entries.get_mut(&one.identity) {
                entry.state = EntryState::Quarantined;
            }
        }
    }
    server
}

#[cfg(test)]
mod tests {
    use authz::{Entry, Policy, Requirement, Revocations};
    use base::Secret;
    use testkit::MovableClock;
    use wire::oauth::JwkSet;

    use super::*;
    use crate::policy_feed;

    fn snapshot(fingerprint: &str, quarantine_from: QuarantineFrom) -> Arc<FeedSnapshot> {
        let entry = Entry {
            requirement: Requirement::Public,
            fingerprint: Some(fingerprint.to_owned()),
            ..Entry::default()
        };
        let server = ServerSnapshot {
            slug: "todo".into(),
            name: "Todo".into(),
            issuer: "https://a.example".into(),
            resource: "https://a.example/mcp/todo".into(),
            policy: Policy {
                tools: [("add".to_owned(), entry)].into(),
                quarantine_from,
                ..Policy::default()
            },
            policy_revision: 1,
            keys: JwkSet::default(),
            revocations: Revocations::default(),
            documentation_url: None,
            former_resources: Vec::new(),
            former_issuers: Vec::new(),
            session_mac_key: Secret::new(vec![1]),
            argument_digest_key: Secret::new(vec![2]),
        };
        Arc::new(FeedSnapshot {
            change: 1,
            servers: [("todo".to_owned(), Arc::new(server))].into(),
        })
    }

    #[test]
    fn what_is_suspended_is_quarantined_until_another_definition_is_the_accepted_one() {
        let (publisher, feed) = policy_feed(Arc::new(MovableClock::default()));
        let feed = ServerFeed::new("todo", feed);
        let is_accepted = || {
            let in_force = feed.last_in_force();
            in_force.is_some_and(|now| now.server().policy.tools["add"].state.is_accepted())
        };
        let suspended = Suspended {
            kind: ListKind::Tools,
            identity: "add".to_owned(),
            fingerprint: "2:one".to_owned(),
        };
        publisher.publish(snapshot("2:one", QuarantineFrom::Medium));
        assert!(is_accepted());
        feed.suspend(vec![suspended.clone()]);
        assert!(!is_accepted());
        feed.suspend(Vec::new());
        assert!(is_accepted(), "nothing is changed");
        feed.suspend(vec![suspended.clone()]);
        feed.unsuspend_from(1);
        assert!(
            is_accepted(),
            "the authority was told, and has nothing against it"
        );
        feed.suspend(vec![suspended.clone()]);
        assert!(!is_accepted(), "it could not be told of this");
        feed.unsuspend_from(2);
        assert!(!is_accepted(), "what it made of it has not come yet");
        let mut next = FeedSnapshot::clone(&snapshot("2:one", QuarantineFrom::Medium));
        let server = next.servers.get_mut("todo").expect("it is there");
        Arc::make_mut(server).policy_revision = 2;
        publisher.publish(Arc::new(next));
        assert!(is_accepted(), "it is as the authority has it");
        feed.suspend(vec![suspended]);
        publisher.publish(snapshot("2:two", QuarantineFrom::Medium));
        assert!(is_accepted(), "somebody approved another one");
        publisher.publish(snapshot("2:one", QuarantineFrom::Never));
        assert!(is_accepted(), "changes are recorded and nothing more");
        publisher.publish(snapshot("2:one", QuarantineFrom::Medium));
        assert!(!is_accepted());
    }
}
