//! Another authorization server whose tokens an MCP server takes.

mod discovery;
mod http_issuer;
mod keys;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use authz::{
    Expected, ServerSnapshot, TokenForm, TokenRefusal, VerifiedToken, verify_both,
    verify_introspection, verify_token_of_other_issuer,
};
use base::{Clock, Digest, Timestamp, base64url_decode};
use wire::mcp::{Limits, Object, parse_strict};
use wire::oauth::JwkSet;

use crate::VerifiedCaller;
use crate::asked_once::{AskedOnce, Unanswered};
use crate::opaque_tokens::is_service_token;

pub use http_issuer::{HttpIssuer, HttpIssuerSettings, IssuerClient};
use keys::{AGAIN_AFTER, IssuerKeys};

/// The longest that an issuer's yes may count without asking again.
const KEPT_FOR_MAX: Duration = Duration::from_secs(60);
/// How long its no counts.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// How it is found out whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// By its signature. Nobody is asked; a revoked token is good until it ends.
    #[default]
    Jwt,
    /// By asking the issuer (RFC 7662), whatever the token looks like.
    Introspection,
    /// By its signature, and then by asking the issuer as well. What its signature or its claims refuse is never asked about.
    Both,
    /// What is a signed JWT by its signature, and is refused when that or a claim is wrong; anything else by asking.
    Either,
}

/// What an [`OtherIssuer`] is made of.
#[derive(Debug, Clone)]
pub struct OtherIssuerSettings {
    /// The `iss` of its tokens, byte for byte.
    pub issuer: String,
    /// How it is found out whether a token is good.
    pub validation: Validation,
    /// The `aud` of its tokens; the MCP server's resource when there is none.
    pub audience: Option<String>,
    /// The algorithms that its keys may have, of `ES256`, `EdDSA` and `RS256`.
    pub algorithms: Vec<String>,
    /// How its tokens look.
    pub form: TokenForm,
    /// How long its yes to a token counts without asking again; at most a minute, and never beyond the token's end.
    pub kept_for: Duration,
}

/// Knows an issuer: over HTTP, or otherwise.
pub trait IssuerSource: fmt::Debug + Send + Sync {
    /// Its public keys.
    fn keys(&self) -> Answering<'_, JwkSet>;

    /// What it answers about a token (RFC 7662 section 2.2).
    fn introspect<'a>(&'a self, token: &'a str) -> Answering<'a, Object>;
}

/// The future of what an [`IssuerSource`] is asked; or why there is no answer, in words for the log.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Another authorization server. Its tokens are held to what those of the authority are held to.
#[derive(Debug)]
pub struct OtherIssuer {
    settings: OtherIssuerSettings,
    source: Arc<dyn IssuerSource>,
    keys: IssuerKeys,
    asked: AskedOnce<VerifiedToken, TokenRefusal>,
}

impl OtherIssuer {
    /// One that `source` knows.
    pub fn new(mut settings: OtherIssuerSettings, source: Arc<dyn IssuerSource>) -> Self {
        settings.kept_for = settings.kept_for.min(KEPT_FOR_MAX);
        Self {
            keys: IssuerKeys::new(settings.algorithms.clone()),
            asked: AskedOnce::new(REFUSED_FOR),
            source,
            settings,
        }
    }

    /// Fetches its keys now and every five minutes, for as long as this is polled. Those that are known go on working while it is
    /// away.
    pub async fn follow(self: Arc<Self>, clock: Arc<dyn Clock>) {
        if self.settings.validation != Validation::Introspection {
            let issuer = &self.settings.issuer;
            self.keys.follow(issuer, &*self.source, &*clock).await;
        }
    }

    /// Whether one of its keys that are in force has this id.
    pub(crate) fn has_key(&self, id: &str) -> bool {
        self.keys.in_force().contains(id)
    }

    /// What the authority says of its own tokens counts no more at this server.
    pub(crate) fn take_over(&self, server: &mut ServerSnapshot) {
        server.issuer.clone_from(&self.settings.issuer);
        server.former_issuers.clear();
        server.keys = JwkSet::default();
    }

