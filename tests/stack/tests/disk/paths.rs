//! Each way in which something is written: over HTTP and by commands.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base::{OsRandom, random_token};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use testkit::person::{Code, Form, Person, registration_body, returns_to, text};

use super::super::support::{EMAIL, PASSWORD};
use super::admin_api::{Admin, Machine};
use super::governing::{Governed, Governing};
use super::scene::{Ran, Scene, tokens_in};

/// How an attempt ended; anything else is an error.
pub enum Outcome {
    /// Acknowledged, and what must be true of it from now on.
    Done(Vec<Fact>),
    /// Refused in a way that says so, in short.
    Refused(String),
}

/// What was acknowledged.
pub enum Fact {
    /// A client may ask for codes.
    Client(String),
    /// A refresh token is good; of it and whoever it belongs to.
    Good(Person, String),
    /// A refresh token was revoked.
    Ended(String),
    /// A code is spent.
    Spent(Code),
    /// A login session is alive.
    SignedIn(String),
    /// A login session has ended.
    SignedOut(String),
    /// A command prints a line with all of these.
    Says(Vec<String>, Vec<String>),
    /// A command prints nothing with this in it.
    Silent(Vec<String>, String),
}

/// What is made while the disk is well, for the attempts that follow.
pub struct Prepared {
    code: Code,
    refresh_token: String,
    to_revoke: String,
    leaving: Person,
    to_change: String,
    to_remove: String,
    to_disable: String,
    name: String,
    governed: Governed,
    machine: Machine,
}

impl Prepared {
    pub async fn make(scene: &Scene) -> Self {
        let (leaving, _) = scene.sign_in().await;
        let name = random_token(&OsRandom, "").to_lowercase()[..12].replace(['_', '-'], "x");
        let to_change = format!("t-{name}");
        let to_remove = format!("r-{name}");
        let to_disable = format!("d-{name}@example.com");
        for slug in [&to_change, &to_remove] {
            let add = ["servers", "add", slug, &scene.echo, "--unseen"];
            scene.must_run(&add, "").await;
        }
        let add = ["users", "add", &to_disable, "--password-stdin"];
        scene.must_run(&add, PASSWORD).await;
        let governed = Governed::make(scene, &name).await;
        let machine = Machine::make(scene, &governed).await;
        // Only now: it would not wait for the commands.
        let mut connection = scene.open().await.unwrap();
        Self {
            machine,
            governed,
            code: scene.person.approve(&mut connection).await.unwrap(),
            refresh_token: scene.tokens().await.1,
            to_revoke: scene.tokens().await.1,
            leaving,
            to_change,
            to_remove,
            to_disable,
            name,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WritePath {
    Registration,
    SignIn,
    Consent,
    Exchange,
    Refresh,
    Revocation,
    SignOut,
    ServiceToken,
    Api(Admin),
    Command(Change),
    Governs(Governing),
}

/// What a command changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    UserAdd,
    UserDisable,
    ClientAdd,
    ServerAdd,
    ServerSet,
    ServerRemove,
    Credential,
    Alias,
    Move,
    KeysRotate,
    ServiceToken,
    Export,
    Backup,
}

impl WritePath {
    pub const OVER_HTTP: [Self; 8] = [
        Self::Registration,
        Self::SignIn,
        Self::Consent,
        Self::Exchange,
        Self::Refresh,
        Self::Revocation,
        Self::SignOut,
        Self::ServiceToken,
    ];

    /// All of them over HTTP, and so many commands, beginning with the one of this number.
    pub fn of_turn(first: usize, commands: usize) -> impl Iterator<Item = Self> {
        let every = Self::commands();
        let all = every.len();
        let chosen = every
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| (index + all - first % all) % all < commands);
        let over_http = Self::OVER_HTTP.into_iter().chain(Admin::ALL.map(Self::Api));
        over_http.chain(chosen.map(|(_, path)| path))
    }

    /// Each command; the last withdraws the keys of all access tokens.
    fn commands() -> Vec<Self> {
        let changes = Change::ALL.map(Self::Command);
        let governs = Governing::ALL.map(Self::Governs);
        let last = [Self::Command(Change::KeysRotate)];
        changes.into_iter().chain(governs).chain(last).collect()
    }

    /// Whether it is a process of its own, which takes its time on a disk that is well, too.
    pub fn is_command(self) -> bool {
        matches!(self, Self::Command(_) | Self::Governs(_))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::SignIn => "sign-in",
            Self::Consent => "consent and code",
            Self::Exchange => "code exchange",
            Self::Refresh => "refresh",
            Self::Revocation => "revocation",
            Self::SignOut => "sign-out",
            Self::ServiceToken => "service token page",
            Self::Api(admin) => admin.name(),
            Self::Command(change) => change.name(),
            Self::Governs(governing) => governing.name(),
        }
    }

