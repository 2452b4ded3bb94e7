use std::sync::{Arc, OnceLock};

use authz::{Decision, decide_scopes};
use http::Extensions;
use wire::oauth::{Scope, ScopeSet};

use crate::authorize::reason_of;
use crate::{InForce, VerifiedCaller};

/// A call behind the layer, where the code of the server finds it: by whom it is, and by what it is judged.
#[derive(Debug)]
pub(crate) struct AdmittedCall {
    caller: Arc<VerifiedCaller>,
    in_force: Arc<InForce>,
    /// What the code found missing and the person could grant: the layer makes a challenge of it.
    needs: OnceLock<ScopeSet>,
}

impl AdmittedCall {
    pub(crate) fn new(caller: Arc<VerifiedCaller>, in_force: Arc<InForce>) -> Self {
        Self {
            caller,
            in_force,
            needs: OnceLock::new(),
        }
    }

    pub(crate) fn needs(&self) -> Option<&ScopeSet> {
        self.needs.get()
    }
}

/// Why a caller may not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingScope {
    /// Their token lacks these, and the person could grant them.
    #[error("this needs the scope {0}, which the access token does not have")]
    Obtainable(ScopeSet),
    /// No token of theirs will have it.
    #[error("this is not permitted")]
    NotPermitted,
    /// The request did not come through a layer that knows its caller.
    #[error("nobody knows who calls; put the server behind the layer of Protection")]
    NoCaller,
}

/// Who makes the request with these `extensions`, when they have `scope`: for what only a part of a tool's code needs. What a
/// whole tool needs stands in the policy, so that it is also listed to nobody else.
///
/// When the scope is missing and could be granted, the layer answers 403 with a challenge in the place of whatever the server
/// answers, as long as that is no event stream.
///
/// # Errors
/// When they do not have it.
pub fn require_scope(
    extensions: &Extensions,
    scope: &str,
) -> Result<Arc<VerifiedCaller>, MissingScope> {
    let call = extensions
        .get::<Arc<AdmittedCall>>()
        .ok_or(MissingScope::NoCaller)?;
    let needed: ScopeSet = Scope::parse(scope).into_iter().collect();
    let policy = &call.in_force.server().policy;
    let decision = match needed.is_empty() {
        // Who requires what is no scope has made a mistake, and nobody is let through by it.
        true => None,
        false => Some(decide_scopes(policy, call.caller.caller(), &needed)),
    };
    match decision {
        Some(Decision::Allowed { .. }) => Ok(Arc::clone(&call.caller)),
        Some(decision) if !policy.enforced() => {
            tracing::info!(scope, "would have been refused: {}", reason_of(&decision));
            Ok(Arc::clone(&call.caller))
        }
        Some(Decision::NeedsScope { required, .. }) => {
            let _ = call.needs.set(required.clone());
            Err(MissingScope::Obtainable(required))
        }
        Some(decision @ Decision::Denied { .. }) => {
            tracing::info!(scope, "refused in code: {}", reason_of(&decision));
            Err(MissingScope::NotPermitted)
        }
        None => {
            tracing::error!(scope, "the code requires something that is no scope");
            Err(MissingScope::NotPermitted)
        }
    }
}
