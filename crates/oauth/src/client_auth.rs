use std::borrow::Cow;

use base::Secret;
use domain::{AuthMethod, Client, ClientAuthentication, ClientId, ServerSlug};

use crate::client_identity::is_answered_at_home;
use crate::find_client::find_granted_client;
use crate::{Authority, Error, Parameters, ServerContext, client_assertion, client_secret};

/// The one kind of assertion that is accepted (RFC 7523 section 2.2).
const JWT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a request says about its client, unproven.
#[derive(Debug)]
pub(crate) struct ClientCredentials<'a> {
    client_id: Cow<'a, str>,
    proof: Proof<'a>,
}

/// With what the client would prove that it is itself.
enum Proof<'a> {
    Nothing,
    Secret(&'a str),
    Assertion(&'a str),
}

/// `Authorization: Basic`, decoded.
#[derive(Debug, Clone)]
pub struct BasicCredentials {
    /// The part before the colon.
    pub client_id: String,
    /// The part behind it, unless it is empty: public clients send their id alone.
    pub secret: Option<Secret<String>>,
}

/// A client that is known here and has proven whatever it was registered to prove. Only this file makes one.
#[derive(Debug, Clone)]
pub(crate) struct AuthenticatedClient {
    id: ClientId,
    loaded: Option<Box<Client>>,
    proven: bool,
}

/// The client that a code or refresh token was issued to, as the same read brought it.
pub(crate) struct Holder<'a> {
    pub server: &'a ServerSlug,
    pub client: &'a ClientId,
    pub disabled: bool,
    pub authentication: Option<&'a ClientAuthentication>,
}

impl<'a> ClientCredentials<'a> {
    /// Reads the client's identity and its proof from the form and the header, which must agree when both name a
    /// client.
    ///
    /// # Errors
    /// `invalid_request` when no client is named, two are, or there are two proofs; `invalid_client` for an assertion
    /// that is none.
    ///
    /// Spec: RFC 6749 section 2.3: "The client MUST NOT use more than one authentication method in each request."
    pub fn read(
        form: &'a Parameters<'_>,
        header: Option<&'a BasicCredentials>,
    ) -> Result<Self, Error> {
        let proof = read_proof(form, header)?;
        let in_form = form.get("client_id");
        let client_id = match (in_form, header) {
            (Some(form_id), Some(basic)) if form_id != basic.client_id => {
                return Err(Error::invalid_request(
                    "client_id differs from the one in the Authorization header",
                ));
            }
            (Some(id), _) => Cow::Borrowed(id),
            (None, Some(basic)) if !basic.client_id.is_empty() => {
                Cow::Borrowed(basic.client_id.as_str())
            }
            (None, _) => match proof {
                // RFC 7521 section 4.2: the assertion names its client.
                Proof::Assertion(assertion) => Cow::Owned(client_assertion::subject(assertion)?),
                _ => return Err(Error::invalid_request("client_id is missing")),
            },
        };
        Ok(Self { client_id, proof })
    }

    /// Authenticates the client. `holder` spares a look-up: whoever holds a token of this very client is known already.
    ///
    /// # Errors
    /// `invalid_client` when it is unknown or disabled, or its proof is missing or wrong.
    pub(crate) async fn authenticate(
        &self,
        authority: &Authority,
        server: &ServerContext,
        holder: Option<Holder<'_>>,
    ) -> Result<AuthenticatedClient, Error> {
        let held = holder.filter(|holder| {
            *holder.server == server.server.slug && holder.client.as_str() == self.client_id
        });
        let id = ClientId::from_text(self.client_id.as_ref());
        match held {
            Some(holder) if holder.disabled => Err(disabled(&id)),
            Some(Holder {
                authentication: Some(authentication),
                ..
            }) => {
                let proven = self.prove(authority, server, &id, authentication).await?;
                Ok(AuthenticatedClient {
                    id,
                    loaded: None,
                    proven,
                })
            }
            _ => self.load(authority, server, id).await,
        }
    }

    async fn load(
        &self,
        authority: &Authority,
        server: &ServerContext,
        id: ClientId,
    ) -> Result<AuthenticatedClient, Error> {
        let Some(client) = find_granted_client(authority, server, &id).await? else {
            return Err(unknown(&id));
        };
        if client.disabled_at.is_some() {
            return Err(disabled(&id));
        }
        let proven = self
            .prove(authority, server, &id, &client.authentication)
            .await?;
        authority.client_documents().keep_up(&client).await;
        Ok(AuthenticatedClient {
            id,
            loaded: Some(Box::new(client)),
            proven,
        })
    }

