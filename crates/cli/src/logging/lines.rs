use std::fmt::{self, Debug, Write as _};
use std::io;

use base::CorrelationId;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::Layer;
use tracing_subscriber::field::{MakeExt as _, RecordFields};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::client_address;
use crate::failure::usage;

/// How the log looks. In both, one event is one line, whatever stands in its fields: a name that a client chose can neither
/// begin a line of its own nor move the cursor of whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs: `timestamp`, `level`, `target`, `message`, the fields, and of a request `request.id` and
    /// `client.address`.
    Json,
}

impl Format {
    /// What `PORTCULLIS_LOG_FORMAT` says; text without it.
    ///
    /// # Errors
    /// When it is neither `text` nor `json`.
    pub fn from_environment() -> anyhow::Result<Self> {
        match std::env::var_os("PORTCULLIS_LOG_FORMAT") {
            None => Ok(Self::default()),
            Some(name) => Self::named(&name.to_string_lossy()),
        }
    }

    fn named(name: &str) -> anyhow::Result<Self> {
        match name {
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(usage(format!(
                "PORTCULLIS_LOG_FORMAT={name:?}: write text or json"
            ))),
        }
    }
}

/// Writes events to `writer` in `format`.
pub fn layer<S, W>(
    format: Format,
    colour: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: io::Write + 'static,
{
    match format {
        Format::Text => tracing_subscriber::fmt::layer()
            .fmt_fields(WithId(debug_fn(write_field).delimited(" ")))
            .with_writer(writer)
            .with_ansi(colour)
            .boxed(),
        Format::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            // Whatever spans a library opens within ours, the request's is the first.
            .with_current_span(false)
            .with_span_list(true)
            .with_writer(JsonLines(writer))
            .boxed(),
    }
}

/// Fields, and behind them the id of the request that the line belongs to and the address of its client.
struct WithId<F>(F);

impl<'writer, F> FormatFields<'writer> for WithId<F>
where
    F: for<'any> FormatFields<'any>,
{
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        if let Some(id) = CorrelationId::of_request() {
            write!(writer, " request.id={id}")?;
        }
        match client_address::of_request() {
            Some(client) => write!(writer, " client.address={client}"),
            None => Ok(()),
        }
    }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Plain(writer), "{value:?}")
}

/// Whether a terminal or a log viewer could do something else with it than show it.
fn is_awkward(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Writes what is awkward as Rust spells it: `\u{1b}`.
struct Plain<'a, 'writer>(&'a mut Writer<'writer>);

impl fmt::Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, character)) = rest
            .char_indices()
            .find(|(_, character)| is_awkward(*character))
        {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", character.escape_default())?;
            rest = &rest[at + character.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// JSON escapes the first 32 characters and passes on others that a terminal obeys. Those are escaped here, where they can
/// stand only in strings.
struct JsonLines<F>(F);

impl<'a, F, W> MakeWriter<'a> for JsonLines<F>
where
    F: Fn() -> W + 'a,
    W: io::Write + 'a,
{
    type Writer = JsonLine<W>;

    fn make_writer(&'a self) -> JsonLine<W> {
        JsonLine((self.0)())
    }
}

struct JsonLine<W>(W);

impl<W: io::Write> io::Write for JsonLine<W> {
    /// Takes a whole line, as it comes from the formatter.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut line = String::with_capacity(text.len());
        for character in text.chars() {
            if is_awkward(character) && character != '\n' {
                // All of them are in the first plane.
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            } else {
                line.push(character);
            }
        }
        if let Some(id) = CorrelationId::of_request()
            && line.ends_with("}\n")
        {
            line.truncate(line.len() - 2);
            let _ = write!(line, ",\"request.id\":\"{id}\"");
            if let Some(client) = client_address::of_request() {
                let _ = write!(line, ",\"client.address\":\"{client}\"");
            }
            line.push_str("}\n");
        }
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use base::OsRandom;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber =
            tracing_subscriber::registry().with(layer(format, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    /// What a caller could try: a line of its own, the end of a screen, a window's title, text that runs backwards.
    const HOSTILE: &str =
        "x\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2028}\"}{\u{7}";

    fn hostile_events() {
        let span = tracing::error_span!("of a library", user_agent = %HOSTILE);
        let _entered = span.enter();
        tracing::warn!(shown = %HOSTILE, debugged = ?HOSTILE, text = HOSTILE, "refused: {HOSTILE}");
    }

    fn assert_one_line_without_controls(lines: &str) {
        let line = lines.strip_suffix('\n').unwrap();
        for character in line.chars() {
            assert!(!is_awkward(character), "{character:?} in {line}");
        }
        assert!(
            line.contains("forged"),
            "it is still there to be read: {line}"
        );
    }

    #[test]
    fn nothing_in_a_field_can_forge_a_line_of_text() {
        let id = CorrelationId::new(&OsRandom);
        let lines = logged(Format::Text, || id.within(hostile_events));
        assert_one_line_without_controls(&lines);
        assert!(lines.contains(&format!("request.id={id}")), "{lines}");
    }

    #[test]
    fn a_line_of_json_is_an_object_that_says_what_was_logged() {
        let id = CorrelationId::new(&OsRandom);
        let lines = logged(Format::Json, || id.within(hostile_events));
        assert_one_line_without_controls(&lines);
        let event: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(event["text"], HOSTILE);
        assert_eq!(event["shown"], HOSTILE);
        assert_eq!(event["message"], format!("refused: {HOSTILE}"));
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["request.id"], id.to_string());
    }

    #[test]
    fn a_line_names_the_client_of_the_request_it_belongs_to_and_no_other() {
        let client = "203.0.113.9".parse().unwrap();
        let during = |format| {
            logged(format, || {
                let answer = client_address::answering(client, async {
                    CorrelationId::new(&OsRandom).within(hostile_events);
                });
                let waker = std::task::Waker::noop();
                let mut context = std::task::Context::from_waker(waker);
                assert!(std::pin::pin!(answer).poll(&mut context).is_ready());
            })
        };
        let line: Value = serde_json::from_str(&during(Format::Json)).unwrap();
        assert_eq!(line["client.address"], "203.0.113.9");
        assert!(during(Format::Text).ends_with(" client.address=203.0.113.9\n"));
        assert!(!logged(Format::Text, hostile_events).contains("client.address"));
    }

    #[test]
    fn a_format_has_one_of_two_names() {
        assert_eq!(Format::named("json").unwrap(), Format::Json);
        assert_eq!(Format::named("text").unwrap(), Format::Text);
        let refused = Format::named("xml").unwrap_err().to_string();
        assert!(refused.contains("PORTCULLIS_LOG_FORMAT"), "{refused}");
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        let lines = logged(
            Format::Text,
            || tracing::warn!(count = 3, name = %"Zoë 字", "all is well"),
        );
        assert!(lines.contains("all is well count=3 name=Zoë 字"), "{lines}");
    }
}
