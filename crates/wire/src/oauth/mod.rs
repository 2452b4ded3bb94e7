//! OAuth 2.1 and its neighbours: RFC 6749, 6750, 7009, 7517, 7591, 7636, 7662, 8414, 8707, 9068, 9207, 9728.

mod canonical_resource;
mod challenge;
mod claims;
mod client_registration;
mod error_code;
mod introspection;
mod jwk;
mod pkce;
mod protected_resource_metadata;
mod read_challenge;
mod redirect_uri;
mod scope;
mod server_metadata;
mod token_response;

pub use canonical_resource::{CanonicalResource, ResourceError};
pub use challenge::Challenge;
pub use claims::AccessTokenClaims;
pub use client_registration::{ClientRegistrationRequest, ClientRegistrationResponse};
pub use error_code::{ErrorBody, ErrorCode};
pub use introspection::{IntrospectionResponse, WithheldScopeEntry};
pub use jwk::{Jwk, JwkSet};
pub use pkce::{CodeChallenge, CodeVerifier, PkceError};
pub use protected_resource_metadata::ProtectedResourceMetadata;
pub use read_challenge::{ReadChallenge, read_challenge};
pub use redirect_uri::{RedirectUri, RedirectUriError, RedirectUriKind};
pub use scope::{Scope, ScopeError, ScopeSet};
pub use server_metadata::AuthorizationServerMetadata;
pub use token_response::TokenResponse;
