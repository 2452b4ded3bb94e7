use domain::{ClientId, GrantId, UserId};
use wire::oauth::{ScopeSet, TokenResponse};

use crate::client_auth::{BasicCredentials, ClientCredentials};
use crate::grant::{GrantType, authorization_code, client_credentials, refresh_token};
use crate::{Authority, Error, Parameters, ServerContext};

/// A token response, with what the terminal and the log may say about it.
#[derive(Debug)]
pub struct Issued {
    /// The answer.
    pub response: TokenResponse,
    /// How it came about.
    pub kind: IssuedKind,
    /// To whom.
    pub client: ClientId,
    /// On whose behalf; nobody's when the client acts for itself.
    pub user: Option<UserId>,
    /// Under which approval.
    pub grant: GrantId,
    /// The scopes of the access token.
    pub scopes: ScopeSet,
}

/// How tokens came to be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuedKind {
    /// A code was exchanged.
    CodeRedeemed,
    /// A refresh token was exchanged for its successor.
    Refreshed,
    /// The same exchange again, with the same successor.
    RefreshRepeated,
    /// A client got a token for itself.
    ActsForItself,
}

/// Answers a token request: authenticates the client, chooses the grant, responds.
///
/// # Errors
/// As RFC 6749 section 5.2.
pub async fn token(
    authority: &Authority,
    server: &ServerContext,
    form: &Parameters<'_>,
    header: Option<&BasicCredentials>,
) -> Result<Issued, Error> {
    form.refuse_repeats(&["resource"])?;
    let grant_type = form
        .get("grant_type")
        .ok_or_else(|| Error::invalid_request("grant_type is missing"))?;
    let credentials = ClientCredentials::read(form, header)?;
    match GrantType::parse(grant_type) {
        Some(GrantType::AuthorizationCode) => {
            authorization_code::redeem(authority, server, &credentials, form).await
        }
        Some(GrantType::RefreshToken) => {
            refresh_token::refresh(authority, server, &credentials, form).await
        }
        Some(GrantType::ClientCredentials) => {
            client_credentials::issue(authority, server, &credentials, form).await
        }
        Some(GrantType::JwtBearer | GrantType::TokenExchange | GrantType::DeviceCode) | None => {
            Err(Error::unsupported_grant_type(format!(
                "grant_type must be {}",
                GrantType::OFFERED.map(GrantType::as_str).join(", ")
            )))
        }
    }
}
