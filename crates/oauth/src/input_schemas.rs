use std::collections::HashMap;

use authz::{ListKind, Policy, PolicyMistake};
use domain::McpServer;
use store::{Store, StoreError};
use wire::mcp::Json;

/// The input schemas of those `tools` of which a definition is kept: of the accepted one, or of the newest while none is
/// accepted. For [`authz::check`], when somebody writes which arguments are recorded, or conditions on them.
///
/// # Errors
/// When the store cannot be read.
pub async fn input_schemas<'a>(
    store: &Store,
    server: &McpServer,
    tools: impl IntoIterator<Item = &'a str>,
) -> Result<HashMap<String, Json>, StoreError> {
    let mut schemas = HashMap::new();
    for tool in tools {
        let versions = store
            .list_versions(&server.slug, ListKind::Tools, tool)
            .await?;
        let entry = server.policy.tools.get(tool);
        let accepted = entry.and_then(|entry| entry.fingerprint.as_deref());
        let accepted = versions
            .iter()
            .find(|version| Some(version.fingerprint.as_str()) == accepted);
        let definition = accepted.or(versions.last()).and_then(|one| one.read());
        if let Some(schema) = definition.and_then(|one| one.json().get("inputSchema").cloned()) {
            schemas.insert(tool.to_owned(), schema);
        }
    }
    Ok(schemas)
}

/// What is wrong with `policy`, whose conditions and recorded arguments are held against the schemas of the definitions that
/// `server` has accepted.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn mistakes_of(
    store: &Store,
    server: &McpServer,
    policy: &Policy,
) -> Result<Vec<PolicyMistake>, StoreError> {
    let tools = policy.tools.iter();
    let of_arguments = tools
        .filter(|(_, entry)| !entry.conditions.is_empty() || !entry.recorded_arguments.is_empty());
    let of_arguments: Vec<&str> = of_arguments.map(|(name, _)| name.as_str()).collect();
    let schemas = input_schemas(store, server, of_arguments).await?;
    Ok(authz::check(policy, |tool| schemas.get(tool)))
}
