use std::fmt;

use base::{Random, Timestamp, base64url, random_token};
use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("A new one: `", $prefix, "` and 256 random bits.")]
            pub fn random(random: &dyn Random) -> Self {
                Self(random_token(random, $prefix))
            }

            /// One that was written before, or that somebody claims.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A person. The opaque `sub` of their tokens.
    UserId,
    "usr_"
);
text_id!(
    /// A registered client of one MCP server.
    ClientId,
    "cli_"
);
text_id!(
    /// A token family: one approval by one person for one client, and every token that came of it.
    GrantId,
    "gra_"
);
text_id!(
    /// A login session's public id; the cookie is a different secret.
    SessionId,
    "ses_"
);
text_id!(
    /// A static token of a machine; the token itself is a different secret.
    ServiceTokenId,
    "svt_"
);
text_id!(
    /// The credential of an MCP server; its secret is apart.
    ResourceServerId,
    "prs_"
);
text_id!(
    /// A group of people.
    GroupId,
    "grp_"
);
impl GrantId {
    /// A new one that sorts by the time it was made: `gra_`, the milliseconds in 12 hexadecimal digits, and 128
    /// random bits. New rows then stand together in an index, and a commit of many writes few pages.
    pub fn at(now: Timestamp, random: &dyn Random) -> Self {
        Self(ordered("gra_", now, random))
    }
}

impl ClientId {
    /// Whether it is the address of a client ID metadata document. Ids that are made here never look so.
    pub fn is_metadata_document(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// A new one that sorts by the time it was made; see [`GrantId::at`].
    pub fn at(now: Timestamp, random: &dyn Random) -> Self {
        Self(ordered("cli_", now, random))
    }
}

impl ServiceTokenId {
    /// A new one that sorts by the time it was made; see [`GrantId::at`].
    pub fn at(now: Timestamp, random: &dyn Random) -> Self {
        Self(ordered("svt_", now, random))
    }
}

fn ordered(prefix: &str, now: Timestamp, random: &dyn Random) -> String {
    let mut bytes = [0u8; 16];
    random.fill(&mut bytes);
    let time = now.unix_ms().max(0) & 0xffff_ffff_ffff;
    format!("{prefix}{time:012x}{}", base64url(bytes))
}

text_id!(
    /// A signing key: the `kid` of its JWK.
    KeyId,
    "key_"
);

/// The name of an MCP server in addresses: immutable and never reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerSlug(String);

/// Why a text is not a slug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a slug: 1 to 40 of a-z 0-9 and single hyphens, starting with a letter, ending with a letter or digit"
)]
pub struct SlugError(String);

impl ServerSlug {
    /// Reads a slug.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        let shape = text.len() <= 40
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if shape {
            Ok(Self(text.to_owned()))
        } else {
            Err(SlugError(text.chars().take(64).collect()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerSlug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ServerSlug {
    type Error = SlugError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ServerSlug> for String {
    fn from(slug: ServerSlug) -> Self {
        slug.0
    }
}

#[cfg(test)]
mod tests {
    use base::OsRandom;

    use super::*;

    #[test]
    fn ids_made_later_sort_later_and_two_of_one_moment_differ() {
        let at = |ms| GrantId::at(Timestamp::from_unix_ms(ms), &OsRandom);
        assert!(at(999) < at(1000));
        assert!(at(0xffff) < at(0x10000));
        assert_ne!(at(1000), at(1000));
        let text = at(1_795_132_800_000).to_string();
        assert!(text.starts_with("gra_01a1f640bc00"), "{text}");
        assert_eq!(text.len(), 38);
    }

    #[test]
    fn no_id_that_is_made_here_reads_as_the_address_of_a_document() {
        for milliseconds in (0..4_000_000_000_000).step_by(1_000_000_007) {
            let made = ClientId::at(Timestamp::from_unix_ms(milliseconds), &OsRandom);
            assert!(!made.is_metadata_document(), "{made}");
        }
        assert!(!ClientId::random(&OsRandom).is_metadata_document());
        assert!(ClientId::from_text("https://client.example/oauth.json").is_metadata_document());
    }
}
