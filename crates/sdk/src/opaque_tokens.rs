use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base::{Digest, Timestamp, base64url_decode};

use crate::asked_once::{AskedOnce, Unanswered};

/// What a service token begins with.
const PREFIX: &str = "pct_";
/// How many random bytes follow, in base64url.
const SECRET_BYTES: usize = 32;
/// How long a token that is no good is refused without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Turns service tokens, which machines hold that cannot do OAuth, into access tokens. Whoever knows the authority
/// implements it.
pub trait OpaqueTokens: fmt::Debug + Send + Sync {
    /// The access token that stands for `token` at the MCP server `slug` for the next minutes.
    fn exchange<'a>(&'a self, slug: &'a str, token: &'a str) -> Exchanging<'a>;
}

/// The future of [`OpaqueTokens::exchange`].
pub type Exchanging<'a> = Pin<Box<dyn Future<Output = Result<String, OpaqueRefusal>> + Send + 'a>>;

/// Why a service token gave no access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueRefusal {
    /// Unknown, expired, revoked, or of another MCP server.
    #[error("the service token is unknown, expired or revoked")]
    Invalid,
    /// It cannot be told now; a new try is worth it.
    #[error("{0}")]
    Unavailable(String),
}

/// One MCP server's way to its service tokens.
pub(crate) struct OpaqueExchange {
    source: Arc<dyn OpaqueTokens>,
    slug: String,
    asked: AskedOnce<String, ()>,
}

/// Whether `token` has the shape of a service token. Anything else is never asked about.
pub(crate) fn is_service_token(token: &str) -> bool {
    token.strip_prefix(PREFIX).is_some_and(|secret| {
        base64url_decode(secret).is_some_and(|bytes| bytes.len() == SECRET_BYTES)
    })
}

impl OpaqueExchange {
    pub(crate) fn new(slug: &str, source: Arc<dyn OpaqueTokens>) -> Self {
        Self {
            source,
            slug: slug.to_owned(),
            asked: AskedOnce::new(REFUSED_FOR),
        }
    }

    /// The access token for `token`, whose digest this is.
    pub(crate) async fn exchange(
        &self,
        token: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<String, OpaqueRefusal> {
        let ask = || async {
            let exchanged = self.source.exchange(&self.slug, token).await;
            exchanged.map_err(|refusal| match refusal {
                OpaqueRefusal::Invalid => Unanswered::Refused(()),
                OpaqueRefusal::Unavailable(reason) => Unanswered::Unavailable(reason),
            })
        };
        let asked = self.asked.ask(digest, now, ask).await;
        asked.map_err(|unanswered| match unanswered {
            Unanswered::Refused(()) => OpaqueRefusal::Invalid,
            Unanswered::Unavailable(reason) => OpaqueRefusal::Unavailable(reason),
        })
    }
}

/// The tokens that are on their way are nobody's to read.
impl fmt::Debug for OpaqueExchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpaqueExchange")
            .field("source", &self.source)
            .field("slug", &self.slug)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base::base64url;

    use super::*;

    /// Answers `good` to one token, knows no other, and counts.
    #[derive(Debug)]
    struct Source {
        asked: AtomicUsize,
        good: String,
        down: bool,
    }

