//! The examples of `docs/identity.md`, as they stand, on what a gateway really sends and on what it never would.

#![allow(clippy::print_stdout, reason = "says what was not run")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{Rig, SLUG, SigningKey};

#[path = "../../../../examples/verify-identity/rust/verify_identity.rs"]
mod verify_identity;

/// What a verifier must say of a header: accepted or not, and why it is here.
type Case = (&'static str, bool, String);

/// What one gateway sent, and its twins that differ from it in one thing.
struct Corpus {
    keys: Value,
    issuer: String,
    cases: Vec<Case>,
}

impl Corpus {
    async fn new() -> Self {
        let rig = Rig::start().await;
        // The verifiers ask the machine's clock.
        rig.clock.set(SystemClock.now());
        rig.publish(|_| {});
        let client = rig
            .caller("note:read")
            .with_header("portcullis-identity", "forged");
        assert_eq!(client.call_tool("echo", json!({})).await.status, 200);
        let sent = rig.echo.requests();
        let real: Vec<_> = sent[0]
            .headers
            .get_all("portcullis-identity")
            .iter()
            .collect();
        assert_eq!(
            real.len(),
            1,
            "what the caller sent under this name is gone"
        );
        let now = rig.clock.now().unix_seconds();
        let claims = json!({
            "iss": rig.origin(), "aud": SLUG, "sub": "usr_alice", "client_id": "cli_1", "grant_id": "grt_1",
            "scope": "note:read", "iat": now, "exp": now + 60, "jti": "j",
        });
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            claims
        };
        let without = |name: &str| {
            let mut claims = claims.clone();
            claims.as_object_mut().unwrap().remove(name);
            claims
        };
        let typ = "portcullis-identity+jwt";
        let sign = |claims: &Value| rig.identity_key.sign(typ, claims);
        let foreign = SigningKey::generate("identity-1");
        let unknown = SigningKey::generate("identity-2");
        let good = sign(&claims);
        let (signed, _) = good.rsplit_once('.').unwrap();
        let cases = vec![
            (
                "what the gateway sent",
                true,
                real[0].to_str().unwrap().to_owned(),
            ),
            ("one made alike", true, good.clone()),
            (
                "for another server",
                false,
                sign(&with("aud", json!("other"))),
            ),
            (
                "of another authority",
                false,
                sign(&with("iss", json!("https://other.example"))),
            ),
            ("expired", false, sign(&with("exp", json!(now - 30)))),
            (
                "within the leeway",
                true,
                sign(&with("exp", json!(now - 1))),
            ),
            ("without an end", false, sign(&without("exp"))),
            ("about nobody", false, sign(&without("sub"))),
            (
                "of a foreign key with our key's name",
                false,
                foreign.sign(typ, &claims),
            ),
            (
                "of a key that nobody has",
                false,
                unknown.sign(typ, &claims),
            ),
            (
                "an access token of the same key",
                false,
                rig.identity_key.sign("at+jwt", &claims),
            ),
            (
                "the access token of the call",
                false,
                rig.token("note:read"),
            ),
            ("without a signature", false, format!("{signed}.")),
            ("no token", false, "forged".to_owned()),
        ];
        Self {
            keys: json!({"keys": [rig.identity_key.jwk()]}),
            issuer: rig.origin(),
            cases,
        }
    }

    /// The address of the key set, served until the test ends.
    async fn serve_keys(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = self.keys.to_string();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}/servers/{SLUG}/identity/jwks.json")
    }

    /// Gives each header to a program, one per line, which answers each with a line: `accepted SUBJECT` or `refused`.
    async fn check_with(&self, mut program: Command) {
        let mut child = program
            .arg(self.serve_keys().await)
            .args([&self.issuer, SLUG])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines: String = self
            .cases
            .iter()
            .map(|(_, _, header)| format!("{header}\n"))
            .collect();
        let mut sink = child.stdin.take().unwrap();
        sink.write_all(lines.as_bytes()).await.unwrap();
        drop(sink);
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<_> = said.lines().collect();
        assert_eq!(said.len(), self.cases.len(), "{said:?}");
        for ((what, accepted, _), said) in self.cases.iter().zip(said) {
            let wanted = if *accepted {
                "accepted usr_alice"
            } else {
                "refused"
            };
            assert!(said.starts_with(wanted), "{what}: {said}");
        }
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example(file: &str) -> String {
    std::fs::read_to_string(project().join("examples/verify-identity").join(file)).unwrap()
}

/// A folder with an example and the few lines that feed it.
fn folder(file: &str, driver: &str, lines: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("identity-{}-{driver}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let name = Path::new(file).file_name().unwrap();
    std::fs::write(folder.join(name), example(file)).unwrap();
    std::fs::write(folder.join(driver), lines).unwrap();
    folder
}

/// Whether what `cargo xtask test` installs is there; it must be when that runs this.
fn installed(path: &Path) -> bool {
    let there = path.exists();
    assert!(
        there || std::env::var_os("PORTCULLIS_IDENTITY_EXAMPLES").is_none(),
        "{} is missing",
        path.display()
    );
    if !there {
        println!(
            "identity: NOT RUN, for {} is missing; cargo xtask test installs it",
            path.display()
        );
    }
    there
}

#[tokio::test]
async fn the_rust_example_believes_the_gateway_and_nothing_else() {
    let corpus = Corpus::new().await;
    let verifier =
        verify_identity::Verifier::new(&corpus.keys.to_string(), &corpus.issuer, SLUG).unwrap();
    for (what, accepted, header) in &corpus.cases {
        let verdict = verifier.verify(header);
        assert_eq!(verdict.is_ok(), *accepted, "{what}: {verdict:?}");
        if let Ok(identity) = verdict {
            assert_eq!(identity.sub, "usr_alice");
            assert_eq!(identity.client_id, "cli_1");
            assert_eq!(identity.scope, "note:read");
        }
    }
}

#[tokio::test]
async fn the_node_example_believes_the_gateway_and_nothing_else() {
    let modules = project().join("tests/node_modules");
    if !installed(&modules.join("jose")) {
        return;
    }
    let lines = r#"
import { createInterface } from "node:readline";
import { identityVerifier } from "./verify_identity.mjs";
const [keys, issuer, slug] = process.argv.slice(2);
const verify = identityVerifier({ keys, issuer, slug });
for await (const header of createInterface({ input: process.stdin })) {
  console.log(await verify(header).then((claims) => `accepted ${claims.sub}`, (error) => `refused ${error.message}`));
}
"#;
    let folder = folder("node/verify_identity.mjs", "driver.mjs", lines);
    let link = folder.join("node_modules");
    if !link.exists() {
        std::os::unix::fs::symlink(&modules, &link).unwrap();
    }
    let mut node = Command::new("node");
    node.arg(folder.join("driver.mjs"));
    Corpus::new().await.check_with(node).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_python_example_believes_the_gateway_and_nothing_else() {
    let python = project().join(".tools/python/bin/python");
    if !installed(&python) {
        return;
    }
    let lines = r#"
import sys
import jwt
from verify_identity import IdentityVerifier

verifier = IdentityVerifier(*sys.argv[1:4])
for header in sys.stdin:
    try:
        print("accepted", verifier.verify(header.strip())["sub"])
    except jwt.PyJWTError as error:
        print("refused", " ".join(str(error).split()))
"#;
    let folder = folder("python/verify_identity.py", "driver.py", lines);
    let mut program = Command::new(python);
    program.arg(folder.join("driver.py"));
    Corpus::new().await.check_with(program).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_page_shows_the_files_that_run() {
    let page = std::fs::read_to_string(project().join("docs/identity.md")).unwrap();
    for file in [
        "rust/verify_identity.rs",
        "node/verify_identity.mjs",
        "python/verify_identity.py",
    ] {
        assert!(
            page.contains(&format!("\n{}```\n", example(file))),
            "{file}"
        );
    }
}
