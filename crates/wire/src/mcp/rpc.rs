//! JSON-RPC error codes and answers.

use super::json::{Json, Object};
use super::message::{Message, Outcome, RequestId, Response};

/// The text is no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is no message.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is unknown; with HTTP 404 in the modern era.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters are wrong; also an unknown tool, and a missing envelope.
pub const INVALID_PARAMS: i64 = -32602;
/// Something broke inside.
pub const INTERNAL_ERROR: i64 = -32603;
/// An unknown resource, legacy era.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// Headers and body disagree, or a required header is missing; with HTTP 400.
pub const HEADER_MISMATCH: i64 = -32020;
/// The client lacks a capability; with HTTP 400.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The revision is not spoken here; with HTTP 400 and `data.supported`.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

/// An error answer. `id` is `None` when the request's could not be read.
pub fn error(id: Option<&RequestId>, code: i64, message: &str, data: Option<Json>) -> Message {
    let mut error = Object::new();
    error.insert("code", code);
    error.insert("message", message);
    if let Some(data) = data {
        error.insert("data", data);
    }
    Message::Response(Response {
        id: id.cloned(),
        outcome: Outcome::Error(error),
    })
}

/// A successful answer.
pub fn result(id: &RequestId, result: Json) -> Message {
    Message::Response(Response {
        id: Some(id.clone()),
        outcome: Outcome::Result(result),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_answer_names_the_request_or_null() {
        let id = RequestId::Integer(7);
        assert_eq!(
            error(Some(&id), INVALID_PARAMS, "Unknown tool: x", None).to_bytes(),
            br#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Unknown tool: x"}}"#
        );
        assert_eq!(
            error(None, PARSE_ERROR, "no \"JSON\"", Some(Json::Null)).to_bytes(),
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no \"JSON\"","data":null}}"#
        );
        assert_eq!(
            result(&RequestId::String("a".into()), Json::Bool(true)).to_bytes(),
            br#"{"jsonrpc":"2.0","id":"a","result":true}"#
        );
    }
}
