use std::time::Duration;

use base::Timestamp;
use jiff::tz::TimeZone;
use wire::mcp::Json;

use super::Against;

/// Text of a stranger on one line, without what would move a cursor or hide something, cut to so many characters.
pub fn shown(text: &str, characters_max: usize) -> String {
    let mut out = String::new();
    for (index, letter) in text.chars().enumerate() {
        if index == characters_max {
            out.push('…');
            break;
        }
        match letter {
            letter if letter.is_whitespace() => out.push(' '),
            letter if letter.is_control() || authz::is_invisible(letter) => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// A value: texts as they are, everything else as JSON.
pub(super) fn value(value: &Json, characters_max: usize) -> String {
    match value {
        Json::String(text) => shown(text, characters_max),
        other => shown(&other.to_string(), characters_max),
    }
}

/// What a header parameter is for.
pub(super) fn header(name: &str) -> Option<String> {
    let words = match name {
        "alg" => "how it is signed",
        "kid" => "which of the issuer's keys signed it",
        "typ" => "what kind of token it is",
        "enc" => "how it is encrypted",
        "cty" => "what is inside",
        "x5t" | "x5t#S256" => "the digest of a certificate",
        "jwk" | "jku" | "x5u" | "x5c" => {
            "a key, or where one is: a verifier must not take it from the token"
        }
        "crit" => "what a verifier must understand or else refuse",
        _ => return None,
    };
    Some(words.to_owned())
}

/// What a claim says.
pub(super) fn claim(name: &str, value: &Json, against: &Against) -> Option<String> {
    let at = |what: &str| moment(value, against).map(|when| format!("{what} {when}"));
    let words = match name {
        "iss" => "who issued it",
        "sub" => "for whom, as the issuer calls them",
        "aud" => "which resource it is for",
        "client_id" | "azp" | "appid" | "cid" => "which client it was issued to",
        "scope" | "scp" => "what may be done with it",
        "roles" | "groups" => "what its person has or is in, as the issuer calls it",
        "jti" => "its own id",
        "cnf" => "the key it is bound to: it is refused without a proof of that key",
        "act" => "who acts for its subject",
        "grant_id" => "which approval it comes from",
        "nonce" | "at_hash" | "c_hash" => "belongs to an ID token",
        "exp" => {
            let is_over = value
                .as_i64()
                .is_some_and(|exp| exp <= against.now.unix_seconds());
            return at(if is_over { "ended" } else { "ends" });
        }
        "iat" => return at("issued"),
        "nbf" => return at("not before"),
        "auth_time" => return at("its person signed in"),
        _ => return None,
    };
    Some(words.to_owned())
}

fn moment(value: &Json, against: &Against) -> Option<String> {
    // More than this many seconds is a time in milliseconds.
    let seconds = value
        .as_i64()
        .filter(|seconds| seconds.abs() < 100_000_000_000)?;
    when(Timestamp::from_unix_seconds(seconds), against)
}

/// A time in the words of its reader: `Tue 1 Dec 2026 03:41 UTC, in 59 minutes`.
pub(super) fn when(at: Timestamp, against: &Against) -> Option<String> {
    Some(format!(
        "{}, {}",
        clock_time(at, &against.zone)?,
        distance(at, against.now)
    ))
}

fn clock_time(at: Timestamp, zone: &TimeZone) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).ok()?;
    Some(
        at.to_zoned(zone.clone())
            .strftime("%a %-d %b %Y %H:%M:%S %Z")
            .to_string(),
    )
}

/// `in 5 minutes` or `5 minutes ago`.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    if at.unix_ms() >= now.unix_ms() {
        format!("in {}", length(at.since(now)))
    } else {
        format!("{} ago", length(now.since(at)))
    }
}

/// A length of time in its two largest units.
pub fn length(duration: Duration) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("year", 365 * 24 * 3600),
        ("day", 24 * 3600),
        ("hour", 3600),
        ("minute", 60),
        ("second", 1),
    ];
    let mut left = duration.as_secs();
    let mut words = Vec::new();
    for (unit, seconds) in UNITS {
        let count = left / seconds;
        left %= seconds;
        if count > 0 {
            let end = if count == 1 { "" } else { "s" };
            words.push(format!("{count} {unit}{end}"));
        }
        if words.len() == 2 || (words.len() == 1 && count == 0) {
            break;
        }
    }
    if words.is_empty() {
        return "0 seconds".to_owned();
    }
    words.join(" ")
}
