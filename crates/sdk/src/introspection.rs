use std::collections::HashMap;

use bytes::Bytes;
use url::form_urlencoded;
use wire::oauth::IntrospectionResponse;

use crate::authority_client::{AuthorityError, OwnServer};
use crate::opaque_tokens::{Exchanging, OpaqueRefusal, OpaqueTokens};

/// Turns service tokens into access tokens by asking the authority about them (RFC 7662).
#[derive(Debug)]
pub struct Introspection(HashMap<String, OwnServer>);

impl Introspection {
    /// For these MCP servers; the service tokens of others are unknown.
    pub fn new(servers: impl IntoIterator<Item = OwnServer>) -> Self {
        let named = |server: OwnServer| (server.slug().to_owned(), server);
        Self(servers.into_iter().map(named).collect())
    }
}

impl OpaqueTokens for Introspection {
    fn exchange<'a>(&'a self, slug: &'a str, token: &'a str) -> Exchanging<'a> {
        let server = self.0.get(slug).cloned();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .finish();
        Box::pin(async move { ask(server.ok_or(OpaqueRefusal::Invalid)?, form.into()).await })
    }
}

async fn ask(server: OwnServer, form: Bytes) -> Result<String, OpaqueRefusal> {
    let unavailable = |error: AuthorityError| OpaqueRefusal::Unavailable(error.to_string());
    let kind = "application/x-www-form-urlencoded";
    let answer = server.post("introspect", kind, form).await;
    let answer: IntrospectionResponse = serde_json::from_value(answer.map_err(unavailable)?)
        .map_err(|_| unavailable(AuthorityError::Unreadable))?;
    match (answer.active, answer.access_token) {
        (false, _) => Err(OpaqueRefusal::Invalid),
        (true, Some(access_token)) => Ok(access_token),
        (true, None) => Err(unavailable(AuthorityError::Unreadable)),
    }
}
