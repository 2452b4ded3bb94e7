use base::Timestamp;
use serde::{Deserialize, Serialize};

/// An origin that an authority had before it moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerOrigin {
    /// Without a slash at the end.
    pub origin: String,
    /// From then on no token may name it as its issuer.
    pub accepted_until: Timestamp,
    /// From then on nobody is answered there.
    pub kept_until: Timestamp,
}

impl FormerOrigin {
    /// Whether whoever still has it is answered.
    pub fn is_kept(&self, now: Timestamp) -> bool {
        now < self.kept_until
    }
}
