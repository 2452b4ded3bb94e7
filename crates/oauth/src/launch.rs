use authz::{
    Caller, EntryState, ListKind, ListStepUp, Mode, Policy, QuarantineFrom, Requirement, visible,
};
use domain::{DefinitionState, McpServer};
use store::{Store, StoreError};

use crate::Act;
use crate::drift::{self, DriftError};

/// What is to be changed of a policy as a whole; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Launch {
    /// Whether decisions are enforced.
    pub mode: Option<Mode>,
    /// From which severity on a changed element waits.
    pub quarantine_from: Option<QuarantineFrom>,
    /// To whom lists show what lies behind a step-up.
    pub list_step_up: Option<ListStepUp>,
}

/// What somebody reaches who signs in for the first time and is asked for nothing but the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReach {
    /// So many tools.
    pub reached: usize,
    /// Of so many.
    pub tools: usize,
    /// That a valid token suffices for.
    pub public: usize,
    /// That wait because they changed.
    pub quarantined: usize,
    /// That are listed and that nobody decided about, by name: nobody could call them.
    pub unmapped: Vec<String>,
}

impl Launch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// In words, for the audit log.
    pub fn words(&self) -> String {
        let mut said = Vec::new();
        said.extend(
            self.mode
                .map(|mode| format!("mode {mode:?}").to_lowercase()),
        );
        let from = self.quarantine_from;
        said.extend(from.map(|from| format!("quarantine from {from:?}").to_lowercase()));
        let listed = self.list_step_up;
        said.extend(listed.map(|word| format!("list step-up {}", word.as_str())));
        said.join(", ")
    }
}

/// Looks what enforcing would mean for `server`.
///
/// # Errors
/// When the store fails.
pub async fn first_reach(store: &Store, server: &McpServer) -> Result<FirstReach, StoreError> {
    let kept = store.list_definitions(&server.slug).await?;
    let unmapped = kept.into_iter().filter(|one| {
        one.kind == ListKind::Tools
            && one.state == DefinitionState::Pending
            && !server.policy.tools.contains_key(&one.identity)
    });
    let unmapped: Vec<String> = unmapped.map(|one| one.identity).collect();
    let enforcing = Policy {
        mode: Mode::Enforce,
        ..server.policy.clone()
    };
    // Somebody without a role, through a client that nobody vouches for.
    let mut caller = Caller {
        subject: "usr_".to_owned(),
        client: "cli_".to_owned(),
        ..Caller::default()
    };
    let asked = &enforcing.default_scopes;
    caller.scopes = authz::grantable(&enforcing, &caller.facts(), asked).granted;
    let tools = &enforcing.tools;
    let reached = |name: &&String| {
        let never = ListStepUp::Never;
        visible(&enforcing, &caller, ListKind::Tools, name, never)
    };
    let count = |is: fn(&authz::Entry) -> bool| tools.values().filter(|entry| is(entry)).count();
    Ok(FirstReach {
        reached: tools.keys().filter(reached).count(),
        tools: tools.len() + unmapped.len(),
        public: count(|entry| entry.requirement == Requirement::Public),
        quarantined: count(|entry| entry.state == EntryState::Quarantined),
        unmapped,
    })
}

/// Changes it, and says the revision of the policy. Whether enforcing may begin, asks whoever calls, of [`first_reach`].
///
/// # Errors
/// When the server is gone, or the store refuses.
pub async fn change(
    store: &Store,
    act: impl Into<Act>,
    server: &McpServer,
    launch: Launch,
) -> Result<i64, DriftError> {
    let change = |policy: &mut Policy| {
        policy.mode = launch.mode.unwrap_or(policy.mode);
        policy.quarantine_from = launch.quarantine_from.unwrap_or(policy.quarantine_from);
        policy.list_step_up = launch.list_step_up.unwrap_or(policy.list_step_up);
    };
    drift::edit(store, act, &server.slug, &launch.words(), change).await
}
