use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::ActivityQueue;

/// The activity log: one record of each call that goes through a gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Activity {
    /// What happens to a call whose record finds no room, because the log cannot be written to or is too slow.
    pub when_full: WhenFull,
    /// Records that may wait to be written; in a gateway alone, to be told to the authority. As many as one gateway tells at once fit.
    #[schemars(range(min = 512, max = 1_000_000))]
    pub waiting: u32,
}

/// What happens to a call whose record finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// It is answered as always; its record is lost, and counted.
    #[default]
    Drop,
    /// It is not forwarded: 503 with `Retry-After`, and counted. What could not be written is tried again instead of being lost.
    Refuse,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            when_full: WhenFull::default(),
            waiting: 8192,
        }
    }
}

impl Activity {
    /// What waits to be written.
    pub fn queue(&self) -> ActivityQueue {
        ActivityQueue {
            records_max: usize::try_from(self.waiting).unwrap_or(usize::MAX),
            when_full: match self.when_full {
                WhenFull::Drop => domain::WhenFull::Drop,
                WhenFull::Refuse => domain::WhenFull::Refuse,
            },
        }
    }
}
