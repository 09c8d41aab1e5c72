//! A consortium in a temporary directory and a peer process on a free port. Everything is made with the program's own
//! commands; children end with the test.

use crate::wait;
use client::connection::{Connection, Options};
use client::profile::Profile;
use client::retry::Retry;
use ledger_classes::action::{Action, assets, logs};
use ledger_classes::formats::transaction::{Envelope, Transaction};
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// The program.
pub(crate) fn chancery() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer-under-test"));
    command.env_remove("CHANCERY_PROFILE").env_remove("CHANCERY_DIR");
    // What tests are told by is nothing of the program's: it would say so.
    for variable in ["CHANCERY_TEST_PYTHON", "CHANCERY_SEED", "CHANCERY_RUNS"] {
        command.env_remove(variable);
    }
    command.env_remove("CHANCERY_AUTHORITY_PASSPHRASE_FILE").stdin(Stdio::null());
    command
}

/// Runs a command that must succeed, and reads its JSON document.
pub(crate) fn run(arguments: &[&str]) -> Value {
    let output = try_run(arguments);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (document, said) = (shown(&output.stdout), shown(&output.stderr));
    assert!(output.status.success(), "chancery {arguments:?}: {document}{said}");
    ledger_classes::primitives::json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("chancery {arguments:?}: {error}"))
}

/// Runs a command with `--json`.
pub(crate) fn try_run(arguments: &[&str]) -> Output {
    chancery().arg("--json").args(arguments).output().expect("the program starts")
}

/// A consortium's directory.
pub(crate) struct Consortium {
    home: TempDir,
}

impl Consortium {
    /// The organization `bank` owns the peer. Anybody reads and writes `main`, so that most tests need no participants.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with more arguments to `init`.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::closed(&[&["--public"], arguments].concat())
    }

    /// The same with `main` as `init` makes it: for members only.
    pub(crate) fn closed(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let consortium = Self { home };
        let dir = consortium.dir();
        let common = ["--consortium", "test.example", "--org", "bank", "--listen", "127.0.0.1:0", "--metrics", ""];
        run(&[&["init", "--dir", text(&dir)], &common[..], arguments].concat());
        consortium
    }

    /// The same again, in a directory of its own: making keys takes longer than most tests.
    pub(crate) fn copy(&self) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        copy_folder(self.home.path(), home.path());
        Self { home }
    }

    /// The peer's directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("peer")
    }

    /// A path beside the peer's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The first administrator's profile.
    pub(crate) fn admin(&self) -> PathBuf {
        self.dir().join("profiles/admin")
    }

    /// Adds an organization.
    pub(crate) fn organization(&self, name: &str) {
        run(&["ca", "--dir", text(&self.dir()), "organization", name]);
    }

    /// Issues a profile.
    pub(crate) fn profile(&self, organization: &str, role: &str, name: &str) -> PathBuf {
        let out = self.path(&format!("{organization}-{role}-{name}"));
        run(&["ca", "--dir", text(&self.dir()), "issue", organization, role, name, "--out", text(&out)]);
        out
    }

    /// Starts the peer.
    pub(crate) fn serve(&self) -> Peer {
        Peer::start(&self.dir(), &[])
    }
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to);
        } else if from.is_file() {
            // What is left is the peer's socket.
            std::fs::copy(from, to).expect("copied");
        }
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// A running peer. Dropping it kills it.
pub(crate) struct Peer {
    child: Child,
    /// `https://127.0.0.1:<port>`.
    pub(crate) url: String,
    /// Where metrics are answered, if anywhere.
    pub(crate) metrics: Option<String>,
    said: Arc<Mutex<Vec<String>>>,
    listening: Option<JoinHandle<()>>,
    _lines: BufReader<ChildStdout>,
}

