//! The only place that says yes or no: token verification, policy, `decide`, `visible`.
//!
//! No I/O and no async; keys and the time are arguments.

mod call;
mod caller;
mod decision;
mod policy;
mod snapshot;

pub use call::{Call, ListKind};
pub use caller::Caller;
pub use decision::{Decision, DenialReason};
pub use policy::{Entry, Mode, Policy, Requirement, Risk, ScopeDeclaration};
pub use snapshot::{FeedSnapshot, Revocations, ServerSnapshot};
