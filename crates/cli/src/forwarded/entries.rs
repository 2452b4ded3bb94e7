use http::HeaderValue;
use http::header::{GetAll, ValueIter};

/// The comma-separated entries of all instances of one header, the last first, as far as `bytes_left` reaches.
///
/// Nothing to the left of an entry is looked at to find it. So a stranger, who can write only there, cannot open a
/// quoted string that swallows what a proxy appended.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    values: ValueIter<'a, HeaderValue>,
    /// What is left of the instance that is being read.
    list: Option<&'a [u8]>,
    quoted: bool,
    bytes_left: usize,
}

impl<'a> Entries<'a> {
    /// `quoted` says that a comma within a quoted string parts nothing (RFC 9110 section 5.6.4).
    pub(super) fn from_right(
        header: GetAll<'a, HeaderValue>,
        quoted: bool,
        bytes_left: usize,
    ) -> Self {
        Self {
            values: header.iter(),
            list: None,
            quoted,
            bytes_left,
        }
    }

    /// The next entry; none when there is no more, when it is too long or when a quoted string in it has no beginning.
    pub(super) fn take_last(&mut self) -> Option<&'a [u8]> {
        let list = match self.list.take() {
            Some(list) => list,
            None => self.values.next_back()?.as_bytes(),
        };
        let mut in_quotes = false;
        let mut start = list.len();
        while let Some(at) = start.checked_sub(1) {
            match list[at] {
                b',' if !in_quotes => break,
                b'"' if self.quoted && !(in_quotes && is_escaped(list, at)) => {
                    in_quotes = !in_quotes;
                }
                _ => {}
            }
            self.bytes_left = self.bytes_left.checked_sub(1)?;
            start = at;
        }
        if in_quotes {
            return None;
        }
        self.list = start.checked_sub(1).map(|comma| &list[..comma]);
        self.bytes_left = self.bytes_left.saturating_sub(1);
        Some(&list[start..])
    }
}

/// Whether an odd number of backslashes stands before `at`.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text[..at].iter().rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}