    /// Checks the proof against what the client was registered with; says whether there was one.
    async fn prove(
        &self,
        authority: &Authority,
        server: &ServerContext,
        id: &ClientId,
        authentication: &ClientAuthentication,
    ) -> Result<bool, Error> {
        let method = match self.proof {
            Proof::Nothing => AuthMethod::None,
            Proof::Secret(_) => AuthMethod::ClientSecret,
            Proof::Assertion(_) => AuthMethod::PrivateKeyJwt,
        };
        if !authentication.accepts(method) {
            return Err(wrong_method(authentication));
        }
        match self.proof {
            Proof::Nothing => return Ok(false),
            Proof::Secret(secret) => client_secret::verify(authority, id, secret).await?,
            Proof::Assertion(assertion) => {
                client_assertion::verify(
                    authority,
                    server,
                    id,
                    authentication.keys.as_ref(),
                    assertion,
                )
                .await?;
            }
        }
        Ok(true)
    }
}

impl AuthenticatedClient {
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The client itself, when the request alone named it.
    pub fn loaded(&self) -> Option<&Client> {
        self.loaded.as_deref()
    }

    /// Refuses a client that waits for an admin, before it gets anything.
    ///
    /// # Errors
    /// `unauthorized_client`: neither a registration nor a sign-in would help.
    pub fn may_get_tokens(&self) -> Result<(), Error> {
        match self.loaded.as_ref().and_then(|client| client.waiting_since) {
            Some(_) => Err(Error::unauthorized_client(
                "this client waits for the approval of the MCP server's owner",
            )),
            None => Ok(()),
        }
    }

    /// Whether it proved that it is itself, instead of only saying so.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether that is proven of it all the same when it has what was sent to `redirect_uri`: nobody else is there.
    pub fn is_proven_at(&self, redirect_uri: Option<&str>) -> bool {
        self.proven || redirect_uri.is_some_and(|uri| is_answered_at_home(&self.id, uri))
    }
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Secret(_) => "Secret",
            Self::Assertion(_) => "Assertion",
        })
    }
}

fn read_proof<'a>(
    form: &'a Parameters<'_>,
    header: Option<&'a BasicCredentials>,
) -> Result<Proof<'a>, Error> {
    let in_header = header.and_then(|basic| basic.secret.as_ref());
    let in_form = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let kind = form.get("client_assertion_type");
    let proofs = [in_header.is_some(), in_form.is_some(), assertion.is_some()];
    if proofs.iter().filter(|given| **given).count() > 1 {
        return Err(Error::invalid_request(
            "the client authenticates in two ways at once; use either the Authorization header, client_secret or \
             client_assertion",
        ));
    }
    match (assertion, kind) {
        (Some(assertion), Some(JWT_ASSERTION)) => return Ok(Proof::Assertion(assertion)),
        (Some(_), Some(_)) => {
            return Err(Error::invalid_client(format!(
                "client_assertion_type must be {JWT_ASSERTION}"
            )));
        }
        (Some(_), None) => {
            return Err(Error::invalid_request("client_assertion_type is missing"));
        }
        (None, Some(_)) => return Err(Error::invalid_request("client_assertion is missing")),
        (None, None) => {}
    }
    Ok(match (in_header, in_form) {
        (Some(secret), _) => Proof::Secret(secret.expose()),
        (None, Some(secret)) => Proof::Secret(secret),
        (None, None) => Proof::Nothing,
    })
}

fn wrong_method(authentication: &ClientAuthentication) -> Error {
    if authentication.is_public() {
        return Error::invalid_client(
            "this client is public and has no secret; use token_endpoint_auth_method none",
        );
    }
    let names: Vec<&str> = authentication
        .methods
        .iter()
        .map(|method| match method {
            AuthMethod::None => "none",
            AuthMethod::ClientSecret => "client_secret_basic or client_secret_post",
            AuthMethod::PrivateKeyJwt => "private_key_jwt",
        })
        .collect();
    Error::invalid_client(format!(
        "this client must authenticate as it was registered: {}",
        names.join(", or ")
    ))
}

fn disabled(id: &ClientId) -> Error {
    unknown(id).because("the client is disabled")
}

fn unknown(id: &ClientId) -> Error {
    // Most clients register anew on exactly this code, and on nothing else.
    Error::invalid_client(
        "this client_id is not registered here; register again, or clear the client's stored registration",
    )
    .because(format!(
        "client {} is not registered",
        crate::parameters::printable(id.as_str())
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn printed_credentials_say_of_what_kind_the_proof_is_and_show_nothing_of_it() {
        let assertion = format!(
            "client_id=c&client_assertion=hush&client_assertion_type={}",
            JWT_ASSERTION.replace(':', "%3A")
        );
        for (form, kind) in [
            ("client_id=c", "Nothing"),
            ("client_id=c&client_secret=hush", "Secret"),
            (&assertion, "Assertion"),
        ] {
            let form = Parameters::parse(form.as_bytes()).unwrap();
            let printed = format!("{:?}", ClientCredentials::read(&form, None).unwrap());
            assert!(
                printed.contains(kind) && !printed.contains("hush"),
                "{printed}"
            );
        }
    }
}
