//! From the command line to a plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::Secret;
use doctor::Plan;
use doctor::attack::Materials;
use doctor::signed_in::{BrowserSignIn, Client, REUSE_AFTER, SignIn};

use super::DoctorArguments;
use crate::browser;
use crate::client::DoctorBrowser;
use crate::failure::usage;
use crate::terminal::Terminal;

/// A token or a secret is never as long as this.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// How long an examination may take in which a person signs in.
const WITH_A_PERSON: Duration = Duration::from_secs(600);

/// What `asked` says, checked.
///
/// # Errors
/// Names the flag that cannot be what was meant.
pub fn plan(asked: &DoctorArguments, url: String, progress: &Terminal) -> anyhow::Result<Plan> {
    let mut plan = Plan::new(url);
    plan.personas = clients(&asked.clients)?;
    plan.register = asked.register;
    plan.attack = asked.attack;
    plan.attack_materials = attack_materials(asked)?;
    plan.ca_file.clone_from(&asked.ca_file);
    plan.sign_in = sign_in(asked, progress)?;
    if matches!(plan.sign_in, SignIn::Browser(_)) {
        plan.limits.total = WITH_A_PERSON;
    }
    if let Some(seconds) = asked.timeout {
        plan.limits.total = Duration::from_secs(seconds);
    }
    Ok(plan)
}

/// What is said before anything is sent: what leaves a trace at somebody else's.
pub fn announcements(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if plan.register {
        lines.push(
            "Clients are registered at the authorization server of this URL; their names begin with \"Portcullis doctor\"."
                .to_owned(),
        );
    }
    if plan.attack {
        lines.push(
            "Attacks that must be refused are tried at this URL and its authorization server, and nowhere else.".to_owned(),
        );
    }
    lines
}

fn attack_materials(asked: &DoctorArguments) -> anyhow::Result<Materials> {
    let token =
        |flag, file: &Option<PathBuf>| file.as_deref().map(|file| secret(flag, file)).transpose();
    let signing_key_pem = match &asked.attack_key {
        Some(file) => {
            let pem = small_text("--attack-key", file)?;
            ensure!(
                pem.contains("PRIVATE KEY-----"),
                "--attack-key {} holds no private key in PEM",
                file.display()
            );
            Some(Secret::new(pem))
        }
        None => None,
    };
    Ok(Materials {
        signing_key_pem,
        narrow_token: token("--narrow-token-file", &asked.narrow_token_file)?,
        expired_token: token("--expired-token-file", &asked.expired_token_file)?,
        other_audience_token: token(
            "--other-audience-token-file",
            &asked.other_audience_token_file,
        )?,
    })
}

fn clients(asked: &[String]) -> anyhow::Result<Vec<String>> {
    let chosen = doctor::persona::choose(&asked.join(","))
        .map_err(|why| usage(format!("--as: {}", crate::terminal::plain(&why, 2_000))))?;
    Ok(chosen.iter().map(|client| client.id.clone()).collect())
}

fn sign_in(asked: &DoctorArguments, progress: &Terminal) -> anyhow::Result<SignIn> {
    if let Some(file) = &asked.token_file {
        return Ok(SignIn::Token(secret("--token-file", file)?));
    }
    let client_secret = asked
        .client_secret_file
        .as_deref()
        .map(|file| secret("--client-secret-file", file))
        .transpose()?;
    if let Some(id) = &asked.client_credentials {
        return Ok(SignIn::ClientCredentials(Client {
            id: id.clone(),
            secret: client_secret,
        }));
    }
    if !asked.sign_in {
        return Ok(SignIn::No);
    }
    let opens = !asked.no_open && browser::is_likely();
    Ok(SignIn::Browser(BrowserSignIn {
        browser: Arc::new(DoctorBrowser {
            open_browser: Arc::new(move |url| opens && browser::open(url)),
            progress: progress.clone(),
        }),
        client: asked.client_id.clone().map(|id| Client {
            id,
            secret: client_secret,
        }),
        reuse_after: Some(REUSE_AFTER),
    }))
}

/// The one line of a file, without spaces around it; `Bearer ` before a token is left out.
fn secret(flag: &str, file: &Path) -> anyhow::Result<Secret<String>> {
    let shown = file.display();
    let text = small_text(flag, file)?;
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    ensure!(!text.is_empty(), "{flag} {shown} is empty");
    ensure!(
        !text.contains(char::is_whitespace),
        "{flag} {shown} holds more than one word; it must hold the token alone"
    );
    Ok(Secret::new(text.to_owned()))
}

fn small_text(flag: &str, file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let size = std::fs::metadata(file)
        .with_context(|| format!("{flag} {shown} cannot be read"))?
        .len();
    ensure!(
        size <= SECRET_BYTES_MAX,
        "{flag} {shown} has {size} bytes, which no token or key has"
    );
    std::fs::read_to_string(file).with_context(|| format!("{flag} {shown} cannot be read as text"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_named_once_and_unknown_ones_are_refused_with_those_that_are_known() {
        let named = |names: &[&str]| {
            clients(
                &names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            named(&["claude-code", " vscode", "claude-code", ""]).unwrap(),
            ["claude-code", "vscode"]
        );
        assert!(named(&["all"]).unwrap().len() >= 10);
        assert_eq!(named(&[]).unwrap(), Vec::<String>::new());
        let refused = named(&["claude-cod"]).unwrap_err().to_string();
        assert!(refused.contains("claude-code"), "{refused}");
    }

    #[test]
    fn a_token_is_read_without_what_stands_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            secret("--token-file", &file)
        };
        assert_eq!(read("abc\n").unwrap().expose(), "abc");
        assert_eq!(read("Bearer abc\n").unwrap().expose(), "abc");
        assert!(read(" \n").is_err());
        assert!(read("abc def").is_err());
    }
}
