use std::sync::Arc;

use authz::{ListKind, Viewer};
use wire::mcp::json::{Json, Object};
use wire::mcp::message::{Outcome, RequestId};
use wire::mcp::{Era, Message, is_twin, method};

use crate::{InForce, Permitted, VerifiedCaller};

/// Shows of a list what its caller may call, by the decision and the snapshot that guard the calls.
#[derive(Debug)]
pub struct ListFilter {
    caller: Arc<VerifiedCaller>,
    in_force: Arc<InForce>,
    era: Era,
    /// What was asked for, and by which request. A GET stream may replay the answer to any earlier one.
    asked: Option<(RequestId, ListKind)>,
}

/// How much of a list its caller was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCount {
    /// So many elements.
    pub shown: usize,
    /// Of so many.
    pub total: usize,
}

/// Why an answer is no list: nothing of it may be shown then. The words go behind those for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// It answers somebody else.
    #[error("answered a request that was not made")]
    OtherRequest,
    /// Its result is no object.
    #[error("answered with something that is no object")]
    NoObject,
    /// It has no elements.
    #[error("answered {} without a list of {}", .0.method(), .0.member())]
    NoElements(ListKind),
}

impl ListFilter {
    /// The filter that the answer to `permitted` needs: when it asks for a list, and when it opens a stream that only listens.
    pub fn for_answer_to(permitted: &Permitted) -> Option<Self> {
        Self::judging(permitted, ListKind::of_method)
    }

    /// The same, and for the answers in which a server introduces itself.
    pub fn for_introduction_or_answer_to(permitted: &Permitted) -> Option<Self> {
        Self::judging(permitted, |asked| match asked {
            method::INITIALIZE | method::SERVER_DISCOVER => Some(ListKind::Instructions),
            asked => ListKind::of_method(asked),
        })
    }

    fn judging(permitted: &Permitted, judged: impl Fn(&str) -> Option<ListKind>) -> Option<Self> {
        let asked = match permitted.message() {
            None if permitted.method() == http::Method::GET => None,
            Some(Message::Request(request))
                if permitted.era() == Era::Modern
                    && request.method == method::SUBSCRIPTIONS_LISTEN =>
            {
                None
            }
            Some(Message::Request(request)) => Some((request.id.clone(), judged(&request.method)?)),
            _ => return None,
        };
        Some(Self {
            caller: Arc::clone(permitted.caller()),
            in_force: Arc::clone(permitted.in_force()),
            era: permitted.era(),
            asked,
        })
    }

    /// The request that asked for the list; none for a stream that only listens.
    pub fn asked(&self) -> Option<&RequestId> {
        self.asked.as_ref().map(|(id, _)| id)
    }

    /// Whether a server that introduces itself was asked for.
    pub fn is_of_introduction(&self) -> bool {
        matches!(self.asked, Some((_, ListKind::Instructions)))
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

    /// Takes out of `message` what its caller may not call, and what `may_show` says no to of the rest; the count is of the
    /// list that was asked for.
    ///
    /// # Errors
    /// When it is no answer to what was asked.
    pub fn filter(
        &self,
        message: &mut Message,
        mut may_show: impl FnMut(ListKind, &str, &Json) -> bool,
    ) -> Result<Option<ListCount>, NoList> {
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
                Some(_) => return Err(NoList::OtherRequest),
            },
        };
        let Json::Object(result) = result else {
            return Err(NoList::NoObject);
        };
        let viewer = self.viewer();
        let mut count = None;
        let mut is_list = false;
        for kind in ListKind::ALL {
            remove_twins(result, kind);
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
                Some(_) => return Err(NoList::NoElements(kind)),
                None => {}
            }
        }
        let lists = asked.filter(|kind| *kind != ListKind::Instructions);
        if let Some(kind) = lists.filter(|_| count.is_none()) {
            return Err(NoList::NoElements(kind));
        }
        if is_list && (self.era == Era::Modern || result.get("cacheScope").is_some()) {
            // What is left is this caller's and nobody else's.
            result.insert("cacheScope", "private");
        }
        Ok(count)
    }

    /// Whoever may not read a resource does not hear of it either: some servers tell everybody.
    pub fn hides(&self, message: &Message) -> bool {
        let Message::Notification(told) = message else {
            return false;
        };
        let uri = told.params.as_ref().and_then(|params| params.str("uri"));
        told.method == method::NOTIFICATIONS_RESOURCES_UPDATED
            && uri.is_some_and(|uri| !self.viewer().sees(ListKind::Resources, uri))
    }
}

/// What tells an element from the others, unless it says so twice.
fn identity(kind: ListKind, element: &Json) -> Option<&str> {
    let mut members = element.as_object()?.iter();
    let named_twice = members.any(|(name, _)| is_twin(name, kind.identity_member()));
    kind.identity(element).filter(|_| !named_twice)
}

/// Some readers take `Tools` for `tools`.
fn remove_twins(result: &mut Object, kind: ListKind) {
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
