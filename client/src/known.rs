//! What a profile was told before by a peer and signs by, so that no peer tells it something else later: which channel a
//! name means, how many decimals an asset has, what fees and contracts are paid in, and who answers at an address. It is
//! kept in the profile's folder, in `known.toml`; the first word counts, since nothing else is known then.
//!
//! Always: what is held is not replaced by what contradicts it; only a person does that, by removing a line of the file.
//! What must never happen here: a transaction signed for a channel, or an amount, that the peer has changed in between.

use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::json::Strict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Things that are remembered. Beyond it nothing new is: what is held goes on being held.
const KNOWN_MAX: usize = 16_384;
/// The first lines of the file.
const HEAD: &str = "\
# What this profile was told by peers, and holds them to: a channel's name means this id, an asset has these decimals, the
# fees of a channel are paid in this asset, the peer at an address has this identity. The first word counts.
# To accept another one, remove the line of the old one.
";

/// What a peer says, and what it, or another one, has said before.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} is {now} by the peer's word, and was {before} before: nothing was signed by it. If it has changed on purpose, \
     remove the line {line} in {}",
    .path.as_ref().map_or("what this profile remembers".into(), |path| path.display().to_string())
)]
pub struct Changed {
    /// What it is about, in words.
    pub what: String,
    /// What was held.
    pub before: String,
    /// What the peer says.
    pub now: String,
    /// Where it stands in the file.
    pub line: String,
    /// The file, if it is kept in one.
    pub path: Option<PathBuf>,
}

/// Why a peer's word is not taken.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// It contradicts what the profile was told before.
    #[error(transparent)]
    Changed(Box<Changed>),
    /// The peer answers about another channel than the one that was given by its id.
    #[error("the peer answers about channel {now} where {asked} was asked for: nothing was signed by it")]
    OtherChannel {
        /// What was given.
        asked: Hash,
        /// What the peer says.
        now: Hash,
    },
    /// The file cannot be read, or is none of these.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What is remembered, as the file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Held {
    /// Ids by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    channels: BTreeMap<String, Hash>,
    /// Identities by address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    peers: BTreeMap<String, String>,
    /// Fee assets by channel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fees: BTreeMap<String, String>,
    /// Decimals by channel and asset.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    decimals: BTreeMap<String, BTreeMap<String, u8>>,
    /// What a contract's instances, or the loans of one, are in; by channel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    instances: BTreeMap<String, BTreeMap<String, String>>,
}

impl Held {
    fn len(&self) -> usize {
        let inner = self.decimals.values().map(BTreeMap::len).chain(self.instances.values().map(BTreeMap::len));
        self.channels.len() + self.peers.len() + self.fees.len() + inner.sum::<usize>()
    }

    /// Takes what another process has written since; what both have stays as it is here.
    fn add(&mut self, other: Self) {
        fn add<V>(to: &mut BTreeMap<String, V>, from: BTreeMap<String, V>) {
            from.into_iter().for_each(|(key, value)| {
                to.entry(key).or_insert(value);
            });
        }
        add(&mut self.channels, other.channels);
        add(&mut self.peers, other.peers);
        add(&mut self.fees, other.fees);
        for (channel, of) in other.decimals {
            add(self.decimals.entry(channel).or_default(), of);
        }
        for (channel, of) in other.instances {
            add(self.instances.entry(channel).or_default(), of);
        }
    }
}

/// What a profile holds peers to.
#[derive(Clone, Debug, Default)]
pub struct Known {
    held: Held,
    path: Option<PathBuf>,
    tell: Option<fn(&str)>,
}

impl Known {
    /// The file in a profile's folder.
    pub const FILE: &str = "known.toml";

    /// What a profile's folder remembers; what is new will be written there.
    ///
    /// # Errors
    /// The file is there and cannot be read: what it held must not be forgotten by that.
    pub fn keep_in(folder: &Path) -> Result<Self, KnownError> {
        let path = folder.join(Self::FILE);
        let held = read(&path)?;
        Ok(Self { held, path: Some(path), tell: None })
    }

    /// Has a person told of what is believed for the first time, and of what cannot be remembered.
    #[must_use]
    pub fn telling(self, tell: fn(&str)) -> Self {
        Self { tell: Some(tell), ..self }
    }

