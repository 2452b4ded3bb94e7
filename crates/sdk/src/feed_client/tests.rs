#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::*;

/// A body that comes in these pieces.
struct Pieces(VecDeque<&'static str>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

fn lines(pieces: &[&'static str], bytes_max: usize) -> Lines<Pieces> {
    Lines::new(Pieces(pieces.iter().copied().collect()), bytes_max)
}

#[tokio::test]
async fn lines_are_whole_however_they_come_and_a_broken_last_one_is_none() {
    let mut lines = lines(&["{\"a", "\":1}\n{}\n", "\n", "{\"b\":", "2}\n{\"cut"], 10);
    for wanted in ["{\"a\":1}", "{}", "", "{\"b\":2}"] {
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), wanted);
    }
    assert_eq!(lines.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_line_that_is_too_long_ends_the_feed_and_one_that_just_fits_does_not() {
    let mut fits = lines(&["12345", "\n"], 5);
    assert_eq!(fits.next().await.unwrap().unwrap(), b"12345");
    let mut long = lines(&["12345", "6", "\n"], 5);
    let trouble = long.next().await.unwrap_err();
    assert!(matches!(trouble, FeedTrouble::Unreadable(_)), "{trouble}");
}
