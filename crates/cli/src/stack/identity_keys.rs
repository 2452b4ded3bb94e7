use gateway::IdentityKey;
use oauth::Authority;
use tokio::sync::watch;

/// Keeps those who verify `Portcullis-Identity` and the one who signs it at the keys of the authority that are in force.
pub struct IdentityKeys {
    authority: Authority,
    published: watch::Sender<String>,
    signing: watch::Sender<IdentityKey>,
}

impl IdentityKeys {
    /// With where the public set and the key that signs can be read.
    pub fn new(
        authority: Authority,
    ) -> (Self, watch::Receiver<String>, watch::Receiver<IdentityKey>) {
        let (published, set) = watch::channel(document(&authority));
        let (signing, key) = watch::channel(key(&authority));
        let keys = Self {
            authority,
            published,
            signing,
        };
        (keys, set, key)
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
        self.signing.send_if_modified(|known| {
            let changed = known.kid != key.kid;
            *known = key;
            changed
        });
    }
}

fn key(authority: &Authority) -> IdentityKey {
    let key = authority.identity_key();
    IdentityKey {
        kid: key.key_id,
        pkcs8: key.pkcs8,
    }
}

fn document(authority: &Authority) -> String {
    String::from_utf8_lossy(&authority.identity_jwks_json()).into_owned()
}
