use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;

use super::FeedTrouble;

/// The lines of a body, as they come. One that is too long ends it.
pub struct Lines<B> {
    body: B,
    kept: Vec<u8>,
    /// Up to here there is no end of line.
    searched: usize,
    bytes_max: usize,
}

impl<B> Lines<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    pub fn new(body: B, bytes_max: usize) -> Self {
        Self {
            body,
            kept: Vec::new(),
            searched: 0,
            bytes_max,
        }
    }

    /// The next line without its end; `None` after the last. What stands behind the last end is no line. Nothing is lost
    /// when it is not polled to its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FeedTrouble> {
        loop {
            if let Some(end) = self.kept[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let rest = self.kept.split_off(self.searched + end + 1);
                let mut line = std::mem::replace(&mut self.kept, rest);
                line.pop();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.kept.len();
            if self.kept.len() > self.bytes_max {
                return Err(FeedTrouble::Unreadable(format!(
                    "a line is longer than {} bytes",
                    self.bytes_max
                )));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(FeedTrouble::Broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.kept.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
