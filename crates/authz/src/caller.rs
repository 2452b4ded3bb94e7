use wire::oauth::ScopeSet;

/// Who calls, through which client, with what: all of it from a verified token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Caller {
    /// The `sub`.
    pub subject: String,
    /// The `client_id`.
    pub client: String,
    /// Whether an admin registered this client. What registered itself is believed nothing but its id.
    pub client_vouched: bool,
    /// Whether the client proved to be the one of its id: by a key or a secret of its own, or since it is reached at the origin
    /// of its document alone. Everybody can read a document and say that it is theirs.
    pub client_proven: bool,
    /// Whether another authorization server knows the client, and not ours: then an https address as its id proves nothing.
    pub client_of_other_issuer: bool,
    /// The `grant_id`.
    pub grant: String,
    /// The scopes of the token, as granted; implied ones are added by `decide`.
    pub scopes: ScopeSet,
    /// Ids of the roles that this person was given at this server, directly or through a group.
    pub roles: Vec<String>,
    /// Ids of the groups that this person is in, of those that the policy names.
    pub groups: Vec<String>,
    /// Whether this client is known to widen its scopes when it is asked to. Only such clients are shown what lies
    /// behind a step-up. Nothing proves it of a self-registered client, so it is false for those.
    pub steps_up: bool,
}

/// What rules look at, when a token is issued and at each of its calls alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallerFacts<'a> {
    /// The `sub`: a person, or a machine that acts for itself.
    pub subject: &'a str,
    /// The `client_id`.
    pub client: &'a str,
    /// See [`Caller::client_vouched`].
    pub client_vouched: bool,
    /// See [`Caller::client_proven`].
    pub client_proven: bool,
    /// See [`Caller::client_of_other_issuer`].
    pub client_of_other_issuer: bool,
    /// See [`Caller::roles`].
    pub roles: &'a [String],
    /// See [`Caller::groups`].
    pub groups: &'a [String],
}

impl Caller {
    /// What rules look at.
    pub fn facts(&self) -> CallerFacts<'_> {
        CallerFacts {
            subject: &self.subject,
            client: &self.client,
            client_vouched: self.client_vouched,
            client_proven: self.client_proven,
            client_of_other_issuer: self.client_of_other_issuer,
            roles: &self.roles,
            groups: &self.groups,
        }
    }
}

impl<'a> CallerFacts<'a> {
    /// A machine has what an admin gave it, and no roles.
    pub(crate) fn acts_for_itself(&self) -> bool {
        self.subject == self.client
    }

    /// Whether somebody stands behind the client: an admin, or the host of its document.
    pub(crate) fn is_vouched_for(&self) -> bool {
        self.client_vouched || self.proven_address().is_some()
    }

    /// The client's id, when it is the address of a document, whoever says so.
    pub(crate) fn said_address(&self) -> Option<&'a str> {
        self.client.starts_with("https://").then_some(self.client)
    }

    /// The client's id, when it is the address of a document and the client is proven to be the one that it is of.
    pub(crate) fn proven_address(&self) -> Option<&'a str> {
        let is_proven = self.client_proven && !self.client_of_other_issuer;
        self.said_address().filter(|_| is_proven)
    }

    /// The client's id, unless it is the address of a document that this client is not proven to be of.
    pub(crate) fn good_client_id(&self) -> Option<&'a str> {
        let is_good = self.said_address().is_none() || self.proven_address().is_some();
        is_good.then_some(self.client)
    }
}
