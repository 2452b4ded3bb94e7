use crate::{EntryState, ListKind, Policy};

/// An earlier policy as it may be in force again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The policy.
    pub policy: Policy,
    /// What comes back as accepted though the policy in force does not have it, each with the fingerprint of the definition
    /// that was accepted then.
    pub returning: Vec<(ListKind, String, String)>,
    /// What comes back in quarantine, since it is not defined any more as it was accepted.
    pub quarantined: Vec<(ListKind, String)>,
}

/// The policy `earlier` in the place of `now`. Which definition of an element is the accepted one and whether it waits is
/// no part of what comes back: that was decided where somebody looked at it, and a rollback looks at nothing. So an
/// element keeps the definition and the state that it has, and one that the policy does not have any more comes back in
/// quarantine where `is_other` says that it is defined in another way than this fingerprint says, or that somebody said
/// no to that.
pub fn roll_back(
    earlier: &Policy,
    now: &Policy,
    is_other: impl Fn(ListKind, &str, &str) -> bool,
) -> RolledBack {
    let mut back = RolledBack {
        policy: earlier.clone(),
        returning: Vec::new(),
        quarantined: Vec::new(),
    };
    for kind in ListKind::ALL {
        for (identity, entry) in back.policy.entries_mut(kind) {
            if let Some(known) = now.entries(kind).get(identity) {
                entry.fingerprint.clone_from(&known.fingerprint);
                entry.state = known.state;
                continue;
            }
            // Without one nobody knows how it was: whatever waits is another one.
            let fingerprint = entry.fingerprint.clone().unwrap_or_default();
            if is_other(kind, identity, &fingerprint) {
                entry.state = EntryState::Quarantined;
            }
            match entry.state {
                EntryState::Quarantined => back.quarantined.push((kind, identity.clone())),
                EntryState::Accepted => {
                    back.returning.push((kind, identity.clone(), fingerprint));
                }
            }
        }
    }
    back
}

#[cfg(test)]
mod tests;
