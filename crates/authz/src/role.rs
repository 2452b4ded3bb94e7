use serde::{Deserialize, Serialize};
use wire::oauth::ScopeSet;

/// What some people may have at one MCP server. Who has it is kept beside the policy and stands in their tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Immutable, `rol_…`.
    pub id: String,
    /// What an admin types, such as `reader`.
    pub name: String,
    /// What people read.
    #[serde(default)]
    pub title: String,
    /// What it permits, and all that this implies.
    pub scopes: RoleScopes,
}

/// The scopes that a role permits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleScopes {
    /// Every scope that the server declares, later ones included.
    All,
    /// These.
    Only(ScopeSet),
}
