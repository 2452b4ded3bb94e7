use super::dice::Dice;
use super::hostile;

/// A request as a hostile client may send it.
#[derive(Debug, Clone)]
pub struct Sample {
    pub body: Vec<u8>,
    /// Of those that repeat what the body says.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// JSON that need not be valid: names may stand twice, and text may stand for what no JSON is.
#[derive(Debug, Clone)]
pub enum Node {
    /// As it stands: a number, a literal, or nothing of the kind.
    Raw(String),
    Text(String),
    List(Vec<Node>),
    Members(Vec<(String, Node)>),
}

/// Spelled as `\ud800`, half of a surrogate pair.
pub const HALF: char = '\u{f8ff}';
/// Spelled as `\u0000`.
pub const NUL: char = '\u{f8fe}';

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

const METHODS: [&str; 24] = [
    "tools/call",
    "tools/call",
    "tools/call",
    "tools/call",
    "tools/call",
    "tools/call",
    "tools/call",
    "tools/call",
    "resources/read",
    "resources/subscribe",
    "prompts/get",
    "completion/complete",
    "subscriptions/listen",
    "tasks/get",
    "tools/list",
    "resources/list",
    "prompts/list",
    "initialize",
    "ping",
    "logging/setLevel",
    "notifications/progress",
    "notifications/cancelled",
    "Tools/call",
    "admin/everything",
];

pub const NAMES: [&str; 16] = [
    "echo",
    "echo",
    "echo",
    "echo",
    "write_note",
    "secret",
    "slow",
    "Echo",
    "echo ",
    "e\u{301}cho",
    "\u{e9}cho",
    "ech\u{200b}o",
    "\u{feff}echo",
    "\u{1d4ee}cho",
    "__proto__",
    "",
];

const TEXTS: [&str; 20] = [
    "x",
    "plain text",
    "a\"b\\c/d",
    "line\nbreak\r\n",
    "\u{2028}\u{2029}\u{85}",
    "\u{7f}\u{1}\u{1f}",
    "\u{fffe}\u{ffff}\u{10ffff}",
    "\u{1f600} \u{1d4ee}",
    "\u{feff}",
    "\u{202e}txt",
    "__proto__",
    "constructor",
    "</script><!--",
    "{\"method\":\"tools/call\"}",
    "data: x\n\ndata: y",
    "1e400",
    "null",
    "ſK\u{130}\u{131}",
    "a\u{f8fe}b",
    "\u{f8ff}",
];

const NUMBERS: [&str; 26] = [
    "0",
    "-0",
    "-0.0",
    "1",
    "42.0",
    "4.2e1",
    "0.1",
    "1E5",
    "1e400",
    "-1e400",
    "1e-400",
    "9007199254740991",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "4.9e-324",
    "2.2250738585072011e-308",
    "0.30000000000000004",
    "3.14159265358979323846264338327950288",
    "1e23",
    "-123.456e-7",
    "100000000000000000000000000000000000000000000000000000000000000000000000000000000",
];

/// Message `number` of `seed`.
pub fn sample(seed: u64, number: u64) -> Sample {
    let mut dice = Dice::new(seed, number);
    let dice = &mut dice;
    let method = dice.one_of(&METHODS).to_owned();
    let modern = dice.once_in(2);
    let mut message = if dice.once_in(24) {
        answer(dice)
    } else {
        request(dice, &method, modern)
    };
    let mut headers = headers(&message, modern);
    if dice.once_in(6) {
        hostile::headers(dice, &mut headers);
    }
    // Half of all messages are honest in their structure, and most of the others lie in one way.
    if dice.once_in(2) {
        hostile::structure(dice, &mut message);
        if dice.once_in(4) {
            hostile::structure(dice, &mut message);
        }
    }
    let spelling = Spelling {
        escapes: dice.one_of(&[0, 0, 2, 12]),
        spaces: dice.one_of(&[0, 0, 3]),
    };
    let mut text = String::new();
    spelling.write(dice, &message, &mut text);
    let mut body = text.into_bytes();
    if dice.once_in(6) {
        hostile::bytes(dice, &mut body);
    }
    Sample { body, headers }
}

pub fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn members<const N: usize>(members: [(&str, Node); N]) -> Node {
    Node::Members(
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn request(dice: &mut Dice, method: &str, modern: bool) -> Node {
    let mut params = match method {
        "tools/call" | "Tools/call" => {
            let mut params = vec![("name".to_owned(), text(dice.one_of(&NAMES)))];
            if !dice.once_in(8) {
                params.push(("arguments".to_owned(), arguments(dice)));
            }
            params
        }
        "resources/read" | "resources/subscribe" => {
            let uri = dice.one_of(&[
                "note://1",
                "note://2",
                "note://1/../2",
                "NOTE://1",
                "note://%31",
            ]);
            vec![("uri".to_owned(), text(uri))]
        }
        "prompts/get" => vec![
            ("name".to_owned(), text("summarize")),
            ("arguments".to_owned(), arguments(dice)),
        ],
        "completion/complete" => {
            let reference = if dice.once_in(2) {
                members([("type", text("ref/prompt")), ("name", text("summarize"))])
            } else {
                members([("type", text("ref/resource")), ("uri", text("note://1"))])
            };
            let argument = members([("name", text("n")), ("value", scalar(dice))]);
            vec![
                ("ref".to_owned(), reference),
                ("argument".to_owned(), argument),
            ]
        }
        "subscriptions/listen" => {
            let uris = Node::List(vec![text("note://1")]);
            let filter = members([
                ("toolsListChanged", Node::Raw("true".into())),
                ("resourceSubscriptions", uris),
            ]);
            vec![("notifications".to_owned(), filter)]
        }
        "tasks/get" => vec![("taskId".to_owned(), scalar(dice))],
        "notifications/progress" => vec![
            ("progressToken".to_owned(), scalar(dice)),
            (
                "progress".to_owned(),
                Node::Raw(dice.one_of(&NUMBERS).to_owned()),
            ),
        ],
        "logging/setLevel" => vec![("level".to_owned(), text("info"))],
        _ => Vec::new(),
    };
    if modern {
        let mut meta = vec![(VERSION.to_owned(), text("2026-07-28"))];
        if dice.once_in(2) {
            let info = members([("name", scalar(dice)), ("version", text("1"))]);
            meta.push(("io.modelcontextprotocol/clientInfo".to_owned(), info));
        }
        params.push(("_meta".to_owned(), Node::Members(meta)));
    }
    let mut message = vec![("jsonrpc".to_owned(), text("2.0"))];
    if !method.starts_with("notifications/") {
        message.push(("id".to_owned(), id(dice)));
    }
    message.push(("method".to_owned(), text(method)));
    if !params.is_empty() || dice.once_in(3) {
        message.push(("params".to_owned(), Node::Members(params)));
    }
    if dice.once_in(3) {
        let last = message.len() - 1;
        message.swap(dice.below(last), last);
    }
    Node::Members(message)
}

/// An answer to a request of the server's, which may look like a call of its own.
fn answer(dice: &mut Dice) -> Node {
    let outcome = match dice.below(4) {
        0 => (
            "error",
            members([("code", Node::Raw("-1".into())), ("message", text("no"))]),
        ),
        1 => (
            "result",
            members([("method", text("tools/call")), ("name", text("secret"))]),
        ),
        _ => ("result", arguments(dice)),
    };
    members([("jsonrpc", text("2.0")), ("id", id(dice)), outcome])
}

fn id(dice: &mut Dice) -> Node {
    match dice.below(8) {
        0 => Node::Raw(dice.one_of(&NUMBERS).to_owned()),
        1 => text(dice.one_of(&TEXTS)),
        _ => Node::Raw(dice.below(60_000).to_string()),
    }
}

fn arguments(dice: &mut Dice) -> Node {
    let members = (0..dice.below(5)).map(|at| {
        let name = match dice.below(6) {
            0 => dice.one_of(&TEXTS).to_owned() + &at.to_string(),
            1 => at.to_string(),
            _ => format!("argument{at}"),
        };
        (name, value(dice, 3))
    });
    Node::Members(members.collect())
}

fn value(dice: &mut Dice, depth_left: usize) -> Node {
    match dice.below(if depth_left == 0 { 8 } else { 12 }) {
        8 | 9 => Node::List(
            (0..dice.below(4))
                .map(|_| value(dice, depth_left - 1))
                .collect(),
        ),
        10 | 11 => {
            let members =
                (0..dice.below(4)).map(|at| (format!("n{at}"), value(dice, depth_left - 1)));
            Node::Members(members.collect())
        }
        _ => scalar(dice),
    }
}

pub fn scalar(dice: &mut Dice) -> Node {
    match dice.below(8) {
        0 | 1 => Node::Raw(dice.one_of(&["true", "false", "null"]).to_owned()),
        2 | 3 => Node::Raw(dice.one_of(&NUMBERS).to_owned()),
        4 => {
            let digits = (0..1 + dice.below(18)).map(|_| char::from(b'1' + dice.below(9) as u8));
            let mut number: String = digits.collect();
            if dice.once_in(2) {
                number.push_str(&format!(
                    ".{}e{}",
                    dice.below(65_536),
                    dice.below(300) as i32 - 150
                ));
            }
            Node::Raw(number)
        }
        _ => text(dice.one_of(&TEXTS)),
    }
}

/// The headers that belong to a message.
fn headers(message: &Node, modern: bool) -> Vec<(&'static str, Vec<u8>)> {
    let version = if modern { "2026-07-28" } else { "2025-11-25" };
    let mut headers = vec![("mcp-protocol-version", version.into())];
    if !modern {
        return headers;
    }
    let Some(Node::Text(method)) = member(message, "method") else {
        return headers;
    };
    headers.push(("mcp-method", method.clone().into_bytes()));
    let named = match method.as_str() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return headers,
    };
    if let Some(Node::Text(name)) =
        member(message, "params").and_then(|params| member(params, named))
    {
        headers.push((
            "mcp-name",
            wire::mcp::headers::encode_value(name).as_bytes().to_vec(),
        ));
    }
    headers
}

fn member<'n>(node: &'n Node, wanted: &str) -> Option<&'n Node> {
    match node {
        Node::Members(members) => members
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value),
        _ => None,
    }
}

