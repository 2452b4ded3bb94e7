use std::fmt;

use serde::Deserialize;
use url::Url;
use wire::oauth::{RedirectUri, RedirectUriKind};

/// The longest text that a placeholder stands for, in bytes.
const PLACEHOLDER_BYTES_MAX: usize = 256;

/// Why a pattern of the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

/// A text with placeholders: `<id>` stands for one path segment, or the rest of one, and `<rest...>` at the end for
/// one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Segment,
    Rest,
}

impl Template {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let bad = |why: &str| PatternError(format!("{text}: {why}"));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            let (literal, tail) = rest.split_at(start);
            let end = tail.find('>').ok_or_else(|| bad("a < without its >"))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            } else if !parts.is_empty() {
                return Err(bad("two placeholders in a row"));
            }
            let name = &tail[1..end];
            rest = &tail[end + 1..];
            let plain = name.strip_suffix("...").unwrap_or(name);
            if plain.is_empty()
                || !plain
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                return Err(bad("a placeholder is named with a-z and _"));
            }
            parts.push(if plain == name {
                Part::Segment
            } else {
                Part::Rest
            });
            if plain != name && !rest.is_empty() {
                return Err(bad("<...> must be at the end"));
            }
            if plain == name && !rest.is_empty() && !rest.starts_with('/') {
                return Err(bad("a placeholder ends its path segment"));
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    fn is_exact(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Literal(_)])
    }

    fn matches(&self, asked: &str) -> bool {
        let mut rest = asked;
        for part in &self.parts {
            let taken = match part {
                Part::Literal(literal) => match rest.strip_prefix(literal.as_str()) {
                    Some(_) => literal.len(),
                    None => return false,
                },
                Part::Segment | Part::Rest => {
                    let slash = *part == Part::Rest;
                    let length = rest
                        .bytes()
                        .take_while(|byte| may_stand_in(*byte, slash))
                        .count();
                    let dots = |segment: &str| segment == "." || segment == "..";
                    if length == 0
                        || length > PLACEHOLDER_BYTES_MAX
                        || rest[..length].split('/').any(dots)
                    {
                        return false;
                    }
                    length
                }
            };
            rest = &rest[taken..];
        }
        rest.is_empty()
    }
}

/// Nothing that begins a query, and no `%`: what a placeholder takes must read the same to everybody.
fn may_stand_in(byte: u8, slash: bool) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || (slash && byte == b'/')
}

/// An https address of a client's metadata document, exact or with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UrlPattern(Template);

impl UrlPattern {
    /// Whether `url` is one of these, byte for byte outside the placeholders.
    pub fn matches(&self, url: &str) -> bool {
        self.0.matches(url)
    }

    /// The pattern as it is written in the file.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether it is one address, without placeholders.
    pub fn is_exact(&self) -> bool {
        self.0.is_exact()
    }
}

impl TryFrom<String> for UrlPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let template = Template::parse(&text)?;
        let bad = |why: &str| PatternError(format!("{text}: {why}"));
        let url = Url::parse(&text).map_err(|_| bad("is no address"))?;
        if url.scheme() != "https" || url.path() == "/" || text.contains(['?', '#']) {
            return Err(bad("must be https with a path and nothing behind it"));
        }
        if host_of(&text).contains(['<', '@', ':']) {
            return Err(bad("must name its host"));
        }
        Ok(Self(template))
    }
}

/// A return address of a client: exact, or with placeholders. A loopback address has any port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RedirectPattern {
    template: Template,
    kind: RedirectUriKind,
    any_host: bool,
}

impl RedirectPattern {
    /// Whether `uri` is one of these: byte for byte outside the placeholders, any port on loopback.
    pub fn matches(&self, uri: &RedirectUri) -> bool {
        if uri.kind() != self.kind {
            return false;
        }
        match self.kind {
            RedirectUriKind::Loopback => self.template.matches(&without_port(uri.as_str())),
            _ => self.template.matches(uri.as_str()),
        }
    }

