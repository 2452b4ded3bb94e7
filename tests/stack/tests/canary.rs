//! No secret reaches a place where somebody may read it: terminal, log, database, activity.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base::{Clock as _, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use stack_tests::Up;
use testkit::Connection;
use testkit::person::{Person, text};
use url::Url;

const EMAIL: &str = "alice@example.com";
const PASSWORD: &str = "canary-password-of-alice-4711";
const WRONG_PASSWORD: &str = "canary-wrong-password-4712";

#[tokio::test]
async fn no_sink_holds_a_token_code_verifier_password_or_cookie() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--log", "trace"], &[]).await?;
    let mut secrets = Secrets::default();
    let setup_url = up.ready.setup_url.clone().unwrap();
    secrets.add("setup token", setup_url.split("token=").nth(1).unwrap());
    up.add_user(EMAIL, PASSWORD).await?;
    secrets.add("password", PASSWORD);
    secrets.add("wrong password", WRONG_PASSWORD);

    let mut web = Connection::open(up.ready.address()).await?;
    let refused = Person::sign_in(&mut web, &up.ready.issuer, EMAIL, WRONG_PASSWORD).await;
    assert!(refused.is_err(), "a wrong password was accepted");

    let mut web = Connection::open(up.ready.address()).await?;
    let (person, code) = Person::sign_in(&mut web, &up.ready.issuer, EMAIL, PASSWORD).await?;
    for cookie in person.cookie.split("; ") {
        secrets.add("cookie", cookie.split_once('=').unwrap().1);
    }
    secrets.add("code", &code.code);
    secrets.add("verifier", &code.verifier);

    // Each secret is used where it belongs, used twice, spoiled, and put where it does not belong.
    let spoiled = person
        .exchange_form(&code)
        .replace("code_verifier=", "code_verifier=x");
    post_token(&mut web, &person, &spoiled, StatusCode::BAD_REQUEST).await?;
    let granted = post_token(
        &mut web,
        &person,
        &person.exchange_form(&code),
        StatusCode::OK,
    )
    .await?;
    let access = secrets.add("access token", granted["access_token"].as_str().unwrap());
    let refresh = secrets.add("refresh token", granted["refresh_token"].as_str().unwrap());
    let renewed = post_token(
        &mut web,
        &person,
        &person.refresh_form(&refresh),
        StatusCode::OK,
    )
    .await?;
    secrets.add("access token", renewed["access_token"].as_str().unwrap());
    let successor = secrets.add("refresh token", renewed["refresh_token"].as_str().unwrap());
    let foreign = person
        .refresh_form(&successor)
        .replace("client_id=", "client_id=x");
    post_token(&mut web, &person, &foreign, StatusCode::UNAUTHORIZED).await?;

    let mcp = up.ready.mcp_url.split_once(up.ready.address()).unwrap().1;
    assert_eq!(call(&mut web, mcp, Some(&access)).await?, StatusCode::OK);
    let tampered = format!("{access}x");
    assert_eq!(
        call(&mut web, mcp, Some(&tampered)).await?,
        StatusCode::UNAUTHORIZED
    );
    let in_query = format!("{mcp}?access_token={access}");
    assert_ne!(call(&mut web, &in_query, None).await?, StatusCode::OK);
    let broken = Request::post(mcp)
        .header(header::AUTHORIZATION, format!("Bearer {access}"))
        .header(header::CONTENT_TYPE, "application/json");
    let answer = web
        .send(broken, format!("{{\"token\": \"{access}\""))
        .await?;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let garbled = format!("{{\"client_name\": \"{PASSWORD}\"");
    let registration = Request::post(format!("{}/register", person.issuer_path))
        .header(header::CONTENT_TYPE, "application/json");
    assert_eq!(
        web.send(registration, garbled).await?.status(),
        StatusCode::BAD_REQUEST
    );

    let (status, printed) = up.stop().await?;
    assert!(status.success(), "{status}");
    assert!(
        printed.matches("correlation_id=").count() >= 4,
        "the refusals were logged, so that the log's silence says something: {printed}"
    );
    // The screen of the first start shows the setup link, once and on purpose.
    let printed = printed.replacen(&setup_url, "", 1);
    secrets.must_be_absent("the terminal and the log", printed.as_bytes());
    let files = search(data.path(), &secrets)?;
    assert!(
        files >= 3,
        "the databases were searched, not only {files} files"
    );
    Ok(())
}

