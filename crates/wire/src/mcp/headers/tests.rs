#![allow(clippy::unwrap_used)]

use super::*;
use crate::mcp::{Limits, read_message};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;
const READ: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///ö"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TASK: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t1"}}"#;
const TOLD: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

fn agrees(era: Era, body: &str, lines: &[(&str, &str)]) -> bool {
    let message = read_message(body.as_bytes(), &Limits::default()).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    check_headers_against_body(&headers, &message, era).is_ok()
}

#[test]
fn modern_headers_say_what_the_body_says_or_the_call_is_refused() {
    let method = ("Mcp-Method", "tools/call");
    for (body, lines) in [
        (CALL, vec![method, ("Mcp-Name", "add")]),
        (
            CALL,
            vec![("mcp-METHOD", "tools/call"), ("MCP-name", "add")],
        ),
        (CALL, vec![method, ("Mcp-Name", " add ")]),
        (CALL, vec![method, ("Mcp-Name", "=?base64?YWRk?=")]),
        (
            CALL,
            vec![
                method,
                ("Mcp-Name", "add"),
                ("Mcp-Param-X", "=?base64?w7Y=?="),
            ],
        ),
        (
            READ,
            vec![
                ("Mcp-Method", "resources/read"),
                ("Mcp-Name", "=?base64?ZmlsZTovLy/Dtg==?="),
            ],
        ),
        (LIST, vec![("Mcp-Method", "tools/list")]),
        (TASK, vec![("Mcp-Method", "tasks/get"), ("Mcp-Name", "t1")]),
        (TASK, vec![("Mcp-Method", "tasks/get")]),
        (TOLD, vec![]),
    ] {
        assert!(agrees(Era::Modern, body, &lines), "{body} {lines:?}");
    }
    for (body, lines) in [
        (CALL, vec![]),
        (CALL, vec![method]),
        (CALL, vec![("Mcp-Name", "add")]),
        (
            CALL,
            vec![("Mcp-Method", "tools/list"), ("Mcp-Name", "add")],
        ),
        (
            CALL,
            vec![("Mcp-Method", "Tools/Call"), ("Mcp-Name", "add")],
        ),
        (
            CALL,
            vec![
                ("Mcp-Method", "=?base64?dG9vbHMvY2FsbA==?="),
                ("Mcp-Name", "add"),
            ],
        ),
        (CALL, vec![method, ("Mcp-Name", "Add")]),
        (CALL, vec![method, ("Mcp-Name", "remove")]),
        (CALL, vec![method, method, ("Mcp-Name", "add")]),
        (CALL, vec![method, ("Mcp-Name", "add"), ("Mcp-Name", "add")]),
        (CALL, vec![method, ("Mcp-Name", "add, add")]),
        (CALL, vec![method, ("Mcp-Name", "=?BASE64?YWRk?=")]),
        (CALL, vec![method, ("Mcp-Name", "=?base64?YWRk")]),
        (CALL, vec![method, ("Mcp-Name", "=?base64?YWR?=")]),
        (CALL, vec![method, ("Mcp-Name", "=?base64?YWRl?=")]),
        (CALL, vec![method, ("Mcp-Name", "=?base64?/w==?=")]),
        (
            CALL,
            vec![method, ("Mcp-Name", "=?base64?PT9iYXNlNjQ/WVdSaz89?=")],
        ),
        (
            CALL,
            vec![
                method,
                ("Mcp-Name", "add"),
                ("Mcp-Param-X", "1"),
                ("mcp-param-x", "1"),
            ],
        ),
        (
            CALL,
            vec![method, ("Mcp-Name", "add"), ("Mcp-Param-X", "=?base64?*?=")],
        ),
        (
            READ,
            vec![("Mcp-Method", "resources/read"), ("Mcp-Name", "file:///ö")],
        ),
        (
            LIST,
            vec![("Mcp-Method", "tools/list"), ("Mcp-Name", "add")],
        ),
        (TASK, vec![("Mcp-Method", "tasks/get"), ("Mcp-Name", "t2")]),
        (TOLD, vec![("Mcp-Method", "notifications/cancelled")]),
    ] {
        assert!(!agrees(Era::Modern, body, &lines), "{body} {lines:?}");
    }
}

#[test]
fn legacy_calls_need_no_headers_but_must_not_carry_others() {
    assert!(agrees(Era::Legacy, CALL, &[]));
    assert!(agrees(Era::Legacy, ANSWER, &[]));
    assert!(agrees(
        Era::Legacy,
        CALL,
        &[("Mcp-Method", "tools/call"), ("Mcp-Name", "add")]
    ));
    assert!(!agrees(Era::Legacy, CALL, &[("Mcp-Name", "list")]));
    assert!(!agrees(Era::Legacy, CALL, &[("Mcp-Method", "tools/list")]));
    assert!(!agrees(
        Era::Legacy,
        ANSWER,
        &[("Mcp-Method", "tools/call")]
    ));
}

#[test]
fn the_version_header_stands_once() {
    let mut headers = HeaderMap::new();
    assert_eq!(protocol_version(&headers), Ok(None));
    headers.append(MCP_PROTOCOL_VERSION, HeaderValue::from_static("2025-11-25"));
    assert_eq!(protocol_version(&headers), Ok(Some("2025-11-25")));
    headers.append(MCP_PROTOCOL_VERSION, HeaderValue::from_static("2025-11-25"));
    let refusal = protocol_version(&headers).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Header mismatch: MCP-Protocol-Version must stand once"
    );
}

#[test]
fn what_is_encoded_decodes_to_itself_and_the_examples_of_the_specification_hold() {
    for (value, encoded) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("", ""),
    ] {
        assert_eq!(encode_value(value), encoded);
        assert_eq!(decode_value(encoded).unwrap(), value);
    }
}

#[test]
fn the_headers_sent_on_are_made_from_the_body() {
    let message = read_message(READ.as_bytes(), &Limits::default()).unwrap();
    let lines: Vec<_> = mirror_headers(&message).collect();
    assert_eq!(
        lines,
        [
            (MCP_METHOD, HeaderValue::from_static("resources/read")),
            (
                MCP_NAME,
                HeaderValue::from_static("=?base64?ZmlsZTovLy/Dtg==?=")
            )
        ]
    );
}
