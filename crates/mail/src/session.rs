use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::Response;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::conversation::{Broken, Conversation, Stream};
use crate::message::Composed;
use crate::{Encryption, Failure, Kind, Mailbox, Settings, Step};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Which step is being taken, for whoever has to say where the time ran out, and a word on each that was done.
pub(crate) struct Course<'a> {
    pub(crate) step: Step,
    told: &'a mut (dyn FnMut(Step, &str) + Send + Sync),
}

impl<'a> Course<'a> {
    pub(crate) fn new(told: &'a mut (dyn FnMut(Step, &str) + Send + Sync)) -> Self {
        Self {
            step: Step::Waiting,
            told,
        }
    }

    pub(crate) fn begin(&mut self, step: Step) {
        self.step = step;
    }

    pub(crate) fn done(&mut self, words: &str) {
        (self.told)(self.step, words);
    }

    fn failed(&self, kind: Kind, words: impl Into<String>) -> Failure {
        Failure::new(self.step, kind, words)
    }

    fn broken(&self, broken: &Broken) -> Failure {
        match broken {
            Broken::Off(error) => self.failed(
                Kind::Unreachable,
                format!("the connection broke off: {error}"),
            ),
            Broken::Closed => self.failed(Kind::Unreachable, "the server closed the connection"),
            Broken::TooLong => self.failed(
                Kind::NotSmtp,
                "its reply is longer than a mail server has reason for",
            ),
            Broken::NotSmtp => self.failed(Kind::NotSmtp, "its reply is none of SMTP"),
        }
    }

    /// A yes, or what is against it.
    fn yes(&self, heard: Result<Response, Broken>, code: u16) -> Result<Response, Failure> {
        let reply = heard.map_err(|broken| self.broken(&broken))?;
        match reply.has_code(code) {
            true => Ok(reply),
            false => Err(Failure::of_reply(self.step, &reply, &[])),
        }
    }
}

/// A server that is ready to take messages.
pub(crate) struct Session {
    conversation: Conversation,
}

impl Session {
    /// Connects, encrypts and signs in, as the settings say and never less.
    pub(crate) async fn open(
        settings: &Settings,
        tls: Arc<ClientConfig>,
        course: &mut Course<'_>,
    ) -> Result<Self, Failure> {
        let stream = connect(settings, &tls, course).await?;
        let mut conversation = Conversation::new(stream);
        course.begin(Step::Greeting);
        let greeting = course.yes(conversation.reply().await, 220)?;
        course.done(greeting.first_line().unwrap_or_default());
        let mut offers = hello(settings, &mut conversation, course).await?;
        if settings.encryption == Encryption::StartTls {
            conversation = encrypt(settings, tls, conversation, &offers, course).await?;
            // What it said in the clear, anybody on the way may have written.
            offers = hello(settings, &mut conversation, course).await?;
        }
        if let Some((user_name, password)) = &settings.credentials {
            course.begin(Step::Authenticate);
            sign_in(
                user_name,
                password.expose(),
                &mut conversation,
                &offers,
                course,
            )
            .await?;
            course.done(&format!("signed in as {user_name}"));
        }
        Ok(Self { conversation })
    }

    /// Hands one message over; the server's words when it took it.
    pub(crate) async fn deliver(
        mut self,
        from: &Mailbox,
        to: &Mailbox,
        message: &Composed,
        course: &mut Course<'_>,
    ) -> Result<(), Failure> {
        let conversation = &mut self.conversation;
        course.begin(Step::Sender);
        let sender = Mail::new(Some(from.as_address().clone()), Vec::new());
        course.yes(conversation.command(sender).await, 250)?;
        course.done(from.address());

        course.begin(Step::Recipient);
        let recipient = Rcpt::new(to.as_address().clone(), Vec::new());
        let heard = conversation.command(recipient).await;
        // 251: the server forwards it.
        if !heard.as_ref().is_ok_and(|reply| reply.has_code(251)) {
            course.yes(heard, 250)?;
        }
        course.done(to.address());

        course.begin(Step::Content);
        course.yes(conversation.command(Data).await, 354)?;
        let heard = conversation.content(&message.bytes).await;
        let in_doubt = heard.is_err();
        let taken = course.yes(heard, 250).map_err(|failure| Failure {
            may_have_arrived: in_doubt,
            ..failure
        })?;
        course.done(taken.first_line().unwrap_or_default());
        // The message is the server's; nobody has to wait for the goodbye.
        tokio::spawn(async move { timeout(GOODBYE, self.conversation.command(Quit)).await });
        Ok(())
    }
}

