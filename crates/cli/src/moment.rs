use base::Timestamp;

/// A moment as it is written: a day, which means its beginning here, or a full time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(Timestamp);

impl Moment {
    /// Reads one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write a day, 2027-01-31, or a time, 2027-01-31T12:00:00Z".to_owned();
        let at = match text.parse::<jiff::Timestamp>() {
            Ok(at) => at,
            Err(_) => text
                .parse::<jiff::civil::Date>()
                .ok()
                .filter(|_| text.len() == "2027-01-31".len())
                .and_then(|day| day.to_zoned(jiff::tz::TimeZone::system()).ok())
                .ok_or_else(wrong)?
                .timestamp(),
        };
        Ok(Self(Timestamp::from_unix_ms(at.as_millisecond())))
    }

    /// The moment.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_day_or_a_time_is_read_and_nothing_else() {
        let at = Moment::parse("2027-01-31T12:00:00Z").unwrap().timestamp();
        assert_eq!(at.unix_ms(), 1_801_396_800_000);
        assert!(Moment::parse("2027-01-31").is_ok());
        for bad in [
            "",
            "tomorrow",
            "31.1.2027",
            "2027-02-30",
            "2027-01-31T12:00",
            "90d",
        ] {
            assert!(Moment::parse(bad).is_err(), "{bad}");
        }
    }
}
