//! Numbers compared by what they say, however they are written: `1e2` is `100`, and no digit is lost.

use std::cmp::Ordering;

/// How two JSON numbers compare; `None` when one of them has an exponent that nobody means.
pub(crate) fn compare(one: &str, two: &str) -> Option<Ordering> {
    let (one, two) = (Decimal::read(one)?, Decimal::read(two)?);
    Some(match (one.sign(), two.sign()) {
        (left, right) if left != right => left.cmp(&right),
        (0, _) => Ordering::Equal,
        (sign, _) if sign < 0 => two.compare_size(&one),
        _ => one.compare_size(&two),
    })
}

/// Appends a text that all spellings of one number share, and no other number has.
pub(crate) fn write_canonical(number: &str, out: &mut Vec<u8>) {
    let Some(read) = Decimal::read(number) else {
        // An exponent that nobody means; one spelling of it is as good as another. The mark keeps it from being what is
        // written below of a number that can be read.
        out.push(b'#');
        return out.extend_from_slice(number.as_bytes());
    };
    if read.digits.is_empty() {
        return out.push(b'0');
    }
    if read.negative {
        out.push(b'-');
    }
    out.extend_from_slice(&read.digits);
    out.extend_from_slice(format!("E{}", read.magnitude).as_bytes());
}

/// `0.digits` times ten to the power of `magnitude`; no digits for zero.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    magnitude: i64,
}

impl Decimal {
    /// From the text of a JSON number (RFC 8259 section 6).
    fn read(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent = i64::from(exponent.parse::<i32>().ok()?);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let places = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        Some(Self {
            negative,
            digits,
            magnitude: exponent + places,
        })
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// Of two that are not zero. Digits without trailing zeros compare as text does.
    fn compare_size(&self, other: &Self) -> Ordering {
        self.magnitude
            .cmp(&other.magnitude)
            .then_with(|| self.digits.cmp(&other.digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value_and_to_the_last_digit() {
        use Ordering::{Equal, Greater, Less};
        for (one, two, expected) in [
            ("1", "1.0", Some(Equal)),
            ("100", "1e2", Some(Equal)),
            ("0.001", "1E-3", Some(Equal)),
            ("-0", "0.0e5", Some(Equal)),
            ("9007199254740993", "9007199254740992", Some(Greater)),
            ("0.1", "0.10000000000000000001", Some(Less)),
            ("-2", "-10", Some(Greater)),
            ("-1", "0", Some(Less)),
            ("5", "-50", Some(Greater)),
            ("9", "10", Some(Less)),
            ("1e400", "2e399", Some(Greater)),
            ("1e99999999999", "1", None),
        ] {
            assert_eq!(compare(one, two), expected, "{one} {two}");
            assert_eq!(
                compare(two, one),
                expected.map(Ordering::reverse),
                "{two} {one}"
            );
        }
    }
}
