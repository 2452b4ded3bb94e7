//! The one screen that `up` prints: a pure function from what is so to text.

use std::fmt::Write as _;

use url::Url;

use crate::connect_lines::connect_lines;
use crate::public_url::is_loopback;
use crate::terminal::{Paint, plain, wrap};

/// What the screen tells.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// The authority's origin.
    pub public_url: String,
    /// Whether only this machine reaches it.
    pub loopback: bool,
    /// The port on this machine.
    pub port: u16,
    /// Where everything is kept.
    pub data_dir: String,
    /// The MCP servers, the one that was asked for first.
    pub servers: Vec<ServerLines>,
    /// The one-time link, while nobody exists.
    pub setup_url: Option<String>,
    /// How many checks were made, and what they found.
    pub checks: usize,
    /// What is wrong, in words.
    pub findings: Vec<String>,
}

/// What the screen tells of one MCP server.
#[derive(Debug, Clone, Default)]
pub struct ServerLines {
    /// Its slug.
    pub slug: String,
    /// What people type.
    pub mcp_url: String,
    /// Where its calls go, in words.
    pub upstream: String,
    /// How many tools an anonymous caller could call at the upstream, and how many now. `None` while it is down.
    pub open_tools: Option<OpenTools>,
    /// Each scope with the tools behind it.
    pub scopes: Vec<(String, Vec<String>)>,
    /// Other kinds of things that are guarded, such as `3 prompts`.
    pub also: Vec<String>,
    /// Tools that appeared after the first mapping and are hidden.
    pub hidden: Vec<String>,
    /// The address at which it can still be called past us.
    pub bypass: Option<String>,
    /// Anything else, such as why the upstream does not answer.
    pub notes: Vec<String>,
}

/// Before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTools {
    /// Tools that the upstream lists to anybody.
    pub before: usize,
    /// Tools that our address lists without a token; 0, or the self-check has a finding.
    pub now: usize,
}

const INDENT: &str = "  ";
/// How many hidden tools are named.
const HIDDEN_MAX: usize = 10;
const LABEL: usize = 13;

/// The text.
pub fn render(screen: &Screen, paint: Paint, width: usize) -> String {
    let mut page = Page {
        out: String::new(),
        paint,
        width: width.max(40),
    };
    page.blank();
    page.raw(&format!(
        "{}  {}",
        paint.bold("Portcullis"),
        paint.accent(&screen.public_url)
    ));
    for server in &screen.servers {
        page.server(server);
    }
    if let Some(link) = &screen.setup_url {
        page.blank();
        page.raw(&paint.bold("Set up your account (the link works once)"));
        page.raw(&format!("{INDENT}{}", paint.accent(link)));
    }
    if let Some(server) = screen.servers.first() {
        page.connect(server);
    }
    page.blank();
    if screen.loopback {
        page.prose("claude.ai and ChatGPT call from the internet: they need a public https address (--public-url).");
    } else {
        page.prose(&format!(
            "A reverse proxy or tunnel must bring {} to http://127.0.0.1:{} and keep the Host header.",
            screen.public_url, screen.port
        ));
    }
    page.blank();
    page.check(screen);
    page.labelled("Data", &screen.data_dir);
    page.blank();
    page.raw(&paint.dim("Handshakes appear below. Ctrl-C ends."));
    page.blank();
    page.out
}

struct Page {
    out: String,
    paint: Paint,
    width: usize,
}

impl Page {
    fn blank(&mut self) {
        self.out.push('\n');
    }

    fn raw(&mut self, line: &str) {
        let _ = writeln!(self.out, "{INDENT}{line}");
    }

    fn prose(&mut self, text: &str) {
        for line in wrap(text, self.width - INDENT.len()) {
            self.raw(&line);
        }
    }

