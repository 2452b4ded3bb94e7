#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::mcp::message::{Message, Outcome, read_server_message};

const NAMES: [&str; 2] = ["tools", "cacheScope"];
const BYTES_MAX: usize = 100_000;

fn look(text: &str) -> Result<Glance, MessageError> {
    glance(text.as_bytes(), BYTES_MAX, &NAMES)
}

fn limits() -> Limits {
    Limits {
        bytes_max: BYTES_MAX,
        ..Limits::default()
    }
}

/// What a glance should say of a message that was read whole.
fn told_of(message: &Message) -> Glance {
    match message {
        Message::Request(_) => Glance::Request,
        Message::Notification(told) => Glance::Notification {
            method: told.method.clone(),
        },
        Message::Response(response) => Glance::Response {
            id: response.id.clone(),
            outcome: match &response.outcome {
                Outcome::Error(_) => Glanced::Error,
                Outcome::Result(Json::Object(result)) => Glanced::Result {
                    is_found: NAMES.iter().any(|name| {
                        let mut members = result.iter();
                        members.any(|(key, _)| key.as_str() == *name || twin::is_twin(key, name))
                    }),
                },
                Outcome::Result(_) => Glanced::NoObject,
            },
        },
    }
}

#[test]
fn a_glance_says_of_each_message_what_reading_it_says() {
    let values = [
        "{}",
        r#"{"content":[{"type":"text","text":"a \"quoted\" \\ line\n\ud83d\ude00"}],"x":[[],{},[1,-0.5e+7,true,false,null]]}"#,
        r#"{"tools":[]}"#,
        r#"{"x":{"tools":[{"name":"secret"}]}}"#,
        r#"{"x":1,"Tool\u017f":[]}"#,
        r#"{"t\u006fols":[]}"#,
        r#"{"cacheScope":"public"}"#,
        r#" { "a" : [ 1 , 2 ] , "b" : { } } "#,
        "[]",
        "\"tools\"",
        "null",
        "7",
    ];
    let mut texts = Vec::new();
    for value in values {
        for id in [
            "1",
            "\"1\"",
            "\"a\\u0062\"",
            "-7",
            "null",
            "1.5",
            "{}",
            "-0",
        ] {
            texts.push(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{value}}}"#));
            texts.push(format!(
                r#"{{"result":{value},"x":{value},"id":{id},"jsonrpc":"2.0"}}"#
            ));
            texts.push(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{value}}}"#
            ));
        }
        texts.push(format!(
            r#"{{"jsonrpc":"2.0","method":"m","params":{value}}}"#
        ));
        texts.push(value.to_owned());
        for other in [
            r#""error":{"code":1,"message":"no"}"#,
            r#""method":"m""#,
            r#""Result":{}"#,
        ] {
            texts.push(format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{value},{other}}}"#
            ));
        }
    }
    for plain in [
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"error":"no"}"#,
        r#"{"jsonrpc":"2.0","id":3}"#,
        r#"{"jsonrpc":"1.0","id":3,"result":{}}"#,
        r#"{"jsonrpc":{},"id":3,"result":{}}"#,
        r#"{"id":3,"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":""}"#,
        r#"{"jsonrpc":"2.0","method":7}"#,
        r#"[{"jsonrpc":"2.0","id":3,"result":{}}]"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{}} {}"#,
        "",
        "{",
        "\u{feff}{}",
        r#"{"jsonrpc":"2.0","id":3,"id":4,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{"tools":[]},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":3,"r\u0065sult":{"tools":[]},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{},"Id":4}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{"\u0000":1}}"#,
    ] {
        texts.push(plain.to_owned());
    }
    let mut read_count = 0;
    for text in &texts {
        let read = read_server_message(text.as_bytes(), &limits());
        read_count += usize::from(read.is_ok());
        assert_eq!(
            look(text).ok(),
            read.ok().map(|read| told_of(&read)),
            "{text}"
        );
    }
    assert!(read_count > 100 && read_count < texts.len(), "{read_count}");
}

/// A reader that forgives more must not find another message in what was walked over.
#[test]
fn what_is_walked_over_has_the_form_of_json() {
    let around = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":{value}}}}}"#);
    for good in [
        "[[[]]]",
        "{\"a\":{}}",
        "\"\\u00e9\\/\"",
        "1e9",
        "[1,2]",
        "\"\\ud800\"",
    ] {
        assert!(look(&around(good)).is_ok(), "{good}");
    }
    for bad in [
        "'}'",
        "/* \" */1",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "[1 2]",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "NaN",
        "tru",
        "\"\\x41\"",
        "\"\\u00g0\"",
        "\"a\tb\"",
        "[}",
        "{]",
        "",
        "[",
        "{\"a\"",
        "\"",
        "\"\\",
    ] {
        assert!(look(&around(bad)).is_err(), "{bad}");
    }
}

#[test]
fn depth_costs_no_stack_and_length_has_an_end() {
    let around = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":{value}}}}}"#);
    let deep = format!("{}{}", "[".repeat(40_000), "]".repeat(40_000));
    assert!(look(&around(&deep)).is_ok());
    let empty = around("\"\"").len();
    for (more, fits) in [(0, true), (1, false)] {
        let text = around(&format!("\"{}\"", "x".repeat(BYTES_MAX - empty + more)));
        assert_eq!(look(&text).is_ok(), fits, "{more}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_hides_from_a_glance_what_a_reader_finds(
        edits in proptest::collection::vec((0_usize..400, 0_usize..3, 0_usize..16), 0..4),
    ) {
        let text = r#"{"jsonrpc":"2.0","x":[{"a":"}"}],"result":{"y":{"tools":[1,"\"]"]},"z":[{},[]],"tools":[{"name":"s"}]},"id":7}"#;
        let mut text = text.as_bytes().to_vec();
        for (at, kind, byte) in edits {
            let at = at % text.len();
            let byte = br#"{}[]":,\ 0-tn'/u"#[byte];
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => {
                    text.remove(at);
                }
            }
        }
        let seen = glance(&text, BYTES_MAX, &NAMES);
        if let Ok(read) = read_server_message(&text, &limits()) {
            prop_assert_eq!(seen.as_ref().ok(), Some(&told_of(&read)));
        }
        if let (Ok(Glance::Response { id, outcome }), Ok(serde)) =
            (seen, serde_json::from_slice::<serde_json::Value>(&text))
        {
            let has_list = NAMES.iter().any(|name| !serde["result"][name].is_null());
            prop_assert_eq!(outcome == Glanced::Result { is_found: true }, has_list);
            let id = id.map(|id| id.to_json().to_text());
            let read = Some(&serde["id"]).filter(|id| !id.is_null());
            prop_assert_eq!(id, read.map(|id| id.to_string()));
        }
    }
}
