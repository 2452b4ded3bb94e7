//! Somebody whom rules and roles are about: a command changes what they may, and every gateway follows, whichever release ran
//! the command, answers the token request or guards the call.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use testkit::Connection;
use testkit::person::{Person, text};

use super::doors::Map;
use super::load::call;
use super::{FELT, Fleet, Node, PASSWORD, SERVER};

const EMAIL: &str = "governed@example.com";

/// What everybody else has.
const EVERYTHING: &str = "everything";
/// What permits nothing that the load does.
const LITTLE: &str = "little";

const PAUSE: Duration = Duration::from_millis(100);

/// What keeps the person from the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Law {
    /// Nothing.
    Free,
    /// The rule with this id.
    Rule(String),
    /// A role that does not permit it.
    Role,
}

/// The person, their tokens, and the law as it was acknowledged last.
pub struct Governed {
    person: Person,
    map: Map,
    access: String,
    refresh: String,
    law: Law,
    changes: u64,
    checks: u64,
}

impl Governed {
    /// Adds the person and the roles, and signs the person in. Before there is a load: tokens of before roles are refreshed.
    ///
    /// # Errors
    /// When anything of that is refused.
    pub async fn begin(fleet: &Fleet, program: &Path) -> anyhow::Result<Self> {
        let add = ["users", "add", EMAIL, "--password-stdin"];
        fleet.run(program, &add, PASSWORD).await?;
        until_mapped(fleet, program).await?;
        for (role, rest) in [
            (EVERYTHING, &["--all-scopes", "--default"][..]),
            (LITTLE, &["--scope", "echo:destructive"]),
        ] {
            let add = [&["roles", "add", SERVER, role], rest].concat();
            fleet.run(program, &add, "").await?;
        }
        let map = Map::of(fleet);
        let mut connection = open(fleet.authority()?, &map).await?;
        let issuer = format!("http://{}/servers/{SERVER}", map.authority);
        let (person, code) = Person::sign_in(&mut connection, &issuer, EMAIL, PASSWORD).await?;
        let mut governed = Self {
            access: String::new(),
            refresh: String::new(),
            law: Law::Free,
            changes: 0,
            checks: 0,
            map,
            person,
        };
        let form = governed.person.exchange_form(&code);
        governed.renew(fleet, form).await?;
        governed.check(fleet).await?;
        Ok(governed)
    }

    /// Changes the law with a command of `program`, from each to the next: a rule, none, a role, none.
    ///
    /// # Errors
    /// When the command fails, or a gateway does not follow.
    pub async fn change(&mut self, fleet: &Fleet, program: &Path) -> anyhow::Result<()> {
        self.law = match &self.law {
            Law::Free if self.changes.is_multiple_of(4) => {
                let line = format!("rules add {SERVER} deny --person {EMAIL} --tool echo");
                let said = run(fleet, program, &line).await?;
                let id = said.split_whitespace().next().context("the id of a rule")?;
                Law::Rule(id.to_owned())
            }
            Law::Free => {
                run(
                    fleet,
                    program,
                    &format!("roles give {SERVER} {LITTLE} {EMAIL}"),
                )
                .await?;
                Law::Role
            }
            Law::Rule(id) => {
                run(fleet, program, &format!("rules remove {SERVER} {id}")).await?;
                Law::Free
            }
            Law::Role => {
                run(
                    fleet,
                    program,
                    &format!("roles take {SERVER} {LITTLE} {EMAIL}"),
                )
                .await?;
                Law::Free
            }
        };
        self.changes += 1;
        self.check(fleet).await
    }

    /// Every gateway holds to the law that was acknowledged last, now or within ten seconds, and then goes on doing so.
    ///
    /// # Errors
    /// When one does not.
    pub async fn check(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        for node in fleet.nodes.iter().filter(|node| node.role.is_gateway()) {
            let begun = Instant::now();
            loop {
                let found = self.ask(fleet, node).await;
                if matches!(found, Ok(free) if free == (self.law == Law::Free)) {
                    break;
                }
                ensure!(
                    begun.elapsed() < FELT,
                    "{:?} at {}, after {} changes: {found:?}: {}",
                    self.law,
                    node.door,
                    self.changes,
                    node.log()
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
        for node in fleet.nodes.iter().filter(|node| node.role.is_gateway()) {
            let found = self.ask(fleet, node).await?;
            let wanted = self.law == Law::Free;
            ensure!(found == wanted, "{:?} at {} no more", self.law, node.door);
            self.checks += 1;
        }
        Ok(())
    }

    /// How often the law was changed, and how often a gateway was found to hold to it.
    pub fn counts(&self) -> (u64, u64) {
        (self.changes, self.checks)
    }

    /// Whether the gateway lets the person's call through.
    async fn ask(&mut self, fleet: &Fleet, node: &Node) -> anyhow::Result<bool> {
        let mut answer = self.call(node).await?;
        // A role is in the token, so a change of it is a refresh.
        if answer.status() == StatusCode::UNAUTHORIZED {
            let form = self.person.refresh_form(&self.refresh);
            self.renew(fleet, form).await?;
            answer = self.call(node).await?;
        }
        let said = text(&answer);
        let unknown = said.contains("Unknown tool");
        match answer.status() {
            StatusCode::OK if unknown => Ok(false),
            StatusCode::OK if said.contains("here") => Ok(true),
            StatusCode::FORBIDDEN => Ok(false),
            status => anyhow::bail!("{status}: {said}"),
        }
    }

    async fn call(&self, node: &Node) -> anyhow::Result<Response<Bytes>> {
        let ask = call(&self.access);
        let request = Request::post(&ask.path)
            .header(header::CONTENT_TYPE, ask.content_type)
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.access));
        let mut connection = open(node, &self.map).await?;
        connection.send(request, ask.body).await
    }

    async fn renew(&mut self, fleet: &Fleet, form: String) -> anyhow::Result<()> {
        let request = Request::post(format!("{}/token", self.person.issuer_path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut connection = open(fleet.authority()?, &self.map).await?;
        let answer = connection.send(request, form).await?;
        let tokens: Value = serde_json::from_slice(answer.body())?;
        let member = |name: &str| {
            let member = tokens[name].as_str().map(str::to_owned);
            member.with_context(|| format!("{name}: {} {tokens}", answer.status()))
        };
        self.access = member("access_token")?;
        self.refresh = member("refresh_token")?;
        Ok(())
    }
}

async fn run(fleet: &Fleet, program: &Path, line: &str) -> anyhow::Result<String> {
    let arguments: Vec<&str> = line.split(' ').collect();
    fleet.run(program, &arguments, "").await
}

async fn open(node: &Node, map: &Map) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(&node.door).await?;
    connection.authority.clone_from(&map.authority);
    Ok(connection)
}

/// Waits until somebody looked at the MCP server, so that its scopes are known.
async fn until_mapped(fleet: &Fleet, program: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let scopes = run(fleet, program, "export").await?;
        if scopes.contains("echo:destructive") {
            return Ok(());
        }
        ensure!(begun.elapsed() < FELT, "never mapped: {scopes}");
        tokio::time::sleep(PAUSE).await;
    }
}
