//! Turns what the store holds into the snapshot that gateways enforce.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::oauth::{Authority, OpenError};
use authz::{FeedSnapshot, Revocations, RevokedGrants, ServerSnapshot};
use base::Timestamp;
use domain::ServerSlug;
use store::{ChangeMark, Store, StoreError};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::metric;

/// How often the change row is read: edits from a command line or another node are felt after this long at most.
const POLL: Duration = Duration::from_millis(250);

/// What the feed has to say.
#[derive(Debug, Clone)]
pub enum FeedUpdate {
    /// Something changed; this is everything now.
    Snapshot(Arc<FeedSnapshot>),
    /// The authority was asked, and nothing has changed.
    Contact,
}

/// Reads the authority's state again and makes the snapshot of it.
///
/// # Errors
/// When the store fails; the authority then goes on with what it had.
pub async fn snapshot(authority: &Authority) -> Result<FeedSnapshot, OpenError> {
    snapshot_after(authority, &mut KnownRevoked::default()).await
}

/// The grants that were read before: of very many, only those that a later change revoked are read again.
#[derive(Debug, Default)]
struct KnownRevoked {
    /// What is known includes this change; nothing is known without one.
    change: Option<i64>,
    /// The epoch and the moment of the read: after a restore, and when the clock was set back, all are read again.
    epoch: i64,
    at: Timestamp,
    by_server: HashMap<ServerSlug, RevokedGrants>,
}

impl KnownRevoked {
    /// Reads on, to at least the change `change`.
    async fn read_on(
        &mut self,
        store: &Store,
        change: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let epoch = store.epoch().number;
        if self.epoch != epoch || now < self.at || self.change > Some(change) {
            *self = Self::default();
        }
        let revoked = store
            .list_revoked_grants(self.change.unwrap_or(-1), now)
            .await?;
        let mut new: HashMap<ServerSlug, Vec<(String, Timestamp)>> = HashMap::new();
        for (server, grant, until) in revoked {
            let grant = grant.as_str().to_owned();
            new.entry(server).or_default().push((grant, until));
        }
        for server in self.by_server.keys() {
            new.entry(server.clone()).or_default();
        }
        for (server, new) in new {
            let known = self.by_server.entry(server).or_default();
            *known = known.with(new, now);
        }
        self.change = Some(change);
        (self.epoch, self.at) = (epoch, now);
        Ok(())
    }
}

async fn snapshot_after(
    authority: &Authority,
    known: &mut KnownRevoked,
) -> Result<FeedSnapshot, OpenError> {
    // The counter first: what changes while we read is read again at the next tick, never missed.
    let change = authority.store().change_counter().await?;
    authority.reload().await?;
    authority.store().refresh_epoch().await?;
    let now = authority.now();
    known.read_on(authority.store(), change, now).await?;
    let cut_offs = authority.store().list_client_cut_offs(now).await?;
    // Nobody will have these ids again, so that every token on their behalf is refused, whenever it was issued.
    let deleted: HashMap<String, Timestamp> = authority
        .store()
        .list_deleted_subjects(now)
        .await?
        .into_iter()
        .map(|(user, until)| (user.as_str().to_owned(), until))
        .collect();
    let subjects = authority.store().list_subject_cut_offs(now).await?;
    let servers = authority
        .servers()
        .values()
        .map(|context| {
            let server = &context.server;
            let snapshot = ServerSnapshot {
                slug: context.slug().to_owned(),
                name: server.name.clone(),
                issuer: context.issuer.clone(),
                former_issuers: context.former_issuers.clone(),
                resource: server.resource.clone(),
                former_resources: server
                    .other_addresses
                    .former
                    .iter()
                    .map(|former| (former.resource.clone(), former.accepted_until))
                    .collect(),
                policy: server.policy.clone(),
                policy_revision: server.policy_revision,
                keys: authority.access_jwks(),
                revocations: Revocations {
                    grants: known
                        .by_server
                        .get(&server.slug)
                        .cloned()
                        .unwrap_or_default(),
                    clients: cut_offs
                        .iter()
                        .filter(|cut_off| cut_off.server == server.slug)
                        .map(|cut_off| (cut_off.client.as_str().to_owned(), cut_off.issued_before))
                        .collect(),
                    subjects: deleted.clone(),
                    standings: subjects
                        .iter()
                        .filter(|cut_off| cut_off.server == server.slug)
                        .map(|cut_off| (cut_off.user.as_str().to_owned(), cut_off.standing))
                        .collect(),
                    everybody: Some(authority.store().epoch().began_at),
                },
                documentation_url: server.settings.documentation_url.clone(),
                session_mac_key: authority.session_mac_key(context.slug()),
                argument_digest_key: authority.argument_digest_key(context.slug()),
            };
            (snapshot.slug.clone(), Arc::new(snapshot))
        })
        .collect();
    Ok(FeedSnapshot { change, servers })
}

/// Feeds `sink` until it is dropped or aborted: at once, after each wake-up, and when a poll sees a change. While the
/// store fails, nothing is sent and the last good snapshot stays in force.
pub async fn run(authority: Authority, wake: Arc<Notify>, mut sink: impl FnMut(FeedUpdate) + Send) {
    let mut known = None;
    let mut revoked = KnownRevoked::default();
    let mut failing = false;
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = wake.notified() => {}
        }
        match step(&authority, &mut known, &mut revoked).await {
            Ok(update) => {
                if failing {
                    tracing::info!("the policy feed is back");
                    failing = false;
                }
                sink(update);
            }
            Err(error) => {
                metric::feed_failed();
                if !failing {
                    failing = true;
                    tracing::error!(reason = %error, "the policy feed cannot be read; the last snapshot stays in force");
                }
            }
        }
    }
}

async fn step(
    authority: &Authority,
    known: &mut Option<ChangeMark>,
    revoked: &mut KnownRevoked,
) -> Result<FeedUpdate, OpenError> {
    // Before the snapshot, for the reason that is given there.
    let mark = authority.store().change_mark().await?;
    if *known == Some(mark) {
        return Ok(FeedUpdate::Contact);
    }
    let snapshot = snapshot_after(authority, revoked).await?;
    *known = Some(mark);
    Ok(FeedUpdate::Snapshot(Arc::new(snapshot)))
}
