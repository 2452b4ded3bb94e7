use std::time::Duration;

use base::Timestamp;
use http::{HeaderMap, header};

/// How long a document of one kind is believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// However short its host says, so that nobody makes us fetch at each request.
    pub fresh_min: Duration,
    /// However long its host says, so that a withdrawn one is gone some day.
    pub fresh_max: Duration,
    /// When its host says nothing.
    pub fresh_default: Duration,
    /// While its host is silent or broken: as long as an outage may last.
    pub last_good: Duration,
    /// While its host says that there is no such document, or gives one that is not acceptable.
    pub last_good_when_denied: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A new document counts after a day at the latest. A host may be away, or take us for a robot, for a week: nobody should
/// have to sign in anew for that, and what the person approved was this very document.
pub(crate) const OF_CLIENT: Bounds = Bounds {
    fresh_min: Duration::from_secs(5 * 60),
    fresh_max: DAY,
    fresh_default: HOUR,
    last_good: Duration::from_secs(7 * 24 * 3600),
    last_good_when_denied: DAY,
};

/// A key that was taken away must stop working soon.
pub(crate) const OF_KEYS: Bounds = Bounds {
    fresh_min: Duration::from_secs(5 * 60),
    fresh_max: HOUR,
    fresh_default: Duration::from_secs(15 * 60),
    last_good: DAY,
    last_good_when_denied: HOUR,
};

/// A picture proves nothing; an old one harms nobody.
pub(crate) const OF_LOGO: Bounds = Bounds {
    fresh_min: HOUR,
    fresh_max: Duration::from_secs(7 * 24 * 3600),
    fresh_default: DAY,
    last_good: Duration::from_secs(30 * 24 * 3600),
    last_good_when_denied: HOUR,
};

/// How long after a failure the address is left alone: 10 s, doubled with each further failure, at most 10 minutes.
pub(crate) fn back_off(failures: u32) -> Duration {
    let doubled = 1u32 << failures.saturating_sub(1).min(6);
    (Duration::from_secs(10) * doubled).min(10 * MINUTE)
}

impl Bounds {
    /// Until when a document that came now with these headers need not be fetched again.
    ///
    /// Spec: RFC 9111 sections 4.2.1 and 5.2.2, within our own bounds.
    pub fn fresh_until(&self, headers: &HeaderMap, now: Timestamp) -> Timestamp {
        let said = lifetime(headers, now).unwrap_or(self.fresh_default);
        now.after(said.clamp(self.fresh_min, self.fresh_max))
    }
}

/// What the host says; nothing when it says nothing that can be read.
fn lifetime(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let mut max_age = None;
    let mut shared_max_age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        let Ok(value) = value.to_str() else { continue };
        for directive in value.split(',') {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name.trim(), argument.trim().trim_matches('"')),
                None => (directive.trim(), ""),
            };
            // The first of several counts, and one that is no number is stale (RFC 9111 section 4.2.1).
            let seconds = || Duration::from_secs(argument.parse::<u32>().unwrap_or(0).into());
            match name.to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" | "private" => return Some(Duration::ZERO),
                "max-age" if max_age.is_none() => max_age = Some(seconds()),
                "s-maxage" if shared_max_age.is_none() => shared_max_age = Some(seconds()),
                _ => {}
            }
        }
    }
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
    let age = Duration::from_secs(number(header::AGE).unwrap_or(0).into());
    if let Some(said) = shared_max_age.or(max_age) {
        return Some(said.saturating_sub(age));
    }
    let expires = headers.get(header::EXPIRES)?;
    let date = |value: &http::HeaderValue| {
        let moment = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
        moment.duration_since(std::time::UNIX_EPOCH).ok()
    };
    // A date that cannot be read, such as 0, lies in the past.
    let expires = date(expires).unwrap_or_default();
    let sent = headers.get(header::DATE).and_then(date).unwrap_or_else(|| {
        Duration::from_secs(u64::try_from(now.unix_seconds()).unwrap_or_default())
    });
    Some(expires.saturating_sub(sent))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn seconds(headers: &[(&'static str, &str)]) -> u64 {
        let now = Timestamp::from_unix_seconds(1_795_132_800);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        OF_CLIENT.fresh_until(&map, now).since(now).as_secs()
    }

    #[test]
    fn the_host_says_how_long_within_five_minutes_and_a_day() {
        for (headers, expected) in [
            (&[][..], 3600),
            (&[("cache-control", "max-age=600")], 600),
            (&[("cache-control", "public, Max-Age=\"900\"")], 900),
            (&[("cache-control", "max-age=1")], 300),
            (&[("cache-control", "max-age=299")], 300),
            (&[("cache-control", "max-age=301")], 301),
            (&[("cache-control", "max-age=31536000")], 86_400),
            (&[("cache-control", "max-age=99999999999")], 300),
            (&[("cache-control", "max-age=-1")], 300),
            (&[("cache-control", "no-store")], 300),
            (&[("cache-control", "no-cache, max-age=900")], 300),
            (&[("cache-control", "max-age=900, s-maxage=1200")], 1200),
            (&[("cache-control", "max-age=900, max-age=7")], 900),
            (&[("cache-control", "max-age=900"), ("age", "400")], 500),
            (&[("cache-control", "max-age=900"), ("age", "x")], 900),
            (&[("cache-control", "immutable")], 3600),
            (&[("expires", "0")], 300),
            (&[("expires", "Fri, 20 Nov 2026 00:20:00 GMT")], 1200),
            (
                &[
                    ("expires", "Fri, 20 Nov 2026 00:20:00 GMT"),
                    ("date", "Fri, 20 Nov 2026 00:05:00 GMT"),
                ],
                900,
            ),
            (
                &[
                    ("expires", "Fri, 20 Nov 2026 00:20:00 GMT"),
                    ("cache-control", "max-age=700"),
                ],
                700,
            ),
        ] {
            assert_eq!(seconds(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn failures_make_the_pause_longer_up_to_ten_minutes() {
        let pauses: Vec<_> = (1..=9).map(|count| back_off(count).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(back_off(u32::MAX).as_secs(), 600);
    }
}
