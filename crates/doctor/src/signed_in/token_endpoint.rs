use base::Secret;
use base64::Engine as _;

use super::Client;
use crate::{Ask, Desk};

/// Where tokens are asked for, and as whom.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    url: String,
    client: Client,
    /// Whether the secret goes into the body instead of a header.
    secret_in_body: bool,
}

impl TokenEndpoint {
    /// The one that the metadata names; none when it names none.
    pub fn of(desk: &Desk, client: Client) -> Option<Self> {
        let url = desk.scene.endpoint("token_endpoint")?;
        if client.secret.is_some() && !desk.may_have_secrets(&url) {
            return None;
        }
        let url = url.to_string();
        let lists = |method| {
            desk.scene
                .server_lists("token_endpoint_auth_methods_supported", method)
        };
        // Basic is what every authorization server must know (RFC 6749 section 2.3.1).
        let secret_in_body = lists("client_secret_post") && !lists("client_secret_basic");
        if let Some(secret) = &client.secret {
            desk.wire.keep_secret(secret.expose());
            // As it stands in the header.
            let header = basic(&client.id, secret.expose());
            let credentials = header.expose().trim_start_matches("Basic ");
            desk.wire.keep_secret(credentials);
        }
        Some(Self {
            url,
            client,
            secret_in_body,
        })
    }

    /// Whether the client has no secret.
    pub fn is_public(&self) -> bool {
        self.client.secret.is_none()
    }

    /// Asks the token endpoint.
    pub fn ask(&self, purpose: &str, fields: &[(&str, &str)]) -> Ask {
        self.ask_at(&self.url, purpose, fields)
    }

    /// Asks another endpoint that clients authenticate at in the same way.
    pub fn ask_at(&self, url: &str, purpose: &str, fields: &[(&str, &str)]) -> Ask {
        let mut fields = fields.to_vec();
        let secret: Option<&str> = self
            .client
            .secret
            .as_ref()
            .map(|secret| secret.expose().as_str());
        let Some(secret) = secret else {
            fields.push(("client_id", &self.client.id));
            return Ask::post_form(url, purpose, &fields);
        };
        if self.secret_in_body {
            fields.extend([
                ("client_id", self.client.id.as_str()),
                ("client_secret", secret),
            ]);
            return Ask::post_form(url, purpose, &fields);
        }
        let basic = basic(&self.client.id, secret);
        Ask::post_form(url, purpose, &fields).header("authorization", basic.expose())
    }
}

/// Spec: RFC 6749 section 2.3.1: both are form-encoded first.
fn basic(id: &str, secret: &str) -> Secret<String> {
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    let text = base64::engine::general_purpose::STANDARD.encode(pair);
    Secret::new(format!("Basic {text}"))
}
