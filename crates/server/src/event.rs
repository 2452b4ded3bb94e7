use base::Timestamp;
use wire::oauth::ScopeSet;

/// One step of a handshake, for the live line in the terminal. Never holds a secret.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The slug of the MCP server it concerns, if one.
    pub server: Option<String>,
    /// What the program at the other end calls itself.
    pub user_agent: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// Somebody read authorization server metadata.
    MetadataServed,
    /// A client registered itself, or asked again for the registration it has.
    Registered {
        /// Its id.
        client_id: String,
        /// Its name.
        client_name: String,
        /// Whether it was known before.
        repeated: bool,
        /// Whether an owner has to approve it before people can use it.
        waits: bool,
    },
    /// A client sent a person to us.
    AuthorizationAsked {
        /// The client.
        client_id: String,
        /// Its name.
        client_name: String,
    },
    /// A person signed in; for a client, when there is a server.
    SignedIn {
        /// What we call them.
        user_name: String,
        /// The client they came from, if any.
        client_id: Option<String>,
    },
    /// A person approved.
    ConsentGiven {
        /// The client.
        client_id: String,
        /// Its name.
        client_name: String,
        /// Who.
        user_name: String,
        /// What.
        scopes: ScopeSet,
    },
    /// A person said no.
    ConsentRefused {
        /// The client.
        client_id: String,
        /// Its name.
        client_name: String,
        /// Who.
        user_name: String,
    },
    /// A client got its first tokens.
    CodeRedeemed {
        /// The client.
        client_id: String,
        /// The approval.
        grant_id: String,
        /// The scopes of the token.
        scopes: ScopeSet,
    },
    /// A client got a fresh access token.
    Refreshed {
        /// The client.
        client_id: String,
        /// The approval.
        grant_id: String,
        /// Whether it asked the same before.
        repeated: bool,
    },
    /// A client got an access token for itself, without a person.
    ActedForItself {
        /// The client.
        client_id: String,
        /// The scopes of the token.
        scopes: ScopeSet,
    },
    /// A client gave its tokens back.
    Revoked {
        /// The client.
        client_id: String,
    },
    /// Something was refused.
    Refused {
        /// Where: `authorize`, `register`, `token`, `revoke`, `sign-in`, `consent`.
        step: &'static str,
        /// The OAuth error code.
        code: &'static str,
        /// Why, in words.
        reason: String,
        /// The client, as far as it said.
        client_id: Option<String>,
        /// Finds it in the log.
        correlation_id: String,
    },
}
