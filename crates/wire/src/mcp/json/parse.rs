use super::{Json, JsonError, JsonErrorKind, Key, Number, Object};

/// The longest number that is read, in bytes of its text.
const NUMBER_BYTES_MAX: usize = 1024;

/// Objects up to this size are searched for duplicates pair by pair; larger ones are sorted.
const MEMBERS_COMPARED_PAIRWISE: usize = 12;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, in bytes.
    pub bytes_max: usize,
    /// The deepest nesting of arrays and objects.
    pub depth_max: usize,
    /// The most values in all, so that `[1,1,1,…]` cannot take fifty times its own size in memory.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 4 * 1024 * 1024,
            depth_max: 64,
            values_max: 500_000,
        }
    }
}

/// Reads exactly one JSON value and nothing else.
///
/// Refused beyond what RFC 8259 refuses, because readers differ on it: a byte order mark, a name standing twice in
/// one object, half a surrogate pair, U+0000 in a name, anything over `limits`.
///
/// # Errors
/// Why it is refused, and at which byte.
pub fn parse_strict(bytes: &[u8], limits: &Limits) -> Result<Json, JsonError> {
    let mut parser = Parser::begin(bytes, limits)?;
    let value = parser.value()?;
    parser.end()?;
    Ok(value)
}

/// `text` and `bytes` are the same; the one is sliced, the other looked at.
pub(in crate::mcp) struct Parser<'a> {
    text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    depth_left: usize,
    values_left: usize,
}

impl<'a> Parser<'a> {
    /// Before the first value of a text that may be read.
    pub(in crate::mcp) fn begin(bytes: &'a [u8], limits: &Limits) -> Result<Self, JsonError> {
        let refused = |kind, offset| Err(JsonError { kind, offset });
        if bytes.len() > limits.bytes_max {
            return refused(JsonErrorKind::TooLong, limits.bytes_max);
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return refused(JsonErrorKind::ByteOrderMark, 0);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return refused(JsonErrorKind::NotUtf8, error.valid_up_to()),
        };
        Ok(Self {
            text,
            bytes,
            at: 0,
            depth_left: limits.depth_max,
            values_left: limits.values_max,
        })
    }
}

