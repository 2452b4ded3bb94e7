use wire::mcp::Era;
use wire::oauth::ScopeSet;

/// The scopes that a 403 names.
pub fn challenge_scopes(_era: Era, _required: &ScopeSet, _held: &ScopeSet) -> ScopeSet {
    todo!()
}
