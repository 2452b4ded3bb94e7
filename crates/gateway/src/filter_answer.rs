use std::sync::Arc;

use authz::{ListKind, QuarantineFrom};
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use sdk::{Era, EventFilter, Filtered, FilteredEvents, ListCount, NoAnswer, OnItsWay, Permitted};
use wire::mcp::json::{Json, Limits, Object};
use wire::mcp::message::Outcome;
use wire::mcp::param_header::mirrored_params;
use wire::mcp::{ListChanges, Message, method, read_server_message, rpc};

use crate::body::{BoxError, UpstreamBody};
use crate::definitions::Definitions;
use crate::instructions;
use crate::list_news::Listening;
use crate::metric::ServerMetric;
use crate::record::Recording;
use crate::server::Server;
use crate::upstream_error::UpstreamError;

/// The SDK's filter of answers, for those of an upstream: what is not as it was accepted is hidden too, also of what it says of
/// itself.
pub(crate) struct AnswerFilter {
    answers: sdk::AnswerFilter,
    /// For a stream that only listens: what it hears is judged by what is in force then.
    listens_at: Option<Arc<Server>>,
    definitions: Arc<Definitions>,
    /// What a stream that only listens may be told of lists: in the modern era what its acknowledgement says, once that is here.
    promised: Option<ListChanges>,
    /// What was asked for while it is not here.
    wanted: Option<ListChanges>,
    limits: Limits,
}

impl AnswerFilter {
    /// The filter of what is answered to `permitted`, of which no message may be longer than `bytes_max`.
    pub(crate) fn for_answer_to(
        permitted: &Permitted,
        server: &Arc<Server>,
        bytes_max: usize,
    ) -> Self {
        let listening = Listening::of(permitted);
        let listens_at = listening.is_some().then(|| Arc::clone(server));
        let (wanted, promised) = match listening {
            Some(stream) if stream.subscription.is_some() => (Some(stream.wanted), None),
            stream => (None, stream.map(|stream| stream.wanted)),
        };
        Self {
            answers: sdk::AnswerFilter::for_answer_to(permitted),
            listens_at,
            definitions: Arc::clone(&server.definitions),
            promised,
            wanted,
            limits: Limits {
                bytes_max,
                ..Limits::default()
            },
        }
    }

    /// Whether its answer shows a part of what the upstream has to show, and which part depends on who asks.
    pub(crate) fn shows_a_part(&self) -> bool {
        self.asks_for_list() || self.answers.listens()
    }

    /// Whether a list was asked for, or a server that introduces itself.
    pub(crate) fn asks_for_list(&self) -> bool {
        self.answers.asked_list().is_some()
    }

    /// A stream may listen for hours: whoever may not read a resource any more does not hear of it either.
    fn look_at_policy(&mut self) {
        let server = self.listens_at.as_ref();
        if let Some(in_force) = server.and_then(|server| server.protected.last_in_force()) {
            self.answers.judge_by(in_force);
        }
    }

