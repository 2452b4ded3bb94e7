use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use authz::{ListKind, ListStepUp, QuarantineFrom, Viewer};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Limited};
use sdk::{Era, InForce, Permitted, VerifiedCaller};
use wire::mcp::json::{Json, Limits, Object};
use wire::mcp::message::{Outcome, RequestId};
use wire::mcp::param_header::mirrored_params;
use wire::mcp::{ListChanges, Message, SseParser, is_twin, method, read_server_message, rpc};

use crate::body::{BoxError, UpstreamBody};
use crate::definitions::Definitions;
use crate::instructions;
use crate::list_news::Listening;
use crate::record::{ListCount, Recording};
use crate::server::Server;
use crate::upstream_error::UpstreamError;

/// Shows of a list what its caller may call, by the decision and the snapshot that guard the calls; and of what a server says of
/// itself what was accepted.
pub(crate) struct ListFilter {
    caller: Arc<VerifiedCaller>,
    in_force: Arc<InForce>,
    /// For a stream that only listens: what it hears is judged by what is in force then.
    listens_at: Option<Arc<Server>>,
    definitions: Arc<Definitions>,
    era: Era,
    /// What was asked for, and by which request. A GET stream may replay the answer to any earlier one.
    asked: Option<(RequestId, ListKind)>,
    /// What a stream that only listens may be told of lists: in the modern era what its acknowledgement says, once that is here.
    promised: Option<ListChanges>,
    /// What was asked for while it is not here.
    wanted: Option<ListChanges>,
    limits: Limits,
}

impl ListFilter {
    /// The filter that the answer to `permitted` needs, if it needs one.
    pub(crate) fn for_answer_to(
        permitted: &Permitted,
        server: &Arc<Server>,
        list_bytes_max: usize,
    ) -> Option<Self> {
        let listening = Listening::of(permitted);
        let asked = match permitted.message() {
            _ if listening.is_some() => None,
            Some(Message::Request(request)) => Some((request.id.clone(), judged(&request.method)?)),
            _ => return None,
        };
        let listens_at = listening.is_some().then(|| Arc::clone(server));
        let (wanted, promised) = match listening {
            Some(stream) if stream.subscription.is_some() => (Some(stream.wanted), None),
            stream => (None, stream.map(|stream| stream.wanted)),
        };
        Some(Self {
            caller: Arc::clone(permitted.caller()),
            in_force: Arc::clone(permitted.in_force()),
            listens_at,
            definitions: Arc::clone(&server.definitions),
            era: permitted.era(),
            asked,
            promised,
            wanted,
            limits: Limits {
                bytes_max: list_bytes_max,
                ..Limits::default()
            },
        })
    }

    /// A stream may listen for hours: whoever may not read a resource any more does not hear of it either.
    fn look_at_policy(&mut self) {
        let server = self.listens_at.as_ref();
        if let Some(in_force) = server.and_then(|server| server.protected.last_in_force()) {
            self.in_force = in_force;
        }
    }

    /// Filters an answer of one JSON value.
    ///
    /// # Errors
    /// When it is too large, or no answer to what was asked: nothing of it is shown then.
    pub(crate) async fn filter_json(
        &self,
        body: UpstreamBody,
    ) -> Result<(Bytes, Option<ListCount>), UpstreamError> {
        let bytes = Limited::new(body, self.limits.bytes_max)
            .collect()
            .await
            .map_err(|error| UpstreamError::broken(&error))?
            .to_bytes();
        let mut message = read_server_message(&bytes, &self.limits)
            .map_err(|error| UpstreamError::bad(format!("{}: {error}", self.unreadable())))?;
        let count = self.filter(&mut message).map_err(UpstreamError::bad)?;
        Ok((message.to_bytes().into(), count))
    }

