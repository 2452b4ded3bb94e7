use std::sync::Arc;

use authz::{ListKind, Viewer};
use wire::mcp::definition::INSTRUCTIONS;
use wire::mcp::json::{Json, Limits, Object};
use wire::mcp::message::{Outcome, RequestId};
use wire::mcp::{
    Era, Glance, Glanced, Message, MessageError, glance, is_twin, method, read_server_message,
};

use crate::{InForce, Permitted, RequestTag, VerifiedCaller};

/// The longest time for which a client is let believe that an answer is still good, in milliseconds: as long as a policy counts
/// that was not heard of.
const TTL_MS_MAX: i64 = 5 * 60 * 1000;

/// What is judged of a result, and so a reason to read it whole.
const JUDGED: [&str; 6] = [
    "tools",
    "resources",
    "resourceTemplates",
    "prompts",
    INSTRUCTIONS,
    CACHE_SCOPE,
];
const CACHE_SCOPE: &str = "cacheScope";
const TTL_MS: &str = "ttlMs";

/// Lets of a server's messages through what belongs on their way down to one caller: each is judged by what it is and by whose it
/// is, not by what was asked. An answer bears the id of the request that waits for it there; a list shows its caller what that
/// caller may call, by the decision and the snapshot that guard the calls.
#[derive(Debug)]
pub struct AnswerFilter {
    caller: Arc<VerifiedCaller>,
    in_force: Arc<InForce>,
    era: Era,
    awaited: Awaited,
    is_answered: bool,
    /// It answers a stream that only listens.
    listens: bool,
}

/// Whose answer may come.
#[derive(Debug)]
enum Awaited {
    /// Nobody's: a notification was sent, or a stream listens.
    Nothing,
    /// Of the request that was made.
    Request {
        id: RequestId,
        tag: RequestTag,
        list: Option<ListKind>,
        is_cached: bool,
    },
    /// Of an earlier request, whose stream goes on here.
    Resumed(RequestTag),
}

/// How much of a list its caller was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCount {
    /// So many elements.
    pub shown: usize,
    /// Of so many.
    pub total: usize,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnItsWay {
    /// The server asks something of the client: it passes.
    Asks,
    /// It tells something: it passes.
    Tells {
        /// What it tells.
        method: String,
    },
    /// It tells of something that its caller may not know.
    Hidden,
    /// An answer to whom it belongs, in which nothing is judged: it passes.
    Answers,
    /// An answer to whom it belongs, of which its caller may not see everything: [`AnswerFilter::filter`] has to see it first.
    ToFilter(Message),
}

/// Why a message does not belong there: nothing of it may be shown then. The words go behind those for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It cannot be read, or not by everybody in the same way.
    #[error("sent something that is no message: {0}")]
    Unreadable(#[from] MessageError),
    /// It asks or tells where only an answer can stand.
    #[error("asked or told something in the place of its answer")]
    NotAnAnswer,
    /// It answers somebody else.
    #[error("answered a request that was not made")]
    OtherRequest,
    /// The answer was there already.
    #[error("answered the same request twice")]
    Twice,
    /// Its result is no object.
    #[error("answered with something that is no object")]
    NoObject,
    /// It has no elements.
    #[error("answered {} without a list of {}", .0.method(), .0.member())]
    NoElements(ListKind),
}

impl AnswerFilter {
    /// The filter of what is answered to `permitted`.
    pub fn for_answer_to(permitted: &Permitted) -> Self {
        let era = permitted.era();
        let request = match permitted.message() {
            Some(Message::Request(request)) => Some(request),
            _ => None,
        };
        let listens = match request {
            Some(request) => era == Era::Modern && request.method == method::SUBSCRIPTIONS_LISTEN,
            None => permitted.message().is_none() && permitted.method() == http::Method::GET,
        };
        let awaited = match (request, permitted.resumes()) {
            (Some(request), _) => Awaited::Request {
                id: request.id.clone(),
                tag: RequestTag::of(&request.id),
                list: match &*request.method {
                    method::INITIALIZE | method::SERVER_DISCOVER => Some(ListKind::Instructions),
                    asked => ListKind::of_method(asked),
                },
                is_cached: era == Era::Modern && is_cached(&request.method),
            },
            (None, Some(tag)) => Awaited::Resumed(tag.clone()),
            (None, None) => Awaited::Nothing,
        };
        Self {
            caller: Arc::clone(permitted.caller()),
            in_force: Arc::clone(permitted.in_force()),
            era,
            awaited,
            is_answered: false,
            listens,
        }
    }

    /// The list that was asked for; the instructions when a server that introduces itself was.
    pub fn asked_list(&self) -> Option<ListKind> {
        match &self.awaited {
            Awaited::Request { list, .. } => *list,
            _ => None,
        }
    }

