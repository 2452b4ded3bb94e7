use std::time::Duration;

use base::{Digest, Timestamp, base64url};
use domain::{AuditEvent, AuditEventKind, FamilyEnd, RefreshToken, TokenFamily};
use store::{EndFamily, FoundRefreshToken, RotateRefreshToken, Rotated};
use wire::oauth::ScopeSet;

use crate::client_auth::{ClientCredentials, Holder};
use crate::master_key::mac_of_parts;
use crate::standing::Standing;
use crate::token::{Issued, IssuedKind};
use crate::{Authority, Error, Parameters, ServerContext, issue, token_text};

/// How long a spent refresh token may come back even though its successor was used meanwhile: two processes that
/// share one token both refresh, and neither is a thief.
const REPEAT_WINDOW: Duration = Duration::from_secs(60);

/// A refresh of the right client.
#[derive(Clone, Copy)]
struct Request<'a> {
    form: &'a Parameters<'a>,
    /// The refresh token.
    presented: &'a str,
    /// Whether the client proved to be the one of its id, now or by where the code went.
    client_proven: bool,
}

/// Exchanges a refresh token for a new access token and the token's successor.
///
/// The successor is computed from the token, its family and the salt of its row, so the same request again gives the
/// same successor without its ever being stored.
///
/// Spec: RFC 6749 section 6; RFC 9700 section 4.14.
pub(crate) async fn refresh(
    authority: &Authority,
    server: &ServerContext,
    credentials: &ClientCredentials<'_>,
    form: &Parameters<'_>,
) -> Result<Issued, Error> {
    let now = authority.now();
    let presented = form
        .get("refresh_token")
        .ok_or_else(|| Error::invalid_request("refresh_token is missing"))?;
    let digest = token_text::digest(presented, token_text::REFRESH_TOKEN);
    let state = match digest {
        Some(digest) => authority.store().find_refresh_token(digest).await?,
        None => None,
    };
    let holder = state.as_ref().map(|state| Holder {
        server: &state.family.server,
        client: &state.family.client,
        disabled: state.client_disabled,
        authentication: state.client_authentication.as_ref(),
    });
    // Whether the client waits for an owner is not asked: what was approved before the owner wanted to be asked goes
    // on, until they block it.
    let client = credentials.authenticate(authority, server, holder).await?;
    let Some(state) = state else {
        return Err(refused("the refresh token is unknown"));
    };
    if state.family.server != server.server.slug || state.family.client != *client.id() {
        return Err(refused("the refresh token was issued to another client"));
    }
    server.check_resources(form.all("resource"), now)?;
    let request = Request {
        form,
        presented,
        client_proven: client.is_proven_at(state.family.redirect_uri.as_deref()),
    };

    match judge(&state, server.server.settings.strict_rotation, now) {
        Verdict::Rotate => rotate(authority, server, request, state, now).await,
        Verdict::Repeat => repeat(authority, server, request, &state, now).await,
        Verdict::Refuse(reason) => Err(refused(reason)),
        Verdict::Reuse => {
            end_reused_family(authority, server, &state.family, now).await?;
            Err(reused(
                "a spent refresh token came back after its time; its family is revoked",
            ))
        }
        Verdict::EndedByReuse => Err(reused("the token family was ended by a reuse before")),
    }
}

/// What is to be done with a refresh token of the right client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Rotate,
    Repeat,
    Refuse(&'static str),
    Reuse,
    EndedByReuse,
}

fn judge(state: &FoundRefreshToken, strict: bool, now: Timestamp) -> Verdict {
    match state.family.ended {
        Some((_, FamilyEnd::RefreshTokenReuse)) => return Verdict::EndedByReuse,
        Some(_) => return Verdict::Refuse("the token family was ended"),
        None => {}
    }
    if now >= state.family.expires_at {
        return Verdict::Refuse("the token family has expired");
    }
    if state.user_disabled {
        return Verdict::Refuse("the person is disabled");
    }
    match &state.token.spent {
        None if now >= state.token.expires_at => Verdict::Refuse("the refresh token has expired"),
        None => Verdict::Rotate,
        Some(_) if strict => Verdict::Reuse,
        Some((spent_at, _)) if now.is_near(*spent_at, REPEAT_WINDOW) => Verdict::Repeat,
        // Whether its time is over cannot be told: no reason to believe it, and none to end the family.
        Some((spent_at, _)) if *spent_at > now && state.successor_used => {
            Verdict::Refuse("it was spent at a time that lies ahead: a clock was set back")
        }
        Some(_) if state.successor_used => Verdict::Reuse,
        Some(_) if now >= state.token.expires_at => {
            Verdict::Refuse("the refresh token has expired")
        }
        Some(_) => Verdict::Repeat,
    }
}

