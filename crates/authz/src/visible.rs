use crate::{Call, Caller, Decision, ListKind, Policy, decide};

/// Whether what lies behind a step-up is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListStepUp {
    /// To clients known to widen their scopes when asked.
    #[default]
    Auto,
    /// To all.
    Always,
    /// To none.
    Never,
}

/// Whether an element of a list is shown: [`decide`] asked of the call that it offers, so that what is listed can be
/// called, at once or after a step-up. In observe mode nothing is hidden.
pub fn visible(
    policy: &Policy,
    caller: &Caller,
    kind: ListKind,
    identity: &str,
    list_step_up: ListStepUp,
) -> bool {
    if !policy.enforced() {
        return true;
    }
    let call = match kind {
        ListKind::Tools => Call::Tool {
            name: identity,
            arguments: None,
        },
        ListKind::Resources => Call::Resource { uri: identity },
        ListKind::ResourceTemplates => Call::ResourceCompletion { uri: identity },
        ListKind::Prompts => Call::Prompt { name: identity },
    };
    match decide(policy, caller, &call) {
        Decision::Allowed { .. } => true,
        Decision::Denied { .. } => false,
        Decision::NeedsScope { .. } => match list_step_up {
            ListStepUp::Auto => caller.steps_up,
            ListStepUp::Always => true,
            ListStepUp::Never => false,
        },
    }
}
