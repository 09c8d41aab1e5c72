//! What client commands share: the opened profile, the connection, the keys to sign with, and common options.

use super::ca::in_full;
use super::failure::Failure;
use super::output::{Output, note};
use ca::{
    PassphraseSource,
    keys::{encrypted, error::PassphraseError},
};
use clap::{Args, ValueEnum};
use client::certificate::CredentialError;
use client::connection::{Connection, OpenError, Options};
use client::keys::read_account_key;
use client::known::Known;
use client::profile::{Profile, parse_peer};
use client::seen::SeenHeaders;
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::amount::Decimal;
use ledger_classes::primitives::hash::Hash;
use serde::Serialize;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Folder with cert.pem, key.pem, ca.pem and profile.toml
    #[arg(long, global = true, value_name = "DIR", env = "CHANCERY_PROFILE", help_heading = "Everywhere")]
    pub profile: Option<PathBuf>,
    /// File with the passphrase of the profile's key.pem, if that is encrypted; without it the command asks
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CHANCERY_PROFILE_PASSPHRASE_FILE",
        help_heading = "Everywhere"
    )]
    pub profile_passphrase_file: Option<PathBuf>,
    /// Another peer than the profile's, as https://host:port
    #[arg(long, global = true, value_name = "URL", value_parser = parse_peer, help_heading = "Everywhere")]
    pub peer: Option<PeerUrl>,
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Seconds that one request may take
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Everywhere")]
    pub timeout: u64,
}

/// The SDK's URL type.
pub(super) type PeerUrl = client::profile::Url;

/// The channel that a command writes to. It has no default: what is written to the wrong one cannot be taken back.
#[derive(Args, Clone, Debug)]
pub(super) struct ToChannel {
    /// Channel to write to, by name or by id; there is no default
    #[arg(long, short, env = "CHANCERY_CHANNEL")]
    pub channel: String,
}

/// The channel that a command reads.
#[derive(Args, Clone, Debug)]
pub(super) struct OnChannel {
    /// Channel, by name or by id
    #[arg(long, short, default_value = "main", env = "CHANCERY_CHANNEL")]
    pub channel: String,
}

/// The channel that a command is about, which therefore has no default: its first word, or as for other commands.
#[derive(Args, Clone, Debug)]
pub(super) struct About {
    /// Channel, by name or by id
    #[arg(value_name = "CHANNEL")]
    name: Option<String>,
    #[command(flatten)]
    option: ChannelOption,
}

/// A channel as an option.
#[derive(Args, Clone, Debug)]
pub(super) struct ChannelOption {
    /// Channel, by name or by id, where it is not the first word
    #[arg(long, short, env = "CHANCERY_CHANNEL")]
    pub(super) channel: Option<String>,
}

impl About {
    /// The channel.
    pub(super) fn channel(self) -> Result<String, Failure> {
        self.option.or(self.name)
    }
}

impl ChannelOption {
    /// The channel: the first word if it is there.
    pub(super) fn or(self, first: Option<String>) -> Result<String, Failure> {
        let missing = || Failure::usage("which channel? Name it as the first word, with -c, or by CHANCERY_CHANNEL");
        first.or(self.channel).ok_or_else(missing)
    }

    /// The channel and what is behind it, of the words of a command that takes `count` words behind the channel.
    pub(super) fn and<const COUNT: usize>(self, mut words: Vec<String>) -> Result<(String, [String; COUNT]), Failure> {
        let first = (words.len() > COUNT).then(|| words.remove(0));
        let channel = self.or(first)?;
        let words = words.try_into().map_err(|words: Vec<String>| {
            Failure::usage(format!("{} words behind the channel where {COUNT} are needed", words.len()))
        })?;
        Ok((channel, words))
    }
}

/// A part of a list.
#[derive(Args, Clone, Debug)]
pub(super) struct Paging {
    /// Go on behind the part before, with what it said
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// Most items, 1 to 1000; 100 if absent
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: Option<u32>,
}

