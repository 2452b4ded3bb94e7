use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::ListenAddress;

/// Where clients and people connect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Addresses with ports. `[::]:443` also takes IPv4 on Linux unless the machine says otherwise.
    pub addresses: Vec<ListenAddress>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            addresses: vec![ListenAddress::loopback(4180)],
        }
    }
}
