//! What an MCP server says of itself when a client connects: clients give it to the model, as they do descriptions of tools.

use authz::{ListKind, QuarantineFrom, ServerSnapshot};
use wire::mcp::definition::{Definition, INSTRUCTIONS};
use wire::mcp::is_twin;
use wire::mcp::json::{Json, Object};

use crate::definitions::Definitions;

/// Leaves the instructions in `result` only while they are the accepted ones. Others are taken out before anybody judged how
/// grave that is, and the upstream is looked at again. In observe mode, or where changes are only recorded, they stay.
pub(crate) fn only_accepted(
    result: &mut Object,
    server: &ServerSnapshot,
    definitions: &Definitions,
) {
    let policy = &server.policy;
    // Nobody looked at them yet.
    let Some(entry) = policy.instructions.get(INSTRUCTIONS) else {
        return;
    };
    // Some readers take `Instructions` for `instructions`.
    let names = result.iter().map(|(name, _)| name.as_str());
    let twins: Vec<String> = names
        .filter(|name| is_twin(name, INSTRUCTIONS))
        .map(str::to_owned)
        .collect();
    for twin in twins {
        result.remove(&twin);
    }
    let said = match result.get(INSTRUCTIONS) {
        None | Some(Json::Null) => return,
        Some(said) => said.as_str(),
    };
    if said == Some("") {
        return;
    }
    let is_accepted = said.is_some_and(|said| {
        let said = Definition::of_instructions(Some(said));
        definitions.is_accepted(ListKind::Instructions, entry, said.json())
    });
    let only_recorded = policy.quarantine_from == QuarantineFrom::Never;
    // One that is quarantined is known to be another one.
    if !is_accepted && entry.state.is_accepted() && !only_recorded {
        definitions.look_again();
        if definitions.may_warn() {
            tracing::warn!(
                server = server.slug,
                "an upstream's instructions are not as they were accepted; it is looked at again"
            );
        }
    }
    let passes = entry.state.is_accepted() && (is_accepted || only_recorded);
    if policy.enforced() && !passes {
        result.remove(INSTRUCTIONS);
    }
}
