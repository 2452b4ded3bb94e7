use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use wire::mcp::method;

use crate::{Call, Rate};

/// How often somebody may call. Each gateway counts by itself.
///
/// It is a bucket: so many calls at once, and it fills again evenly over the time of its rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Immutable, `lim_…`; refusals name it in the log. What was counted under it goes on when the rest is changed.
    pub id: String,
    /// Who shares one count.
    pub per: LimitPer,
    /// What is counted.
    #[serde(default, skip_serializing_if = "LimitWhat::is_all")]
    pub what: LimitWhat,
    /// How many calls in how long a time.
    pub rate: Rate,
    /// How many of them may come at once; all of them when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Why, in the words of whoever wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Who shares one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitPer {
    /// Each person has a count of their own, through whatever clients. So has a machine that acts for itself.
    Person,
    /// Each client has one, for whomever it calls.
    Client,
    /// Each person has one for each client.
    PersonAndClient,
    /// There is one for all.
    Everybody,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum LimitWhat {
    /// Every call that begins something: of tools, resources, prompts, completions and subscriptions; and lists, where each
    /// person has a count of their own.
    #[default]
    All,
    /// Calls of these tools, together.
    Tools(BTreeSet<String>),
}

impl RateLimit {
    /// Whether this call is counted, which came by `method`. What only connects, goes on with what was counted or ends it is
    /// not: `initialize`, `ping`, tasks, `resources/unsubscribe`, notifications and answers.
    ///
    /// Nor are lists and listening streams where one count is of many people: all of them list when a change is told, and come
    /// back at once when a gateway was away; nobody is to be kept from their calls by that.
    pub fn counts(&self, method: &str, call: &Call<'_>) -> bool {
        match (&self.what, call) {
            (_, Call::Protocol { .. } | Call::Task { .. } | Call::Unknown { .. }) => false,
            (_, Call::Resource { .. }) if method == method::RESOURCES_UNSUBSCRIBE => false,
            (LimitWhat::All, Call::List(_) | Call::Subscription { .. }) => !self.per.is_shared(),
            (LimitWhat::All, _) => true,
            (LimitWhat::Tools(tools), Call::Tool { name, .. }) => tools.contains(*name),
            (LimitWhat::Tools(_), _) => false,
        }
    }

    /// How many calls may come at once.
    pub fn at_once(&self) -> u32 {
        self.burst.unwrap_or(self.rate.calls())
    }

    fn depth_ns(&self) -> u64 {
        self.rate
            .interval_ns()
            .saturating_mul(u64::from(self.at_once()))
    }
}

/// What somebody called under one limit, as the moment at which there is nothing left of it: the theoretical arrival time of
/// the generic cell rate algorithm (ITU-T I.371), in Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CallCount(u64);

impl CallCount {
    /// Counts one call more.
    ///
    /// # Errors
    /// How long until there is room for it.
    pub fn take(self, limit: &RateLimit, now: Timestamp) -> Result<Self, Duration> {
        let now = nanoseconds(now);
        let full = now.saturating_add(limit.depth_ns());
        let next = self
            .0
            .clamp(now, full)
            .saturating_add(limit.rate.interval_ns());
        match next.checked_sub(full) {
            None | Some(0) => Ok(Self(next)),
            Some(too_much) => Err(Duration::from_nanos(too_much)),
        }
    }

    /// Full at most: one that seems to be more is of a larger limit, or of a clock that was set back since. To be kept also when
    /// a call is refused, or it would be full for as long as it was.
    pub fn at_most_full(self, limit: &RateLimit, now: Timestamp) -> Self {
        Self(
            self.0
                .min(nanoseconds(now).saturating_add(limit.depth_ns())),
        )
    }

    /// Takes back one call that was counted at this rate.
    pub fn give_back(self, rate: Rate) -> Self {
        Self(self.0.saturating_sub(rate.interval_ns()))
    }

    /// Whether nothing is left of it, so that forgetting it frees nobody.
    pub fn is_nothing(self, now: Timestamp) -> bool {
        self.0 <= nanoseconds(now)
    }
}

impl LimitPer {
    /// Whether one count is of many people.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Person | Self::PersonAndClient => false,
            Self::Client | Self::Everybody => true,
        }
    }
}

fn nanoseconds(now: Timestamp) -> u64 {
    u64::try_from(now.unix_ms())
        .unwrap_or(0)
        .saturating_mul(1_000_000)
}

impl LimitWhat {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

impl fmt::Display for LimitPer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Person => "each person",
            Self::Client => "each client",
            Self::PersonAndClient => "each person through each client",
            Self::Everybody => "everybody together",
        })
    }
}

impl fmt::Display for LimitWhat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all calls"),
            Self::Tools(tools) => {
                formatter.write_str("tools")?;
                tools
                    .iter()
                    .try_for_each(|tool| write!(formatter, " {tool}"))
            }
        }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.rate)?;
        if let Some(burst) = self.burst {
            write!(formatter, ", {burst} at once")?;
        }
        write!(formatter, ", for {}: {}", self.per, self.what)
    }
}

#[cfg(test)]
mod tests;