    /// The id that a channel's name means, or the id itself; `None` before a peer has said it.
    pub fn channel(&self, channel: &str) -> Option<Hash> {
        Hash::parse(channel).ok().or_else(|| self.held.channels.get(channel).copied())
    }

    /// Addresses of peers that were talked to.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        self.held.peers.keys().map(String::as_str)
    }

    /// A peer says which channel a name means, or answers about the channel of an id.
    ///
    /// # Errors
    /// It is another one.
    pub fn hold_channel(&mut self, channel: &str, id: Hash) -> Result<(), KnownError> {
        if let Ok(asked) = Hash::parse(channel) {
            return if asked == id { Ok(()) } else { Err(KnownError::OtherChannel { asked, now: id }) };
        }
        let what = format!("the channel {channel}");
        self.hold(what, format!("{channel:?} under [channels]"), id, |held| held.channels.entry(channel.to_owned()))
    }

    /// A peer says how many decimals an asset has.
    ///
    /// # Errors
    /// It were others before.
    pub fn hold_decimals(&mut self, channel: Hash, asset: &str, decimals: u8) -> Result<(), KnownError> {
        let (what, of) = (format!("the number of decimals of {asset}"), channel.to_string());
        self.hold(what, format!("{asset:?} under [decimals.{of}]"), decimals, |held| {
            held.decimals.entry(of.clone()).or_default().entry(asset.to_owned())
        })
    }

    /// A peer says which asset a channel's fees are paid in.
    ///
    /// # Errors
    /// It was another one before.
    pub fn hold_fee_asset(&mut self, channel: Hash, asset: &str) -> Result<(), KnownError> {
        let (what, of) = (format!("the asset of the fees of channel {channel}"), channel.to_string());
        self.hold(what, format!("{of:?} under [fees]"), asset.to_owned(), |held| held.fees.entry(of.clone()))
    }

    /// A peer says which asset an instance of a contract, or a loan of one, is in.
    ///
    /// # Errors
    /// It was another one before.
    pub fn hold_asset_of(&mut self, channel: Hash, instance: &str, asset: &str) -> Result<(), KnownError> {
        let (what, of) = (format!("the asset that {instance} is in"), channel.to_string());
        self.hold(what, format!("{instance:?} under [instances.{of}]"), asset.to_owned(), |held| {
            held.instances.entry(of.clone()).or_default().entry(instance.to_owned())
        })
    }

    /// A peer has shown whose certificate it has at an address, and that it has its key.
    ///
    /// # Errors
    /// It was another peer's before.
    pub fn hold_peer(&mut self, address: &str, identity: &Identity) -> Result<(), KnownError> {
        let (what, line) = (format!("the peer at {address}"), format!("{address:?} under [peers]"));
        self.hold(what, line, identity.to_string(), |held| held.peers.entry(address.to_owned()))
    }

    fn hold<V: Clone + PartialEq + fmt::Display>(
        &mut self,
        what: String,
        line: String,
        now: V,
        entry: impl Fn(&mut Held) -> std::collections::btree_map::Entry<'_, String, V>,
    ) -> Result<(), KnownError> {
        use std::collections::btree_map::Entry;
        let room = self.held.len() < KNOWN_MAX;
        match entry(&mut self.held) {
            Entry::Occupied(held) if *held.get() == now => return Ok(()),
            Entry::Occupied(held) => {
                let (before, now) = (held.get().to_string(), now.to_string());
                let path = self.path.clone();
                return Err(KnownError::Changed(Box::new(Changed { what, before, now, line, path })));
            }
            Entry::Vacant(_) if !room => return Ok(()),
            Entry::Vacant(vacant) => {
                vacant.insert(now.clone());
            }
        }
        let kept = match self.keep() {
            Ok(None) => "for now".to_owned(),
            Ok(Some(path)) => format!("in {}", path.display()),
            Err(error) => format!("for now, since it cannot be kept: {error}"),
        };
        if let Some(tell) = self.tell {
            tell(&format!("{what} is {now} by the peer's word; remembered {kept}"));
        }
        Ok(())
    }

    /// Writes the file, beside what other processes have put into it.
    fn keep(&mut self) -> Result<Option<PathBuf>, KnownError> {
        // Threads of one process take turns. Two processes at the same instant may lose a line of one: it is told again.
        static WRITING: Mutex<()> = Mutex::new(());
        let Some(path) = self.path.clone() else { return Ok(None) };
        let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        self.held.add(read(&path)?);
        let fail = |why: String| KnownError::File { path: path.clone(), why };
        let text = toml::to_string(&self.held).map_err(|error| fail(error.to_string()))?;
        files::write_private(&path, format!("{HEAD}\n{text}").as_bytes()).map_err(|error| fail(error.to_string()))?;
        Ok(Some(path))
    }
}

