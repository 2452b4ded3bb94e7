use std::time::Duration;

use base::Timestamp;

/// How long a proof is good when none follows it: a host that nobody reaches keeps its place for a day.
pub const ALIAS_PROOF_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The other addresses of an MCP server, besides its resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherAddresses {
    /// Those that were declared, proven or not.
    pub aliases: Vec<ServerAlias>,
    /// What it was called before: no address, only an `aud` that tokens may still have.
    pub former: Vec<FormerResource>,
}

impl OtherAddresses {
    /// The addresses that answer at `now`.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &ServerAlias> {
        self.aliases.iter().filter(move |alias| alias.is_live(now))
    }

    /// The proven ones, each with its end.
    pub fn periods(&self) -> Vec<(String, Timestamp)> {
        let period = |alias: &ServerAlias| Some((alias.url.clone(), alias.live_until()?));
        self.aliases.iter().filter_map(period).collect()
    }

    /// Whether `audience` is one that tokens from before a move may have at `now`.
    pub fn accepts_former(&self, audience: &str, now: Timestamp) -> bool {
        self.former
            .iter()
            .any(|former| former.resource == audience && now < former.accepted_until)
    }
}

/// Another address at which an MCP server answers, once it is proven that it leads here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAlias {
    /// The exact URL, written like a resource.
    pub url: String,
    /// When it ends, proven or not.
    pub until: Option<Timestamp>,
    /// When it was last proven.
    pub proven_at: Option<Timestamp>,
    /// When it is proven again.
    pub next_check_at: Timestamp,
    /// Why the last try did not prove it.
    pub failure: Option<String>,
}

impl ServerAlias {
    /// Whether it answers at `now`: proven within a day, and not at its end.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.live_until().is_some_and(|until| now < until)
    }

    /// When it ends to answer unless it is proven again; nothing when it is not proven.
    pub fn live_until(&self) -> Option<Timestamp> {
        let proven_until = self.proven_at?.after(ALIAS_PROOF_LIFE);
        Some(
            self.until
                .map_or(proven_until, |until| until.min(proven_until)),
        )
    }

    /// Whether its date has come.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// The resource that an MCP server had before it moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerResource {
    /// The resource, which is the `aud` of tokens from then.
    pub resource: String,
    /// When the last of them has expired.
    pub accepted_until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn an_alias_lives_from_its_proof_for_a_day_and_not_beyond_its_date() {
        let day = 24 * 3600;
        let alias = |proven: Option<i64>, until: Option<i64>| ServerAlias {
            url: "https://a.example/mcp".into(),
            until: until.map(at),
            proven_at: proven.map(at),
            next_check_at: at(0),
            failure: None,
        };
        for (proven, until, now, is_live) in [
            (None, None, 10, false),
            (Some(0), None, 10, true),
            (Some(0), None, day - 1, true),
            (Some(0), None, day, false),
            (Some(0), Some(20), 19, true),
            (Some(0), Some(20), 20, false),
            (None, Some(20), 10, false),
        ] {
            assert_eq!(
                alias(proven, until).is_live(at(now)),
                is_live,
                "{proven:?} {until:?} {now}"
            );
        }
    }
}