    /// `Label        text`, with the text's further lines under its first.
    fn labelled(&mut self, label: &str, text: &str) {
        let room = self.width.saturating_sub(INDENT.len() + LABEL).max(20);
        for (index, line) in wrap(text, room).iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.raw(&format!(
                "{}{line}",
                self.paint.dim(format!("{label:<LABEL$}"))
            ));
        }
    }

    fn server(&mut self, server: &ServerLines) {
        let paint = self.paint;
        self.blank();
        self.raw(&format!(
            "{}{}",
            paint.bold(format!("{:<LABEL$}", server.slug)),
            plain(
                &server.upstream,
                self.width.saturating_sub(LABEL + 2).max(20)
            )
        ));
        self.raw(&format!(
            "{}{}",
            paint.dim(format!("{:<LABEL$}", "MCP URL")),
            paint.accent(&server.mcp_url)
        ));
        if let Some(OpenTools { before, now }) = server.open_tools {
            let tools = if before == 1 {
                "tool was"
            } else {
                "tools were"
            };
            let text = match before {
                0 => format!(
                    "The upstream itself asks for credentials; {now} tools are callable here without a token."
                ),
                _ => format!("{before} {tools} callable by anyone; now {now} without a token."),
            };
            let text = if now == 0 {
                paint.good(text)
            } else {
                paint.bad(text)
            };
            self.raw(&format!("{:LABEL$}{text}", ""));
        }
        for (scope, tools) in &server.scopes {
            self.scope(scope, tools);
        }
        if !server.also.is_empty() {
            self.labelled("also", &server.also.join(", "));
        }
        if !server.hidden.is_empty() {
            let mut names = server
                .hidden
                .iter()
                .take(HIDDEN_MAX)
                .map(|name| plain(name, 60))
                .collect::<Vec<_>>()
                .join(", ");
            if let more @ 1.. = server.hidden.len().saturating_sub(HIDDEN_MAX) {
                names.push_str(&format!(" and {more} more"));
            }
            let first = plain(server.hidden.first().map_or("TOOL", String::as_str), 60);
            self.labelled("new, hidden", &names);
            let how = format!(
                "nobody may call it until it is mapped: up again with --tool-scope {first}=SCOPE"
            );
            self.labelled("", &how);
        }
        if let Some(address) = &server.bypass {
            self.labelled("bypass", &bypass(address));
        }
        for note in &server.notes {
            self.labelled("note", note);
        }
    }

    fn scope(&mut self, scope: &str, tools: &[String]) {
        // Scope names are longer than labels are; they get a column of their own.
        let column = (scope.len() + 2).max(20);
        let room = self
            .width
            .saturating_sub(INDENT.len() + LABEL + column)
            .max(20);
        let names: Vec<String> = tools.iter().map(|name| plain(name, 60)).collect();
        let mut lines = wrap(&names.join(", "), room);
        if lines.len() > 3 {
            lines.truncate(2);
            lines.push(format!("… {} in all", tools.len()));
        }
        for (index, line) in lines.iter().enumerate() {
            let scope = if index == 0 { scope } else { "" };
            self.raw(&format!(
                "{:LABEL$}{scope:<column$}{}",
                "",
                self.paint.dim(line)
            ));
        }
    }

    fn connect(&mut self, server: &ServerLines) {
        self.blank();
        self.raw(&self.paint.bold("Add it to"));
        for (client, command) in connect_lines(&server.slug, &server.mcp_url) {
            self.command(client, &command);
            if client == "Cursor" {
                // It has no command line for this.
                let place = "in ~/.cursor/mcp.json, or: portcullis connect cursor";
                self.raw(&format!("{:LABEL$}{}", "", self.paint.dim(place)));
            }
        }
    }

    /// A command to copy, broken with a backslash where the line is too narrow, so that pasting it still works.
    fn command(&mut self, label: &str, words: &[String]) {
        let room = self.width.saturating_sub(INDENT.len() + LABEL).max(20);
        let mut lines: Vec<String> = vec![String::new()];
        for word in words {
            let full = if lines.len() == 1 { room } else { room + LABEL };
            let line = lines.last_mut().expect("there is always a line");
            if !line.is_empty() && line.len() + 1 + word.len() + 2 > full {
                line.push_str(" \\");
                // Under its own command where there is room, else as far left as can be.
                let indent = if word.len() + 2 > room { 2 } else { LABEL + 2 };
                lines.push(format!("{:indent$}{word}", ""));
            } else {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        for (index, line) in lines.iter().enumerate() {
            match index {
                0 => self.raw(&format!(
                    "{}{line}",
                    self.paint.dim(format!("{label:<LABEL$}"))
                )),
                _ => self.raw(line),
            }
        }
    }

    fn check(&mut self, screen: &Screen) {
        let paint = self.paint;
        let count = format!(
            "{} checks, {} findings",
            screen.checks,
            screen.findings.len()
        );
        let count = if screen.findings.is_empty() {
            paint.good(count)
        } else {
            paint.bad(count)
        };
        self.raw(&format!(
            "{}{count}",
            paint.dim(format!("{:<LABEL$}", "Self-check"))
        ));
        for finding in &screen.findings {
            self.labelled("", finding);
        }
    }
}

fn bypass(address: &str) -> String {
    if Url::parse(address).is_ok_and(|url| is_loopback(&url)) {
        return format!(
            "{address} itself still answers any program on this computer, without a token."
        );
    }
    format!(
        "{address} itself still answers whoever reaches it, without a token. Firewall it, or let it listen on 127.0.0.1 only."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen {
            public_url: "http://localhost:4180".into(),
            loopback: true,
            port: 4180,
            data_dir: "/home/alice/.local/share/portcullis".into(),
            servers: vec![
                ServerLines {
                    slug: "todo".into(),
                    mcp_url: "http://localhost:4180/mcp/todo".into(),
                    upstream: "the bundled todo server".into(),
                    open_tools: Some(OpenTools { before: 5, now: 0 }),
                    scopes: vec![
                        (
                            "todo:read".into(),
                            vec!["get_todo".into(), "list_todos".into()],
                        ),
                        (
                            "todo:write".into(),
                            vec!["add_todo".into(), "complete_todo".into()],
                        ),
                        ("todo:delete".into(), vec!["delete_todo".into()]),
                    ],
                    ..ServerLines::default()
                },
                ServerLines {
                    slug: "weather".into(),
                    mcp_url: "http://localhost:4180/mcp/weather".into(),
                    upstream: "http://127.0.0.1:8765/weather".into(),
                    open_tools: Some(OpenTools { before: 1, now: 0 }),
                    scopes: vec![("weather:read".into(), vec!["get_weather\u{1b}[2J".into()])],
                    also: vec!["3 resources".into(), "1 prompt".into()],
                    hidden: vec!["set_weather".into()],
                    bypass: Some("http://127.0.0.1:8765/weather".into()),
                    notes: vec!["Something that somebody should know.".into()],
                },
            ],
            setup_url: Some(format!(
                "http://localhost:4180/setup?token=pcs_{}",
                "x".repeat(43)
            )),
            checks: 24,
            findings: Vec::new(),
        }
    }

    #[test]
    fn the_screen_of_a_first_start() {
        let plain = Paint { colour: false };
        insta::assert_snapshot!("screen_80", render(&screen(), plain, 80));
        insta::assert_snapshot!("screen_120", render(&screen(), plain, 120));
    }

    #[test]
    fn nothing_but_a_link_is_wider_than_the_terminal() {
        for width in [80, 100, 120] {
            for line in render(&screen(), Paint { colour: true }, width).lines() {
                let fits = console::measure_text_width(line) <= width;
                assert!(fits || line.contains("/setup?token="), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_finding_is_told_and_the_good_news_is_not() {
        let mut screen = screen();
        screen.findings = vec!["/mcp/todo without a token answers 200".into()];
        let text = render(&screen, Paint { colour: false }, 80);
        assert!(text.contains("24 checks, 1 findings"), "{text}");
        assert!(
            text.contains("/mcp/todo without a token answers 200"),
            "{text}"
        );
    }
}
