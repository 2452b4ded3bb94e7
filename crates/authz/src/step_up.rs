use wire::mcp::Era;
use wire::oauth::ScopeSet;

/// The scopes that the challenge of a 403 names.
///
/// Modern clients ask for the union of what they have and what they are told, so they are told what the call needs.
/// Legacy clients ask for exactly what they are told, so they are told what they have as well, or a step-up would
/// cost them their other scopes.
///
/// Spec: MCP 2026-07-28, authorization, "Scope Challenge Handling"; 2025-11-25, the same section.
pub fn challenge_scopes(era: Era, required: &ScopeSet, held: &ScopeSet) -> ScopeSet {
    match era {
        Era::Modern => required.clone(),
        Era::Legacy => required.union(held),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_client_is_also_told_what_it_has() {
        let scopes = ScopeSet::parse_lenient;
        let (required, held) = (scopes("todo:write"), scopes("todo:read"));
        assert_eq!(challenge_scopes(Era::Modern, &required, &held), required);
        assert_eq!(
            challenge_scopes(Era::Legacy, &required, &held),
            scopes("todo:read todo:write")
        );
    }
}