/// Starts the program, or a command that ends in becoming it, and does not wait until it serves.
pub(crate) fn serving(mut command: Command, dir: &Path, variables: &[(&str, &str)]) -> Child {
    command.args(["serve", "--json", "--dir", text(dir)]).envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

impl Peer {
    /// Starts the peer of a directory, with variables over its configuration.
    pub(crate) fn start(dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_by(chancery(), dir, variables)
    }

    /// Starts the peer of a directory with more arguments.
    pub(crate) fn start_by_with(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_with(dir, arguments, &[])
    }

    /// Starts the peer of a directory with more arguments, and variables over its configuration.
    pub(crate) fn start_with(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = chancery();
        command.args(["serve", "--json", "--dir", text(dir)]).args(arguments).envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::watch(command.spawn().expect("the program starts"))
    }

    /// The value of a metric, named with its labels. The peer must have been asked to answer metrics.
    pub(crate) fn metric(&self, name: &str) -> String {
        let url = self.metrics.as_deref().expect("asked for");
        let output = Command::new("curl").args(["--silent", url]).output().expect("curl is installed");
        let text = String::from_utf8(output.stdout).expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in {text}")).to_owned()
    }

    /// The same by a command that ends in becoming the program.
    pub(crate) fn start_by(command: Command, dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::watch(serving(command, dir, variables))
    }

    fn watch(mut child: Child) -> Self {
        let errors = child.stderr.take().expect("piped");
        let mut peer = Self::started(child);
        // What the peer says is the test's output: shown if the test fails.
        let heard = Arc::clone(&peer.said);
        peer.listening = Some(std::thread::spawn(move || {
            BufReader::new(errors).lines().map_while(Result::ok).for_each(|line| {
                println!("{line}");
                heard.lock().expect("not poisoned").push(line);
            })
        }));
        peer
    }

    /// A peer whose standard error goes elsewhere.
    pub(crate) fn started(mut child: Child) -> Self {
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut document = String::new();
        while ledger_classes::primitives::json::from_str::<Value>(&document).is_err() {
            let read = lines.read_line(&mut document).expect("readable");
            if read == 0 {
                panic!("the peer did not start: {}", child.wait().expect("it ends"));
            }
        }
        let document: Value = ledger_classes::primitives::json::from_str(&document).expect("just read");
        let url = document["api"].as_str().expect("an address").to_owned();
        let metrics = document["metrics"].as_str().map(str::to_owned);
        let said = Arc::default();
        Self { child, url, metrics, said, listening: None, _lines: lines }
    }

    /// A connection with a profile's certificate.
    pub(crate) fn connect(&self, profile: &Path) -> Connection {
        self.connect_with(profile, Options::default())
    }

    /// A connection that asks once: what it is not told, it does not know.
    pub(crate) fn connect_once(&self, profile: &Path) -> Connection {
        self.connect_with(profile, Options { retry: Retry::NEVER, ..Options::default() })
    }

    fn connect_with(&self, profile: &Path, options: Options) -> Connection {
        let mut profile = Profile::open(profile).expect("a profile");
        profile.peer = self.url.parse().expect("a URL");
        Connection::open(&profile, options).expect("usable")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its log has a line with a text.
    pub(crate) fn says(&self, text: &str) {
        wait::until_found(text, || (self.said(text) > 0).then_some(()));
    }

    /// Lines of its log with a text.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.said.lock().expect("not poisoned").iter().filter(|line| line.contains(text)).count()
    }

    /// MiB of memory that it holds.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// Runs a command against this peer with a profile; it must succeed.
    pub(crate) fn run(&self, profile: &Path, arguments: &[&str]) -> Value {
        run(&[&["--profile", text(profile), "--peer", &self.url], arguments].concat())
    }

    /// Ends the peer at once, with `kill -9`. One that has ended before has done so for a good reason.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was not waited for");
        let status = self.child.wait().expect("it ends");
        assert!(status.signal() == Some(9) || status.success(), "it had ended with {status}");
    }

    /// Asks the peer to drain.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(asked.success());
    }

    /// Asks the peer to drain and waits for its end.
    pub(crate) fn drain(mut self) {
        self.terminate();
        let status = self.ended();
        assert!(status.success(), "draining ended with {status}");
    }

    /// Waits for the peer's end, and for all that it has said.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it ends");
        if let Some(listening) = self.listening.take() {
            listening.join().expect("it does not panic");
        }
        status
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key from a small number.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// The address of [`key`].
pub(crate) fn address(number: u8) -> Address {
    key(number).public().address()
}

/// A transaction that is valid for ten minutes, with a nonce of its own.
pub(crate) fn transaction(channel: Hash, actions: Vec<Action>) -> Transaction {
    static NONCE: AtomicU64 = AtomicU64::new(1);
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
    let valid_until = client::now().plus_millis(600_000);
    Transaction { channel, nonce, valid_until, fee_max: Amount::ZERO, actions, memo: String::new(), sender: None }
}

/// A signed transaction in the binary encoding.
pub(crate) fn signed(channel: Hash, signer: u8, actions: Vec<Action>) -> Envelope {
    Envelope::sign_binary(&transaction(channel, actions), &[&key(signer)])
}

/// Defines a fungible asset.
pub(crate) fn define(asset: &str) -> Action {
    Action::AssetDefine(assets::Define {
        asset: asset.into(),
        title: asset.into(),
        kind: assets::Kind::Fungible { decimals: 2, supply_cap: None },
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    })
}

/// Mints units.
pub(crate) fn mint(asset: &str, to: u8, amount: u128) -> Action {
    Action::AssetMint(assets::Mint { asset: asset.into(), to: address(to), amount: Amount(amount) })
}

/// Transfers units.
pub(crate) fn transfer(asset: &str, to: u8, amount: u128) -> Action {
    Action::AssetTransfer(assets::Transfer { asset: asset.into(), to: address(to), amount: Amount(amount) })
}

/// Appends a log record.
pub(crate) fn append(topic: &str, body: impl Into<String>) -> Action {
    Action::LogAppend(logs::Append { topic: topic.into(), digest: None, body: body.into() })
}
