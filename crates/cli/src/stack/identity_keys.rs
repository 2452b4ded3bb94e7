use gateway::Gateway;
use oauth::Authority;
use tokio::sync::watch;

/// Keeps the gateway and the bundled todo server at the keys of `Portcullis-Identity` that are in force.
pub struct IdentityKeys {
    authority: Authority,
    gateway: Gateway,
    published: watch::Sender<String>,
}

impl IdentityKeys {
    /// The set as it is now, for those who verify.
    pub fn published(authority: &Authority) -> watch::Sender<String> {
        watch::Sender::new(document(authority))
    }

    /// Keeps `gateway` and the readers of `published` up to date.
    pub fn new(authority: Authority, gateway: Gateway, published: watch::Sender<String>) -> Self {
        Self {
            authority,
            gateway,
            published,
        }
    }

    /// Looks what is in force. Cheap when nothing has changed.
    pub fn follow(&self) {
        // First those who verify, then the one who signs.
        let document = document(&self.authority);
        self.published.send_if_modified(|known| {
            let changed = *known != document;
            *known = document;
            changed
        });
        let key = key(&self.authority);
        if let Err(error) = self.gateway.set_identity_key(&key) {
            tracing::error!(%error, "the gateway goes on with the identity key it had");
        }
    }
}

/// The key that signs now, as the gateway takes it.
pub fn key(authority: &Authority) -> gateway::IdentityKey {
    let key = authority.identity_key();
    gateway::IdentityKey {
        kid: key.key_id,
        pkcs8: key.pkcs8,
    }
}

fn document(authority: &Authority) -> String {
    String::from_utf8_lossy(&authority.identity_jwks_json()).into_owned()
}