    /// Takes out of `message` what its caller may not call; the count is of the list that was asked for.
    fn filter(&self, message: &mut Message) -> Result<Option<ListCount>, String> {
        let Message::Response(response) = message else {
            return Ok(None);
        };
        // An error lists nothing, and some servers give it an id of their own.
        let Outcome::Result(result) = &mut response.outcome else {
            return Ok(None);
        };
        let asked = match &self.asked {
            None => None,
            Some((id, kind)) => match &response.id {
                Some(answered) if answered == id => Some(*kind),
                None => None,
                Some(_) => {
                    return Err(
                        "The MCP server behind this gateway answered a request that was not made"
                            .into(),
                    );
                }
            },
        };
        let Json::Object(result) = result else {
            return Err(String::from(
                "The MCP server behind this gateway answered with something that is no object",
            ));
        };
        let viewer = self.viewer();
        let mut count = None;
        let mut is_list = false;
        for kind in ListKind::ALL {
            self.remove_twins(result, kind);
            match result.get_mut(kind.member()) {
                Some(Json::Array(elements)) => {
                    let total = elements.len();
                    let mut drifted = Vec::new();
                    elements.retain(|element| self.shows(&viewer, kind, element, &mut drifted));
                    self.notice(kind, &drifted);
                    is_list = true;
                    if asked == Some(kind) {
                        count = Some(ListCount {
                            shown: elements.len(),
                            total,
                        });
                    }
                }
                Some(_) => return Err(not_a_list(kind)),
                None => {}
            }
        }
        // A GET stream may replay the answer to either.
        instructions::only_accepted(result, self.in_force.server(), &self.definitions);
        let lists = asked.filter(|kind| *kind != ListKind::Instructions);
        if let Some(kind) = lists.filter(|_| count.is_none()) {
            return Err(not_a_list(kind));
        }
        if is_list && (self.era == Era::Modern || result.get("cacheScope").is_some()) {
            // What is left is this caller's and nobody else's.
            result.insert("cacheScope", "private");
        }
        Ok(count)
    }

