use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mail::{Encryption, Mailbox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Host;

use super::Config;
use super::place::Place;
use super::valid::Checks;
use super::values::SecretText;
use crate::period::Period;
use crate::public_url::PublicUrl;

/// The mail server that takes messages to people. `portcullis mail test` tries it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// Its name, which must stand in its certificate, such as `smtp.example.com`. Without it no mail is sent.
    pub host: Option<String>,
    /// Its port. Without it: 587 for `starttls`, 465 for `implicit`, 25 for `none`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// How connections are encrypted.
    pub tls: MailTls,
    /// Whether `tls = "none"` is meant for a server on another machine too: everybody on the way can read what signs people in.
    pub unencrypted_allowed: bool,
    /// The name to sign in with, where the server wants one.
    pub user_name: Option<String>,
    /// The password for it.
    pub password: Option<SecretText>,
    /// A file that holds the password instead.
    pub password_file: Option<PathBuf>,
    /// Whom messages are from: `sign-in@example.com` or `Example <sign-in@example.com>`. The server must be willing to send for it.
    pub from: Option<String>,
    /// A PEM file with certificates to trust beside the machine's own, for a mail server within a company.
    pub ca_file: Option<PathBuf>,
    /// How long resolving the name, connecting and the TLS handshake may take together. Without it: 10s.
    pub connect_timeout: Option<Period>,
    /// How long a message may take altogether. Without it: 30s.
    pub timeout: Option<Period>,
}

/// How connections to the mail server are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// They begin in the clear and ask for TLS (RFC 3207). Without it nothing is sent.
    #[default]
    Starttls,
    /// They begin with TLS (RFC 8314).
    Implicit,
    /// Not at all; for a server on this machine, unless `unencrypted_allowed` says otherwise.
    None,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// What means nothing without `mail.host`.
const KEYS: [&str; 10] = [
    "port",
    "tls",
    "unencrypted_allowed",
    "user_name",
    "password",
    "password_file",
    "from",
    "ca_file",
    "connect_timeout",
    "timeout",
];

impl Checks<'_> {
    pub(super) fn mail(
        &mut self,
        config: &Config,
        public_url: &PublicUrl,
    ) -> Option<mail::Settings> {
        let mail = &config.mail;
        let Some(host) = &mail.host else {
            for key in KEYS {
                let path = format!("mail.{key}");
                if self.place(&path) != Place::Default {
                    self.problem(&path, "means nothing without mail.host");
                }
            }
            return None;
        };
        let literal = host.parse::<IpAddr>().ok();
        if literal.is_none() && !matches!(Host::parse(host), Ok(Host::Domain(_))) {
            self.problem(
                "mail.host",
                format!("{host:?} is no name of a host; write smtp.example.com, without a port"),
            );
        }
        let is_loopback = match literal {
            Some(address) => address.is_loopback(),
            None => host == "localhost",
        };
        let encryption = match mail.tls {
            MailTls::Starttls => Encryption::StartTls,
            MailTls::Implicit => Encryption::Implicit,
            MailTls::None => Encryption::None,
        };
        if encryption == Encryption::None && !is_loopback {
            match mail.unencrypted_allowed {
                false => self.problem(
                    "mail.tls",
                    format!(
                        "is none, and {host} is another machine: whoever is on the way reads what signs people in. Write \"starttls\" or \
                         \"implicit\", or say mail.unencrypted_allowed = true"
                    ),
                ),
                true => self.warnings.push(format!(
                    "mail to {host} is not encrypted: whoever is on the way reads what signs people in"
                )),
            }
        }
        let credentials = self.mail_credentials(config);
        let from = self.mail_from(mail);
        self.mail_ca_file(mail);
        let total_timeout = mail.timeout.map_or(TIMEOUT, Period::duration);
        let connect_timeout = mail
            .connect_timeout
            .map_or_else(|| CONNECT_TIMEOUT.min(total_timeout), Period::duration);
        if connect_timeout > total_timeout {
            self.problem(
                "mail.connect_timeout",
                format!(
                    "is longer than mail.timeout, which is {}s",
                    total_timeout.as_secs()
                ),
            );
        }
        Some(mail::Settings {
            host: host.clone(),
            port: mail.port.unwrap_or(encryption.port()),
            encryption,
            credentials,
            from: from?,
            hello_name: hello_name(public_url),
            ca_file: mail.ca_file.clone(),
            connect_timeout,
            total_timeout,
        })
    }

    fn mail_credentials(&mut self, config: &Config) -> Option<(String, base::Secret<String>)> {
        let mail = &config.mail;
        let password = self.secret(
            ("mail.password", mail.password.as_ref()),
            ("mail.password_file", mail.password_file.as_deref()),
        );
        let said = mail.password.is_some() || mail.password_file.is_some();
        match (&mail.user_name, password) {
            (Some(name), _) if name.is_empty() || name.chars().any(char::is_control) => {
                self.problem(
                    "mail.user_name",
                    "is empty or has a control character in it",
                );
                None
            }
            (Some(name), Some(password)) => Some((name.clone(), password)),
            (Some(_), None) => {
                if !said {
                    self.problem("mail.user_name", "needs mail.password_file");
                }
                None
            }
            (None, _) => {
                if said {
                    let path = match mail.password {
                        Some(_) => "mail.password",
                        None => "mail.password_file",
                    };
                    self.problem(path, "means nothing without mail.user_name");
                }
                None
            }
        }
    }

    fn mail_from(&mut self, mail: &Mail) -> Option<Mailbox> {
        let Some(from) = &mail.from else {
            self.problem(
                "mail.host",
                "needs mail.from, the address that messages are from, such as mail.from = \"Example <sign-in@example.com>\"",
            );
            return None;
        };
        match from.parse() {
            Ok(from) => Some(from),
            Err(error) => {
                self.problem("mail.from", format!("{from:?} {error}"));
                None
            }
        }
    }

    fn mail_ca_file(&mut self, mail: &Mail) {
        let Some(path) = &mail.ca_file else { return };
        if let Err(error) = egress::client_config(Some(path)) {
            let words = error.to_string();
            self.problem("mail.ca_file", words.trim_start_matches("ca_file "));
        }
    }
}

/// A name under which this machine is known; addresses are written in brackets (RFC 5321 section 4.1.3).
fn hello_name(public_url: &PublicUrl) -> String {
    let url = url::Url::parse(public_url.as_str());
    let host = url.as_ref().ok().and_then(url::Url::host);
    match host {
        Some(Host::Ipv4(address)) => format!("[{address}]"),
        Some(Host::Ipv6(address)) => format!("[IPv6:{address}]"),
        Some(Host::Domain(name)) => name.to_owned(),
        None => "localhost".to_owned(),
    }
}