fn read(path: &Path) -> Result<Held, KnownError> {
    let fail = |why: String| KnownError::File { path: path.into(), why };
    match files::read_text(path, FILE_BYTES_MAX) {
        Ok(text) => {
            let parsed = toml::Deserializer::parse(&text).and_then(|held| Held::deserialize(Strict(held)));
            parsed.map_err(|error| fail(error.to_string().trim_end().to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::default()),
        Err(error) => Err(fail(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(octet: u8) -> Hash {
        Hash([octet; 32])
    }

    /// A peer that lies after it, or another one, has told the truth decided what a member signs.
    #[test]
    fn the_first_word_counts_also_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let alice = Identity::parse("spiffe://harbour/bank/peer/p1").unwrap();
        let mallory = Identity::parse("spiffe://harbour/dealer/peer/p9").unwrap();
        let mut known = Known::keep_in(folder.path()).unwrap();
        known.hold_channel("main", id(1)).unwrap();
        known.hold_decimals(id(1), "coin", 2).unwrap();
        known.hold_decimals(id(2), "coin", 6).unwrap();
        known.hold_fee_asset(id(1), "coin").unwrap();
        known.hold_asset_of(id(1), "sale-1", "coin").unwrap();
        known.hold_peer("https://127.0.0.1:7443", &alice).unwrap();
        for mut known in [known, Known::keep_in(folder.path()).unwrap()] {
            known.hold_channel("main", id(1)).unwrap();
            known.hold_decimals(id(1), "coin", 2).unwrap();
            assert_eq!(known.channel("main"), Some(id(1)));
            for (refused, line) in [
                (known.hold_channel("main", id(2)), "\"main\" under [channels]"),
                (known.hold_decimals(id(1), "coin", 6), "\"coin\" under [decimals."),
                (known.hold_fee_asset(id(1), "gold"), "under [fees]"),
                (known.hold_asset_of(id(1), "sale-1", "gold"), "\"sale-1\" under [instances."),
                (known.hold_peer("https://127.0.0.1:7443", &mallory), "\"https://127.0.0.1:7443\" under [peers]"),
            ] {
                let refused = refused.unwrap_err().to_string();
                assert!(refused.contains(line) && refused.contains("known.toml"), "{refused}");
            }
        }
    }

    #[test]
    fn an_id_is_compared_and_not_replaced() {
        let mut known = Known::default();
        let asked = id(1).to_string();
        known.hold_channel(&asked, id(1)).unwrap();
        assert!(matches!(known.hold_channel(&asked, id(2)), Err(KnownError::OtherChannel { .. })));
        assert_eq!(known.channel(&asked), Some(id(1)));
    }

    #[test]
    fn two_processes_keep_what_both_were_told_and_a_removed_line_is_accepted_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (Known::keep_in(folder.path()).unwrap(), Known::keep_in(folder.path()).unwrap());
        one.hold_channel("main", id(1)).unwrap();
        other.hold_channel("trade.eu", id(2)).unwrap();
        let path = folder.path().join(Known::FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let both = Known::keep_in(folder.path()).unwrap();
        assert_eq!((both.channel("main"), both.channel("trade.eu")), (Some(id(1)), Some(id(2))), "{text}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("main")).collect();
        std::fs::write(&path, without.join("\n")).unwrap();
        Known::keep_in(folder.path()).unwrap().hold_channel("main", id(3)).unwrap();
    }

    #[test]
    fn a_damaged_file_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["channels = 3", "[channels]\nmain = \"x\"", "[other]\n"] {
            std::fs::write(folder.path().join(Known::FILE), text).unwrap();
            assert!(matches!(Known::keep_in(folder.path()), Err(KnownError::File { .. })), "{text}");
        }
    }
}
