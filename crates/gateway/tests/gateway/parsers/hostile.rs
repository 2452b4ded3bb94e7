use super::dice::Dice;
use super::generate::{HALF, NAMES, NUL, Node, scalar, text};

/// What is not JSON, or not everybody's.
const BAD_VALUES: [&str; 20] = [
    "01",
    "+1",
    ".5",
    "1.",
    "0x10",
    "NaN",
    "-Infinity",
    "1_000",
    "--1",
    "1e",
    "'x'",
    "undefined",
    "True",
    "nul",
    "1 2",
    "/* */1",
    "1,",
    "\"\\x41\"",
    "\"\\ud83d\\u0041\"",
    "\"a\u{1}b\"",
];

/// Makes a message that two readers may read as two.
pub fn structure(dice: &mut Dice, message: &mut Node) {
    match dice.below(14) {
        0..=4 => twin(dice, message),
        5 => {
            let known = [
                "method", "params", "result", "error", "jsonrpc", "id", "extra", "Method", "PARAMS",
            ];
            let name = dice.one_of(&known).to_owned();
            let value = scalar(dice);
            put(dice, message, name, value);
        }
        6 => {
            let value = dice.one_of(&BAD_VALUES).to_owned();
            *some_value(dice, message) = Node::Raw(value);
        }
        7 => {
            let depth = dice.one_of(&[40, 59, 60, 61, 62, 63, 64, 65, 200, 2000]);
            let (open, close) = dice.one_of(&[("[", "]"), ("{\"a\":", "}")]);
            *some_value(dice, message) =
                Node::Raw(format!("{}1{}", open.repeat(depth), close.repeat(depth)));
        }
        8 => {
            let whole = message.clone();
            *message = match dice.below(4) {
                0 => Node::List(vec![whole]),
                1 => Node::List(vec![whole.clone(), whole]),
                2 => Node::List(Vec::new()),
                _ => Node::List(vec![Node::List(vec![whole])]),
            };
        }
        9 => {
            let value = scalar(dice);
            *some_value(dice, message) = value;
        }
        10 => {
            // A positional call, or one whose parameters hide in a string.
            if let Node::Members(members) = message {
                for (name, value) in members.iter_mut().filter(|(name, _)| name == "params") {
                    *value = match name.len() + dice.below(3) {
                        6 => Node::List(vec![text("echo")]),
                        7 => text("{\"name\":\"echo\"}"),
                        _ => Node::Raw("null".into()),
                    };
                }
            }
        }
        11 => {
            let long = "x".repeat(dice.one_of(&[255, 256, 257, 1024, 1025, 5000]));
            *some_value(dice, message) = text(&long);
        }
        12 => {
            let digits = "7".repeat(dice.one_of(&[300, 309, 310, 1000, 1024, 1025]));
            *some_value(dice, message) = Node::Raw(digits);
        }
        _ => {
            let members: Vec<_> = (0..20)
                .map(|at| (format!("m{at}"), Node::Raw("1".into())))
                .collect();
            *some_value(dice, message) = Node::Members(members);
        }
    }
}

/// Gives a member a second one that is it to some reader.
fn twin(dice: &mut Dice, message: &mut Node) {
    let Some(object) = some_object(dice, message) else {
        return;
    };
    let Node::Members(members) = &*object else {
        return;
    };
    if members.is_empty() {
        return;
    }
    let (name, value) = members[dice.below(members.len())].clone();
    let twin = match dice.below(8) {
        0..=2 => name,
        3 => name.to_uppercase(),
        4 => name
            .replace('s', "\u{17f}")
            .replace('k', "\u{212a}")
            .replace('i', "\u{131}"),
        5 => format!("{name}{NUL}"),
        6 => format!("{name}{HALF}"),
        _ => {
            let mut letters = name.chars();
            let first = letters
                .next()
                .map(|letter| letter.to_uppercase().to_string());
            first.unwrap_or_default() + letters.as_str()
        }
    };
    let value = match dice.below(3) {
        0 => value,
        1 => text(dice.one_of(&NAMES)),
        _ => scalar(dice),
    };
    put(dice, object, twin, value);
}