async fn connect(
    settings: &Settings,
    tls: &Arc<ClientConfig>,
    course: &mut Course<'_>,
) -> Result<Box<dyn Stream>, Failure> {
    let limit = settings.connect_timeout;
    let connecting = async {
        course.begin(Step::Name);
        let (host, port) = (settings.host.as_str(), settings.port);
        let addresses = egress::Names::default().addresses(host, port).await;
        let addresses =
            addresses.map_err(|error| course.failed(Kind::Unreachable, error.to_string()))?;
        let list: Vec<String> = addresses.iter().map(|one| one.ip().to_string()).collect();
        course.done(&format!("{host} is {}", list.join(", ")));

        course.begin(Step::Connect);
        let at = format!("{host}:{port}");
        let stream = egress::connect_to_first(&at, &addresses).await;
        let stream = stream.map_err(|error| course.failed(Kind::Unreachable, error.to_string()))?;
        course.done(&at);
        if settings.encryption != Encryption::Implicit {
            return Ok(Box::new(stream) as Box<dyn Stream>);
        }
        handshake(settings, Arc::clone(tls), Box::new(stream), course).await
    };
    match timeout(limit, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(course.failed(Kind::TimedOut, no_answer(limit))),
    }
}

pub(crate) fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs_f32())
}

async fn hello(
    settings: &Settings,
    conversation: &mut Conversation,
    course: &mut Course<'_>,
) -> Result<ServerInfo, Failure> {
    course.begin(Step::Hello);
    let name = ClientId::Domain(settings.hello_name.clone());
    let reply = course.yes(conversation.command(Ehlo::new(name)).await, 250)?;
    let offers = ServerInfo::from_response(&reply)
        .map_err(|_| course.failed(Kind::NotSmtp, "its reply names no server"))?;
    course.done(&format!("as {}", settings.hello_name));
    Ok(offers)
}

async fn encrypt(
    settings: &Settings,
    tls: Arc<ClientConfig>,
    mut conversation: Conversation,
    offers: &ServerInfo,
    course: &mut Course<'_>,
) -> Result<Conversation, Failure> {
    course.begin(Step::StartTls);
    if !offers.supports_feature(Extension::StartTls) {
        return Err(course.failed(Kind::Insecure, "the server does not offer STARTTLS"));
    }
    course.yes(conversation.command(Starttls).await, 220)?;
    let Some(stream) = conversation.into_stream() else {
        return Err(course.failed(
            Kind::Insecure,
            "something was said in the clear behind the server's answer, as by somebody on the way",
        ));
    };
    course.done("granted");
    let limit = settings.connect_timeout;
    match timeout(limit, handshake(settings, tls, stream, course)).await {
        Ok(stream) => stream.map(Conversation::new),
        Err(_) => Err(course.failed(Kind::TimedOut, no_answer(limit))),
    }
}

async fn handshake(
    settings: &Settings,
    tls: Arc<ClientConfig>,
    stream: Box<dyn Stream>,
    course: &mut Course<'_>,
) -> Result<Box<dyn Stream>, Failure> {
    course.begin(Step::Tls);
    let name = ServerName::try_from(settings.host.clone())
        .map_err(|_| course.failed(Kind::Insecure, "mail.host is no name of a server"))?;
    match TlsConnector::from(tls).connect(name, stream).await {
        Ok(stream) => {
            let version = stream.get_ref().1.protocol_version();
            let words = version.map_or_else(String::new, |version| format!("{version:?}"));
            course.done(&words.replace('_', "."));
            Ok(Box::new(stream))
        }
        // What TLS itself has against it; anything else is the network's.
        Err(error)
            if error
                .get_ref()
                .is_some_and(|inner| inner.is::<rustls::Error>()) =>
        {
            Err(course.failed(Kind::Insecure, error.to_string()))
        }
        Err(error) => Err(course.failed(
            Kind::Unreachable,
            format!("the connection broke off: {error}"),
        )),
    }
}

async fn sign_in(
    user_name: &str,
    password: &str,
    conversation: &mut Conversation,
    offers: &ServerInfo,
    course: &mut Course<'_>,
) -> Result<(), Failure> {
    let Some(mechanism) = offers.get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login]) else {
        return Err(course.failed(
            Kind::NotSignedIn,
            "the server offers neither AUTH PLAIN nor AUTH LOGIN",
        ));
    };
    let credentials = Credentials::new(user_name.to_owned(), password.to_owned());
    let unclear = |course: &Course<'_>| {
        course.failed(
            Kind::NotSmtp,
            "the server asks something that AUTH does not know",
        )
    };
    let first = Auth::new(mechanism, credentials.clone(), None).map_err(|_| unclear(course))?;
    let mut heard = conversation.command(&first).await;
    let mut said = vec![password.to_owned()];
    said.extend(encoded(&first.to_string()));
    // LOGIN asks for the name, then for the password.
    for _ in 0..2 {
        match &heard {
            Ok(reply) if reply.has_code(334) => {
                let next = Auth::new_from_response(mechanism, credentials.clone(), reply)
                    .map_err(|_| unclear(course))?;
                said.extend(encoded(&next.to_string()));
                heard = conversation.command(&next).await;
            }
            _ => break,
        }
    }
    let reply = heard.map_err(|broken| course.broken(&broken))?;
    if reply.has_code(235) {
        return Ok(());
    }
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    Err(Failure::of_reply(course.step, &reply, &said))
}

/// The part of a command that holds credentials, as a server might repeat it.
fn encoded(command: &str) -> Option<String> {
    let last = command.split_whitespace().last()?;
    // A prefix says as much as the whole.
    (last.len() >= 8).then(|| last.trim_end_matches('=').to_owned())
}
