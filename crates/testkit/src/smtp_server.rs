//! A small mail server: it takes messages over plain SMTP, STARTTLS or TLS from the first byte, signs in by AUTH PLAIN and
//! LOGIN, remembers everything, and fails at any step in any way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::document_host::certificate_for;

/// How its connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// When asked by STARTTLS.
    StartTls,
    /// From the first byte.
    Implicit,
}

/// What it does at a step instead of the right thing. Steps are `greeting`, the verbs of commands, `password` (the second answer of
/// AUTH LOGIN) and `content`, the message behind DATA.
#[derive(Debug, Clone)]
pub enum SmtpFault {
    /// Says this; 220 and 354 are still followed by what they promise.
    Says(&'static str, &'static str),
    /// Says nothing and keeps the connection.
    Silent(&'static str),
    /// Closes the connection.
    Closes(&'static str),
    /// Begins a line that never ends.
    Endless(&'static str),
}

/// What it is.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// How connections are encrypted.
    pub tls: SmtpTls,
    /// The one name in its certificate.
    pub name: &'static str,
    /// Whom it signs in; mail is taken from nobody else.
    pub user: Option<(&'static str, &'static str)>,
    /// The mechanisms that it offers.
    pub mechanisms: &'static str,
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            tls: SmtpTls::StartTls,
            name: "localhost",
            user: None,
            mechanisms: "PLAIN LOGIN",
        }
    }
}

/// A message that it took.
#[derive(Debug, Clone)]
pub struct ReceivedMail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The message as it came, with doubled dots undone.
    pub content: String,
    /// Whether it came encrypted.
    pub encrypted: bool,
    /// Who was signed in.
    pub user: Option<String>,
}

/// A running mail server; it stops when the value is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    address: SocketAddr,
    ca_pem: String,
    state: Arc<State>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    fault: Mutex<Option<SmtpFault>>,
    received: Mutex<Vec<ReceivedMail>>,
    commands: Mutex<Vec<(String, bool)>>,
}

