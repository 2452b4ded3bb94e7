//! What the answer to a registration says.

use serde_json::Value;

use crate::endpoints::add;
use crate::flaws::registration::{
    REGISTER_NO_REDIRECT_URIS, REGISTER_NULL_MEMBERS, REGISTER_SECRET_FOR_NONE,
    REGISTER_WRONG_STATUS,
};
use crate::metadata_hosts::null_members;
use crate::{Desk, Exchange};

pub(super) fn examine(desk: &mut Desk, exchange: &Exchange) {
    let Some(Value::Object(registered)) = exchange.json() else {
        add(
            desk,
            exchange,
            REGISTER_NO_REDIRECT_URIS,
            "The answer to a registration is no JSON object",
            format!("It is {}.", exchange.outcome()),
            "Answer 201 with client_id, redirect_uris and everything else that was registered, as JSON.",
        );
        return;
    };
    if let Some(secret) = registered.get("client_secret").and_then(Value::as_str) {
        desk.wire.keep_secret(secret);
    }
    if exchange.status() != Some(201) {
        add(
            desk,
            exchange,
            REGISTER_WRONG_STATUS,
            format!("A registration is answered {}", exchange.outcome()),
            "RFC 7591 says 201; strict clients take anything else for a failure.",
            "Answer 201.",
        );
    }
    let nulls = null_members(&registered);
    if !nulls.is_empty() {
        add(
            desk,
            exchange,
            REGISTER_NULL_MEMBERS,
            "Members of the registration answer are null or empty",
            format!(
                "{} has no value but is there. Clients on the TypeScript SDK fail with \"expected string, received null\".",
                nulls.join(", ")
            ),
            "Leave members without a value out.",
        );
    }
    let has_id = registered
        .get("client_id")
        .and_then(Value::as_str)
        .is_some_and(|id| !id.is_empty());
    let has_uris = registered
        .get("redirect_uris")
        .and_then(Value::as_array)
        .is_some_and(|uris| !uris.is_empty());
    if !has_uris || !has_id {
        add(
            desk,
            exchange,
            REGISTER_NO_REDIRECT_URIS,
            "The answer to a registration is incomplete",
            format!(
                "client_id is {}, redirect_uris {}. The TypeScript SDK refuses it.",
                if has_id { "there" } else { "missing" },
                if has_uris { "are there" } else { "are missing" }
            ),
            "Repeat everything that was registered, redirect_uris first of all.",
        );
    }
    if registered
        .get("client_secret")
        .is_some_and(Value::is_string)
    {
        add(
            desk,
            exchange,
            REGISTER_SECRET_FOR_NONE,
            "A client that asked for no secret gets one",
            "The registration said token_endpoint_auth_method: none. rmcp (Codex, Goose, Kiro) then authenticates with the secret, which the \
             token endpoint may not expect.",
            "Register such a client as public, without client_secret.",
        );
    }
    desk.scene.registered = Some(registered);
}
