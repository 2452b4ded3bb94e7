use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::{AuditEventKind, ClientId, GrantId, ServerSlug, UserId};
use futures_util::stream;
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use store::{AuditFilter, Store, StoreError, StoredAuditEvent};

use super::problem::Problem;
use super::query::{Query, moment, page};
use crate::app::AppState;

/// How many events are read at once for an export.
const READ_AT_ONCE: usize = 500;

/// One event.
#[derive(Debug, Serialize)]
struct EventView<'a> {
    id: String,
    at: String,
    kind: &'static str,
    server: Option<&'a str>,
    user: Option<&'a str>,
    client: Option<&'a str>,
    grant: Option<&'a str>,
    detail: &'a str,
}

impl<'a> EventView<'a> {
    fn of(stored: &'a StoredAuditEvent) -> Self {
        let event = &stored.event;
        Self {
            // Beyond what a double holds exactly.
            id: stored.id.to_string(),
            at: moment(event.at),
            kind: event.kind.as_str(),
            server: event.server.as_ref().map(ServerSlug::as_str),
            user: event.user.as_ref().map(UserId::as_str),
            client: event.client.as_ref().map(ClientId::as_str),
            grant: event.grant.as_ref().map(GrantId::as_str),
            detail: &event.detail,
        }
    }
}

const FILTERS: [&str; 5] = ["from", "until", "kind", "server", "person"];

fn filter(query: &Query) -> Result<AuditFilter, Problem> {
    let kind = query.text("kind").map(|word| {
        let unknown = || Problem::at("kind", "there is no such kind of event");
        AuditEventKind::parse(word).ok_or_else(unknown)
    });
    Ok(AuditFilter {
        from: query.moment("from")?,
        until: query.moment("until")?,
        kind: kind.transpose()?,
        server: query.server()?,
        user: query.text("person").map(UserId::from_text),
    })
}

/// `GET /audit`, the oldest first.
pub(super) async fn list(State(app): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let mut known = FILTERS.to_vec();
    known.extend(["limit", "after"]);
    let query = Query::read(&uri, &known)?;
    let (limit, after) = (query.limit()?, query.number("after")?.unwrap_or(0));
    let filter = filter(&query)?;
    let store = app.authority.store();
    let events = store.find_audit_events(&filter, after, limit + 1).await?;
    let views: Vec<EventView<'_>> = events.iter().map(EventView::of).collect();
    Ok(page(views, limit, |view| view.id.clone()))
}

/// `GET /audit/export`: all that the filters let through and that happened before it was asked for, as JSON lines. Whoever gets no last line got less than all: the
/// connection breaks off when the log cannot be read on.
pub(super) async fn export(State(app): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let mut known = FILTERS.to_vec();
    known.push("after");
    let query = Query::read(&uri, &known)?;
    let mut filter = filter(&query)?;
    // So that it ends: a log that is written faster than it is read would have no last line. What happens in this second belongs
    // to it: several events have one moment.
    filter
        .until
        .get_or_insert(app.authority.now().after(Duration::from_secs(1)));
    let mut lines = Lines {
        store: app.authority.store().clone(),
        filter,
        after: query.number("after")?.unwrap_or(0),
        read: VecDeque::new(),
        is_last: false,
    };
    // A log that cannot be read at all is said so.
    lines.read_on().await?;
    let lines = stream::try_unfold(lines, |mut lines| async {
        let line = lines.next().await?;
        Ok::<_, StoreError>(line.map(|line| (line, lines)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/jsonl"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// An export under way.
struct Lines {
    store: Store,
    filter: AuditFilter,
    after: i64,
    read: VecDeque<StoredAuditEvent>,
    is_last: bool,
}

impl Lines {
    async fn read_on(&mut self) -> Result<(), StoreError> {
        let events = self
            .store
            .find_audit_events(&self.filter, self.after, READ_AT_ONCE)
            .await?;
        self.is_last = events.len() < READ_AT_ONCE;
        self.after = events.last().map_or(self.after, |event| event.id);
        self.read.extend(events);
        Ok(())
    }

    /// Many lines at once.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.read.is_empty() && !self.is_last {
            self.read_on().await?;
        }
        if self.read.is_empty() {
            return Ok(None);
        }
        let mut text = Vec::new();
        for event in self.read.drain(..) {
            let line = serde_json::to_vec(&EventView::of(&event)).expect("an event is plain JSON");
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        Ok(Some(text.into()))
    }
}
