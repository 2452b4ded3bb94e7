#![allow(clippy::unwrap_used)]

mod faults;
mod limits;
mod messages;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use base::{Secret, SystemClock, Timestamp};
use tempfile::TempDir;
use testkit::{MovableClock, SeededRandom, SmtpServer, SmtpSettings, SmtpTls};

use crate::{Encryption, Failure, Mailer, Message, Sent, Settings};

const USER: (&str, &str) = ("portcullis", "correct horse battery staple");

/// A mail server, and a mailer that trusts it.
struct Post {
    server: SmtpServer,
    settings: Settings,
    _folder: TempDir,
}

impl Post {
    async fn start(server: SmtpSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let encryption = match server.tls {
            SmtpTls::None => Encryption::None,
            SmtpTls::StartTls => Encryption::StartTls,
            SmtpTls::Implicit => Encryption::Implicit,
        };
        let credentials = server
            .user
            .map(|(name, password)| (name.to_owned(), Secret::new(password.to_owned())));
        let server = SmtpServer::start(server).await;
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, server.ca_pem()).unwrap();
        let settings = Settings {
            host: "localhost".to_owned(),
            port: server.address().port(),
            encryption,
            credentials,
            from: "Example <sign-in@example.com>".parse().unwrap(),
            hello_name: "mcp.example.com".to_owned(),
            ca_file: Some(ca_file),
            connect_timeout: Duration::from_millis(1500),
            total_timeout: Duration::from_secs(3),
        };
        Self {
            server,
            settings,
            _folder: folder,
        }
    }

    fn mailer(&self) -> Mailer {
        mailer(self.settings.clone())
    }

    async fn send(&self) -> Result<Sent, Failure> {
        self.mailer().send(&message()).await
    }
}

fn mailer(settings: Settings) -> Mailer {
    let random = Arc::new(SeededRandom::new(7));
    Mailer::new(settings, Arc::new(SystemClock), random).unwrap()
}

fn message() -> Message {
    Message {
        to: "ada@example.org".parse().unwrap(),
        subject: "Sign in to Example".to_owned(),
        text: "https://mcp.example.com/sign-in?token=s3cr3t\n".to_owned(),
        html: None,
    }
}

fn clock() -> MovableClock {
    MovableClock::at(Timestamp::from_unix_seconds(1_800_000_000))
}
