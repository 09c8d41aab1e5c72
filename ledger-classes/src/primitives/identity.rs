//! Who somebody is: the stable SPIFFE ID in a certificate, `spiffe://<consortium>/<organization>/<role>/<name>`.
//! Certificates renew, identities stay (SPIFFE-ID §2; X509-SVID §2).

use crate::limits::{IDENTITY_BYTES_MAX, NAME_BYTES_MAX};
use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// What an identity may act as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A running `chancery serve`.
    Peer,
    /// An administrator of its organization.
    Admin,
    /// An ordinary participant.
    Client,
    /// Reads everything it is admitted to, writes nothing.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Peer, Self::Admin, Self::Client, Self::Auditor];

    /// The path segment.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Admin => "admin",
            Self::Client => "client",
            Self::Auditor => "auditor",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Peer, Self::Admin, Self::Client, Self::Auditor]
            .into_iter()
            .find(|role| role.text() == text)
            .ok_or(ParseIdentityError::Role)
    }
}

/// A parsed identity. Its text is its only form: JSON and the binary encoding carry that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    consortium: String,
    organization: String,
    role: Role,
    name: String,
}

/// Why a text is not an identity of ours.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseIdentityError {
    /// Longer than [`IDENTITY_BYTES_MAX`].
    #[error("an identity has at most {IDENTITY_BYTES_MAX} bytes")]
    Oversize,
    /// Not `spiffe://<consortium>/<organization>/<role>/<name>`.
    #[error("an identity reads spiffe://<consortium>/<organization>/<role>/<name>")]
    Form,
    /// The trust domain has other characters than SPIFFE-ID §2.1 allows.
    #[error("a consortium is named by a-z, 0-9, dot, hyphen and underscore")]
    Consortium,
    /// The organization is not a label, see [`is_label`].
    #[error("an organization is named by 1 to {NAME_BYTES_MAX} of a-z, 0-9 and hyphen")]
    Organization,
    /// An unknown role.
    #[error("a role is one of peer, admin, client, auditor")]
    Role,
    /// The name has other characters than SPIFFE-ID §2.2 allows.
    #[error("a name has 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, dot, hyphen and underscore")]
    Name,
}

/// Whether `text` is 1 to 64 of a-z, 0-9 and hyphen: names of channels, organizations, contracts and apps.
pub fn is_label(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl Identity {
    /// Builds an identity from its parts; each is checked as in [`Identity::parse`].
    pub fn new(consortium: &str, organization: &str, role: Role, name: &str) -> Result<Self, ParseIdentityError> {
        let domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        let segment = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        // SPIFFE-ID §2.1: at most 255 bytes of [a-z0-9.-_].
        if consortium.is_empty() || consortium.len() > 255 || !consortium.bytes().all(domain) {
            return Err(ParseIdentityError::Consortium);
        }
        if !is_label(organization) {
            return Err(ParseIdentityError::Organization);
        }
        // SPIFFE-ID §2.2: segments are not empty, not relative, and hold [a-zA-Z0-9.-_] only.
        let relative = name == "." || name == "..";
        if name.is_empty() || name.len() > NAME_BYTES_MAX || relative || !name.bytes().all(segment) {
            return Err(ParseIdentityError::Name);
        }
        Ok(Self { consortium: consortium.into(), organization: organization.into(), role, name: name.into() })
    }

    /// Parses the URI of a certificate's subject alternative name.
    pub fn parse(text: &str) -> Result<Self, ParseIdentityError> {
        if text.len() > IDENTITY_BYTES_MAX {
            return Err(ParseIdentityError::Oversize);
        }
        let path = text.strip_prefix("spiffe://").ok_or(ParseIdentityError::Form)?;
        let mut parts = path.split('/');
        let (Some(consortium), Some(organization), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseIdentityError::Form);
        };
        Self::new(consortium, organization, role.parse()?, name)
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// The member organization.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// What it may act as.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The name within organization and role.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}/{}", self.consortium, self.organization, self.role.text(), self.name)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Identity {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl Encode for Identity {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        self.to_string().encode(encoder)
    }
}

impl<C> Decode<C> for Identity {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        let text = String::decode(decoder)?;
        Self::parse(&text).map_err(|error| bincode::error::DecodeError::OtherString(error.to_string()))
    }
}

bincode::impl_borrow_decode!(Identity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_text() {
        let text = "spiffe://harbour.example/north-bank/client/alice.w";
        let identity = Identity::parse(text).expect("valid");
        assert_eq!(identity.to_string(), text);
        assert_eq!((identity.organization(), identity.role()), ("north-bank", Role::Client));
        assert_eq!(
            crate::primitives::codec::decode::<Identity>(&crate::primitives::codec::encode(&identity), 999),
            Ok(identity)
        );
    }

    #[test]
    fn other_texts_are_refused() {
        use ParseIdentityError as E;
        for (text, error) in [
            ("https://c/o/client/a", E::Form),
            ("spiffe://c/o/client", E::Form),
            ("spiffe://c/o/client/a/b", E::Form),
            ("spiffe://C/o/client/a", E::Consortium),
            ("spiffe://c:1/o/client/a", E::Consortium),
            ("spiffe://c/O/client/a", E::Organization),
            ("spiffe://c//client/a", E::Organization),
            ("spiffe://c/o/root/a", E::Role),
            ("spiffe://c/o/client/", E::Name),
            ("spiffe://c/o/client/..", E::Name),
            ("spiffe://c/o/client/a%20b", E::Name),
            ("spiffe://c/o/client/a?x", E::Name),
        ] {
            assert_eq!(Identity::parse(text), Err(error), "{text}");
        }
    }
}
