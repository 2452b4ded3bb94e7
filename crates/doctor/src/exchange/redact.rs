//! Takes secrets out of what is kept: a bundle is attached to public issues.

use http::HeaderMap;
use serde_json::Value;

/// Members and parameters whose values are secrets wherever they stand.
const SECRET_NAMES: [&str; 22] = [
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "client_secret",
    "client_assertion",
    "assertion",
    "registration_access_token",
    "subject_token",
    "actor_token",
    "code",
    "device_code",
    "user_code",
    "code_verifier",
    "password",
    "session_id",
    "sessionid",
    "api_key",
    "apikey",
    "secret",
    "signature",
    "jwt",
];

/// Parameters of URLs that hold secrets beside those: as members of JSON they are ordinary words.
const SECRET_PARAMETERS: [&str; 3] = ["key", "sig", "auth"];

/// Headers whose values are secrets.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "dpop",
    "x-api-key",
    "mcp-session-id",
];

/// How every mark begins.
const MARKED: &str = "[redacted, ";

/// What stands for a secret of `length` characters.
fn mark(length: usize) -> String {
    format!("{MARKED}{length} characters]")
}

/// The headers as name and value, without secrets.
pub fn headers(headers: &HeaderMap, known: &[String]) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = if SECRET_HEADERS.contains(&name.as_str()) {
                match value.split_once(' ') {
                    Some((scheme, rest)) if name == "authorization" => {
                        format!("{scheme} {}", mark(rest.chars().count()))
                    }
                    _ => mark(value.chars().count()),
                }
            } else if name == "location" {
                url(&value, known)
            } else {
                text(&value, known)
            };
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// A URL without the values of secret parameters, in its query or fragment.
pub fn url(address: &str, known: &[String]) -> String {
    let mut out = String::with_capacity(address.len());
    for (at, part) in address.split(['?', '#']).enumerate() {
        if at == 0 {
            out.push_str(part);
            continue;
        }
        // Each part begins behind the mark that it was split at, which is one byte.
        let start = out_of(address, part);
        out.push_str(&address[start - 1..start]);
        out.push_str(&form(part));
    }
    text(&out, known)
}

