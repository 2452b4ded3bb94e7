use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::oauth::resource_server::{self, AuthenticatedResourceServer};
use ::oauth::{Error, ServerContext};
use authz::FeedMessage;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::watch;
use tokio::time::Instant;

use super::board::{Posted, StreamPlace, line};
use crate::app::AppState;
use crate::in_server::InOwnServer;
use crate::oauth::basic;
use crate::respond::{self, Step};

/// How often a stream says that the authority still reads its store. A reader that hears nothing for a few of these is
/// on a dead connection.
const BEAT: Duration = Duration::from_secs(2);

/// How often a stream that has not begun looks whether the store was read again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long to wait for a place among the streams of a credential.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// `GET /servers/{slug}/feed`: JSON lines without an end, for who has the credential of this MCP server. First the whole
/// slice, then the whole slice again when anything in it has changed, and a beat while nothing has.
pub(crate) async fn get(
    State(app): State<AppState>,
    InOwnServer(server): InOwnServer,
    request: Request,
) -> Result<Response, Response> {
    let who = authenticated(&app, &server, "feed", request.headers()).await?;
    let Some(place) = app.feed.enter(who.credential()) else {
        let error =
            Error::temporarily_unavailable(TRY_AGAIN, "this credential has too many feeds open");
        let step = step("feed", &server, request.headers());
        return Err(respond::oauth_error(&app, step, &error));
    };
    let feed = Feed {
        board: app.feed.watch(),
        contacts: app.feed.contacts(),
        app,
        server,
        who,
        unread: true,
        said: None,
        beat: Instant::now() + BEAT,
        _place: place,
    };
    let lines = stream::unfold(feed, |mut feed| async {
        let line = feed.next().await?;
        Some((Ok::<_, Infallible>(line), feed))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jsonl"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would gather lines until a buffer is full.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// The MCP server whose credential came, or the refusal.
pub(super) async fn authenticated(
    app: &AppState,
    server: &ServerContext,
    name: &'static str,
    headers: &HeaderMap,
) -> Result<AuthenticatedResourceServer, Response> {
    let checking = async {
        let credential = basic::read(headers)?;
        resource_server::authenticate_header(&app.authority, server, credential.as_ref()).await
    };
    checking
        .await
        .map_err(|error| respond::oauth_error(app, step(name, server, headers), &error))
}

pub(super) fn step<'a>(
    name: &'static str,
    server: &'a ServerContext,
    headers: &'a HeaderMap,
) -> Step<'a> {
    Step {
        name,
        server: Some(server.slug()),
        client_id: None,
        headers,
    }
}

/// One open stream.
struct Feed {
    app: AppState,
    server: Arc<ServerContext>,
    who: AuthenticatedResourceServer,
    board: watch::Receiver<Posted>,
    /// Whether there is a snapshot that was not looked at.
    unread: bool,
    /// What was sent last.
    said: Option<Bytes>,
    /// How often the store had been read at the last beat.
    contacts: u64,
    beat: Instant,
    _place: StreamPlace,
}

impl Feed {
    /// The next line; `None` when the stream is to end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let posted = self.board.borrow_and_update().clone();
            let line = match posted {
                Posted::Closed => return None,
                Posted::Nothing => None,
                // A server that was removed has no line, and its feed no reason to go on.
                Posted::Sheet(sheet) => Some(sheet.line(&self.app.authority, self.server.slug())?),
            };
            // Whatever changed may have been the credential. What hangs there when a stream begins may be old, for example while
            // the store cannot be read, and would count as news.
            let is_news = self.said.is_some() || self.contacts != self.app.feed.contacts();
            if self.unread && is_news && line.is_some() && self.may_hear().await? {
                self.unread = false;
                if line != self.said {
                    self.contacts = self.app.feed.contacts();
                    self.said.clone_from(&line);
                    return line;
                }
            }
            tokio::select! {
                changed = self.board.changed() => {
                    changed.ok()?;
                    self.unread = true;
                }
                () = tokio::time::sleep(LOOK_EVERY), if self.said.is_none() => {}
                () = tokio::time::sleep_until(self.beat) => {
                    self.beat = Instant::now() + BEAT;
                    let contacts = self.app.feed.contacts();
                    // While the store does not answer, nothing is said: what was revoked meanwhile is not known here.
                    if self.said.is_some() && self.contacts != contacts && self.may_hear().await? {
                        self.contacts = contacts;
                        return Some(self::line(&FeedMessage::Contact));
                    }
                }
            }
        }
    }

    /// Whether the credential is still good; `None` when it is not. While that cannot be told, nothing may be heard.
    async fn may_hear(&self) -> Option<bool> {
        match self.who.still_stands(&self.app.authority).await {
            Ok(true) => Some(true),
            Ok(false) => {
                tracing::info!(
                    mcp.server = self.server.slug(),
                    credential = %self.who.credential(),
                    "a feed ends: its credential was replaced"
                );
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the credential of a feed cannot be looked at");
                Some(false)
            }
        }
    }
}
