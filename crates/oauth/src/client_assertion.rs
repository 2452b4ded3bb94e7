use authz::{
    ASSERTION_LEEWAY, ASSERTION_LIFETIME_MAX, ExpectedAssertion, VerifiedAssertion, VerifyingKeys,
    read_assertion, verify_client_assertion,
};
use base::Digest;
use domain::{ClientId, ClientKeys};

use crate::server_metadata::issuer;
use crate::{Authority, Error, ServerContext};

/// The client that an assertion says it is of; nothing is proven yet.
pub(crate) fn subject(assertion: &str) -> Result<String, Error> {
    read_assertion(assertion)
        .map(|unverified| unverified.client_id)
        .map_err(refused)
}

/// Checks an assertion with the client's keys and spends its id, before anything is granted.
///
/// Spec: RFC 7523 section 3; OpenID Connect Core section 9.
pub(crate) async fn verify(
    authority: &Authority,
    server: &ServerContext,
    client: &ClientId,
    keys: Option<&ClientKeys>,
    assertion: &str,
) -> Result<(), Error> {
    let unverified = read_assertion(assertion).map_err(refused)?;
    // Before its keys are asked for: whoever forges a subject must not make us fetch something.
    if unverified.client_id != client.as_str() {
        return Err(Error::invalid_client(
            "client_assertion's sub is not the client_id",
        ));
    }
    let keys = match keys {
        Some(ClientKeys::Inline(keys)) => VerifyingKeys::from_client_jwks(keys),
        Some(ClientKeys::Remote(address)) => {
            let key_id = unverified.key_id.as_deref();
            let keys = authority.client_documents().keys(address, key_id).await?;
            VerifyingKeys::from_client_jwks(&keys)
        }
        None => VerifyingKeys::default(),
    };
    // The metadata says the token endpoint, the drafts say the issuer; nothing else means us and nobody besides.
    let mut audiences = vec![
        server.issuer.as_str(),
        server.metadata.token_endpoint.as_str(),
    ];
    // A client may have read the metadata before we moved.
    let now = authority.now();
    let kept = authority
        .former_origins()
        .iter()
        .filter(|former| former.is_kept(now));
    let former: Vec<String> = kept
        .flat_map(|former| {
            let issuer = issuer(&former.origin, server.slug());
            [format!("{issuer}/token"), issuer]
        })
        .collect();
    audiences.extend(former.iter().map(String::as_str));
    let verified = verify_client_assertion(
        assertion,
        &ExpectedAssertion {
            client_id: client.as_str(),
            audiences: &audiences,
            keys: &keys,
            now,
        },
    )
    .map_err(refused)?;
    refuse_older_than_the_epoch(authority, &verified)?;
    let fresh = authority
        .store()
        .spend_assertion_id(spent_as(client, &verified.token_id), verified.until)
        .await?;
    if fresh {
        return Ok(());
    }
    Err(Error::invalid_client(
        "client_assertion was used before; make a new one, with its own jti, for each request",
    ))
}

/// Which assertions were spent before an epoch began may be forgotten, so none of that time is good.
fn refuse_older_than_the_epoch(
    authority: &Authority,
    assertion: &VerifiedAssertion,
) -> Result<(), Error> {
    let began_at = authority.store().epoch().began_at;
    let all_over = began_at
        .after(ASSERTION_LIFETIME_MAX)
        .after(ASSERTION_LEEWAY);
    let newer = (assertion.issued_at).is_some_and(|issued_at| issued_at >= began_at);
    if newer || authority.now() > all_over {
        return Ok(());
    }
    Err(Error::invalid_client(
        "client_assertion is from before the authority was restored; make a new one, with an iat",
    ))
}

/// Ids of different clients are different ids. A client id holds no line break.
fn spent_as(client: &ClientId, token_id: &str) -> Digest {
    Digest::of(format!("{client}\n{token_id}"))
}

fn refused(refusal: authz::AssertionRefusal) -> Error {
    Error::invalid_client(crate::parameters::printable(&refusal.to_string()))
}
