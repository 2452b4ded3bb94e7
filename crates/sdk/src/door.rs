use std::sync::Arc;

use base::Timestamp;
use http::HeaderMap;
use tokio::sync::Notify;

use crate::issuer_keys::KeyRefresh;
use crate::resource_metadata::AskedAddress;
use crate::tasks::Tasks;
use crate::{InForce, ProtectedServer, Refusal, RefusalCause, VerifiedCaller};

/// What the layers of one protected server share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) server: Arc<ProtectedServer>,
    /// The issuer's keys, where no authority sends them.
    pub(crate) keys: Option<Arc<KeyRefresh>>,
    /// Told when the server says that its lists changed.
    pub(crate) lists_changed: Arc<Notify>,
    /// What runs for it, for as long as somebody holds it.
    pub(crate) tasks: Tasks,
}

impl Door {
    pub(crate) fn of(server: Arc<ProtectedServer>) -> Self {
        Self {
            server,
            keys: None,
            lists_changed: Arc::default(),
            tasks: Tasks::default(),
        }
    }

    /// Who calls, and by what it is judged. A key that is not known may be a new one, which is looked for once.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        asked: &AskedAddress,
        now: Timestamp,
    ) -> Result<(Arc<VerifiedCaller>, Arc<InForce>), Refusal> {
        let keys = self.keys.as_ref().map(|keys| (keys, keys.reads()));
        let in_force = self.server.in_force(now)?;
        let verdict = self.server.authenticate(headers, asked, &in_force, now);
        match (verdict.await, keys) {
            (Ok(caller), _) => Ok((caller, in_force)),
            (Err(refusal), Some((keys, reads)))
                if refusal.cause() == RefusalCause::BadSignature
                    && keys.read_since(reads).await =>
            {
                let in_force = self.server.in_force(now)?;
                let verdict = self.server.authenticate(headers, asked, &in_force, now);
                Ok((verdict.await?, in_force))
            }
            (Err(refusal), _) => Err(refusal),
        }
    }
}
