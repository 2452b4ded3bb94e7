//! What the server does; a break turns one of these.

use std::time::Duration;

/// Each as it should be in [`Rules::default`].
#[derive(Debug, Clone)]
pub(super) struct Rules {
    // Tokens.
    pub any_text_is_a_token: bool,
    pub signature_is_checked: bool,
    pub expiry_is_checked: bool,
    pub expiry_is_required: bool,
    pub audience_is_checked: bool,
    pub audience_is_required: bool,
    pub issuer_is_checked: bool,
    /// Taken as well.
    pub other_audience: Option<&'static str>,
    pub other_issuer: Option<&'static str>,
    pub none_is_an_algorithm: bool,
    pub public_key_is_a_secret: bool,
    pub unknown_kid_passes: bool,
    pub token_in_query: bool,
    pub only_capital_bearer: bool,
    pub expired_status: u16,
    pub bad_token_status: u16,
    // Around the check.
    pub foreign_origin_passes: bool,
    pub host_is_checked: bool,
    pub open_path: fn(&str) -> bool,
    // Calls.
    pub scope_refusal: ScopeRefusal,
    pub hidden_tool_in_json: bool,
    pub hidden_tool_in_stream: bool,
    pub duplicate_keys: bool,
    pub header_agrees: bool,
    pub batches: bool,
    pub revocation_is_felt: bool,
    // The authorization endpoint.
    pub pkce_is_required: bool,
    pub plain_challenge: bool,
    pub near_redirects: bool,
    pub unknown_client_redirects: bool,
    pub iss_in_redirect: Option<&'static str>,
    pub state_is_kept: bool,
    pub loopback_port_is_free: bool,
    pub cimd: bool,
    // The token endpoint.
    pub code_is_spent: bool,
    pub refresh: Refresh,
    pub token_lifetime: Duration,
    /// What the last thing before signing does with the claims.
    pub claims: fn(&mut serde_json::Value),
}

/// How a call is refused whose token has too few scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeRefusal {
    /// 403 with what is needed.
    Challenge,
    /// 401.
    Unauthorized,
    /// 200 with an error inside.
    Success,
    /// 403 and nothing else.
    NoChallenge,
    /// Not at all.
    None,
}

/// What happens to a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    /// It is replaced; who repeats the request gets the same successor, and an old one ends the family.
    Rotates,
    /// It stays.
    Stays,
    /// It is replaced and a second request is refused at once.
    Races,
    /// It is replaced and every old one still works.
    OldWorks,
    /// Every one is refused.
    Refused,
    /// `resource` has to be sent.
    NeedsResource,
    /// A `scope` is refused.
    RefusesScope,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            any_text_is_a_token: false,
            signature_is_checked: true,
            expiry_is_checked: true,
            expiry_is_required: true,
            audience_is_checked: true,
            audience_is_required: true,
            issuer_is_checked: true,
            other_audience: None,
            other_issuer: None,
            none_is_an_algorithm: false,
            public_key_is_a_secret: false,
            unknown_kid_passes: false,
            token_in_query: false,
            only_capital_bearer: false,
            expired_status: 401,
            bad_token_status: 401,
            foreign_origin_passes: false,
            host_is_checked: true,
            open_path: |_| false,
            scope_refusal: ScopeRefusal::Challenge,
            hidden_tool_in_json: false,
            hidden_tool_in_stream: false,
            duplicate_keys: false,
            header_agrees: true,
            batches: false,
            revocation_is_felt: true,
            pkce_is_required: true,
            plain_challenge: false,
            near_redirects: false,
            unknown_client_redirects: false,
            iss_in_redirect: None,
            state_is_kept: true,
            loopback_port_is_free: true,
            cimd: true,
            code_is_spent: true,
            refresh: Refresh::Rotates,
            token_lifetime: Duration::from_secs(3600),
            claims: |_| {},
        }
    }
}
