//! A second start with the same data directory: nobody registers or signs in again.

#![allow(clippy::unwrap_used)]

use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use stack_tests::Up;
use testkit::Connection;
use testkit::person::{Person, text};

const EMAIL: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

#[tokio::test]
async fn a_second_start_knows_everything_of_the_first() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let first = Up::start(data.path(), &[], &[]).await?;
    assert!(
        first.ready.setup_url.is_some(),
        "nobody exists, so there is a setup link"
    );
    first.add_user(EMAIL, PASSWORD).await?;
    let mut web = Connection::open(first.ready.address()).await?;
    let (person, code) = Person::sign_in(&mut web, &first.ready.issuer, EMAIL, PASSWORD).await?;
    let granted = token(&mut web, &person, person.exchange_form(&code)).await?;
    let access = granted["access_token"].as_str().unwrap().to_owned();
    let refresh = granted["refresh_token"].as_str().unwrap().to_owned();
    add_todo(
        &mut web,
        &first.ready.mcp_url,
        &access,
        "kept over a restart",
    )
    .await?;
    let before = first.ready.clone();
    let (status, _) = first.stop().await?;
    assert!(status.success(), "SIGINT ends it with 0, not {status}");

    let second = Up::start(data.path(), &[], &[]).await?;
    assert_eq!(second.ready.mcp_url, before.mcp_url);
    assert_eq!(second.ready.issuer, before.issuer);
    assert_eq!(second.ready.authority_url, before.authority_url);
    assert_eq!(second.ready.setup_url, None, "somebody exists");
    let mut web = Connection::open(second.ready.address()).await?;
    let todos = call(
        &mut web,
        &second.ready.mcp_url,
        &access,
        "list_todos",
        json!({}),
    )
    .await?;
    assert!(todos.contains("kept over a restart"), "{todos}");
    let renewed = token(&mut web, &person, person.refresh_form(&refresh)).await?;
    assert_ne!(renewed["refresh_token"], refresh.as_str());
    let again = person.approve(&mut web).await?;
    token(&mut web, &person, person.exchange_form(&again)).await?;
    let (status, _) = second.stop().await?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused_with_the_address_of_its_user() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let first = Up::start(data.path(), &[], &[]).await?;
    let Err(refused) = Up::start(data.path(), &[], &[]).await else {
        panic!("two processes share a data directory");
    };
    let words = refused.to_string();
    assert!(words.contains(&first.ready.authority_url), "{words}");
    assert!(words.contains("--data-dir"), "{words}");
    let other = tempfile::tempdir()?;
    let beside = Up::start(other.path(), &[], &[]).await?;
    assert_ne!(beside.ready.authority_url, first.ready.authority_url);
    Ok(())
}

async fn token(web: &mut Connection, person: &Person, form: String) -> anyhow::Result<Value> {
    let request = Request::post(format!("{}/token", person.issuer_path))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = web.send(request, form).await?;
    assert_eq!(answer.status(), StatusCode::OK, "{}", text(&answer));
    Ok(serde_json::from_slice(answer.body())?)
}

async fn add_todo(
    web: &mut Connection,
    mcp_url: &str,
    access: &str,
    words: &str,
) -> anyhow::Result<()> {
    let listed = rpc(web, mcp_url, access, "tools/list", json!({})).await?;
    let listed: Value = serde_json::from_str(listed.trim_start_matches("data:").trim())?;
    let tools = listed["result"]["tools"].as_array().unwrap();
    let add = tools
        .iter()
        .find(|tool| tool["name"] == "add_todo")
        .unwrap();
    let field = add["inputSchema"]["required"][0].as_str().unwrap();
    call(web, mcp_url, access, "add_todo", json!({ field: words })).await?;
    Ok(())
}

async fn call(
    web: &mut Connection,
    mcp_url: &str,
    access: &str,
    tool: &str,
    arguments: Value,
) -> anyhow::Result<String> {
    let params = json!({"name": tool, "arguments": arguments});
    rpc(web, mcp_url, access, "tools/call", params).await
}

/// One request in a session of its own; the line of the answer that holds it, JSON or SSE.
async fn rpc(
    web: &mut Connection,
    mcp_url: &str,
    access: &str,
    method: &str,
    params: Value,
) -> anyhow::Result<String> {
    let path = url::Url::parse(mcp_url)?.path().to_owned();
    let mut session = None;
    let initialize = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "restart", "version": "1"},
    });
    for (method, params) in [("initialize", initialize), (method, params)] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = Request::post(&path)
            .header(header::AUTHORIZATION, format!("Bearer {access}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        if let Some(id) = &session {
            request = request
                .header("mcp-session-id", id)
                .header("mcp-protocol-version", "2025-11-25");
        }
        let answer = web.send(request, body.to_string()).await?;
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "{method}: {}",
            text(&answer)
        );
        if method == "initialize" {
            session = answer
                .headers()
                .get("mcp-session-id")
                .map(|id| id.to_str().unwrap_or_default().to_owned());
            continue;
        }
        let whole = text(&answer);
        let line = whole
            .lines()
            .find(|line| line.contains("\"jsonrpc\""))
            .unwrap_or_else(|| panic!("{method}: no message in {whole}"));
        return Ok(line.to_owned());
    }
    unreachable!("the loop ends with the second answer")
}
