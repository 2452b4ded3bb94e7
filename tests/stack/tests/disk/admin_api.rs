//! What an administrator's machine writes over the admin API.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use testkit::person::text;

use super::governing::{Governed, WAITING};
use super::paths::{Fact, Outcome, judge, says, words};
use super::scene::Scene;

/// A write of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admin {
    Settings,
    Policy,
    RollBack,
    Approve,
    Reject,
    Map,
    EndGrant,
}

/// Its access token, and what it ends.
pub struct Machine {
    token: String,
    grant: String,
}

impl Machine {
    pub async fn make(scene: &Scene, made: &Governed) -> Self {
        let add = "clients add --server portcullis-admin --name Disk --secret --service-scope portcullis:write";
        let said = scene.must_run(&words_of(add), "").await;
        let mut lines = said.lines();
        let (id, secret) = (lines.next().unwrap(), lines.next().unwrap());
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let request = Request::post("/servers/portcullis-admin/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut connection = scene.open().await.unwrap();
        let answer = connection.send(request, form).await.unwrap();
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        let mut machine = Self {
            token: answer["access_token"].as_str().unwrap().to_owned(),
            grant: String::new(),
        };
        let create = format!(
            "service-tokens create --server {0} --name ends --scope {0}:read --expires 1d",
            made.server
        );
        scene.must_run(&words_of(&create), "").await;
        let path = format!("/grants?server={}", made.server);
        let listed = machine.get(scene, &path).await.unwrap();
        let grant = listed["items"][0]["id"].as_str();
        machine.grant = grant.unwrap_or_else(|| panic!("{listed}")).to_owned();
        machine
    }

    async fn get(&self, scene: &Scene, path: &str) -> anyhow::Result<Value> {
        let answer = self.ask(scene, Method::GET, path, Value::Null).await?;
        ensure!(answer.status() == 200, "{path}: {}", text(&answer));
        Ok(serde_json::from_slice(answer.body())?)
    }

    async fn ask(
        &self,
        scene: &Scene,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Response<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/admin/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json");
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        scene.open().await?.send(request, body).await
    }
}

fn words_of(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

impl Admin {
    pub const ALL: [Self; 7] = [
        Self::Settings,
        Self::Policy,
        Self::RollBack,
        Self::Approve,
        Self::Reject,
        Self::Map,
        Self::EndGrant,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "PATCH server",
            Self::Policy => "PUT policy",
            Self::RollBack => "POST policy/rollback",
            Self::Approve => "POST tools/approve",
            Self::Reject => "POST tools/reject",
            Self::Map => "POST tools/map",
            Self::EndGrant => "DELETE grant",
        }
    }

    pub async fn attempt(
        self,
        scene: &Scene,
        made: &Governed,
        machine: &Machine,
    ) -> anyhow::Result<Outcome> {
        let (server, drifting) = (&made.server, &made.drifting);
        let decided = |tool: &str| {
            let fingerprint = made.fingerprint(tool);
            json!({ "elements": [{ "name": tool, "fingerprint": fingerprint }] })
        };
        let (method, path, body) = match self {
            Self::Settings => (
                Method::PATCH,
                format!("/servers/{server}"),
                json!({ "settings": { "refresh_token_seconds": 9 * 86400 } }),
            ),
            Self::Policy => {
                let path = format!("/servers/{server}/policy");
                let shown = machine.get(scene, &path).await?;
                let mut policy = shown["policy"].clone();
                policy["tools"]["first"]["requirement"] = json!("denied");
                let body = json!({
                    "base_revision": shown["revision"], "policy": policy, "detail": "put whole",
                });
                (Method::PUT, path, body)
            }
            Self::RollBack => {
                let path = format!("/servers/{}/policy", made.back);
                let shown = machine.get(scene, &path).await?;
                let body = json!({ "base_revision": shown["revision"], "revision": 2 });
                (Method::POST, format!("{path}/rollback"), body)
            }
            Self::Approve | Self::Reject => {
                let (verb, tool) = match self {
                    Self::Approve => ("approve", WAITING[3]),
                    _ => ("reject", WAITING[4]),
                };
                let path = format!("/servers/{drifting}/tools/{verb}");
                (Method::POST, path, decided(tool))
            }
            Self::Map => (
                Method::POST,
                format!("/servers/{drifting}/tools/map"),
                json!({ "name": WAITING[5], "requirement": "public" }),
            ),
            Self::EndGrant => (
                Method::DELETE,
                format!("/grants/{}", machine.grant),
                Value::Null,
            ),
        };
        let answer = machine.ask(scene, method, &path, body).await?;
        let good = match self {
            Self::EndGrant => StatusCode::NO_CONTENT,
            _ => StatusCode::OK,
        };
        judge(&answer, good, |answer| {
            let tools = format!("tools list {drifting}");
            let history = |server: &str| format!("policy history {server}");
            Ok(vec![match self {
                Self::Settings => says(&format!("servers show {server}"), &["refresh-token", "9d"]),
                Self::Policy => {
                    let body: Value = serde_json::from_slice(answer.body())?;
                    let revision = body["revision"].as_i64().context("a revision")?;
                    says(&history(server), &[&revision.to_string(), "put whole"])
                }
                Self::RollBack => says(&history(&made.back), &["rolled back to revision 2"]),
                Self::Approve => says(&tools, &[WAITING[3], "mapped"]),
                Self::Reject => says(&tools, &[WAITING[4], "rejected"]),
                Self::Map => says(&tools, &[WAITING[5], "public"]),
                Self::EndGrant => Fact::Silent(words("grants list"), machine.grant.clone()),
            }])
        })
    }
}
