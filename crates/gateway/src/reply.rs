use std::sync::Arc;

use base::CorrelationId;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use sdk::{Era, Permitted, Refusal, RefusalCause, RpcRefusal};
use wire::mcp::headers::HeaderRefusal;
use wire::mcp::{Message, method, rpc};

use crate::answer::{Vetted, headers_for_caller, mark_json, mark_stream};
use crate::body::{BoxBody, full};
use crate::crowd::Place;
use crate::filter_answer::{AnswerFilter, filtered_stream};
use crate::list_news::ListWatch;
use crate::record::Recording;
use crate::server::Server;
use crate::stack::Inner;
use crate::stream_life::{Inner as LivingInner, Kind, Life, LivingBody};
use crate::upstream_error::UpstreamError;

/// In seconds: what keeps an upstream from being called is looked at again about as often.
const UNUSABLE_RETRY_AFTER: u32 = 30;
/// In seconds: a log that was full has room again as soon as it writes.
const UNRECORDED_RETRY_AFTER: u32 = 5;

impl Inner {
    /// Makes our answer of the upstream's: its allow-listed headers, its messages let through where they belong, its
    /// lists filtered, its streams mortal.
    pub(crate) async fn answer(
        &self,
        vetted: Vetted,
        server: &Arc<Server>,
        permitted: &Permitted,
        place: Place,
        mut recording: Recording,
    ) -> Result<Response<BoxBody>, (UpstreamError, Recording)> {
        let filter = AnswerFilter::for_answer_to(permitted, server, self.limits.list_bytes_max);
        let (upstream, is_stream) = match vetted {
            Vetted::Json(upstream) => (upstream, false),
            Vetted::Stream(upstream) => (upstream, true),
            Vetted::Empty(upstream) => {
                recording.answered(upstream.status());
                let mut response = Response::new(full(Bytes::new()));
                *response.headers_mut() = headers_for_caller(upstream.headers(), permitted);
                *response.status_mut() = upstream.status();
                return Ok(response);
            }
            Vetted::Bare(upstream) => {
                let (head, _) = upstream.into_parts();
                return Ok(self.bare_answer(&head, permitted, &mut recording));
            }
        };
        let (head, body) = upstream.into_parts();
        let mut headers = headers_for_caller(&head.headers, permitted);
        if filter.shows_a_part() {
            // What is left of it is this caller's alone.
            headers.remove(header::CACHE_CONTROL);
        }
        let body = if is_stream {
            mark_stream(&mut headers);
            recording.answered(head.status);
            let stream = filtered_stream(body.coalesce(), filter, server, recording);
            let stream = LivingInner::Filtered(Box::new(stream));
            let kind = Kind::Events(self.limits.keep_alive_after);
            LivingBody::new(stream, self.life(server, permitted, place), kind).boxed_unsync()
        } else {
            mark_json(&mut headers);
            let body = LivingInner::Plain(body);
            let body = LivingBody::new(body, self.life(server, permitted, place), Kind::Json);
            let judging = filter.judge_json(body, !head.status.is_success());
            let judged = match filter.asks_for_list() {
                false => judging.await,
                true => tokio::time::timeout(self.limits.head_timeout, judging)
                    .await
                    .unwrap_or_else(|_| Err(UpstreamError::head_timeout(self.limits.head_timeout))),
            };
            match judged {
                Ok((bytes, count)) => {
                    if let Some(count) = count {
                        recording.listed(count);
                    }
                    recording.answered(head.status);
                    full(bytes)
                }
                Err(_) if head.status.is_client_error() => {
                    return Ok(self.bare_answer(&head, permitted, &mut recording));
                }
                Err(error) => return Err((error, recording)),
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn life(&self, server: &Arc<Server>, permitted: &Permitted, place: Place) -> Life {
        let caller = Arc::clone(permitted.caller());
        let expiry = caller.expires_at();
        let (ends_at, retirement) = if is_listening(permitted) {
            (expiry, Some(server.retirement()))
        } else {
            (expiry.after(self.limits.finish_after_expiry), None)
        };
        Life {
            caller,
            server: Arc::clone(server),
            ends_at,
            retirement,
            closing: self.closing.subscribe(),
            request: CorrelationId::of_request(),
            lists: ListWatch::new(permitted, server, &*self.random),
            _place: place,
        }
    }

    /// 502, 503 or 504, in words: as a JSON-RPC error when a request waits for an answer.
    pub(crate) fn upstream_failed(&self, error: &UpstreamError, permitted: &Permitted) -> Refusal {
        let status = error.status;
        let cause = match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                let cause = RefusalCause::UpstreamUnusable;
                return self
                    .refusal_for(
                        permitted,
                        cause,
                        status,
                        "temporarily_unavailable",
                        &error.words,
                    )
                    .retry_after(UNUSABLE_RETRY_AFTER);
            }
            StatusCode::GATEWAY_TIMEOUT => RefusalCause::GatewayTimeout,
            _ => RefusalCause::BadGateway,
        };
        self.refusal_for(permitted, cause, status, "bad_gateway", &error.words)
    }

    /// 429: this principal has its share of open calls.
    pub(crate) fn too_many(&self, permitted: &Permitted) -> Refusal {
        let words = format!(
            "Too many calls are open for this sign-in ({}); wait for one to end",
            self.limits.open_calls_max
        );
        self.refusal_for(
            permitted,
            RefusalCause::TooManyRequests,
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            &words,
        )
        .retry_after(1)
    }

    /// 400: somebody on the way may have gone by a header that says something else than the body.
    pub(crate) fn header_refused(&self, error: &HeaderRefusal, permitted: &Permitted) -> Refusal {
        let id = match permitted.message() {
            Some(Message::Request(request)) => Some(&request.id),
            _ => None,
        };
        Refusal::rpc(
            &*self.random,
            RpcRefusal {
                cause: RefusalCause::MalformedMessage,
                status: StatusCode::BAD_REQUEST,
                id,
                code: error.rpc_code(),
                message: &error.to_string(),
                data: None,
                // The caller knows its own arguments; the log is not told of them.
                reason: "a header does not say what its argument says".to_owned(),
            },
        )
    }

    /// 503: this call could not be recorded.
    pub(crate) fn unrecorded(&self, permitted: &Permitted) -> Refusal {
        self.refusal_for(
            permitted,
            RefusalCause::Unrecorded,
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "Calls cannot be recorded at the moment, and none is answered without a record; try again soon",
        )
        .retry_after(UNRECORDED_RETRY_AFTER)
    }

    /// The status of an upstream whose body is not shown: clients go by the status.
    fn bare_answer(
        &self,
        head: &http::response::Parts,
        permitted: &Permitted,
        recording: &mut Recording,
    ) -> Response<BoxBody> {
        recording.answered(head.status);
        let mut response = self
            .bare(head.status, permitted)
            .into_response()
            .map(|body| body.map_err(|never| match never {}).boxed_unsync());
        response
            .headers_mut()
            .extend(headers_for_caller(&head.headers, permitted));
        response
    }

    /// An upstream's status whose body was no JSON.
    fn bare(&self, status: StatusCode, permitted: &Permitted) -> Refusal {
        let words = match status.canonical_reason() {
            Some(reason) => format!("The MCP server answered {} {reason}", status.as_u16()),
            None => format!("The MCP server answered {}", status.as_u16()),
        };
        self.refusal_for(
            permitted,
            RefusalCause::UpstreamRefused,
            status,
            "upstream_refused",
            &words,
        )
    }

    fn refusal_for(
        &self,
        permitted: &Permitted,
        cause: RefusalCause,
        status: StatusCode,
        error: &str,
        words: &str,
    ) -> Refusal {
        match permitted.message() {
            Some(Message::Request(request)) => Refusal::rpc(
                &*self.random,
                RpcRefusal {
                    cause,
                    status,
                    id: Some(&request.id),
                    code: rpc::INTERNAL_ERROR,
                    message: words,
                    data: None,
                    reason: words.to_owned(),
                },
            ),
            _ => Refusal::oauth(&*self.random, cause, status, error, words),
        }
    }
}

/// Whether the answer is a stream that only listens: it has nothing to finish.
fn is_listening(permitted: &Permitted) -> bool {
    match permitted.message() {
        None => true,
        Some(message) => {
            permitted.era() == Era::Modern && message.method() == Some(method::SUBSCRIPTIONS_LISTEN)
        }
    }
}
