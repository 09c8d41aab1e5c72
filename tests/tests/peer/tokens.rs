//! A CA whose key never leaves its token, here SoftHSM: all that a CA signs, and what is said when the token does not.
//! The program runs as a child, because SoftHSM finds its tokens by a variable of the process.

use crate::harness::{Consortium, Peer, chancery, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const PIN: &str = "471147";

/// A token called `chancery`.
struct Token {
    home: TempDir,
    module: &'static str,
}

impl Token {
    fn new() -> Self {
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let module = module.expect("SoftHSM is needed: `apt-get install softhsm2`");
        let home = tempfile::tempdir().expect("a directory");
        let tokens = home.path().join("tokens");
        fs::create_dir(&tokens).expect("made");
        let config = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
        fs::write(home.path().join("softhsm2.conf"), config).expect("written");
        files::write_private(&home.path().join("pin"), format!("{PIN}\n").as_bytes()).expect("written");
        let token = Self { home, module };
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "chancery", "--so-pin", "12345678", "--pin", PIN])
            .env("SOFTHSM2_CONF", token.config())
            .output()
            .expect("softhsm2-util is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        token
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("softhsm2.conf")
    }

    fn pin_file(&self) -> PathBuf {
        self.home.path().join("pin")
    }

    fn try_run(&self, arguments: &[&str]) -> Output {
        let mut command = chancery();
        command.arg("--json").args(arguments).env("SOFTHSM2_CONF", self.config());
        command.output().expect("the program starts")
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let output = self.try_run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON")
    }

    /// The arguments that place a key in this token.
    fn place(&self) -> [String; 6] {
        let pin_file = self.pin_file();
        ["--pkcs11-module", self.module, "--pkcs11-token", "chancery", "--pkcs11-pin-file", text(&pin_file)]
            .map(str::to_owned)
    }

    /// `chancery ca organization` with its key in this token.
    fn organization(&self, dir: &Path, more: &[&str]) -> Output {
        let place = self.place();
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        self.try_run(&[&["ca", "--dir", text(dir), "organization"], more, &place].concat())
    }

    fn issue(&self, dir: &Path, name: &str, out: &Path) -> String {
        let issue = ["ca", "--dir", text(dir), "issue", "broker", "client", name, "--out", text(out)];
        self.run(&issue)["certificate"]["serial"].as_str().expect("a serial").to_owned()
    }
}