    fn unreadable(&self) -> &'static str {
        match &self.asked {
            Some((_, ListKind::Instructions)) => {
                "The MCP server behind this gateway opened with something that cannot be read"
            }
            _ => "The MCP server behind this gateway sent a list that cannot be read",
        }
    }

    /// By the snapshot that was in force when the call was judged, or that is now on a stream that listens.
    fn viewer(&self) -> Viewer<'_> {
        let policy = &self.in_force.server().policy;
        Viewer::new(policy, self.caller.caller(), ListStepUp::Auto)
    }

    /// Whether its caller sees `element`. What is not as it was accepted is added to `drifted`.
    fn shows(
        &self,
        viewer: &Viewer<'_>,
        kind: ListKind,
        element: &Json,
        drifted: &mut Vec<String>,
    ) -> bool {
        let named_twice = element.as_object().is_some_and(|members| {
            members
                .iter()
                .any(|(name, _)| is_twin(name, kind.identity_member()))
        });
        !named_twice
            && kind.identity(element).is_some_and(|identity| {
                viewer.sees(kind, identity) && self.is_as_accepted(kind, identity, element, drifted)
            })
            && self.has_valid_marks(kind, element)
    }

    /// A tool of which an argument is to stand in a header that cannot be is no tool to clients of the era that has such headers
    /// (MCP 2026-07-28, Streamable HTTP, "Schema Extension").
    fn has_valid_marks(&self, kind: ListKind, element: &Json) -> bool {
        let is_concerned = kind == ListKind::Tools
            && self.era == Era::Modern
            && self.in_force.server().policy.enforced();
        let mut schema = element
            .get("inputSchema")
            .filter(|_| is_concerned)
            .into_iter();
        schema.all(|schema| mirrored_params(schema).is_some())
    }

    /// An element that is not defined as it was accepted is hidden at once, before anybody judged how grave that is, and the
    /// upstream is looked at again. In observe mode, or where changes are only recorded, it is shown.
    fn is_as_accepted(
        &self,
        kind: ListKind,
        identity: &str,
        element: &Json,
        drifted: &mut Vec<String>,
    ) -> bool {
        let policy = &self.in_force.server().policy;
        let Some(entry) = policy.entries(kind).get(identity) else {
            return true;
        };
        if self.definitions.is_accepted(kind, entry, element) {
            return true;
        }
        // One that is quarantined is known to be another one.
        if entry.state.is_accepted() {
            drifted.push(identity.to_owned());
        }
        !policy.enforced() || policy.quarantine_from == QuarantineFrom::Never
    }

    /// Has the upstream looked at again because of `drifted`. Where changes are only recorded the schedule is soon enough:
    /// such a server may list something else to each caller.
    fn notice(&self, kind: ListKind, drifted: &[String]) {
        let server = self.in_force.server();
        let (Some(name), false) = (
            drifted.first(),
            server.policy.quarantine_from == QuarantineFrom::Never,
        ) else {
            return;
        };
        self.definitions.look_again();
        if self.definitions.may_warn() {
            tracing::warn!(
                server = server.slug,
                list = kind.method(),
                name,
                count = drifted.len(),
                "an upstream lists something otherwise than it was accepted; it is looked at again"
            );
        }
    }

    /// Whoever may not read a resource does not hear of it either: some servers tell everybody.
    fn hides(&self, message: &Message) -> bool {
        let Message::Notification(told) = message else {
            return false;
        };
        let uri = told.params.as_ref().and_then(|params| params.str("uri"));
        told.method == method::NOTIFICATIONS_RESOURCES_UPDATED
            && uri.is_some_and(|uri| !self.viewer().sees(ListKind::Resources, uri))
    }

    /// A server that says that a list changed is looked at again.
    fn listens(&self, message: &Message) {
        if let Message::Notification(told) = message
            && matches!(
                told.method.as_str(),
                method::NOTIFICATIONS_TOOLS_LIST_CHANGED
                    | method::NOTIFICATIONS_RESOURCES_LIST_CHANGED
                    | method::NOTIFICATIONS_PROMPTS_LIST_CHANGED
            )
        {
            self.definitions.look_again();
        }
    }

    /// Adds to the acknowledgement of a subscription what the gateway tells its caller, whatever the upstream does: that
    /// another policy lets them see other lists. Only of lists in which they see something: whether there is more is nothing
    /// that they are to know.
    fn promise(&mut self, message: &mut Message) -> bool {
        let Message::Notification(told) = message else {
            return false;
        };
        if told.method != method::NOTIFICATIONS_SUBSCRIPTIONS_ACKNOWLEDGED {
            return false;
        }
        let Some(wanted) = self.wanted.take() else {
            return false;
        };
        let policy = &self.in_force.server().policy;
        let viewer = self.viewer();
        let shows_some = |kind: &ListKind| {
            let mut names = policy.entries(*kind).keys();
            names.any(|name| viewer.sees(*kind, name))
        };
        let ours = wanted
            .iter()
            .filter(|change| change.lists().iter().any(shows_some));
        let params = told.params.get_or_insert_default();
        if params.get("notifications").is_none() {
            params.insert("notifications", Object::new());
        }
        let honored = params
            .get_mut("notifications")
            .and_then(Json::as_object_mut);
        if let Some(honored) = honored {
            for change in ours {
                honored.insert(change.listen_member(), true);
            }
        }
        let promised = ListChanges::asked_for(told.params.as_ref());
        self.promised = Some(promised.and(wanted));
        true
    }

    /// Some readers take `Tools` for `tools`.
    fn remove_twins(&self, result: &mut Object, kind: ListKind) {
        let twins: Vec<String> = result
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| is_twin(name, kind.member()))
            .map(str::to_owned)
            .collect();
        for twin in twins {
            result.remove(&twin);
        }
    }
}

/// What of the answer to a request of this method is judged, if anything is.
fn judged(method: &str) -> Option<ListKind> {
    match instructions::may_have(method) {
        true => Some(ListKind::Instructions),
        false => ListKind::of_method(method),
    }
}