/// Where `part`, a slice of `whole`, begins in it.
fn out_of(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// A form without the values of secret parameters.
fn form(fields: &str) -> String {
    let redacted: Vec<String> = fields
        .split('&')
        .map(|field| match field.split_once('=') {
            Some((name, value)) if is_secret_parameter(name) && !value.is_empty() => {
                format!("{name}={}", mark(value.chars().count()))
            }
            _ => field.to_owned(),
        })
        .collect();
    redacted.join("&")
}

fn is_secret(name: &str) -> bool {
    SECRET_NAMES.contains(&name.to_ascii_lowercase().as_str())
}

/// Whatever of the name is percent-encoded: servers decode it too.
fn is_secret_parameter(name: &str) -> bool {
    let decoded = url::form_urlencoded::parse(name.as_bytes()).next();
    let name = decoded.map_or_else(String::new, |(name, _)| name.to_ascii_lowercase());
    is_secret(&name) || SECRET_PARAMETERS.contains(&name.as_str())
}

/// Words without the values of secret parameters of the URLs in them.
fn parameters(words: &str) -> String {
    let ends = |character: char| {
        character.is_whitespace()
            || matches!(character, '&' | '#' | '"' | '\'' | '<' | '>' | ')' | '\\')
    };
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find(['?', '&', '#']) {
        let (before, behind) = rest.split_at(at + 1);
        out.push_str(before);
        rest = behind;
        let name = behind
            .find(|character: char| {
                !(character.is_ascii_alphanumeric() || "_-%.".contains(character))
            })
            .unwrap_or(behind.len());
        if !behind[name..].starts_with('=') || !is_secret_parameter(&behind[..name]) {
            continue;
        }
        let value = &behind[name + 1..];
        let length = value.find(ends).unwrap_or(value.len());
        out.push_str(&behind[..=name]);
        if value.starts_with(MARKED) {
            rest = value;
            continue;
        }
        if length > 0 {
            out.push_str(&mark(value[..length].chars().count()));
        }
        rest = &value[length..];
    }
    out.push_str(rest);
    out
}

/// The body of a message without secrets: JSON and forms by their names, anything by its look.
pub fn body(body: &[u8], media_type: Option<&str>, known: &[String]) -> String {
    let words = String::from_utf8_lossy(body);
    let media_type = media_type.unwrap_or_default().to_ascii_lowercase();
    if media_type.contains("x-www-form-urlencoded") {
        return text(&form(&words), known);
    }
    match serde_json::from_str::<Value>(&words) {
        Ok(mut document) if document.is_object() || document.is_array() => {
            json(&mut document);
            text(&document.to_string(), known)
        }
        // Not JSON as a whole, such as an event stream or a page: members are found by their look.
        _ => text(&members(&words), known),
    }
}

/// Members of a JWK that nobody else may know (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE_KEY_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

fn json(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_key = members.contains_key("kty");
            for (name, member) in members {
                let is_private = is_key && PRIVATE_KEY_MEMBERS.contains(&name.as_str());
                match member {
                    Value::String(secret) if is_private || is_secret(name) => {
                        *member = Value::String(mark(secret.chars().count()));
                    }
                    // An error has a number under `code`, and whether somebody has a password is no secret.
                    Value::Number(number) if is_secret(name) && name != "code" => {
                        *member = Value::String(mark(number.to_string().len()));
                    }
                    Value::Array(_) if is_secret(name) => *member = Value::String(mark(0)),
                    other => json(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(json),
        // JSON in a text, as results of tools are.
        Value::String(held) if held.trim_start().starts_with(['{', '[']) => {
            if let Ok(mut inner) = serde_json::from_str::<Value>(held) {
                json(&mut inner);
                *held = inner.to_string();
            }
        }
        _ => {}
    }
}

/// `"name":"value"` in text that is not JSON as a whole.
fn members(words: &str) -> String {
    let mut out = words.to_owned();
    for name in SECRET_NAMES {
        let quoted = format!("\"{name}\"");
        let mut from = 0;
        while let Some(at) = out[from..].find(&quoted) {
            let after = from + at + quoted.len();
            from = after;
            let rest = &out[after..];
            let value = rest.trim_start().strip_prefix(':').map(str::trim_start);
            let Some(value) = value.and_then(|value| value.strip_prefix('"')) else {
                continue;
            };
            let start = out_of(&out, value);
            let length = string_end(value);
            let shown = mark(value[..length].chars().count());
            out.replace_range(start..start + length, &shown);
            from = start + shown.len();
        }
    }
    out
}

/// Where a JSON string ends: at the first quote that is not escaped.
fn string_end(value: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    value.len()
}

/// Text without `known` secrets, without secret parameters of URLs, and without anything that looks like a JWT.
pub fn text(words: &str, known: &[String]) -> String {
    let mut out = words.to_owned();
    for secret in known.iter().filter(|secret| secret.len() >= 6) {
        if out.contains(secret.as_str()) {
            out = out.replace(secret.as_str(), &mark(secret.chars().count()));
        }
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        if encoded != *secret && out.contains(&encoded) {
            out = out.replace(&encoded, &mark(secret.chars().count()));
        }
    }
    without_jwts(&parameters(&out))
}

fn without_jwts(words: &str) -> String {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find("eyJ") {
        let length = rest[at..].bytes().take_while(|byte| is_part(*byte)).count();
        let candidate = &rest[at..at + length];
        out.push_str(&rest[..at]);
        if candidate.matches('.').count() >= 2 {
            out.push_str(&mark(length));
        } else {
            out.push_str(candidate);
        }
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_wherever_they_stand_and_the_rest_stays() {
        let known = vec!["opaque/secret+1".to_owned()];
        let redacted = url(
            "https://a.example/cb?code=abc&state=x#access_token=def",
            &known,
        );
        assert_eq!(
            redacted,
            "https://a.example/cb?code=[redacted, 3 characters]&state=x#access_token=[redacted, 3 characters]"
        );
        let json = body(
            br#"{"access_token":"abc","token_type":"Bearer","n":[{"client_secret":"s"}]}"#,
            Some("application/json"),
            &known,
        );
        assert!(json.contains("Bearer") && !json.contains("abc"), "{json}");
        assert!(!json.contains("\"s\""), "{json}");
        let form = body(
            b"grant_type=refresh_token&refresh_token=opaque",
            Some("application/x-www-form-urlencoded"),
            &known,
        );
        assert_eq!(
            form,
            "grant_type=refresh_token&refresh_token=[redacted, 6 characters]"
        );
        let stream = body(
            b"event: message\ndata: {\"access_token\" : \"abc\", \"x\": 1}\n\n",
            Some("text/event-stream"),
            &known,
        );
        assert!(
            !stream.contains("abc") && stream.contains("\"x\": 1"),
            "{stream}"
        );
        let page = text(
            "<p>token eyJhbGciOi.eyJzdWIi.c2ln and opaque%2Fsecret%2B1 ü</p>",
            &known,
        );
        assert_eq!(
            page,
            "<p>token [redacted, 24 characters] and [redacted, 15 characters] ü</p>"
        );
    }

    #[test]
    fn private_parts_of_published_keys_are_not_kept() {
        let kept = body(
            br#"{"keys":[{"kty":"EC","x":"public","d":"private"}],"d":"no key"}"#,
            None,
            &[],
        );
        assert!(kept.contains("public") && kept.contains("no key"), "{kept}");
        assert!(!kept.contains("private"), "{kept}");
    }

    #[test]
    fn what_only_looks_a_little_like_a_secret_stays() {
        assert_eq!(text("eyJ is how JWTs begin", &[]), "eyJ is how JWTs begin");
        assert_eq!(
            url("https://a.example/?codec=1", &[]),
            "https://a.example/?codec=1"
        );
    }

    #[test]
    fn words_of_servers_hold_no_secret_of_a_url_a_number_or_a_text_in_a_text() {
        for (words, gone, stays) in [
            (
                "see https://a.example/mcp?api_key=hush1&x=1",
                "hush1",
                "&x=1",
            ),
            ("to /messages?sessionId=hush2 \"later\"", "hush2", "later"),
            ("https://a.example/?acc%65ss_token=hush3#y", "hush3", "#y"),
            ("what? code=stays", "nothing", "code=stays"),
        ] {
            let shown = text(words, &[]);
            assert!(!shown.contains(gone) && shown.contains(stays), "{shown}");
        }
        for (sent, gone) in [
            (r#"{"token":["hush4"]}"#, "hush4"),
            (r#"{"user_code":12345678}"#, "12345678"),
            (
                r#"{"content":[{"text":"{\"access_token\":\"hush5\"}"}]}"#,
                "hush5",
            ),
            ("data: {\"code\":\"ab\\\"hush6\"}\n\n", "hush6"),
        ] {
            let shown = body(sent.as_bytes(), Some("text/event-stream"), &[]);
            assert!(!shown.contains(gone), "{shown}");
        }
        let error = body(br#"{"error":{"code":-32600}}"#, None, &[]);
        assert!(error.contains("-32600"), "{error}");
    }
}
