use authz::{ListKind, Policy};
use base::Timestamp;
use domain::{AuditEvent, DefinitionState, PolicyOrigin, ServerSlug, StoredDefinition};

use crate::bulk::BulkStatement;
use crate::conn::Conn;
use crate::values::{Args, RowReader, refuse_nul, to_json};
use crate::{PublishOutcome, Store, StoreError};

/// How many accepted and how many rejected definitions of an element are kept, the newest ones.
const VERSIONS_MAX: i64 = 10;

/// What waits is never forgotten: a look by another node may have found it again meanwhile.
static FORGET: BulkStatement = BulkStatement::new(
    "DELETE FROM definition WHERE state <> 'pending' AND (server, kind, identity, fingerprint) IN (VALUES",
    4,
    ")",
);

/// What came of a decision over definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecideOutcome {
    /// The policy is in force, as this revision.
    Published(i64),
    /// Somebody else saved the policy in between; this is its revision now.
    Stale(i64),
    /// This element is not defined any more as it was looked at. Nothing was changed.
    Changed(String),
    /// No such server.
    Unknown,
}

/// What an inventory changes in what is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenDefinitions {
    /// Kept from now on. One that is pending replaces what was pending of its element.
    pub kept: Vec<StoredDefinition>,
    /// Elements of which nothing is pending any more.
    pub settled: Vec<(ListKind, String)>,
    /// Decided long ago: they make room for the others. Kind, identity and fingerprint.
    pub forgotten: Vec<(ListKind, String, String)>,
    /// Those that are listed again, or are not any more.
    pub listing: Vec<Listing>,
    /// The moment from which the next change of the policy counts that only takes what is listed, when this is one.
    pub took_at: Option<Timestamp>,
}

/// Whether a definition that is kept is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// Of the definition.
    pub fingerprint: String,
    /// Since when it is not; nothing when it is.
    pub unlisted_at: Option<Timestamp>,
}

impl SeenDefinitions {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
            && self.settled.is_empty()
            && self.forgotten.is_empty()
            && self.listing.is_empty()
    }
}

impl Conn {
    async fn keep_definition(
        &mut self,
        server: &ServerSlug,
        kept: &StoredDefinition,
    ) -> Result<(), StoreError> {
        if kept.state == DefinitionState::Pending {
            self.settle_definition(server, kept.kind, &kept.identity)
                .await?;
        }
        let sql = "INSERT INTO definition (server, kind, identity, fingerprint, state, definition, seen_at, decided_at, unlisted_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                   ON CONFLICT (server, kind, identity, fingerprint) DO UPDATE SET \
                   state = excluded.state, definition = excluded.definition, decided_at = excluded.decided_at, \
                   unlisted_at = excluded.unlisted_at";
        let args = of_element(9, server, kept.kind, &kept.identity)
            .text(&kept.fingerprint)
            .text(kept.state.as_str())
            .optional_text(kept.definition.as_deref())
            .time(kept.seen_at)
            .optional_time(kept.decided_at)
            .optional_time(kept.unlisted_at);
        self.execute(sql, args).await?;
        self.forget_definitions(server, kept.kind, &kept.identity)
            .await
    }

    async fn settle_definition(
        &mut self,
        server: &ServerSlug,
        kind: ListKind,
        identity: &str,
    ) -> Result<(), StoreError> {
        // One that a server went back to was accepted before it waited: it stays what others are compared with.
        let sql = "UPDATE definition SET state = 'accepted' WHERE server = $1 AND kind = $2 AND identity = $3 \
                   AND state = 'pending' AND decided_at IS NOT NULL";
        self.execute(sql, of_element(3, server, kind, identity))
            .await?;
        let sql = "DELETE FROM definition WHERE server = $1 AND kind = $2 AND identity = $3 AND state = 'pending'";
        self.execute(sql, of_element(3, server, kind, identity))
            .await
            .map(drop)
    }

