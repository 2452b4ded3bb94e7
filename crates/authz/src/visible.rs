use serde::{Deserialize, Serialize};

use crate::decide::{Arguments, Judge};
use crate::{Caller, Decision, ListKind, Policy};

/// Whether what lies behind a step-up is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ListStepUp {
    /// To clients known to widen their scopes when asked.
    #[default]
    Auto,
    /// To all.
    Always,
    /// To none.
    Never,
}

impl ListStepUp {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What one caller is shown of a list: what [`crate::decide`] says of the call that each element offers, so that what is
/// listed can be called, at once or after a step-up, with some arguments at least. In observe mode nothing is hidden.
pub struct Viewer<'a> {
    judge: Judge<'a>,
    steps_up: bool,
}

impl<'a> Viewer<'a> {
    /// Finds out once what this caller may have at all.
    pub fn new(policy: &'a Policy, caller: &'a Caller, list_step_up: ListStepUp) -> Self {
        Self {
            judge: Judge::of(policy, caller),
            steps_up: match list_step_up {
                ListStepUp::Auto => caller.steps_up,
                ListStepUp::Always => true,
                ListStepUp::Never => false,
            },
        }
    }

    /// Whether this element is shown.
    pub fn sees(&self, kind: ListKind, identity: &str) -> bool {
        if !self.judge.policy().enforced() {
            return true;
        }
        match self.decision(kind, identity) {
            Decision::Allowed { .. } => true,
            Decision::Denied { .. } => false,
            Decision::NeedsScope { .. } => self.steps_up,
        }
    }

    /// What would be decided with the best arguments.
    pub(crate) fn decision(&self, kind: ListKind, identity: &str) -> Decision {
        let judge = &self.judge;
        match kind {
            ListKind::Tools => judge.tool(identity, Arguments::Any),
            ListKind::Resources => judge.resource(identity),
            ListKind::ResourceTemplates => judge.resource_completion(identity),
            ListKind::Prompts => judge.prompt(identity),
            ListKind::Instructions => judge.instructions(identity),
        }
        .decision()
    }
}

/// Whether one element of a list is shown, see [`Viewer`].
pub fn visible(
    policy: &Policy,
    caller: &Caller,
    kind: ListKind,
    identity: &str,
    list_step_up: ListStepUp,
) -> bool {
    Viewer::new(policy, caller, list_step_up).sees(kind, identity)
}
