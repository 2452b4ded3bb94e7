use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Kept;
use crate::period::Period;

/// How long records are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Calls in the activity log.
    pub activity: Period,
    /// Audit events: who signed in, approved, changed and was refused what. At least `1d`, or `forever`. By default a year and
    /// a month, so that a yearly review sees the whole year; what is spent once is known for as long as it could be
    /// presented, whatever is said here.
    pub audit: Kept,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            activity: Period::of(30 * 24 * 3600),
            audit: Kept::For(Period::of(400 * 24 * 3600)),
        }
    }
}
