//! Follows one MCP server's policy feed over HTTP.

mod lines;

use std::sync::Arc;
use std::time::Duration;

use authz::{FeedMessage, FeedSlice, FeedSnapshot};
use base::Random;
use http::{Method, StatusCode};

use crate::authority_client::{AuthorityError, OwnServer};
use crate::policy_feed::FeedPublisher;
use lines::Lines;

/// The largest line that is read: the policy of ten thousand tools is below it.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a feed may be silent. The authority says something every two seconds while it reads its store.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long until the next try, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a feed says.
#[derive(Debug)]
pub enum FeedNews<'a> {
    /// Everything, as it is now; it is in force already.
    Slice(&'a FeedSlice),
    /// The feed ended or could not be opened; it is tried again. What was in force stays for five minutes, unless it
    /// [closes](FeedTrouble::closes).
    Trouble(&'a FeedTrouble),
}

/// Why a feed is not followed at the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedTrouble {
    /// It cannot be asked for.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It ended; nothing unusual when the authority restarts.
    #[error("the authority ended the feed")]
    Ended,
    /// It broke off.
    #[error("the feed broke off: {0}")]
    Broken(String),
    /// Nothing came for too long.
    #[error("nothing was heard of the authority for {} seconds", SILENCE_MAX.as_secs())]
    Silent,
    /// A line that cannot be read.
    #[error("the feed cannot be read: {0}; this program may be older than the authority")]
    Unreadable(String),
    /// What it says of what is in force is of a later release.
    #[error(
        "the policy in the feed cannot be read: {0}; this program is older than the authority, bring it to the same release"
    )]
    UnreadablePolicy(String),
    /// It speaks for somebody else.
    #[error(
        "the feed is of {found}, and {wanted} was asked for; the authority's url must be its public_url"
    )]
    OtherServer {
        /// The issuer that was meant.
        wanted: String,
        /// The one whose feed it is.
        found: String,
    },
}

impl FeedTrouble {
    /// Whether what was in force ended with it. Otherwise it stays for five minutes.
    pub fn closes(&self) -> bool {
        matches!(
            self,
            Self::UnreadablePolicy(_)
                | Self::Authority(
                    AuthorityError::UnknownServer { .. } | AuthorityError::UnreadablePolicy { .. }
                )
        )
    }
}

/// Follows the feed of one MCP server, whatever happens on the way.
#[derive(Debug)]
pub struct FeedClient {
    server: OwnServer,
    random: Arc<dyn Random>,
}

impl FeedClient {
    /// The feed of `server`; `random` spreads the tries of many that lost the same authority.
    pub fn new(server: OwnServer, random: Arc<dyn Random>) -> Self {
        Self { server, random }
    }

    /// Fills `publisher` for as long as it is polled, and tells `heard` what came. What was heard last stays in force while
    /// the authority is away; [`PolicyFeed::current`](crate::PolicyFeed::current) says until when.
    pub async fn follow(
        self,
        publisher: FeedPublisher,
        mut heard: impl FnMut(FeedNews<'_>) + Send,
    ) {
        let mut pause = PAUSE_MIN;
        let mut told = None;
        let mut change = 0;
        loop {
            let mut heard_slice = false;
            let trouble = self
                .stream(&publisher, &mut change, &mut |slice| {
                    heard_slice = true;
                    heard(FeedNews::Slice(slice));
                })
                .await;
            if trouble.closes() {
                // The server was removed, or nobody here knows what is in force: what was is so no more.
                change += 1;
                publisher.publish(Arc::new(FeedSnapshot {
                    change,
                    ..FeedSnapshot::default()
                }));
            }
            if heard_slice {
                pause = PAUSE_MIN;
                told = None;
            }
            // One that goes on is told once.
            if told.as_ref() != Some(&trouble) {
                heard(FeedNews::Trouble(&trouble));
                told = Some(trouble);
            }
            tokio::time::sleep(self.spread(pause)).await;
            pause = longer(pause);
        }
    }

    /// One stream, from its request to its end.
    async fn stream(
        &self,
        publisher: &FeedPublisher,
        change: &mut i64,
        heard: &mut (impl FnMut(&FeedSlice) + Send),
    ) -> FeedTrouble {
        let answer = match self.server.send(Method::GET, "feed", None).await {
            Ok(answer) => answer,
            Err(error) => return error.into(),
        };
        if answer.status() != StatusCode::OK {
            return self.server.refused(answer).await.into();
        }
        let mut lines = Lines::new(answer.into_body(), LINE_BYTES_MAX);
        loop {
            let line = match tokio::time::timeout(SILENCE_MAX, lines.next()).await {
                Err(_) => return FeedTrouble::Silent,
                Ok(Err(trouble)) => return trouble,
                Ok(Ok(None)) => return FeedTrouble::Ended,
                Ok(Ok(Some(line))) => line,
            };
            match serde_json::from_slice(&line) {
                Ok(FeedMessage::Contact) => publisher.contact(),
                Ok(FeedMessage::Snapshot(slice)) => {
                    let former = slice.server.former_issuers.iter();
                    let former = former.map(|(issuer, _)| issuer.as_str());
                    if let Err(trouble) = self.is_ours(&slice.server.issuer, former) {
                        return trouble;
                    }
                    *change += 1;
                    let server = Arc::new(slice.server.clone());
                    publisher.publish(Arc::new(FeedSnapshot {
                        change: *change,
                        servers: [(self.server.slug().to_owned(), server)].into(),
                    }));
                    heard(&slice);
                }
                Err(error) => return self.unreadable(&line, &error),
            }
        }
    }

    /// The authority may have moved; the credential shows that it is the same.
    fn is_ours<'a>(
        &self,
        issuer: &str,
        mut former: impl Iterator<Item = &'a str>,
    ) -> Result<(), FeedTrouble> {
        let wanted = self.server.issuer();
        if issuer == wanted || former.any(|issuer| issuer == wanted) {
            return Ok(());
        }
        Err(FeedTrouble::OtherServer {
            wanted,
            found: issuer.to_owned(),
        })
    }

    fn unreadable(&self, line: &[u8], error: &serde_json::Error) -> FeedTrouble {
        // The words of the parser may hold what it read, and there is a key in that.
        let place = format!(
            "{:?} in line {}, column {}",
            error.classify(),
            error.line(),
            error.column()
        );
        let issuers = authz::issuers_of_unreadable(line).unwrap_or_default();
        match issuers.contains(&self.server.issuer()) {
            true => FeedTrouble::UnreadablePolicy(place),
            false => FeedTrouble::Unreadable(place),
        }
    }

    /// Between half of `pause` and the whole of it.
    fn spread(&self, pause: Duration) -> Duration {
        let mut byte = [0u8; 1];
        self.random.fill(&mut byte);
        pause / 2 + pause / 2 * u32::from(byte[0]) / 255
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests;
