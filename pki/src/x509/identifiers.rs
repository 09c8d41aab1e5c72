//! What certificates are called by: serials, issuers' key identifiers, alternative names, revocation reasons.

use crate::limits::SERIAL_BYTES_MAX;
use ring::{digest, rand::SecureRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, net::IpAddr, str::FromStr};

/// A certificate's serial number: its big-endian magnitude without leading zeros. Its text is lower-case hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// The octets or the text are not a serial number (RFC 5280 §4.1.2.2: positive, at most 20 octets).
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a serial number is positive and has at most {SERIAL_BYTES_MAX} octets")]
pub struct SerialError;

impl Serial {
    /// From the content octets of the DER integer: positive, minimal, at most 20 octets (RFC 5280 §4.1.2.2).
    pub fn from_der_content(octets: &[u8]) -> Result<Self, SerialError> {
        match octets {
            [] | [0] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => Err(SerialError),
            _ if octets.len() > SERIAL_BYTES_MAX => Err(SerialError),
            [0, rest @ ..] => Ok(Self(rest.to_vec())),
            _ => Ok(Self(octets.to_vec())),
        }
    }

    /// 128 random bits behind a fixed first octet, so that every serial is positive and equally long.
    pub fn random(random: &dyn SecureRandom) -> Result<Self, ring::error::Unspecified> {
        let mut octets = [1u8; 17];
        random.fill(&mut octets[1..])?;
        Ok(Self(octets.to_vec()))
    }

    /// The magnitude, big-endian, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let octets = hex::decode(text).map_err(|_| SerialError)?;
        let start = octets.iter().position(|octet| *octet != 0).ok_or(SerialError)?;
        let magnitude = octets.get(start..).ok_or(SerialError)?;
        let sign = usize::from(magnitude.first().is_some_and(|octet| *octet >= 0x80));
        if magnitude.len() + sign > SERIAL_BYTES_MAX { Err(SerialError) } else { Ok(Self(magnitude.to_vec())) }
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// SHA-256 of a SubjectPublicKeyInfo. A CA's key is told apart by this, not by the identifier that it claims.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The identifier of the key in a DER SubjectPublicKeyInfo.
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(sha256(spki))
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash)?;
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which certificate: serials are unique for one issuer only. Live connections and subscriptions are tied to this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId {
    /// The key that signed it.
    pub issuer: KeyId,
    /// Its number under that issuer.
    pub serial: Serial,
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.issuer, self.serial)
    }
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// A name under which a peer's TLS endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlternativeName {
    /// A host name: lower-case letters, digits, hyphens and dots.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Neither an IP address nor a host name.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("neither an IP address nor a lower-case host name: {0:?}")]
pub struct AlternativeNameError(pub String);

impl AlternativeName {
    /// Whether it names whichever machine it is used on.
    pub fn is_own_machine(&self) -> bool {
        match self {
            Self::Dns(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Ip(address) => address.is_loopback() || address.is_unspecified(),
        }
    }
}

impl FromStr for AlternativeName {
    type Err = AlternativeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        // RFC 1034 §3.5 and RFC 5890 §2.3.1: no wildcards, no underscores, labels of 1 to 63 octets.
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let numeric_end = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if text.len() <= 253 && !numeric_end && text.split('.').all(label) {
            Ok(Self::Dns(text.into()))
        } else {
            Err(AlternativeNameError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => fmt::Display::fmt(address, f),
        }
    }
}

impl Serialize for AlternativeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlternativeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Why a certificate was revoked (RFC 5280 §5.3.1). Holds and removals do not exist here: revoked is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// Not said.
    Unspecified,
    /// The private key is known or suspected to be known to others.
    KeyCompromise,
    /// The issuing CA's key is.
    CaCompromise,
    /// The holder changed its organization or role.
    AffiliationChanged,
    /// Replaced by another certificate.
    Superseded,
    /// No longer needed.
    CessationOfOperation,
    /// A right that the certificate stood for was withdrawn.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Unspecified, "unspecified"),
        (Self::KeyCompromise, "key-compromise"),
        (Self::CaCompromise, "ca-compromise"),
        (Self::AffiliationChanged, "affiliation-changed"),
        (Self::Superseded, "superseded"),
        (Self::CessationOfOperation, "cessation-of-operation"),
        (Self::PrivilegeWithdrawn, "privilege-withdrawn"),
    ];
}

/// The text is not a revocation reason.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a reason is one of unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, \
     cessation-of-operation, privilege-withdrawn"
)]
pub struct RevocationReasonError;

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(reason, _)| reason == self).map_or("unspecified", |(_, text)| text))
    }
}

impl FromStr for RevocationReason {
    type Err = RevocationReasonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(reason, _)| *reason).ok_or(RevocationReasonError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive_minimal_and_short() {
        let long = [1; 21];
        for (octets, text) in [
            (&[][..], None),
            (&[0], None),
            (&[0x80], None),
            (&[0, 1], None),
            (&long, None),
            (&[0, 0x80], Some("80")),
            (&[1], Some("01")),
            (&long[..20], Some("0101010101010101010101010101010101010101")),
        ] {
            let serial = Serial::from_der_content(octets).ok();
            assert_eq!(serial.as_ref().map(ToString::to_string).as_deref(), text, "{octets:?}");
            if let Some(text) = text {
                assert_eq!(text.parse().ok(), serial);
            }
        }
        assert_eq!("0001".parse::<Serial>().map(|serial| serial.to_string()), Ok("01".into()));
        assert!("00".parse::<Serial>().is_err() && "xy".parse::<Serial>().is_err());
    }

    #[test]
    fn alternative_names_are_addresses_or_host_names() {
        for (text, valid) in [
            ("localhost", true),
            ("peer-1.north.example", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("*.example", false),
            ("Peer.example", false),
            ("-a.example", false),
            ("a..example", false),
            ("1.2.3.4.5", false),
            ("", false),
        ] {
            let parsed = text.parse::<AlternativeName>();
            assert_eq!(parsed.is_ok(), valid, "{text}");
            if let Ok(name) = parsed {
                assert_eq!(name.to_string(), text);
            }
        }
    }

    #[test]
    fn reasons_have_one_text() {
        for (reason, text) in RevocationReason::ALL {
            assert_eq!((reason.to_string().as_str(), text.parse()), (text, Ok(reason)));
            assert_eq!(serde_json::to_value(reason).expect("a string"), text);
        }
    }
}
