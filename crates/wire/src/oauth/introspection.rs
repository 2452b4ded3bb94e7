use serde::{Deserialize, Serialize};

use super::{Scope, ScopeSet};

/// An introspection response (RFC 7662 section 2.2). An inactive one has no other member: absent ones are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct IntrospectionResponse {
    /// Whether the token is good, here and now, for the MCP server that asks.
    pub active: bool,
    /// What it is good for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<ScopeSet>,
    /// To whom it was issued.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
    /// Always `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_type: Option<String>,
    /// When it ends, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exp: Option<i64>,
    /// When it was issued, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iat: Option<i64>,
    /// Who it stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub: Option<String>,
    /// The resource.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aud: Option<String>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iss: Option<String>,
    /// Its own id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jti: Option<String>,
    /// The approval behind it. Not part of any RFC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant_id: Option<String>,
    /// Whether the client proved to be the one of its id, as in the access token. Not part of any RFC.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub client_proven: bool,
    /// When the person proved who they are, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth_time: Option<i64>,
    /// The roles that the access token names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub roles: Vec<String>,
    /// For a service token: the access token that stands for it for the next minutes. Not part of any RFC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access_token: Option<String>,
    /// What was asked for and not granted. Not part of any RFC.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub withheld_scopes: Vec<WithheldScopeEntry>,
}

/// A scope that was asked for and not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldScopeEntry {
    /// The scope.
    pub scope: Scope,
    /// Why not, as a word.
    pub reason: String,
    /// Why not, in words.
    pub description: String,
}
