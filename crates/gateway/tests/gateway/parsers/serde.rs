//! serde_json as a reader, into its own value and into structs.

use ::serde::Deserialize;
use serde_json::Value;
use wire::mcp::Json;

use super::reader::Reading;
use super::told::Told;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// What it makes of a message, untyped and typed.
pub fn read(message: &[u8]) -> Vec<Reading> {
    vec![untyped(message), typed(message)]
}

fn untyped(message: &[u8]) -> Reading {
    let value: Value = match serde_json::from_slice(message) {
        Ok(value) => value,
        Err(_) => return Reading::Refused,
    };
    if !value.is_object() {
        return Reading::NoMessage;
    }
    let text = |value: &Value| value.as_str().map(Json::from);
    let params = &value["params"];
    let reference = &params["ref"];
    let given = &params["arguments"];
    Reading::Message(Told::of_fields(
        [
            value.get("id").map(Json::from_serde),
            text(&value["method"]),
            text(&params["name"]),
            text(&params["uri"]),
            text(&params["taskId"]),
            text(&reference["type"]),
            text(&reference["name"]),
            text(&reference["uri"]),
            text(&params["_meta"][VERSION]),
            (!given.is_null()).then(|| Json::from_serde(given)),
        ],
        Some(Json::from_serde(&value)),
    ))
}

#[derive(Deserialize)]
struct Request {
    id: Option<Value>,
    method: Option<String>,
    params: Option<Params>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Params {
    name: Option<String>,
    uri: Option<String>,
    task_id: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
    arguments: Option<Value>,
}

#[derive(Deserialize, Default)]
struct Reference {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
    uri: Option<String>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<String>,
}

fn typed(message: &[u8]) -> Reading {
    let request: Request = match serde_json::from_slice(message) {
        Ok(request) => request,
        Err(_) => return Reading::Refused,
    };
    let params = request.params.unwrap_or_default();
    let reference = params.reference.unwrap_or_default();
    let text = |text: Option<String>| text.map(Json::from);
    Reading::Message(Told::of_fields(
        [
            request.id.as_ref().map(Json::from_serde),
            text(request.method),
            text(params.name),
            text(params.uri),
            text(params.task_id),
            text(reference.kind),
            text(reference.name),
            text(reference.uri),
            text(params.meta.unwrap_or_default().version),
            params.arguments.as_ref().map(Json::from_serde),
        ],
        None,
    ))
}