    /// Who calls with `token`, which has this digest.
    pub(crate) async fn verify(
        &self,
        token: &str,
        digest: Digest,
        server: &ServerSnapshot,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<VerifiedCaller, Unanswered<TokenRefusal>> {
        let presented = PresentedToken {
            token,
            digest,
            server,
            now,
            leeway,
        };
        let by_signature = match self.settings.validation {
            Validation::Jwt | Validation::Both => true,
            Validation::Introspection => false,
            Validation::Either => is_signed_jwt(token),
        };
        if !by_signature {
            if is_of_somebody_else(token, &self.settings.issuer) {
                return Err(Unanswered::Refused(TokenRefusal::WrongIssuer));
            }
            return self.ask_about(&presented).await;
        }
        let verified = self.signed(&presented).await?;
        match self.settings.validation {
            Validation::Both => self.ask_about(&presented).await,
            _ => Ok(VerifiedCaller::new(verified)),
        }
    }

    async fn signed(
        &self,
        presented: &PresentedToken<'_>,
    ) -> Result<VerifiedToken, Unanswered<TokenRefusal>> {
        let verify = || {
            let keys = self.keys.in_force();
            let expected = presented.expected(&self.settings, &keys);
            let roles = &presented.server.policy.roles;
            verify_token_of_other_issuer(presented.token, &expected, &self.settings.form, roles)
        };
        let outcome = match verify() {
            Err(TokenRefusal::UnknownKey) => {
                let (source, now) = (&*self.source, presented.now);
                let looked = self.keys.look_again(source, now, AGAIN_AFTER).await;
                match (verify(), looked) {
                    // It may be a key of today, which nobody can see.
                    (Err(TokenRefusal::UnknownKey), Err(reason)) => {
                        return Err(Unanswered::Unavailable(reason));
                    }
                    (outcome, _) => outcome,
                }
            }
            outcome => outcome,
        };
        outcome.map_err(Unanswered::Refused)
    }

    async fn ask_about(
        &self,
        presented: &PresentedToken<'_>,
    ) -> Result<VerifiedCaller, Unanswered<TokenRefusal>> {
        let PresentedToken { token, now, .. } = *presented;
        let ask = || async {
            let answer = self.source.introspect(token).await;
            let answer = answer.map_err(Unanswered::Unavailable)?;
            let keys = self.keys.in_force();
            let expected = presented.expected(&self.settings, &keys);
            let (form, roles) = (&self.settings.form, &presented.server.policy.roles);
            let verified = match self.settings.validation {
                Validation::Both => verify_both(token, &answer, &expected, form, roles),
                _ => verify_introspection(&answer, token, &expected, form, roles),
            };
            verified.map_err(|refusal| match refusal {
                TokenRefusal::Claim("active") => Unanswered::Unavailable(
                    "the issuer's introspection answer does not say whether the token is active"
                        .to_owned(),
                ),
                refusal => Unanswered::Refused(refusal),
            })
        };
        let verified = self.asked.ask(presented.digest, now, ask).await?;
        let kept_for = self.settings.kept_for;
        Ok(VerifiedCaller::asked_about(verified, now, kept_for))
    }
}

struct PresentedToken<'a> {
    token: &'a str,
    digest: Digest,
    server: &'a ServerSnapshot,
    now: Timestamp,
    leeway: Duration,
}

impl PresentedToken<'_> {
    fn expected<'a>(
        &'a self,
        settings: &'a OtherIssuerSettings,
        keys: &'a authz::VerifyingKeys,
    ) -> Expected<'a> {
        Expected {
            issuer: &settings.issuer,
            audience: settings
                .audience
                .as_deref()
                .unwrap_or(&self.server.resource),
            keys,
            now: self.now,
            leeway: self.leeway,
        }
    }
}

/// Whether a token says of itself that somebody else made it. Then this issuer is not to be told of it: what was shown here by
/// mistake, or by an MCP client that mixes up its servers, may be good elsewhere.
fn is_of_somebody_else(token: &str, issuer: &str) -> bool {
    if is_service_token(token) {
        return true;
    }
    let payload = token.split('.').nth(1).and_then(base64url_decode);
    let claims = payload.and_then(|payload| parse_strict(&payload, &Limits::default()).ok());
    let said = claims.as_ref().and_then(|claims| claims.get("iss"));
    said.is_some_and(|said| said.as_str() != Some(issuer))
}

/// Three parts, of which the first begins as a JSON object does in base64: a token that says of itself who signed it, or looks so
/// to some reader. Whether that is true is another question, and its issuer is not asked to overlook the answer.
fn is_signed_jwt(token: &str) -> bool {
    let is_object = || {
        let header = token.split('.').next().and_then(base64url_decode);
        header.is_some_and(|header| header.trim_ascii_start().starts_with(b"{"))
    };
    token.split('.').count() == 3 && (token.starts_with('e') || is_object())
}
