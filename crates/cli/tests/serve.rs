//! `portcullis serve`: what the configuration says is what runs, and several nodes answer as one.
#![allow(clippy::unwrap_used)]

mod applying;
mod common;
mod policies;

use common::serving::{Node, config, done, felt, json, postgres, run, status, token};
use common::{EMAIL, Home, PASSWORD};
use http::{Request, StatusCode, header};
use serde_json::Value;
use testkit::echo::{Echo, EchoSettings};
use testkit::person::Person;
use testkit::unused_port;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_is_what_runs_and_it_is_the_same_after_a_restart() {
    let home = Home::new();
    let (public, admin) = (unused_port().await, unused_port().await);
    let text = format!(
        "data_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{public}\"]\n[admin]\nlisten = [\"127.0.0.1:{admin}\"]\n",
        home.data()
    );
    let config = config(&home, "portcullis.toml", public, &text);
    let early = run(&home, &config, &["users", "list"], "").await;
    assert_eq!(early.code, 1);
    assert!(
        early.stderr.contains("no authority has been started"),
        "{}",
        early.stderr
    );

    let node = Node::start(&home, &config).await;
    let add = ["users", "add", EMAIL, "--password-stdin"];
    assert_eq!(run(&home, &config, &add, PASSWORD).await.code, 0);
    let added = done(&home, &config, &["servers", "add", "todo", "todo"]).await;
    assert!(
        added.contains(&format!("http://localhost:{public}/mcp/todo")),
        "{added}"
    );
    // One that was looked at, and one whose upstream nobody listens at, so that what it has was never seen.
    let echo = Echo::start(EchoSettings::default()).await;
    let near = echo.url();
    done(&home, &config, &["servers", "add", "near", &near]).await;
    let far = "http://127.0.0.1:9/mcp";
    done(&home, &config, &["servers", "add", "far", far, "--unseen"]).await;
    let listed = done(&home, &config, &["servers", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let facts: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|server| (&server["slug"], &server["mapped"], server["tools"] == 0))
        .collect();
    assert_eq!(
        serde_json::json!(facts),
        serde_json::json!([
            ["far", false, true],
            ["near", true, false],
            ["todo", false, true]
        ])
    );
    assert_eq!(listed[0]["upstream"]["url"], far);
    assert_eq!(
        listed[2]["url"],
        format!("http://localhost:{public}/mcp/todo")
    );
    let set = ["servers", "set", "todo", "--access-token", "30m"];
    done(&home, &config, &set).await;
    let shown = done(&home, &config, &["servers", "show", "todo", "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["settings"]["access-token"], "30m");
    assert_eq!(listed[2]["settings"]["access-token"], "1h");
    let told = done(&home, &config, &["servers", "list"]).await;
    assert!(told.contains("not seen yet"), "{told}");
    let kept = home.path("authority.toml");
    let export = ["export", kept.to_str().unwrap()];
    done(&home, &config, &export).await;
    let exported = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(done(&home, &config, &["export"]).await, exported);
    for part in [
        "[servers.far.upstream]",
        "access-token = \"30m\"",
        "[servers.near.policy.tools.",
    ] {
        assert!(exported.contains(part), "{part}: {exported}");
    }
    assert!(
        exported.contains(&format!("[people.\"{EMAIL}\"]")),
        "{exported}"
    );
    assert!(!exported.contains("argon2"), "{exported}");
    for slug in ["near", "far"] {
        done(&home, &config, &["servers", "remove", slug, "--yes"]).await;
    }
    node.stop().await;

    let node = Node::start(&home, &config).await;
    let mut out = node.open("listen").await;
    let mut inside = node.open("admin_listen").await;
    let metadata = json(
        &mut out,
        "/.well-known/oauth-authorization-server/servers/todo",
    )
    .await;
    assert_eq!(
        metadata["issuer"],
        format!("http://localhost:{public}/servers/todo")
    );
    let found = StatusCode::OK;
    let nothing = StatusCode::NOT_FOUND;
    let elsewhere = StatusCode::SEE_OTHER;
    for (path, publicly, at_the_dashboard) in [
        ("/sign-in", found, found),
        ("/admin", elsewhere, elsewhere),
        ("/setup", nothing, StatusCode::GONE),
        ("/jwks.json", found, nothing),
        ("/mcp/todo", StatusCode::UNAUTHORIZED, nothing),
        ("/servers/todo/authorize", StatusCode::BAD_REQUEST, nothing),
    ] {
        assert_eq!(status(&mut out, path).await, publicly, "{path}");
        let inside = status(&mut inside, path).await;
        assert_eq!(inside, at_the_dashboard, "{path}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_while_it_runs_and_operators_see_how_it_is() {
    let home = Home::new();
    let public = unused_port().await;
    let echo = Echo::start(EchoSettings::default()).await;
    let text = format!(
        "data_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:{public}\"]\n[operations]\nlisten = [\"127.0.0.1:0\"]\n",
        home.data()
    );
    let config = config(&home, "portcullis.toml", public, &text);
    let node = Node::start(&home, &config).await;
    let mut out = node.open("listen").await;
    let mut inside = node.open("operations_listen").await;
    let nothing = StatusCode::NOT_FOUND;
    assert_eq!(status(&mut out, "/mcp/echo").await, nothing);
    let elsewhere = "https://mcp.example.com/tools";
    let echo_url = echo.url();
    done(&home, &config, &["servers", "add", "echo", &echo_url]).await;
    let add = ["servers", "add", "far", &echo_url, "--url", elsewhere];
    done(&home, &config, &add).await;
    felt(&mut out, "/mcp/echo", StatusCode::UNAUTHORIZED).await;
    // The other one answers where people type it, and nowhere else.
    assert_eq!(status(&mut out, "/mcp/far").await, nothing);
    out.authority = "mcp.example.com".to_owned();
    felt(&mut out, "/tools", StatusCode::UNAUTHORIZED).await;
    let metadata = json(&mut out, "/.well-known/oauth-protected-resource/tools").await;
    assert_eq!(metadata["resource"], elsewhere);
    assert_eq!(status(&mut out, "/mcp/echo").await, nothing);
    out.authority = format!("localhost:{public}");

    assert_eq!(status(&mut inside, "/healthz").await, StatusCode::OK);
    let ready = json(&mut inside, "/readyz").await;
    assert_eq!(ready["ready"], true, "{ready}");
    let metrics = inside.send(Request::get("/metrics"), "").await.unwrap();
    let metrics = String::from_utf8(metrics.body().to_vec()).unwrap();
    let refused =
        "portcullis_calls_total{server=\"echo\",method=\"GET\",outcome=\"unauthenticated\"";
    assert!(metrics.contains(refused), "{metrics}");
    // Counted from the first write on, and ready without anybody having asked /readyz.
    for counted in ["portcullis_store_group_writes_count", "portcullis_ready 1"] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
    assert_eq!(status(&mut out, "/metrics").await, nothing);

    done(&home, &config, &["servers", "remove", "echo", "--yes"]).await;
    felt(&mut out, "/mcp/echo", nothing).await;
    let again = run(&home, &config, &["servers", "add", "echo", &echo_url], "").await;
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert!(
        again.stderr.contains("never given again"),
        "{}",
        again.stderr
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_origin_has_its_cookies_and_a_hang_up_ends_nothing() {
    let home = Home::new();
    let admin = unused_port().await;
    let text = format!(
        "public_url = \"https://mcp.example.com\"\ndata_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:0\"]\n\
         [admin]\nlisten = [\"127.0.0.1:{admin}\"]\n",
        home.data()
    );
    let config = home.write("portcullis.toml", &text);
    let node = Node::start(&home, &config).await;
    let pid = node.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status().await;
    assert!(sent.unwrap().success());

    let mut out = node.open("listen").await;
    let mut inside = node.open("admin_listen").await;
    let inner_name = inside.authority.clone();
    out.authority = "mcp.example.com".to_owned();
    // A browser keeps a cookie with `Secure` only where it trusts the connection.
    for (connection, secure) in [(&mut out, true), (&mut inside, false)] {
        let answer = connection.send(Request::get("/sign-in"), "").await.unwrap();
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        assert_eq!(cookie.starts_with("__Host-"), secure, "{cookie}");
        assert_eq!(cookie.contains("Secure"), secure, "{cookie}");
    }
    // Neither answers under the name of the other.
    out.authority = inner_name;
    inside.authority = "mcp.example.com".to_owned();
    for connection in [&mut out, &mut inside] {
        let misdirected = status(connection, "/sign-in").await;
        assert_eq!(misdirected, StatusCode::MISDIRECTED_REQUEST);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_before_anything_is_made() {
    let home = Home::new();
    let data = home.data();
    for (text, said) in [
        (
            "[listen]\nadresses = []\n",
            "did you mean listen.addresses?",
        ),
        ("[listen]\naddresses = []\n", "name at least one address"),
        (
            "[limits]\ndrain = \"5\"\n",
            "limits.drain: write a number and its unit",
        ),
        (
            "[database]\nurl = \"postgres://me:hunter2@127.0.0.1:1/x\"\n",
            "keys.master_key_file is missing",
        ),
    ] {
        let text = format!("data_dir = {data:?}\n{text}");
        let config = config(&home, "portcullis.toml", 4180, &text);
        for arguments in [["serve"].as_slice(), &["config", "check"]] {
            let ran = run(&home, &config, arguments, "").await;
            assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(said), "{}", ran.stderr);
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        }
    }
    assert!(!data.exists());
    let ran = home.run(&["serve"]).await;
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("serve needs --config"),
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_one_data_directory_and_another_origin_are_refused() {
    let home = Home::new();
    let text = format!(
        "data_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:0\"]\n",
        home.data()
    );
    let first = config(&home, "first.toml", 4180, &text);
    let node = Node::start(&home, &first).await;
    let second = run(&home, &first, &["serve"], "").await;
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("is in use"), "{}", second.stderr);
    node.stop().await;
    let moved = config(&home, "moved.toml", 4181, &text);
    let refused = run(&home, &moved, &["serve"], "").await;
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("is at http://localhost:4180"),
        "{}",
        refused.stderr
    );
    Node::start(&home, &first).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_postgres_take_any_step_of_any_flow() {
    let Some(url) = postgres() else {
        return;
    };
    let home = Home::new();
    let public = unused_port().await;
    let schema = format!("serve_{public}");
    let key = home.write("master.key", &format!("{}\n", base::base64url([7; 32])));
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, permissions).unwrap();
    let node_config = |name: &str| {
        let text = format!(
            "data_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:0\"]\n[database]\nurl = {url:?}\nschema = {schema:?}\n\
             [keys]\nmaster_key_file = {key:?}\n",
            home.path(name)
        );
        config(&home, &format!("{name}.toml"), public, &text)
    };
    let (left, right) = (node_config("left"), node_config("right"));
    // Both make the tables, the keys and the identity at once.
    let (first, second) = tokio::join!(Node::start(&home, &left), Node::start(&home, &right));
    let add = ["users", "add", EMAIL, "--password-stdin"];
    let ran = run(&home, &left, &add, PASSWORD).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    done(&home, &right, &["servers", "add", "todo", "todo"]).await;
    first.stop().await;
    second.stop().await;

    let (first, second) = tokio::join!(Node::start(&home, &left), Node::start(&home, &right));
    // As behind a balancer: the name that clients know, and any node.
    let mut one = first.open("listen").await;
    let mut other = second.open("listen").await;
    for connection in [&mut one, &mut other] {
        connection.authority = format!("localhost:{public}");
    }
    assert_eq!(
        json(&mut one, "/jwks.json").await,
        json(&mut other, "/jwks.json").await
    );
    let exported = done(&home, &left, &["export"]).await;
    assert!(exported.contains("[servers.todo]"), "{exported}");
    assert_eq!(done(&home, &right, &["export"]).await, exported);
    let issuer = format!("http://localhost:{public}/servers/todo");
    // Registered, signed in and approved at one node; the code redeemed at the other.
    let (person, code) = Person::sign_in(&mut one, &issuer, EMAIL, PASSWORD)
        .await
        .unwrap();
    let form = person.exchange_form(&code);
    let answer = token(&mut other, &form).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let again = token(&mut one, &form).await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST, "spent is spent");
    // A replay with the right client and verifier ends the family, at every node.
    let tokens: Value = serde_json::from_slice(answer.body()).unwrap();
    let refresh = person.refresh_form(tokens["refresh_token"].as_str().unwrap());
    for connection in [&mut one, &mut other] {
        let answer = token(connection, &refresh).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    // Approved at the other node with the sign-in of the first, redeemed at one, refreshed at both.
    let code = person.approve(&mut other).await.unwrap();
    let answer = token(&mut one, &person.exchange_form(&code)).await;
    let tokens: Value = serde_json::from_slice(answer.body()).unwrap();
    let refresh = person.refresh_form(tokens["refresh_token"].as_str().unwrap());
    let mut successors = Vec::new();
    for connection in [&mut other, &mut one] {
        let answer = token(connection, &refresh).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        successors.push(answer["refresh_token"].clone());
    }
    assert_eq!(successors[0], successors[1], "one successor, at every node");
    first.stop().await;
    second.stop().await;
}

/// Everything that a node reads when it starts is there.
struct Whole {
    home: Home,
    text: String,
}

impl Whole {
    fn new() -> Self {
        let home = Home::new();
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let private = |name: &str, text: &str| {
            let path = home.write(name, text);
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, permissions).unwrap();
            path
        };
        let pem = certificate.cert.pem();
        let certificate_file = home.write("certificate.pem", &pem);
        let key_file = private("key.pem", &certificate.signing_key.serialize_pem());
        let master = private("master.key", &format!("{}\n", "A".repeat(43)));
        let headers = private("headers", "api-key: hunter2\n");
        private("short.key", "AAAA\n");
        home.write("a-file", "");
        let text = format!(
            "public_url = \"https://localhost:4180\"\ndata_dir = {:?}\n\
             listen.addresses = [\"127.0.0.1:0\"]\nlog.filter = \"warn\"\n\
             keys.master_key_file = {master:?}\negress.ca_file = {certificate_file:?}\n\
             traces.endpoint = \"http://127.0.0.1:9\"\ntraces.headers_file = {headers:?}\n\
             [[tls.certificates]]\ncertificate_file = {certificate_file:?}\nkey_file = {key_file:?}\n",
            home.data()
        );
        Self { home, text }
    }

    /// The configuration with one line in the place of another.
    fn with(&self, setting: &str, line: &str) -> std::path::PathBuf {
        let path = |name: &str| self.home.path(name).to_str().unwrap().to_owned();
        let line = line.replace("HERE", path("").trim_end_matches('/'));
        let lines: Vec<&str> = (self.text.lines())
            .map(|one| match one.starts_with(setting) {
                true => &*line,
                false => one,
            })
            .collect();
        let text = lines.join("\n");
        assert_ne!(text.trim_end(), self.text.trim_end(), "{setting}");
        self.home.write("portcullis.toml", &text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serve_refuses_is_refused_by_config_check_in_the_same_words_and_its_twin_by_neither() {
    let whole = Whole::new();
    let wrong = [
        (
            "log.filter",
            "log.filter = \"nonsense=blah=x\"",
            "log.filter \"nonsense=blah=x\"",
        ),
        (
            "keys.",
            "keys.master_key = \"abc\"",
            "keys.master_key is not 32 bytes",
        ),
        (
            "keys.",
            "keys.master_key_file = \"HERE/nothing\"",
            "keys.master_key_file: the master key file HERE/nothing cannot be used",
        ),
        (
            "keys.",
            "keys.master_key_file = \"HERE/short.key\"",
            "keys.master_key_file: the master key file HERE/short.key does not hold 32 bytes",
        ),
        (
            "egress.ca_file",
            "egress.ca_file = \"HERE/nothing\"",
            "egress.ca_file: HERE/nothing: No such file",
        ),
        (
            "egress.ca_file",
            "egress.ca_file = \"HERE/headers\"",
            "egress.ca_file: HERE/headers: no certificate in it",
        ),
        (
            "traces.headers_file",
            "traces.headers_file = \"HERE/nothing\"",
            "traces.headers_file HERE/nothing cannot be read",
        ),
        (
            "traces.headers_file",
            "traces.headers_file = \"HERE/master.key\"",
            "traces.headers_file HERE/master.key: line 1: no colon",
        ),
        ("data_dir", "data_dir = \"\"", "data_dir: is empty"),
        (
            "data_dir",
            "data_dir = \"HERE/a-file\"",
            "data_dir: HERE/a-file is a file",
        ),
        (
            "log.filter",
            "database.url = \"postgres://me:hunter2@127.0.0.1:99999/x\"",
            "database.url: is no PostgreSQL address",
        ),
        (
            "log.filter",
            "database.url = \"postgres://me:hunter2@127.0.0.1/x?sslmode=some\"",
            "database.url: is no PostgreSQL address",
        ),
        (
            "certificate_file",
            "certificate_file = \"HERE/nothing\"",
            "tls.certificates: ",
        ),
        (
            "key_file",
            "key_file = \"HERE/nothing\"",
            "tls.certificates: ",
        ),
        (
            "key_file",
            "key_file = \"HERE/certificate.pem\"",
            "tls.certificates: ",
        ),
    ];
    let here = whole.home.path("");
    let here = here.to_str().unwrap().trim_end_matches('/');
    for (setting, line, said) in wrong {
        let config = whole.with(setting, line);
        let served = run(&whole.home, &config, &["serve"], "").await;
        let checked = run(&whole.home, &config, &["config", "check"], "").await;
        assert_eq!(served.code, 2, "{line}: {}", served.stderr);
        assert_eq!(
            (checked.code, &checked.stderr),
            (2, &served.stderr),
            "{line}"
        );
        let said = said.replace("HERE", here);
        assert!(served.stderr.contains(&said), "{line}: {}", served.stderr);
        assert!(!served.stderr.contains("hunter2"), "{}", served.stderr);
    }
    // The role is that which `serve` is started in.
    let config = whole.with("log.filter", "log.filter = \"info\"");
    for command in [&["serve"][..], &["config", "check"]] {
        let arguments = [command, &["--role", "gateway"]].concat();
        let ran = run(&whole.home, &config, &arguments, "").await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(
            ran.stderr
                .contains("keys.master_key_file: is nothing that a node with the role gateway")
        );
    }
    assert!(!whole.home.data().exists());

    for (setting, line) in [
        ("log.filter", "log.filter = \"portcullis=info\"".to_owned()),
        ("keys.", format!("keys.master_key = \"{}\"", "A".repeat(43))),
        (
            "log.filter",
            "database.url = \"postgres://me:hunter2@127.0.0.1:5432/x?sslmode=require\"".to_owned(),
        ),
    ] {
        let config = whole.with(setting, &line);
        let checked = run(&whole.home, &config, &["config", "check"], "").await;
        assert_eq!(checked.code, 0, "{line}: {}", checked.stderr);
    }
    assert!(!whole.home.data().exists(), "config check made something");
    let config = whole.with("log.filter", "log.filter = \"info\"");
    let checked = run(
        &whole.home,
        &config,
        &["config", "check", "--role", "all"],
        "",
    )
    .await;
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    Node::start(&whole.home, &config).await.stop().await;
}
