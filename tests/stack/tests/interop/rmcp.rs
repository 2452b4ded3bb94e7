//! The Rust SDK's client, as a host application drives it.

use ::rmcp::ServiceExt as _;
use ::rmcp::model::{CallToolRequestParams, ClientConfig};
use ::rmcp::transport::StreamableHttpClientTransport;
use ::rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState, OAuthTokenResponse};
use ::rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use anyhow::{Context as _, ensure};
use serde_json::json;
use testkit::{Connection, person::Person};
use url::Url;

use crate::cell::{Cell, EMAIL, PASSWORD, Registration};

const REDIRECT: &str = "http://127.0.0.1:8979/callback";
const NAME: &str = "rmcp";

/// Through its whole life.
pub async fn live(registration: Registration) -> anyhow::Result<()> {
    let cell = Cell::begin(NAME, registration, &[REDIRECT]).await?;
    let mut steps = Vec::new();
    let mut oauth = OAuthState::new(&cell.up.ready.mcp_url, None).await?;
    let mut request = AuthorizationRequest::new(REDIRECT)
        .with_client_name(NAME)
        .with_scopes(["todo:read"]);
    if let Some(id) = &cell.identity.id {
        request = request.with_preregistered_client(id);
    }
    if let Some(secret) = &cell.identity.secret {
        request = request.with_client_secret(secret);
    }
    if let Some(url) = &cell.identity.metadata_url {
        request = request.with_client_metadata_url(url);
    }
    oauth.start_authorization(request).await?;
    let authorize = Url::parse(&oauth.get_authorization_url().await?)?;
    let asked: Vec<_> = authorize.query_pairs().collect();
    ensure!(
        asked.contains(&("resource".into(), cell.up.ready.mcp_url.as_str().into())),
        "{authorize}"
    );
    steps.extend(["discovered", registration.words()]);

    let callback = visit(&cell, &authorize).await?;
    oauth.handle_callback_url(callback.as_str()).await?;
    let (client_id, _) = oauth.get_credentials().await?;
    let expected = cell
        .identity
        .id
        .as_ref()
        .or(cell.identity.metadata_url.as_ref());
    match expected {
        Some(expected) => ensure!(client_id == *expected, "{client_id}"),
        None => ensure!(client_id.starts_with("cli_"), "{client_id}"),
    }
    ensure!(cell.document_was_fetched() == (registration == Registration::Document));
    steps.extend(["signed in", "consented", "token"]);

    let manager = oauth.into_authorization_manager().context("authorized")?;
    let http = AuthClient::new(reqwest::Client::new(), manager);
    let client = connect(&cell, &http).await?;
    let listed = client.list_all_tools().await?;
    ensure!(listed.iter().any(|tool| tool.name == "list_todos"));
    call(&client, "list_todos", json!({})).await?;
    steps.extend(["tools/list", "tools/call"]);

    // The host application sees the 403 and asks the SDK for the wider authorization.
    let wanted = json!({ "title": "written by rmcp" });
    let refused = call(&client, "add_todo", wanted.clone()).await;
    let words = format!(
        "{:?}",
        refused.err().context("add_todo was done with todo:read")?
    );
    ensure!(words.to_lowercase().contains("scope"), "{words}");
    client.cancel().await?;
    let wider = {
        let manager = http.auth_manager.lock().await;
        Url::parse(&manager.request_scope_upgrade("todo:write").await?)?
    };
    let callback = visit(&cell, &wider).await?;
    let parameter = |name: &str| {
        callback
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .with_context(|| format!("no {name} in {callback}"))
    };
    let granted = {
        let manager = http.auth_manager.lock().await;
        let (code, state, iss) = (parameter("code")?, parameter("state")?, parameter("iss")?);
        manager
            .exchange_code_for_token_with_issuer(&code, &state, Some(&iss))
            .await?
    };
    let granted = secrets(&granted)?;
    let client = connect(&cell, &http).await?;
    call(&client, "add_todo", wanted).await?;
    client.cancel().await?;
    steps.push("stepped up");

    let cell = cell.restart().await?;
    let renewed = secrets(&http.auth_manager.lock().await.refresh_token().await?)?;
    ensure!(granted.0 != renewed.0, "the access token is another one");
    ensure!(granted.1 != renewed.1, "the refresh token is another one");
    let client = connect(&cell, &http).await?;
    let listed = call(&client, "list_todos", json!({})).await?;
    ensure!(listed.contains("written by rmcp"), "{listed}");
    steps.push("refreshed after a restart");

    revoke(&cell, &client_id, &renewed.1).await?;
    steps.push("revoked");
    ensure!(
        call(&client, "list_todos", json!({})).await.is_err(),
        "a revoked client was served"
    );
    let again = http.auth_manager.lock().await.refresh_token().await;
    ensure!(again.is_err(), "a revoked refresh token was taken");
    steps.push("refused");
    println!(
        "figure: rmcp 3.9.0, {}: {}",
        registration.words(),
        steps.join(", ")
    );
    let (status, _) = cell.up.stop().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

type Client = ::rmcp::service::RunningService<::rmcp::RoleClient, ClientConfig>;

async fn connect(cell: &Cell, http: &AuthClient<reqwest::Client>) -> anyhow::Result<Client> {
    let transport = StreamableHttpClientTransport::with_client(
        http.clone(),
        StreamableHttpClientTransportConfig::with_uri(cell.up.ready.mcp_url.clone()),
    );
    Ok(ClientConfig::default().serve(transport).await?)
}

async fn call(client: &Client, tool: &str, arguments: serde_json::Value) -> anyhow::Result<String> {
    let arguments = arguments.as_object().context("an object")?.clone();
    let call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), client.call_tool(call));
    Ok(format!("{:?}", answer.await??))
}

async fn visit(cell: &Cell, authorize: &Url) -> anyhow::Result<Url> {
    let mut browser = Connection::open(cell.up.ready.address()).await?;
    Person::visit(&mut browser, authorize, EMAIL, PASSWORD).await
}

/// RFC 7009. The SDK leaves it to the application.
async fn revoke(cell: &Cell, client_id: &str, token: &str) -> anyhow::Result<()> {
    let mut request = reqwest::Client::new()
        .post(format!("{}/revoke", cell.up.ready.issuer))
        .form(&[("token", token), ("client_id", client_id)]);
    if let Some(secret) = &cell.identity.secret {
        request = request.basic_auth(client_id, Some(secret));
    }
    let answer = request.send().await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(())
}

fn secrets(token: &OAuthTokenResponse) -> anyhow::Result<(String, String)> {
    let json = serde_json::to_value(token)?;
    let text = |name: &str| {
        json[name]
            .as_str()
            .map(str::to_owned)
            .context(name.to_owned())
    };
    Ok((text("access_token")?, text("refresh_token")?))
}