    pub async fn attempt(self, scene: &Scene, made: &Prepared) -> anyhow::Result<Outcome> {
        let person = &scene.person;
        match self {
            Self::Registration => {
                let request = Request::post("/servers/echo/register")
                    .header(header::CONTENT_TYPE, "application/json");
                let body = registration_body(&made.name);
                let answer = scene.open().await?.send(request, body).await?;
                judge(&answer, StatusCode::CREATED, |answer| {
                    Ok(vec![Fact::Client(member(answer, "client_id")?)])
                })
            }
            Self::SignIn => {
                let mut visitor = Person {
                    cookie: String::new(),
                    ..person.clone()
                };
                let mut connection = scene.open().await?;
                let (path, _) = person.authorize_path();
                let page = connection.send(Request::get(path), Bytes::new()).await?;
                visitor.keep_cookies(&page);
                let mut form = Form::find(&page, &["name=\"password\""])?;
                form.set("email", EMAIL);
                form.set("password", PASSWORD);
                let answer = form.submit(&mut connection, &visitor.cookie).await?;
                judge(&answer, StatusCode::SEE_OTHER, |answer| {
                    visitor.keep_cookies(answer);
                    Ok(vec![Fact::SignedIn(visitor.cookie.clone())])
                })
            }
            Self::Consent => {
                let (path, verifier) = person.authorize_path();
                let page = scene.get(&path).await?;
                let mut form = Form::find(&page, &["name=\"decision\""])?;
                form.set("decision", "approve");
                let mut connection = scene.open().await?;
                let answer = form.submit(&mut connection, &person.cookie).await?;
                let outcome = judge(&answer, StatusCode::OK, |_| Ok(Vec::new()))?;
                if let Outcome::Refused(_) = outcome {
                    return Ok(outcome);
                }
                let target = returns_to(&answer)?;
                let code = target.query_pairs().find(|(name, _)| name == "code");
                let code = Code {
                    code: code.context("a code")?.1.into_owned(),
                    verifier,
                };
                Ok(Outcome::Done(vec![Fact::Good(
                    person.clone(),
                    format!("{} {}", code.code, code.verifier),
                )]))
            }
            Self::Exchange => {
                let answer = scene.token(person.exchange_form(&made.code)).await?;
                judge(&answer, StatusCode::OK, |answer| {
                    let token = tokens_in(answer).1;
                    Ok(vec![
                        Fact::Good(person.clone(), token),
                        Fact::Spent(made.code.clone()),
                    ])
                })
            }
            Self::Refresh => {
                let form = person.refresh_form(&made.refresh_token);
                let answer = scene.token(form).await?;
                judge(&answer, StatusCode::OK, |answer| {
                    Ok(vec![Fact::Good(person.clone(), tokens_in(answer).1)])
                })
            }
            Self::Revocation => {
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("token", &made.to_revoke)
                    .append_pair("client_id", &person.client_id)
                    .finish();
                let answer = scene.post("revoke", form).await?;
                judge(&answer, StatusCode::OK, |_| {
                    Ok(vec![Fact::Ended(made.to_revoke.clone())])
                })
            }
            Self::SignOut => {
                let cookie = &made.leaving.cookie;
                let mut connection = scene.open().await?;
                let request = Request::get("/account/tokens").header(header::COOKIE, cookie);
                let page = connection.send(request, "").await?;
                if page.status() == StatusCode::SEE_OTHER {
                    // The attempt before had an answer that nobody saw.
                    return Ok(Outcome::Done(vec![Fact::SignedOut(cookie.clone())]));
                }
                let form = Form::find(&page, &["action=\"/sign-out\""])?;
                let answer = form.submit(&mut connection, cookie).await?;
                judge(&answer, StatusCode::OK, |_| {
                    Ok(vec![Fact::SignedOut(cookie.clone())])
                })
            }
            Self::ServiceToken => {
                let mut connection = scene.open().await?;
                let page = scene.get("/account/tokens").await?;
                let mut form = Form::find(&page, &["name=\"days\""])?;
                let name = format!("page-{}", made.name);
                let fields = [
                    ("server", "echo"),
                    ("name", &*name),
                    ("scope", "echo:read"),
                    ("days", "30"),
                ];
                for (field, value) in fields {
                    form.set(field, value);
                }
                let answer = form.submit(&mut connection, &person.cookie).await?;
                judge(&answer, StatusCode::OK, |_| {
                    Ok(vec![says("service-tokens list", &[&name])])
                })
            }
            Self::Api(admin) => admin.attempt(scene, &made.governed, &made.machine).await,
            Self::Command(change) => change.attempt(scene, made).await,
            Self::Governs(governing) => governing.attempt(scene, &made.governed).await,
        }
    }
}

