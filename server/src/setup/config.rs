//! The peer's configuration: `chancery.toml`, every key with a usable default, environment variables over it.
//!
//! The keys are those of [`Config`]; `docs/operating/configuration.md` lists them, and a test compares the two. A key
//! that is not known is an error: a misspelt limit must not go unnoticed. A variable is named after its key:
//! `limits.body_bytes_max` is `CHANCERY_LIMITS_BODY_BYTES_MAX`.

use crate::{limits::CHANNEL_BYTES_LEAST, memory::Parts};
use ca::{Keyring, PassphraseSource, keys::passphrase::PASSPHRASE_FILE};
use client::profile::{Url, parse_peer};
use ledger_classes::primitives::json::Strict;
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
};

/// The file's name in the peer's directory.
pub const FILE: &str = "chancery.toml";

/// Everything that an operator may set. Relative paths are relative to the peer's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTPS is answered; port 0 takes a free one.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Where channels are kept.
    pub data_dir: PathBuf,
    /// The peer's certificate, key and trust: `cert.pem`, `key.pem`, `ca.pem`, `issuing.pem`, `crl.pem`.
    pub certificate_dir: PathBuf,
    /// The directory that holds the certificate authorities' folder `ca/`, where this machine has one; it is watched
    /// for CRLs and new organizations.
    pub authority_dir: PathBuf,
    /// Other peers that CRLs are fetched from and given to: `https://host:port`, separated by commas.
    pub crl_peers: String,
    /// The file with the passphrase of the authorities' keys.
    pub authority_passphrase_file: PathBuf,
    /// The key that seals blocks, PEM.
    pub seal_key: PathBuf,
    /// The configuration that the channel `main` is created from, if the peer does not hold it yet.
    pub genesis: PathBuf,
    /// Bounds.
    pub limits: Limits,
    /// Metrics.
    pub metrics: Metrics,
    /// Logs.
    pub log: Log,
    /// Channels.
    pub channels: Channels,
}

/// Bounds that depend on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body; larger ones are refused unread.
    pub body_bytes_max: usize,
    /// Bytes of memory for what callers cause, in fair parts ([`crate::memory::Parts`]).
    pub memory_bytes_max: usize,
    /// Bytes of the file system with the channels that are kept free, at most a sixteenth of it.
    pub disk_reserve_bytes: u64,
    /// Bytes of the disk that the files of one channel may take; 0 for a quarter of the file system.
    pub channel_bytes_max: u64,
    /// Open client connections.
    pub connections_max: usize,
    /// Milliseconds for a TLS handshake, and for a request's head.
    pub header_timeout_ms: u64,
    /// Milliseconds for a request's body: a slow sender must not hold its place for ever.
    pub body_timeout_ms: u64,
    /// Milliseconds that a client may take nothing of what is sent to it.
    pub write_timeout_ms: u64,
    /// Bytes that the reader of an answer takes a second at least, on average.
    pub answer_bytes_per_second_min: u64,
    /// Seconds that an idle connection stays open.
    pub idle_seconds: u64,
    /// Live subscriptions of all channels.
    pub subscriptions_max: usize,
    /// Seconds for requests in flight at shutdown.
    pub drain_seconds: u64,
}

/// Metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where `GET /metrics` is answered, in plain HTTP; empty or `off` for nowhere.
    pub listen: String,
    /// Host names by which it may be asked, beside `localhost` and any address: a page in somebody's browser that lets its
    /// own name lead here is not answered. Separated by commas.
    pub names: String,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What is logged, as in `info,channel_actors=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What all channels of the peer share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// Verifier shards; 0 for one a processor core.
    pub shards: usize,
    /// Milliseconds between two checkpoints of a channel that moves: what a crash leaves to replay.
    pub checkpoint_interval_ms: u64,
    /// Milliseconds without use after which a channel is suspended: its files are closed until it is used; 0 for never.
    pub suspend_after_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7100)),
            data_dir: "data".into(),
            certificate_dir: "peer".into(),
            authority_dir: ".".into(),
            crl_peers: String::new(),
            authority_passphrase_file: PASSPHRASE_FILE.into(),
            seal_key: "peer/seal.pem".into(),
            genesis: "main.json".into(),
            limits: Limits::default(),
            metrics: Metrics::default(),
            log: Log::default(),
            channels: Channels::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            memory_bytes_max: 1024 * 1024 * 1024,
            disk_reserve_bytes: 64 * 1024 * 1024,
            channel_bytes_max: 0,
            connections_max: 4_096,
            header_timeout_ms: 5_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 60_000,
            answer_bytes_per_second_min: 16 * 1024,
            idle_seconds: 30,
            subscriptions_max: 10_000,
            drain_seconds: 10,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: "127.0.0.1:7101".into(), names: String::new() }
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self { shards: 0, checkpoint_interval_ms: 10_000, suspend_after_ms: 60_000 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info,actix_server=warn".into() }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or a key is unknown or of another type.
    #[error("the configuration is not usable: {0}")]
    Form(String),
    /// A variable has a value that its key cannot take.
    #[error("{name}={value:?}: {what}")]
    Variable {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong.
        what: String,
    },
    /// A value is outside its range.
    #[error("{key}: {what}")]
    Range {
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

/// What is wrong with a file, and in which line of it.
fn in_one_line(error: &toml::de::Error, text: &str) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.to_string().lines().collect::<Vec<_>>().join(", "),
    }
}

impl Config {
    /// Reads `<dir>/chancery.toml`, if it is there, and the environment.
    pub fn load(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::File { path, source }),
        };
        let not_text = |name: &str, value: &OsString| ConfigError::Variable {
            name: name.into(),
            value: value.to_string_lossy().into_owned(),
            what: "it is not UTF-8".into(),
        };
        for (key, _) in keys() {
            let name = variable_name(&key);
            if let Some(value) = std::env::var_os(&name).filter(|value| value.to_str().is_none()) {
                return Err(not_text(&name, &value));
            }
        }
        Self::parse(&text, |name| std::env::var(name).ok())
    }

    /// What an operator should know of where the configuration came from, and could take for another.
    pub fn remarks(dir: &Path, variables_known: &BTreeSet<String>) -> Vec<String> {
        let file = dir.join(FILE);
        let there = file.exists();
        let missing = (!there).then(|| format!("there is no {}: every key has its default", file.display()));
        missing.into_iter().chain(unknown_variables(variables_known)).collect()
    }

    /// The keys in which another configuration differs.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let leaves = |config: &Self| leaves_of(config).into_iter().collect::<BTreeMap<_, _>>();
        let (mine, others) = (leaves(self), leaves(other));
        mine.into_iter().filter(|(key, value)| others.get(key) != Some(value)).map(|(key, _)| key).collect()
    }

    /// A configuration from a file's text and a function that knows the environment.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let form = |error: toml::de::Error| ConfigError::Form(in_one_line(&error, text));
        let mut table: toml::Table = read(toml::Deserializer::parse(text).map_err(form)?).map_err(form)?;
        for (key, default) in keys() {
            let name = variable_name(&key);
            // One that is empty is not set: a deployment cannot always take a variable away.
            let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
            let number = || value.parse::<i64>().map(toml::Value::Integer);
            let typed = if default.is_integer() { number().ok() } else { Some(toml::Value::String(value.clone())) };
            let Some(typed) = typed else {
                return Err(ConfigError::Variable { name, value, what: "a whole number is expected".into() });
            };
            set(&mut table, &key, typed);
            // Each variable by itself, so that the error names it.
            if let Err(error) = read::<Self, _>(table.clone())
                && toml::Deserializer::parse(text).and_then(read::<Self, _>).is_ok()
            {
                return Err(ConfigError::Variable { name, value, what: in_one_line(&error, "") });
            }
        }
        let config: Self = read(table).map_err(form)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let range = |holds: bool, key, what| if holds { Ok(()) } else { Err(ConfigError::Range { key, what }) };
        let body = (64 * 1024..=256 * 1024 * 1024).contains(&limits.body_bytes_max);
        range(body, "limits.body_bytes_max", "64 KiB to 256 MiB")?;
        let memory = (128 * 1024 * 1024..=1 << 44).contains(&limits.memory_bytes_max);
        range(memory, "limits.memory_bytes_max", "128 MiB to 16 TiB")?;
        let some = limits.channel_bytes_max == 0 || limits.channel_bytes_max >= CHANNEL_BYTES_LEAST;
        range(some, "limits.channel_bytes_max", "0 for a quarter of the file system, or at least 16 MiB")?;
        let fits = limits.body_bytes_max <= Parts::of(limits.memory_bytes_max).bodies / 2;
        range(fits, "limits.body_bytes_max", "at most a sixteenth of limits.memory_bytes_max")?;
        range(limits.connections_max > 0, "limits.connections_max", "at least 1")?;
        range((100..=600_000).contains(&limits.header_timeout_ms), "limits.header_timeout_ms", "100 to 600000")?;
        range((100..=600_000).contains(&limits.body_timeout_ms), "limits.body_timeout_ms", "100 to 600000")?;
        range((100..=600_000).contains(&limits.write_timeout_ms), "limits.write_timeout_ms", "100 to 600000")?;
        let pace = (1..=64 * 1024 * 1024).contains(&limits.answer_bytes_per_second_min);
        range(pace, "limits.answer_bytes_per_second_min", "1 to 67108864")?;
        range((1..=3_600).contains(&limits.idle_seconds), "limits.idle_seconds", "1 to 3600")?;
        range((1..=3_600).contains(&limits.drain_seconds), "limits.drain_seconds", "1 to 3600")?;
        range(self.channels.shards <= 256, "channels.shards", "0 to 256")?;
        let interval = (10..=600_000).contains(&self.channels.checkpoint_interval_ms);
        range(interval, "channels.checkpoint_interval_ms", "10 to 600000")?;
        range(self.channels.suspend_after_ms <= 86_400_000, "channels.suspend_after_ms", "0 to 86400000")?;
        self.crl_peers()?;
        self.metrics_listen().map(|_| ())
    }

    /// Where metrics are answered, if anywhere.
    pub fn metrics_listen(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let text = self.metrics.listen.as_str();
        let address = (!text.is_empty() && text != "off").then(|| parse_listen(text)).transpose();
        let what = "an address or name, and a port, as in 127.0.0.1:7101; or off";
        address.map_err(|_| ConfigError::Range { key: "metrics.listen", what })
    }

    /// The names by which metrics may be asked for.
    pub fn metrics_names(&self) -> Vec<String> {
        let named = self.metrics.names.split(',').map(str::trim).filter(|name| !name.is_empty());
        named.map(str::to_owned).collect()
    }

    /// The peers that CRLs are exchanged with.
    pub fn crl_peers(&self) -> Result<Vec<Url>, ConfigError> {
        let named = self.crl_peers.split(',').map(str::trim).filter(|text| !text.is_empty());
        let wrong = |_| ConfigError::Range { key: "crl_peers", what: "https://host:port, separated by commas" };
        named.map(|text| parse_peer(text).map_err(wrong)).collect()
    }

    /// The keys of the authorities of the peer in `dir`, none of them opened yet.
    pub fn keyring(&self, dir: &Path) -> Keyring {
        Keyring::new(PassphraseSource::file(dir.join(&self.authority_passphrase_file)))
    }

    /// The configuration as a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("the configuration holds no map with other keys than text")
    }
}

/// Every key, as in `limits.body_bytes_max`, with its default.
pub fn keys() -> Vec<(String, toml::Value)> {
    leaves_of(&Config::default())
}

/// Every key of a configuration with its value.
fn leaves_of(config: &Config) -> Vec<(String, toml::Value)> {
    fn leaves(prefix: &str, table: &toml::Table, keys: &mut Vec<(String, toml::Value)>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(table) => leaves(&format!("{prefix}{name}."), table, keys),
                value => keys.push((format!("{prefix}{name}"), value.clone())),
            }
        }
    }
    let mut keys = Vec::new();
    if let Ok(toml::Value::Table(table)) = toml::Value::try_from(config) {
        leaves("", &table, &mut keys);
    }
    keys
}

/// Variables that begin as ours do and that nothing reads: misspelt ones, but also those that Kubernetes sets for a service
/// called chancery, which is why they are no error.
pub fn unknown_variables(known: &BTreeSet<String>) -> Vec<String> {
    let keys: BTreeSet<String> = keys().iter().map(|(key, _)| variable_name(key)).collect();
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let unknown = names.filter(|name| name.starts_with("CHANCERY_") && !keys.contains(name) && !known.contains(name));
    unknown.map(|name| format!("nothing reads the environment variable {name}")).collect()
}

/// Why a text is no place to listen. In one line: it is told beside the option or the line of a file that has it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Neither an address nor a name, with a port.
    #[error("{0:?} is no place to listen, as 127.0.0.1:7100, [::1]:7100 or localhost:7100: {1}")]
    Form(String, std::io::Error),
    /// A name of nothing.
    #[error("{0:?} is no place to listen, as 127.0.0.1:7100, [::1]:7100 or localhost:7100: the name has no address")]
    NoAddress(String),
}

/// Where to listen: an address or a name, and a port. Of a name that has several addresses the first, IPv4 before IPv6.
///
/// # Errors
/// It is none, or the name has no address.
pub fn parse_listen(text: &str) -> Result<SocketAddr, ListenError> {
    let addresses = text.to_socket_addrs().map_err(|error| ListenError::Form(text.to_owned(), error))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.copied().ok_or_else(|| ListenError::NoAddress(text.to_owned()))
}

fn listen<'de, D: Deserializer<'de>>(text: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(text)?;
    parse_listen(&text).map_err(serde::de::Error::custom)
}

fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(text: D) -> Result<T, D::Error> {
    T::deserialize(Strict(text))
}

/// The environment variable that overrides a key.
pub fn variable_name(key: &str) -> String {
    format!("CHANCERY_{}", key.replace('.', "_").to_uppercase())
}

fn set(table: &mut toml::Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.into(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(text: &str, variables: &[(&str, &str)], expected: Result<Config, &str>) {
        let variable =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        let parsed = Config::parse(text, variable).map_err(|error| error.to_string());
        match expected {
            Ok(config) => assert_eq!(parsed, Ok(config), "{text} {variables:?}"),
            Err(part) => {
                let error = parsed.expect_err(text);
                assert!(error.contains(part), "{error:?} does not say {part:?}");
            }
        }
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            Ok(config)
        };
        check("", &[], Ok(Config::default()));
        check(&Config::default().to_toml(), &[], Ok(Config::default()));
        check("listen = '0.0.0.0:1'", &[], with(|c| c.listen = "0.0.0.0:1".parse().unwrap()));
        check("[limits]\nsubscriptions_max = 7", &[], with(|c| c.limits.subscriptions_max = 7));
        check("[log]\nformat = 'json'", &[], with(|c| c.log.format = LogFormat::Json));
        check("[metrics]\nlisten = ''", &[], with(|c| c.metrics.listen = String::new()));
        // The environment wins.
        check(
            "listen = '0.0.0.0:1'",
            &[("CHANCERY_LISTEN", "127.0.0.1:2"), ("CHANCERY_LIMITS_BODY_BYTES_MAX", "70000")],
            with(|c| {
                c.listen = "127.0.0.1:2".parse().unwrap();
                c.limits.body_bytes_max = 70_000;
            }),
        );
        // An empty variable is none.
        check("", &[("CHANCERY_LISTEN", ""), ("CHANCERY_CHANNELS_SHARDS", "")], Ok(Config::default()));
        let name = |text: &'static str| check(&format!("listen = '{text}'"), &[], with(|c| c.listen.set_port(7)));
        name("localhost:7");
        name("127.0.0.1:7");
        check("listen = '[::1]:7'", &[], with(|c| c.listen = "[::1]:7".parse().unwrap()));
        for off in ["", "off"] {
            let config = Config::parse(&format!("[metrics]\nlisten = '{off}'"), |_| None).unwrap();
            assert_eq!(config.metrics_listen().unwrap(), None);
        }
        check("", &[("CHANCERY_LOG_FORMAT", "json")], with(|c| c.log.format = LogFormat::Json));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, variables, says) in [
            ("lisen = '127.0.0.1:1'", &[][..], "lisen"),
            ("[limits]\nbody = 1", &[], "body"),
            ("[channel]\nshards = 1", &[], "channel"),
            ("listen = 7100", &[], "listen"),
            ("listen = 'localhost'", &[], "no place to listen"),
            ("listen = ", &[], "not usable"),
            ("[limits]\nbody_bytes_max = 1", &[], "limits.body_bytes_max: 64 KiB"),
            ("[limits]\nconnections_max = 0", &[], "at least 1"),
            ("[limits]\nmemory_bytes_max = 1", &[], "limits.memory_bytes_max: 128 MiB"),
            ("[limits]\nchannel_bytes_max = 1000", &[], "limits.channel_bytes_max: 0 for a quarter"),
            ("[limits]\nbody_bytes_max = 100000000", &[], "at most a sixteenth of limits.memory_bytes_max"),
            ("[channels]\ncheckpoint_interval_ms = 1", &[], "10 to 600000"),
            ("[channels]\nsuspend_after_ms = 86400001", &[], "0 to 86400000"),
            ("[metrics]\nlisten = 'here'", &[], "metrics.listen"),
            ("crl_peers = 'http://peer-2:7100'", &[], "crl_peers"),
            ("", &[("CHANCERY_LISTEN", "nowhere")], "CHANCERY_LISTEN"),
            ("", &[("CHANCERY_CHANNELS_SHARDS", "many")], "a whole number"),
            ("", &[("CHANCERY_LOG_FORMAT", "xml")], "CHANCERY_LOG_FORMAT"),
        ] {
            check(text, variables, Err(says));
        }
    }

    #[test]
    fn every_key_is_in_the_operators_document() {
        let document = include_str!("../../../docs/operating/configuration.md");
        for (key, default) in keys() {
            let row = document.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("{key} is not documented"));
            assert!(row.contains(&format!("`{default}`")), "{key}: the default is {default}");
            assert!(row.contains(&variable_name(&key)), "{key}: the variable is missing");
        }
        let rows = document.lines().filter(|line| line.starts_with("| `") && line.contains("`CHANCERY_")).count();
        assert_eq!(rows, keys().len(), "a documented key does not exist");
    }
}
