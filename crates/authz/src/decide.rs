use crate::{Call, Caller, Decision, Policy};

/// Decides.
pub fn decide(_policy: &Policy, _caller: &Caller, _call: &Call<'_>) -> Decision {
    todo!()
}