    async fn forget_definitions(
        &mut self,
        server: &ServerSlug,
        kind: ListKind,
        identity: &str,
    ) -> Result<(), StoreError> {
        for state in [DefinitionState::Accepted, DefinitionState::Rejected] {
            let sql = "DELETE FROM definition WHERE server = $1 AND kind = $2 AND identity = $3 AND state = $4 \
                       AND fingerprint NOT IN (SELECT fingerprint FROM definition \
                       WHERE server = $1 AND kind = $2 AND identity = $3 AND state = $4 \
                       ORDER BY decided_at DESC LIMIT $5)";
            let args = of_element(5, server, kind, identity)
                .text(state.as_str())
                .int(VERSIONS_MAX);
            self.execute(sql, args).await?;
        }
        Ok(())
    }

    async fn note_inventory(
        &mut self,
        server: &ServerSlug,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE mcp_server SET inventory_published_at = $2 WHERE slug = $1";
        let args = Args::with_capacity(2).text(server.as_str()).time(at);
        self.execute(sql, args).await.map(drop)
    }

    async fn list_or_unlist(
        &mut self,
        server: &ServerSlug,
        one: &Listing,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE definition SET unlisted_at = $5 \
                   WHERE server = $1 AND kind = $2 AND identity = $3 AND fingerprint = $4";
        let args = of_element(5, server, one.kind, &one.identity)
            .text(&one.fingerprint)
            .optional_time(one.unlisted_at);
        self.execute(sql, args).await.map(drop)
    }

    /// Whether `looked_at` is what waits, or what was rejected and is listed still.
    async fn is_looked_at(
        &mut self,
        server: &ServerSlug,
        looked_at: &StoredDefinition,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT fingerprint FROM definition WHERE server = $1 AND kind = $2 AND identity = $3 \
                   AND fingerprint = $4 AND (state = 'pending' OR (state = 'rejected' AND unlisted_at IS NULL))";
        let args =
            of_element(4, server, looked_at.kind, &looked_at.identity).text(&looked_at.fingerprint);
        Ok(self.fetch_optional(sql, args).await?.is_some())
    }
}

