//! What needs the peer that fails: it is told so, in time, and works again afterwards.

use std::fmt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, SystemClock, base64url};
use http::{Request, Response, header};
use serde_json::{Value, json};
use testkit::document_host::Reply;
use testkit::person::{REDIRECT_URI, text};

use super::bystanders::{call, call_body};
use super::world::{World, name, path};
use super::{Fault, Peer};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// One use of a peer.
pub struct Affected {
    peer: Peer,
    key: EcdsaKeyPair,
}

/// What came of a use.
pub struct Felt {
    peer: Peer,
    fault: Option<Fault>,
    answer: Result<String, String>,
    is_clear: bool,
}

impl fmt::Display for Felt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Ok(words) | Err(words) => formatter.write_str(words),
        }
    }
}

impl Felt {
    /// Within the limit that `docs/operate.md` has (3 s of the database, 5 s of documents, keys and a connection to an upstream,
    /// `mail.timeout`), and what a busy machine adds. How long an upstream thinks is its own business, up to five
    /// minutes; whoever called is not told sooner.
    pub fn as_expected(&self, took: Duration) -> Result<(), String> {
        let limit = Duration::from_secs(match self.peer {
            Peer::Database => 5,
            _ => 7,
        });
        let thinks = matches!(
            self.fault,
            Some(Fault::NeverAnswers | Fault::StopsBehindHead | Fault::OneByteASecond)
        );
        if self.peer == Peer::Upstream && thinks {
            return match self.answer {
                Err(_) => Ok(()),
                Ok(_) => Err(format!("answered while the upstream did not: {self}")),
            };
        }
        match self.is_clear {
            _ if took > limit => Err(format!("{self} after {took:.1?}, more than {limit:?}")),
            true => Ok(()),
            false => Err(format!("no clear refusal: {self}")),
        }
    }
}

impl Affected {
    pub fn new(peer: Peer) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { peer, key }
    }

    /// It works while nothing fails.
    pub async fn works(&self, world: &World) -> Result<(), String> {
        let (good, _, words) = self.attempt(world, true).await;
        match good {
            true => Ok(()),
            false => Err(words),
        }
    }

    pub async fn feels(&self, world: &World, fault: Fault) -> (Felt, Duration) {
        let begun = Instant::now();
        // An upstream may think for minutes: that nothing comes is known sooner.
        let patience = match self.peer {
            Peer::Upstream => Duration::from_secs(7),
            _ => PATIENCE,
        };
        let attempt = tokio::time::timeout(patience, self.attempt(world, false)).await;
        let took = begun.elapsed();
        let (answer, is_clear) = match attempt {
            Err(_) => (Err("no answer".to_owned()), false),
            Ok((_, is_clear, words)) => (Ok(words), is_clear),
        };
        let fault = Some(fault);
        let peer = self.peer;
        (
            Felt {
                peer,
                fault,
                answer,
                is_clear,
            },
            took,
        )
    }

    pub async fn recovers(&self, world: &World, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < limit {
            match tokio::time::timeout(limit, self.attempt(world, true)).await {
                Ok((true, _, _)) => return Ok(()),
                Ok((_, _, words)) => last = words,
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("does not work again after {limit:?}: {last}"))
    }

    /// Whether it worked, whether it was refused clearly, and in which words. `serves` makes the document anew, which a fault of
    /// the host itself must not be overwritten by.
    async fn attempt(&self, world: &World, serves: bool) -> (bool, bool, String) {
        let outcome = match self.peer {
            Peer::Database => unknown_client(world).await,
            Peer::Upstream => sick_call(world).await,
            Peer::ClientDocuments => document(world, serves).await,
            Peer::ClientKeys => self.assertion(world, serves).await,
            Peer::Mail => mail(world).await,
        };
        outcome.unwrap_or_else(|error| (false, false, format!("{error:#}")))
    }

    /// A client that proves itself by keys at an address nobody has asked before.
    async fn assertion(&self, world: &World, serves: bool) -> anyhow::Result<(bool, bool, String)> {
        let number = world.fresh();
        if serves {
            world.keys.set_json(&path(number), &jwk_set(&self.key));
        }
        let address = format!(
            "https://{}:{}{}",
            name(Peer::ClientKeys),
            world.key_port,
            path(number)
        );
        let printed = world
            .run(
                &[
                    "clients",
                    "add",
                    "--name",
                    "signer",
                    "--server",
                    "well",
                    "--service-scope",
                    "well:read",
                    "--jwks-uri",
                    &address,
                ],
                "",
            )
            .await?;
        let client = printed.lines().next().unwrap_or_default().trim().to_owned();
        let assertion = signed(&self.key, &client, &world.issuer("well"), number)?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &client)
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", &assertion)
            .finish();
        let answer = token(world, form).await?;
        Ok(judged(&answer, 200))
    }
}

