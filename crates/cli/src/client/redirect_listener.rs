use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

const PATH: &str = "/callback";
const CONNECTIONS_MAX: usize = 16;
/// How many returns are kept until they are looked at. Strangers may send some; more of them than this hide nothing, since
/// each is looked at as it comes.
const RETURNS_MAX: usize = 64;
/// How long a return with another state is held back for one with the right one.
const BETTER_ONE_WITHIN: Duration = Duration::from_secs(2);

/// Waits on a loopback port for the browser to come back (RFC 8252 section 7.3).
pub struct RedirectListener {
    socket: TcpListener,
    port: u16,
}

/// What came back, with the `state` that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// `iss` (RFC 9207).
    pub issuer: Option<String>,
    /// `code`, or the error and its description.
    pub outcome: Result<String, (String, Option<String>)>,
}

/// A return to the loopback port.
#[derive(Clone)]
struct Came {
    parameters: Vec<(String, String)>,
    /// Set when it is the answer that is waited for.
    answer: Option<Callback>,
}

impl RedirectListener {
    /// Listens, at the port of an earlier registration when that is free.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn bind(earlier: Option<u16>) -> anyhow::Result<Self> {
        let socket = match earlier {
            Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok(),
            None => None,
        };
        let socket = match socket {
            Some(socket) => socket,
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .context("no port on 127.0.0.1 is free for the browser to come back to")?,
        };
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to register and send.
    pub fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for the answer to the request with `state`. Anything else that comes is shown a page and forgotten: a
    /// page that somebody else opened must not be able to end or to forge a sign-in.
    ///
    /// # Errors
    /// When nobody comes within `patience`.
    pub async fn wait(self, state: &str, patience: Duration) -> anyhow::Result<Callback> {
        self.wait_for(state, patience, |came, _| came.answer).await
    }

    /// Waits as [`RedirectListener::wait`] does, and gives the parameters as they came. What came with another state counts
    /// when no better answer follows it, for somebody who wants to know what an authorization server makes of a state.
    ///
    /// # Errors
    /// When nobody comes within `patience`.
    pub async fn wait_for_parameters(
        self,
        state: &str,
        patience: Duration,
    ) -> anyhow::Result<Vec<(String, String)>> {
        self.wait_for(state, patience, |came, is_last| {
            (is_last || came.answer.is_some()).then_some(came.parameters)
        })
        .await
    }

    /// Shows each return to `take`, which takes one or waits for the next; a return after which no other follows is shown
    /// once more.
    async fn wait_for<T>(
        self,
        state: &str,
        patience: Duration,
        take: impl Fn(Came, bool) -> Option<T>,
    ) -> anyhow::Result<T> {
        let (sender, mut receiver) = mpsc::channel::<Came>(RETURNS_MAX);
        let taken = async {
            let mut last: Option<Came> = None;
            loop {
                let next = receiver.recv();
                let came = match &last {
                    None => next.await,
                    Some(came) => match tokio::time::timeout(BETTER_ONE_WITHIN, next).await {
                        Ok(came) => came,
                        Err(_) => match take(came.clone(), true) {
                            Some(taken) => return Ok(taken),
                            None => {
                                last = None;
                                continue;
                            }
                        },
                    },
                };
                let came = came.context("the loopback listener ended")?;
                if let Some(taken) = take(came.clone(), false) {
                    return Ok(taken);
                }
                last = Some(came);
            }
        };
        tokio::select! {
            () = self.serve(state.into(), sender) => bail!("the loopback listener ended"),
            taken = taken => {
                // The page is written by the connection's own task, which ends with us.
                tokio::time::sleep(Duration::from_millis(100)).await;
                taken
            }
            () = tokio::time::sleep(patience) => bail!(
                "nobody came back from the browser within {} minutes; run the command again",
                patience.as_secs() / 60
            ),
        }
    }

