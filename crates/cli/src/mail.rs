//! `portcullis mail`: tries the mail server of the configuration, step by step.

use std::sync::Arc;

use anyhow::Context as _;
use base::{OsRandom, SystemClock};
use clap::Subcommand;
use mail::{Mailbox, Mailer, Message, Settings, Step};

use crate::failure::usage;
use crate::terminal::{Terminal, plain};

/// The longest line of a server that is shown.
const SHOWN_MAX: usize = 120;

/// What `mail` does.
#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// Send one message through the mail server, and say of each step what came of it
    Test {
        /// Who gets it
        #[arg(long, value_name = "ADDRESS", value_parser = address)]
        to: Mailbox,
    },
}

fn address(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// Runs `portcullis mail`. Whether the server took the message.
///
/// # Errors
/// When the configuration names no mail server.
pub async fn run(
    command: MailCommand,
    settings: Option<Settings>,
    out: &Terminal,
) -> anyhow::Result<bool> {
    let MailCommand::Test { to } = command;
    let settings = settings.ok_or_else(|| {
        usage("mail.host is missing: the configuration names no mail server; see [mail] in docs/configuration.md")
    })?;
    let mailer = Mailer::new(settings, Arc::new(SystemClock), Arc::new(OsRandom))
        .context("mail.ca_file cannot be used")?;
    let settings = mailer.settings();
    let message = test_message(to, settings);
    let mut told = |step: Step, words: &str| {
        out.line(format!(
            "{} {step:<10} {}",
            out.paint.good("ok    "),
            plain(words, SHOWN_MAX)
        ));
    };
    match mailer.send_telling(&message, &mut told).await {
        Ok(sent) => {
            out.line("");
            out.line(format!(
                "{} has the message for {} now. If it does not arrive, look among spam; its log knows it as {}",
                settings.host,
                message.to.address(),
                sent.message_id
            ));
            Ok(true)
        }
        Err(failure) => {
            out.line(format!("{} {failure}", out.paint.bad("failed")));
            out.line(format!(
                "       {}; {}",
                failure.advice(settings),
                match failure.is_permanent() {
                    true => "until then the same will happen again",
                    false => "the same may work later",
                }
            ));
            Ok(false)
        }
    }
}

fn test_message(to: Mailbox, settings: &Settings) -> Message {
    Message {
        to,
        subject: "Mail from Portcullis works".to_owned(),
        text: format!(
            "Hello,\n\n\
             somebody who runs Portcullis at {} asked it to send this message, to see whether mail\n\
             arrives. It does. There is nothing to click and nothing to do.\n\n\
             It came through {}, port {}. If you did not expect it, whoever runs that server\n\
             can tell who sent it.\n",
            settings.hello_name, settings.host, settings.port
        ),
        html: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use mail::Encryption;
    use testkit::{SmtpFault, SmtpServer, SmtpSettings};

    use super::*;

    async fn run_with(settings: Option<Settings>) -> (bool, String) {
        let out = Terminal::memory();
        let to = "ada@example.org".parse().unwrap();
        let taken = run(MailCommand::Test { to }, settings, &out).await;
        (taken.unwrap(), out.kept())
    }

    #[tokio::test]
    async fn each_step_is_told_and_a_failure_says_what_to_change() {
        let folder = tempfile::tempdir().unwrap();
        let server = SmtpServer::start(SmtpSettings {
            user: Some(("portcullis", "hunter2")),
            ..SmtpSettings::default()
        })
        .await;
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, server.ca_pem()).unwrap();
        let settings = Settings {
            host: "localhost".to_owned(),
            port: server.address().port(),
            encryption: Encryption::StartTls,
            credentials: Some(("portcullis".to_owned(), "hunter2".to_owned().into())),
            from: "Example <sign-in@example.com>".parse().unwrap(),
            hello_name: "mcp.example.com".to_owned(),
            ca_file: Some(ca_file),
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(10),
        };
        let (taken, told) = run_with(Some(settings.clone())).await;
        assert!(taken, "{told}");
        let mut rest = told.as_str();
        for step in [
            "name",
            "connect",
            "greeting",
            "EHLO",
            "STARTTLS",
            "TLS ",
            "EHLO",
            "AUTH",
            "MAIL FROM",
            "RCPT TO",
            "DATA",
        ] {
            let (_, behind) = rest.split_once(&format!("ok     {step}")).expect(&told);
            rest = behind;
        }
        let received = server.received();
        let content = &received[0].content;
        assert!(
            content.contains("Subject: Mail from Portcullis works"),
            "{content}"
        );
        assert!(
            content.contains("Auto-Submitted: auto-generated"),
            "{content}"
        );
        assert!(
            told.contains("has the message for ada@example.org now"),
            "{told}"
        );
        assert!(!told.contains("hunter2"));

        server.fail(Some(SmtpFault::Says("MAIL", "553 5.7.1 not yours")));
        let (taken, told) = run_with(Some(settings.clone())).await;
        assert!(!taken);
        assert!(
            told.contains("failed MAIL FROM: 553 5.7.1 not yours\n"),
            "{told}"
        );
        assert!(told.contains("set mail.from to an address"), "{told}");
        assert!(told.contains("the same will happen again"), "{told}");
        server.fail(Some(SmtpFault::Says("RCPT", "450 4.2.1 greylisted")));
        let (taken, told) = run_with(Some(settings)).await;
        assert!(!taken && told.contains("the same may work later"), "{told}");
    }

    #[tokio::test]
    async fn without_a_mail_server_the_setting_is_named() {
        let to = "ada@example.org".parse().unwrap();
        let refused = run(MailCommand::Test { to }, None, &Terminal::memory()).await;
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("mail.host is missing")
        );
    }
}
