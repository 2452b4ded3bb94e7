use std::fmt;

/// Why a text is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Why.
    pub kind: JsonErrorKind,
    /// Offset of the byte that gave it away.
    pub offset: usize,
}

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// More bytes than [`super::Limits::bytes_max`].
    TooLong,
    /// More nesting than [`super::Limits::depth_max`].
    TooDeep,
    /// More values than [`super::Limits::values_max`].
    TooManyValues,
    /// Not UTF-8.
    NotUtf8,
    /// It starts with a byte order mark.
    ByteOrderMark,
    /// Something else was expected here.
    Unexpected(&'static str),
    /// It ends too early.
    Truncated,
    /// Something follows the value.
    TrailingData,
    /// A control character stands in a string unescaped.
    ControlCharacter,
    /// An escape that JSON does not know.
    BadEscape,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// U+0000 in a member name.
    NulInName,
    /// A number that is none, or of over 1,024 bytes.
    BadNumber,
    /// A member name that stands twice in one object.
    DuplicateMember(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            JsonErrorKind::TooLong => formatter.write_str("the text is too long")?,
            JsonErrorKind::TooDeep => formatter.write_str("nested too deeply")?,
            JsonErrorKind::TooManyValues => formatter.write_str("too many values")?,
            JsonErrorKind::NotUtf8 => formatter.write_str("not UTF-8")?,
            JsonErrorKind::ByteOrderMark => formatter.write_str("starts with a byte order mark")?,
            JsonErrorKind::Unexpected(expected) => write!(formatter, "expected {expected}")?,
            JsonErrorKind::Truncated => formatter.write_str("ends too early")?,
            JsonErrorKind::TrailingData => formatter.write_str("something follows the value")?,
            JsonErrorKind::ControlCharacter => {
                formatter.write_str("unescaped control character in a string")?;
            }
            JsonErrorKind::BadEscape => formatter.write_str("unknown escape in a string")?,
            JsonErrorKind::LoneSurrogate => formatter.write_str("half of a surrogate pair")?,
            JsonErrorKind::NulInName => formatter.write_str("U+0000 in a member name")?,
            JsonErrorKind::BadNumber => formatter.write_str("not a number, or one too long")?,
            JsonErrorKind::DuplicateMember(name) => {
                write!(formatter, "member {name:?} stands twice")?;
            }
        }
        write!(formatter, " (byte {})", self.offset)
    }
}

impl std::error::Error for JsonError {}
