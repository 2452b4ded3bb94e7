use serde::Deserialize;

/// What is peculiar about a client. `None` means that nobody has established it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Asks for more scope when a call is answered 403 `insufficient_scope`.
    pub steps_up: Option<bool>,
    /// Sends `resource` (RFC 8707) with its authorization and token requests.
    pub sends_resource: Option<bool>,
    /// Asks for every scope of the authorization server's metadata, wanted or not.
    pub asks_all_scopes: Option<bool>,
    /// Stays signed in only where `offline_access` is advertised.
    pub needs_offline_access: Option<bool>,
    /// Adds `offline_access` to what it asks where that is advertised.
    pub asks_offline_access: Option<bool>,
    /// Registers two clients for one login, or a new one for each.
    pub registers_again: Option<bool>,
    /// Registers itself once more when the token endpoint answers `invalid_client`.
    pub registers_after_invalid_client: Option<bool>,
    /// Refuses an authorization response without `iss` (RFC 9207) once it knows the issuer.
    pub needs_iss: Option<bool>,
    /// Returns to another, per-server address where `iss` is not advertised.
    pub address_depends_on_iss: Option<bool>,
    /// Sends `scope` when it refreshes.
    pub refreshes_with_scope: Option<bool>,
    /// How long before the end of an access token it refreshes, in seconds.
    pub refreshes_early_seconds: Option<u32>,
    /// Fetches the authorization address itself before the browser does.
    pub fetches_authorize: Option<bool>,
    /// Wants the protected resource's `resource` to equal the address that was typed.
    pub compares_resource: Option<bool>,
    /// Begins with a `HEAD` request to find out whether a login is needed.
    pub probes_with_head: Option<bool>,
    /// Its requests come from its maker's network, not from the person's machine.
    pub hosted: Option<bool>,
}
