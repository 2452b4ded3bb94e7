use std::collections::{BTreeMap, HashSet, VecDeque};

use sdk::Era;
use wire::mcp::message::{Message, Notification, Outcome, Request, RequestId, Response};
use wire::mcp::{Json, Object, method, rpc};

use super::outlet::{Outgoing, Outlet};

/// Messages that wait for a client that listens to nothing at the moment.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// Requests of the server that may be unanswered.
const ASKED_MAX: usize = 64;
/// "Request cancelled", outside the range that JSON-RPC and MCP keep for themselves.
const CANCELLED: i64 = -32800;
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// What goes on between a child and the callers that share it: which answer belongs to whom.
///
/// The child sees ids and progress tokens that are ours, so that two callers cannot meet under one id.
#[derive(Debug)]
pub(super) struct Exchange {
    era: Era,
    pending_max: usize,
    last_id: i64,
    pending: BTreeMap<i64, Pending>,
    /// Requests of the server that no client has answered yet.
    asked: HashSet<RequestId>,
    listener: Option<Outlet>,
    waiting: VecDeque<String>,
    waiting_bytes: usize,
}

/// A request that the child has not answered.
#[derive(Debug)]
struct Pending {
    original: RequestId,
    progress_token: Option<Json>,
    is_subscription: bool,
    outlet: Outlet,
}

/// Too many requests are unanswered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyPending;

