use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::http_line::LineBody;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is here already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> BoxBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The body of an upstream's answer.
pub(crate) enum UpstreamBody {
    Line(LineBody),
    Boxed(BoxBody),
}

impl UpstreamBody {
    /// Sends frames that are already here on as one piece.
    pub(crate) fn coalesce(self) -> Self {
        match self {
            Self::Line(body) => Self::Line(body.coalesce()),
            boxed @ Self::Boxed(_) => boxed,
        }
    }

    /// Lets go of the upstream at once when this is dropped.
    pub(crate) fn close_when_abandoned(&mut self) {
        if let Self::Line(body) = self {
            body.close_when_abandoned();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Line(body) => Pin::new(body).poll_frame(context),
            Self::Boxed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Line(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Line(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}
