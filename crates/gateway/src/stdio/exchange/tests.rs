#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use wire::mcp::{Limits, read_message, read_server_message};

use super::super::outlet::{Inlet, outlet};
use super::*;

fn client(value: Value) -> Message {
    read_message(value.to_string().as_bytes(), &Limits::default()).unwrap()
}

fn server(value: Value) -> Message {
    read_server_message(value.to_string().as_bytes(), &Limits::default()).unwrap()
}

fn request(id: Value, params: Value) -> Request {
    let Message::Request(request) =
        client(json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
    else {
        panic!("a request");
    };
    request
}

fn admit(exchange: &mut Exchange, id: Value, params: Value) -> (i64, Value, Inlet) {
    let (outlet, inlet) = outlet(true);
    let (ours, bytes) = exchange.admit(request(id, params), outlet).unwrap();
    (ours, serde_json::from_slice(&bytes).unwrap(), inlet)
}

fn next(inlet: &mut Inlet) -> Option<Value> {
    match inlet.next_at_once()? {
        Outgoing::Message(text) | Outgoing::Answer { text, .. } => {
            Some(serde_json::from_str(&text).unwrap())
        }
        Outgoing::Failed(reason) => Some(json!({ "failed": reason })),
    }
}

#[test]
fn two_callers_with_the_same_id_and_token_get_their_own_progress_and_answer() {
    let mut exchange = Exchange::new(Era::Modern, 10);
    let params = json!({"_meta": {"progressToken": "p"}});
    let (first, written, mut first_inlet) = admit(&mut exchange, json!("a"), params.clone());
    let (second, _, mut second_inlet) = admit(&mut exchange, json!("a"), params);
    assert_ne!(first, second);
    assert_eq!(written["id"], first);
    assert_eq!(written["params"]["_meta"]["progressToken"], first);
    let progress = |id: i64| {
        server(json!({"jsonrpc": "2.0", "method": "notifications/progress",
                      "params": {"progressToken": id, "progress": 1}}))
    };
    exchange.receive(progress(second));
    assert_eq!(next(&mut first_inlet), None);
    assert_eq!(
        next(&mut second_inlet).unwrap()["params"]["progressToken"],
        "p"
    );
    exchange.receive(server(
        json!({"jsonrpc": "2.0", "id": first, "result": {"n": 1}}),
    ));
    exchange.receive(server(
        json!({"jsonrpc": "2.0", "id": second, "result": {"n": 2}}),
    ));
    assert_eq!(
        next(&mut first_inlet).unwrap(),
        json!({"jsonrpc": "2.0", "id": "a", "result": {"n": 1}})
    );
    assert_eq!(
        next(&mut second_inlet).unwrap(),
        json!({"jsonrpc": "2.0", "id": "a", "result": {"n": 2}})
    );
}

#[test]
fn a_number_keeps_its_text_on_the_way_through() {
    let mut exchange = Exchange::new(Era::Legacy, 10);
    let (outlet, mut inlet) = outlet(true);
    let body = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"b":1.10,"a":12345678901234567890}}"#;
    let Message::Request(request) = read_message(body, &Limits::default()).unwrap() else {
        panic!("a request");
    };
    let (_, written) = exchange.admit(request, outlet).unwrap();
    let written = String::from_utf8(written).unwrap();
    assert!(
        written.contains(r#"{"b":1.10,"a":12345678901234567890}"#),
        "{written}"
    );
    let answer = br#"{"jsonrpc":"2.0","id":1,"result":{"b":1.10,"a":1e400}}"#;
    exchange.receive(read_server_message(answer, &Limits::default()).unwrap());
    let Some(Outgoing::Answer { text, .. }) = inlet.next_at_once() else {
        panic!("an answer");
    };
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":7,"result":{"b":1.10,"a":1e400}}"#
    );
}

#[test]
fn a_question_of_the_server_goes_to_the_running_call_and_only_its_answer_comes_back() {
    let mut exchange = Exchange::new(Era::Legacy, 10);
    let (_, _, mut inlet) = admit(&mut exchange, json!(1), json!({}));
    let question =
        json!({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {}});
    assert_eq!(exchange.receive(server(question.clone())), None);
    assert_eq!(next(&mut inlet).unwrap(), question);
    let mut reply = |id: &str| {
        let Message::Response(response) = client(json!({"jsonrpc": "2.0", "id": id, "result": {}}))
        else {
            panic!("a response");
        };
        exchange.reply(response)
    };
    assert_eq!(reply("other"), None);
    assert!(reply("q").is_some());
    assert_eq!(reply("q"), None, "an answer counts once");
}