    impl OpaqueTokens for Source {
        fn exchange<'a>(&'a self, _slug: &'a str, token: &'a str) -> Exchanging<'a> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                match token == self.good {
                    _ if self.down => Err(OpaqueRefusal::Unavailable("down".into())),
                    true => Ok("jwt".to_owned()),
                    false => Err(OpaqueRefusal::Invalid),
                }
            })
        }
    }

    fn token(number: u32) -> String {
        let mut bytes = [0u8; SECRET_BYTES];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        format!("{PREFIX}{}", base64url(bytes))
    }

    fn exchange(down: bool) -> (Arc<OpaqueExchange>, Arc<Source>) {
        let source = Arc::new(Source {
            asked: AtomicUsize::new(0),
            good: token(0),
            down,
        });
        let asked = Arc::clone(&source) as Arc<dyn OpaqueTokens>;
        (Arc::new(OpaqueExchange::new("todo", asked)), source)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn only_the_exact_shape_is_a_service_token() {
        assert!(is_service_token(&token(1)));
        for other in [
            "",
            "pct_",
            "pct_short",
            &token(1)[..46],
            &format!("{}A", token(1)),
            &format!("{}=", &token(1)[..46]),
            &token(1).replace("pct_", "PCT_"),
            "eyJh.eyJh.c2ln",
        ] {
            assert!(!is_service_token(other), "{other}");
        }
    }

    #[tokio::test]
    async fn many_calls_at_once_with_one_token_ask_once() {
        let (exchange, source) = exchange(false);
        let calls = (0..20).map(|_| {
            let exchange = Arc::clone(&exchange);
            tokio::spawn(async move {
                let text = token(0);
                exchange.exchange(&text, Digest::of(&text), at(10)).await
            })
        });
        let calls: Vec<_> = calls.collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), "jwt");
        }
        assert_eq!(source.asked.load(Ordering::SeqCst), 1);
    }

    /// Whoever hangs up early must not fill the list, and who waits besides is answered all the same.
    #[tokio::test]
    async fn a_call_that_is_given_up_leaves_nothing_behind_and_takes_nobody_along() {
        let (exchange, source) = exchange(false);
        let give_up = async |number| {
            let text = token(number);
            let asking = exchange.exchange(&text, Digest::of(&text), at(10));
            tokio::time::timeout(Duration::from_millis(1), asking).await
        };
        for number in 1..=20 {
            assert!(give_up(number).await.is_err());
        }
        assert_eq!(exchange.asked.flights(), 0);
        let text = token(0);
        let waiting = exchange.exchange(&text, Digest::of(&text), at(10));
        let (answer, given_up) = tokio::join!(waiting, give_up(0));
        assert!(given_up.is_err());
        assert_eq!(answer.unwrap(), "jwt");
        assert_eq!(exchange.asked.flights(), 0);
        assert_eq!(source.asked.load(Ordering::SeqCst), 21);
        assert!(!format!("{exchange:?}").contains("jwt"));
    }

    #[tokio::test]
    async fn a_bad_token_is_asked_about_once_a_minute_and_an_outage_is_no_refusal() {
        let ask = async |exchange: &OpaqueExchange, now| {
            let text = token(1);
            exchange.exchange(&text, Digest::of(&text), at(now)).await
        };
        let (exchange, source) = exchange(false);
        for now in [10, 11, 69] {
            assert_eq!(ask(&exchange, now).await, Err(OpaqueRefusal::Invalid));
        }
        assert_eq!(source.asked.load(Ordering::SeqCst), 1);
        assert_eq!(ask(&exchange, 70).await, Err(OpaqueRefusal::Invalid));
        assert_eq!(source.asked.load(Ordering::SeqCst), 2);
        let (exchange, source) = self::exchange(true);
        for now in [10, 11] {
            let refusal = ask(&exchange, now).await;
            assert!(matches!(refusal, Err(OpaqueRefusal::Unavailable(_))));
        }
        assert_eq!(source.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn after_a_clock_was_set_back_a_day_nothing_is_refused_or_held_up_for_that_long() {
        let (exchange, source) = exchange(false);
        let ask = async |number, now| {
            let text = token(number);
            exchange.exchange(&text, Digest::of(&text), now).await
        };
        let day = 24 * 3600;
        assert_eq!(ask(1, at(10 + day)).await, Err(OpaqueRefusal::Invalid));
        // The budget of strangers begins anew, and has room after a moment.
        let _ = ask(2, at(10)).await;
        let before = source.asked.load(Ordering::SeqCst);
        assert_eq!(ask(1, at(11)).await, Err(OpaqueRefusal::Invalid));
        assert_eq!(
            source.asked.load(Ordering::SeqCst),
            before + 1,
            "asked anew"
        );
    }

    #[tokio::test]
    async fn a_flood_of_made_up_tokens_is_asked_about_slowly_and_a_known_one_does_not_wait() {
        let (exchange, source) = exchange(false);
        let ask = async |number, now| {
            let text = token(number);
            exchange.exchange(&text, Digest::of(&text), now).await
        };
        assert!(ask(0, at(10)).await.is_ok());
        let (at_once, in_a_second) = (1000, 100);
        let flood: Vec<_> = (1..=2 * at_once)
            .map(|number| ask(number, at(10)))
            .collect();
        let mut refused = 0;
        for one in futures_util::future::join_all(flood).await {
            refused += u32::from(one == Err(OpaqueRefusal::Invalid));
        }
        assert_eq!(refused, at_once - 1, "and the known one made them full");
        assert_eq!(source.asked.load(Ordering::SeqCst), 1000);
        assert!(ask(0, at(10)).await.is_ok(), "it was good before");
        // A second later there is room for some more.
        let later: Vec<_> = (3000..4000).map(|number| ask(number, at(11))).collect();
        let answers = futures_util::future::join_all(later).await;
        let invalid = |answer: &&Result<_, _>| **answer == Err(OpaqueRefusal::Invalid);
        assert_eq!(answers.iter().filter(invalid).count(), in_a_second);
    }
}
