use authz::Inventory;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::gateway::{ActivityReport, ManifestAnswer};
use wire::mcp::json::{Json, Object};
use wire::oauth::Jwk;

use crate::authority_client::{AuthorityError, OwnServer};

/// What an MCP server, or a gateway for it, tells its authority.
impl OwnServer {
    /// Says what the MCP server offers: the authority maps what is new, as it does for a gateway in its own process.
    ///
    /// # Errors
    /// When the authority does not take it.
    pub async fn publish_inventory(
        &self,
        inventory: &Inventory,
    ) -> Result<ManifestAnswer, AuthorityError> {
        let manifest: Object = [("inventory", Json::from(inventory.to_object()))]
            .into_iter()
            .collect();
        let body = Json::from(manifest).to_string();
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

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, AuthorityError> {
    serde_json::from_value(answer).map_err(|_| AuthorityError::Unreadable)
}
