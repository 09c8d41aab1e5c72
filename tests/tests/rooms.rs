//! Who may import whom: the arrows of ARCHITECTURE.md, held over `cargo metadata`.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
    ledger_classes::primitives::json::from_slice::<Metadata>(&output.stdout)
        .expect("cargo describes the workspace")
        .packages
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
        ("foldhash", &["channel-actors", "ledger-classes"]),
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

/// The modules of a room, and what is written in each but for its tests.
fn modules(room: &str) -> BTreeMap<Vec<String>, String> {
    fn walk(folder: &Path, module: &[String], into: &mut BTreeMap<Vec<String>, String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            let mut of = module.to_vec();
            if !["lib", "mod"].contains(&stem.as_str()) {
                of.push(stem.clone());
            }
            if path.is_dir() {
                walk(&path, &of, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") && stem != "tests" {
                let text = std::fs::read_to_string(&path).expect("a file");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let bare = code.lines().map(|line| line.split("//").next().unwrap_or_default());
                into.insert(of, bare.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room).join("src"), &[], &mut all);
    all
}

/// What `crate::{a::{B, c}, d}` stands for, from behind `crate::` on.
fn paths(tree: &str) -> Vec<String> {
    let (mut depth, mut all, mut begin) = (0_usize, Vec::new(), 0);
    let mut head = None;
    for (place, letter) in tree.char_indices() {
        match letter {
            '{' => {
                if depth == 0 {
                    head = Some((tree[begin..place].trim().to_owned(), place + 1));
                }
                depth += 1;
            }
            '}' if depth == 0 => break,
            '}' => {
                depth -= 1;
                if let (0, Some((before, inner))) = (depth, &head) {
                    all.extend(paths(&tree[*inner..place]).into_iter().map(|path| format!("{before}{path}")));
                }
            }
            ',' if depth == 0 => {
                if head.take().is_none() {
                    all.push(tree[begin..place].trim().to_owned());
                }
                begin = place + 1;
            }
            _ => {}
        }
    }
    if head.is_none() {
        all.push(tree[begin..].trim().to_owned());
    }
    all.retain(|path| !path.is_empty());
    all
}

/// Which modules of its room a module imports. What a file hands on for its folder (`pub use`) is no import.
fn imports(of: &[String], code: &str, known: &BTreeSet<Vec<String>>) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let before = code[..place].trim_end();
        let rest = &code[place + "crate::".len()..];
        let end = rest.find(if before.ends_with("use") { ";" } else { "(" }).unwrap_or(rest.len());
        let tree = &rest[..end];
        let all = match before.ends_with("use") {
            true if before.ends_with("pub use") => Vec::new(),
            true => paths(tree),
            false => {
                vec![tree.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).next().unwrap_or("").to_owned()]
            }
        };
        for path in all {
            let mut module: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
            while !known.contains(&module) {
                module.pop();
            }
            if module != of {
                found.insert(module);
            }
        }
    }
    found
}

/// No file imports, over whatever others, itself: each can be read and changed with those below it alone.
#[test]
fn files_of_a_room_import_each_other_in_no_circle() {
    for room in ["pki", "ca"] {
        let modules = modules(room);
        let known: BTreeSet<Vec<String>> = modules.keys().cloned().collect();
        let mut open: BTreeMap<_, _> =
            modules.iter().map(|(of, code)| (of.clone(), imports(of, code, &known))).collect();
        assert!(open.values().map(BTreeSet::len).sum::<usize>() > modules.len(), "{room}: imports are found");
        loop {
            let ground: Vec<_> = open.iter().filter(|(_, on)| on.is_empty()).map(|(of, _)| of.clone()).collect();
            if ground.is_empty() {
                break;
            }
            open.retain(|of, _| !ground.contains(of));
            open.values_mut().for_each(|on| on.retain(|of| !ground.contains(of)));
        }
        let left: Vec<String> = open.keys().map(|of| of.join("::")).collect();
        assert!(
            left.is_empty(),
            "{room}: these, or files that they are under, import each other in a circle: {left:?}"
        );
    }
}
