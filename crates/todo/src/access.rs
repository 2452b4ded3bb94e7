use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::identity::IdentityVerifier;

const IDENTITY: &str = "portcullis-identity";

/// Who may speak with this server at all, and for whom.
pub(crate) struct Access {
    authorization: String,
    identities: IdentityVerifier,
}

impl Access {
    pub(crate) fn new(bearer: &str, identities: IdentityVerifier) -> Self {
        Self {
            authorization: format!("Bearer {bearer}"),
            identities,
        }
    }

    /// Takes the identity keys of a newer JWK Set.
    pub(crate) fn replace_keys(&self, jwk_set: &str) {
        if let Err(error) = self.identities.replace_keys(jwk_set) {
            tracing::error!(%error, "the todo server goes on with the identity keys it had");
        }
    }

    /// Lets a request with the bearer in, with the person it is for among its extensions when it names one.
    /// Listing the tools needs no person; a wrong identity is refused even there. The error is the reason.
    pub(crate) fn admit<B>(&self, mut request: Request<B>) -> Result<Request<B>, String> {
        let presented = request.headers_mut().remove(header::AUTHORIZATION);
        if !presented.is_some_and(|value| same(value.as_bytes(), self.authorization.as_bytes())) {
            return Err(
                "the bearer token is missing or wrong; only the gateway may call".to_owned(),
            );
        }
        let mut identities = request.headers().get_all(IDENTITY).iter();
        let identity = identities.next().cloned();
        if identities.next().is_some() {
            return Err("Portcullis-Identity is there more than once".to_owned());
        }
        if let Some(identity) = identity {
            let person = identity
                .to_str()
                .map_err(|_| "Portcullis-Identity is not ASCII".to_owned())
                .and_then(|identity| self.identities.verify(identity))?;
            request.extensions_mut().insert(person);
        }
        Ok(request)
    }
}

/// Equality whose time does not tell how much of the secret was right.
fn same(presented: &[u8], expected: &[u8]) -> bool {
    let differences = presented
        .iter()
        .zip(expected)
        .fold(0u8, |sum, (left, right)| sum | (left ^ right));
    presented.len() == expected.len() && std::hint::black_box(differences) == 0
}

/// The answer to a request that was not admitted.
pub(crate) fn refusal(reason: &str) -> Response<BoxBody<Bytes, Infallible>> {
    tracing::info!(reason, "the todo server refused a request");
    let body = serde_json::json!({"error": "unauthorized", "error_description": reason});
    let mut response = Response::new(Full::from(body.to_string()).boxed());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