impl Store {
    /// Saves what an inventory changed: the policy, if it did, as the next revision over the expected one, made by `origin`, and
    /// the definitions with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn publish_inventory(
        &self,
        slug: &ServerSlug,
        expected_revision: i64,
        policy: Option<(&Policy, PolicyOrigin)>,
        seen: SeenDefinitions,
        event: AuditEvent,
    ) -> Result<PublishOutcome, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let to_json = |(policy, origin)| Ok::<_, StoreError>((to_json(policy)?, origin));
        let policy = policy.map(to_json).transpose()?;
        let data = (slug.clone(), expected_revision, policy, seen, event);
        self.write(
            data,
            |conn, (slug, expected_revision, policy, seen, event)| {
                Box::pin(async move {
                    let outcome = match policy {
                        Some((policy, origin)) => {
                            conn.publish_policy(slug, *expected_revision, policy, *origin, event)
                                .await?
                        }
                        // Somebody may have decided about these very definitions meanwhile.
                        None => {
                            conn.wait_for_other_changes().await?;
                            match conn.policy_revision(slug).await? {
                                Some(now) if now == *expected_revision => {
                                    PublishOutcome::Published(now)
                                }
                                Some(now) => PublishOutcome::Stale(now),
                                None => PublishOutcome::Unknown,
                            }
                        }
                    };
                    if let PublishOutcome::Published(_) = outcome {
                        for (kind, identity) in &seen.settled {
                            conn.settle_definition(slug, *kind, identity).await?;
                        }
                        for one in &seen.listing {
                            conn.list_or_unlist(slug, one).await?;
                        }
                        for (kind, identity, fingerprint) in &seen.forgotten {
                            let key = of_element(4, slug, *kind, identity).text(fingerprint);
                            conn.insert_later(&FORGET, key);
                        }
                        conn.flush().await?;
                        for kept in &seen.kept {
                            conn.keep_definition(slug, kept).await?;
                        }
                        if let Some(took_at) = seen.took_at {
                            conn.note_inventory(slug, took_at).await?;
                        }
                    }
                    Ok(outcome)
                })
            },
        )
        .await
    }

    /// What [`SeenDefinitions::took_at`] was last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn inventory_published_at(
        &self,
        slug: &ServerSlug,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT slug, inventory_published_at FROM mcp_server WHERE slug = $1";
        let args = Args::with_capacity(1).text(slug.as_str());
        let row = self.fetch_optional(sql, args).await?;
        row.map_or(Ok(None), |row| {
            RowReader::new(&row, "mcp_server").optional_time(1)
        })
    }

    /// Saves what a person decided of definitions, with the policy that follows from it, as the next revision over the
    /// expected one. Each of `decided` is one that they looked at; when one has changed since, nothing is saved.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn decide_definitions(
        &self,
        slug: &ServerSlug,
        expected_revision: i64,
        policy: &Policy,
        decided: Vec<StoredDefinition>,
        event: AuditEvent,
    ) -> Result<DecideOutcome, StoreError> {
        refuse_nul(&[("detail", &event.detail)])?;
        let data = (
            slug.clone(),
            expected_revision,
            to_json(policy)?,
            decided,
            event,
        );
        self.write(
            data,
            |conn, (slug, expected_revision, policy, decided, event)| {
                Box::pin(async move {
                    // What was looked at is what waits until this is written.
                    conn.wait_for_other_changes().await?;
                    for one in decided.iter() {
                        if !conn.is_looked_at(slug, one).await? {
                            return Ok(DecideOutcome::Changed(one.identity.clone()));
                        }
                    }
                    let origin = PolicyOrigin::Decision;
                    let published = conn
                        .publish_policy(slug, *expected_revision, policy, origin, event)
                        .await?;
                    match published {
                        PublishOutcome::Unknown => Ok(DecideOutcome::Unknown),
                        PublishOutcome::Stale(revision) => Ok(DecideOutcome::Stale(revision)),
                        PublishOutcome::Published(revision) => {
                            for one in decided.iter() {
                                conn.settle_definition(slug, one.kind, &one.identity)
                                    .await?;
                                conn.keep_definition(slug, one).await?;
                            }
                            Ok(DecideOutcome::Published(revision))
                        }
                    }
                })
            },
        )
        .await
    }

    /// All definitions that are kept of a server, without their text but with its length.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_definitions(
        &self,
        slug: &ServerSlug,
    ) -> Result<Vec<StoredDefinition>, StoreError> {
        let sql = "SELECT kind, identity, fingerprint, state, seen_at, decided_at, unlisted_at, \
                   COALESCE(OCTET_LENGTH(definition), 0) FROM definition \
                   WHERE server = $1 ORDER BY kind, identity, seen_at, fingerprint";
        let args = Args::with_capacity(1).text(slug.as_str());
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "definition");
                let text_bytes = usize::try_from(row.int(7)?).unwrap_or(usize::MAX);
                Ok(StoredDefinition {
                    text_bytes,
                    ..read(&row, None)?
                })
            })
            .collect()
    }

    /// The definitions that are kept of one element, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_versions(
        &self,
        slug: &ServerSlug,
        kind: ListKind,
        identity: &str,
    ) -> Result<Vec<StoredDefinition>, StoreError> {
        let sql = "SELECT kind, identity, fingerprint, state, seen_at, decided_at, unlisted_at, definition FROM definition \
                   WHERE server = $1 AND kind = $2 AND identity = $3 ORDER BY seen_at, fingerprint";
        let rows = self
            .fetch_all(sql, of_element(3, slug, kind, identity))
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "definition");
                read(&row, row.optional_text(7)?)
            })
            .collect()
    }
}

fn of_element(capacity: usize, server: &ServerSlug, kind: ListKind, identity: &str) -> Args {
    Args::with_capacity(capacity)
        .text(server.as_str())
        .text(kind.member())
        .text(identity)
}

fn read(row: &RowReader<'_>, definition: Option<&str>) -> Result<StoredDefinition, StoreError> {
    let kind_of = |text: &str| {
        let mut kinds = ListKind::DEFINED.into_iter();
        kinds.find(|kind| kind.member() == text)
    };
    Ok(StoredDefinition {
        kind: row.parse(0, kind_of)?,
        identity: row.text(1)?.to_owned(),
        fingerprint: row.text(2)?.to_owned(),
        state: row.parse(3, DefinitionState::parse)?,
        definition: definition.map(str::to_owned),
        text_bytes: definition.map_or(0, str::len),
        seen_at: row.time(4)?,
        decided_at: row.optional_time(5)?,
        unlisted_at: row.optional_time(6)?,
    })
}
