//! The program as it is, with an issuer that the test has made.
#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::routing::get;
use axum::{Json, Router};
use portcullis::testing::TestIssuer;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

struct Weather {
    process: Child,
    issuer: TestIssuer,
    http: Client,
    port: u16,
}

impl Drop for Weather {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Weather {
    async fn start() -> Self {
        let issuer = TestIssuer::new();
        let keys = issuer.key_set();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jwks = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let app = Router::new().route("/jwks.json", get(async move || Json(keys.clone())));
        tokio::spawn(async move { axum::serve(listener, app).await });

        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_example-weather"))
            .env("WEATHER_URL", format!("http://localhost:{port}/mcp"))
            .env("WEATHER_LISTEN", format!("127.0.0.1:{port}"))
            .env("WEATHER_ISSUER", issuer.issuer())
            .env("WEATHER_JWKS", jwks)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let weather = Self {
            process,
            issuer,
            http: Client::new(),
            port,
        };
        let began = Instant::now();
        let path = "/.well-known/oauth-protected-resource/mcp";
        while !weather
            .get(path)
            .send()
            .await
            .is_ok_and(|answer| answer.status() == StatusCode::OK)
        {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it does not start"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        weather
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    fn token(&self, scope: &str) -> String {
        let token = self.issuer.token(&self.url("/mcp")).subject("usr_ann");
        token.scope(scope).mint()
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    async fn ask(&self, scope: &str, method: &str, params: Value) -> Response {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self
            .http
            .post(self.url("/mcp"))
            .header("accept", "application/json, text/event-stream")
            .bearer_auth(self.token(scope))
            .json(&message);
        request.send().await.unwrap()
    }

    async fn call(&self, scope: &str, tool: &str) -> Response {
        let params = json!({"name": tool, "arguments": {"city": "Bonn"}});
        self.ask(scope, "tools/call", params).await
    }
}

#[tokio::test]
async fn the_forecast_is_for_callers_with_its_scope_over_http_and_over_mcp() {
    let weather = Weather::start().await;
    let get = async |token: Option<String>| {
        let request = weather.get("/forecast/Bonn");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    };
    let anonymous = get(None).await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    let metadata = weather.url("/.well-known/oauth-protected-resource/mcp");
    let challenge = anonymous.headers()["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.contains(&format!("resource_metadata=\"{metadata}\"")),
        "{challenge}"
    );
    let refused = get(Some(weather.token("weather:report"))).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let let_in = get(Some(weather.token("weather:read"))).await;
    assert_eq!(let_in.status(), StatusCode::OK);
    let said: Value = let_in.json().await.unwrap();
    assert_eq!(said, json!({"forecast": "Bonn: clouds", "for": "usr_ann"}));

    let listed = weather.ask("weather:read", "tools/list", json!({})).await;
    let listed: Value = listed.json().await.unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 1, "{listed}");
    assert_eq!(tools[0]["name"], "get_forecast");
    let called = weather.call("weather:read", "get_forecast").await;
    let called: Value = called.json().await.unwrap();
    assert_eq!(called["result"]["content"][0]["text"], "Bonn: clouds");
    let refused = weather.call("weather:read", "report_weather").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let hidden = weather
        .call("weather:read weather:report", "make_rain")
        .await;
    let hidden: Value = hidden.json().await.unwrap();
    assert_eq!(hidden["error"]["message"], "Unknown tool: make_rain");
}