/// How the same value is written: one in so many characters escaped, one in so many gaps filled. 0 is never.
struct Spelling {
    escapes: usize,
    spaces: usize,
}

impl Spelling {
    fn write(&self, dice: &mut Dice, node: &Node, out: &mut String) {
        self.space(dice, out);
        match node {
            Node::Raw(raw) => out.push_str(raw),
            Node::Text(text) => self.text(dice, text, out),
            Node::List(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    self.write(dice, element, out);
                }
                out.push(']');
            }
            Node::Members(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    self.space(dice, out);
                    self.text(dice, name, out);
                    self.space(dice, out);
                    out.push(':');
                    self.write(dice, value, out);
                }
                out.push('}');
            }
        }
        self.space(dice, out);
    }

    fn space(&self, dice: &mut Dice, out: &mut String) {
        if self.spaces > 0 && dice.once_in(self.spaces) {
            out.push_str(dice.one_of(&[" ", "\n", "\r\n", "\t", "   "]));
        }
    }

    fn text(&self, dice: &mut Dice, text: &str, out: &mut String) {
        out.push('"');
        for letter in text.chars() {
            match letter {
                HALF => out.push_str("\\ud800"),
                NUL => out.push_str("\\u0000"),
                _ if self.escapes > 0 && dice.once_in(self.escapes) => escaped(dice, letter, out),
                '"' | '\\' | '\0'..='\u{1f}' => escaped(dice, letter, out),
                _ => out.push(letter),
            }
        }
        out.push('"');
    }
}

fn escaped(dice: &mut Dice, letter: char, out: &mut String) {
    if matches!(letter, '"' | '\\' | '/') && dice.once_in(2) {
        out.push('\\');
        out.push(letter);
        return;
    }
    let upper = dice.once_in(2);
    for unit in letter.encode_utf16(&mut [0; 2]) {
        out.push_str(&if upper {
            format!("\\u{unit:04X}")
        } else {
            format!("\\u{unit:04x}")
        });
    }
}
