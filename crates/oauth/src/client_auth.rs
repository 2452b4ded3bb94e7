use domain::{ClientId, ServerSlug};

use crate::find_client::find_client;
use crate::{Authority, Error, Parameters, ServerContext};

/// What a request says about its client, unproven.
#[derive(Debug)]
pub(crate) struct ClientCredentials<'a> {
    client_id: &'a str,
}

/// `Authorization: Basic`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    /// The part before the colon.
    pub client_id: String,
    /// Whether anything stood behind the colon.
    pub has_secret: bool,
}

/// A client that is known here and, being public, has nothing more to prove. Only this file makes one.
#[derive(Debug, Clone)]
pub(crate) struct AuthenticatedClient(ClientId);

/// The client that a code or refresh token was issued to, as the same read brought it.
pub(crate) struct Holder<'a> {
    pub server: &'a ServerSlug,
    pub client: &'a ClientId,
    pub disabled: bool,
}

impl<'a> ClientCredentials<'a> {
    /// Reads the client's identity from the form and the header, which must agree when both name one.
    ///
    /// # Errors
    /// `invalid_request` when none is named or two are; `invalid_client` when a secret comes along, since clients here
    /// have none.
    pub fn read(
        form: &'a Parameters<'_>,
        header: Option<&'a BasicCredentials>,
    ) -> Result<Self, Error> {
        let in_form = form.get("client_id");
        let has_secret =
            form.get("client_secret").is_some() || header.is_some_and(|basic| basic.has_secret);
        let client_id = match (in_form, header) {
            (Some(form_id), Some(basic)) if form_id != basic.client_id => {
                return Err(Error::invalid_request(
                    "client_id differs from the one in the Authorization header",
                ));
            }
            (Some(id), _) => id,
            (None, Some(basic)) if !basic.client_id.is_empty() => &basic.client_id,
            (None, _) => return Err(Error::invalid_request("client_id is missing")),
        };
        if has_secret {
            return Err(Error::invalid_client(
                "this client is public and has no secret; use token_endpoint_auth_method none",
            ));
        }
        Ok(Self { client_id })
    }

    /// Authenticates the client. `holder` spares a look-up: whoever holds a token of this very client is known already.
    pub(crate) async fn authenticate(
        &self,
        authority: &Authority,
        server: &ServerContext,
        holder: Option<Holder<'_>>,
    ) -> Result<AuthenticatedClient, Error> {
        let disabled = match holder {
            Some(holder)
                if *holder.server == server.server.slug
                    && holder.client.as_str() == self.client_id =>
            {
                holder.disabled
            }
            _ => {
                let id = ClientId::from_text(self.client_id);
                match find_client(authority, server, &id).await? {
                    Some(client) => client.disabled_at.is_some(),
                    None => return Err(unknown(self.client_id)),
                }
            }
        };
        if disabled {
            return Err(unknown(self.client_id).because("the client is disabled"));
        }
        Ok(AuthenticatedClient(ClientId::from_text(self.client_id)))
    }
}

fn unknown(client_id: &str) -> Error {
    // Most clients register anew on exactly this code, and on nothing else.
    Error::invalid_client(
        "this client_id is not registered here; register again, or clear the client's stored registration",
    )
    .because(format!(
        "client {} is not registered",
        crate::parameters::printable(client_id)
    ))
}

impl AuthenticatedClient {
    pub fn id(&self) -> &ClientId {
        &self.0
    }
}
