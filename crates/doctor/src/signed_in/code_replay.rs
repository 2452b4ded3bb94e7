use std::sync::Arc;

use super::token_endpoint::TokenEndpoint;
use super::{BrowserSignIn, authorize, found, not_examined, resource, well};
use crate::{Desk, Flaw};

/// Uses one code twice: its second use must be refused. It takes a sign-in of its own, because the refusal may end the
/// session that the first use began.
///
/// Spec: RFC 6749 section 4.1.2; OAuth 2.1 section 4.1.3.
pub(super) async fn check(desk: &mut Desk, sign_in: &BrowserSignIn) {
    let endpoint = desk.scene.endpoint("token_endpoint");
    if !endpoint.is_some_and(|endpoint| desk.may_attack(&endpoint)) {
        return not_examined(
            desk,
            "whether a code can be used twice: that is tried with --attack",
        );
    }
    if desk.scene.signed_in.is_none() {
        return;
    }
    let Some(flaw) = Flaw::by_id("code-replay-accepted") else {
        return;
    };
    let why = "Sign in once more: this code is used twice, which must be refused.";
    let Some(code) = authorize::code(desk, sign_in, why).await else {
        return;
    };
    let Some(endpoint) = TokenEndpoint::of(desk, code.client.clone()) else {
        return;
    };
    let resource = resource(desk);
    let first = code
        .exchange(desk, &endpoint, "exchange a code", &resource)
        .await;
    let second = code
        .exchange(desk, &endpoint, "exchange the same code again", &resource)
        .await;
    if !first.is_success() {
        return not_examined(
            desk,
            "whether a code can be used twice: it could not be used once",
        );
    }
    if !second.is_success() {
        return well(desk, "a code is good once");
    }
    found(
        desk,
        flaw,
        [
            "A code is exchanged for tokens twice".to_owned(),
            "Whoever sees a code in a log or a browser's history, and its verifier, gets tokens after its owner.".to_owned(),
            "Spend codes by one conditional write, answer the second use with invalid_grant, and revoke what the first one issued.".to_owned(),
        ],
        [Arc::clone(&first), second],
    );
}
