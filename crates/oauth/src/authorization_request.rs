use std::time::Duration;

use base::Timestamp;
use domain::{ClientId, EmailAddress, ServerSlug};
use serde::{Deserialize, Serialize};
use wire::oauth::{CodeChallenge, RedirectUri, ScopeSet};

use crate::authorize::Refusal;
use crate::prompt::Prompt;
use crate::session::SignedIn;
use crate::{Authority, Error, ServerContext, seal};

/// How long a sealed request may take from `GET /authorize` to the consent.
const SEALED_FOR: Duration = Duration::from_secs(30 * 60);

/// What a sealed request is bound to, so that nothing else that we seal is ever taken for one.
const BOUND_TO: &[u8] = b"authorization request";

/// The longest sealed text that is opened: all limits of its parts together stay well below.
const SEALED_BYTES_MAX: usize = 24 * 1024;

/// A validated authorization request on its way through sign-in and consent. It is kept nowhere: it travels sealed in
/// our own forms and addresses, so that asking costs no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// Whose issuer was asked.
    #[serde(rename = "m")]
    pub server: ServerSlug,
    /// By which client.
    #[serde(rename = "c")]
    pub client: ClientId,
    /// What it calls itself, for the pages on the way.
    #[serde(rename = "n")]
    pub client_name: String,
    /// Where the answer goes, as asked.
    #[serde(rename = "r")]
    pub redirect_uri: RedirectUri,
    /// The client's own, returned byte for byte.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none", default)]
    pub state: Option<String>,
    #[serde(rename = "h")]
    pub(crate) code_challenge: String,
    /// What may be approved: asked, and declared by this server.
    #[serde(rename = "o")]
    pub scopes: ScopeSet,
    /// The sign-in must be at least this recent (`prompt=login`, `max_age`).
    #[serde(rename = "a", skip_serializing_if = "Option::is_none", default)]
    pub authenticated_since: Option<Timestamp>,
    /// Who the client thinks will sign in; fills the form, proves nothing.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none", default)]
    pub login_hint: Option<String>,
    #[serde(rename = "p", skip_serializing_if = "Prompt::is_default", default)]
    pub(crate) prompt: Prompt,
    /// Asked for, and unknown to this server; the first few.
    #[serde(rename = "u", skip_serializing_if = "ScopeSet::is_empty", default)]
    pub(crate) unknown_scopes: ScopeSet,
    #[serde(rename = "t")]
    pub(crate) sealed_at: Timestamp,
}

/// A request as it came back from a form or address of ours, with the text it came as: a code is computed from that.
#[derive(Debug, Clone)]
pub struct SealedRequest {
    /// The request.
    pub request: AuthorizationRequest,
    /// The text.
    pub text: String,
}

impl AuthorizationRequest {
    /// Seals the request for the way through the browser.
    pub fn seal(self, authority: &Authority) -> SealedRequest {
        let plain = serde_json::to_vec(&self).expect("a request has only plain values");
        let text = seal::seal(
            &authority.subkeys().seal_request,
            authority.random(),
            BOUND_TO,
            &plain,
        );
        SealedRequest {
            request: self,
            text,
        }
    }

    /// Whether this sign-in is recent enough (`prompt=login`, `max_age`).
    pub(crate) fn is_satisfied_by(&self, signed_in: &SignedIn) -> bool {
        self.authenticated_since
            .is_none_or(|since| signed_in.session.authenticated_at >= since)
    }

    /// Whether the client expects somebody else: its hint is an e-mail address, and not this person's.
    pub(crate) fn expects_other_than(&self, signed_in: &SignedIn) -> bool {
        self.login_hint
            .as_deref()
            .and_then(|hint| EmailAddress::parse(hint).ok())
            .is_some_and(|hint| hint.key() != signed_in.user.email.key())
    }

    pub(crate) fn challenge(&self) -> Result<CodeChallenge, Error> {
        CodeChallenge::parse(&self.code_challenge).map_err(Error::server_error)
    }
}

impl SealedRequest {
    /// Opens what [`AuthorizationRequest::seal`] made, at most 30 minutes later.
    ///
    /// # Errors
    /// A page: it was changed on the way, or took too long.
    pub fn open(authority: &Authority, text: &str) -> Result<Self, Refusal> {
        let unreadable = || {
            Refusal::page(
                Error::invalid_request("the parameter request is not one of ours")
                    .because("a sealed request does not open"),
                "Go back to the application and start the sign-in again.",
            )
        };
        if text.len() > SEALED_BYTES_MAX {
            return Err(unreadable());
        }
        let plain =
            seal::open(&authority.subkeys().seal_request, BOUND_TO, text).ok_or_else(unreadable)?;
        let request: AuthorizationRequest =
            serde_json::from_slice(&plain).map_err(|_| unreadable())?;
        if !authority.now().is_near(request.sealed_at, SEALED_FOR) {
            return Err(Refusal::page(
                Error::invalid_request("this sign-in was begun more than 30 minutes ago")
                    .because("a sealed request is too old"),
                "Go back to the application and start the sign-in again.",
            ));
        }
        Ok(Self {
            request,
            text: text.to_owned(),
        })
    }

    /// Opens a request that must be one of `server`.
    ///
    /// # Errors
    /// A page, as [`SealedRequest::open`]; also for a request of another server.
    pub fn open_for(
        authority: &Authority,
        server: &ServerContext,
        text: &str,
    ) -> Result<Self, Refusal> {
        let sealed = Self::open(authority, text)?;
        if sealed.request.server != server.server.slug {
            return Err(Refusal::page(
                Error::invalid_request("this sign-in belongs to another server"),
                "Go back to the application and start the sign-in again.",
            ));
        }
        Ok(sealed)
    }
}
