use authz::Inventory;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::gateway::{
    ActivityReport, ENFORCED_SCOPES_MAX, MANIFEST_BYTES_MAX, ManifestAnswer, SUGGESTED_TOOLS_MAX,
};
use wire::mcp::json::{Json, Object};
use wire::oauth::Jwk;

use crate::authority_client::{AuthorityError, OwnServer};
use crate::own_manifest::OwnScopes;

/// What an MCP server, or a gateway for it, tells its authority.
impl OwnServer {
    /// Says what the MCP server offers: the authority maps what is new, as it does for a gateway in its own process. Of what is longer
    /// than an authority takes, [`shortened_inventory`] is said.
    ///
    /// # Errors
    /// When the authority does not take it.
    pub async fn publish_inventory(
        &self,
        inventory: &Inventory,
    ) -> Result<ManifestAnswer, AuthorityError> {
        let (body, _) = manifest(inventory, None, MANIFEST_BYTES_MAX);
        read(self.post_json("manifest", body.into()).await?)
    }

    /// The same of a server in this program, and which scopes it enforces: the authority answers with those that it does not
    /// have.
    pub(crate) async fn publish_own_lists(
        &self,
        inventory: &Inventory,
        scopes: &OwnScopes,
    ) -> Result<ManifestAnswer, AuthorityError> {
        let (body, _) = manifest(inventory, Some(scopes), MANIFEST_BYTES_MAX);
        read(self.post_json("manifest", body.into()).await?)
    }

    /// Says which key signs the `Portcullis-Identity` of calls to this MCP server. It is listed for five minutes after it was
    /// said last.
    ///
    /// # Errors
    /// When the authority does not take it.
    pub async fn publish_identity_key(&self, key: &Jwk) -> Result<(), AuthorityError> {
        let body = serde_json::json!({ "identity_key": key }).to_string();
        self.post_json("manifest", body.into()).await.map(drop)
    }

    /// Says which calls there were, for the authority's activity log.
    ///
    /// # Errors
    /// When the authority does not take them.
    pub async fn report_calls(&self, report: &ActivityReport) -> Result<(), AuthorityError> {
        let body = serde_json::to_vec(report).map_err(|_| AuthorityError::Unreadable)?;
        self.post_json("activity", body.into()).await.map(drop)
    }
}

/// As much of `inventory` as an authority takes at once, when that is not all of it.
pub fn shortened_inventory(inventory: &Inventory) -> Option<Inventory> {
    manifest(inventory, None, MANIFEST_BYTES_MAX).1
}

/// As much of it as an authority takes, and what that is when it is not all.
fn manifest(
    inventory: &Inventory,
    scopes: Option<&OwnScopes>,
    bytes_max: usize,
) -> (String, Option<Inventory>) {
    let write = |inventory: &Inventory| {
        let inventory = Json::from(inventory.to_object());
        let mut manifest: Object = [("inventory", inventory)].into_iter().collect();
        if let Some(own) = scopes {
            manifest.insert(
                "scopes",
                Object::from_iter(own.titles().take(ENFORCED_SCOPES_MAX)),
            );
            manifest.insert(
                "tools",
                Object::from_iter(own.tools().take(SUGGESTED_TOOLS_MAX)),
            );
        }
        Json::from(manifest).to_string()
    };
    let mut body = write(inventory);
    let mut shorter = None;
    while body.len() > bytes_max {
        let shorter = shorter.get_or_insert_with(|| inventory.clone());
        if !shorter.shorten() {
            break;
        }
        body = write(shorter);
    }
    (body, shorter)
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, AuthorityError> {
    serde_json::from_value(answer).map_err(|_| AuthorityError::Unreadable)
}

#[cfg(test)]
mod tests {
    use wire::mcp::definition::{Definition, ListKind};

    use super::*;

    #[test]
    fn a_manifest_that_would_be_too_large_keeps_its_tools_and_says_what_it_lacks() {
        let of = |kind: ListKind, number: usize| {
            let name = Json::from(format!("x{number:04}"));
            Definition::read(kind, Json::object([(kind.identity_member(), name)]))
        };
        let whole = Inventory {
            tools: (0..10)
                .filter_map(|number| of(ListKind::Tools, number))
                .collect(),
            resources: (0..1000)
                .filter_map(|number| of(ListKind::Resources, number))
                .collect(),
            ..Inventory::default()
        };
        let parsed = |bytes_max: usize| {
            let (body, shorter) = manifest(&whole, None, bytes_max);
            assert!(body.len() <= bytes_max);
            if let Some(shorter) = &shorter {
                let left_out = whole.left_out(shorter);
                for kind in ListKind::ALL {
                    let both = [shorter.of_kind(kind), left_out.of_kind(kind)].concat();
                    assert_eq!(both, whole.of_kind(kind));
                }
            }
            let limits = wire::mcp::Limits::default();
            let read = wire::mcp::parse_strict(body.as_bytes(), &limits);
            let read = read
                .ok()
                .and_then(|body| Inventory::from_object(body.get("inventory")?.as_object()?).ok());
            let read = read.unwrap_or_default();
            assert_eq!(shorter.as_ref().unwrap_or(&whole), &read);
            read
        };
        assert_eq!(parsed(1_000_000), whole);
        let shorter = parsed(4_000);
        assert_eq!(shorter.tools, whole.tools);
        assert!(shorter.resources.len() > 10 && shorter.resources.len() < 1000);
        assert_eq!(shorter.unread, [ListKind::Resources].into());
        assert!(parsed(300).tools.len() < 10);
    }
}
