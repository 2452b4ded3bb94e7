use serde::{Deserialize, Serialize};

use super::ScopeSet;

/// The claims of our access tokens: RFC 9068 (`typ` is `at+jwt`) plus `grant_id` and `roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The issuer of one MCP server, `{public_url}/servers/{slug}`.
    pub iss: String,
    /// `usr_…` of a person, `cli_…` of a machine client.
    pub sub: String,
    /// The canonical resource of the MCP server; always one string.
    pub aud: String,
    /// When it ends, in Unix seconds.
    pub exp: i64,
    /// When it was issued, in Unix seconds.
    pub iat: i64,
    /// Unique to the token.
    pub jti: String,
    /// The client it was issued to.
    pub client_id: String,
    /// The scopes granted, space separated.
    pub scope: ScopeSet,
    /// The token family: what a revocation names.
    pub grant_id: String,
    /// When the person signed in, in Unix seconds. Absent for machines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth_time: Option<i64>,
    /// Ids of the roles that this person has at this server; at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub roles: Vec<String>,
    /// Ids of the groups that this person is in, of those that this server's policy names; at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub groups: Vec<String>,
    /// The revision of this person's roles and groups that it was minted with; 0 while they were given none. After a change
    /// of these, tokens of a lower one are refused.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub standing: i64,
    /// Whether an admin registered the client, so that rules for unverified clients do not speak of it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub client_vouched: bool,
    /// Whether the client proved to be the one of its id: by a key or a secret, or since the code went to an https address at
    /// the origin of its document.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub client_proven: bool,
    /// RFC 7800 confirmation; parsed and honoured when present.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cnf: Option<serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
