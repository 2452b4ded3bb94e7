//! Values that are written as text, with a unit or a form of their own.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use base::Secret;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::period::Period;
use crate::public_url::PublicUrl;

/// What stands for a secret wherever settings are shown.
pub const HIDDEN: &str = "(set, not shown)";

/// Reads from text, writes as text, and says in the schema what it looks like.
macro_rules! text_value {
    ($value:ty, $name:literal, $schema:tt) => {
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $value {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $value {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// An address and a port to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl ListenAddress {
    /// A port on 127.0.0.1.
    pub const fn loopback(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!(
                "{text:?} is no address with a port; write 127.0.0.1:4180, 0.0.0.0:443 or [::]:443"
            )
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

text_value!(ListenAddress, "ListenAddress", {
    "type": "string", "examples": ["127.0.0.1:4180", "[::]:443"]
});

/// An address, or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no address or network; write 10.1.2.3, 10.0.0.0/8 or fd00::/8");
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self(address.into())),
            Err(_) => match text.parse::<IpNet>() {
                // 10.1.2.3/8 is more likely a mistake than a way to say 10.0.0.0/8.
                Ok(network) if network.trunc() == network => Ok(Self(network)),
                Ok(network) => Err(format!(
                    "{text:?} has bits behind its prefix; write {}",
                    network.trunc()
                )),
                Err(_) => Err(wrong()),
            },
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

text_value!(Network, "Network", {
    "type": "string", "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]
});

/// A URL that begins with `https://`; the directory of Let's Encrypt when nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsUrl(pub Url);

impl Default for HttpsUrl {
    fn default() -> Self {
        let url = "https://acme-v02.api.letsencrypt.org/directory";
        Self(Url::parse(url).expect("a URL"))
    }
}

impl FromStr for HttpsUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(url) if url.scheme() == "https" && url.username().is_empty() => Ok(Self(url)),
            _ => Err(format!("{text:?} is no URL that begins with https://")),
        }
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

text_value!(HttpsUrl, "HttpsUrl", {
    "type": "string", "format": "uri", "examples": ["https://acme-v02.api.letsencrypt.org/directory"]
});

/// A URL that begins with `https://` or `http://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl(pub Url);

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "https" | "http") && url.username().is_empty() => {
                Ok(Self(url))
            }
            // It may hold a password.
            _ => Err(
                "is no URL that begins with https:// or http://, without a user name".to_owned(),
            ),
        }
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

text_value!(WebUrl, "WebUrl", {
    "type": "string", "format": "uri", "examples": ["http://127.0.0.1:4318/v1/traces"]
});

/// A part of all, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// From 0 to 1.
    pub fn ratio(self) -> f64 {
        self.0 / 100.0
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(100.0)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse().ok());
        match percent {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            _ => Err(format!("{text:?} is no share; write 0.5%, 10% or 100%")),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

text_value!(Share, "Share", {
    "type": "string", "examples": ["0.5%", "10%", "100%"]
});

/// An origin; see [`PublicUrl`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub PublicUrl);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        PublicUrl::parse(text).map(Self)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

text_value!(Origin, "Origin", {
    "type": "string", "format": "uri", "examples": ["https://mcp.example.com"]
});

text_value!(Period, "Period", {
    "type": "string", "pattern": "^[0-9]+[smhd]$", "examples": ["90s", "30m", "12h", "90d"]
});

/// How long something is kept: `400d`, or `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Until somebody deletes it.
    Forever,
    /// At least a day.
    For(Period),
}

/// In seconds.
const KEPT_MIN: u64 = 24 * 3600;

impl Kept {
    /// As a duration; none without end.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(period) => Some(period.duration()),
        }
    }
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let period = Period::parse(text).map_err(|error| format!("{error}; or say forever"))?;
        match period.seconds() >= KEPT_MIN {
            true => Ok(Self::For(period)),
            false => Err("must be at least 1d, or forever".to_owned()),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => formatter.write_str("forever"),
            Self::For(period) => period.fmt(formatter),
        }
    }
}

text_value!(Kept, "Kept", {
    "type": "string", "pattern": "^([0-9]+[smhd]|forever)$", "examples": ["400d", "forever"]
});

/// A number of bytes as it is written: `512KiB`, `4MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(u64);

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
const SIZE_MAX: u64 = 1 << 30;

impl Size {
    /// So many MiB.
    pub const fn mebibytes(number: u64) -> Self {
        Self(number << 20)
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a number and its unit: 64KiB, 4MiB or 1GiB".to_owned();
        let (number, unit) = SIZE_UNITS
            .iter()
            .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))
            .ok_or_else(wrong)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(*unit) {
            Some(bytes @ 1024..=SIZE_MAX) => Ok(Self(bytes)),
            _ => Err("must be between 1KiB and 1GiB".to_owned()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = SIZE_UNITS
            .iter()
            .find(|(_, bytes)| self.0.is_multiple_of(*bytes))
            .unwrap_or(&SIZE_UNITS[3]);
        write!(formatter, "{}{unit}", self.0 / bytes)
    }
}

text_value!(Size, "Size", {
    "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$", "examples": ["64KiB", "4MiB"]
});

/// A text that is never shown.
#[derive(Debug, Clone)]
pub struct SecretText(pub Secret<String>);

impl FromStr for SecretText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.is_empty() {
            true => Err("must not be empty".to_owned()),
            false => Ok(Self(Secret::new(text.to_owned()))),
        }
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

text_value!(SecretText, "SecretText", { "type": "string", "writeOnly": true });

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read<T: FromStr<Err = String> + fmt::Display>(text: &str) -> Result<String, String> {
        text.parse::<T>().map(|value| value.to_string())
    }

    #[test]
    fn sizes_have_units_and_are_told_in_the_largest_that_fits() {
        for (text, told) in [
            ("1024B", "1KiB"),
            ("64KiB", "64KiB"),
            ("4096KiB", "4MiB"),
            ("1GiB", "1GiB"),
        ] {
            assert_eq!(read::<Size>(text).unwrap(), told);
        }
        for bad in ["", "4", "4MB", "4 MiB", "1.5MiB", "-4MiB", "1023B", "2GiB"] {
            assert!(read::<Size>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_end_where_their_prefix_ends() {
        for (text, told) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(read::<Network>(text).unwrap(), told);
        }
        assert_eq!(
            read::<Network>("10.1.2.3/8").unwrap_err(),
            "\"10.1.2.3/8\" has bits behind its prefix; write 10.0.0.0/8"
        );
        for bad in ["", "10.0.0.0/33", "proxy.example.com", "10.0.0.0/"] {
            assert!(read::<Network>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_ports() {
        for good in ["127.0.0.1:4180", "[::]:443", "0.0.0.0:0"] {
            assert_eq!(read::<ListenAddress>(good).unwrap(), good);
        }
        for bad in ["", "443", ":443", "localhost:443", "127.0.0.1"] {
            assert!(read::<ListenAddress>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_read_and_not_shown() {
        let secret: SecretText = "postgres://user:hunter2@db/x".parse().unwrap();
        assert_eq!(secret.0.expose(), "postgres://user:hunter2@db/x");
        assert_eq!(secret.to_string(), HIDDEN);
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }
}
