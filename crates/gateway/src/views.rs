use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError, TryLockError};

use authz::{Caller, View, ViewBasis};
use sdk::{InForce, VerifiedCaller};

/// How many views are remembered of one policy.
const VIEWS_MAX: usize = 16 * 1024;

/// Of how many policies: the one in force, and the one before, by which streams that are behind still look.
const POLICIES_MAX: usize = 2;

/// What the callers behind the streams of one MCP server see, found once for each caller while nothing changes on which that
/// depends.
#[derive(Debug, Default)]
pub(crate) struct Views {
    kept: Mutex<VecDeque<(ViewBasis, HashMap<Caller, View>)>>,
    /// Held while one is found.
    turn: Mutex<()>,
}

impl Views {
    /// What `caller` sees by `in_force`. Nothing while another one is found: that takes as long as to filter a list, and
    /// streams that all look at once may keep one thread busy with it, not all of them.
    pub(crate) fn find(&self, in_force: &InForce, caller: &VerifiedCaller) -> Option<View> {
        let basis = in_force.view_basis();
        let known = self.with(basis, |views| views.get(caller.caller()).copied());
        if known.is_some() {
            return known;
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let view = in_force.view(caller);
        self.with(basis, |views| {
            if views.len() >= VIEWS_MAX {
                views.clear();
            }
            views.insert(caller.caller().clone(), view);
        });
        Some(view)
    }

    fn with<T>(&self, basis: ViewBasis, ask: impl FnOnce(&mut HashMap<Caller, View>) -> T) -> T {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(known, _)| *known == basis);
        let place = place.unwrap_or_else(|| {
            kept.truncate(POLICIES_MAX - 1);
            kept.push_front((basis, HashMap::new()));
            0
        });
        ask(&mut kept[place].1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use authz::{ListStepUp, Policy};

    use super::*;

    #[test]
    fn what_was_found_by_the_policy_before_is_known_until_there_is_a_third_one() {
        let views = Views::default();
        let policies: [Policy; 3] = ["a", "b", "c"].map(|role| Policy {
            default_role: Some(role.to_owned()),
            ..Policy::default()
        });
        let basis = |index: usize| ViewBasis::of(&policies[index]);
        let caller = Caller::default();
        let put = |index: usize| {
            let view = View::of(&policies[index], &caller, ListStepUp::Auto);
            views.with(basis(index), |views| views.insert(caller.clone(), view));
        };
        let has = |index: usize| views.with(basis(index), |views| views.contains_key(&caller));
        put(0);
        put(1);
        for _ in 0..3 {
            assert!(has(0) && has(1));
        }
        put(2);
        assert!(has(2) && has(1));
        assert!(!has(0));
    }
}
