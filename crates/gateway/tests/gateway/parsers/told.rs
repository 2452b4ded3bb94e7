use authz::Call;
use wire::mcp::message::{Message, Outcome};
use wire::mcp::{Json, Object};

/// What is compared of a message, in the order in which readers tell it (`tests/parsers/README.md`).
pub const FIELDS: [&str; 11] = [
    "id",
    "method",
    "params.name",
    "params.uri",
    "params.taskId",
    "params.ref.type",
    "params.ref.name",
    "params.ref.uri",
    "the protocol version",
    "params.arguments",
    "the whole message",
];

/// What a message means, field by field, in the readers' canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told(Vec<Vec<u8>>);

impl Told {
    /// What was judged: the call where a rule looked at it, the message it was read from elsewhere.
    pub fn judged(message: &Message, call: &Call<'_>) -> Self {
        let params = message.params();
        let text = |name| params.and_then(|params| params.str(name));
        let reference = params.and_then(|params| params.get("ref")?.as_object());
        let (mut name, mut uri, mut task) = (text("name"), text("uri"), text("taskId"));
        let mut arguments = params.and_then(|params| params.get("arguments"));
        match call {
            Call::Tool {
                name: tool,
                arguments: given,
            } => {
                name = Some(tool);
                arguments = *given;
            }
            Call::Resource { uri: resource } => uri = Some(resource),
            Call::Prompt { name: prompt } => name = Some(prompt),
            Call::Task { id, .. } => task = Some(id),
            _ => {}
        }
        let version = message.meta().and_then(|meta| {
            meta.as_object()?
                .str("io.modelcontextprotocol/protocolVersion")
        });
        let of_reference = |name| reference.and_then(|reference| reference.str(name));
        let texts = [
            message.method(),
            name,
            uri,
            task,
            of_reference("type"),
            of_reference("name"),
            of_reference("uri"),
            version,
        ];
        let id = message.id().map(|id| id.to_json());
        let mut fields = vec![told(id.as_ref())];
        fields.extend(texts.map(|found| told(found.map(Json::from).as_ref())));
        fields.push(told(arguments.filter(|given| **given != Json::Null)));
        fields.push(told(Some(&whole(message))));
        Self(fields)
    }

    /// As [`Told::judged`], for a reader of this program: each field, `None` where it is absent.
    pub fn of_fields(fields: [Option<Json>; 10], whole: Option<Json>) -> Self {
        let mut told: Vec<_> = fields.iter().map(|field| told(field.as_ref())).collect();
        told.push(whole.map_or_else(|| b"?".to_vec(), |whole| canonical(&whole)));
        Self(told)
    }

    /// Takes apart what a reader told. `None` when it is nothing that a reader says.
    pub fn read(mut text: &[u8]) -> Option<Self> {
        let mut fields = Vec::with_capacity(FIELDS.len());
        for _ in FIELDS {
            let length = match text.first()? {
                b'-' | b'?' => 1,
                _ => value_end(text)?,
            };
            fields.push(text[..length].to_vec());
            text = &text[length..];
        }
        text.is_empty().then_some(Self(fields))
    }

    /// The method in the readers' form, without the mark of a text.
    pub fn method(&self) -> Option<&[u8]> {
        let colon = self.0[1].iter().position(|byte| *byte == b':')?;
        Some(&self.0[1][colon + 1..])
    }

    /// The first field that a reader would execute otherwise, with what both say of it; with `rounds`, the last bits of
    /// a number are none.
    pub fn difference(&self, read: &Self, rounds: bool) -> Option<String> {
        let fields = FIELDS.iter().zip(self.0.iter().zip(&read.0));
        fields
            .filter(|(_, (_, read))| *read != b"?")
            .find(|(_, (judged, read))| judged != read && !(rounds && nearly(judged, read)))
            .map(|(field, (judged, read))| {
                format!(
                    "{field} was judged as {:?} and is read as {:?}",
                    String::from_utf8_lossy(judged),
                    String::from_utf8_lossy(read)
                )
            })
    }
}