impl Change {
    /// All but [`Self::KeysRotate`].
    const ALL: [Self; 12] = [
        Self::UserAdd,
        Self::UserDisable,
        Self::ClientAdd,
        Self::ServerAdd,
        Self::ServerSet,
        Self::ServerRemove,
        Self::Credential,
        Self::Alias,
        Self::Move,
        Self::ServiceToken,
        Self::Export,
        Self::Backup,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::UserAdd => "users add",
            Self::UserDisable => "users disable",
            Self::ClientAdd => "clients add",
            Self::ServerAdd => "servers add",
            Self::ServerSet => "servers set",
            Self::ServerRemove => "servers remove",
            Self::Credential => "servers credential",
            Self::Alias => "servers alias add",
            Self::Move => "move",
            Self::KeysRotate => "keys rotate",
            Self::ServiceToken => "service-tokens create",
            Self::Export => "export",
            Self::Backup => "backup",
        }
    }

    async fn attempt(self, scene: &Scene, made: &Prepared) -> anyhow::Result<Outcome> {
        let name = &made.name;
        let email = format!("{name}@example.com");
        let new = format!("s-{name}");
        let (slug, gone, leaves) = (&made.to_change, &made.to_remove, &made.to_disable);
        let alias = format!("{}/mcp/also-{name}", scene.origin());
        let moved = format!("{}/mcp/moved-{name}", scene.origin());
        let file = |end: &str| {
            let file = scene.disk.folder.join(format!("{name}.{end}"));
            file.display().to_string()
        };
        let (export, backup) = (file("toml"), file("backup"));
        let line = match self {
            Self::UserAdd => format!("users add {email} --password-stdin"),
            Self::UserDisable => format!("users disable {leaves}"),
            Self::ClientAdd => {
                format!("clients add --server echo --name {name} --redirect-uri http://127.0.0.1/x")
            }
            Self::ServerAdd => format!("servers add {new} {} --unseen", scene.echo),
            Self::ServerSet => format!("servers set {slug} --access-token 17m"),
            Self::ServerRemove => format!("servers remove {gone} --yes"),
            Self::Credential => format!("servers credential {slug}"),
            Self::Alias => format!("servers alias add {slug} {alias}"),
            Self::Move => format!("move {slug} {moved} --yes"),
            Self::ServiceToken => {
                format!(
                    "service-tokens create --name {name} --scope echo:read --expires 9d --server echo"
                )
            }
            Self::Export => format!("export {export}"),
            Self::Backup => format!("backup {backup}"),
            Self::KeysRotate => "keys rotate --now".to_owned(),
        };
        let arguments: Vec<&str> = line.split(' ').collect();
        let ran = scene.run(&arguments, PASSWORD).await;
        if !ran.worked {
            return refused(scene, &ran);
        }
        let first = ran.out.split_whitespace().next().unwrap_or_default();
        let fact = match self {
            Self::UserAdd => Some(says("users list", &[&email])),
            Self::UserDisable => Some(says("users list", &[leaves, "disabled"])),
            Self::ClientAdd => Some(says("clients list", &[name])),
            Self::ServerAdd => Some(says("servers list", &[&new])),
            Self::ServerSet => Some(says(&format!("servers show {slug}"), &["17m"])),
            Self::ServerRemove => Some(Fact::Silent(words("servers list"), gone.clone())),
            Self::Alias => Some(says("servers alias list", &[&alias])),
            Self::Move => Some(says("servers list", &[slug, &moved])),
            Self::ServiceToken => Some(says("service-tokens list", &[name])),
            Self::Export => {
                let text = std::fs::read_to_string(&export)?;
                ensure!(text.contains("[servers.echo]"), "the export is not whole");
                None
            }
            Self::Backup => Some(says(&format!("backup verify {backup}"), &["verified"])),
            Self::KeysRotate => Some(says("keys list", &[first, "signs"])),
            Self::Credential => None,
        };
        Ok(Outcome::Done(fact.into_iter().collect()))
    }
}

pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

pub fn says(command: &str, all: &[&str]) -> Fact {
    Fact::Says(
        words(command),
        all.iter().map(|&word| word.to_owned()).collect(),
    )
}

/// A command that failed must say which file.
pub fn refused(scene: &Scene, ran: &Ran) -> anyhow::Result<Outcome> {
    let folder = scene.disk.folder.display().to_string();
    let line = ran.err.lines().find(|line| line.starts_with("error: "));
    let line = line.with_context(|| format!("no error in {:?}", ran.err))?;
    ensure!(line.contains(&folder), "the error names no file: {line}");
    Ok(Outcome::Refused(line.replace(&folder, "…")))
}