/// 200 is what works here; a refusal is clear when it says why, and asks to come back where that helps.
fn judged(answer: &Response<bytes::Bytes>, good: u16) -> (bool, bool, String) {
    let words: String = text(answer).chars().take(120).collect();
    let status = answer.status().as_u16();
    let later = status != 503 || answer.headers().contains_key(header::RETRY_AFTER);
    let is_clear = status != good && status != 500 && later && !words.is_empty();
    (status == good, is_clear, format!("{status} {words}"))
}

async fn token(world: &World, form: String) -> anyhow::Result<Response<bytes::Bytes>> {
    let request = Request::post("/servers/well/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    world.open().await?.send(request, form).await
}

/// The database has to be asked to know that there is no such client.
async fn unknown_client(world: &World) -> anyhow::Result<(bool, bool, String)> {
    let form = "grant_type=refresh_token&refresh_token=x&client_id=cli_nobody".to_owned();
    let answer = token(world, form).await?;
    let (_, _, words) = judged(&answer, 200);
    let clear = answer.status() == 503 && answer.headers().contains_key(header::RETRY_AFTER);
    Ok((answer.status() == 401, clear, words))
}

async fn sick_call(world: &World) -> anyhow::Result<(bool, bool, String)> {
    let request = call("sick", &world.sick);
    let answer = world.open().await?.send(request, call_body()).await?;
    Ok(judged(&answer, 200))
}

/// The first page for a client whose document nobody has fetched before.
async fn document(world: &World, serves: bool) -> anyhow::Result<(bool, bool, String)> {
    let number = world.fresh();
    let id = format!(
        "https://{}:{}{}",
        name(Peer::ClientDocuments),
        world.document_port,
        path(number)
    );
    if serves {
        let document = json!({
            "client_id": id, "client_name": "Somebody", "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
        });
        world.documents.set(&path(number), Reply::json(&document));
    }
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", &id)
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("state", "0123456789abcdef")
        .append_pair("code_challenge", &base64url([7; 32]))
        .append_pair("code_challenge_method", "S256")
        .finish();
    let request = Request::get(format!("/servers/well/authorize?{query}"));
    let answer = world.open().await?.send(request, "").await?;
    let page = text(&answer);
    let is_form = answer.status() == 200 && page.contains("name=\"password\"");
    let words = page.split("<h1").nth(1).unwrap_or(&page);
    let words: String = words.chars().take(120).collect();
    let status = answer.status();
    Ok((
        is_form,
        !is_form && status != 500,
        format!("{status} {}", words.replace('\n', " ")),
    ))
}

/// `portcullis mail test` says at which step, and what to change.
async fn mail(world: &World) -> anyhow::Result<(bool, bool, String)> {
    let output = tokio::process::Command::new(stack_tests::binary())
        .args(["mail", "test", "--to", "ada@example.org", "--config"])
        .arg(&world.config)
        .envs(world.environment.iter().cloned())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = told.lines().find(|line| line.starts_with("failed"));
    let is_clear = output.status.code() == Some(1) && failed.is_some();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = failed
        .unwrap_or(if output.status.success() {
            "sent"
        } else {
            &errors
        })
        .to_owned();
    Ok((output.status.success(), is_clear, words))
}

fn jwk_set(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "peer",
        "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
    }]})
}

fn signed(key: &EcdsaKeyPair, client: &str, issuer: &str, number: usize) -> anyhow::Result<String> {
    let now = SystemClock.now().unix_seconds();
    let part = |value: Value| base64url(value.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({"alg": "ES256", "typ": "JWT", "kid": "peer"})),
        part(json!({
            "iss": client, "sub": client, "aud": issuer,
            "iat": now, "exp": now + 60, "jti": format!("assertion-of-a-peer-{number}"),
        }))
    );
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes())?;
    Ok(format!("{signed}.{}", base64url(signature)))
}