fn whole(message: &Message) -> Json {
    let mut members = Object::new();
    members.insert("jsonrpc", "2.0");
    if let Some(id) = message.id() {
        members.insert("id", id.to_json());
    }
    if let Some(method) = message.method() {
        members.insert("method", method);
    }
    if let Some(params) = message.params() {
        members.insert("params", params.clone());
    }
    if let Message::Response(response) = message {
        match &response.outcome {
            Outcome::Result(result) => members.insert("result", result.clone()),
            Outcome::Error(error) => members.insert("error", error.clone()),
        };
    }
    members.into()
}

fn told(value: Option<&Json>) -> Vec<u8> {
    value.map_or_else(|| b"-".to_vec(), canonical)
}

/// A value in the readers' form.
pub fn canonical(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

fn write(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.push(b'n'),
        Json::Bool(truth) => out.push(if *truth { b't' } else { b'f' }),
        Json::Number(number) => {
            let double: f64 = number.as_str().parse().unwrap();
            let double = if double == 0.0 { 0.0 } else { double };
            out.extend(format!("d{:016x}", double.to_bits()).bytes());
        }
        Json::String(text) => write_text(text, out),
        Json::Array(elements) => {
            out.extend(format!("a{}:", elements.len()).bytes());
            elements.iter().for_each(|element| write(element, out));
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            out.extend(format!("o{}:", members.len()).bytes());
            for (name, value) in members {
                write_text(name, out);
                write(value, out);
            }
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend(format!("s{}:", text.len()).bytes());
    out.extend(text.bytes());
}

/// The count behind the letter of a value, and where what it counts begins.
fn counted(text: &[u8]) -> Option<(usize, usize)> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let count = std::str::from_utf8(&text[1..colon]).ok()?.parse().ok()?;
    Some((count, colon + 1))
}

/// How long the value is that `text` begins with.
fn value_end(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'n' | b't' | b'f' => Some(1),
        b'd' => (text.len() >= 17).then_some(17),
        b's' => {
            let (length, begin) = counted(text)?;
            (text.len() - begin >= length).then_some(begin + length)
        }
        kind @ (b'a' | b'o') => {
            let (count, mut at) = counted(text)?;
            for _ in 0..count * if *kind == b'o' { 2 } else { 1 } {
                at += value_end(text.get(at..)?)?;
            }
            Some(at)
        }
        _ => None,
    }
}

/// Whether two values differ in nothing but the last three bits of numbers, in which serde_json rounds as it pleases.
fn nearly(one: &[u8], other: &[u8]) -> bool {
    nearly_end(one, other) == Some(one.len()) && one.len() == other.len()
}

/// How long the value is that both begin with, nearly. Numbers are of one length, so both are.
fn nearly_end(one: &[u8], other: &[u8]) -> Option<usize> {
    let end = value_end(one)?;
    match one.first()? {
        b'd' => {
            let bits = |text: &[u8]| {
                let digits = std::str::from_utf8(text.get(1..17)?).ok()?;
                u64::from_str_radix(digits, 16).ok()
            };
            let near = other.first() == Some(&b'd') && bits(one)?.abs_diff(bits(other)?) < 8;
            near.then_some(end)
        }
        kind @ (b'a' | b'o') => {
            let (count, mut at) = counted(one)?;
            if other.get(..at)? != &one[..at] {
                return None;
            }
            for _ in 0..count * if *kind == b'o' { 2 } else { 1 } {
                at += nearly_end(one.get(at..)?, other.get(at..)?)?;
            }
            Some(at)
        }
        _ => (other.get(..end)? == &one[..end]).then_some(end),
    }
}

mod tests {
    use super::nearly;

    #[test]
    fn the_last_bits_of_a_number_are_forgiven_and_nothing_else() {
        let text = |digits: &str| format!("o2:s6:taskIdd{digits}s1:dn").into_bytes();
        for (one, other, forgiven) in [
            ("000fffffffffffff", "0010000000000000", true),
            ("3fdddddddddddddd", "3fddddddddddddde", true),
            ("3fdddddddddddddd", "3fdddddddddddddd", true),
            ("3fdddddddddddddd", "3fddddddddddddfd", false),
            ("3fdddddddddddddd", "3fedddddddddddde", false),
        ] {
            assert_eq!(nearly(&text(one), &text(other)), forgiven, "{one} {other}");
        }
        assert!(!nearly(b"s4:echo", b"s4:echp"));
        assert!(!nearly(b"s1:d", b"s1:e"));
    }
}
