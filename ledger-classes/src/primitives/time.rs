//! Points in time, as block headers and transactions carry them: milliseconds since the Unix epoch, UTC.
//! This room reads no clock: "now" is always an argument.

use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use time::{Date, Month, OffsetDateTime};

/// Milliseconds since 1970-01-01T00:00:00Z, up to the year 9999. In JSON an RFC 3339 text in UTC.
///
/// No decoder makes a later one: every `Time` has a text, so showing it cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Time(u64);

impl<C> Decode<C> for Time {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        match u64::decode(decoder)? {
            millis if millis <= MILLIS_MAX => Ok(Self(millis)),
            _ => Err(bincode::error::DecodeError::Other("a time lies after the year 9999")),
        }
    }
}

bincode::impl_borrow_decode!(Time);

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const MILLIS_MAX: u64 = 253_402_300_799_999;

/// The text is not an RFC 3339 time in UTC, or lies outside 1970 to 9999.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time between 1970 and 9999: {0:?}")]
pub struct ParseTimeError(pub String);

impl Time {
    /// The epoch.
    pub const ZERO: Self = Self(0);

    /// From milliseconds since the epoch; later than the year 9999 becomes its last millisecond.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > MILLIS_MAX { MILLIS_MAX } else { millis })
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This instant plus `millis`, held at the year 9999.
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This instant less `millis`, held at the epoch.
    pub const fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// Milliseconds from `earlier` to this instant; 0 if it is not earlier.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Parses an RFC 3339 text: `2026-11-21T10:05:54`, perhaps a fraction of up to nine digits that are zero below the
    /// millisecond, so that text and number agree, then `Z` or an offset such as `+01:00`. Letters are upper case, and no
    /// second is a leap second. Which texts are times decides which payloads are transactions: so these are our own rules,
    /// and not a library's, which take more or less with each release.
    pub fn parse(text: &str) -> Result<Self, ParseTimeError> {
        let millis = millis_of(text.as_bytes()).and_then(|millis| u64::try_from(millis).ok());
        let millis = millis.filter(|millis| *millis <= MILLIS_MAX);
        millis.map(Self).ok_or_else(|| ParseTimeError(text.chars().take(64).collect()))
    }
}

fn millis_of(text: &[u8]) -> Option<i64> {
    let (fields, mut rest) = text.split_first_chunk::<19>()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _] = fields else { return None };
    let field = |at: usize, digits: usize| number(&fields[at..at + digits]);
    let month = Month::try_from(u8::try_from(field(5, 2)?).ok()?).ok()?;
    let date = Date::from_calendar_date(field(0, 4)?, month, u8::try_from(field(8, 2)?).ok()?).ok()?;
    let (hour, minute, second) = (below(field(11, 2)?, 24)?, below(field(14, 2)?, 60)?, below(field(17, 2)?, 60)?);
    let mut millis = 0;
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|digit| digit.is_ascii_digit()).count();
        let (fraction, behind) = fraction.split_at(digits);
        let (kept, below) = fraction.split_at(digits.min(3));
        if !(1..=9).contains(&digits) || below.iter().any(|digit| *digit != b'0') {
            return None;
        }
        millis = i64::from(number(kept)?) * [100, 10, 1][kept.len() - 1];
        rest = behind;
    }
    let offset = match rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let minutes = below(number(&[*h1, *h2])?, 24)? * 60 + below(number(&[*m1, *m2])?, 60)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let days = i64::from(date.to_julian_day() - EPOCH_JULIAN_DAY);
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + millis)
}

/// 1970-01-01.
const EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// A number of a few decimal digits.
fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0')))
}

fn below(number: i32, bound: i32) -> Option<i64> {
    (number < bound).then(|| number.into())
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .expect("a Time lies before the year 10000");
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_agree() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2026-11-21T10:05:54.123Z", 1_795_255_554_123),
            ("9999-12-31T23:59:59.999Z", MILLIS_MAX),
        ] {
            assert_eq!(Time::parse(text).map(Time::millis), Ok(millis));
            assert_eq!(Time::from_millis(millis).to_string(), text);
        }
        assert_eq!(Time::from_millis(u64::MAX).millis(), MILLIS_MAX);
        for same in [
            "2026-11-21T11:05:54+01:00",
            "2026-11-20T23:05:54.0-11:00",
            "2026-11-21T10:05:54.000000000Z",
            "2026-11-22T10:04:54+23:59",
            "2026-11-21T10:05:54-00:00",
        ] {
            assert_eq!(Time::parse(same), Time::parse("2026-11-21T10:05:54Z"), "{same}");
        }
        assert_eq!(Time::parse("2024-02-29T00:00:00.1Z").map(Time::millis), Ok(1_709_164_800_100));
        assert_eq!(Time::parse("1969-12-31T23:59:59-00:01").map(Time::millis), Ok(59_000));
    }

    /// A payload in the binary encoding could name the year 584,556,019, which no text can show: whoever read the
    /// ledger's answer or its events afterwards would have panicked.
    #[test]
    fn a_binary_time_that_no_text_can_show_is_refused() {
        let decode =
            |millis: u64| crate::primitives::codec::decode::<Time>(&crate::primitives::codec::encode(&millis), 8);
        assert_eq!(decode(MILLIS_MAX), Ok(Time(MILLIS_MAX)));
        for millis in [MILLIS_MAX + 1, u64::MAX] {
            assert!(decode(millis).is_err(), "{millis}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "0",
            "2026-11-21",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2026-11-21T10:05:54.1234Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:60:00Z",
            "2016-12-31T23:59:60Z",
            "2026-11-21T10:05:54.Z",
            "2026-11-21T10:05:54.0000000000Z",
            "2026-11-21T10:05:54",
            "2026-11-21t10:05:54Z",
            "2026-11-21T10:05:54z",
            "2026-11-21 10:05:54Z",
            "2026-11-21T10:05:54,1Z",
            "2026-11-21T10:05:54+0100",
            "2026-11-21T10:05:54+24:00",
            "2026-11-21T10:05:54+01",
            "2026-11-21T10:05:54+01:60",
            "2026-11-21T10:05:54Z ",
            " 2026-11-21T10:05:54Z",
            "+026-11-21T10:05:54Z",
            "2026-11-21T10:05:5\u{665}Z",
            "10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }
}
