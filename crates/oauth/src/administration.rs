//! The admin API as a protected resource of the authority itself. It has an issuer, clients, consents and grants of its own
//! as an MCP server has, and is none: no list and no feed has it, no gateway forwards to it.

use std::collections::BTreeMap;

use authz::{Entry, Mode, Policy, Requirement, Risk, Role, RoleScopes, ScopeDeclaration};
use base::Timestamp;
use domain::{
    McpServer, MetadataDocumentTrust, NativeSchemes, OtherAddresses, ServerSettings, ServerSlug,
    Upstream, UserRole,
};
use store::{Store, StoreError};
use wire::oauth::{Scope, ScopeSet};

/// Its slug, which no MCP server can have.
pub const SLUG: &str = "portcullis-admin";

/// Where it answers, at the origin of the dashboard. Its resource is exactly that.
pub const PATH: &str = "/admin/api/v1";

/// The scope to look at things.
pub const READ: &str = "portcullis:read";

/// The scope to change them, which contains the other.
pub const WRITE: &str = "portcullis:write";

/// How long its access tokens live, in seconds.
pub const ACCESS_TOKEN_SECONDS: u64 = 15 * 60;

/// The role of owners. Nobody else has any, and without one a person may have no scope.
const OWNER: &str = "rol_owner";

/// What can be done there, as tools of its policy.
pub(crate) const LOOK: &str = "look";
pub(crate) const CHANGE: &str = "change";

/// Its slug.
pub fn slug() -> ServerSlug {
    ServerSlug::parse(SLUG).expect("a slug")
}

/// It, at the origin of the dashboard.
pub fn server(origin: &str) -> McpServer {
    let resource = format!("{origin}{PATH}");
    McpServer {
        slug: slug(),
        name: "the administration of Portcullis".to_owned(),
        other_addresses: OtherAddresses::default(),
        upstream: Upstream::Http {
            url: resource.clone(),
            header_file: None,
        },
        settings: ServerSettings {
            // Only programs on the owner's own machine come by themselves; see `registered_redirects`.
            metadata_documents: MetadataDocumentTrust::Off,
            native_schemes: NativeSchemes::Off,
            access_token_seconds: ACCESS_TOKEN_SECONDS,
            refresh_token_seconds: 30 * 24 * 3600,
            ..ServerSettings::default()
        },
        policy: policy(),
        // As the row has it that `Store::reserve_slug` writes.
        policy_revision: 0,
        created_at: Timestamp::default(),
        resource,
    }
}

/// Makes the row on which its clients hang. False when an MCP server of an earlier release has its slug.
///
/// # Errors
/// When the store fails.
pub async fn ensure(store: &Store, now: Timestamp) -> Result<bool, StoreError> {
    store.reserve_slug(&slug(), now).await
}

/// The ids of the roles that somebody has there, by what they are here.
pub(crate) fn roles_of(role: UserRole) -> Vec<String> {
    match role {
        UserRole::Owner => vec![OWNER.to_owned()],
        UserRole::Member => Vec::new(),
    }
}

fn policy() -> Policy {
    let named = |name: &str| Scope::parse(name).expect("a scope name");
    let only = |name: &str| -> ScopeSet { [named(name)].into_iter().collect() };
    let declared = |name: &str, title: &str, risk, implies| ScopeDeclaration {
        id: name.to_owned(),
        name: named(name),
        title: title.to_owned(),
        risk,
        implies,
    };
    let entry = |scope: &str, title: &str, description: &str| Entry {
        requirement: Requirement::AnyOf(vec![only(scope)]),
        title: title.to_owned(),
        description: description.to_owned(),
        pinned: true,
        ..Entry::default()
    };
    let look = entry(
        READ,
        "Look",
        "MCP servers, scopes, tools, policies, who has access, and the audit log",
    );
    let change = entry(
        WRITE,
        "Change",
        "Who may call which tool, what waits for a decision, settings, and whose access ends",
    );
    Policy {
        mode: Mode::Enforce,
        scopes: vec![
            declared(
                READ,
                "Look at everything that owners see",
                Risk::High,
                ScopeSet::new(),
            ),
            declared(
                WRITE,
                "Change MCP servers and their policies",
                Risk::Critical,
                only(READ),
            ),
        ],
        default_scopes: only(READ),
        tools: BTreeMap::from([(LOOK.to_owned(), look), (CHANGE.to_owned(), change)]),
        roles: vec![Role {
            id: OWNER.to_owned(),
            name: "owner".to_owned(),
            title: "Owner".to_owned(),
            scopes: RoleScopes::All,
        }],
        ..Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_policy_breaks_no_rule() {
        assert_eq!(authz::check(&policy(), |_| None), []);
    }
}
