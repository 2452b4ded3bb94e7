use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most calls of a rate.
const CALLS_MAX: u32 = 1_000_000;
/// The longest time of a rate: 31 days.
const SECONDS_MAX: u32 = 31 * DAY;
const DAY: u32 = 24 * 3600;

const UNITS: [(&str, u32); 4] = [("d", DAY), ("h", 3600), ("m", 60), ("s", 1)];

/// So many calls in so long a time, written `60 per 1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    calls: u32,
    seconds: u32,
}

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write how many calls in how long a time, such as 60 per 1m: 1 to 1000000 calls, 1s to 31d (s, m, h or d)"
)]
pub struct NoRate;

impl Rate {
    /// How many calls.
    pub fn calls(self) -> u32 {
        self.calls
    }

    /// In how many seconds.
    pub fn seconds(self) -> u32 {
        self.seconds
    }

    /// After how long there is room for one more call, in nanoseconds. Rounded up, so that never too many fit.
    pub(crate) fn interval_ns(self) -> u64 {
        let period = u64::from(self.seconds) * 1_000_000_000;
        period.div_ceil(u64::from(self.calls))
    }
}

impl FromStr for Rate {
    type Err = NoRate;

    /// `60 per 1m`, or `60/1m`, which needs no quotes in a shell.
    fn from_str(text: &str) -> Result<Self, NoRate> {
        let parts = text.split_once(" per ").or_else(|| text.split_once('/'));
        let (calls, period) = parts.ok_or(NoRate)?;
        let calls = whole(calls)?;
        let (number, unit) = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((period.strip_suffix(unit)?, seconds)))
            .ok_or(NoRate)?;
        let seconds = whole(number)?.checked_mul(*unit).ok_or(NoRate)?;
        if !(1..=CALLS_MAX).contains(&calls) || !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(NoRate);
        }
        Ok(Self { calls, seconds })
    }
}

fn whole(text: &str) -> Result<u32, NoRate> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoRate);
    }
    text.parse().map_err(|_| NoRate)
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) = UNITS
            .iter()
            .find(|(_, seconds)| self.seconds.is_multiple_of(*seconds))
            .unwrap_or(&UNITS[3]);
        write!(
            formatter,
            "{} per {}{unit}",
            self.calls,
            self.seconds / seconds
        )
    }
}

impl TryFrom<String> for Rate {
    type Error = NoRate;

    fn try_from(text: String) -> Result<Self, NoRate> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_rate_is_read_and_told_in_the_largest_unit_that_fits() {
        for (text, told) in [
            ("60 per 1m", "60 per 1m"),
            ("60/1m", "60 per 1m"),
            ("60 per 60s", "60 per 1m"),
            ("1 per 36h", "1 per 36h"),
            ("1 per 24h", "1 per 1d"),
            ("1000000 per 1s", "1000000 per 1s"),
            ("1 per 31d", "1 per 31d"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), told);
        }
        for bad in [
            "",
            "60",
            "60 per",
            "60 per m",
            "60 per 1",
            "60 per 1w",
            "0 per 1m",
            "60 per 0s",
            "1000001 per 1s",
            "1 per 32d",
            "+1 per 1m",
            "-1 per 1m",
            "1.5 per 1m",
            "1 per  1m",
            "60 / 1m",
            "1 per 99999999999d",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(NoRate), "{bad}");
        }
    }
}
