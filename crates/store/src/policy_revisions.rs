use authz::{ListKind, Policy, Returning};
use domain::{
    AuditEvent, ClientId, DefinitionState, PolicyOrigin, PolicyRevision, ServerSlug, UserId,
};

use crate::conn::Conn;
use crate::servers::PolicyText;
use crate::values::{Args, RowReader, refuse_nul, to_json};
use crate::{PublishOutcome, Store, StoreError};

/// How many revisions of a server's policy are kept that people made, the newest ones.
pub const REVISIONS_MAX: i64 = 1_000;
/// How long they are together, in characters. The newest is kept however long it is.
const REVISIONS_CHARS_MAX: i64 = 32 * 1024 * 1024;
/// The same of those that a look at the server made, and of those that a node of the release before saved: apart, since a server
/// can bring about as many as it likes.
pub const LOOKS_MAX: i64 = 100;
const LOOKS_CHARS_MAX: i64 = 8 * 1024 * 1024;

/// The statement that forgets the oldest revisions of some origins: $1 is the server, $2 how many are kept, $3 how long they are
/// together.
macro_rules! forget {
    ($origins:literal) => {
        concat!(
            "DELETE FROM policy_revision WHERE server = $1 AND ",
            $origins,
            " AND revision < (SELECT MIN(revision) FROM (SELECT revision, ROW_NUMBER() OVER (ORDER BY revision DESC) AS place, \
             SUM(size) OVER (ORDER BY revision DESC) AS together FROM policy_revision WHERE server = $1 AND ",
            $origins,
            ") AS sized WHERE place = 1 OR (place <= $2 AND together <= $3))"
        )
    };
}

/// What came of publishing an earlier policy again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollBackOutcome {
    /// It is in force, as this revision.
    Published(i64),
    /// Somebody else saved in between; this is the revision now.
    Stale(i64),
    /// This element comes back, and is not defined any more as it was accepted then. Nothing was changed.
    Changed(String),
    /// No such server.
    Unknown,
}

/// An earlier policy that is to be published again.
#[derive(Debug, Clone)]
pub struct RollBack {
    /// Of which MCP server.
    pub server: ServerSlug,
    /// The revision that was in force when it was made up.
    pub expected_revision: i64,
    /// The revision that it was.
    pub of_revision: i64,
    /// As it is to be now.
    pub policy: Policy,
    /// What the policy in force does not have and this one calls accepted: nothing else may wait, and nobody may have said
    /// no to it. Where nobody knows the definition that was accepted, nothing may wait and nobody may have said no at all.
    pub returning: Vec<Returning>,
    /// Written with it.
    pub event: AuditEvent,
}

impl Conn {
    /// Keeps what is in force when nobody did, as a release that kept no revisions does not.
    pub(crate) async fn keep_present_policy(
        &mut self,
        slug: &ServerSlug,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO policy_revision (server, revision, origin, detail, size, policy, policy_rest) \
                   SELECT slug, policy_revision, $2, '', LENGTH(policy) + COALESCE(LENGTH(policy_rest), 0), policy, policy_rest \
                   FROM mcp_server \
                   WHERE slug = $1 AND removed_at IS NULL ON CONFLICT (server, revision) DO NOTHING";
        let args = Args::with_capacity(2)
            .text(slug.as_str())
            .text(PolicyOrigin::Unknown.as_str());
        self.execute(sql, args).await.map(drop)
    }

    /// Keeps `policy`, which is in force now as `revision`, and forgets the oldest.
    pub(crate) async fn keep_policy_revision(
        &mut self,
        slug: &ServerSlug,
        revision: i64,
        policy: &PolicyText,
        origin: PolicyOrigin,
        event: &AuditEvent,
    ) -> Result<(), StoreError> {
        let parts = [Some(&policy.plain), policy.rest.as_ref()];
        let size: usize = parts
            .iter()
            .flatten()
            .map(|part| part.chars().count())
            .sum();
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let sql = "INSERT INTO policy_revision \
                   (server, revision, at, user_id, origin, detail, size, policy, of_revision, policy_rest, client_id) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULLIF($9, 0), $10, $11)";
        let args = Args::with_capacity(11)
            .text(slug.as_str())
            .int(revision)
            .time(event.at)
            .optional_text(event.user.as_ref().map(UserId::as_str))
            .text(origin.as_str())
            .text(&event.detail)
            .int(size)
            .text(&policy.plain)
            .int(origin.of_revision().unwrap_or_default())
            .optional_text(policy.rest.as_deref())
            .optional_text(event.client.as_ref().map(ClientId::as_str));
        self.execute(sql, args).await?;
        for (sql, max, chars_max) in [
            (
                forget!("origin NOT IN ('inventory', 'unknown')"),
                REVISIONS_MAX,
                REVISIONS_CHARS_MAX,
            ),
            (forget!("origin = 'inventory'"), LOOKS_MAX, LOOKS_CHARS_MAX),
            // Of a node of the release before nobody knows whether a person or a look made it. The first is what was in force
            // when revisions began to be kept.
            (
                forget!(
                    "origin = 'unknown' AND revision > (SELECT MIN(revision) FROM policy_revision \
                     WHERE server = $1 AND origin = 'unknown')"
                ),
                LOOKS_MAX,
                LOOKS_CHARS_MAX,
            ),
        ] {
            let args = Args::with_capacity(3)
                .text(slug.as_str())
                .int(max)
                .int(chars_max);
            self.execute(sql, args).await?;
        }
        Ok(())
    }

