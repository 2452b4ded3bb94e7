use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::period::Period;

/// How long records are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Calls in the activity log.
    pub activity: Period,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            activity: Period::of(30 * 24 * 3600),
        }
    }
}
