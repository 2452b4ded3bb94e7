//! An MCP server that protects itself with the library, and the authority that decides for it: no gateway between them.

use axum::Router;
use sdk::Protection;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// The example with rmcp, in this process, and an authority in another.
pub struct Todo {
    pub home: Home,
    public: u16,
    pub of_authority: PathBuf,
    authority: Option<Node>,
    credential: String,
    port: u16,
    serving: JoinHandle<()>,
}

impl Drop for Todo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Todo {
    pub async fn start() -> Self {
        let home = Home::new();
        let public = unused_port().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let of_authority = home.write(
            "authority.toml",
            &format!(
                "public_url = \"http://localhost:{public}\"\nrole = \"authority\"\ndata_dir = {:?}\n\
                 [listen]\naddresses = [\"127.0.0.1:{public}\"]\n[operations]\nlisten = [\"127.0.0.1:0\"]\n",
                home.data()
            ),
        );
        let authority = Node::start(&home, &of_authority).await;
        let add = ["users", "add", EMAIL, "--password-stdin"];
        assert_eq!(run(&home, &of_authority, &add, PASSWORD).await.code, 0);
        let resource = format!("http://localhost:{port}/mcp");
        let add = [
            "servers", "add", "todo", &resource, "--url", &resource, "--unseen",
        ];
        done(&home, &of_authority, &add).await;
        let credential = done(&home, &of_authority, &["servers", "credential", "todo"]).await;

        let issuer = format!("http://localhost:{public}/servers/todo");
        let protection = Protection::for_resource(&resource)
            .authority(&issuer, credential.trim())
            .policy(example_todo::policy())
            .start()
            .unwrap();
        let app = Router::new().fallback_service(protection.protect(example_todo::mcp()));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        tokio::time::timeout(PATIENCE, protection.ready())
            .await
            .unwrap();
        let todo = Self {
            home,
            public,
            of_authority,
            authority: Some(authority),
            credential,
            port,
            serving,
        };
        todo.mapped().await;
        todo
    }

    async fn connection(&self) -> Connection {
        let address = format!("localhost:{}", self.public);
        Connection::open(&address).await.unwrap()
    }

