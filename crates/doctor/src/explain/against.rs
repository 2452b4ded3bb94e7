use base::Timestamp;
use jiff::tz::TimeZone;
use wire::oauth::JwkSet;

/// What a token is held against. What is not given is not compared.
#[derive(Debug, Clone)]
pub struct Against {
    /// The MCP URL, or the `resource` of its metadata.
    pub resource: Option<String>,
    /// The issuer, as the resource metadata writes it.
    pub issuer: Option<String>,
    /// The issuer's keys.
    pub jwks: Option<JwkSet>,
    /// The present moment.
    pub now: Timestamp,
    /// Where times are told.
    pub zone: TimeZone,
}

impl Against {
    /// Only the clock, told in UTC.
    pub fn clock(now: Timestamp) -> Self {
        Self {
            resource: None,
            issuer: None,
            jwks: None,
            now,
            zone: TimeZone::UTC,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing().len() == 3
    }

    /// The flags that were not given.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        [
            ("--resource URL", self.resource.is_none()),
            ("--issuer URL", self.issuer.is_none()),
            ("--jwks FILE", self.jwks.is_none()),
        ]
        .into_iter()
        .filter_map(|(flag, is_missing)| is_missing.then_some(flag))
        .collect()
    }
}
