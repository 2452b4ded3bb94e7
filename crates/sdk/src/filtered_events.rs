use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use wire::mcp::SseParser;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Looks at the messages of an event stream, one by one.
pub trait EventFilter {
    /// Called before the events of a piece that came at once.
    fn begin(&mut self) {}

    /// What becomes of an event with this data.
    fn filter(&mut self, data: &str) -> Filtered;

    /// What stands in the place of an event's id; nothing when it passes as it is.
    fn event_id(&self, _own: &str) -> Option<String> {
        None
    }
}

/// What becomes of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// It passes as it is.
    AsItIs,
    /// It passes with other data.
    Changed(String),
    /// It does not pass.
    Withheld,
}

/// An event stream whose messages are filtered frame by frame. Events without data pass as they are.
#[derive(Debug)]
pub struct FilteredEvents<B, F> {
    inner: B,
    parser: SseParser,
    filter: F,
    ended: bool,
}

impl<B, F: EventFilter> FilteredEvents<B, F> {
    /// Filters `inner`; an event that is longer than `event_bytes_max` ends it.
    pub fn new(inner: B, filter: F, event_bytes_max: usize) -> Self {
        Self {
            inner,
            parser: SseParser::new(event_bytes_max),
            filter,
            ended: false,
        }
    }

    /// The stream as it comes.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The filter.
    pub fn filter(&self) -> &F {
        &self.filter
    }

    /// What may be sent on of `piece`.
    fn take_in(&mut self, piece: &[u8]) -> Result<Vec<u8>, BoxError> {
        self.filter.begin();
        let mut out = Vec::with_capacity(piece.len());
        let pushed = self.parser.push(piece);
        while let Some(mut event) = self.parser.next_event() {
            // A message stands in no event of another kind: clients take none from there, and what some may take is not judged.
            if event
                .event()
                .is_some_and(|kind| !matches!(kind, "" | "message"))
            {
                continue;
            }
            if let Some(data) = event.data().filter(|data| !data.is_empty()) {
                match self.filter.filter(&data) {
                    Filtered::AsItIs => {}
                    Filtered::Changed(data) => event.set_data(&data),
                    Filtered::Withheld => continue,
                }
            }
            if let Some(id) = event.id().and_then(|own| self.filter.event_id(own)) {
                event.set_id(&id);
            }
            // Readers take no other fields, and one of them may look like `data` to some: behind a byte order mark.
            event.keep_known();
            if !event.is_empty() {
                event.write_to(&mut out);
            }
        }
        pushed?;
        Ok(out)
    }
}

impl<B, F> Body for FilteredEvents<B, F>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    F: EventFilter + Unpin,
{
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
                    return Poll::Ready(Some(Err(error.into())));
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
