use std::fmt;

use lettre::transport::smtp::response::Response;

use crate::{Encryption, Settings, Step};

const WORDS_CHARACTERS_MAX: usize = 240;

/// Why a message was not sent, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it failed.
    pub step: Step,
    /// How.
    pub kind: Kind,
    /// The code of the server's reply, such as 550.
    pub code: Option<u16>,
    /// Whether the server may have taken the message, and only its answer is missing.
    pub may_have_arrived: bool,
    pub(crate) words: String,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As many messages as are sent and may wait at once already are.
    Busy,
    /// The message cannot be sent to anybody.
    Invalid,
    /// No connection, or it broke off.
    Unreachable,
    /// The time was over.
    TimedOut,
    /// No encrypted connection with the server that was meant.
    Insecure,
    /// The server does not sign us in.
    NotSignedIn,
    /// The server asks to try later: 4xx.
    Deferred,
    /// The server will not take it: 5xx.
    Refused,
    /// What answers there does not speak SMTP as it should.
    NotSmtp,
}

impl Kind {
    /// Its word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Invalid => "invalid",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Insecure => "insecure",
            Self::NotSignedIn => "not_signed_in",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::NotSmtp => "not_smtp",
        }
    }

    /// Whether the same message would fail again, until somebody changes something.
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Invalid | Self::Insecure | Self::NotSignedIn | Self::Refused | Self::NotSmtp => {
                true
            }
            Self::Busy | Self::Unreachable | Self::TimedOut | Self::Deferred => false,
        }
    }
}

impl Failure {
    pub(crate) fn new(step: Step, kind: Kind, words: impl Into<String>) -> Self {
        Self {
            step,
            kind,
            code: None,
            may_have_arrived: false,
            words: words.into(),
        }
    }

    /// A reply that says no. `secrets` are not repeated, should the server do it.
    pub(crate) fn of_reply(step: Step, reply: &Response, secrets: &[&str]) -> Self {
        let code = u16::from(reply.code());
        let kind = match (code / 100, step) {
            (4, _) => Kind::Deferred,
            (5, Step::Authenticate) => Kind::NotSignedIn,
            (5, Step::StartTls) => Kind::Insecure,
            (5, _) => Kind::Refused,
            // A yes where another one was due.
            _ => Kind::NotSmtp,
        };
        Self {
            code: Some(code),
            ..Self::new(step, kind, server_words(code, reply, secrets))
        }
    }

    /// Whether the same message would fail again, until somebody changes something.
    pub fn is_permanent(&self) -> bool {
        self.kind.is_permanent()
    }

    /// What to change, with the names of the settings.
    pub fn advice(&self, settings: &Settings) -> String {
        if self.kind == Kind::Deferred {
            return "the server asks to try again later".to_owned();
        }
        let port = settings.port;
        match self.step {
            Step::Waiting => "many messages are on their way already; try again in a minute".into(),
            Step::Composing => "the message itself has to change".into(),
            Step::Name => "check mail.host, and whether this machine can resolve names".into(),
            Step::Connect => format!(
                "check mail.host and mail.port ({port}), and whether a firewall is between; many hosters close port 25"
            ),
            Step::Tls => self.tls_advice(settings),
            Step::Greeting => self.greeting_advice(settings),
            Step::Hello => "the server does not greet a client by EHLO; check mail.host and mail.port".into(),
            Step::StartTls => "nothing is sent in the clear instead; set mail.tls = \"implicit\" with port 465 if the server has that, or ask \
                               whoever runs it for STARTTLS"
                .into(),
            Step::Authenticate => match self.code {
                Some(530 | 538) => "the server signs in over TLS only; set mail.tls to \"starttls\" or \"implicit\"".into(),
                Some(_) => "check mail.user_name and mail.password_file; many providers want a password that was made for one program".into(),
                None => format!(
                    "use a port where the server takes sign-ins, mostly 587 or 465 (mail.port is {port}), or leave mail.user_name out where it \
                     knows this machine by its address"
                ),
            },
            _ if self.code == Some(530) => "the server wants a sign-in; set mail.user_name and mail.password_file".into(),
            Step::Sender => format!(
                "set mail.from to an address that the server sends for; it is {}",
                settings.from.address()
            ),
            Step::Recipient if settings.credentials.is_none() => {
                "check the address; a server that sends mail to others mostly wants mail.user_name and mail.password_file first".into()
            }
            Step::Recipient => "check the address; this server does not take mail for it".into(),
            Step::Content => "the server took the addresses and not the message: its own words say why".into(),
        }
    }

    fn tls_advice(&self, settings: &Settings) -> String {
        let says = |part: &str| self.words.contains(part);
        if self.kind == Kind::TimedOut || self.kind == Kind::Unreachable {
            return "the server takes connections and does not speak TLS; check mail.port and mail.tls".into();
        }
        if says("UnknownIssuer") || says("unknown issuer") {
            return "its certificate comes from an authority that this machine does not trust; name that one in mail.ca_file".into();
        }
        if says("not valid for name") || says("NotValidForName") {
            return format!(
                "its certificate is for another name than mail.host, which is {}; write the name that stands in it",
                settings.host
            );
        }
        if says("xpired") {
            return "its certificate has ended; whoever runs the server must renew it".into();
        }
        match settings.encryption {
            Encryption::Implicit => {
                "this port may not begin with TLS; set mail.tls = \"starttls\", mostly with port 587".into()
            }
            _ => "ask whoever runs the server which TLS it speaks".into(),
        }
    }

    fn greeting_advice(&self, settings: &Settings) -> String {
        if self.kind == Kind::Refused {
            return "the server talks to nobody from this address; ask whoever runs it".into();
        }
        if settings.port == 465 && settings.encryption != Encryption::Implicit {
            return "port 465 begins with TLS; set mail.tls = \"implicit\"".into();
        }
        format!(
            "what answers there does not greet as a mail server does; check mail.host and mail.port ({})",
            settings.port
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.step, self.words)?;
        if self.may_have_arrived {
            formatter.write_str("; it may have been delivered all the same")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What the server said, as one short line that can be shown: links could be those of the message, which sign somebody in.
fn server_words(code: u16, reply: &Response, secrets: &[&str]) -> String {
    let said: Vec<&str> = reply.message().collect();
    let said = said.join(" ");
    if secrets.iter().any(|secret| said.contains(secret)) {
        return format!("{code} (its words repeat the password and are not shown)");
    }
    let words: Vec<&str> = said
        .split_whitespace()
        .map(|word| if word.contains("://") { "(link)" } else { word })
        .collect();
    let words: String = words
        .join(" ")
        .chars()
        .filter(|character| !character.is_control())
        .take(WORDS_CHARACTERS_MAX)
        .collect();
    format!("{code} {words}").trim_end().to_owned()
}
