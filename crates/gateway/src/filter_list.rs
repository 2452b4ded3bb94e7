use std::sync::Arc;

use authz::{ListKind, QuarantineFrom};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use sdk::{Era, EventFilter, Filtered, FilteredEvents, ListCount, Permitted};
use wire::mcp::json::{Json, Limits, Object};
use wire::mcp::message::Outcome;
use wire::mcp::param_header::mirrored_params;
use wire::mcp::{ListChanges, Message, method, read_server_message, rpc};

use crate::body::UpstreamBody;
use crate::definitions::Definitions;
use crate::instructions;
use crate::list_news::Listening;
use crate::record::Recording;
use crate::server::Server;
use crate::upstream_error::UpstreamError;

/// The SDK's filter of lists, for those of an upstream: what is not as it was accepted is hidden too, also of what it says of
/// itself.
pub(crate) struct ListFilter {
    lists: sdk::ListFilter,
    /// For a stream that only listens: what it hears is judged by what is in force then.
    listens_at: Option<Arc<Server>>,
    definitions: Arc<Definitions>,
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
        let lists = sdk::ListFilter::for_introduction_or_answer_to(permitted)?;
        let listening = Listening::of(permitted);
        let listens_at = listening.is_some().then(|| Arc::clone(server));
        let (wanted, promised) = match listening {
            Some(stream) if stream.subscription.is_some() => (Some(stream.wanted), None),
            stream => (None, stream.map(|stream| stream.wanted)),
        };
        Some(Self {
            lists,
            listens_at,
            definitions: Arc::clone(&server.definitions),
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
            self.lists.judge_by(in_force);
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
        let mut drifted = Vec::new();
        let count = self.lists.filter(message, |kind, identity, element| {
            self.is_as_accepted(kind, identity, element, &mut drifted)
                && self.has_valid_marks(kind, element)
        });
        if let Message::Response(response) = message
            && let Outcome::Result(Json::Object(result)) = &mut response.outcome
        {
            // A GET stream may replay the answer to any request.
            instructions::only_accepted(result, self.lists.in_force().server(), &self.definitions);
        }
        for kind in ListKind::ALL {
            self.notice(kind, &drifted);
        }
        count.map_err(|no_list| format!("The MCP server behind this gateway {no_list}"))
    }

    fn unreadable(&self) -> &'static str {
        match self.lists.is_of_introduction() {
            true => "The MCP server behind this gateway opened with something that cannot be read",
            false => "The MCP server behind this gateway sent a list that cannot be read",
        }
    }

    /// A tool of which an argument is to stand in a header that cannot be is no tool to clients of the era that has such headers
    /// (MCP 2026-07-28, Streamable HTTP, "Schema Extension").
    fn has_valid_marks(&self, kind: ListKind, element: &Json) -> bool {
        let is_concerned = kind == ListKind::Tools
            && self.lists.era() == Era::Modern
            && self.lists.in_force().server().policy.enforced();
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
        let policy = &self.lists.in_force().server().policy;
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
        let server = self.lists.in_force().server();
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
        let policy = &self.lists.in_force().server().policy;
        let viewer = self.lists.viewer();
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
}

/// An event stream of an upstream whose lists are filtered frame by frame.
pub(crate) type FilteredStream = FilteredEvents<UpstreamBody, StreamFilter>;

/// What filters it.
pub(crate) struct StreamFilter {
    filter: ListFilter,
    recording: Option<Recording>,
    /// The request's, whose id belongs on what is logged of its answer.
    span: tracing::Span,
}

/// Filters `inner`.
pub(crate) fn filtered_stream(
    inner: UpstreamBody,
    filter: ListFilter,
    recording: Recording,
) -> FilteredStream {
    let bytes_max = filter.limits.bytes_max;
    let filter = StreamFilter {
        // A listening stream may stay open for hours; its record does not wait for that.
        recording: filter.lists.asked().is_some().then_some(recording),
        filter,
        span: tracing::Span::current(),
    };
    FilteredEvents::new(inner, filter, bytes_max)
}

impl StreamFilter {
    /// What of our own may be put in: the first message of a subscription is its acknowledgement, which says of what it tells.
    pub(crate) fn promised(&self) -> Option<ListChanges> {
        self.filter.promised
    }
}

impl EventFilter for StreamFilter {
    fn begin(&mut self) {
        self.filter.look_at_policy();
    }

    fn filter(&mut self, data: &str) -> Filtered {
        let mut message = read_server_message(data.as_bytes(), &self.filter.limits);
        if let Ok(message) = &mut message
            && self.filter.promise(message)
        {
            return Filtered::Changed(text(message));
        }
        if let Ok(message) = &message {
            self.filter.listens(message);
            if self.filter.lists.hides(message) {
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
                    server = self.filter.lists.in_force().server().slug,
                    "a frame of the upstream's stream was withheld: {words}"
                );
                match self.filter.lists.asked() {
                    None => Filtered::Withheld,
                    Some(id) => {
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
