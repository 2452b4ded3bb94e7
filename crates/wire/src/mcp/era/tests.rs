#![allow(clippy::unwrap_used)]

use super::*;
use crate::mcp::{Limits, read_message};

const MODERN: Option<&str> = Some("2026-07-28");
const LEGACY: Option<&str> = Some("2025-11-25");

fn era(body: &str, header: Option<&str>) -> Result<Era, i64> {
    let message = read_message(body.as_bytes(), &Limits::default()).unwrap();
    classify(&message, header).map_err(|refusal| refusal.rpc_code())
}

fn request(method: &str, meta: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"_meta":{meta}}}}}"#)
}

fn envelope(version: &str) -> String {
    format!(
        r#"{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}"#
    )
}

#[test]
fn a_request_with_the_reserved_key_is_modern_and_its_header_must_agree() {
    let body = request("tools/list", &envelope("2026-07-28"));
    assert_eq!(era(&body, MODERN), Ok(Era::Modern));
    assert_eq!(era(&body, None), Err(rpc::HEADER_MISMATCH));
    assert_eq!(era(&body, LEGACY), Err(rpc::HEADER_MISMATCH));
    assert_eq!(era(&body, Some("2026-07-29")), Err(rpc::HEADER_MISMATCH));
    assert_eq!(era(&body, Some("")), Err(rpc::HEADER_MISMATCH));
    // `initialize` with an envelope is a modern request of a method that the modern era does not have.
    let body = request("initialize", &envelope("2026-07-28"));
    assert_eq!(era(&body, MODERN), Ok(Era::Modern));
}

#[test]
fn a_malformed_envelope_is_an_error_and_never_falls_back() {
    for meta in [
        r#"{"io.modelcontextprotocol/protocolVersion":20260728}"#,
        r#"{"io.modelcontextprotocol/protocolVersion":null}"#,
        r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":"x"}"#,
        r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":[]}"#,
        "5",
    ] {
        for header in [None, MODERN, LEGACY] {
            assert_eq!(
                era(&request("tools/list", meta), header),
                Err(rpc::INVALID_PARAMS),
                "{meta}"
            );
        }
    }
}

#[test]
fn a_version_whose_rules_are_not_known_is_refused_with_those_that_are() {
    for version in ["2027-01-01", "2025-11-25", "1900-01-01", "x", ""] {
        let body = request("tools/list", &envelope(version));
        assert_eq!(
            era(&body, Some(version)),
            Err(rpc::UNSUPPORTED_PROTOCOL_VERSION),
            "{version}"
        );
    }
    let refusal = EraRefusal::Unsupported {
        requested: "2027-01-01".into(),
    };
    assert_eq!(
        refusal.rpc_data().unwrap().to_text(),
        r#"{"supported":["2026-07-28"],"requested":"2027-01-01"}"#
    );
}

#[test]
fn initialize_without_the_key_is_legacy_whatever_the_header() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}"#;
    for header in [None, MODERN, LEGACY] {
        assert_eq!(era(body, header), Ok(Era::Legacy));
    }
}

#[test]
fn any_other_request_without_the_key_is_legacy_unless_the_header_says_modern() {
    for body in [
        request("tools/list", "{}"),
        request("tools/list", r#"{"progressToken":1}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned(),
    ] {
        assert_eq!(era(&body, None), Ok(Era::Legacy));
        assert_eq!(era(&body, LEGACY), Ok(Era::Legacy));
        // Invalid versions are the upstream's to refuse.
        assert_eq!(era(&body, Some("nonsense")), Ok(Era::Legacy));
        assert_eq!(era(&body, MODERN), Err(rpc::INVALID_PARAMS));
        assert_eq!(era(&body, Some("2027-01-01")), Err(rpc::INVALID_PARAMS));
    }
}

#[test]
fn a_notification_without_the_key_follows_the_header() {
    let plain = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(era(plain, None), Ok(Era::Legacy));
    assert_eq!(era(plain, LEGACY), Ok(Era::Legacy));
    assert_eq!(era(plain, MODERN), Ok(Era::Modern));
    assert_eq!(
        era(plain, Some("2027-01-01")),
        Err(rpc::UNSUPPORTED_PROTOCOL_VERSION)
    );
    let enveloped = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"_meta":{}}}}}"#,
        envelope("2026-07-28")
    );
    assert_eq!(era(&enveloped, MODERN), Ok(Era::Modern));
    assert_eq!(era(&enveloped, LEGACY), Err(rpc::HEADER_MISMATCH));
}

#[test]
fn an_answer_is_legacy_and_refused_in_the_modern_era() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(era(body, None), Ok(Era::Legacy));
    assert_eq!(era(body, LEGACY), Ok(Era::Legacy));
    assert_eq!(era(body, MODERN), Err(rpc::INVALID_REQUEST));
}
