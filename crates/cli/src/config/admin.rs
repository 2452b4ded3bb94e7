use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{ListenAddress, Origin};

/// Where the dashboard and the admin API answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Addresses apart from the public ones. With them, the dashboard and the admin API are answered there alone. Without them, they
    /// are at `{public_url}/admin`.
    pub listen: Vec<ListenAddress>,
    /// The origin under which browsers reach these addresses. Needed when the first of them is not on loopback.
    pub url: Option<Origin>,
    /// Whether these addresses speak https too, with the certificates of `[tls]`.
    pub tls: bool,
}
