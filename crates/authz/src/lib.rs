//! The only place that says yes or no: token verification, policy, `decide`, `visible`.
//!
//! No I/O and no async; keys and the time are arguments.

mod call;
mod caller;
mod client_assertion;
mod decide;
mod decision;
mod feed_message;
mod fingerprint;
mod first_policy;
mod harm;
mod inventory;
mod policy;
mod revoked;
mod rule;
mod snapshot;
mod step_up;
mod uri_template;
mod verify;
mod verifying_keys;
mod visible;

pub use call::{Call, ListKind, read_call};
pub use caller::Caller;
pub use client_assertion::{
    ASSERTION_LEEWAY, ASSERTION_LIFETIME_MAX, AssertionRefusal, ExpectedAssertion,
    UnverifiedAssertion, VerifiedAssertion, read_assertion, verify_client_assertion,
};
pub use decide::decide;
pub use decision::{Decision, DenialReason};
pub use feed_message::{FeedMessage, FeedSlice};
pub use fingerprint::fingerprint;
pub use first_policy::first_policy;
pub use inventory::{Inventory, InventoryChanges, InventoryTooLarge, merge_inventory};
pub use policy::{Entry, Mode, Policy, Requirement, Risk, ScopeDeclaration};
pub use revoked::revoked;
pub use snapshot::{FeedSnapshot, Revocations, ServerSnapshot};
pub use step_up::challenge_scopes;
pub use verify::{Expected, TokenRefusal, VerifiedToken, verify_access_token};
pub use verifying_keys::{CLIENT_KEYS_MAX, VerifyingKeys};
pub use visible::{ListStepUp, visible};