/// What an answer over HTTP means.
pub fn judge(
    answer: &Response<Bytes>,
    good: StatusCode,
    facts: impl FnOnce(&Response<Bytes>) -> anyhow::Result<Vec<Fact>>,
) -> anyhow::Result<Outcome> {
    if answer.status() == good {
        return Ok(Outcome::Done(facts(answer)?));
    }
    if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
        let words: String = text(answer).chars().take(300).collect();
        bail!("answered {}: {words}", answer.status());
    }
    let wait = answer.headers().get(header::RETRY_AFTER);
    let wait = wait.context("503 without Retry-After")?.to_str()?;
    let seconds: u64 = wait.parse().context("Retry-After")?;
    ensure!((1..=60).contains(&seconds), "Retry-After: {seconds}");
    let kinds = [
        ("application/json", "error"),
        ("application/problem+json", "code"),
    ];
    if let Some((_, name)) = kinds
        .iter()
        .find(|(kind, _)| answer.headers()[header::CONTENT_TYPE] == kind)
    {
        let error = member(answer, name)?;
        ensure!(error == "temporarily_unavailable", "{error}");
    }
    Ok(Outcome::Refused(format!("503, again in {seconds} s")))
}

fn member(answer: &Response<Bytes>, name: &str) -> anyhow::Result<String> {
    let body: Value = serde_json::from_slice(answer.body())?;
    Ok(body[name].as_str().context(name.to_owned())?.to_owned())
}

impl Fact {
    /// Whether it still is one.
    pub async fn check(&self, scene: &Scene) -> anyhow::Result<()> {
        let invalid_grant = |answer: &Response<Bytes>| {
            let error = member(answer, "error").unwrap_or_default();
            ensure!(
                error == "invalid_grant",
                "answered {}: {}",
                answer.status(),
                text(answer)
            );
            Ok(())
        };
        match self {
            Self::Client(id) => {
                let person = Person {
                    client_id: id.clone(),
                    ..scene.person.clone()
                };
                person.approve(&mut scene.open().await?).await.map(drop)
            }
            Self::Good(person, token) => {
                let form = match token.split_once(' ') {
                    Some((code, verifier)) => person.exchange_form(&Code {
                        code: code.to_owned(),
                        verifier: verifier.to_owned(),
                    }),
                    None => person.refresh_form(token),
                };
                let answer = scene.token(form).await?;
                ensure!(answer.status() == 200, "answered {}", text(&answer));
                Ok(())
            }
            Self::Ended(token) => {
                let form = scene.person.refresh_form(token);
                invalid_grant(&scene.token(form).await?)
            }
            Self::Spent(code) => {
                let form = scene.person.exchange_form(code);
                invalid_grant(&scene.token(form).await?)
            }
            Self::SignedIn(cookie) => is_signed_in(scene, cookie, StatusCode::OK).await,
            Self::SignedOut(cookie) => is_signed_in(scene, cookie, StatusCode::SEE_OTHER).await,
            Self::Says(command, all) => {
                let said = run(scene, command).await;
                let found = said
                    .lines()
                    .any(|line| all.iter().all(|word| line.contains(word)));
                ensure!(found, "{command:?} does not say {all:?}: {said}");
                Ok(())
            }
            Self::Silent(command, word) => {
                let said = run(scene, command).await;
                ensure!(!said.contains(word), "{command:?} says {word}: {said}");
                Ok(())
            }
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Client(_) => "a client",
            Self::Good(..) => "a refresh token or code",
            Self::Ended(_) => "a revocation",
            Self::Spent(_) => "a spent code",
            Self::SignedIn(_) => "a sign-in",
            Self::SignedOut(_) => "a sign-out",
            Self::Says(..) | Self::Silent(..) => "what a command did",
        }
    }
}

async fn run(scene: &Scene, command: &[String]) -> String {
    let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    scene.must_run(&arguments, "").await
}

async fn is_signed_in(scene: &Scene, cookie: &str, status: StatusCode) -> anyhow::Result<()> {
    let request = Request::get("/account/tokens").header(header::COOKIE, cookie);
    let answer = scene.open().await?.send(request, "").await?;
    ensure!(answer.status() == status, "answered {}", answer.status());
    Ok(())
}

/// Tries until it is done; how long that took.
pub async fn until_done(
    path: WritePath,
    scene: &Scene,
    made: &Prepared,
) -> anyhow::Result<(Vec<Fact>, Duration)> {
    let begun = std::time::Instant::now();
    loop {
        match path.attempt(scene, made).await? {
            Outcome::Done(facts) => return Ok((facts, begun.elapsed())),
            Outcome::Refused(words) => {
                ensure!(begun.elapsed() < Duration::from_secs(10), "still: {words}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
