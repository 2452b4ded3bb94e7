use crate::{Caller, ListKind, Policy};

/// Whether what lies behind a step-up is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListStepUp {
    /// To clients known to widen their scopes.
    #[default]
    Auto,
    /// To all.
    Always,
    /// To none.
    Never,
}

/// Whether it is listed.
pub fn visible(
    _policy: &Policy,
    _caller: &Caller,
    _kind: ListKind,
    _identity: &str,
    _list_step_up: ListStepUp,
) -> bool {
    todo!()
}
