use wire::oauth::ScopeSet;

/// Who calls, through which client, with what: all of it from a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The `sub`.
    pub subject: String,
    /// The `client_id`.
    pub client: String,
    /// The `grant_id`.
    pub grant: String,
    /// The scopes of the token, as granted; implied ones are added by `decide`.
    pub scopes: ScopeSet,
    /// Ids of roles and groups.
    pub roles: Vec<String>,
    /// Whether this client is known to widen its scopes when it is asked to. Only such clients are shown what lies
    /// behind a step-up. Nothing proves it of a self-registered client, so it is false for those.
    pub steps_up: bool,
}
