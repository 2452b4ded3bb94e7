use std::sync::Arc;

use authz::{Call, Decision, challenge_scopes, decide};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use wire::mcp::headers::{LAST_EVENT_ID, MCP_SESSION_ID, single};
use wire::mcp::{Era, Message, Object, RequestId, method, rpc};

use crate::challenge::insufficient_scope;
use crate::rate_counts::{Counted, TooOften};
use crate::read_call::ReadCall;
use crate::refusal::RpcRefusal;
use crate::resource_metadata::AskedAddress;
use crate::{
    InForce, Permitted, ProtectedServer, Refusal, RefusalCause, RequestTag, VerifiedCaller,
};

/// What proves something about the caller to somebody, or claims to. None of it goes any further.
const CREDENTIALS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::FORWARDED,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("portcullis-identity"),
];

pub(crate) fn strip_credentials(headers: &mut HeaderMap) {
    for credential in &CREDENTIALS {
        headers.remove(credential);
    }
}

/// The longest name that is repeated to its caller, in characters.
const NAME_CHARS_MAX: usize = 256;

impl ProtectedServer {
    /// Judges a call by one snapshot, and counts it when it may happen.
    ///
    /// # Errors
    /// 403 with a challenge when the person could grant what is missing; otherwise the answer of a server that does not
    /// have the thing, the same whether it exists or not. 429 when it may happen, and a rate limit is reached: what may not
    /// is neither counted nor answered so, since that would tell of things that the caller is not to know of.
    pub fn authorize(
        &self,
        caller: Arc<VerifiedCaller>,
        in_force: Arc<InForce>,
        asked: &AskedAddress,
        call: ReadCall,
    ) -> Result<Permitted, Refusal> {
        let ReadCall {
            method,
            mut headers,
            era,
            message,
            uri,
            extensions,
        } = call;
        strip_credentials(&mut headers);
        self.unwrap_session(&mut headers, era, &caller, &in_force)?;
        let resumes = match method {
            http::Method::GET => resumed(&mut headers, &caller, &in_force),
            _ => None,
        };
        let mut counted = Vec::new();
        let (rule, observed) = match &message {
            None => (String::from("a valid token suffices"), None),
            Some(message) => {
                let policy = &in_force.server().policy;
                let call = authz::read_call(message);
                let decision = decide(policy, caller.caller(), &call);
                if decision.is_allowed() {
                    match self.count(&caller, &in_force, &call, message) {
                        Ok(under) => {
                            counted = under;
                            (decision.rule().to_owned(), None)
                        }
                        Err(reached) if policy.enforced() => {
                            return Err(self.too_often(&reached, message));
                        }
                        Err(reached) => {
                            let observed = (RefusalCause::RateLimited, reached.reason());
                            (reached.rule(), Some(observed))
                        }
                    }
                } else if !policy.enforced() {
                    let observed = (cause_of(&decision), reason_of(&decision));
                    (decision.rule().to_owned(), Some(observed))
                } else {
                    return Err(self.refuse(&decision, &call, message, era, &caller, asked));
                }
            }
        };
        let body = message
            .as_ref()
            .map_or_else(Bytes::new, |message| message.to_bytes().into());
        Ok(Permitted {
            caller,
            in_force,
            era,
            method,
            headers,
            message,
            body,
            rule,
            observed,
            resumes,
            counted,
            uri,
            extensions,
        })
    }

    /// Takes back what was counted of a call that was permitted and is not made after all.
    pub fn not_made(&self, permitted: Permitted) {
        self.rate_counts.give_back(permitted.counted);
    }

    /// Counts a call that may happen under the limits that it falls under.
    fn count<'a>(
        &self,
        caller: &VerifiedCaller,
        in_force: &'a InForce,
        call: &Call<'_>,
        message: &Message,
    ) -> Result<Vec<Counted>, TooOften<'a>> {
        let limits = &in_force.server().policy.rate_limits;
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        let method = message.method().unwrap_or_default();
        let limits = limits.iter().filter(|limit| limit.counts(method, call));
        self.rate_counts
            .take(limits, caller.principal(), self.now())
    }

    /// 429: it may be called again, later.
    fn too_often(&self, reached: &TooOften<'_>, message: &Message) -> Refusal {
        let seconds = reached.retry_after(&*self.random);
        let id = match message {
            Message::Request(request) => Some(&request.id),
            _ => None,
        };
        let words = format!("Called too often; try again in {seconds} s");
        let error = RpcRefusal {
            cause: RefusalCause::RateLimited,
            status: StatusCode::TOO_MANY_REQUESTS,
            id,
            code: rpc::INTERNAL_ERROR,
            message: &words,
            data: Some(Object::from_iter([("retry_after", i64::from(seconds))])),
            reason: reached.reason(),
        };
        Refusal::rpc(&*self.random, error)
            .retry_after(seconds)
            .by_rule(&reached.rule())
    }

    /// Puts the server's own session id in the place of the one that this caller was given.
    fn unwrap_session(
        &self,
        headers: &mut HeaderMap,
        era: Era,
        caller: &VerifiedCaller,
        in_force: &InForce,
    ) -> Result<(), Refusal> {
        if !headers.contains_key(&MCP_SESSION_ID) {
            return Ok(());
        }
        if era == Era::Modern {
            // There are no sessions in this era; an id left over from somewhere means nothing.
            headers.remove(&MCP_SESSION_ID);
            return Ok(());
        }
        let own = single(headers, &MCP_SESSION_ID)
            .ok()
            .flatten()
            .and_then(|outward| in_force.sessions.inward(caller.principal(), outward))
            .and_then(|own| HeaderValue::from_str(own).ok());
        match own {
            Some(own) => {
                headers.insert(&MCP_SESSION_ID, own);
                Ok(())
            }
            None => Err(Refusal::rpc(
                &*self.random,
                RpcRefusal {
                    cause: RefusalCause::UnknownSession,
                    status: StatusCode::NOT_FOUND,
                    id: None,
                    code: rpc::INVALID_REQUEST,
                    message: "Session not found",
                    data: None,
                    reason: "the session id was not given to this caller".to_owned(),
                },
            )),
        }
    }

    fn refuse(
        &self,
        decision: &Decision,
        call: &Call<'_>,
        message: &Message,
        era: Era,
        caller: &VerifiedCaller,
        asked: &AskedAddress,
    ) -> Refusal {
        if let Decision::NeedsScope { required, rule } = decision {
            let scope = challenge_scopes(era, required, &caller.caller().scopes);
            return insufficient_scope(&*self.random, asked, scope, rule).by_rule(rule);
        }
        let absent = as_if_absent(call, message.method(), era);
        let (id, status) = match message {
            Message::Request(request) => (Some(&request.id), absent.status),
            // Whoever sends a notification expects no answer; the status says that it went nowhere.
            _ => (None::<&RequestId>, StatusCode::BAD_REQUEST),
        };
        Refusal::rpc(
            &*self.random,
            RpcRefusal {
                cause: cause_of(decision),
                status,
                id,
                code: absent.code,
                message: &absent.message,
                data: absent.data,
                reason: reason_of(decision),
            },
        )
        .by_rule(decision.rule())
    }
}