#[tokio::test]
async fn no_sink_holds_what_a_machine_proves_itself_with() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--log", "trace"], &[]).await?;
    let mut secrets = Secrets::default();
    let mut web = Connection::open(up.ready.address()).await?;
    let issuer = Url::parse(&up.ready.issuer)?.path().to_owned();
    let token = format!("{issuer}/token");
    let introspect = format!("{issuer}/introspect");
    let mcp = Url::parse(&up.ready.mcp_url)?.path().to_owned();
    let itself = ["--service-scope", "todo:read"];

    // A secret, right and wrong, in the header and in the form, and where it does not belong.
    let arguments = [
        &["clients", "add", "--name", "nightly", "--secret"][..],
        &itself,
    ]
    .concat();
    let printed = up.run(&arguments).await?;
    let (client, secret) = (word(&printed, "cli_"), word(&printed, "pck_"));
    secrets.add("client secret", &secret);
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")));
    secrets.add("Basic header", basic(&secret).trim_start_matches("Basic "));
    let form = "grant_type=client_credentials".to_owned();
    let granted = post(
        &mut web,
        &token,
        &form,
        Some(&basic(&secret)),
        StatusCode::OK,
    )
    .await?;
    let access = secrets.add("access token", granted["access_token"].as_str().unwrap());
    let wrong = basic(&format!("{secret}x"));
    post(
        &mut web,
        &token,
        &form,
        Some(&wrong),
        StatusCode::UNAUTHORIZED,
    )
    .await?;
    let posted = format!("{form}&client_id={client}&client_secret={secret}x");
    post(&mut web, &token, &posted, None, StatusCode::UNAUTHORIZED).await?;
    assert_eq!(
        call(&mut web, &mcp, Some(&secret)).await?,
        StatusCode::UNAUTHORIZED
    );

    // An assertion, good once, spoiled, and shown to the gateway.
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let file = data.path().with_extension("jwks.json");
    std::fs::write(&file, jwk_set(&key).to_string())?;
    let name = ["clients", "add", "--name", "signer", "--jwks-file"];
    let arguments = [&name[..], &[file.to_str().unwrap()], &itself].concat();
    let signer = word(&up.run(&arguments).await?, "cli_");
    std::fs::remove_file(&file)?;
    let assertion = secrets.add("assertion", &assertion(&key, &signer, &up.ready.issuer)?);
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let form = format!("{form}&client_assertion_type={kind}&client_assertion={assertion}");
    post(&mut web, &token, &form, None, StatusCode::OK).await?;
    post(&mut web, &token, &form, None, StatusCode::UNAUTHORIZED).await?;
    post(
        &mut web,
        &token,
        &format!("{form}x"),
        None,
        StatusCode::UNAUTHORIZED,
    )
    .await?;
    assert_eq!(
        call(&mut web, &mcp, Some(&assertion)).await?,
        StatusCode::UNAUTHORIZED
    );

    // A service token, used, spoiled, and sent to the wrong door.
    let create = [
        "service-tokens",
        "create",
        "--name",
        "ci",
        "--scope",
        "todo:read",
    ];
    let printed = up
        .run(&[&create[..], &["--expires", "30d"]].concat())
        .await?;
    let service = secrets.add("service token", &word(&printed, "pct_"));
    assert_eq!(call(&mut web, &mcp, Some(&service)).await?, StatusCode::OK);
    let made_up = format!("{}AAAA", &service[..service.len() - 4]);
    assert_eq!(
        call(&mut web, &mcp, Some(&made_up)).await?,
        StatusCode::UNAUTHORIZED
    );
    let form = format!("grant_type=refresh_token&refresh_token={service}&client_id={client}");
    post(
        &mut web,
        &token,
        &form,
        Some(&basic(&secret)),
        StatusCode::BAD_REQUEST,
    )
    .await?;

    // The credential of the MCP server, right and wrong, with tokens to ask about.
    let printed = up.run(&["servers", "credential"]).await?;
    let credential = printed
        .split_whitespace()
        .find(|word| word.contains(":pcq_"))
        .unwrap();
    secrets.add("credential", credential.split_once(':').unwrap().1);
    let header = |credential: &str| format!("Basic {}", STANDARD.encode(credential));
    secrets.add(
        "credential",
        header(credential).trim_start_matches("Basic "),
    );
    for asked in [&access, &service] {
        let form = format!("token={asked}");
        post(
            &mut web,
            &introspect,
            &form,
            Some(&header(credential)),
            StatusCode::OK,
        )
        .await?;
        let wrong = header(&format!("{credential}x"));
        post(
            &mut web,
            &introspect,
            &form,
            Some(&wrong),
            StatusCode::UNAUTHORIZED,
        )
        .await?;
    }

    let (status, printed) = up.stop().await?;
    assert!(status.success(), "{status}");
    assert!(
        printed.matches("correlation").count() >= 8,
        "the refusals were logged, so that the log's silence says something: {printed}"
    );
    secrets.must_be_absent("the terminal and the log", printed.as_bytes());
    assert!(search(data.path(), &secrets)? >= 3);
    Ok(())
}

