//! The Rust SDK's client, as a host application drives it: discovery to a call after a refresh.

#![allow(clippy::unwrap_used)]

use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, ClientConfig};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use stack_tests::Up;
use testkit::{Connection, person::Person};
use url::Url;

const EMAIL: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";
const REDIRECT: &str = "http://127.0.0.1:8979/callback";

#[tokio::test]
async fn rmcp_discovers_registers_calls_refreshes_and_calls_again() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &[], &[]).await?;
    up.add_user(EMAIL, PASSWORD).await?;

    let mut oauth = OAuthState::new(&up.ready.mcp_url, None).await?;
    oauth
        .start_authorization(AuthorizationRequest::new(REDIRECT).with_client_name("rmcp"))
        .await?;
    let authorize = Url::parse(&oauth.get_authorization_url().await?)?;
    let asked: Vec<_> = authorize.query_pairs().collect();
    assert!(
        asked.contains(&("resource".into(), up.ready.mcp_url.as_str().into())),
        "{authorize}"
    );

    let mut browser = Connection::open(up.ready.address()).await?;
    let callback = Person::visit(&mut browser, &authorize, EMAIL, PASSWORD).await?;
    oauth.handle_callback_url(callback.as_str()).await?;
    let (client_id, granted) = oauth.get_credentials().await?;
    assert!(client_id.starts_with("cli_"), "{client_id}");
    let granted = secrets(&granted.unwrap());

    let manager = oauth.into_authorization_manager().unwrap();
    let http = AuthClient::new(reqwest::Client::new(), manager);
    let transport = StreamableHttpClientTransport::with_client(
        http.clone(),
        StreamableHttpClientTransportConfig::with_uri(up.ready.mcp_url.clone()),
    );
    let client = ClientConfig::default().serve(transport).await?;
    let tools = client.list_all_tools().await?;
    let mut names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "add_todo",
            "complete_todo",
            "delete_todo",
            "get_todo",
            "list_todos"
        ]
    );
    let add = tools.iter().find(|tool| tool.name == "add_todo").unwrap();
    let text = add.input_schema["required"][0].as_str().unwrap();
    let arguments = serde_json::json!({ text: "written by rmcp" });
    client
        .call_tool(
            CallToolRequestParams::new("add_todo")
                .with_arguments(arguments.as_object().unwrap().clone()),
        )
        .await?;

    let renewed = secrets(&http.auth_manager.lock().await.refresh_token().await?);
    assert_ne!(granted.0, renewed.0, "the access token is another one");
    assert_ne!(granted.1, renewed.1, "the refresh token is another one");
    let listed = client
        .call_tool(CallToolRequestParams::new("list_todos"))
        .await?;
    assert!(
        format!("{listed:?}").contains("written by rmcp"),
        "{listed:?}"
    );
    client.cancel().await?;

    let (status, _) = up.stop().await?;
    assert!(status.success(), "{status}");
    Ok(())
}

fn secrets(token: &rmcp::transport::auth::OAuthTokenResponse) -> (String, String) {
    let json = serde_json::to_value(token).unwrap();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}