/// Puts the server's own event id in the place of the one that this caller was given, and says which request its stream answers.
/// Any other id passes: what it leads to carries no answer.
fn resumed(
    headers: &mut HeaderMap,
    caller: &VerifiedCaller,
    in_force: &InForce,
) -> Option<RequestTag> {
    let outward = single(headers, &LAST_EVENT_ID).ok()??;
    let (own, answered) = in_force
        .sessions
        .inward_event(caller.principal(), outward)?;
    let own = HeaderValue::from_str(own).ok()?;
    headers.insert(&LAST_EVENT_ID, own);
    Some(answered)
}

pub(crate) fn cause_of(decision: &Decision) -> RefusalCause {
    match decision {
        Decision::NeedsScope { .. } => RefusalCause::InsufficientScope,
        Decision::Denied { reason, .. } => (*reason).into(),
        // Nobody asks for that; it is a no all the same.
        Decision::Allowed { .. } => RefusalCause::DeniedByRule,
    }
}

pub(crate) fn reason_of(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { rule } => rule.clone(),
        Decision::NeedsScope { required, rule } => format!("needs {required} ({rule})"),
        Decision::Denied { reason, rule } => format!("{} ({rule})", reason.as_str()),
    }
}

/// What a server answers that does not have the thing.
struct Absent {
    status: StatusCode,
    code: i64,
    message: String,
    data: Option<Object>,
}

fn as_if_absent(call: &Call<'_>, method: Option<&str>, era: Era) -> Absent {
    if method.is_some_and(|method| method::is_of_the_other_era(method, era == Era::Modern)) {
        return method_not_found(era);
    }
    let plain = |code, message| Absent {
        status: StatusCode::OK,
        code,
        message,
        data: None,
    };
    match call {
        Call::Tool { name, .. } => plain(
            rpc::INVALID_PARAMS,
            format!("Unknown tool: {}", shortened(name)),
        ),
        Call::Prompt { name } | Call::PromptCompletion { name } => plain(
            rpc::INVALID_PARAMS,
            format!("Unknown prompt: {}", shortened(name)),
        ),
        Call::Task { id, .. } => plain(
            rpc::INVALID_PARAMS,
            format!("Unknown task: {}", shortened(id)),
        ),
        Call::Resource { uri } | Call::ResourceCompletion { uri } => {
            resource_not_found(era, Some(uri))
        }
        Call::Subscription { .. } => resource_not_found(era, None),
        Call::Unknown { method } if is_known_method(method) => plain(
            rpc::INVALID_PARAMS,
            format!("Invalid params for {}", shortened(method)),
        ),
        Call::List(_) | Call::Protocol { .. } | Call::Unknown { .. } => method_not_found(era),
    }
}

fn method_not_found(era: Era) -> Absent {
    Absent {
        // MCP 2026-07-28, Streamable HTTP: an unknown method is a 404.
        status: match era {
            Era::Legacy => StatusCode::OK,
            Era::Modern => StatusCode::NOT_FOUND,
        },
        code: rpc::METHOD_NOT_FOUND,
        message: "Method not found".to_owned(),
        data: None,
    }
}

fn resource_not_found(era: Era, uri: Option<&str>) -> Absent {
    Absent {
        status: StatusCode::OK,
        code: match era {
            Era::Legacy => rpc::RESOURCE_NOT_FOUND,
            Era::Modern => rpc::INVALID_PARAMS,
        },
        message: "Resource not found".to_owned(),
        data: uri.map(|uri| Object::from_iter([("uri", shortened(uri))])),
    }
}

/// A method that is known and whose parameters did not say what it is about.
fn is_known_method(method: &str) -> bool {
    matches!(
        method,
        method::TOOLS_CALL
            | method::RESOURCES_READ
            | method::RESOURCES_SUBSCRIBE
            | method::RESOURCES_UNSUBSCRIBE
            | method::PROMPTS_GET
            | method::COMPLETION_COMPLETE
            | method::SUBSCRIPTIONS_LISTEN
            | method::TASKS_GET
            | method::TASKS_RESULT
            | method::TASKS_UPDATE
            | method::TASKS_CANCEL
    )
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}
