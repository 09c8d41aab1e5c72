//! The examples of every command's help, and a folder with what they read.

#![allow(dead_code, reason = "each test program uses its part")]

use clap::CommandFactory as _;
use std::process::Command;

/// Commands that talk to no peer and open no authorities' folder: they have tests of their own.
const ALONE: &[&str] = &["demo", "init", "serve", "key", "verify"];

/// The examples of all commands, without the redirections of a shell.
pub(crate) fn examples() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.extend(help.lines().filter_map(|line| line.trim().strip_prefix("$ chancery ").map(str::to_owned)));
        command.get_subcommands().for_each(|command| walk(command, found));
    }
    let mut lines = Vec::new();
    walk(&server::cli::Cli::command(), &mut lines);
    let words = |line: &String| {
        let plain = line.split(" > ").next()?.split(" < ").next()?;
        let mut words = Vec::new();
        for (at, part) in plain.split('\'').enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        Some(words)
    };
    let mut all: Vec<Vec<String>> = lines.iter().filter_map(words).collect();
    all.sort();
    all.dedup();
    all
}

/// The example without an option and its value.
pub(crate) fn without(words: &[String], option: &str) -> Vec<String> {
    match words.iter().position(|word| word == option) {
        Some(at) => [&words[..at], &words[at + 2..]].concat(),
        None => words.to_vec(),
    }
}

pub(crate) fn names_file(words: &[String]) -> bool {
    let endings = [".json", ".pem", ".jpg", ".pdf", ".txt", ".tar.gz"];
    // What is written to is not there before.
    words.iter().any(|word| endings.iter().any(|ending| word.ends_with(ending)) && word != "proof.json")
}

/// The examples that ask a peer, without the profile that they name.
pub(crate) fn asking() -> Vec<Vec<String>> {
    let of_peer = |words: &Vec<String>| {
        let folder = words
            .iter()
            .any(|word| ["--dir", "--into"].contains(&word.as_str()) || word == "--out" && words[0] == "ca");
        let alone = ALONE.contains(&words[0].as_str()) || words.starts_with(&["ca".into(), "trust".into()]);
        !folder && !alone
    };
    let plain = |words: &Vec<String>| {
        without(words, "--profile").into_iter().filter(|word| word != "--json").collect::<Vec<String>>()
    };
    examples().iter().filter(|words| of_peer(words)).map(plain).collect()
}

/// A folder with every file that an example reads.
pub(crate) fn prepared() -> tempfile::TempDir {
    let here = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let request = rcgen::CertificateParams::new(Vec::new()).unwrap().serialize_request(&key).unwrap();
    let transaction = format!(
        "{{ \"valid_until\": \"2026-11-21T10:05:54Z\", \"nonce\": \"7\", \"channel\": \"{}\", \
         \"actions\": [{{\"type\": \"asset.pause\", \"asset\": \"coin\"}}] }}",
        "07".repeat(32)
    );
    std::fs::create_dir(here.path().join("alice")).unwrap();
    for (name, text) in [
        ("alice/request.pem", request.pem().unwrap().as_str()),
        ("token.txt", &format!("{}.{}", "0".repeat(16), "0".repeat(64))),
        ("lot-7.json", "{}"),
        ("transfer.json", &transaction),
        ("lot-7.pdf", "x"),
        ("photo.jpg", "x"),
        ("desk.tar.gz", "x"),
    ] {
        std::fs::write(here.path().join(name), text).unwrap();
    }
    // A token that others may read is refused.
    let owner_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(here.path().join("token.txt"), owner_alone).unwrap();
    // What an organization hands over whose CA is elsewhere.
    for words in [
        &["init", "--consortium", "harbour.example", "--org", "carrier", "--dir", "elsewhere"][..],
        &["bundle", "carrier", "--out", "carrier.pem", "--dir", "elsewhere"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        let output = command.env_clear().current_dir(here.path()).arg("ca").args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    here
}
