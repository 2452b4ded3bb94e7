use serde_json::Value;

use crate::terminal::{Terminal, plain, wrap};

/// Prints a list of tools: name, what it does, what it takes.
pub fn tools(tools: &[Value], out: &Terminal) {
    if tools.is_empty() {
        out.line("This sign-in may see no tool; ask for more with --sign-in.");
        return;
    }
    for tool in tools {
        let text = |path: &str| {
            tool.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        out.line(out.paint.bold(plain(text("/name"), 200)));
        let described = match text("/description") {
            "" => text("/title"),
            description => description,
        };
        for line in wrap(&plain(described, 400), out.width.saturating_sub(4)) {
            out.line(format!("    {line}"));
        }
        let taken = parameters(tool);
        if !taken.is_empty() {
            for line in wrap(&taken, out.width.saturating_sub(4)) {
                out.line(format!("    {}", out.paint.dim(line)));
            }
        }
    }
}

/// `title=STRING [due=STRING]`: what is optional stands in brackets.
fn parameters(tool: &Value) -> String {
    let required: Vec<&str> = tool
        .pointer("/inputSchema/required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = tool
        .pointer("/inputSchema/properties")
        .and_then(Value::as_object)
    else {
        return String::new();
    };
    let shape = |(name, schema): (&String, &Value)| {
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.to_uppercase(),
            Some(Value::Array(kinds)) => {
                let kinds: Vec<String> = kinds
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_uppercase)
                    .collect();
                kinds.join("|")
            }
            _ => "JSON".into(),
        };
        let pair = format!("{}={}", plain(name, 100), plain(&kind, 60));
        if required.contains(&name.as_str()) {
            pair
        } else {
            format!("[{pair}]")
        }
    };
    let mut members: Vec<_> = properties.iter().collect();
    members.sort_by_key(|(name, _)| !required.contains(&name.as_str()));
    members.into_iter().map(shape).collect::<Vec<_>>().join(" ")
}

/// Whether the tool ran and failed.
pub fn is_error(result: &Value) -> bool {
    result
        .get("isError")
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// Prints what a tool answered: text as text, everything else in a word, structured content when there is no text.
pub fn result(result: &Value, out: &Terminal) {
    let blocks = result
        .get("content")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let structured = result.get("structuredContent");
    if blocks.is_empty() {
        match structured {
            Some(value) => out.line(super::pretty(value)),
            None => out.line(out.paint.dim("(an empty answer)")),
        }
        return;
    }
    for block in blocks {
        let text = block_text(block);
        // Line breaks are the tool's to make; everything else that moves the cursor is not.
        for line in text.lines() {
            let line = plain(line, 100_000);
            out.line(if is_error(result) {
                out.paint.bad(line)
            } else {
                line
            });
        }
    }
}

fn block_text(block: &Value) -> String {
    let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "text" => match serde_json::from_str::<Value>(text("text")) {
            // Many servers put JSON on one line into the text.
            Ok(value @ (Value::Object(_) | Value::Array(_))) => super::pretty(&value),
            _ => text("text").to_owned(),
        },
        kind @ ("image" | "audio") => {
            format!(
                "[{kind} {}, {} characters of base64]",
                text("mimeType"),
                text("data").len()
            )
        }
        "resource_link" => format!("[resource {}]", text("uri")),
        "resource" => {
            let inner = |name: &str| {
                block
                    .pointer(&format!("/resource/{name}"))
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            format!("[resource {}]\n{}", inner("uri"), inner("text"))
        }
        other => format!("[{other}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tools_are_listed_with_what_they_take() {
        let out = Terminal::memory();
        let tool = json!({ "name": "add_todo", "description": "Adds a todo.", "inputSchema": {
            "properties": { "due": { "type": ["string", "null"] }, "title": { "type": "string" } },
            "required": ["title"] } });
        tools(&[tool], &out);
        assert_eq!(
            out.kept(),
            "add_todo\n    Adds a todo.\n    title=STRING [due=STRING|NULL]\n"
        );
    }

    #[test]
    fn a_result_is_readable_and_cannot_move_the_cursor() {
        let out = Terminal::memory();
        result(
            &json!({ "content": [
                { "type": "text", "text": "one\n\u{1b}[2Jtwo" },
                { "type": "text", "text": "{\"a\":1}" },
                { "type": "image", "mimeType": "image/png", "data": "AAAA" } ] }),
            &out,
        );
        assert_eq!(
            out.kept(),
            "one\n[2Jtwo\n{\n  \"a\": 1\n}\n[image image/png, 4 characters of base64]\n"
        );
    }
}
