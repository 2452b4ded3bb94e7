//! Rules on the clients of a host, from the document to the call: the host's own client, and a program on somebody's machine that
//! names the same document.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use base::{Digest, base64url_decode};
use common::serving::{Node, done, run, token};
use common::{EMAIL, Home, PASSWORD};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::echo::{Echo, EchoSettings};
use testkit::person::Person;
use testkit::{Connection, DocumentHost, McpClient, unused_port};
use url::Url;

const PATH: &str = "/oauth.json";
/// A tool that writes.
const TOOL: &str = "write_note";
const LOCAL: &str = "http://127.0.0.1:9/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A node with one MCP server, and the host of a client's document.
struct Rig {
    home: Home,
    config: std::path::PathBuf,
    public: u16,
    node: Node,
    host: DocumentHost,
    echo: Echo,
}

impl Rig {
    async fn start() -> Self {
        let (home, public) = (Home::new(), unused_port().await);
        let host = DocumentHost::start().await;
        let document = json!({
            "client_id": host.url(PATH),
            "client_name": "Example",
            "redirect_uris": [LOCAL, host.url("/callback")],
            "token_endpoint_auth_method": "none",
        });
        host.set_json(PATH, &document);
        let echo = Echo::start(EchoSettings {
            record: true,
            ..EchoSettings::default()
        })
        .await;
        let ca_file = home.write("ca.pem", host.ca_pem());
        let config = home.write(
            "portcullis.toml",
            &format!(
                "public_url = \"http://localhost:{public}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{public}\"]\n\
                 [operations]\nlisten = [\"127.0.0.1:0\"]\n[egress]\nca_file = {ca_file:?}\n",
                home.data()
            ),
        );
        let node = Node::start(&home, &config).await;
        let add = ["users", "add", EMAIL, "--password-stdin"];
        assert_eq!(run(&home, &config, &add, PASSWORD).await.code, 0);
        let rig = Self {
            home,
            config,
            public,
            node,
            host,
            echo,
        };
        let (at, of_host) = (rig.echo.url(), rig.of_host());
        rig.done(&["servers", "add", "todo", &at]).await;
        rig.done(&["servers", "set", "todo", "--mode", "enforce"])
            .await;
        // Everybody may read; to read is not to write.
        let role = [
            "roles",
            "add",
            "todo",
            "reader",
            "--scope",
            "todo:read",
            "--default",
        ];
        rig.done(&role).await;
        let rule = [
            "rules", "add", "todo", "allow", "--host", &of_host, "--tool", TOOL,
        ];
        rig.done(&rule).await;
        rig
    }

    /// As rules name it.
    fn of_host(&self) -> String {
        self.host.url("").replace("https://", "")
    }

    async fn done(&self, arguments: &[&str]) -> String {
        done(&self.home, &self.config, arguments).await
    }

