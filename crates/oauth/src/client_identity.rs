use domain::{Client, ClientId, ClientRegistration};
use url::Url;
use wire::oauth::{RedirectUri, RedirectUriKind};

/// What stands behind a client's word that it is who it says, for one return address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientProof {
    /// Its metadata document is served by this host, and the answer goes to the same host over https: nobody else can
    /// receive it.
    Host(String),
    /// An admin added it.
    Owner,
    /// Its metadata document is served by this host, but the answer goes where any program may listen, or elsewhere.
    DocumentOnly(String),
    /// Its own word.
    Nobody,
}

impl ClientProof {
    /// What is proven of `client` when its answer goes to `redirect_uri`.
    pub fn of(client: &Client, redirect_uri: &RedirectUri) -> Self {
        match client.registration {
            ClientRegistration::PreRegistered => Self::Owner,
            ClientRegistration::Dynamic => Self::Nobody,
            ClientRegistration::MetadataDocument => {
                let Some(document) = document(&client.id) else {
                    return Self::Nobody;
                };
                let host = document.host_str().unwrap_or_default().to_owned();
                if is_answered_at_home(&client.id, redirect_uri.as_str()) {
                    Self::Host(host)
                } else {
                    Self::DocumentOnly(host)
                }
            }
        }
    }

    /// Whether an approval may be remembered: only the client itself can receive the answer at `redirect_uri`.
    ///
    /// Spec: RFC 8252 section 8.6; OAuth 2.1 section 7.3.1.
    pub(crate) fn holds_next_time(&self, redirect_uri: &RedirectUri) -> bool {
        redirect_uri.kind() == RedirectUriKind::Https && matches!(self, Self::Host(_) | Self::Owner)
    }
}

/// Whether what is sent to `redirect_uri` reaches the host of the client's own document and nobody else: both are at the same
/// https origin. A host below is another one, and so is another port: not everybody who has one has the other.
pub fn is_answered_at_home(client: &ClientId, redirect_uri: &str) -> bool {
    let answered = Url::parse(redirect_uri).ok();
    let document = document(client);
    document.is_some_and(|document| {
        answered.is_some_and(|answered| answered.origin() == document.origin())
    })
}

fn document(client: &ClientId) -> Option<Url> {
    let address = Url::parse(client.as_str()).ok();
    address.filter(|url| url.scheme() == "https" && url.host_str().is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::Timestamp;
    use domain::{ClientAuthentication, ServerSlug};

    use super::*;

    fn client(id: &str, registration: ClientRegistration) -> Client {
        Client {
            id: ClientId::from_text(id),
            server: ServerSlug::parse("todo").unwrap(),
            name: "Claude".into(),
            redirect_uris: Vec::new(),
            registration,
            authentication: ClientAuthentication::none(),
            service_scopes: None,
            metadata: serde_json::from_value(serde_json::json!({
                "client_id": id,
                "client_id_issued_at": 0,
                "redirect_uris": [],
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code"],
                "response_types": ["code"],
            }))
            .unwrap(),
            created_at: Timestamp::from_unix_ms(0),
            waiting_since: None,
            disabled_at: None,
        }
    }

    #[test]
    fn a_host_is_proven_only_where_document_and_answer_are_at_the_same_origin() {
        let id = "https://claude.ai/oauth/client";
        let document = client(id, ClientRegistration::MetadataDocument);
        let proof = |uri: &str| {
            let uri = RedirectUri::parse(uri).unwrap();
            let proof = ClientProof::of(&document, &uri);
            let remembered = proof.holds_next_time(&uri);
            (proof, remembered)
        };
        let host = "claude.ai".to_owned();
        assert_eq!(
            proof("https://claude.ai/cb"),
            (ClientProof::Host(host.clone()), true)
        );
        for other in [
            "https://claude.ai.evil.example/cb",
            "https://evil.example/claude.ai",
            "https://sub.claude.ai/cb",
            "https://claude.ai:8443/cb",
            "http://localhost:1/cb",
            "claude://claude.ai/cb",
        ] {
            assert_eq!(
                proof(other),
                (ClientProof::DocumentOnly(host.clone()), false),
                "{other}"
            );
        }
    }

    #[test]
    fn a_self_registered_client_proves_nothing_and_an_added_one_holds_over_https_alone() {
        let https = RedirectUri::parse("https://claude.ai/cb").unwrap();
        let loopback = RedirectUri::parse("http://localhost/cb").unwrap();
        let dynamic = client("cli_1", ClientRegistration::Dynamic);
        let proof = ClientProof::of(&dynamic, &https);
        assert!(proof == ClientProof::Nobody && !proof.holds_next_time(&https));
        let added = client("cli_1", ClientRegistration::PreRegistered);
        let proof = ClientProof::of(&added, &https);
        assert!(proof == ClientProof::Owner && proof.holds_next_time(&https));
        assert!(!proof.holds_next_time(&loopback));
    }
}
