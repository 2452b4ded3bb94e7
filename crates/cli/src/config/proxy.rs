use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Network;

/// Proxies in front, whose word about the client's address counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Addresses or networks of the proxies. The header below is read from its right end, past these; from anybody else it is
    /// not read at all. `Host` is never taken from a header of a proxy.
    pub trusted: Vec<Network>,
    /// The one header in which the proxies say whom they serve. The other one is never read.
    pub header: ForwardedHeader,
}

/// The header in which proxies say whom they serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, as nginx, Caddy, HAProxy and cloud balancers write it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}
