use std::time::Duration;

/// A length of time as it is written: `90s`, `30m`, `12h`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(u64);

const UNITS: [(&str, u64); 4] = [("d", 24 * 3600), ("h", 3600), ("m", 60), ("s", 1)];

/// Ten years.
const SECONDS_MAX: u64 = 3650 * 24 * 3600;

impl Period {
    /// Reads one.
    ///
    /// # Errors
    /// When it is something else, or out of range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write a number and its unit: 90s, 30m, 12h or 90d".to_owned();
        let (number, seconds) = UNITS
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
            .ok_or_else(wrong)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(*seconds) {
            Some(seconds @ 1..=SECONDS_MAX) => Ok(Self(seconds)),
            _ => Err("must be between 1s and 3650d".to_owned()),
        }
    }

    /// In seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Of so many seconds.
    pub const fn of(seconds: u64) -> Self {
        Self(seconds)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, seconds) = UNITS
            .iter()
            .find(|(_, seconds)| self.0.is_multiple_of(*seconds))
            .unwrap_or(&UNITS[3]);
        write!(formatter, "{}{unit}", self.0 / seconds)
    }
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_period_has_a_unit_and_is_told_in_the_largest_that_fits() {
        for (text, told) in [
            ("90s", "90s"),
            ("60s", "1m"),
            ("24h", "1d"),
            ("36h", "36h"),
            ("365d", "365d"),
        ] {
            assert_eq!(Period::parse(text).unwrap().to_string(), told);
        }
        for bad in [
            "",
            "90",
            "d",
            "1.5h",
            "-1h",
            "0s",
            "3651d",
            "1w",
            "99999999999999999999d",
            "+1h",
        ] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }
}
