//! node-oidc-provider as the issuer of the tokens of an MCP server: the bundled todo server behind `portcullis serve`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use stack_tests::fleet::{Node, Role};
use stack_tests::{Up, binary, run_beside};
use testkit::McpClient;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::driver::tests;

const LIMIT: Duration = Duration::from_secs(60);

/// The issuer. Killed when dropped.
struct Provider {
    issuer: String,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Provider {
    async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(tests().join("node_modules/.bin/node"))
            .arg(tests().join("interop/node_oidc_provider.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut provider = Self {
            issuer: String::new(),
            stdin,
            lines: BufReader::new(stdout).lines(),
            _child: child,
        };
        provider.issuer = text(&provider.line().await?, "issuer")?;
        Ok(provider)
    }

    async fn line(&mut self) -> anyhow::Result<Value> {
        loop {
            let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await;
            let line = line??.context("the issuer ended")?;
            // Its library has words of its own for whoever develops with it.
            if line.starts_with('{') {
                return Ok(serde_json::from_str(&line)?);
            }
        }
    }

    async fn act(&mut self, wish: Value) -> anyhow::Result<Value> {
        self.stdin.write_all(format!("{wish}\n").as_bytes()).await?;
        let said = self.line().await?;
        ensure!(said["error"].is_null(), "{said}");
        Ok(said)
    }

    /// A token that `act` gets through `client`, which is also how it looks: `jwt` or `opaque`.
    async fn token(&mut self, act: &str, client: &str, resource: &str) -> anyhow::Result<String> {
        let wish = json!({"act": act, "client": client, "resource": resource});
        text(&self.act(wish).await?, "token")
    }

    async fn revoke(&mut self, client: &str, token: &str) -> anyhow::Result<()> {
        let wish = json!({"act": "revoke", "client": client, "token": token});
        self.act(wish).await.map(drop)
    }
}

fn text(said: &Value, name: &str) -> anyhow::Result<String> {
    let text = said[name].as_str().with_context(|| said.to_string())?;
    Ok(text.to_owned())
}

/// A node in front of the todo server, told anew in each life how it finds out whether a token is good.
struct World {
    provider: Provider,
    node: Node,
    config: std::path::PathBuf,
    public_url: String,
    resource: String,
    /// A token of our own authority's.
    own_issuer: String,
    data: tempfile::TempDir,
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let provider = Provider::start().await?;
        let data = tempfile::tempdir()?;
        let up = Up::start(&data.path().join("data"), &[], &[]).await?;
        let ready = up.ready.clone();
        up.stop().await?;
        let config = data.path().join("portcullis.toml");
        let node = Node::new(
            Role::All,
            config.clone(),
            data.path().join("serve.log"),
            ready.address().replace("localhost", "127.0.0.1"),
            String::new(),
        );
        Ok(Self {
            provider,
            node,
            config,
            public_url: ready.authority_url,
            resource: ready.mcp_url,
            own_issuer: ready.issuer,
            data,
        })
    }

    async fn begin(&mut self, validation: &str) -> anyhow::Result<()> {
        if self.node.id().is_some() {
            self.node.stop().await?;
        }
        let text = format!(
            "public_url = {:?}\ndata_dir = {:?}\n[listen]\naddresses = [{:?}]\n[[issuers]]\nserver = \"todo\"\nurl = {:?}\n\
             roles_claim = \"groups\"\nrole_names = [\"mcp-people=readers\"]\n{validation}\n",
            self.public_url,
            self.data.path().join("data"),
            self.node.door,
            self.provider.issuer,
        );
        std::fs::write(&self.config, text)?;
        self.node.start(binary()).await
    }

    fn client(&self, token: &str) -> McpClient {
        McpClient::new(self.resource.clone()).with_bearer(token)
    }

    /// The status of the first thing that any client asks.
    async fn status(&self, token: &str) -> u16 {
        self.client(token).initialize().await.status.as_u16()
    }

    async fn tools(&self, token: &str) -> anyhow::Result<Vec<String>> {
        let mut client = self.client(token);
        let answer = client.initialize().await;
        ensure!(
            answer.status == 200,
            "{}: {}",
            answer.status,
            self.node.log()
        );
        let mut names = client.tool_names().await;
        names.sort();
        Ok(names)
    }
}

const ASKED: &str = "introspection_client_id = \"gateway\"\nintrospection_client_secret = \"the gateway asks\"\n\
                     introspection_kept = \"1s\"\nintrospection_without_subject = true";
