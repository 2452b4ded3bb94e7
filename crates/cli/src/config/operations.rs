use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::ListenAddress;
use crate::period::Period;

/// Where whoever operates a node asks it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Operations {
    /// Addresses for `/metrics` (Prometheus), `/healthz` and `/readyz`, in plain HTTP and without a password: keep them where strangers
    /// cannot come. Without them there are none.
    pub listen: Vec<ListenAddress>,
    /// How long a node goes on answering after it was told to stop, with `/readyz` at 503, so that balancers look elsewhere first.
    pub notice: Option<Period>,
}
