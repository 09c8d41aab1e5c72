//! What somebody may do on a channel, granted to an organization or to one identity.

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::identity::Identity;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// The four classified ledgers of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Definitions, balances, items, accounts.
    Assets,
    /// Registered contracts and their instances.
    Contracts,
    /// Registered applications.
    Apps,
    /// Append-only records, and the channel's own administrative acts.
    Logs,
}

impl Class {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Assets, Self::Contracts, Self::Apps, Self::Logs];

    /// The word in the API and in rights.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Assets => "assets",
            Self::Contracts => "contracts",
            Self::Apps => "apps",
            Self::Logs => "logs",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::str::FromStr for Class {
    type Err = ParseRightError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|class| class.text() == text).ok_or_else(|| ParseRightError(text.into()))
    }
}

/// What topics of administrative acts begin with.
pub const ACTS: &str = "audit.";

/// Whether records and events of a class and topic are administrative acts.
pub fn is_act(class: Class, topic: &str) -> bool {
    class == Class::Logs && topic.starts_with(ACTS)
}

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// See a class: its state, its events.
    Read(Class),
    /// Post actions of a class.
    Write(Class),
    /// Propose and approve configuration changes, admit and revoke others.
    Admin,
    /// Read all, administrative acts included; write nothing.
    Audit,
    /// Run the ordering engine.
    Order,
    /// Keep a copy.
    Hold,
}

/// Not a right.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown right {0:?}: rights are read:CLASS, write:CLASS, admin, audit, order, hold; classes are assets, contracts, apps, logs"
)]
pub struct ParseRightError(pub String);

impl Right {
    const fn bit(self) -> u16 {
        1 << match self {
            Self::Read(class) => class as u16,
            Self::Write(class) => 4 + class as u16,
            Self::Admin => 8,
            Self::Audit => 9,
            Self::Order => 10,
            Self::Hold => 11,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let reads = Class::ALL.into_iter().map(Self::Read);
        let writes = Class::ALL.into_iter().map(Self::Write);
        reads.chain(writes).chain([Self::Admin, Self::Audit, Self::Order, Self::Hold])
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(class) => write!(f, "read:{class}"),
            Self::Write(class) => write!(f, "write:{class}"),
            Self::Admin => f.write_str("admin"),
            Self::Audit => f.write_str("audit"),
            Self::Order => f.write_str("order"),
            Self::Hold => f.write_str("hold"),
        }
    }
}

impl std::str::FromStr for Right {
    type Err = ParseRightError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all().find(|right| right.to_string() == text).ok_or_else(|| ParseRightError(text.into()))
    }
}

/// A set of rights. In JSON a list such as `["read:logs", "admin"]`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Rights(u16);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);

    /// What changes a ledger: writing any class, and administration.
    pub const WRITES: Self = Self(
        Right::Write(Class::Assets).bit()
            | Right::Write(Class::Contracts).bit()
            | Right::Write(Class::Apps).bit()
            | Right::Write(Class::Logs).bit()
            | Right::Admin.bit(),
    );

    /// Read and write every class: an ordinary full member.
    pub fn member() -> Self {
        Class::ALL.into_iter().flat_map(|class| [Right::Read(class), Right::Write(class)]).collect()
    }

    /// Whether `right` is in the set; `audit` reads every class.
    pub const fn allows(self, right: Right) -> bool {
        let audited = matches!(right, Right::Read(_)) && self.0 & Right::Audit.bit() != 0;
        audited || self.0 & right.bit() != 0
    }

    /// Whether events and records of a class and topic may be read. Administrative acts are for administrators and
    /// auditors.
    pub fn reads(self, class: Class, topic: &str) -> bool {
        self.allows(Right::Read(class)) && (self.reads_acts() || !is_act(class, topic))
    }

    /// Whether administrative acts may be read.
    pub const fn reads_acts(self) -> bool {
        self.allows(Right::Admin) || self.allows(Right::Audit)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the sets have a right in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether any class may be read.
    pub fn reads_any(self) -> bool {
        Class::ALL.into_iter().any(|class| self.allows(Right::Read(class)))
    }

    /// The rights in their fixed order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::all().filter(move |right| self.0 & right.bit() != 0)
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|right| right.to_string())).finish()
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|right| right.to_string()))
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let rights = texts.iter().map(|text| text.parse::<Right>()).collect::<Result<Vec<_>, _>>();
        rights.map(Self::from_iter).map_err(D::Error::custom)
    }
}