/// What the role of `mcp-people` permits, whatever a token would.
const READING: [&str; 2] = ["get_todo", "list_todos"];
/// Longer than a yes counts.
const KEPT: Duration = Duration::from_millis(1_200);

/// Through discovery, keys, claims, roles and revocation, as the program itself has them.
#[tokio::test]
#[ignore = "needs node-oidc-provider, which cargo xtask test installs"]
async fn node_oidc_provider_issues_the_tokens_of_an_mcp_server() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let (resource, elsewhere) = (world.resource.clone(), "https://other.example/mcp");

    world.begin("").await?;
    let jwt = world.provider.token("machine", "jwt", &resource).await?;
    let foreign = world.provider.token("machine", "jwt", elsewhere).await?;
    let opaque = world.provider.token("machine", "opaque", &resource).await?;
    let all = world.tools(&jwt).await?;
    ensure!(all.contains(&"add_todo".to_owned()), "{all:?}");
    let added = world.client(&jwt);
    let mut added_by = added.clone();
    added_by.initialize().await;
    let added = added_by
        .call_tool("add_todo", json!({"title": "by a machine"}))
        .await;
    ensure!(added.result()["isError"] != true, "{:?}", added.result());
    ensure!(world.status(&foreign).await == 401);
    ensure!(world.status(&opaque).await == 401);

    // Whoever asks for the metadata is sent there.
    let answer = world.client(&foreign).initialize().await;
    let challenge = answer.headers["www-authenticate"].to_str()?;
    let url = challenge
        .split("resource_metadata=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .context("a challenge names the metadata")?;
    let metadata: Value = reqwest::get(url).await?.json().await?;
    ensure!(
        metadata["authorization_servers"] == json!([world.provider.issuer]),
        "{metadata}"
    );
    ensure!(world.own_issuer != world.provider.issuer);

    // A person signs in there, and the policy here decides by the role that their group is given.
    run_beside(
        binary(),
        &world.config,
        &["roles", "add", "todo", "readers", "--scope", "todo:read"],
        "",
    )
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let person = world.provider.token("person", "jwt", &resource).await?;
    ensure!(world.tools(&person).await? == READING);
    ensure!(
        world.tools(&jwt).await? == all,
        "a machine has what its issuer gave it"
    );

    world
        .begin(&format!("validation = \"introspection\"\n{ASKED}"))
        .await?;
    let foreign = world.provider.token("machine", "opaque", elsewhere).await?;
    let person = world.provider.token("person", "opaque", &resource).await?;
    ensure!(world.tools(&opaque).await? == all);
    ensure!(world.tools(&person).await? == READING);
    ensure!(world.status(&foreign).await == 401);
    ensure!(world.status("made-up").await == 401);
    // It does not answer about JWTs, and what is not answered is never a yes.
    ensure!(world.status(&jwt).await == 503);
    for (client, token) in [("opaque", &opaque), ("opaque", &person)] {
        world.provider.revoke(client, token).await?;
        tokio::time::sleep(KEPT).await;
        ensure!(world.status(token).await == 401);
    }

    world
        .begin(&format!("validation = \"either\"\n{ASKED}"))
        .await?;
    let opaque = world.provider.token("machine", "opaque", &resource).await?;
    ensure!(world.tools(&jwt).await? == all);
    ensure!(world.tools(&opaque).await? == all);
    let broken = format!("{}A{}", &jwt[..jwt.len() - 10], &jwt[jwt.len() - 9..]);
    ensure!(broken == jwt || world.status(&broken).await == 401);

    let beside = format!(
        "introspection_endpoint = \"{}/signed/introspection\"",
        world.provider.issuer
    );
    world
        .begin(&format!("validation = \"both\"\n{ASKED}\n{beside}"))
        .await?;
    let foreign = world.provider.token("machine", "jwt", elsewhere).await?;
    ensure!(world.tools(&jwt).await? == all);
    ensure!(world.status(&foreign).await == 401);
    ensure!(world.status(&opaque).await == 401);
    world.provider.revoke("jwt", &jwt).await?;
    tokio::time::sleep(KEPT).await;
    ensure!(world.status(&jwt).await == 401);

    world.node.stop().await?;
    println!(
        "figure: node-oidc-provider 9.13.3, issuer of the todo server: jwt, introspection, either, both; a person and a machine, roles, \
         another audience, revoked"
    );
    Ok(())
}
