//! Who may import whom: the arrows of ARCHITECTURE.md, held over `cargo metadata`.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What `cargo metadata` says, as far as it is asked here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing.
    kind: Option<String>,
}

fn packages() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
        "--locked",
        "--manifest-path",
        manifest,
    ]);
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ledger_classes::json::from_slice::<Metadata>(&output.stdout).expect("cargo describes the workspace").packages
}

/// What a package builds with; what only its tests use does not count.
fn dependencies(package: &Package) -> BTreeSet<String> {
    let built = package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
    built.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn rooms_import_only_along_the_arrows() {
    let arrows: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("files", &[][..]),
        ("ledger-classes", &[]),
        ("pki", &["files", "ledger-classes"]),
        ("ca", &["files", "ledger-classes", "pki"]),
        ("channel-actors", &["files", "ledger-classes"]),
        ("client", &["files", "ledger-classes", "pki"]),
        ("demo", &["ca", "client", "ledger-classes", "pki"]),
        ("server", &["ca", "channel-actors", "client", "demo", "files", "ledger-classes", "pki"]),
        ("tests", &["ca", "channel-actors", "client", "files", "ledger-classes", "pki", "server"]),
        ("load-tests", &["ca", "client", "ledger-classes", "pki"]),
        ("simulator", &["channel-actors"]),
    ]);
    let packages = packages();
    let rooms: BTreeSet<String> = packages.iter().map(|package| package.name.clone()).collect();
    assert_eq!(rooms, arrows.keys().map(|room| (*room).to_owned()).collect(), "a room without arrows, or none");
    for package in &packages {
        let allowed = arrows[package.name.as_str()];
        for dependency in dependencies(package).intersection(&rooms) {
            assert!(allowed.contains(&dependency.as_str()), "{} must not import {dependency}", package.name);
        }
    }
}

/// Libraries that belong to one room: the room, and what only it may use.
#[test]
fn libraries_stay_in_their_rooms() {
    let only: [(&str, &[&str]); 16] = [
        ("redb", &["channel-actors"]),
        ("bincode", &["ledger-classes"]),
        ("ed25519-zebra", &["ledger-classes", "load-tests"]),
        ("actix", &["channel-actors", "server"]),
        ("actix-web", &["server"]),
        ("cryptoki", &["ca"]),
        ("dashmap", &["channel-actors"]),
        ("foldhash", &["channel-actors"]),
        ("pkcs8", &["ca"]),
        ("rcgen", &["ca"]),
        ("rpassword", &["server"]),
        ("rustls-webpki", &["pki", "tests"]),
        ("x509-parser", &["pki", "client"]),
        ("reqwest", &["client"]),
        ("twox-hash", &["channel-actors", "tests"]),
        ("tokio", &["channel-actors", "client", "demo", "load-tests", "server"]),
    ];
    for package in packages() {
        let dependencies = dependencies(&package);
        for (library, rooms) in only {
            assert!(
                !dependencies.contains(library) || rooms.contains(&package.name.as_str()),
                "{} must not use {library}",
                package.name
            );
        }
    }
}

/// The deterministic core reads no clock, draws no randomness from the system, starts no threads.
#[test]
fn the_core_uses_nothing_with_a_will_of_its_own() {
    let core = packages().into_iter().find(|package| package.name.as_str() == "ledger-classes").expect("a room");
    for forbidden in ["rand", "getrandom", "tokio", "actix", "dashmap", "rayon", "redb", "chrono"] {
        assert!(!dependencies(&core).contains(forbidden), "{forbidden}");
    }
}

/// `docs/dependencies.md` says of each library what for and why this one.
#[test]
fn every_dependency_has_its_line() {
    let document = include_str!("../../docs/dependencies.md");
    let listed: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|names| names.split(", "))
        .map(|name| name.split(' ').next().unwrap_or(name))
        .collect();
    let packages = packages();
    let rooms: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    for dependency in packages.iter().flat_map(|package| &package.dependencies) {
        let name = dependency.name.as_str();
        assert!(rooms.contains(name) || listed.contains(name), "docs/dependencies.md has no line for {name}");
    }
}
