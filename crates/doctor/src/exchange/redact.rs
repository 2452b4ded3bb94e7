//! Takes secrets out of what is kept: a bundle is attached to public issues.

use http::HeaderMap;
use serde_json::Value;

/// Members and parameters whose values are secrets wherever they stand.
const SECRET_NAMES: [&str; 16] = [
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
];

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

/// What stands for a secret of `length` characters.
fn mark(length: usize) -> String {
    format!("[redacted, {length} characters]")
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
            Some((name, value)) if is_secret(name) && !value.is_empty() => {
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
                    other => json(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(json),
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
            let length = value.find('"').unwrap_or(value.len());
            let shown = mark(value[..length].chars().count());
            out.replace_range(start..start + length, &shown);
            from = start + shown.len();
        }
    }
    out
}

/// Text without `known` secrets and without anything that looks like a JWT.
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
    without_jwts(&out)
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
}
