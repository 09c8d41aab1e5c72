//! Points in time, as block headers and transactions carry them: milliseconds since the Unix epoch, UTC.
//! This room reads no clock: "now" is always an argument.

use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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

    /// Parses an RFC 3339 text; fractions below a millisecond are refused, so that text and number agree.
    pub fn parse(text: &str) -> Result<Self, ParseTimeError> {
        let error = || ParseTimeError(text.chars().take(64).collect());
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| error())?;
        let nanos = parsed.unix_timestamp_nanos();
        if nanos < 0 || nanos % 1_000_000 != 0 {
            return Err(error());
        }
        let millis = u64::try_from(nanos / 1_000_000).map_err(|_| error())?;
        if millis > MILLIS_MAX { Err(error()) } else { Ok(Self(millis)) }
    }
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
        assert_eq!(Time::parse("2026-11-21T11:05:54+01:00"), Time::parse("2026-11-21T10:05:54Z"));
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
        for text in ["", "0", "2026-11-21", "1969-12-31T23:59:59Z", "2026-11-21T10:05:54.1234Z", "2026-13-01T00:00:00Z"]
        {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }
}