    /// Until the authority has heard what there is.
    async fn mapped(&self) {
        let mut authority = self.connection().await;
        let began = Instant::now();
        let path = "/.well-known/oauth-authorization-server/servers/todo";
        loop {
            let metadata = json(&mut authority, path).await;
            if metadata["scopes_supported"]
                .to_string()
                .contains("todo:urgent")
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{metadata}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn signed_in(&self) -> (Person, Value) {
        self.signed_in_as(EMAIL).await
    }

    pub async fn signed_in_as(&self, email: &str) -> (Person, Value) {
        let mut authority = self.connection().await;
        let issuer = format!("http://localhost:{}/servers/todo", self.public);
        let signing_in = Person::sign_in(&mut authority, &issuer, email, PASSWORD);
        let (person, code) = signing_in.await.unwrap();
        let form = person.exchange_form(&code);
        let answer = token_of(&mut authority, "todo", &form).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        (person, serde_json::from_slice(answer.body()).unwrap())
    }

    /// A token of the same grant with fewer scopes.
    async fn narrowed(&self, person: &Person, tokens: &Value, scope: &str) -> String {
        let form = person.refresh_form(tokens["refresh_token"].as_str().unwrap());
        let form = format!("{form}&scope={}", scope.replace(' ', "+"));
        let answer = token_of(&mut self.connection().await, "todo", &form).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        let tokens: Value = serde_json::from_slice(answer.body()).unwrap();
        access(&tokens).to_owned()
    }

    pub async fn revoke(&self, person: &Person, token: &str) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("client_id", &person.client_id)
            .finish();
        let request = Request::post("/servers/todo/revoke")
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = self.connection().await.send(request, form).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    pub fn client(&self, token: &str) -> McpClient {
        let client = McpClient::new(format!("http://localhost:{}/mcp", self.port));
        match token {
            "" => client,
            token => client.with_bearer(token),
        }
    }

    async fn names(&self, token: &str) -> Vec<String> {
        let mut names = self.client(token).tool_names().await;
        names.sort();
        names
    }

    async fn felt(&self, token: &str, wanted: StatusCode, within: Duration) {
        let began = Instant::now();
        loop {
            let answer = self.client(token).call_tool("list_todos", json!({})).await;
            if answer.status == wanted {
                return;
            }
            assert!(
                began.elapsed() < within,
                "{} instead of {wanted}",
                answer.status
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// What the manifest's answer says when the server enforces one scope more.
    async fn told(&self, manifest: Value) -> Value {
        let pair = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            self.credential.trim(),
        );
        let request = Request::post("/servers/todo/manifest")
            .header("content-type", "application/json")
            .header("authorization", format!("Basic {pair}"));
        let sent = self
            .connection()
            .await
            .send(request, manifest.to_string())
            .await;
        serde_json::from_slice(sent.unwrap().body()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_protects_itself_lives_on_its_authority() {
    let mut todo = Todo::start().await;
    let anonymous = todo.client("").call_tool("list_todos", json!({})).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    let challenge = anonymous.headers["www-authenticate"].to_str().unwrap();
    let metadata = format!(
        "localhost:{}/.well-known/oauth-protected-resource/mcp",
        todo.port
    );
    assert!(challenge.contains(&metadata), "{challenge}");

    // Everything that was asked for, and then less.
    let (person, tokens) = todo.signed_in().await;
    let all = access(&tokens);
    let names = todo.names(all).await;
    assert_eq!(names, ["add_todo", "delete_todos", "list_todos"]);
    let urgent = json!({"title": "Call back", "urgent": true});
    let added = todo.client(all).call_tool("add_todo", urgent.clone()).await;
    let list = added.result()["structuredContent"]["todos"].clone();
    assert_eq!(list, json!([{"title": "Call back", "urgent": true}]));
    let narrow = todo
        .narrowed(&person, &tokens, "todo:read todo:write")
        .await;
    let client = todo.client(&narrow);
    assert_eq!(todo.names(&narrow).await, ["add_todo", "list_todos"]);
    for (tool, arguments) in [("delete_todos", json!({})), ("add_todo", urgent)] {
        let refused = client.call_tool(tool, arguments).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{tool}");
        let challenge = refused.headers["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
    let unknown = client.call_tool("forget_everything", json!({})).await;
    let words = unknown.response()["error"]["message"].clone();
    assert_eq!(words, "Unknown tool: forget_everything");

    // The policy is what people set there from now on.
    let (neighbour, of_neighbour) = todo.signed_in().await;
    let of_neighbour = access(&of_neighbour);
    let deny = ["tools", "map", "todo", "add_todo", "--deny"];
    done(&todo.home, &todo.of_authority, &deny).await;
    let began = Instant::now();
    while todo.names(of_neighbour).await.len() > 2 {
        assert!(began.elapsed() < FELT_WITHIN);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let manifest = json!({"inventory": {}, "scopes": {"todo:read": "", "todo:share": "Share"}});
    let answer = todo.told(manifest).await;
    assert_eq!(
        answer["undeclared_scopes"],
        json!(["todo:share"]),
        "{answer}"
    );

    // One is revoked, the neighbour goes on, also while the authority is away.
    todo.revoke(&person, &narrow).await;
    todo.felt(&narrow, StatusCode::UNAUTHORIZED, FELT_WITHIN)
        .await;
    todo.felt(of_neighbour, StatusCode::OK, Duration::ZERO)
        .await;
    todo.authority.take().unwrap().child.kill().await.unwrap();
    todo.felt(of_neighbour, StatusCode::OK, Duration::ZERO)
        .await;
    todo.felt(&narrow, StatusCode::UNAUTHORIZED, Duration::ZERO)
        .await;
    todo.authority = Some(Node::start(&todo.home, &todo.of_authority).await);
    todo.revoke(&neighbour, of_neighbour).await;
    todo.felt(of_neighbour, StatusCode::UNAUTHORIZED, PATIENCE)
        .await;
}