async fn rotate(
    authority: &Authority,
    server: &ServerContext,
    request: Request<'_>,
    state: FoundRefreshToken,
    now: Timestamp,
) -> Result<Issued, Error> {
    let mut salt = vec![0u8; 16];
    authority.random().fill(&mut salt);
    let issued = mint(
        authority,
        server,
        request,
        &state,
        &salt,
        IssuedKind::Refreshed,
        now,
    )
    .await?;
    let successor_text = issued.response.refresh_token.as_deref().unwrap_or_default();
    let successor = RefreshToken {
        digest: Digest::of(successor_text),
        family: state.family.id.clone(),
        generation: state.token.generation + 1,
        expires_at: now
            .after(server.server.settings.refresh_token_lifetime())
            .min(state.family.expires_at),
        spent: None,
    };
    let rotated = authority
        .store()
        .rotate_refresh_token(RotateRefreshToken {
            digest: state.token.digest,
            salt,
            successor,
            now,
            event: event(AuditEventKind::TokenRefreshed, &state.family, now),
        })
        .await?;
    match rotated {
        Rotated::Fresh => Ok(issued),
        // Somebody spent it between our read and our write. The winner's salt is in the row now, and with it comes
        // the same successor; our signature is thrown away.
        Rotated::AlreadySpent => {
            let again = authority
                .store()
                .find_refresh_token(state.token.digest)
                .await?;
            let Some(state) = again else {
                return Err(refused("the refresh token went away"));
            };
            match judge(&state, server.server.settings.strict_rotation, now) {
                Verdict::Repeat => repeat(authority, server, request, &state, now).await,
                Verdict::Reuse => {
                    end_reused_family(authority, server, &state.family, now).await?;
                    Err(reused(
                        "a spent refresh token came back; its family is revoked",
                    ))
                }
                Verdict::EndedByReuse => {
                    Err(reused("the token family was ended by a reuse meanwhile"))
                }
                Verdict::Refuse(reason) => Err(refused(reason)),
                Verdict::Rotate => Err(Error::server_error(
                    "a refresh token was spent and unspent at once",
                )),
            }
        }
        Rotated::FamilyEnded => Err(refused("the token family was ended meanwhile")),
        Rotated::Unknown => Err(refused("the refresh token went away")),
    }
}

async fn repeat(
    authority: &Authority,
    server: &ServerContext,
    request: Request<'_>,
    state: &FoundRefreshToken,
    now: Timestamp,
) -> Result<Issued, Error> {
    let Some((_, salt)) = &state.token.spent else {
        return Err(Error::server_error("a repeat of an unspent refresh token"));
    };
    mint(
        authority,
        server,
        request,
        state,
        salt,
        IssuedKind::RefreshRepeated,
        now,
    )
    .await
}

async fn mint(
    authority: &Authority,
    server: &ServerContext,
    request: Request<'_>,
    state: &FoundRefreshToken,
    salt: &[u8],
    kind: IssuedKind,
    now: Timestamp,
) -> Result<Issued, Error> {
    let family = &state.family;
    let scopes = narrowed(server, &family.scopes, request.form.get("scope"))?;
    // What was approved stays approved; what of it this person may have is as it is now.
    let (user, proven) = (family.user.as_str(), request.client_proven);
    let standing = Standing::of(authority, server, user, &family.client, proven).await?;
    let scopes = standing.grantable(server, &scopes).granted;
    let successor = successor(
        authority,
        &family.id,
        state.token.generation,
        salt,
        request.presented,
    );
    let access_token = issue::access_token(
        authority,
        server,
        family.into(),
        &standing,
        &scopes,
        server.server.settings.access_token_lifetime(),
        now,
    );
    Ok(Issued {
        response: issue::token_response(server, access_token, successor, scopes.clone()),
        kind,
        client: family.client.clone(),
        user: Some(family.user.clone()),
        grant: family.id.clone(),
        scopes,
    })
}

/// The one successor of a refresh token.
fn successor(
    authority: &Authority,
    family: &domain::GrantId,
    generation: i64,
    salt: &[u8],
    presented: &str,
) -> String {
    let mac = mac_of_parts(
        &authority.subkeys().refresh_successor,
        &[
            family.as_str().as_bytes(),
            &generation.to_be_bytes(),
            salt,
            presented.as_bytes(),
        ],
    );
    format!("{}{}", token_text::REFRESH_TOKEN, base64url(mac))
}

/// The scopes of this access token: what was approved, narrowed to what was asked, never more (RFC 6749 section 6).
///
/// Clients send the scopes they once asked for, some of which the person unticked, and names of other servers; those
/// are dropped. Only when nothing that was approved remains is it an error.
fn narrowed(
    server: &ServerContext,
    approved: &ScopeSet,
    asked: Option<&str>,
) -> Result<ScopeSet, Error> {
    let approved = approved.intersection(&server.declared_scopes);
    let Some(asked) = asked else {
        return Ok(approved);
    };
    let asked = ScopeSet::parse_lenient(asked).intersection(&server.declared_scopes);
    if asked.is_empty() {
        return Ok(approved);
    }
    let narrowed = asked.intersection(&approved);
    if narrowed.is_empty() {
        return Err(Error::invalid_scope(
            "none of these scopes was approved; a new sign-in can ask for them",
        ));
    }
    Ok(narrowed)
}

async fn end_reused_family(
    authority: &Authority,
    server: &ServerContext,
    family: &TokenFamily,
    now: Timestamp,
) -> Result<(), Error> {
    authority
        .store()
        .end_family(EndFamily {
            family: family.id.clone(),
            reason: FamilyEnd::RefreshTokenReuse,
            revocation_until: crate::revoke::remembered_until(server, now),
            now,
            event: event(AuditEventKind::RefreshTokenReused, family, now),
        })
        .await?;
    Ok(())
}

/// One answer for every reason; the reason is in the log.
fn refused(reason: &'static str) -> Error {
    Error::invalid_grant("the refresh token is not valid any more; sign in again").because(reason)
}

/// The one refusal that says more: somebody has to learn that a token was copied, or kept in two places.
fn reused(reason: &'static str) -> Error {
    Error::invalid_grant(
        "an old refresh token was used again after its successor, so this sign-in was revoked with all its tokens; \
         sign in again, and keep each refresh token in one place",
    )
    .because(reason)
}

fn event(kind: AuditEventKind, family: &TokenFamily, now: Timestamp) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: Some(family.server.clone()),
        user: Some(family.user.clone()),
        client: Some(family.client.clone()),
        grant: Some(family.id.clone()),
        detail: String::new(),
    }
}

#[cfg(test)]
mod tests;
