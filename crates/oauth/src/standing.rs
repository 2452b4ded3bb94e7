use std::sync::Arc;
use std::time::Duration;

use authz::{CallerFacts, Grantable, ScopeWithheld};
use domain::{ClientId, ClientRegistration, UserId, WithheldReason, WithheldScope};
use store::{PersonStanding, StoreError};
use wire::oauth::ScopeSet;

use crate::{Authority, Error, ServerContext, administration};

/// The most ids of one kind that stand in a token.
const IDS_MAX: usize = 64;

/// Who asks, through which client, with the roles and groups that count at this server now.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    subject: String,
    client: String,
    pub client_vouched: bool,
    pub client_proven: bool,
    pub roles: Vec<String>,
    pub groups: Vec<String>,
    /// Which of this person's standings it is. A token says so, and is refused when a later one has begun.
    pub revision: i64,
    /// The server as the store has it, when the one that was given is older.
    newer: Option<Arc<ServerContext>>,
}

impl Standing {
    /// Reads what the store knows; `client_proven` is what the request or the token says of its client. Also where the policy says nothing of roles: it may have done so a moment ago.
    ///
    /// # Errors
    /// When the store fails, or the policy is being changed.
    pub async fn of(
        authority: &Authority,
        server: &ServerContext,
        subject: &str,
        client: &ClientId,
        client_proven: bool,
    ) -> Result<Self, Error> {
        let mut standing = Self {
            subject: subject.to_owned(),
            client: client.as_str().to_owned(),
            client_vouched: false,
            client_proven,
            roles: Vec::new(),
            groups: Vec::new(),
            revision: 0,
            newer: None,
        };
        if subject == client.as_str() {
            if !server.server.policy.subject_rules.is_empty() {
                standing.client_vouched = is_vouched_for(authority, server, client).await?;
            }
            return Ok(standing);
        }
        let given = authority
            .store()
            .standing_of(&server.server.slug, subject)
            .await?;
        standing.newer = newer(authority, server, &given).await?;
        let policy = &standing.newer.as_deref().unwrap_or(server).server.policy;
        if !policy.subject_rules.is_empty() {
            standing.client_vouched = is_vouched_for(authority, server, client).await?;
        }
        let named = policy.named_groups();
        standing.revision = given.revision;
        standing.roles = match server.is_administration() {
            true => roles_of_owner(authority, subject).await?,
            false => given.roles,
        };
        standing.roles.retain(|id| policy.role(id).is_some());
        standing.roles.truncate(IDS_MAX);
        standing.groups = given.groups;
        standing.groups.retain(|id| named.contains(id.as_str()));
        standing.groups.truncate(IDS_MAX);
        Ok(standing)
    }

    /// Which of the scopes `asked` may stand in a token, and why the others may not.
    pub fn grantable(&self, server: &ServerContext, asked: &ScopeSet) -> Grantable {
        let facts = CallerFacts {
            subject: &self.subject,
            client: &self.client,
            client_vouched: self.client_vouched,
            client_proven: self.client_proven,
            client_of_other_issuer: false,
            roles: &self.roles,
            groups: &self.groups,
        };
        let server = self.newer.as_deref().unwrap_or(server);
        authz::grantable(&server.server.policy, &facts, asked)
    }

    /// Of the scopes `asked`, those that roles or rules withhold now.
    pub fn withheld(&self, server: &ServerContext, asked: &ScopeSet) -> Vec<WithheldScope> {
        let withheld = self.grantable(server, asked).withheld.into_iter();
        withheld
            .filter_map(|(scope, reason)| {
                let reason = match reason {
                    ScopeWithheld::NotPermitted => WithheldReason::NotPermitted,
                    ScopeWithheld::DeniedByRule(_) => WithheldReason::DeniedByRule,
                    ScopeWithheld::NotDeclared => return None,
                };
                Some(WithheldScope { scope, reason })
            })
            .collect()
    }
}

/// The server with the policy that was in force when `given` was read, unless `server` has it: what a token says must be what
/// the policy asks that its standing came with.
async fn newer(
    authority: &Authority,
    server: &ServerContext,
    given: &PersonStanding,
) -> Result<Option<Arc<ServerContext>>, Error> {
    let has_it = |server: &ServerContext| server.server.policy_revision == given.policy_revision;
    if has_it(server) {
        return Ok(None);
    }
    let loaded = || {
        authority
            .server(server.slug())
            .filter(|server| has_it(server))
    };
    if let Some(loaded) = loaded() {
        return Ok(Some(loaded));
    }
    let again = Duration::from_secs(1);
    authority
        .reload()
        .await
        .map_err(|error| Error::temporarily_unavailable(again, error))?;
    let loaded = loaded().ok_or_else(|| {
        Error::temporarily_unavailable(again, "the policy was changed at this moment")
    })?;
    Ok(Some(loaded))
}

/// What a person is at the admin API at this moment: never what they were once.
async fn roles_of_owner(authority: &Authority, subject: &str) -> Result<Vec<String>, StoreError> {
    let id = UserId::from_text(subject);
    let person = authority.store().find_user(&id).await?;
    let person = person.filter(|person| person.disabled_at.is_none());
    Ok(person.map_or_else(Vec::new, |person| administration::roles_of(person.role)))
}

/// Whether the client did not register itself.
async fn is_vouched_for(
    authority: &Authority,
    server: &ServerContext,
    client: &ClientId,
) -> Result<bool, StoreError> {
    // The host of a document vouches for it, and a service token was made by whom it belongs to.
    if client.is_metadata_document() {
        return Ok(false);
    }
    if client.as_str().starts_with("svt_") {
        return Ok(true);
    }
    let found = authority
        .store()
        .find_client(&server.server.slug, client)
        .await?;
    Ok(found.is_some_and(|client| client.registration == ClientRegistration::PreRegistered))
}