fn word(text: &str, begins: &str) -> String {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .find(|word| word.starts_with(begins))
        .unwrap_or_else(|| panic!("nothing begins with {begins} in {text}"))
        .to_owned()
}

fn jwk_set(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "canary",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
    }]})
}

fn assertion(key: &EcdsaKeyPair, client: &str, issuer: &str) -> anyhow::Result<String> {
    let now = SystemClock.now().unix_seconds();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({"alg": "ES256", "typ": "JWT", "kid": "canary"})),
        part(json!({
            "iss": client, "sub": client, "aud": issuer,
            "iat": now, "exp": now + 60, "jti": "canary-of-the-assertion",
        }))
    );
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// What must be found nowhere.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, what: &'static str, secret: &str) -> String {
        assert!(secret.len() >= 16, "{what} is too short to look for");
        self.0.push((what, secret.to_owned()));
        secret.to_owned()
    }

    fn must_be_absent(&self, sink: &str, bytes: &[u8]) {
        for (what, secret) in &self.0 {
            // The last part of a JWT is its signature; cut at the front it would still be a leak.
            let telling = &secret.as_bytes()[secret.len() / 2..];
            assert!(
                !bytes.windows(telling.len()).any(|window| window == telling),
                "{sink} holds a {what}"
            );
        }
    }
}

/// Looks into every file below `folder`; how many there were.
fn search(folder: &Path, secrets: &Secrets) -> anyhow::Result<usize> {
    let mut files = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files += search(&path, secrets)?;
        } else {
            secrets.must_be_absent(&path.display().to_string(), &std::fs::read(&path)?);
            files += 1;
        }
    }
    Ok(files)
}

async fn post_token(
    web: &mut Connection,
    person: &Person,
    form: &str,
    expected: StatusCode,
) -> anyhow::Result<Value> {
    let path = format!("{}/token", person.issuer_path);
    post(web, &path, form, None, expected).await
}

async fn post(
    web: &mut Connection,
    path: &str,
    form: &str,
    authorization: Option<&str>,
    expected: StatusCode,
) -> anyhow::Result<Value> {
    let mut request =
        Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let answer = web.send(request, form.to_owned()).await?;
    assert_eq!(answer.status(), expected, "{}", text(&answer));
    Ok(serde_json::from_slice(answer.body())?)
}

async fn call(web: &mut Connection, path: &str, token: Option<&str>) -> anyhow::Result<StatusCode> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "canary", "version": "1"},
        },
    });
    let mut request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(web
        .send(request, Bytes::from(body.to_string()))
        .await?
        .status())
}