    /// Whether it answers a stream that only listens.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// The request that waits for its answer here.
    pub fn waiting(&self) -> Option<&RequestId> {
        match &self.awaited {
            Awaited::Request { id, .. } if !self.is_answered => Some(id),
            _ => None,
        }
    }

    /// The era of the call.
    pub fn era(&self) -> Era {
        self.era
    }

    /// What it judges by.
    pub fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// Judges by this from now on: a stream may listen for hours.
    pub fn judge_by(&mut self, in_force: Arc<InForce>) {
        self.in_force = in_force;
    }

    /// What its caller sees.
    pub fn viewer(&self) -> Viewer<'_> {
        let policy = &self.in_force.server().policy;
        Viewer::new(policy, self.caller.caller(), policy.list_step_up)
    }

    /// The id of an event as its caller is to see it: a stream that goes on behind it carries the same answer and no other. It is
    /// left as it is on a stream that carries none, and in the era in which none goes on.
    pub fn outward_event(&self, own: &str) -> Option<String> {
        let tag = match &self.awaited {
            Awaited::Request { tag, .. } | Awaited::Resumed(tag) => tag,
            Awaited::Nothing => return None,
        };
        if self.era != Era::Legacy {
            return None;
        }
        let principal = self.caller.principal();
        self.in_force.sessions.outward_event(principal, tag, own)
    }

    /// Looks at one message of a stream.
    ///
    /// # Errors
    /// When it does not belong there.
    pub fn look(&self, text: &[u8], limits: &Limits) -> Result<OnItsWay, NoAnswer> {
        match glance(text, limits.bytes_max, &JUDGED)? {
            Glance::Request => Ok(OnItsWay::Asks),
            Glance::Notification { method } => {
                if method == method::NOTIFICATIONS_RESOURCES_UPDATED
                    && self.hides(&read_server_message(text, limits)?)
                {
                    return Ok(OnItsWay::Hidden);
                }
                Ok(OnItsWay::Tells { method })
            }
            Glance::Response { id, outcome } => {
                self.belongs(id.as_ref())?;
                self.answer(outcome, text, limits)
            }
        }
    }

    /// Looks at what is the whole of an answer. Clients go by the status of one that refuses, and some servers give its error an
    /// id of their own.
    ///
    /// # Errors
    /// When it does not belong there.
    pub fn look_at_whole(
        &self,
        text: &[u8],
        limits: &Limits,
        refuses: bool,
    ) -> Result<OnItsWay, NoAnswer> {
        let Glance::Response { id, outcome } = glance(text, limits.bytes_max, &JUDGED)? else {
            return Err(NoAnswer::NotAnAnswer);
        };
        if !refuses || outcome != Glanced::Error {
            self.belongs(id.as_ref())?;
        }
        self.answer(outcome, text, limits)
    }

    /// Whether an answer to the request `id` belongs here. Only an error has none, which is about no request that could be read.
    fn belongs(&self, id: Option<&RequestId>) -> Result<(), NoAnswer> {
        let Some(id) = id else {
            return Ok(());
        };
        let is_awaited = match &self.awaited {
            Awaited::Nothing => false,
            Awaited::Request { id: asked, .. } => asked == id,
            Awaited::Resumed(tag) => *tag == RequestTag::of(id),
        };
        match (is_awaited, self.is_answered) {
            (false, _) => Err(NoAnswer::OtherRequest),
            (true, true) => Err(NoAnswer::Twice),
            (true, false) => Ok(()),
        }
    }

    fn answer(&self, outcome: Glanced, text: &[u8], limits: &Limits) -> Result<OnItsWay, NoAnswer> {
        let is_judged = match (outcome, &self.awaited) {
            // It lists nothing.
            (Glanced::Error, _) => false,
            (Glanced::NoObject, _) => return Err(NoAnswer::NoObject),
            (Glanced::Result { is_found: true }, _) => true,
            (
                Glanced::Result { .. },
                Awaited::Request {
                    list, is_cached, ..
                },
            ) => list.is_some() || *is_cached,
            (Glanced::Result { .. }, _) => false,
        };
        match is_judged {
            true => Ok(OnItsWay::ToFilter(read_server_message(text, limits)?)),
            false => Ok(OnItsWay::Answers),
        }
    }

    /// The answer was sent on: another one does not belong there.
    pub fn answered(&mut self) {
        self.is_answered = true;
    }

    /// Something else came: the request that waits for its answer here, if one does, which is to be given an error in its place.
    pub fn give_up(&mut self) -> Option<RequestId> {
        let waiting = self.waiting().cloned();
        self.is_answered |= waiting.is_some();
        waiting
    }

    /// Takes out of an answer what its caller may not call, and what `may_show` says no to of the rest; the count is of the
    /// list that was asked for.
    ///
    /// # Errors
    /// When it is no answer to what was asked.
    pub fn filter(
        &self,
        message: &mut Message,
        mut may_show: impl FnMut(ListKind, &str, &Json) -> bool,
    ) -> Result<Option<ListCount>, NoAnswer> {
        let Message::Response(response) = message else {
            return Ok(None);
        };
        let Outcome::Result(result) = &mut response.outcome else {
            return Ok(None);
        };
        let Json::Object(result) = result else {
            return Err(NoAnswer::NoObject);
        };
        let asked = self.asked_list();
        let viewer = self.viewer();
        let mut count = None;
        let mut is_list = false;
        for kind in ListKind::ALL {
            remove_twins(result, kind.member());
            match result.get_mut(kind.member()) {
                Some(Json::Array(elements)) => {
                    let total = elements.len();
                    elements.retain(|element| {
                        identity(kind, element).is_some_and(|identity| {
                            viewer.sees(kind, identity) && may_show(kind, identity, element)
                        })
                    });
                    is_list = true;
                    if asked == Some(kind) {
                        count = Some(ListCount {
                            shown: elements.len(),
                            total,
                        });
                    }
                }
                Some(_) => return Err(NoAnswer::NoElements(kind)),
                None => {}
            }
        }
        let lists = asked.filter(|kind| *kind != ListKind::Instructions);
        if let Some(kind) = lists.filter(|_| count.is_none()) {
            return Err(NoAnswer::NoElements(kind));
        }
        let is_cached = is_list
            || matches!(
                self.awaited,
                Awaited::Request {
                    is_cached: true,
                    ..
                }
            );
        keep_private(result, is_cached && self.era == Era::Modern);
        Ok(count)
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
}