    /// Judges an answer of one JSON value; `refuses` when its status does.
    ///
    /// # Errors
    /// When it is too large, or no answer to what was asked: nothing of it is shown then.
    pub(crate) async fn judge_json<B>(
        &self,
        body: B,
        refuses: bool,
    ) -> Result<(Bytes, Option<ListCount>), UpstreamError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let bytes_max = self.limits.bytes_max;
        let read = Limited::new(body, bytes_max).collect().await;
        let bytes = read.map_err(|error| match error.is::<LengthLimitError>() {
            true => UpstreamError::bad(format!(
                "The MCP server behind this gateway sent an answer of more than {bytes_max} bytes"
            )),
            false => UpstreamError::broken(&error),
        })?;
        let bytes = bytes.to_bytes();
        let looked = self.answers.look_at_whole(&bytes, &self.limits, refuses);
        match looked.map_err(|error| UpstreamError::bad(self.words(&error)))? {
            OnItsWay::ToFilter(mut message) => {
                let count = self.filter(&mut message);
                let count = count.map_err(|error| UpstreamError::bad(self.words(&error)))?;
                Ok((message.to_bytes().into(), count))
            }
            _ => Ok((bytes, None)),
        }
    }

    /// Takes out of `message` what its caller may not call; the count is of the list that was asked for.
    fn filter(&self, message: &mut Message) -> Result<Option<ListCount>, NoAnswer> {
        let mut drifted = Vec::new();
        let count = self.answers.filter(message, |kind, identity, element| {
            self.is_as_accepted(kind, identity, element, &mut drifted)
                && self.has_valid_marks(kind, element)
        });
        if let Message::Response(response) = message
            && let Outcome::Result(Json::Object(result)) = &mut response.outcome
        {
            // A resumed stream may replay the answer to any request.
            let server = self.answers.in_force().server();
            instructions::only_accepted(result, server, &self.definitions);
        }
        for kind in ListKind::ALL {
            self.notice(kind, &drifted);
        }
        count
    }

    /// What the caller is told of what does not belong where it came.
    fn words(&self, error: &NoAnswer) -> String {
        match (error, self.answers.asked_list()) {
            (NoAnswer::Unreadable(error), Some(ListKind::Instructions)) => format!(
                "The MCP server behind this gateway opened with something that cannot be read: {error}"
            ),
            (NoAnswer::Unreadable(error), Some(_)) => format!(
                "The MCP server behind this gateway sent a list that cannot be read: {error}"
            ),
            _ => format!("The MCP server behind this gateway {error}"),
        }
    }

    /// A tool of which an argument is to stand in a header that cannot be is no tool to clients of the era that has such headers
    /// (MCP 2026-07-28, Streamable HTTP, "Schema Extension").
    fn has_valid_marks(&self, kind: ListKind, element: &Json) -> bool {
        let is_concerned = kind == ListKind::Tools
            && self.answers.era() == Era::Modern
            && self.answers.in_force().server().policy.enforced();
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
        drifted: &mut Vec<(ListKind, String)>,
    ) -> bool {
        let policy = &self.answers.in_force().server().policy;
        let Some(entry) = policy.entries(kind).get(identity) else {
            return true;
        };
        if self.definitions.is_accepted(kind, entry, element) {
            return true;
        }
        // One that is quarantined is known to be another one.
        if entry.state.is_accepted() {
            drifted.push((kind, identity.to_owned()));
        }
        !policy.enforced() || policy.quarantine_from == QuarantineFrom::Never
    }

    /// Has the upstream looked at again because of `drifted`. Where changes are only recorded the schedule is soon enough:
    /// such a server may list something else to each caller.
    fn notice(&self, kind: ListKind, drifted: &[(ListKind, String)]) {
        let server = self.answers.in_force().server();
        let mut of_kind = drifted.iter().filter(|(of, _)| *of == kind);
        let (Some((_, name)), false) = (
            of_kind.next(),
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
                count = 1 + of_kind.count(),
                "an upstream lists something otherwise than it was accepted; it is looked at again"
            );
        }
    }

    /// A server that says that a list changed is looked at again.
    fn listens(&self, told: &str) {
        if matches!(
            told,
            method::NOTIFICATIONS_TOOLS_LIST_CHANGED
                | method::NOTIFICATIONS_RESOURCES_LIST_CHANGED
                | method::NOTIFICATIONS_PROMPTS_LIST_CHANGED
        ) {
            self.definitions.look_again();
        }
    }

    /// Adds to the acknowledgement of a subscription what the gateway tells its caller, whatever the upstream does: that
    /// another policy lets them see other lists. Only of lists in which they see something: whether there is more is nothing
    /// that they are to know.
    fn promise(&mut self, text: &[u8]) -> Result<Option<Message>, NoAnswer> {
        let mut message = read_server_message(text, &self.limits)?;
        let (Message::Notification(told), Some(wanted)) = (&mut message, self.wanted.take()) else {
            return Ok(None);
        };
        let policy = &self.answers.in_force().server().policy;
        let viewer = self.answers.viewer();
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
        Ok(Some(message))
    }
}

