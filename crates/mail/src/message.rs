use std::time::{Duration, SystemTime};

use base::{Clock, Random, base64url};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{MultiPart, MultiPartKind, SinglePart};

use crate::Mailbox;

const SUBJECT_CHARACTERS_MAX: usize = 200;
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A message to one person.
#[derive(Clone)]
pub struct Message {
    /// Who gets it.
    pub to: Mailbox,
    /// What it is about: one line.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// The same with its looks, for programs that show HTML.
    pub html: Option<String>,
}

/// What it says may be a way to sign in.
impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Message")
            .field("to", &self.to.address())
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// A message as it goes over the wire: ASCII, every line ended by CRLF.
pub(crate) struct Composed {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    /// Writes it down with `Date`, `Message-ID` and `Auto-Submitted` (RFC 3834 section 5), so that no out-of-office answers.
    pub(crate) fn compose(
        &self,
        from: &Mailbox,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Composed, String> {
        self.check()?;
        let id = format!("<{}@{}>", token(random), from.domain());
        let now = u64::try_from(clock.now().unix_ms()).unwrap_or_default();
        let builder = lettre::Message::builder()
            .from(from.as_lettre().clone())
            .to(self.to.as_lettre().clone())
            .subject(self.subject.as_str())
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(now))
            .message_id(Some(id.clone()))
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        let text = SinglePart::plain(self.text.clone());
        let message = match &self.html {
            None => builder.singlepart(text),
            Some(html) => builder.multipart(
                MultiPart::builder()
                    .kind(MultiPartKind::Alternative)
                    .boundary(token(random))
                    .singlepart(text)
                    .singlepart(SinglePart::html(html.clone())),
            ),
        };
        let message = message.map_err(|error| error.to_string())?;
        let bytes = message.formatted();
        if !bytes.is_ascii() {
            return Err("it has characters that its headers do not name".to_owned());
        }
        Ok(Composed { id, bytes })
    }

    /// A line break in a subject would begin a header that somebody else wrote.
    fn check(&self) -> Result<(), String> {
        if self.subject.trim().is_empty() {
            return Err("the subject is empty".to_owned());
        }
        if self.subject.chars().any(char::is_control) {
            return Err(
                "the subject has a line break or another control character in it".to_owned(),
            );
        }
        if self.subject.chars().count() > SUBJECT_CHARACTERS_MAX {
            return Err(format!(
                "the subject has more than {SUBJECT_CHARACTERS_MAX} characters"
            ));
        }
        let bytes = self.text.len() + self.html.as_deref().map_or(0, str::len);
        if bytes > BODY_BYTES_MAX {
            return Err(format!("it says more than {BODY_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

fn token(random: &dyn Random) -> String {
    let mut bytes = [0; 18];
    random.fill(&mut bytes);
    base64url(bytes)
}