/// Whether clients of the modern era keep the answer (MCP 2026-07-28, "Caching").
fn is_cached(asked: &str) -> bool {
    ListKind::of_method(asked).is_some()
        || matches!(asked, method::RESOURCES_READ | method::SERVER_DISCOVER)
}

/// What was judged for one caller is that caller's and nobody else's, and not for longer than a policy lasts: whoever keeps it
/// still sees what was taken from them meanwhile. `says_so` where it has to be said even when the server says nothing.
fn keep_private(result: &mut Object, says_so: bool) {
    remove_twins(result, CACHE_SCOPE);
    // A task has a `ttlMs` too: that one is how long the task lives.
    if !says_so && result.get(CACHE_SCOPE).is_none() {
        return;
    }
    result.insert(CACHE_SCOPE, "private");
    remove_twins(result, TTL_MS);
    let kept = match result.get(TTL_MS) {
        None => return,
        // A time that is none, or before now, is over.
        Some(said) => said.as_i64().unwrap_or(0).clamp(0, TTL_MS_MAX),
    };
    if result.get(TTL_MS).and_then(Json::as_i64) != Some(kept) {
        result.insert(TTL_MS, kept);
    }
}

/// What tells an element from the others, unless it says so twice.
fn identity(kind: ListKind, element: &Json) -> Option<&str> {
    let mut members = element.as_object()?.iter();
    let named_twice = members.any(|(name, _)| is_twin(name, kind.identity_member()));
    kind.identity(element).filter(|_| !named_twice)
}

/// Some readers take `Tools` for `tools`.
fn remove_twins(result: &mut Object, member: &str) {
    let twins: Vec<String> = result
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| is_twin(name, member))
        .map(str::to_owned)
        .collect();
    for twin in twins {
        result.remove(&twin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_judged_is_every_list_there_is() {
        for kind in ListKind::DEFINED {
            assert!(JUDGED.contains(&kind.member()), "{kind:?}");
        }
    }

    #[test]
    fn an_answer_is_kept_for_five_minutes_at_most_and_by_its_caller_alone() {
        let max = TTL_MS_MAX.to_string();
        for (said, kept) in [
            ("0", "0"),
            ("299999", "299999"),
            ("300000", &*max),
            ("300001", &*max),
            ("9223372036854775807", &*max),
            ("99999999999999999999999", "0"),
            ("1e99", "0"),
            ("-1", "0"),
            ("0.5", "0"),
            ("null", "0"),
            ("\"600000\"", "0"),
        ] {
            let text = format!(
                r#"{{"ttlMs":{said},"TTLms":7,"cacheScope":"public","CacheScope":"public"}}"#
            );
            let json = wire::mcp::parse_strict(text.as_bytes(), &Limits::default());
            let Ok(Json::Object(mut result)) = json else {
                panic!("{text}");
            };
            keep_private(&mut result, false);
            let expected = format!(r#"{{"ttlMs":{kept},"cacheScope":"private"}}"#);
            assert_eq!(Json::Object(result).to_text(), expected, "{said}");
        }
        for (says_so, expected) in [(true, r#"{"cacheScope":"private"}"#), (false, "{}")] {
            let mut result = Object::new();
            keep_private(&mut result, says_so);
            assert_eq!(Json::Object(result).to_text(), expected);
        }
    }
}