    async fn serve(&self, state: Arc<str>, sender: mpsc::Sender<Came>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.socket.accept(), if connections.len() < CONNECTIONS_MAX => {
                    let Ok((stream, _)) = accepted else { continue };
                    let (state, sender) = (Arc::clone(&state), sender.clone());
                    connections.spawn(async move {
                        let service = service_fn(move |request: Request<Incoming>| {
                            let (page, answer) = answer(request.uri(), &state);
                            if let Some(came) = came(request.uri(), answer) {
                                // Full means that answers enough have come already.
                                let _ = sender.try_send(came);
                            }
                            async move { Ok::<_, Infallible>(page) }
                        });
                        let _ = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(Duration::from_secs(10))
                            .keep_alive(false)
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// The parameters of a return, when it is one of an authorization server or looks so.
fn came(uri: &http::Uri, answer: Option<Callback>) -> Option<Came> {
    let query = uri.query().filter(|_| uri.path() == PATH)?;
    let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let is_return = parameters
        .iter()
        .any(|(name, _)| name == "code" || name == "error");
    is_return.then_some(Came { parameters, answer })
}

fn answer(uri: &http::Uri, state: &str) -> (Response<Full<Bytes>>, Option<Callback>) {
    if uri.path() != PATH {
        return (page(StatusCode::NOT_FOUND, "Nothing is here."), None);
    }
    let field = |wanted: &str| {
        let mut values = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned());
        // Twice the same parameter is nobody's answer (RFC 6749 section 3.1).
        values.next().filter(|_| values.next().is_none())
    };
    if field("state").as_deref() != Some(state) {
        return (
            page(
                StatusCode::BAD_REQUEST,
                "This is not the answer to the sign-in that is waiting here.",
            ),
            None,
        );
    }
    let issuer = field("iss");
    if let Some(error) = field("error") {
        let outcome = Err((error, field("error_description")));
        return (
            page(
                StatusCode::OK,
                "Access was not given. The terminal says more. You can close this tab.",
            ),
            Some(Callback { issuer, outcome }),
        );
    }
    match field("code") {
        Some(code) => (
            page(
                StatusCode::OK,
                "You are signed in. You can close this tab and go back to the terminal.",
            ),
            Some(Callback {
                issuer,
                outcome: Ok(code),
            }),
        ),
        None => (
            page(
                StatusCode::BAD_REQUEST,
                "The answer has neither a code nor an error.",
            ),
            None,
        ),
    }
}

fn page(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Portcullis</title>\
         <meta name=color-scheme content=\"light dark\"><body style=\"font:1.1rem system-ui;margin:4rem auto;max-width:32rem\"><p>{text}"
    );
    let mut response = Response::new(Full::new(html.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    response
}

/// The parameters of the authorization request, on the server's own address.
pub fn with_query(endpoint: &Url, parameters: &[(&str, &str)]) -> Url {
    let mut url = endpoint.clone();
    url.query_pairs_mut().extend_pairs(parameters);
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answered(uri: &str) -> (u16, Option<Callback>) {
        let (page, callback) = answer(&uri.parse().unwrap(), "s t");
        (page.status().as_u16(), callback)
    }

    #[test]
    fn only_the_waited_for_state_is_an_answer() {
        let (status, callback) = answered("/callback?code=c&state=s+t&iss=http%3A%2F%2Fi");
        let expected = Callback {
            issuer: Some("http://i".into()),
            outcome: Ok("c".into()),
        };
        assert_eq!((status, callback), (200, Some(expected)));
        for other in [
            "/callback?code=c",
            "/callback?code=c&state=x",
            "/callback?code=c&state=s+t&state=s+t",
            "/callback?state=s+t",
            "/other?code=c&state=s+t",
        ] {
            assert_eq!(answered(other).1, None, "{other}");
        }
    }

    async fn visit(port: u16, query: &str) -> u16 {
        let mut web = testkit::Connection::open(&format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        let page = web
            .send(Request::get(format!("/callback?{query}")), "")
            .await
            .unwrap();
        page.status().as_u16()
    }

    #[tokio::test]
    async fn a_stranger_neither_ends_nor_forges_a_sign_in_before_its_answer_comes() {
        let listener = RedirectListener::bind(None).await.unwrap();
        let port = listener.port();
        let waiting = tokio::spawn(listener.wait("right", Duration::from_secs(20)));
        for query in ["code=x&state=wrong", "error=x&state=wrong", "nothing=1"] {
            assert_eq!(visit(port, query).await, 400, "{query}");
        }
        assert_eq!(visit(port, "code=c&state=right").await, 200);
        assert_eq!(waiting.await.unwrap().unwrap().outcome, Ok("c".into()));
    }

    #[tokio::test]
    async fn a_return_with_another_state_is_told_of_only_when_no_better_one_follows() {
        for (queries, expected) in [
            (vec!["code=x&state=wrong", "code=c&state=right"], "c"),
            (vec!["code=x&state=wrong"], "x"),
        ] {
            let listener = RedirectListener::bind(None).await.unwrap();
            let port = listener.port();
            let waiting =
                tokio::spawn(listener.wait_for_parameters("right", Duration::from_secs(20)));
            for query in queries {
                visit(port, query).await;
            }
            let parameters = waiting.await.unwrap().unwrap();
            assert_eq!(parameters[0], ("code".to_owned(), expected.to_owned()));
        }
    }

    #[tokio::test]
    async fn nobody_is_waited_for_longer_than_said() {
        let listener = RedirectListener::bind(None).await.unwrap();
        let ended = listener.wait("right", Duration::from_millis(50)).await;
        assert!(ended.unwrap_err().to_string().contains("nobody came back"));
    }

    #[test]
    fn a_refusal_is_an_answer_with_its_words() {
        let callback = answered("/callback?error=access_denied&error_description=no&state=s+t")
            .1
            .unwrap();
        assert_eq!(
            callback.outcome,
            Err(("access_denied".into(), Some("no".into())))
        );
    }
}