impl Parser<'_> {
    /// Nothing but whitespace may follow.
    pub(in crate::mcp) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_whitespace();
        if self.at < self.bytes.len() {
            return self.refused(JsonErrorKind::TrailingData);
        }
        Ok(())
    }

    pub(in crate::mcp) fn refused<T>(&self, kind: JsonErrorKind) -> Result<T, JsonError> {
        Err(JsonError {
            kind,
            offset: self.at,
        })
    }

    #[inline]
    pub(super) fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    pub(super) fn unexpected<T>(&self, expected: &'static str) -> Result<T, JsonError> {
        if self.at >= self.bytes.len() {
            return self.refused(JsonErrorKind::Truncated);
        }
        self.refused(JsonErrorKind::Unexpected(expected))
    }

    pub(super) fn value(&mut self) -> Result<Json, JsonError> {
        self.skip_whitespace();
        let Some(left) = self.values_left.checked_sub(1) else {
            return self.refused(JsonErrorKind::TooManyValues);
        };
        self.values_left = left;
        match self.bytes.get(self.at) {
            Some(b'"') => Ok(Json::String(self.string(str::to_owned, |text| text)?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'n') => self.literal("null", Json::Null),
            _ => self.unexpected("a value"),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Json, JsonError>,
    ) -> Result<Json, JsonError> {
        let Some(left) = self.depth_left.checked_sub(1) else {
            return self.refused(JsonErrorKind::TooDeep);
        };
        self.depth_left = left;
        self.at += 1;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    pub(super) fn literal<T>(&mut self, word: &'static str, value: T) -> Result<T, JsonError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        self.refused(JsonErrorKind::Unexpected("a value"))
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut elements = Vec::new();
        self.skip_whitespace();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            self.skip_whitespace();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return self.unexpected("a comma or the end of the array"),
            }
        }
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let mut members: Vec<(Key, Json)> = Vec::new();
        self.skip_whitespace();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Json::Object(Object::new()));
        }
        loop {
            self.skip_whitespace();
            if self.bytes.get(self.at) != Some(&b'"') {
                return self.unexpected("a member name");
            }
            let name_at = self.at;
            let name = self.string(|text| Key::from(text), Key::from)?;
            if !name.is_static() && name.as_bytes().contains(&0) {
                self.at = name_at;
                return self.refused(JsonErrorKind::NulInName);
            }
            self.skip_whitespace();
            if self.bytes.get(self.at) != Some(&b':') {
                return self.unexpected("a colon");
            }
            self.at += 1;
            let value = self.value()?;
            members.push((name, value));
            self.skip_whitespace();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.unexpected("a comma or the end of the object"),
            }
        }
        if let Some(name) = duplicate(&members) {
            return self.refused(JsonErrorKind::DuplicateMember(name));
        }
        self.at += 1;
        Ok(Json::Object(Object::from_members(members)))
    }

    /// Reads a string. Most have no escape: `whole` then makes the value from the text as it stands.
    pub(super) fn string<T>(
        &mut self,
        whole: impl FnOnce(&str) -> T,
        built: impl FnOnce(String) -> T,
    ) -> Result<T, JsonError> {
        let start = self.at + 1;
        self.at = plain_run_end(self.bytes, start);
        if self.bytes.get(self.at) == Some(&b'"') {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Ok(whole(text));
        }
        let mut out = String::with_capacity((self.at - start) * 2);
        let mut run_start = start;
        loop {
            out.push_str(&self.text[run_start..self.at]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(built(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return self.refused(JsonErrorKind::ControlCharacter),
                None => return self.refused(JsonErrorKind::Truncated),
            }
            run_start = self.at;
            self.at = plain_run_end(self.bytes, run_start);
        }
    }

    /// Reads one escape, both halves of a surrogate pair included.
    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(&letter) = self.bytes.get(self.at + 1) else {
            return self.refused(JsonErrorKind::Truncated);
        };
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.refused(JsonErrorKind::BadEscape),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.hex4(self.at + 2)?;
        if let Some(character) = char::from_u32(first) {
            self.at += 6;
            return Ok(character);
        }
        // `first` is a surrogate; only a high one with a low one behind it means something.
        if (0xd800..0xdc00).contains(&first)
            && self.bytes.get(self.at + 6..self.at + 8) == Some(b"\\u")
        {
            let second = self.hex4(self.at + 8)?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                self.at += 12;
                return Ok(char::from_u32(code).expect("a surrogate pair is a character"));
            }
        }
        self.refused(JsonErrorKind::LoneSurrogate)
    }

    pub(super) fn hex4(&self, at: usize) -> Result<u32, JsonError> {
        let Some(digits) = self.bytes.get(at..at + 4) else {
            return self.refused(JsonErrorKind::Truncated);
        };
        let mut code = 0;
        for digit in digits {
            let Some(value) = char::from(*digit).to_digit(16) else {
                return self.refused(JsonErrorKind::BadEscape);
            };
            code = code * 16 + value;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        let end = number_end(self.bytes, start);
        match end {
            Some(end) if end - start <= NUMBER_BYTES_MAX => {
                self.at = end;
                Ok(Json::Number(Number::from_checked(&self.text[start..end])))
            }
            _ => self.refused(JsonErrorKind::BadNumber),
        }
    }
}

/// Where the number that begins at `at` ends (RFC 8259 section 6), or `None` when it is none.
pub(super) fn number_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(at)?,
    };
    if bytes.get(at).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(at)?;
    }
    Some(at)
}

/// Where the run of characters that need no escape ends: at a quote, a backslash, a control character, or the end.
pub(super) fn plain_run_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at a time: a byte of `zero(x)` has its high bit set where `x` has a zero byte (and perhaps in the
    // byte after one, which is why the byte is looked for again below).
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("the slice has eight bytes"));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = control
            | zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')));
        if special != 0 {
            break;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        at += 1;
    }
    at
}

/// A name that stands twice, shortened for the message.
fn duplicate(members: &[(Key, Json)]) -> Option<String> {
    let shortened = |name: &str| Some(name.chars().take(64).collect());
    if members.len() <= MEMBERS_COMPARED_PAIRWISE {
        for (index, (name, _)) in members.iter().enumerate() {
            if members[..index].iter().any(|(earlier, _)| earlier == name) {
                return shortened(name);
            }
        }
        return None;
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twin = names.windows(2).find(|pair| pair[0] == pair[1])?;
    shortened(twin[0])
}
