use axum::extract::State;
use axum::response::Response;
use wire::oauth::ProtectedResourceMetadata;

use crate::app::AppState;
use crate::respond;

/// The address of the metadata of `/admin/api/v1` (RFC 9728 section 3.1).
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/admin/api/v1";

const CACHE: &str = "public, max-age=60";

/// What the admin API says of itself as a protected resource.
pub(crate) async fn get(State(app): State<AppState>) -> Response {
    let Some(own) = app.authority.administration() else {
        return respond::not_found();
    };
    let scopes = own.server.policy.scopes.iter();
    let metadata = ProtectedResourceMetadata {
        resource: own.server.resource.clone(),
        authorization_servers: vec![own.issuer.clone()],
        scopes_supported: scopes.map(|scope| scope.name.clone()).collect(),
        bearer_methods_supported: vec!["header".to_owned()],
        resource_name: Some(own.server.name.clone()),
        resource_documentation: None,
    };
    let bytes = serde_json::to_vec(&metadata).expect("metadata is plain JSON");
    respond::document(bytes.into(), CACHE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_resource_by_the_rule_of_rfc_9728() {
        let path = ::oauth::administration::PATH;
        assert_eq!(
            METADATA_PATH,
            format!("/.well-known/oauth-protected-resource{path}")
        );
    }
}
