use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{Clock, Random};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::session::{Course, Session, no_answer};
use crate::{Failure, Kind, Message, Settings, Step, metric};

/// Messages that are handed over at once, each on a connection of its own: what even small servers permit.
const RUNNING_MAX: usize = 4;
/// Messages that may wait for one of those.
const WAITING_MAX: usize = 256;

/// Sends messages through one mail server. Clones share its limits.
#[derive(Debug, Clone)]
pub struct Mailer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    tls: Arc<ClientConfig>,
    running: Semaphore,
    asked: AtomicUsize,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A message that the server has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its `Message-ID`, by which the server's log knows it.
    pub message_id: String,
}

impl Mailer {
    /// A mailer under `settings`. Nothing is connected to yet.
    ///
    /// # Errors
    /// When the file with extra certificates cannot be used.
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, egress::Error> {
        let tls = Arc::new(egress::client_config(settings.ca_file.as_deref())?);
        Ok(Self(Arc::new(Inner {
            settings,
            tls,
            running: Semaphore::new(RUNNING_MAX),
            asked: AtomicUsize::new(0),
            clock,
            random,
        })))
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Sends one message: a single attempt, within the total time. A failure is logged here, with what to change.
    ///
    /// # Errors
    /// When the server did not take it, or its answer got lost.
    pub async fn send(&self, message: &Message) -> Result<Sent, Failure> {
        let sent = self.send_telling(message, &mut |_, _| {}).await;
        if let Err(failure) = &sent {
            tracing::warn!(
                mail.step = %failure.step,
                mail.outcome = failure.kind.as_str(),
                mail.code = failure.code,
                "mail through {}:{} was not sent: {failure}; {}",
                self.0.settings.host,
                self.0.settings.port,
                failure.advice(&self.0.settings)
            );
        }
        sent
    }

    /// The same for somebody who watches: `told` hears of each step that was done.
    ///
    /// # Errors
    /// As [`Mailer::send`].
    pub async fn send_telling(
        &self,
        message: &Message,
        told: &mut (dyn FnMut(Step, &str) + Send + Sync),
    ) -> Result<Sent, Failure> {
        let begun = Instant::now();
        let limit = self.0.settings.total_timeout;
        let mut course = Course::new(told);
        let sent = match timeout(limit, self.0.send(message, &mut course)).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure {
                may_have_arrived: course.step == Step::Content,
                ..Failure::new(course.step, Kind::TimedOut, no_answer(limit))
            }),
        };
        metric::ended(sent.as_ref().err(), begun.elapsed());
        sent
    }
}

impl Inner {
    async fn send(&self, message: &Message, course: &mut Course<'_>) -> Result<Sent, Failure> {
        let _place = self.place()?;
        let _running = self.running.acquire().await;
        course.begin(Step::Composing);
        let composed = message
            .compose(&self.settings.from, &*self.clock, &*self.random)
            .map_err(|words| Failure::new(Step::Composing, Kind::Invalid, words))?;
        let session = Session::open(&self.settings, Arc::clone(&self.tls), course).await?;
        session
            .deliver(&self.settings.from, &message.to, &composed, course)
            .await?;
        Ok(Sent {
            message_id: composed.id,
        })
    }

    /// A place among those that run and wait, given back when it is dropped.
    fn place(&self) -> Result<Place<'_>, Failure> {
        let place = Place(&self.asked);
        match self.asked.fetch_add(1, Ordering::Relaxed) {
            before if before < RUNNING_MAX + WAITING_MAX => Ok(place),
            _ => Err(Failure::new(
                Step::Waiting,
                Kind::Busy,
                format!("{WAITING_MAX} messages wait already"),
            )),
        }
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