#[test]
fn what_comes_while_nobody_listens_waits_for_the_next_stream() {
    let mut exchange = Exchange::new(Era::Legacy, 10);
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"});
    exchange.receive(server(changed.clone()));
    assert_eq!(exchange.receive(server(question.clone())), None);
    let (listener, mut listening) = outlet(true);
    exchange.listen(listener);
    assert_eq!(next(&mut listening), Some(changed.clone()));
    assert_eq!(next(&mut listening), Some(question));
    let (_, _, mut inlet) = admit(&mut exchange, json!(1), json!({}));
    exchange.receive(server(changed.clone()));
    assert_eq!(
        next(&mut listening),
        Some(changed),
        "a change is the listener's"
    );
    exchange.receive(server(
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}),
    ));
    assert!(
        next(&mut inlet).is_some(),
        "a log line belongs to the running call"
    );
    for _ in 0..200 {
        exchange.receive(server(
            json!({"jsonrpc": "2.0", "method": "notifications/message"}),
        ));
    }
    assert!(exchange.waiting.len() <= WAITING_MAX);
}

#[test]
fn modern_servers_ask_nothing_and_everybody_answers_a_ping() {
    let mut exchange = Exchange::new(Era::Modern, 10);
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage"});
    let refusal: Value =
        serde_json::from_slice(&exchange.receive(server(question)).unwrap()).unwrap();
    assert_eq!(refusal["error"]["code"], -32601);
    let pong = exchange
        .receive(server(json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})))
        .unwrap();
    assert_eq!(pong, br#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
}

#[test]
fn cancelling_names_the_childs_id_and_ends_the_waiting() {
    let mut exchange = Exchange::new(Era::Legacy, 10);
    let (ours, _, mut inlet) = admit(&mut exchange, json!("slow"), json!({}));
    let cancel = |id: &str| {
        let Message::Notification(notification) = client(
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}),
        ) else {
            panic!("a notification");
        };
        notification
    };
    assert_eq!(
        exchange.tell(cancel("other")),
        None,
        "the child knows no such id"
    );
    let written: Value = serde_json::from_slice(&exchange.tell(cancel("slow")).unwrap()).unwrap();
    assert_eq!(written["params"]["requestId"], ours);
    assert_eq!(next(&mut inlet).unwrap()["error"]["code"], CANCELLED);
    exchange.receive(server(json!({"jsonrpc": "2.0", "id": ours, "result": {}})));
    assert!(!exchange.has_company());
}

#[test]
fn hanging_up_cancels_in_the_modern_era_only() {
    for (era, cancels) in [(Era::Modern, true), (Era::Legacy, false)] {
        let mut exchange = Exchange::new(era, 10);
        let (ours, _, inlet) = admit(&mut exchange, json!(1), json!({}));
        drop(inlet);
        assert_eq!(exchange.abandon(ours).is_some(), cancels);
        assert_eq!(exchange.abandon(ours), None);
        assert!(!exchange.has_company());
    }
}

#[test]
fn a_subscription_gets_what_names_it_under_its_own_id() {
    let mut exchange = Exchange::new(Era::Modern, 10);
    let (outlet, mut inlet) = outlet(true);
    let Message::Request(listen) = client(
        json!({"jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen", "params": {}}),
    ) else {
        panic!("a request");
    };
    let (ours, _) = exchange.admit(listen, outlet).unwrap();
    let change = |id: Value| {
        server(
            json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed",
                      "params": {"_meta": {SUBSCRIPTION_ID: id}}}),
        )
    };
    exchange.receive(change(json!(ours)));
    assert_eq!(
        next(&mut inlet).unwrap()["params"]["_meta"][SUBSCRIPTION_ID],
        "sub"
    );
    exchange.receive(change(json!(ours.to_string())));
    assert_eq!(
        next(&mut inlet).unwrap()["params"]["_meta"][SUBSCRIPTION_ID],
        "sub"
    );
    exchange.receive(change(json!(ours + 1)));
    exchange.receive(server(
        json!({"jsonrpc": "2.0", "method": "notifications/message"}),
    ));
    assert_eq!(next(&mut inlet), None);
}

#[test]
fn requests_have_a_limit_and_those_whose_caller_left_do_not_count() {
    let mut exchange = Exchange::new(Era::Legacy, 2);
    let (_, _, first) = admit(&mut exchange, json!(1), json!({}));
    let (_, _, mut second) = admit(&mut exchange, json!(2), json!({}));
    let (third, _inlet) = outlet(true);
    assert_eq!(
        exchange.admit(request(json!(3), json!({})), third),
        Err(TooManyPending)
    );
    drop(first);
    let (_, _, mut third) = admit(&mut exchange, json!(3), json!({}));
    exchange.fail_all("it ended");
    assert_eq!(next(&mut second), Some(json!({"failed": "it ended"})));
    assert_eq!(next(&mut third), Some(json!({"failed": "it ended"})));
}