impl<C> Decode<C> for Rights {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        let bits = u16::decode(decoder)?;
        let known = Right::all().fold(0, |bits, right| bits | right.bit());
        if bits & !known == 0 { Ok(Self(bits)) } else { Err(bincode::error::DecodeError::Other("unknown right")) }
    }
}

bincode::impl_borrow_decode!(Rights);

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Grantee {
    /// Every identity of a member organization.
    Organization(String),
    /// One identity.
    Identity(Identity),
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(name) => f.write_str(name),
            Self::Identity(identity) => identity.fmt(f),
        }
    }
}

/// Rights given to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Whom.
    pub to: Grantee,
    /// What.
    pub rights: Rights,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_bits_and_json_agree() {
        for right in Right::all() {
            assert_eq!(right.to_string().parse(), Ok(right));
            let rights = Rights::from_iter([right]);
            assert!(rights.allows(right));
            assert_eq!(
                crate::primitives::codec::decode::<Rights>(&crate::primitives::codec::encode(&rights), 2),
                Ok(rights)
            );
        }
        let json = r#"["read:logs","admin"]"#;
        let rights: Rights = crate::primitives::json::from_str(json).expect("valid");
        assert_eq!(serde_json::to_string(&rights).expect("serializes"), json);
        assert!(crate::primitives::json::from_str::<Rights>(r#"["own:logs"]"#).is_err());
        assert!(crate::primitives::codec::decode::<Rights>(&[0, 0x80], 2).is_err());
    }

    #[test]
    fn an_auditor_writes_nothing_whatever_its_organization_may() {
        use crate::primitives::identity::Role;
        let mut config = crate::execution::test_support::open_config();
        (config.open_submit, config.public_read) = (false, false);
        let organization = config.organizations[0].name.clone();
        let rights = Rights::member().union(Rights::from_iter([Right::Admin]));
        config.grants = vec![Grant { to: Grantee::Organization(organization.clone()), rights }];
        let of = |role| Identity::new(&config.consortium, &organization, role, "eve").expect("valid");
        assert_eq!(config.rights_of(Some(&of(Role::Admin))), rights);
        // An organization's right to administer is its administrators'.
        assert_eq!(config.rights_of(Some(&of(Role::Client))), Rights::member());
        let auditor = config.rights_of(Some(&of(Role::Auditor)));
        assert!(Class::ALL.into_iter().all(|class| auditor.allows(Right::Read(class))));
        assert!(rights.iter().filter(|right| !matches!(right, Right::Read(_))).all(|right| !auditor.allows(right)));
        assert!(auditor.reads_acts(), "its organization reads every class");
        config.grants[0].rights = Rights::from_iter([Right::Read(Class::Logs), Right::Admin]);
        assert_eq!(config.rights_of(Some(&of(Role::Auditor))), Rights::from_iter([Right::Read(Class::Logs)]));
    }

    #[test]
    fn administrative_acts_are_read_by_administrators_and_auditors_only() {
        let rights = |text: &str| -> Rights {
            text.split_whitespace().map(|right| right.parse::<Right>().expect("a right")).collect()
        };
        for (mine, class, topic, reads) in [
            ("read:logs", Class::Logs, "trace", true),
            ("read:logs", Class::Logs, "auditors", true),
            ("read:logs", Class::Logs, "audit.certificate", false),
            ("read:logs write:logs order hold", Class::Logs, "audit.channel", false),
            ("read:logs admin", Class::Logs, "audit.channel", true),
            ("audit", Class::Logs, "audit.channel", true),
            // The right to administer alone reads nothing.
            ("admin", Class::Logs, "audit.channel", false),
            // An asset may be called so.
            ("read:assets", Class::Assets, "audit.coin", true),
        ] {
            assert_eq!(rights(mine).reads(class, topic), reads, "{mine} {class} {topic}");
        }
        assert!(!Rights::member().reads_acts());
    }

    #[test]
    fn audit_reads_everything_and_writes_nothing() {
        let auditor = Rights::from_iter([Right::Audit]);
        for class in Class::ALL {
            assert!(auditor.allows(Right::Read(class)));
            assert!(!auditor.allows(Right::Write(class)));
        }
    }
}