impl SmtpServer {
    /// Starts on a free loopback port.
    pub async fn start(settings: SmtpSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (ca_pem, acceptor) = certificate_for(&[settings.name]);
        let state = Arc::new(State::default());
        let stop = CancellationToken::new();
        tokio::spawn(accept(
            listener,
            settings,
            acceptor,
            Arc::clone(&state),
            stop.clone(),
        ));
        Self {
            address,
            ca_pem,
            state,
            stop,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root that its certificate comes from.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Fails from now on, or no longer.
    pub fn fail(&self, fault: Option<SmtpFault>) {
        *lock(&self.state.fault) = fault;
    }

    /// The messages that came.
    pub fn received(&self) -> Vec<ReceivedMail> {
        lock(&self.state.received).clone()
    }

    /// The commands that came, each with whether it was encrypted.
    pub fn commands(&self) -> Vec<(String, bool)> {
        lock(&self.state.commands).clone()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    settings: SmtpSettings,
    acceptor: TlsAcceptor,
    state: Arc<State>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (settings, acceptor) = (settings.clone(), acceptor.clone());
        let (state, stop) = (Arc::clone(&state), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = serve(stream, &settings, &acceptor, &state) => {}
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    settings: &SmtpSettings,
    acceptor: &TlsAcceptor,
    state: &State,
) -> std::io::Result<()> {
    let mut talk = Talk {
        settings,
        state,
        encrypted: settings.tls == SmtpTls::Implicit,
        user: None,
    };
    if settings.tls == SmtpTls::Implicit {
        talk.talk(&mut BufReader::new(acceptor.accept(stream).await?), true)
            .await?;
        return Ok(());
    }
    let mut stream = BufReader::new(stream);
    if talk.talk(&mut stream, true).await? == End::StartTls {
        talk.encrypted = true;
        let mut stream = BufReader::new(acceptor.accept(stream.into_inner()).await?);
        talk.talk(&mut stream, false).await?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    StartTls,
}

/// What follows a step that was answered.
enum Answered {
    Yes,
    No,
    Close,
}

struct Talk<'a> {
    settings: &'a SmtpSettings,
    state: &'a State,
    encrypted: bool,
    user: Option<String>,
}

impl Talk<'_> {
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        greets: bool,
    ) -> std::io::Result<End> {
        if greets
            && let Answered::Close = self
                .answer(stream, "greeting", "220 localhost ready")
                .await?
        {
            return Ok(End::Closed);
        }
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let Some(line) = line(stream).await? else {
                return Ok(End::Closed);
            };
            lock(&self.state.commands).push((line.clone(), self.encrypted));
            let verb = line
                .split([' ', ':'])
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            let wants_user = self.settings.user.is_some() && self.user.is_none();
            let answered = match verb.as_str() {
                "EHLO" => self.answer(stream, "EHLO", &self.offers()).await?,
                "STARTTLS" if self.settings.tls == SmtpTls::StartTls && !self.encrypted => {
                    match self.answer(stream, "STARTTLS", "220 go on").await? {
                        Answered::Yes => return Ok(End::StartTls),
                        other => other,
                    }
                }
                "AUTH" => self.sign_in(stream, &line).await?,
                "MAIL" | "RCPT" if wants_user => {
                    self.answer(stream, "MAIL", "530 5.7.0 sign in first")
                        .await?
                }
                "MAIL" => {
                    from = address(&line);
                    to.clear();
                    self.answer(stream, "MAIL", "250 2.1.0 fine").await?
                }
                "RCPT" => {
                    to.push(address(&line));
                    self.answer(stream, "RCPT", "250 2.1.5 fine").await?
                }
                "DATA" => match self.answer(stream, "DATA", "354 go on").await? {
                    Answered::Yes => self.content(stream, &from, &to).await?,
                    other => other,
                },
                "QUIT" => {
                    say(stream, "221 2.0.0 bye").await?;
                    Answered::Close
                }
                _ => {
                    say(stream, "502 5.5.1 unknown").await?;
                    Answered::No
                }
            };
            if let Answered::Close = answered {
                return Ok(End::Closed);
            }
        }
    }

    fn offers(&self) -> String {
        let mut lines = vec!["localhost".to_owned(), "8BITMIME".to_owned()];
        if self.settings.tls == SmtpTls::StartTls && !self.encrypted {
            lines.push("STARTTLS".to_owned());
        } else if self.settings.user.is_some() {
            lines.push(format!("AUTH {}", self.settings.mechanisms));
        }
        let last = lines.len() - 1;
        let lines: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }))
            .collect();
        lines.join("\r\n")
    }

    async fn sign_in<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        command: &str,
    ) -> std::io::Result<Answered> {
        let Some((name, password)) = self.settings.user else {
            say(stream, "502 5.5.1 nobody signs in here").await?;
            return Ok(Answered::No);
        };
        let plain = base64(format!("\0{name}\0{password}"));
        let good = match command.split(' ').nth(1) {
            Some("PLAIN") => command.split(' ').nth(2) == Some(plain.as_str()),
            _ => {
                say(stream, "334 VXNlcm5hbWU6").await?;
                let said_name = line(stream).await?.unwrap_or_default();
                match self.answer(stream, "password", "334 UGFzc3dvcmQ6").await? {
                    Answered::Yes => {}
                    other => return Ok(other),
                }
                let said_password = line(stream).await?.unwrap_or_default();
                said_name == base64(name) && said_password == base64(password)
            }
        };
        let reply = match good {
            true => "235 2.7.0 signed in",
            false => "535 5.7.8 wrong name or password",
        };
        let answered = self.answer(stream, "AUTH", reply).await?;
        if good && matches!(answered, Answered::Yes) {
            self.user = Some(name.to_owned());
        }
        Ok(answered)
    }

    async fn content<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        from: &str,
        to: &[String],
    ) -> std::io::Result<Answered> {
        let mut content = String::new();
        loop {
            let Some(line) = line(stream).await? else {
                return Ok(Answered::Close);
            };
            if line == "." {
                break;
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push_str("\r\n");
        }
        let answered = self
            .answer(stream, "content", "250 2.0.0 queued as 7")
            .await?;
        if let Answered::Yes = answered {
            lock(&self.state.received).push(ReceivedMail {
                from: from.to_owned(),
                to: to.to_vec(),
                content,
                encrypted: self.encrypted,
                user: self.user.clone(),
            });
        }
        Ok(answered)
    }

    /// Says `right`, or does what the fault of this step wants.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        step: &str,
        right: &str,
    ) -> std::io::Result<Answered> {
        let fault = lock(&self.state.fault).clone();
        let said = match fault {
            Some(SmtpFault::Says(at, words)) if at == step => words.to_owned(),
            Some(SmtpFault::Silent(at)) if at == step => std::future::pending().await,
            Some(SmtpFault::Closes(at)) if at == step => return Ok(Answered::Close),
            Some(SmtpFault::Endless(at)) if at == step => loop {
                stream.write_all(&[b'2'; 8192]).await?;
            },
            _ => right.to_owned(),
        };
        say(stream, &said).await?;
        Ok(match said.as_bytes()[0] {
            b'2' | b'3' => Answered::Yes,
            _ => Answered::No,
        })
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    words: &str,
) -> std::io::Result<()> {
    stream.write_all(format!("{words}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn line<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
) -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await?;
    Ok((count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn address(command: &str) -> String {
    let inner = command
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(String::new, |(address, _)| address.to_owned())
}

fn base64(text: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
