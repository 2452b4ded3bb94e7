//! Sets `url` in one table of a TOML file and leaves every other line as it was.

use anyhow::bail;

/// The text with `url` in the table `[mcp_servers.name]` set.
///
/// Only whole lines are looked at. A table written in another way (inline, or with dotted keys) is refused rather than
/// doubled.
///
/// # Errors
/// When the server stands there in a shape that is not understood.
pub fn set_server_url(text: &str, name: &str, url: &str) -> anyhow::Result<String> {
    // Slugs and URLs have no character that TOML would have to escape.
    let entry = format!("url = \"{url}\"");
    let headers = [
        format!("[mcp_servers.{name}]"),
        format!("[mcp_servers.\"{name}\"]"),
    ];
    let lines: Vec<&str> = text.lines().collect();
    let is_header = |line: &str| headers.iter().any(|header| without_comment(line) == header);
    let Some(start) = lines.iter().position(|line| is_header(line)) else {
        if elsewhere(&lines, name) {
            bail!(
                "mcp_servers.{name} stands in it in a shape that is not understood; set its url to {url} by hand"
            );
        }
        let gap = match text.trim_end() {
            "" => "",
            _ => "\n",
        };
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return Ok(format!("{text}{end}{gap}{}\n{entry}\n", headers[0]));
    };
    let table_end = lines[start + 1..]
        .iter()
        .position(|line| line.trim_start().starts_with('['))
        .map_or(lines.len(), |offset| start + 1 + offset);
    let mut out: Vec<&str> = lines.clone();
    let known = (start + 1..table_end).find(|index| key(lines[*index]) == Some("url"));
    if (start + 1..table_end).any(|index| key(lines[index]) == Some("command")) {
        bail!("mcp_servers.{name} is a local command in it; choose another name with --name");
    }
    match known {
        Some(index) => out[index] = &entry,
        None => out.insert(start + 1, &entry),
    }
    let mut text = out.join("\n");
    text.push('\n');
    Ok(text)
}

fn elsewhere(lines: &[&str], name: &str) -> bool {
    let mut table = String::new();
    lines.iter().any(|line| {
        let line = without_comment(line);
        if line.starts_with('[') {
            table = line.to_owned();
        }
        let dotted = line.starts_with(&format!("mcp_servers.{name}."))
            || line.starts_with(&format!("mcp_servers.{name} "));
        let inline = table == "[mcp_servers]"
            && key(line).is_some_and(|key| key == name || key.starts_with(&format!("{name}.")));
        dotted || inline || key(line) == Some("mcp_servers")
    })
}

fn key(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with(['#', '[']) {
        return None;
    }
    line.split_once('=')
        .map(|(key, _)| key.trim().trim_matches('"'))
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or(line).trim()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_table_is_added_at_the_end_and_a_second_time_changes_nothing() {
        let once = set_server_url("model = \"x\" # mine\n", "todo", "http://l/mcp/todo").unwrap();
        assert_eq!(
            once,
            "model = \"x\" # mine\n\n[mcp_servers.todo]\nurl = \"http://l/mcp/todo\"\n"
        );
        assert_eq!(
            set_server_url(&once, "todo", "http://l/mcp/todo").unwrap(),
            once
        );
        assert_eq!(
            set_server_url("", "a", "u").unwrap(),
            "[mcp_servers.a]\nurl = \"u\"\n"
        );
    }

    #[test]
    fn a_known_table_gets_the_new_url_and_its_neighbours_stay() {
        let text = "[mcp_servers.todo] # x\nenabled = true\nurl = \"old\"\n\n[mcp_servers.todo.tools]\nurl = \"not this\"\n";
        assert_eq!(
            set_server_url(text, "todo", "new").unwrap(),
            "[mcp_servers.todo] # x\nenabled = true\nurl = \"new\"\n\n[mcp_servers.todo.tools]\nurl = \"not this\"\n"
        );
    }

    #[test]
    fn another_shape_is_refused_and_not_doubled() {
        for text in [
            "[mcp_servers]\ntodo = { url = \"old\" }\n",
            "mcp_servers.todo.url = \"old\"\n",
            "mcp_servers = { todo = { url = \"old\" } }\n",
            "[mcp_servers.todo]\ncommand = \"npx\"\n",
        ] {
            assert!(set_server_url(text, "todo", "new").is_err(), "{text}");
        }
        assert!(
            set_server_url("[mcp_servers]\nother = { url = \"old\" }\n", "todo", "new").is_ok()
        );
    }
}
