use base::{Digest, Timestamp, random_token};
use domain::{AuditEvent, AuditEventKind, AuthorizationCode, FamilyEnd, RefreshToken};
use store::{EndFamily, RedeemCode, Redeemed};
use wire::oauth::CodeVerifier;

use crate::client_auth::{AuthenticatedClient, ClientCredentials, Holder};
use crate::issue::{self, TokenSubject};
use crate::standing::Standing;
use crate::token::{Issued, IssuedKind};
use crate::{Authority, Error, Parameters, ServerContext, token_text};

/// Exchanges an authorization code for the first tokens of its family.
///
/// Spec: RFC 6749 section 4.1.3; OAuth 2.1 section 4.1.3; RFC 7636 section 4.6.
pub(crate) async fn redeem(
    authority: &Authority,
    server: &ServerContext,
    credentials: &ClientCredentials<'_>,
    form: &Parameters<'_>,
) -> Result<Issued, Error> {
    let now = authority.now();
    let code_text = form
        .get("code")
        .ok_or_else(|| Error::invalid_request("code is missing"))?;
    let verifier = form
        .get("code_verifier")
        .ok_or_else(|| Error::invalid_request("code_verifier is missing: PKCE is required"))?;
    let verifier =
        CodeVerifier::parse(verifier).map_err(|error| Error::invalid_request(error.to_string()))?;
    let digest = token_text::digest(code_text, token_text::CODE);
    let state = match digest {
        Some(digest) => authority.store().find_code(digest).await?,
        None => None,
    };
    let holder = state.as_ref().map(|state| Holder {
        server: &state.code.server,
        client: &state.code.client,
        disabled: state.client_disabled,
        authentication: state.client_authentication.as_ref(),
    });
    let client = credentials.authenticate(authority, server, holder).await?;
    client.may_get_tokens()?;
    let Some(state) = state else {
        return Err(refused("the code is unknown"));
    };
    let code = &state.code;

    belongs_to_client(code, server, &client)?;
    redirect_uri_is_the_same(code, form)?;
    if !code.code_challenge.matches(&verifier) {
        return Err(refused("code_verifier does not match the challenge"));
    }
    if code.redeemed_at.is_some() {
        return Err(replayed(authority, server, code, now).await?);
    }
    if now >= code.expires_at {
        return Err(refused("the code has expired"));
    }
    server.check_resources(form.all("resource"), now)?;
    if state.user_disabled {
        return Err(refused("the person is disabled"));
    }

    // Everything is minted before the write: a token that loses the race is thrown away, and nobody waits for a
    // signature inside the writer.
    let settings = &server.server.settings;
    let proven = client.is_proven_at(Some(&code.redirect_uri));
    let user = code.user.as_str();
    let standing = Standing::of(authority, server, user, &code.client, proven).await?;
    let scopes = standing.grantable(server, &code.scopes).granted;
    let family_expires_at = now.after(settings.family_lifetime());
    let refresh_text = random_token(authority.random(), token_text::REFRESH_TOKEN);
    let refresh = RefreshToken {
        digest: Digest::of(&refresh_text),
        family: code.grant.clone(),
        generation: 0,
        expires_at: now
            .after(settings.refresh_token_lifetime())
            .min(family_expires_at),
        spent: None,
    };
    let subject = TokenSubject {
        subject: code.user.as_str(),
        client: code.client.as_str(),
        grant: &code.grant,
        authenticated_at: Some(code.authenticated_at),
    };
    let lifetime = settings.access_token_lifetime();
    let access_token = issue::access_token(
        authority, server, subject, &standing, &scopes, lifetime, now,
    );
    let issued = Issued {
        response: issue::token_response(server, access_token, refresh_text, scopes.clone()),
        kind: IssuedKind::CodeRedeemed,
        client: code.client.clone(),
        user: Some(code.user.clone()),
        grant: code.grant.clone(),
        scopes,
    };
    let redeemed = authority
        .store()
        .redeem_code(RedeemCode {
            digest: code.digest,
            event: event(AuditEventKind::CodeRedeemed, code, now),
            family_expires_at,
            refresh: Some(refresh),
            now,
        })
        .await?;
    match redeemed {
        Redeemed::Fresh => Ok(issued),
        Redeemed::Repeated { .. } => Err(replayed(authority, server, code, now).await?),
        Redeemed::Unknown => Err(refused("the code went away while it was redeemed")),
    }
}

fn belongs_to_client(
    code: &AuthorizationCode,
    server: &ServerContext,
    client: &AuthenticatedClient,
) -> Result<(), Error> {
    if code.server != server.server.slug || code.client != *client.id() {
        return Err(refused("the code was issued to another client"));
    }
    Ok(())
}

/// RFC 6749 section 4.1.3: identical when it is sent. OAuth 2.1 clients leave it out; PKCE does its work.
fn redirect_uri_is_the_same(code: &AuthorizationCode, form: &Parameters<'_>) -> Result<(), Error> {
    match form.get("redirect_uri") {
        Some(asked) if asked != code.redirect_uri => Err(refused(
            "redirect_uri differs from the authorization request's",
        )),
        _ => Ok(()),
    }
}

/// The right client with the right verifier came a second time, so one of the two is a thief: everything that came
/// of the code ends (RFC 6749 section 4.1.2). A stranger's replay never gets here and changes nothing.
async fn replayed(
    authority: &Authority,
    server: &ServerContext,
    code: &AuthorizationCode,
    now: Timestamp,
) -> Result<Error, Error> {
    authority
        .store()
        .end_family(EndFamily {
            family: code.grant.clone(),
            reason: FamilyEnd::CodeReplay,
            revocation_until: crate::revoke::remembered_until(server, now),
            now,
            event: event(AuditEventKind::CodeReplayed, code, now),
        })
        .await?;
    Ok(refused(
        "the code was redeemed before; its tokens are revoked",
    ))
}

/// One answer for every reason; the reason is in the log.
fn refused(reason: &'static str) -> Error {
    Error::invalid_grant(
        "the authorization code is not valid any more, or not for this client; start the sign-in again",
    )
    .because(reason)
}

fn event(kind: AuditEventKind, code: &AuthorizationCode, now: Timestamp) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: Some(code.server.clone()),
        user: Some(code.user.clone()),
        client: Some(code.client.clone()),
        grant: Some(code.grant.clone()),
        detail: code.scopes.to_string(),
    }
}
