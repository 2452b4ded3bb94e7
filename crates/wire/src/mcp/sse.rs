//! Server-sent events, taken apart and put together.

use std::collections::VecDeque;

/// One frame of an event stream: its fields in order, whatever their names. A comment is a field without a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Name and value, in the order they came; several `data` fields are several lines of one text.
    pub fields: Vec<(String, String)>,
}

/// Why a stream is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One frame is larger than permitted.
    #[error("an event of the stream is too large")]
    TooLarge,
    /// A line is not UTF-8.
    #[error("the event stream is not UTF-8")]
    NotUtf8,
}

/// Takes an event stream apart as it comes, in pieces of any size.
///
/// Spec: WHATWG HTML, "Server-sent events", "Parsing an event stream".
#[derive(Debug)]
pub struct SseParser {
    /// The line that has begun.
    line: Vec<u8>,
    /// The frame that has begun.
    event: SseEvent,
    /// Bytes held in `line` and `event`.
    event_bytes: usize,
    event_bytes_max: usize,
    /// A CR ended the last line; a LF right after belongs to it.
    after_carriage_return: bool,
    at_start: bool,
    ready: VecDeque<SseEvent>,
}

impl SseParser {
    /// A parser that holds at most `event_bytes_max` of one frame.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            event: SseEvent::default(),
            event_bytes: 0,
            event_bytes_max,
            after_carriage_return: false,
            at_start: true,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next piece; what it completes is then answered by [`SseParser::next_event`].
    ///
    /// # Errors
    /// When a frame is too large or not UTF-8. The stream is of no use afterwards.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), SseError> {
        if self.after_carriage_return && !piece.is_empty() {
            self.after_carriage_return = false;
            if piece[0] == b'\n' {
                piece = &piece[1..];
            }
        }
        while let Some(end) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.hold(&piece[..end])?;
            self.end_line()?;
            let is_carriage_return = piece[end] == b'\r';
            piece = &piece[end + 1..];
            if is_carriage_return {
                match piece.first() {
                    Some(b'\n') => piece = &piece[1..],
                    Some(_) => {}
                    None => self.after_carriage_return = true,
                }
            }
        }
        self.hold(piece)
    }

    /// The next complete frame.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    /// Whether a frame has begun and not ended: at the end of the stream it is to be thrown away.
    pub fn has_partial(&self) -> bool {
        !self.line.is_empty() || !self.event.fields.is_empty()
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        self.event_bytes += bytes.len();
        if self.event_bytes > self.event_bytes_max {
            return Err(SseError::TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let mut line = String::from_utf8(line).map_err(|_| SseError::NotUtf8)?;
        if std::mem::take(&mut self.at_start) && line.starts_with('\u{feff}') {
            line.drain(..'\u{feff}'.len_utf8());
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            self.event_bytes = 0;
            if !event.fields.is_empty() {
                self.ready.push_back(event);
            }
            return Ok(());
        }
        // An empty line costs its sender one byte and us a few; count each field as something.
        self.event_bytes += 32;
        let (name, value) = match line.split_once(':') {
            None => (line, String::new()),
            Some((name, value)) => (
                name.to_owned(),
                value.strip_prefix(' ').unwrap_or(value).to_owned(),
            ),
        };
        if name.is_empty() && self.event.fields.is_empty() {
            // A comment between frames keeps a connection alive; it must not wait for a frame.
            self.event_bytes = 0;
            self.ready.push_back(SseEvent::comment(&value));
            return Ok(());
        }
        self.event.fields.push((name, value));
        Ok(())
    }
}

impl SseEvent {
    /// A frame of one JSON message.
    pub fn message(data: &str) -> Self {
        let mut event = Self::default();
        event.set_data(data);
        event
    }

    /// A frame of one comment.
    pub fn comment(text: &str) -> Self {
        Self {
            fields: vec![(String::new(), one_line(text))],
        }
    }

    /// The data, its lines joined; `None` when there is none.
    pub fn data(&self) -> Option<String> {
        let mut lines = self.values("data");
        let mut data = lines.next()?.to_owned();
        for line in lines {
            data.push('\n');
            data.push_str(line);
        }
        Some(data)
    }

    /// The `id`; the last one counts.
    pub fn id(&self) -> Option<&str> {
        self.values("id").last()
    }

    /// The `event`; the last one counts.
    pub fn event(&self) -> Option<&str> {
        self.values("event").last()
    }

    /// The `retry`, as text.
    pub fn retry(&self) -> Option<&str> {
        self.values("retry").last()
    }

    /// Leaves out the fields that no reader knows (HTML, "Interpreting an event stream"), and the values that are none of theirs.
    /// Some readers end a line at U+2028 and the like too: what stands behind one in a comment or an id would be data to them.
    pub fn keep_known(&mut self) {
        self.fields.retain(|(name, value)| match name.as_str() {
            "" | "data" => true,
            "event" => value == "message",
            "id" => value.bytes().all(|byte| byte.is_ascii_graphic()),
            "retry" => value.bytes().all(|byte| byte.is_ascii_digit()),
            _ => false,
        });
        for (name, value) in &mut self.fields {
            if name.is_empty() {
                value.retain(|character| matches!(character, ' '..='~'));
            }
        }
    }

    /// Whether it has no field and no comment.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Puts `data` in the place of the data; the other fields stay.
    pub fn set_data(&mut self, data: &str) {
        let place = self
            .fields
            .iter()
            .position(|(name, _)| name == "data")
            .unwrap_or(self.fields.len());
        self.fields.retain(|(name, _)| name != "data");
        // JSON without whitespace has no line break; other text may.
        let lines = data
            .split('\n')
            .map(|line| ("data".to_owned(), line.replace('\r', "")));
        self.fields.splice(place..place, lines);
    }

    /// Puts `id` in the place of the id; the other fields stay.
    pub fn set_id(&mut self, id: &str) {
        let place = self.fields.iter().position(|(name, _)| name == "id");
        self.fields.retain(|(name, _)| name != "id");
        let place = place.unwrap_or(self.fields.len());
        self.fields.insert(place, ("id".to_owned(), one_line(id)));
    }

    /// Appends it as it stands on the wire. No field can break out of its line.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.fields {
            push_line(name, out);
            out.extend_from_slice(b": ");
            push_line(value, out);
            out.push(b'\n');
        }
        out.push(b'\n');
    }

    /// As it stands on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

fn push_line(text: &str, out: &mut Vec<u8>) {
    if text.contains(['\r', '\n']) {
        out.extend_from_slice(one_line(text).as_bytes());
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