    /// The tokens of whoever names the document and is called back at `redirect_uri`.
    async fn signed_in(&self, redirect_uri: &str) -> Value {
        let at = format!("localhost:{}", self.public);
        let mut authorize = Url::parse(&format!("http://{at}/servers/todo/authorize")).unwrap();
        authorize
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.host.url(PATH))
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_challenge", &Digest::of(VERIFIER).to_text())
            .append_pair("code_challenge_method", "S256");
        let mut connection = Connection::open(&at).await.unwrap();
        let returned = Person::visit(&mut connection, &authorize, EMAIL, PASSWORD).await;
        let returned = returned.unwrap();
        assert!(returned.as_str().starts_with(redirect_uri), "{returned}");
        let mut pairs = returned.query_pairs();
        let (_, code) = pairs.find(|(name, _)| name == "code").unwrap();
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn refreshed(&self, tokens: &Value) -> Value {
        let refresh_token = tokens["refresh_token"].as_str().unwrap();
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ])
        .await
    }

    async fn token(&self, fields: &[(&str, &str)]) -> Value {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &self.host.url(PATH));
        form.extend_pairs(fields);
        let at = format!("localhost:{}", self.public);
        let mut connection = Connection::open(&at).await.unwrap();
        let answer = token(&mut connection, &form.finish()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        serde_json::from_slice(answer.body()).unwrap()
    }

    /// Whether the tool is in the list of this token's bearer and answers a call; both or neither.
    async fn reaches(&self, tokens: &Value) -> bool {
        let token = tokens["access_token"].as_str().unwrap();
        let resource = format!("http://localhost:{}/mcp/todo", self.public);
        let client = McpClient::new(resource).with_bearer(token);
        let names = client.tool_names().await;
        assert!(names.iter().any(|name| name == "echo"), "{names:?}");
        let is_listed = names.iter().any(|name| name == TOOL);
        self.echo.forget_requests();
        let called = client.call_tool(TOOL, json!({"a": 1})).await;
        let is_answered = called.result().is_object();
        assert_eq!(is_listed, is_answered, "{called:?}");
        assert_eq!(!self.echo.requests().is_empty(), is_answered);
        is_answered
    }

    /// How many of the recorded calls the policy before the rule would deny that are allowed now. Waits until there are more
    /// than so many.
    async fn taken_without_the_rule(&self, calls: i64) -> i64 {
        let json = async |arguments: &[&str]| -> Value {
            let text = self.done(&[arguments, &["--json"]].concat()).await;
            serde_json::from_str(&text).unwrap()
        };
        let shown = json(&["policy", "show", "todo"]).await;
        let before = shown["revision"].as_i64().unwrap() - 1;
        let began = Instant::now();
        loop {
            let preview = [
                "policy",
                "preview",
                "todo",
                "--revision",
                &before.to_string(),
            ];
            let replay = json(&preview).await["replay"].clone();
            if replay["calls"].as_i64().unwrap() > calls {
                return replay["denied"].as_i64().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{replay}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Until the bearer of these tokens does so or does not.
    async fn felt(&self, tokens: &Value, reaches: bool) {
        let began = Instant::now();
        while self.reaches(tokens).await != reaches {
            assert!(began.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_program_that_names_the_document_of_a_host_has_nothing_that_a_rule_gives_to_clients_of_that_host()
 {
    let rig = Rig::start().await;
    let local = rig.signed_in(LOCAL).await;
    assert!(!rig.reaches(&local).await);
    // The preview knows: without the rule nothing would be taken from the program.
    assert_eq!(rig.taken_without_the_rule(0).await, 0);
    let hosted = rig.signed_in(&rig.host.url("/callback")).await;
    rig.felt(&hosted, true).await;
    assert!(rig.taken_without_the_rule(1).await > 0);
    // Both say that they are the same client.
    for tokens in [&hosted, &local] {
        let claims = claims(tokens);
        assert_eq!(claims["client_id"], rig.host.url(PATH));
        let is_proven = std::ptr::eq(tokens, &raw const hosted);
        assert_eq!(claims["client_proven"].as_bool(), is_proven.then_some(true));
    }
    for (tokens, reaches) in [(&hosted, true), (&local, false)] {
        let refreshed = rig.refreshed(tokens).await;
        assert_eq!(rig.reaches(&refreshed).await, reaches);
        let again = rig.refreshed(&refreshed).await;
        assert_eq!(rig.reaches(&again).await, reaches);
    }
    rig.node.stop().await;
}

#[tokio::test]
async fn what_a_rule_takes_from_clients_of_a_host_no_program_has_that_names_its_document() {
    let rig = Rig::start().await;
    let everybody = ["rules", "add", "todo", "allow", "--tool", TOOL];
    rig.done(&everybody).await;
    let hosted = rig.signed_in(&rig.host.url("/callback")).await;
    let local = rig.signed_in(LOCAL).await;
    for tokens in [&hosted, &local] {
        rig.felt(tokens, true).await;
    }
    let of_host = rig.of_host();
    let rule = [
        "rules", "add", "todo", "deny", "--host", &of_host, "--tool", TOOL,
    ];
    rig.done(&rule).await;
    for tokens in [&hosted, &local] {
        rig.felt(tokens, false).await;
    }
    rig.node.stop().await;
}

fn claims(tokens: &Value) -> Value {
    let token = tokens["access_token"].as_str().unwrap();
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64url_decode(claims).unwrap()).unwrap()
}