    /// Who is at the other end.
    pub fn kind(&self) -> RedirectUriKind {
        self.kind
    }

    /// Whether the host is the client's own and fixed. A program that people host themselves has any.
    pub fn has_fixed_host(&self) -> bool {
        !self.any_host
    }

    /// The pattern as it is written in the file; a loopback address without a port.
    pub fn as_str(&self) -> &str {
        &self.template.text
    }

    /// The address, when there is exactly one, so that it can be registered as it is.
    pub fn exact(&self) -> Option<RedirectUri> {
        if !self.template.is_exact() {
            return None;
        }
        RedirectUri::parse(&self.template.text).ok()
    }
}

impl TryFrom<String> for RedirectPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bad = |why: &str| PatternError(format!("{text}: {why}"));
        let any_host = text.starts_with("https://<host>/");
        // What it looks like with its placeholders filled must be acceptable, or it could never match.
        let sample = text.replace("...>", ">").replace(['<', '>'], "");
        let uri = RedirectUri::parse(&sample).map_err(|error| bad(&error.to_string()))?;
        if !any_host
            && uri.kind() != RedirectUriKind::PrivateUseScheme
            && host_of(&text).contains('<')
        {
            return Err(bad("its host is fixed, or it is <host>"));
        }
        if uri.kind() == RedirectUriKind::PrivateUseScheme
            && text.find('<') < text.find("://").or(text.find(':'))
            && text.contains('<')
        {
            return Err(bad("its scheme is fixed"));
        }
        let text = match uri.kind() {
            RedirectUriKind::Loopback => without_port(&text),
            _ => text,
        };
        Ok(Self {
            template: Template::parse(&text)?,
            kind: uri.kind(),
            any_host,
        })
    }
}

/// The name by which a client registers itself: exact, or with `<anything>` at the end of a part, as in
/// `Claude Code (<name>)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct NamePattern {
    text: String,
    before: String,
    behind: Option<String>,
}

impl NamePattern {
    /// Whether a client that calls itself `name` may be this one. Self-asserted, so never proof.
    pub fn matches(&self, name: &str) -> bool {
        match &self.behind {
            None => name == self.before,
            Some(behind) => name
                .strip_prefix(self.before.as_str())
                .and_then(|rest| rest.strip_suffix(behind.as_str()))
                .is_some(),
        }
    }

    /// The pattern as it is written in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<String> for NamePattern {
    fn from(text: String) -> Self {
        let (before, behind) = match text.split_once('<') {
            Some((before, rest)) => (
                before.to_owned(),
                Some(
                    rest.split_once('>')
                        .map_or("", |(_, behind)| behind)
                        .to_owned(),
                ),
            ),
            None => (text.clone(), None),
        };
        Self {
            text,
            before,
            behind,
        }
    }
}

fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// A loopback address without its port, and with `/` for an empty path.
fn without_port(text: &str) -> String {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host_end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let slash = if tail.starts_with('/') { "" } else { "/" };
    format!(
        "http://{}{slash}{tail}",
        authority[..host_end].to_ascii_lowercase()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn redirect(pattern: &str, asked: &str) -> bool {
        RedirectPattern::try_from(pattern.to_owned())
            .unwrap()
            .matches(&RedirectUri::parse(asked).unwrap())
    }

    fn document(pattern: &str, asked: &str) -> bool {
        UrlPattern::try_from(pattern.to_owned())
            .unwrap()
            .matches(asked)
    }

    #[test]
    fn a_placeholder_is_one_path_segment_and_never_reaches_another_address() {
        let pattern = "https://chatgpt.com/oauth/<callback_id>/client.json";
        assert!(document(
            pattern,
            "https://chatgpt.com/oauth/4-bzS8rt_z~J/client.json"
        ));
        for other in [
            "https://chatgpt.com/oauth//client.json",
            "https://chatgpt.com/oauth/client.json",
            "https://chatgpt.com/oauth/a/b/client.json",
            "https://chatgpt.com/oauth/../client.json",
            "https://chatgpt.com/oauth/a%2Fb/client.json",
            "https://chatgpt.com/oauth/a/client.json?x=1",
            "https://chatgpt.com/oauth/a/client.json/",
            "https://chatgpt.com.evil.example/oauth/a/client.json",
            "http://chatgpt.com/oauth/a/client.json",
        ] {
            assert!(!document(pattern, other), "{other}");
        }
        let long = format!("https://chatgpt.com/oauth/{}/client.json", "a".repeat(257));
        assert!(!document(pattern, &long));
    }

    #[test]
    fn a_rest_at_the_end_takes_several_segments_of_the_same_host() {
        let pattern = "https://consent.example/redirect/<tool...>";
        assert!(redirect(
            pattern,
            "https://consent.example/redirect/my-tool"
        ));
        assert!(redirect(
            pattern,
            "https://consent.example/redirect/my/tool"
        ));
        assert!(!redirect(pattern, "https://consent.example/redirect/"));
        assert!(!redirect(
            pattern,
            "https://consent.example/redirect/a?next=https://evil.example"
        ));
        assert!(!redirect(
            pattern,
            "https://consent.example.evil.example/redirect/a"
        ));
        assert!(!redirect(pattern, "https://consent.example/redirect/a%2fb"));
    }

    #[test]
    fn a_loopback_address_has_any_port_and_only_its_own_path() {
        let pattern = "http://127.0.0.1:33418/callback/<id>";
        assert!(redirect(pattern, "http://127.0.0.1:9/callback/abc"));
        assert!(redirect(pattern, "http://127.0.0.1/callback/abc"));
        assert!(!redirect(pattern, "http://localhost:9/callback/abc"));
        assert!(!redirect(pattern, "http://127.0.0.1:9/callback"));
        assert!(redirect("http://127.0.0.1/", "http://127.0.0.1:61876"));
        assert!(redirect("http://[::1]/cb", "http://[::1]:8080/cb"));
    }

    #[test]
    fn what_a_preset_can_register_is_exact_and_a_host_of_anybody_is_said_to_be_one() {
        let pattern = |text: &str| RedirectPattern::try_from(text.to_owned()).unwrap();
        assert!(pattern("https://a.example/cb").exact().is_some());
        assert!(pattern("https://a.example/cb/<id>").exact().is_none());
        assert!(pattern("https://a.example/cb/<id>").has_fixed_host());
        assert!(!pattern("https://<host>/rest/callback").has_fixed_host());
        assert!(pattern("https://<host>/rest/callback").exact().is_none());
    }

    #[test]
    fn patterns_that_could_mean_anybody_are_refused() {
        for bad in [
            "https://<host>.example/cb",
            "https://a.example:<port>/cb",
            "https://a.<host>/cb",
            "<scheme>://x/cb",
            "http://example.com/cb",
            "https://a.example/<a><b>",
            "https://a.example/<a>b",
            "https://a.example/<a...>/b",
            "https://a.example/<A>",
            "https://a.example/<a",
            "javascript:alert(1)",
        ] {
            assert!(RedirectPattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in [
            "http://a.example/client.json",
            "https://a.example/",
            "https://<host>/client.json",
            "https://a.example/client.json?x",
            "https://a.example:8443/client.json",
        ] {
            assert!(UrlPattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_may_hold_what_the_person_called_the_server() {
        let pattern = NamePattern::from("Claude Code (<server>)".to_owned());
        assert!(pattern.matches("Claude Code (my notes)"));
        assert!(!pattern.matches("Claude Code"));
        assert!(!pattern.matches("Claude Code (my notes) x"));
        assert!(NamePattern::from("Zed".to_owned()).matches("Zed"));
        assert!(!NamePattern::from("Zed".to_owned()).matches("Zed "));
    }
}