impl Paging {
    /// For the SDK.
    pub(super) fn part(&self) -> client::query::Paging<'_> {
        client::query::Paging { after: self.after.as_deref(), limit: self.limit }
    }
}

/// When a submission is answered.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum WaitFor {
    /// Verified, waiting for its block
    Accepted,
    /// In a final block, on disk
    Committed,
}

/// How a transaction is signed and submitted.
#[derive(Args, Clone, Debug)]
pub(super) struct Signing {
    /// Account key file; the profile's if absent. Repeat to sign with several keys: the first is the sender
    #[arg(long = "key", value_name = "FILE", help_heading = "Transaction")]
    pub keys: Vec<PathBuf>,
    /// Act for this joint account
    #[arg(long, value_name = "ADDRESS", help_heading = "Transaction")]
    pub act_for: Option<Address>,
    /// The most to pay, in the channel's fee asset, such as 0.50
    #[arg(long, value_name = "AMOUNT", default_value = "0", help_heading = "Transaction")]
    pub fee_max: Decimal,
    /// Amounts are whole base units, as in the API, instead of numbers with a point
    #[arg(long, help_heading = "Transaction")]
    pub base_units: bool,
    /// Whom this pays may be new to the channel; without this the command asks, or refuses where nobody can be asked
    #[arg(long, help_heading = "Transaction")]
    pub new: bool,
    /// Text for people, at most 256 bytes
    #[arg(long, default_value = "", help_heading = "Transaction")]
    pub memo: String,
    /// Seconds after which the transaction can no longer be included
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = "Transaction")]
    pub valid_for: u64,
    /// Follow the channel's block time however far it is ahead of this clock; without this by at most an hour. Give it
    /// when a peer's clock was once ahead, and not when this one is behind: the transaction could be held back until then
    #[arg(long, env = "CHANCERY_AT_CHANNEL_TIME", help_heading = "Transaction")]
    pub at_channel_time: bool,
    /// When to answer
    #[arg(long, value_enum, default_value = "committed", help_heading = "Transaction")]
    pub wait: WaitFor,
    /// Print the signed transaction instead of submitting it (`tx submit` takes it)
    #[arg(long, help_heading = "Transaction")]
    pub print: bool,
}

/// A profile with its connection.
pub(super) struct Session {
    /// Who the caller is.
    pub profile: Profile,
    /// To the peer.
    pub connection: Connection,
    /// Where results go.
    pub output: Output,
}

/// Opens a profile, whose key may be encrypted.
pub(super) fn open_profile(global: &Global, directory: &Path) -> Result<Profile, Failure> {
    if !directory.join("profile.toml").exists() {
        return Err(Failure::usage(format!(
            "{} is no profile, since it has no profile.toml: `chancery init` and `chancery ca issue` make profiles",
            directory.display()
        )));
    }
    let unlock = |path: &Path, text: &[u8]| {
        let locked = |why: String| CredentialError::Locked(why);
        let source = PassphraseSource {
            file: global.profile_passphrase_file.clone().unwrap_or_else(|| directory.join("key.passphrase")),
            ask: io::stdin().is_terminal().then_some(ask_for_key as fn() -> io::Result<Zeroizing<String>>),
        };
        let missing = "give its passphrase by --profile-passphrase-file or CHANCERY_PROFILE_PASSPHRASE_FILE";
        let (passphrase, _) = source.read().map_err(|error| match error {
            PassphraseError::Missing { .. } => locked(missing.into()),
            error => locked(error.to_string()),
        })?;
        let text = std::str::from_utf8(text).map_err(|_| locked("it is not UTF-8".into()))?;
        let key = encrypted::open(text, &passphrase).map_err(|error| locked(format!("{}: {error}", path.display())))?;
        Ok(Zeroizing::new(key.to_pem().as_bytes().to_vec()))
    };
    Ok(Profile::open_with(directory, unlock)?)
}

fn ask_for_key() -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password("Passphrase of the profile's key: ").map(Zeroizing::new)
}

