//! The only place that says yes or no: token verification, policy, `decide`, `visible`.
//!
//! No I/O and no async; keys and the time are arguments.

mod call;
mod caller;
mod decide;
mod decision;
mod fingerprint;
mod inventory;
mod policy;
mod revoked;
mod snapshot;
mod step_up;
mod verify;
mod visible;

pub use call::{Call, ListKind, read_call};
pub use caller::Caller;
pub use decide::decide;
pub use decision::{Decision, DenialReason};
pub use fingerprint::fingerprint;
pub use inventory::{
    Inventory, InventoryChanges, InventoryTooLarge, first_policy, merge_inventory,
};
pub use policy::{Entry, Mode, Policy, Requirement, Risk, ScopeDeclaration};
pub use revoked::revoked;
pub use snapshot::{FeedSnapshot, Revocations, ServerSnapshot};
pub use step_up::challenge_scopes;
pub use verify::{Expected, TokenRefusal, VerifiedToken, VerifyingKeys, verify_access_token};
pub use visible::{ListStepUp, visible};
