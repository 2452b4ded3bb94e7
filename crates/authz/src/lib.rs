//! The only place that says yes or no: token verification, policy, `decide`, `visible`.
//!
//! No I/O and no async; keys and the time are arguments.

mod argument_digest;
mod call;
mod caller;
mod check;
mod client_assertion;
mod condition;
mod decide;
mod decimal;
mod decision;
mod decision_changes;
mod decision_table;
mod drift;
mod feed_message;
mod fingerprint;
mod first_policy;
mod grantable;
mod harm;
mod input_schema;
mod inventory;
mod look_alike;
mod policy;
mod policy_diff;
mod policy_rest;
mod rate;
mod rate_limit;
mod recorded_arguments;
mod revoked;
mod revoked_grants;
mod role;
mod roll_back;
mod rule;
mod snapshot;
mod standing;
mod step_up;
mod subject_rule;
mod uri_template;
mod verify;
mod verifying_keys;
mod view;
mod visible;

pub use argument_digest::ArgumentDigests;
pub use call::{Call, ListKind, read_call};
pub use caller::{Caller, CallerFacts};
pub use check::{PolicyMistake, check};
pub use client_assertion::{
    ASSERTION_LEEWAY, ASSERTION_LIFETIME_MAX, AssertionRefusal, ExpectedAssertion,
    UnverifiedAssertion, VerifiedAssertion, read_assertion, verify_client_assertion,
};
pub use condition::{Condition, Operator};
pub use decide::{decide, decide_scopes, is_denied_everything};
pub use decision::{Decision, DenialReason};
pub use decision_changes::{Answer, DecisionChange, Reach, Seen, answer, decision_changes};
pub use decision_table::{DecisionRow, DecisionTable, decision_table};
pub use drift::{
    ChangeKind, DEFINITION_BYTES_MAX, DefinitionChange, GoneElements, QuarantineFrom, Severity,
    definition_changes, severity,
};
pub use feed_message::{FeedMessage, FeedSlice, issuers_of_unreadable};
pub use fingerprint::{fingerprint, is_comparable, judged_members};
pub use first_policy::{first_policy, gravest_scope, suggested_scope};
pub use grantable::{Grantable, ScopeWithheld, grantable};
pub use inventory::{Drifted, Inventory, InventoryChanges, InventoryTooLarge, merge_inventory};
pub use look_alike::{
    KnownNames, NameFlag, as_seen, invisible_flag, is_invisible, mixes_alphabets,
};
pub use policy::{Entry, EntryState, Mode, Policy, Requirement, Risk, ScopeDeclaration};
pub use policy_diff::{ChangeOf, FactChange, PolicyChange, policy_changes};
pub use policy_rest::PolicyRest;
pub use rate::{NoRate, Rate};
pub use rate_limit::{CallCount, LimitPer, LimitWhat, RateLimit};
pub use recorded_arguments::recorded_arguments;
pub use revoked::revoked;
pub use revoked_grants::RevokedGrants;
pub use role::{Role, RoleScopes};
pub use roll_back::{KnownNow, Returning, RolledBack, roll_back};
pub use snapshot::{FeedSnapshot, Revocations, ServerSnapshot};
pub use step_up::challenge_scopes;
pub use subject_rule::{RuleClient, RuleEffect, RuleWhat, RuleWho, SubjectRule};
pub use verify::{
    Expected, TokenForm, TokenRefusal, VerifiedToken, verify_access_token, verify_both,
    verify_introspection, verify_token_of_other_issuer,
};
pub use verifying_keys::{CLIENT_KEYS_MAX, VerifyingKeys};
pub use view::{View, ViewBasis};
pub use visible::{ListStepUp, Viewer, visible};
