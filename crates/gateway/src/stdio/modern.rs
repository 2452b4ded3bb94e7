use wire::mcp::message::Outcome;
use wire::mcp::{Json, Object, method, version};

use super::child::Child;

/// Whether the child answers `server/discover`, as a server of the modern era does. A legacy one says that it knows
/// no such method, says nothing, or ends.
pub(super) async fn probe(child: &Child) -> Option<Object> {
    let patience = child.limits().probe_timeout;
    let answer = child
        .ask(
            method::SERVER_DISCOVER,
            with_envelope(Object::new()),
            patience,
        )
        .await;
    match answer {
        Ok(Outcome::Result(Json::Object(result))) if names_modern(&result) => Some(result),
        _ => None,
    }
}

/// `params` with the envelope that makes a request modern.
pub(super) fn with_envelope(mut params: Object) -> Object {
    let client = Json::object([
        ("name", Json::from("portcullis")),
        ("version", Json::from(env!("CARGO_PKG_VERSION"))),
    ]);
    let envelope = Json::object([
        (
            "io.modelcontextprotocol/protocolVersion",
            Json::from(version::V2026_07_28),
        ),
        ("io.modelcontextprotocol/clientInfo", client),
        (
            "io.modelcontextprotocol/clientCapabilities",
            every_capability(),
        ),
    ]);
    params.insert("_meta", envelope);
    params
}

/// Servers list some tools only to clients that can sample, elicit or name roots. Somebody's client will, so the
/// inventory must have them.
pub(super) fn every_capability() -> Json {
    let nothing = || Json::Object(Object::new());
    Json::object([
        ("roots", nothing()),
        ("sampling", nothing()),
        ("elicitation", nothing()),
    ])
}

fn names_modern(result: &Object) -> bool {
    let versions = result.get("supportedVersions").and_then(Json::as_array);
    versions.is_some_and(|versions| {
        let mut versions = versions.iter().filter_map(Json::as_str);
        versions.any(version::is_known_modern)
    })
}
