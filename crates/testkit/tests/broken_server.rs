//! The server that `portcullis doctor` is held against is itself as it should be.

use base::{Digest, base64url};
use bytes::Bytes;
use http::{Request, Response};
use portcullis_testkit::Connection;
use portcullis_testkit::broken::{self, BrokenServer};
use serde_json::{Value, json};
use url::Url;

async fn connection(server: &BrokenServer) -> Connection {
    let url = Url::parse(server.url()).expect("a URL");
    Connection::open(&url[url::Position::BeforeHost..url::Position::AfterPort])
        .await
        .expect("it listens")
}

fn json_of(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body())
        .unwrap_or_else(|_| panic!("{}: {:?}", answer.status(), answer.body()))
}

async fn call(connection: &mut Connection, token: Option<&str>, body: &str) -> Response<Bytes> {
    let mut request = Request::post("/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    connection
        .send(request, body.to_owned())
        .await
        .expect("it answers")
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[tokio::test]
async fn a_person_signs_in_at_the_well_server_and_calls_it() {
    let server = broken::start_well().await;
    let mut connection = connection(&server).await;
    let refused = call(&mut connection, None, LIST).await;
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"]
        .to_str()
        .expect("text");
    assert!(
        challenge.starts_with("Bearer resource_metadata=\"http://127.0.0.1:"),
        "{challenge}"
    );

    let client = json!({"redirect_uris": ["http://127.0.0.1/callback", "javascript:alert(1)"], "client_name": "x"});
    let registered = connection
        .send(
            Request::post("/as/register").header("content-type", "application/json"),
            client.to_string(),
        )
        .await
        .expect("it answers");
    assert_eq!(registered.status(), 201);
    let client = json_of(&registered);
    assert_eq!(
        client["redirect_uris"],
        json!(["http://127.0.0.1/callback"])
    );
    let client_id = client["client_id"].as_str().expect("an id");

    let verifier = base64url([7; 32]);
    let challenge = Digest::of(&verifier).to_text();
    let redirect = "http://127.0.0.1:49152/callback";
    let mut authorize = Url::parse(server.url()).expect("a URL");
    authorize.set_path("/as/authorize");
    authorize.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", "a%2Fb=="),
        ("scope", "notes:read notes:write offline_access"),
    ]);
    let back = server
        .approve(authorize.as_str())
        .await
        .expect("a way back");
    let back: Vec<(String, String)> = Url::parse(&back)
        .expect("a URL")
        .query_pairs()
        .into_owned()
        .collect();
    let parameter = |name: &str| {
        let found = back.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    assert_eq!(parameter("state"), "a%2Fb==");
    assert!(parameter("iss").ends_with("/as"));

    let code = parameter("code");
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", client_id),
        ("redirect_uri", redirect),
        ("code_verifier", &verifier),
    ];
    let tokens = json_of(
        &connection
            .post_form("/as/token", &exchange, "")
            .await
            .expect("it answers"),
    );
    let token = tokens["access_token"].as_str().expect("a token");
    let listed = json_of(&call(&mut connection, Some(token), LIST).await);
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(3));

    let refresh = |text: &str| {
        vec![
            ("grant_type".to_owned(), "refresh_token".to_owned()),
            ("client_id".to_owned(), client_id.to_owned()),
            ("refresh_token".to_owned(), text.to_owned()),
        ]
    };
    let first = tokens["refresh_token"].as_str().expect("one").to_owned();
    let mut successors = Vec::new();
    for presented in [&first, &first] {
        let form = refresh(presented);
        let form: Vec<(&str, &str)> = form.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let answer = json_of(
            &connection
                .post_form("/as/token", &form, "")
                .await
                .expect("it answers"),
        );
        successors.push(answer["refresh_token"].as_str().expect("one").to_owned());
    }
    assert_eq!(
        successors[0], successors[1],
        "who repeats gets the same successor"
    );

    let again = connection
        .post_form("/as/token", &exchange, "")
        .await
        .expect("it answers");
    assert_eq!(again.status(), 400, "a code is good once");
    assert_eq!(
        call(&mut connection, Some(token), LIST).await.status(),
        401,
        "and its family ended"
    );
}

#[tokio::test]
async fn the_well_server_believes_only_its_own_tokens_and_calls_that_are_one() {
    let server = broken::start_well().await;
    let mut connection = connection(&server).await;
    let good = server.access_token();
    assert_eq!(call(&mut connection, Some(&good), LIST).await.status(), 200);
    let with = |change: fn(&mut Value)| {
        let mut claims = server.claims();
        change(&mut claims);
        server.sign(&claims)
    };
    for (what, token) in [
        ("garbage", "garbage".to_owned()),
        (
            "a changed signature",
            format!("{}AAAA", &good[..good.len() - 4]),
        ),
        ("expired", with(|claims| claims["exp"] = json!(1))),
        (
            "another audience",
            with(|claims| claims["aud"] = json!("https://a.example")),
        ),
        ("no audience", with(|claims| claims["aud"] = Value::Null)),
        (
            "another issuer",
            with(|claims| claims["iss"] = json!("https://a.example")),
        ),
    ] {
        let answer = call(&mut connection, Some(&token), LIST).await;
        assert_eq!(answer.status(), 401, "{what}");
    }
    let write = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write_note","arguments":{"text":"a"}}}"#;
    assert_eq!(
        call(&mut connection, Some(&good), write).await.status(),
        200
    );
    let narrow = server.narrow_token();
    let refused = call(&mut connection, Some(&narrow), write).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.headers().contains_key("www-authenticate"));
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#;
    assert_eq!(
        call(&mut connection, Some(&good), twice).await.status(),
        400
    );
    let batch = format!("[{LIST}]");
    assert_eq!(
        call(&mut connection, Some(&good), &batch).await.status(),
        400
    );
}

#[tokio::test]
async fn every_flaw_of_the_table_can_be_started_and_none_stands_there_twice() {
    let mut flaws = broken::flaws();
    assert!(flaws.len() >= 100, "{}", flaws.len());
    for flaw in &flaws {
        broken::start(flaw).await;
    }
    flaws.sort_unstable();
    let all = flaws.len();
    flaws.dedup();
    assert_eq!(flaws.len(), all);
}