fn not_a_list(kind: ListKind) -> String {
    format!(
        "The MCP server behind this gateway answered {} without a list of {}",
        kind.method(),
        kind.member()
    )
}

/// An event stream whose lists are filtered frame by frame. The other frames pass as they are.
pub(crate) struct FilteredStream {
    inner: UpstreamBody,
    parser: SseParser,
    filter: ListFilter,
    recording: Option<Recording>,
    /// The request's, whose id belongs on what is logged of its answer.
    span: tracing::Span,
    ended: bool,
}

impl FilteredStream {
    pub(crate) fn new(inner: UpstreamBody, filter: ListFilter, recording: Recording) -> Self {
        Self {
            inner,
            parser: SseParser::new(filter.limits.bytes_max),
            // A listening stream may stay open for hours; its record does not wait for that.
            recording: filter.asked.is_some().then_some(recording),
            filter,
            span: tracing::Span::current(),
            ended: false,
        }
    }

    pub(crate) fn close_when_abandoned(&mut self) {
        self.inner.close_when_abandoned();
    }

    /// What of our own may be put in: the first message of a subscription is its acknowledgement, which says of what it tells.
    pub(crate) fn promised(&self) -> Option<ListChanges> {
        self.filter.promised
    }

    /// What may be sent on of `piece`.
    fn take_in(&mut self, piece: &[u8]) -> Result<Vec<u8>, BoxError> {
        self.filter.look_at_policy();
        let mut out = Vec::with_capacity(piece.len());
        let pushed = self.parser.push(piece);
        while let Some(mut event) = self.parser.next_event() {
            if let Some(data) = event.data().filter(|data| !data.is_empty()) {
                match self.filter_data(&data) {
                    Filtered::AsItIs => {}
                    Filtered::Changed(data) => event.set_data(&data),
                    Filtered::Withheld => continue,
                }
            }
            event.write_to(&mut out);
        }
        pushed?;
        Ok(out)
    }

    fn filter_data(&mut self, data: &str) -> Filtered {
        let mut message = read_server_message(data.as_bytes(), &self.filter.limits);
        if let Ok(message) = &mut message
            && self.filter.promise(message)
        {
            return Filtered::Changed(text(message));
        }
        if let Ok(message) = &message {
            self.filter.listens(message);
            if self.filter.hides(message) {
                return Filtered::Withheld;
            }
        }
        let filtered = message
            .map_err(|error| error.to_string())
            .and_then(|mut message| {
                if !matches!(message, Message::Response(_)) {
                    return Ok(None);
                }
                let count = self.filter.filter(&mut message)?;
                Ok(Some((message, count)))
            });
        match filtered {
            Ok(None) => Filtered::AsItIs,
            Ok(Some((message, count))) => {
                if let Some(count) = count {
                    if let Some(recording) = &mut self.recording {
                        recording.listed(count);
                    }
                    // The answer is there; a stream that stays open is no reason to keep its record.
                    self.recording = None;
                }
                Filtered::Changed(text(&message))
            }
            Err(words) => {
                tracing::warn!(
                    parent: &self.span,
                    server = self.filter.in_force.server().slug,
                    "a frame of the upstream's stream was withheld: {words}"
                );
                match &self.filter.asked {
                    None => Filtered::Withheld,
                    Some((id, _)) => {
                        let error = rpc::error(
                            Some(id),
                            rpc::INTERNAL_ERROR,
                            self.filter.unreadable(),
                            None,
                        );
                        Filtered::Changed(text(&error))
                    }
                }
            }
        }
    }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).expect("JSON is written from strings and ASCII")
}

enum Filtered {
    AsItIs,
    Changed(String),
    Withheld,
}

impl Body for FilteredStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                // A frame that was not finished is thrown away, as every reader does.
                Poll::Ready(None) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            match this.take_in(&data) {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Err(error) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}
