//! The admin API of a running `up`, from the sign-in of an owner to what its gateway does.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{EMAIL, Home, Up};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use testkit::{Connection, McpClient};
use url::Url;

/// The admin API with one token.
struct Api {
    authority: String,
    token: String,
}

impl Api {
    fn new(up: &Up, token: &str) -> Self {
        let url = Url::parse(up.url("mcp_url")).unwrap();
        Self {
            authority: format!("{}:{}", url.host_str().unwrap(), url.port().unwrap()),
            token: token.trim().to_owned(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Response<Bytes> {
        let mut connection = Connection::open(&self.authority).await.unwrap();
        let request = Request::builder()
            .method(method)
            .uri(format!("/admin/api/v1{path}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        connection.send(request, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, &Value::Null).await;
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.body());
        serde_json::from_slice(answer.body()).unwrap()
    }
}

/// Whether `list_todos` is answered; nothing when the token is refused.
async fn lists(client: &McpClient) -> Option<bool> {
    let answer = client.call_tool("list_todos", json!({})).await;
    match answer.status {
        StatusCode::UNAUTHORIZED => None,
        StatusCode::OK => Some(answer.response()["result"].is_object()),
        _ => Some(false),
    }
}

async fn within_a_second(client: &McpClient, wanted: Option<bool>) {
    let began = Instant::now();
    while lists(client).await != wanted {
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "not yet {wanted:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_changes_a_policy_and_ends_a_grant_and_the_gateway_follows_within_a_second() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    // To look first: the program signs in by itself, as for any MCP server.
    let reading = home.run_signing_in(&["token"]).await;
    assert_eq!(reading.code, 0, "{}", reading.stderr);
    let reader = Api::new(&up, &reading.stdout);
    let servers = reader.get("/servers").await;
    assert_eq!(servers["items"][0]["slug"], "todo");
    let shown = reader.get("/servers/todo/policy").await;
    let mut policy = shown["policy"].clone();
    policy["tools"]["list_todos"]["requirement"] = json!("denied");
    let denied = json!({ "base_revision": shown["revision"], "policy": policy });
    let path = "/servers/todo/policy";
    let refused = reader.ask(Method::PUT, path, &denied).await;
    assert_eq!(
        refused.status(),
        StatusCode::FORBIDDEN,
        "{:?}",
        refused.body()
    );

    let called = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(called.code, 0, "{}", called.stderr);
    let machine = home
        .run(&[
            "service-tokens",
            "create",
            "--name",
            "m",
            "--scope",
            "todo:read",
            "--expires",
            "1d",
        ])
        .await;
    let client = |token: &str| {
        McpClient::new(up.url("mcp_url"))
            .with_header("accept", "application/json, text/event-stream")
            .with_bearer(token.trim())
    };
    let machine = client(&machine.stdout);
    assert_eq!(lists(&machine).await, Some(true));
    // A token for the admin API is none for an MCP server.
    assert_eq!(lists(&client(&reading.stdout)).await, None);

    let writing = home.run_signing_in(&["token", "--write"]).await;
    assert_eq!(writing.code, 0, "{}", writing.stderr);
    let writer = Api::new(&up, &writing.stdout);
    let put = writer.ask(Method::PUT, path, &denied).await;
    assert_eq!(put.status(), StatusCode::OK, "{:?}", put.body());
    within_a_second(&machine, Some(false)).await;
    let revision: Value = serde_json::from_slice(put.body()).unwrap();
    let back = json!({ "base_revision": revision["revision"], "revision": shown["revision"] });
    let path = "/servers/todo/policy/rollback";
    let back = writer.ask(Method::POST, path, &back).await;
    assert_eq!(back.status(), StatusCode::OK, "{:?}", back.body());
    within_a_second(&machine, Some(true)).await;

    let tokens = common::read(&home.data().join("client-tokens.json"));
    let tokens: Value = serde_json::from_str(&tokens).unwrap();
    let person = client(&access_token_for(&tokens, up.url("mcp_url")));
    assert_eq!(lists(&person).await, Some(true));
    let grants = writer.get("/grants?server=todo").await;
    let grants = grants["items"].as_array().unwrap().clone();
    let mut grants = grants.iter().filter(|grant| grant["email"] == EMAIL);
    let id = grants.next().unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/grants/{id}");
    let ended = writer.ask(Method::DELETE, &path, &Value::Null).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT, "{:?}", ended.body());
    within_a_second(&person, None).await;
    assert_eq!(lists(&machine).await, Some(true));

    // The commands say the same.
    let listed = home.run(&["grants", "list", "--json"]).await;
    assert!(!listed.stdout.contains(&id), "{}", listed.stdout);
    let events = ["audit", "list", "--kind", "grant_revoked", "--json"];
    let events = home.run(&events).await;
    let events: Value = serde_json::from_str(&events.stdout).unwrap();
    assert_eq!(events[0]["grant"], id.as_str());
    assert!(events[0]["user"].is_string(), "{events}");
    up.stop().await;
}

/// The access token that the built-in client keeps for a resource, wherever it stands in its file.
fn access_token_for(kept: &Value, resource: &str) -> String {
    fn find(value: &Value, resource: &str) -> Option<String> {
        let members = value.as_object()?;
        let is_for = members.values().any(|value| value == resource);
        let token = members.get("access_token").and_then(Value::as_str);
        match token {
            Some(token) if is_for => Some(token.to_owned()),
            _ => members.values().find_map(|value| match value {
                Value::Array(all) => all.iter().find_map(|one| find(one, resource)),
                other => find(other, resource),
            }),
        }
    }
    find(kept, resource).unwrap_or_else(|| panic!("no token for {resource} in {kept}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_uses_the_admin_api_by_a_secret_and_commands_do_what_it_does() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let added = home
        .run(&[
            "clients",
            "add",
            "--server",
            "portcullis-admin",
            "--name",
            "Nightly",
            "--secret",
            "--service-scope",
            "portcullis:read",
        ])
        .await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    let mut lines = added.stdout.lines();
    let (id, secret) = (lines.next().unwrap(), lines.next().unwrap());
    let url = Url::parse(up.url("mcp_url")).unwrap();
    let authority = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut connection = Connection::open(&authority).await.unwrap();
    let request = Request::post("/servers/portcullis-admin/token")
        .header("content-type", "application/x-www-form-urlencoded");
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let answer = connection.send(request, form).await.unwrap();
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    let api = Api::new(&up, answer["access_token"].as_str().unwrap());
    let scopes = api.get("/servers/todo/scopes").await;
    let names = |items: &Value| -> Vec<String> {
        let items = items.as_array().unwrap().iter();
        items
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = names(&scopes["items"]);

    let add = [
        "scopes",
        "add",
        "todo",
        "todo:admin",
        "--title",
        "Do all",
        "--risk",
        "critical",
    ];
    assert_eq!(home.run(&add).await.code, 0);
    assert_ne!(home.run(&add).await.code, 0, "twice");
    let set = [
        "scopes",
        "set",
        "todo",
        "todo:admin",
        "--implies",
        "todo:read",
        "--default",
        "yes",
    ];
    let set = home.run(&set).await;
    assert_eq!(set.code, 0, "{}", set.stderr);
    let scopes = api.get("/servers/todo/scopes").await;
    let added = scopes["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(added["name"], "todo:admin");
    assert_eq!(added["implies"], "todo:read");
    assert_eq!(added["is_default"], true);
    let needed = home.run(&["scopes", "remove", "todo", "todo:read"]).await;
    assert_ne!(needed.code, 0, "{}", needed.stdout);
    let removed = home.run(&["scopes", "remove", "todo", "todo:admin"]).await;
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    let scopes = api.get("/servers/todo/scopes").await;
    assert_eq!(names(&scopes["items"]), before);

    // The client is blocked like any other, and its grant is seen like any other.
    let grants = home
        .run(&["grants", "list", "--client", id, "--json"])
        .await;
    let grants: Value = serde_json::from_str(&grants.stdout).unwrap();
    let grant = grants[0]["id"].as_str().unwrap();
    let revoked = home.run(&["grants", "revoke", grant, "--yes"]).await;
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    let again = home.run(&["grants", "revoke", grant, "--yes"]).await;
    assert_ne!(again.code, 0, "{}", again.stdout);
    let answer = api.ask(Method::GET, "/servers", &Value::Null).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let blocked = home.run(&["clients", "block", id]).await;
    assert_eq!(blocked.code, 0, "{}", blocked.stderr);
    let exported = home
        .run(&["audit", "export", "--kind", "grant_revoked"])
        .await;
    assert_eq!(exported.stdout.lines().count(), 1, "{}", exported.stdout);
    up.stop().await;
}