    /// Whether `policy` calls something accepted that the present one does not have, and of which something else waits, or that
    /// somebody rejected.
    pub(crate) async fn lifts_a_quarantine(
        &mut self,
        slug: &ServerSlug,
        policy: &Policy,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT slug, policy, policy_rest FROM mcp_server WHERE slug = $1";
        let row = self
            .fetch_optional(sql, Args::with_capacity(1).text(slug.as_str()))
            .await?;
        let Some(row) = row else { return Ok(false) };
        let present = PolicyText::read(&RowReader::new(&row, "mcp_server"), 1, 2)?;
        let sql = "SELECT kind, identity, fingerprint, state FROM definition \
                   WHERE server = $1 AND state IN ('pending', 'rejected')";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).text(slug.as_str()))
            .await?;
        for row in &rows {
            let row = RowReader::new(row, "definition");
            let kind_of = |text: &str| ListKind::ALL.into_iter().find(|kind| kind.member() == text);
            let (kind, identity) = (row.parse(0, kind_of)?, row.text(1)?);
            let entry = policy.entries(kind).get(identity);
            let Some(entry) = entry.filter(|entry| entry.state.is_accepted()) else {
                continue;
            };
            if present.entries(kind).contains_key(identity) {
                continue;
            }
            let then = entry.fingerprint.as_deref();
            let then = then.filter(|one| authz::is_comparable(one));
            let is_then = Some(row.text(2)?) == then;
            let is_other = match row.parse(3, DefinitionState::parse)? {
                DefinitionState::Pending => !is_then,
                DefinitionState::Rejected => is_then || then.is_none(),
                DefinitionState::Accepted => false,
            };
            if is_other {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether something else waits of an element than was accepted, or somebody said no to that.
    async fn is_not_as_accepted(
        &mut self,
        slug: &ServerSlug,
        returning: &Returning,
    ) -> Result<bool, StoreError> {
        // No fingerprint is empty.
        let sql = "SELECT fingerprint FROM definition WHERE server = $1 AND kind = $2 AND identity = $3 \
                   AND ((state = 'pending' AND fingerprint <> $4) OR (state = 'rejected' AND (fingerprint = $4 OR $4 = ''))) LIMIT 1";
        let args = Args::with_capacity(4)
            .text(slug.as_str())
            .text(returning.kind.member())
            .text(&returning.identity)
            .text(returning.fingerprint.as_deref().unwrap_or_default());
        Ok(self.fetch_optional(sql, args).await?.is_some())
    }
}

impl Store {
    /// Publishes an earlier policy again, as the next revision over the expected one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn roll_back_policy(
        &self,
        roll_back: RollBack,
    ) -> Result<RollBackOutcome, StoreError> {
        refuse_nul(&[("detail", &roll_back.event.detail)])?;
        let policy = to_json(&roll_back.policy)?;
        self.write((roll_back, policy), |conn, (roll_back, policy)| {
            Box::pin(async move {
                conn.wait_for_other_changes().await?;
                let slug = &roll_back.server;
                for one in &roll_back.returning {
                    if conn.is_not_as_accepted(slug, one).await? {
                        return Ok(RollBackOutcome::Changed(one.identity.clone()));
                    }
                }
                let published = conn
                    .publish_policy(
                        slug,
                        roll_back.expected_revision,
                        policy,
                        PolicyOrigin::RollBack(roll_back.of_revision),
                        &roll_back.event,
                    )
                    .await?;
                Ok(match published {
                    PublishOutcome::Published(revision) => RollBackOutcome::Published(revision),
                    PublishOutcome::Stale(revision) => RollBackOutcome::Stale(revision),
                    PublishOutcome::Unknown => RollBackOutcome::Unknown,
                })
            })
        })
        .await
    }

    /// The revisions of a server's policy that are kept, the newest first: `before` this one, or from the newest on. What a
    /// node of the release before saved, and another one after it, is missing.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_policy_revisions(
        &self,
        slug: &ServerSlug,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PolicyRevision>, StoreError> {
        let sql = "SELECT server, revision, at, user_id, origin, of_revision, detail, client_id FROM policy_revision \
                   WHERE server = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";
        let args = Args::with_capacity(3)
            .text(slug.as_str())
            .int(before.unwrap_or(i64::MAX))
            .limit(limit);
        let rows = self.fetch_all(sql, args).await?;
        rows.iter()
            .map(|row| read(&RowReader::new(row, "policy_revision")))
            .collect()
    }

    /// One revision that is kept, with its policy.
    ///
    /// # Errors
    /// When it cannot be read, as one that a newer release wrote.
    pub async fn find_policy_revision(
        &self,
        slug: &ServerSlug,
        revision: i64,
    ) -> Result<Option<(PolicyRevision, Policy)>, StoreError> {
        let sql = "SELECT server, revision, at, user_id, origin, of_revision, detail, client_id, policy, policy_rest FROM policy_revision \
                   WHERE server = $1 AND revision = $2";
        let args = Args::with_capacity(2).text(slug.as_str()).int(revision);
        let row = self.fetch_optional(sql, args).await?;
        row.map(|row| {
            let row = RowReader::new(&row, "policy_revision");
            Ok((read(&row)?, PolicyText::read(&row, 8, 9)?))
        })
        .transpose()
    }
}

fn read(row: &RowReader<'_>) -> Result<PolicyRevision, StoreError> {
    Ok(PolicyRevision {
        server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
        revision: row.int(1)?,
        at: row.optional_time(2)?,
        by: row.optional_text(3)?.map(UserId::from_text),
        through: row.optional_text(7)?.map(ClientId::from_text),
        origin: PolicyOrigin::read(row.text(4)?, row.optional_int(5)?),
        detail: row.text(6)?.to_owned(),
    })
}
