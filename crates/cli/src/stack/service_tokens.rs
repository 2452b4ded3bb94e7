use oauth::{Authority, service_tokens};
use sdk::{Exchanging, OpaqueRefusal, OpaqueTokens};
use wire::oauth::ErrorCode;

/// Exchanges service tokens inside this process.
#[derive(Debug)]
pub struct ServiceTokens(pub Authority);

impl OpaqueTokens for ServiceTokens {
    fn exchange<'a>(&'a self, slug: &'a str, token: &'a str) -> Exchanging<'a> {
        Box::pin(async move {
            let server = self.0.server(slug).ok_or(OpaqueRefusal::Invalid)?;
            service_tokens::exchange(&self.0, &server, token)
                .await
                .map_err(|error| match error.code() {
                    ErrorCode::InvalidGrant => OpaqueRefusal::Invalid,
                    _ => OpaqueRefusal::Unavailable(format!("{error:?}")),
                })
        })
    }
}