impl Session {
    /// Opens the profile. Nothing is sent.
    pub(super) fn open(global: &Global) -> Result<Self, Failure> {
        let directory = global.profile.as_deref().ok_or_else(|| {
            Failure::usage("which profile? Give --profile DIR or set CHANCERY_PROFILE to the folder's path")
        })?;
        let profile = open_profile(global, directory)?;
        let timeout = Duration::from_secs(global.timeout);
        let options = Options { peer: global.peer.clone(), timeout, ..Options::default() };
        let known = Known::keep_in(&profile.directory).map_err(OpenError::from)?;
        let connection = Connection::open_knowing(&profile, options, known.telling(note))?;
        Ok(Self { profile, connection, output: Output { json: global.json } })
    }

    /// Waits, as a peer has asked for.
    #[expect(clippy::disallowed_methods, reason = "nothing tells when a busy peer is less busy")]
    pub(super) async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    /// The connection with what this profile has verified before; it is kept in the profile's folder.
    pub(super) fn remembering(&self) -> Result<Connection, Failure> {
        let seen = SeenHeaders::keep_in(&self.profile.directory);
        let seen =
            seen.map_err(|error| Failure::usage(format!("{}: remove the file to begin anew", in_full(&error))))?;
        Ok(self.connection.clone().remembering(seen))
    }

    /// Keeps what was verified over a connection. A folder that cannot be written is told of, and keeps nothing back.
    pub(super) fn kept(&self, connection: &Connection) {
        if let Err(error) = connection.keep_seen() {
            note(&format!("what was verified is not remembered: {}", in_full(&error)));
        }
    }

    /// Prints a proof, or writes it to a new file and tells what it proves.
    pub(super) fn keep_proof<T: Serialize>(
        &self,
        proof: &impl Serialize,
        proven: &T,
        out: Option<&Path>,
        text: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let Some(path) = out else { return Output { json: true }.show(proof, |_| String::new()) };
        let fail = |error: io::Error| Failure::file(path, &error);
        let bytes = serde_json::to_vec(proof).map_err(|error| fail(error.into()))?;
        files::create_private(path, &bytes).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("{} is there already: name a new file", path.display()))
            }
            _ => fail(error),
        })?;
        self.output.show(proven, |proven| format!("{} written to {}\n", text(proven), path.display()))
    }

    /// The channel's id: the text itself if it is one, else what the name meant before, else what the peer says.
    pub(super) async fn channel_id(&self, channel: &str) -> Result<Hash, Failure> {
        Ok(self.connection.channel_id(channel).await?)
    }

    /// The given keys, or the profile's.
    pub(super) fn signing_keys(&self, files: &[PathBuf]) -> Result<Vec<SigningKey>, Failure> {
        match files {
            [] => Ok(vec![self.profile.read_account_key()?]),
            files => files.iter().map(|file| Ok(read_account_key(file)?)).collect(),
        }
    }

    /// `address`, or that of the profile's account key.
    pub(super) fn address_or_own(&self, address: Option<Address>) -> Result<Address, Failure> {
        match address {
            Some(address) => Ok(address),
            None => Ok(self.profile.read_account_key()?.public().address()),
        }
    }
}

/// Bytes of a file that a command names.
pub(super) fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let fail = |error: io::Error| Failure::file(path, &error);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::usage(format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// SHA-256 of a file, as `sha256sum` prints it.
pub(super) fn digest_of(path: &Path) -> Result<Hash, Failure> {
    Ok(Hash::plain(&[&read_file(path, 1 << 30)?]))
}

/// A JSON document given as text, or as `@FILE`.
pub(super) fn document(text: &str) -> Result<String, Failure> {
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(path) => String::from_utf8(read_file(Path::new(path), 1 << 20)?)
            .map_err(|_| Failure::usage(format!("{path} is not UTF-8")))?,
    };
    match ledger_classes::primitives::json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(format!("not a JSON document: {error}"))),
    }
}

/// Opens the profile and runs a client command on a runtime of its own: one thread is enough for one caller.
pub(super) fn with_session(
    global: &Global,
    command: impl AsyncFnOnce(&Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let session = Session::open(global)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(error.to_string()))?;
    runtime.block_on(command(&session))
}
