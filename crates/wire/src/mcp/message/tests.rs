#![allow(clippy::unwrap_used)]

use super::*;

fn read(text: &str) -> Result<Message, MessageError> {
    read_message(text.as_bytes(), &Limits::default())
}

#[test]
fn each_kind_of_message_is_read_and_written_again_as_it_was_judged() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"n":1.0,"Name":"x"}}}"#,
        r#"{"jsonrpc":"2.0","id":"a\"b","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":0,"method":"ping","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":-9007199254740991,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{"action":"accept","content":{"a":[1,2]}}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no","data":null}}"#,
    ] {
        let message = read(text).unwrap();
        assert_eq!(String::from_utf8(message.to_bytes()).unwrap(), text);
    }
    // Parameters that are null are none.
    let message = read(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#).unwrap();
    assert_eq!(
        message.to_bytes(),
        br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#
    );
    // Order at the top and whitespace are ours; the rest stays.
    let message = read(
        "{\"params\": {\"z\": 1, \"a\": 2},\n \"method\": \"x\", \"id\": 1, \"jsonrpc\": \"2.0\"}",
    )
    .unwrap();
    assert_eq!(
        message.to_bytes(),
        br#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"z":1,"a":2}}"#
    );
}

#[test]
fn each_wrong_message_is_refused_with_its_code() {
    use MessageError as E;
    let long = |text: &str, count| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
            text.repeat(count)
        )
    };
    let long_id = |count| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#,
            "i".repeat(count)
        )
    };
    assert!(read(&long("m", 256)).is_ok());
    assert!(read(&long_id(1024)).is_ok());
    let twin = |name: &str| E::Twin(name.into());
    for (text, expected) in [
        ("[]", E::Batch),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, E::Batch),
        ("5", E::NotAnObject),
        ("{}", E::Version),
        (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, E::Version),
        (r#"{"jsonrpc":2.0,"id":1,"method":"x"}"#, E::Version),
        (r#"{"jsonrpc":"2.0"}"#, E::Shape),
        (r#"{"jsonrpc":"2.0","id":1}"#, E::Shape),
        (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, E::Id),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, E::Id),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#, E::Id),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"x"}"#, E::Id),
        (
            r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"x"}"#,
            E::Id,
        ),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, E::Id),
        (r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, E::Id),
        (&long_id(1025), E::Id),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, E::Method),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, E::Method),
        (&long("m", 257), E::Method),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#,
            E::Params,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":"{}"}"#,
            E::Params,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#,
            E::Shape,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}"#,
            E::Shape,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1,"params":{}}"#,
            E::Shape,
        ),
        (r#"{"jsonrpc":"2.0","result":1}"#, E::Id),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#,
            E::Id,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":""}}"#,
            E::ErrorObject,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#,
            E::ErrorObject,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","extra":1}"#,
            E::UnknownMember("extra".into()),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}"#,
            twin("Method"),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"METHOD":"y"}"#, twin("METHOD")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","param\u017f":{}}"#,
            twin("paramſ"),
        ),
        (r#"{"jsonrpc":"2.0","\u0131d":1,"method":"x"}"#, twin("ıd")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            twin("Name"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","ARGUMENTS":{}}}"#,
            twin("ARGUMENTS"),
        ),
    ] {
        assert_eq!(read(text), Err(expected.clone()), "{text}");
        assert_eq!(expected.rpc_code(), rpc::INVALID_REQUEST);
    }
    let duplicate = read(r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#).unwrap_err();
    assert_eq!(duplicate.rpc_code(), rpc::PARSE_ERROR);
}

#[test]
fn a_server_may_add_members_and_answer_without_an_id_but_not_send_twins() {
    let read = |text: &str| read_server_message(text.as_bytes(), &Limits::default());
    let answer = read(r#"{"jsonrpc":"2.0","id":1,"result":{},"_trace":5}"#).unwrap();
    assert_eq!(
        answer.to_bytes(),
        br#"{"jsonrpc":"2.0","id":1,"result":{}}"#
    );
    for text in [
        r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
    ] {
        let answer = read(text).unwrap();
        assert_eq!(
            answer.to_bytes(),
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#
        );
    }
    assert!(read(r#"{"jsonrpc":"2.0","result":{}}"#).is_err());
    assert!(read(r#"{"jsonrpc":"2.0","id":1,"result":{},"Result":{}}"#).is_err());
}
