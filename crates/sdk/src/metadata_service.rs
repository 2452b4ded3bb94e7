use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Response, header};
use tower_service::Service;

use crate::allow_reading;
use crate::answer::BoxBody;
use crate::door::Door;
use crate::layer::{asked_origin, boxed, not_found, refused, well_known};

/// Answers the protected resource metadata of one MCP server, and 404 for anything else.
/// [`Protection::metadata`](crate::Protection::metadata) makes one.
#[derive(Debug, Clone)]
pub struct MetadataService {
    door: Door,
}

impl MetadataService {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

impl<B> Service<Request<B>> for MetadataService {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let server = &*self.door.server;
        let answer = asked_origin(server, &parts).and_then(|origin| {
            let answer = well_known(server, origin, &parts);
            answer.unwrap_or_else(|| Err(not_found(server)))
        });
        let mut response = match answer {
            Ok(answer) => answer.map(boxed),
            Err(refusal) => refused(refusal),
        };
        let has_origin = parts.headers.contains_key(header::ORIGIN);
        allow_reading(has_origin, response.headers_mut());
        ready(Ok(response))
    }
}
