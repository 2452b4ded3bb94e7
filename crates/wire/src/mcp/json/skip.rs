//! Walking over values without keeping them, as strictly as when they are kept: what a lenient reader would take for another
//! value must not be walked over as if it were one. Only names standing twice, and halves of surrogate pairs, are not looked
//! for: no value ends elsewhere because of them.

use super::parse::{Parser, number_end, plain_run_end};
use super::{Json, JsonError, JsonErrorKind, Key};

impl Parser<'_> {
    /// The byte at which the next value begins; nothing at the end of the text.
    pub(in crate::mcp) fn peek(&mut self) -> Option<u8> {
        self.skip_whitespace();
        self.bytes.get(self.at).copied()
    }

    /// Goes into an object that begins here: whether it has members.
    pub(in crate::mcp) fn enter_object(&mut self) -> Result<bool, JsonError> {
        if self.peek() != Some(b'{') {
            return self.unexpected("an object");
        }
        self.at += 1;
        let is_empty = self.peek() == Some(b'}');
        self.at += usize::from(is_empty);
        Ok(!is_empty)
    }

    /// The name of the member that begins here, up to its value.
    pub(in crate::mcp) fn member_name(&mut self) -> Result<Key, JsonError> {
        if self.peek() != Some(b'"') {
            return self.unexpected("a member name");
        }
        let name_at = self.at;
        let name = self.string(|text| Key::from(text), Key::from)?;
        if name.as_bytes().contains(&0) {
            self.at = name_at;
            return self.refused(JsonErrorKind::NulInName);
        }
        self.colon()?;
        Ok(name)
    }

    /// Goes behind the member that ended here: whether there is another one.
    pub(in crate::mcp) fn next_member(&mut self) -> Result<bool, JsonError> {
        let next = self.peek();
        if !matches!(next, Some(b',' | b'}')) {
            return self.unexpected("a comma or the end of the object");
        }
        self.at += 1;
        Ok(next == Some(b','))
    }

    /// Reads a value that holds no others; `None` when one that may hold some begins here.
    pub(in crate::mcp) fn scalar(&mut self) -> Result<Option<Json>, JsonError> {
        match self.peek() {
            Some(b'{' | b'[') => Ok(None),
            _ => self.value().map(Some),
        }
    }

    /// Goes behind a value of any depth.
    pub(in crate::mcp) fn skip_value(&mut self) -> Result<(), JsonError> {
        // What closes the arrays and objects that are open.
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'{') => {
                    if self.enter_object()? {
                        open.push(b'}');
                        self.skip_name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.peek() != Some(b']') {
                        open.push(b']');
                        continue;
                    }
                    self.at += 1;
                }
                Some(b'-' | b'0'..=b'9') => match number_end(self.bytes, self.at) {
                    Some(end) => self.at = end,
                    None => return self.refused(JsonErrorKind::BadNumber),
                },
                Some(b't') => self.literal("true", ())?,
                Some(b'f') => self.literal("false", ())?,
                Some(b'n') => self.literal("null", ())?,
                _ => return self.unexpected("a value"),
            }
            loop {
                let Some(closes) = open.last().copied() else {
                    return Ok(());
                };
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if closes == b'}' {
                            self.skip_name()?;
                        }
                        break;
                    }
                    Some(byte) if byte == closes => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return self.unexpected("a comma or the end of what is open"),
                }
            }
        }
    }

    fn skip_name(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return self.unexpected("a member name");
        }
        self.skip_string()?;
        self.colon()
    }

    fn colon(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b':') {
            return self.unexpected("a colon");
        }
        self.at += 1;
        Ok(())
    }

    fn skip_string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        loop {
            self.at = plain_run_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => match self.bytes.get(self.at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                    Some(b'u') => {
                        self.hex4(self.at + 2)?;
                        self.at += 6;
                    }
                    Some(_) => return self.refused(JsonErrorKind::BadEscape),
                    None => return self.refused(JsonErrorKind::Truncated),
                },
                Some(_) => return self.refused(JsonErrorKind::ControlCharacter),
                None => return self.refused(JsonErrorKind::Truncated),
            }
        }
    }
}