fn openssl(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(dir).output().expect("openssl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What OpenSSL says of a leaf, its CRLs and its OCSP answer: all good, or all revoked.
fn check(dir: &Path, serial: &str, revoked: bool) {
    let ca = dir.join("ca");
    let pem = |path: &str| fs::read_to_string(ca.join(path)).expect("readable");
    fs::write(ca.join("lists.pem"), pem("crl/root.pem") + &pem("crl/broker.pem")).expect("written");
    fs::write(ca.join("trusted.pem"), pem("root.pem") + &pem("broker.pem")).expect("written");
    let leaf = format!("issued/{serial}.pem");
    let path = [
        "verify",
        "-x509_strict",
        "-check_ss_sig",
        "-crl_check_all",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "broker.pem",
    ];
    let said = openssl(&ca, &[&path[..], &["-CRLfile", "lists.pem", &leaf]].concat());
    assert!(said.contains(if revoked { "certificate revoked" } else { ": OK" }), "{said}");
    let said = openssl(&ca, &["crl", "-noout", "-in", "crl/broker.pem", "-CAfile", "broker.pem"]);
    assert!(said.contains("verify OK"), "{said}");
    let answer = format!("ocsp/{serial}.der");
    let ocsp =
        ["ocsp", "-no_nonce", "-issuer", "broker.pem", "-cert", &leaf, "-respin", &answer, "-CAfile", "trusted.pem"];
    let said = openssl(&ca, &ocsp);
    let status = if revoked { ": revoked" } else { ": good" };
    assert!(said.contains("Response verify OK") && said.contains(status), "{said}");
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_ca_in_a_token_issues_revokes_and_signs_lists_and_answers() {
    for algorithm in ["p256", "ed25519"] {
        let (token, consortium) = (Token::new(), Consortium::new());
        let dir = consortium.dir();
        let made = token.organization(&dir, &["broker", "--algorithm", algorithm]);
        assert!(made.status.success(), "{algorithm}: {}", String::from_utf8_lossy(&made.stderr));
        let (alice, bob) = (consortium.path("alice"), consortium.path("bob"));
        let serials = [token.issue(&dir, "alice", &alice), token.issue(&dir, "bob", &bob)];
        check(&dir, &serials[0], false);
        check(&dir, &serials[1], false);
        token.run(&["ca", "--dir", text(&dir), "revoke", &serials[1]]);
        token.run(&["ca", "--dir", text(&dir), "crl"]);
        check(&dir, &serials[0], false);
        check(&dir, &serials[1], true);

        // The folder says where the key is, and has neither it nor what opens the token.
        let ca = dir.join("ca");
        assert!(ca.join("broker.token.toml").exists() && !ca.join("broker.key").exists());
        for file in files(&ca) {
            let content = fs::read(&file).expect("readable");
            let content = String::from_utf8_lossy(&content);
            let encrypted = ["root.key", "bank.key"].map(|name| ca.join(name)).contains(&file);
            assert!(encrypted || !content.contains("PRIVATE KEY"), "{}", file.display());
            assert!(!content.contains(PIN), "{}", file.display());
        }

        // A peer keeps the token open, and signs as often as it is asked.
        let config = token.config();
        let peer = Peer::start(&dir, &[("SOFTHSM2_CONF", text(&config))]);
        for _ in 0..8 {
            peer.run(&alice, &["ca", "renew"]);
        }
    }
}

#[test]
fn a_root_and_an_organization_can_begin_in_a_token() {
    let token = Token::new();
    let dir = token.home.path().join("peer");
    let place = token.place();
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    let init = ["init", "--dir", text(&dir), "--consortium", "test.example", "--org", "bank", "--metrics", ""];
    token.run(&[&init[..], &["--listen", "127.0.0.1:0"], &place].concat());
    let keys: Vec<PathBuf> =
        files(&dir.join("ca")).into_iter().filter(|file| file.extension() == Some("key".as_ref())).collect();
    assert_eq!(keys, Vec::<PathBuf>::new());
    assert!(token.organization(&dir, &["broker"]).status.success());
    let serial = token.issue(&dir, "alice", &dir.join("alice"));
    check(&dir, &serial, false);
    let config = token.config();
    Peer::start(&dir, &[("SOFTHSM2_CONF", text(&config))]).run(&dir.join("alice"), &["ca", "renew"]);
}

#[test]
fn what_keeps_a_token_from_signing_is_named() {
    let (token, consortium) = (Token::new(), Consortium::new());
    let dir = consortium.dir();
    assert!(token.organization(&dir, &["broker"]).status.success());
    let alice = consortium.path("alice");
    token.issue(&dir, "alice", &alice);
    let (description, pin_file) = (dir.join("ca/broker.token.toml"), token.pin_file());
    let good = fs::read_to_string(&description).expect("readable");
    let refused = |parts: &[&str]| {
        let output = token.try_run(&["ca", "--dir", text(&dir), "crl", "broker"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in parts {
            assert!(said.contains(part), "{said:?} does not say {part:?}");
        }
    };
    let id = good.lines().find_map(|line| line.strip_prefix("id = ")).expect("an id").trim_matches('"');
    for (from, to, says) in [
        (token.module, "/nonexistent/module.so", &["module /nonexistent/module.so", "cannot be loaded"][..]),
        (token.module, "/etc/hostname", &["module /etc/hostname", "cannot be loaded"]),
        ("label = \"chancery\"", "label = \"elsewhere\"", &["0 tokens", "\"elsewhere\"", "there are: \"chancery\""]),
        (id, "00ff", &["no key with the id 00ff", "chancery broker"]),
        (id, "none", &["broker.token.toml", "hexadecimal"]),
        ("id = ", "pin = ", &["broker.token.toml", "pin"]),
    ] {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{from}");
        fs::write(&description, changed).expect("written");
        refused(says);
    }
    fs::write(&description, &good).expect("written");
    let pin = text(&pin_file);
    for (content, says) in [("000000", "PinIncorrect"), ("", "one line"), ("471147\n471147\n", "one line")] {
        fs::write(&pin_file, content).expect("written");
        refused(&[pin, says]);
    }
    fs::remove_file(&pin_file).expect("removed");
    refused(&[pin]);
    // Nothing of an organization is made when its token refuses.
    assert_eq!(token.organization(&dir, &["other"]).status.code(), Some(1));
    assert!(!dir.join("ca/other.token.toml").exists() && !dir.join("ca/other.pem").exists());
    assert_eq!(token.organization(&dir, &["Not a name"]).status.code(), Some(1));

    // A peer says to its members only that it cannot, and can as soon as the PIN is right.
    let config = token.config();
    files::write_private(&pin_file, b"000000").expect("written");
    let peer = Peer::start(&dir, &[("SOFTHSM2_CONF", text(&config))]);
    for _ in 0..2 {
        let output = token.try_run(&["--profile", text(&alice), "--peer", &peer.url, "ca", "renew"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("The CA's key cannot be used at the moment") && !said.contains(pin), "{said}");
    }
    fs::write(&pin_file, PIN).expect("written");
    peer.run(&alice, &["ca", "renew"]);
}