/// An event stream of an upstream whose messages are judged one by one.
pub(crate) type FilteredStream = FilteredEvents<UpstreamBody, StreamFilter>;

/// What judges them.
pub(crate) struct StreamFilter {
    filter: AnswerFilter,
    recording: Option<Recording>,
    metric: Arc<ServerMetric>,
    /// The request's, whose id belongs on what is logged of its answer.
    span: tracing::Span,
}

/// Judges what `inner` carries.
pub(crate) fn filtered_stream(
    inner: UpstreamBody,
    filter: AnswerFilter,
    server: &Server,
    recording: Recording,
) -> FilteredStream {
    let bytes_max = filter.limits.bytes_max;
    let filter = StreamFilter {
        // Of a list its record says how much was shown. Others do not wait for that: a stream may stay open for hours.
        recording: filter.asks_for_list().then_some(recording),
        filter,
        metric: Arc::clone(&server.metric),
        span: tracing::Span::current(),
    };
    FilteredEvents::new(inner, filter, bytes_max)
}

impl StreamFilter {
    /// What of our own may be put in: the first message of a subscription is its acknowledgement, which says of what it tells.
    pub(crate) fn promised(&self) -> Option<ListChanges> {
        self.filter.promised
    }

    fn judge(&mut self, data: &[u8]) -> Result<Filtered, NoAnswer> {
        let passes = match self.filter.answers.look(data, &self.filter.limits)? {
            OnItsWay::Asks => Filtered::AsItIs,
            OnItsWay::Hidden => Filtered::Withheld,
            OnItsWay::Tells { method } => {
                self.filter.listens(&method);
                let promised = match &*method {
                    method::NOTIFICATIONS_SUBSCRIPTIONS_ACKNOWLEDGED => {
                        self.filter.promise(data)?
                    }
                    _ => None,
                };
                promised.map_or(Filtered::AsItIs, |message| {
                    Filtered::Changed(text(&message))
                })
            }
            OnItsWay::Answers => {
                self.answered();
                Filtered::AsItIs
            }
            OnItsWay::ToFilter(mut message) => {
                let count = self.filter.filter(&mut message)?;
                if let (Some(recording), Some(count)) = (&mut self.recording, count) {
                    recording.listed(count);
                }
                self.answered();
                Filtered::Changed(text(&message))
            }
        };
        Ok(passes)
    }

    /// The answer is there; a stream that stays open is no reason to keep its record.
    fn answered(&mut self) {
        self.recording = None;
        self.filter.answers.answered();
    }
}

impl EventFilter for StreamFilter {
    fn begin(&mut self) {
        self.filter.look_at_policy();
    }

    fn filter(&mut self, data: &str) -> Filtered {
        self.judge(data.as_bytes()).unwrap_or_else(|error| {
            let words = self.filter.words(&error);
            self.metric.withheld();
            tracing::warn!(
                parent: &self.span,
                server = self.filter.answers.in_force().server().slug,
                "a message on a stream was withheld: {words}"
            );
            if let Some(recording) = &mut self.recording {
                recording.answer_withheld(&words);
            }
            self.recording = None;
            match self.filter.answers.give_up() {
                None => Filtered::Withheld,
                Some(id) => {
                    let error = rpc::error(Some(&id), rpc::INTERNAL_ERROR, &words, None);
                    Filtered::Changed(text(&error))
                }
            }
        })
    }

    fn event_id(&self, own: &str) -> Option<String> {
        self.filter.answers.outward_event(own)
    }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).expect("JSON is written from strings and ASCII")
}