impl Exchange {
    pub(super) fn new(era: Era, pending_max: usize) -> Self {
        Self {
            era,
            pending_max,
            last_id: 0,
            pending: BTreeMap::new(),
            asked: HashSet::new(),
            listener: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// Notes a request of a client; gives back our id for it and what to write to the child.
    pub(super) fn admit(
        &mut self,
        mut request: Request,
        outlet: Outlet,
    ) -> Result<(i64, Vec<u8>), TooManyPending> {
        if self.pending.len() >= self.pending_max {
            // Whoever went away without an answer has no claim before those who wait.
            self.pending.retain(|_, pending| pending.outlet.is_open());
        }
        if self.pending.len() >= self.pending_max {
            return Err(TooManyPending);
        }
        self.last_id += 1;
        let id = self.last_id;
        let progress_token = request
            .params
            .as_mut()
            .and_then(|params| params.get_mut("_meta"))
            .and_then(|meta| meta.get_mut("progressToken"))
            .map(|token| std::mem::replace(token, Json::from(id)));
        let is_subscription = request.method == method::SUBSCRIPTIONS_LISTEN;
        let original = std::mem::replace(&mut request.id, RequestId::Integer(id));
        self.deliver_waiting(&outlet);
        self.pending.insert(
            id,
            Pending {
                original,
                progress_token,
                is_subscription,
                outlet,
            },
        );
        Ok((id, Message::Request(request).to_bytes()))
    }

    /// Takes a notification of a client; what to write to the child, if anything.
    pub(super) fn tell(&mut self, mut notification: Notification) -> Option<Vec<u8>> {
        if notification.method == method::NOTIFICATIONS_CANCELLED {
            let request_id = notification.params.as_mut()?.get_mut("requestId")?;
            let original = RequestId::from_json(request_id)?;
            let mut matching = self
                .pending
                .iter()
                .filter(|(_, pending)| pending.original == original)
                .map(|(id, _)| *id);
            // In the modern era several programs share a child, so an id may be ambiguous; they cancel by hanging up.
            let (Some(id), None) = (matching.next(), matching.next()) else {
                return None;
            };
            *request_id = Json::from(id);
            if let Some(pending) = self.pending.remove(&id) {
                let error = rpc::error(
                    Some(&original),
                    CANCELLED,
                    "The request was cancelled",
                    None,
                );
                pending.outlet.finish(Outgoing::Answer {
                    text: text(&error),
                    is_error: true,
                });
            }
        }
        Some(Message::Notification(notification).to_bytes())
    }

    /// Takes a client's answer to a request of the server; `None` when the server asked nothing like it.
    pub(super) fn reply(&mut self, response: Response) -> Option<Vec<u8>> {
        let known = response.id.as_ref().is_some_and(|id| self.asked.remove(id));
        known.then(|| Message::Response(response).to_bytes())
    }

    /// A client hung up. In the modern era that cancels its request: what to write to the child. In the legacy era the
    /// child works on, and its answer is thrown away.
    pub(super) fn abandon(&mut self, id: i64) -> Option<Vec<u8>> {
        if self.era == Era::Legacy {
            return None;
        }
        self.pending.remove(&id)?;
        let params = Object::from_iter([("requestId", Json::from(id))]);
        let cancelled = Message::Notification(Notification {
            method: method::NOTIFICATIONS_CANCELLED.to_owned(),
            params: Some(params),
        });
        Some(cancelled.to_bytes())
    }

    /// Makes `outlet` the stream for what belongs to no request. An older one ends: its connection may be dead
    /// without anybody having noticed.
    pub(super) fn listen(&mut self, outlet: Outlet) {
        self.deliver_waiting(&outlet);
        self.listener = Some(outlet);
    }

    /// Takes a message of the child; what to write back to it, if anything.
    pub(super) fn receive(&mut self, message: Message) -> Option<Vec<u8>> {
        match message {
            Message::Response(response) => self.answer(response),
            Message::Notification(notification) => self.notify(notification),
            Message::Request(request) => return self.ask(request),
        }
        None
    }

    /// Nobody will be answered any more, for this reason.
    pub(super) fn fail_all(&mut self, reason: &str) {
        self.fail_pending(reason);
        self.listener = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// Those who wait now will not be answered, for this reason; later requests may be.
    pub(super) fn fail_pending(&mut self, reason: &str) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            pending.outlet.finish(Outgoing::Failed(reason.to_owned()));
        }
    }

    /// Whether anybody waits or listens.
    pub(super) fn has_company(&self) -> bool {
        self.listener.as_ref().is_some_and(Outlet::is_open)
            || self
                .pending
                .values()
                .any(|pending| pending.outlet.is_open())
    }

    fn answer(&mut self, mut response: Response) {
        let Some(RequestId::Integer(id)) = response.id else {
            return;
        };
        let Some(pending) = self.pending.remove(&id) else {
            // Cancelled, failed or abandoned meanwhile.
            return;
        };
        if pending.is_subscription
            && let Outcome::Result(result) = &mut response.outcome
            && let Some(id) = result
                .get_mut("_meta")
                .and_then(|meta| meta.get_mut(SUBSCRIPTION_ID))
        {
            *id = pending.original.to_json();
        }
        let is_error = matches!(response.outcome, Outcome::Error(_));
        response.id = Some(pending.original);
        let text = text(&Message::Response(response));
        pending.outlet.finish(Outgoing::Answer { text, is_error });
    }

    fn notify(&mut self, mut notification: Notification) {
        if notification.method == method::NOTIFICATIONS_PROGRESS {
            let token = notification
                .params
                .as_mut()
                .and_then(|params| params.get_mut("progressToken"));
            if let Some(token) = token
                && let Some(pending) = token.as_i64().and_then(|id| self.pending.get(&id))
                && let Some(original) = &pending.progress_token
            {
                *token = original.clone();
                pending
                    .outlet
                    .send(&text(&Message::Notification(notification)));
            }
            return;
        }
        let subscription = notification
            .params
            .as_mut()
            .and_then(|params| params.get_mut("_meta"))
            .and_then(|meta| meta.get_mut(SUBSCRIPTION_ID));
        if let Some(subscription) = subscription {
            // Some write the number as text.
            let id = subscription
                .as_i64()
                .or_else(|| subscription.as_str()?.parse().ok());
            if let Some(pending) = id.and_then(|id| self.pending.get(&id)) {
                *subscription = pending.original.to_json();
                pending
                    .outlet
                    .send(&text(&Message::Notification(notification)));
            }
            return;
        }
        if notification.method == method::NOTIFICATIONS_CANCELLED {
            let id = notification
                .params
                .as_ref()
                .and_then(|params| params.get("requestId"));
            if let Some(id) = id.and_then(RequestId::from_json) {
                self.asked.remove(&id);
            }
        }
        let for_listener = matches!(
            notification.method.as_str(),
            method::NOTIFICATIONS_TOOLS_LIST_CHANGED
                | method::NOTIFICATIONS_RESOURCES_LIST_CHANGED
                | method::NOTIFICATIONS_RESOURCES_UPDATED
                | method::NOTIFICATIONS_PROMPTS_LIST_CHANGED
        );
        self.deliver(&text(&Message::Notification(notification)), for_listener);
    }

    fn ask(&mut self, request: Request) -> Option<Vec<u8>> {
        let refused = |reason| {
            let error = rpc::error(Some(&request.id), rpc::METHOD_NOT_FOUND, reason, None);
            Some(error.to_bytes())
        };
        if request.method == method::PING {
            return Some(rpc::result(&request.id, Json::Object(Object::new())).to_bytes());
        }
        if self.era == Era::Modern {
            return refused("Servers send no requests in this revision");
        }
        if self.asked.len() >= ASKED_MAX {
            return refused("Too many requests to the client are unanswered");
        }
        let id = request.id.clone();
        if !self.deliver(&text(&Message::Request(request.clone())), false) {
            return refused("No client listens");
        }
        self.asked.insert(id);
        None
    }

    /// Brings a message that names no request to where it most likely belongs: during a request to its stream, else to
    /// the listener; what tells of a change to the listener first. `false` when it is lost.
    fn deliver(&mut self, text: &str, for_listener: bool) -> bool {
        let newest = self
            .pending
            .values()
            .rev()
            .find(|pending| !pending.is_subscription && pending.outlet.takes_messages())
            .map(|pending| &pending.outlet);
        let listener = self.listener.as_ref().filter(|listener| listener.is_open());
        let (first, second) = if for_listener {
            (listener, newest)
        } else {
            (newest, listener)
        };
        if let Some(outlet) = first.or(second) {
            return outlet.send(text);
        }
        let fits = self.waiting.len() < WAITING_MAX
            && self.waiting_bytes + text.len() <= WAITING_BYTES_MAX;
        // Between two POSTs of a client that has not opened its GET stream yet.
        if fits && self.era == Era::Legacy {
            self.waiting_bytes += text.len();
            self.waiting.push_back(text.to_owned());
            return true;
        }
        false
    }

    fn deliver_waiting(&mut self, outlet: &Outlet) {
        if !outlet.takes_messages() {
            return;
        }
        while let Some(text) = self.waiting.pop_front() {
            outlet.send(&text);
        }
        self.waiting_bytes = 0;
    }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).expect("messages are written as UTF-8")
}

#[cfg(test)]
mod tests;