fn put(dice: &mut Dice, object: &mut Node, name: String, value: Node) {
    if let Node::Members(members) = object {
        let at = if dice.once_in(2) { 0 } else { members.len() };
        members.insert(at, (name, value));
    }
}

/// Any object of the message, itself included.
fn some_object<'n>(dice: &mut Dice, node: &'n mut Node) -> Option<&'n mut Node> {
    let Node::Members(members) = &*node else {
        return None;
    };
    let inner: Vec<usize> = (0..members.len())
        .filter(|at| matches!(members[*at].1, Node::Members(_)))
        .collect();
    if inner.is_empty() || dice.once_in(3) {
        return Some(node);
    }
    let at = dice.one_of(&inner);
    match node {
        Node::Members(members) => some_object(dice, &mut members[at].1),
        _ => None,
    }
}

/// Any value of the message, mostly one deep inside.
fn some_value<'n>(dice: &mut Dice, node: &'n mut Node) -> &'n mut Node {
    let length = match &*node {
        Node::Members(members) => members.len(),
        Node::List(elements) => elements.len(),
        _ => 0,
    };
    if length == 0 || dice.once_in(5) {
        return node;
    }
    let at = dice.below(length);
    match node {
        Node::Members(members) => some_value(dice, &mut members[at].1),
        Node::List(elements) => some_value(dice, &mut elements[at]),
        other => other,
    }
}

/// Does to the bytes what no writer of JSON does.
pub fn bytes(dice: &mut Dice, body: &mut Vec<u8>) {
    let at = dice.below(body.len().clamp(1, 60_000));
    let insert = |body: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        body.splice(at..at, bytes.iter().copied());
    };
    match dice.below(12) {
        0 => insert(body, 0, b"\xef\xbb\xbf"),
        1 => body.extend_from_slice(dice.one_of(&[
            &b"\0"[..],
            b"{}",
            b" {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"secret\"}}",
            b"// comment",
            b"/* */",
            b"\n\n",
            b",",
            b"]",
            b"\x1e",
            b"\xc2\xa0",
        ])),
        2 => insert(body, at, dice.one_of(&[&b"/**/"[..], b"#\n", b"//\n", b",", b"\0", b"\x0b", b"\x0c"])),
        3 => insert(body, at, dice.one_of(&[&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe2\x80"])),
        4 => body.truncate(at),
        5 => {
            if let Some(byte) = body.get_mut(at) {
                *byte = dice.below(256) as u8;
            }
        }
        6 => {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        7 => {
            // The name of the method with an overlong letter, which some decoders take.
            if let Some(at) = body.windows(4).position(|four| four == b"meth") {
                body.splice(at..at + 1, *b"\xc1\xad");
            }
        }
        8 => *body = String::from_utf8_lossy(body).encode_utf16().flat_map(u16::to_le_bytes).collect(),
        9 => {
            let whole = body.clone();
            body.push(b'\n');
            body.extend(whole);
        }
        10 => insert(body, 0, dice.one_of(&[&b"\0"[..], b" ", b"\x1e", b")]}',\n", b"\xfe\xff", b"\r\n"])),
        _ => insert(body, at, dice.one_of(&[&b"\r"[..], b"\n", b"\"", b"\\", b"{", b"}", b":"])),
    }
}

/// Lets the headers say something else than the body.
pub fn headers(dice: &mut Dice, headers: &mut Vec<(&'static str, Vec<u8>)>) {
    let values: [&[u8]; 12] = [
        b"echo",
        b"secret",
        b"tools/call",
        b"tools/list",
        b"2026-07-28",
        b"2025-03-26",
        b"=?base64?ZWNobw==?=",
        b"=?BASE64?ZWNobw==?=",
        b"=?base64?ZWNob=?=",
        b"echo, secret",
        b" echo ",
        b"\xe9cho",
    ];
    let names = [
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-param-region",
    ];
    match dice.below(3) {
        0 => {
            headers.push((dice.one_of(&names), dice.one_of(&values).to_vec()));
        }
        1 => {
            let at = dice.below(headers.len());
            headers[at].1 = dice.one_of(&values).to_vec();
        }
        _ => {
            let at = dice.below(headers.len());
            headers.remove(at);
        }
    }
}
