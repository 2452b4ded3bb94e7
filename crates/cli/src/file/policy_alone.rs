use std::collections::BTreeMap;
use std::path::Path;

use domain::{McpServer, ServerSlug};
use serde::Serialize;

use super::entries::{Policy, Scope};
use super::visible_toml::visible;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::plain;

/// The policy of one server that a file says.
pub(crate) struct PolicyInFile {
    pub(crate) policy: authz::Policy,
    /// Whether the file was exported from another state than there is.
    pub(crate) is_stale: bool,
}

#[derive(Serialize)]
struct Servers {
    servers: BTreeMap<String, Server>,
}

#[derive(Serialize)]
struct Server {
    scopes: Vec<Scope>,
    policy: Policy,
}

/// The policy of `server` as `export` writes it, with what waits in quarantine said beside it. Characters that nobody sees
/// are escaped.
pub(crate) fn policy_as_toml(server: &McpServer) -> anyhow::Result<String> {
    let policy = &server.policy;
    let alone = Server {
        scopes: policy.scopes.iter().map(Scope::of).collect(),
        policy: Policy::of(policy),
    };
    let servers = BTreeMap::from([(server.slug.to_string(), alone)]);
    let mut text = visible(&toml::to_string(&Servers { servers })?);
    for kind in authz::ListKind::DEFINED {
        let entries = policy.entries(kind).iter();
        for (name, _) in entries.filter(|(_, entry)| !entry.state.is_accepted()) {
            let name = plain(&name.escape_debug().to_string(), 200);
            text.push_str(&format!("# in quarantine: {name}\n"));
        }
    }
    Ok(text)
}

impl Maintenance {
    /// What `apply` would make the policy of a server.
    ///
    /// # Errors
    /// All that is wrong in the file, or that it says nothing of the server.
    pub(crate) async fn policy_in_file(
        &self,
        file: &Path,
        server: &ServerSlug,
    ) -> anyhow::Result<PolicyInFile> {
        let planned = self.planned(file).await?;
        let mut servers = planned.wanted.declared.servers.iter();
        let wanted = servers.find(|one| one.slug == *server);
        let wanted = wanted.ok_or_else(|| {
            usage(format!(
                "{} says nothing of {server}; `portcullis export` writes a file that does",
                file.display()
            ))
        })?;
        Ok(PolicyInFile {
            policy: wanted.policy.clone(),
            is_stale: planned.is_stale(),
        })
    }
}
