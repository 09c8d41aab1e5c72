//! Who may import whom: the arrows of ARCHITECTURE.md, held over `cargo metadata`; circles and layers within a crate, by reading its files.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    let only: [(&str, &[&str]); 18] = [
        ("redb", &["channel-actors"]),
        ("bincode", &["ledger-classes"]),
        ("ed25519-zebra", &["ledger-classes", "load-tests"]),
        ("actix", &["channel-actors", "server"]),
        ("actix-web", &["server"]),
        ("cryptoki", &["ca"]),
        ("dashmap", &["channel-actors"]),
        ("foldhash", &["channel-actors", "ledger-classes"]),
        ("pkcs8", &["ca"]),
        ("raft", &["channel-actors"]),
        ("rcgen", &["ca"]),
        ("rpassword", &["server"]),
        ("slog", &["channel-actors"]),
        ("rustls-webpki", &["pki", "tests"]),
        ("x509-parser", &["pki", "client", "tests"]),
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

type Module = Vec<String>;
type Room = BTreeMap<Module, File>;

/// A file of a room as far as it is the product: its tests and the simulator do not count.
#[derive(Default)]
struct File {
    /// Modules below it.
    below: BTreeSet<String>,
    /// Names that it imports, each with the path that it stands for.
    known: BTreeMap<String, Vec<String>>,
    /// What its code names. What it only hands on, for others to find it here, is named by those.
    named: BTreeSet<Vec<String>>,
}

impl File {
    fn of(text: &str) -> Self {
        let code = without_tests(&tokens(text));
        let is = |place: usize, word: &str| code.get(place).is_some_and(|it| it == word);
        let is_name = |place: usize| {
            code.get(place).is_some_and(|word| word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_'))
        };
        let (mut file, mut place) = (Self::default(), 0);
        while place < code.len() {
            if is(place, "mod") && is(place + 2, ";") {
                file.below.insert(code[place + 1].clone());
                place += 3;
            } else if is(place, "use") {
                let handed_on = place > 0 && (is(place - 1, "pub") || is(place - 1, ")"));
                let mut names = Vec::new();
                place = imported(&code, place + 1, &[], &mut names);
                for (name, path) in names {
                    if !handed_on || name == "*" {
                        file.named.insert(path.clone());
                    }
                    file.known.insert(name, path);
                }
            } else if is_name(place) {
                let of_value = place > 0 && is(place - 1, ".") && !(place > 1 && is(place - 2, "."));
                let begins = !of_value && (place == 0 || !is(place - 1, "::"));
                // `pub(in crate::room)` names nothing of it.
                let says_who = place > 1 && is(place - 1, "in") && is(place - 2, "(");
                let mut path = vec![code[place].clone()];
                while is(place + 1, "::") && is_name(place + 2) {
                    path.push(code[place + 2].clone());
                    place += 2;
                }
                place += 1;
                if begins && !says_who {
                    file.named.insert(path);
                }
            } else {
                place += 1;
            }
        }
        file
    }
}

/// The words and signs of a file, without comments and texts.
fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let at = |place: usize| letters.get(place).copied().unwrap_or('\n');
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (mut all, mut place) = (Vec::new(), 0);
    while place < letters.len() {
        let begin = place;
        let end = |from: usize, ends: &dyn Fn(usize) -> bool| (from..letters.len()).find(|place| ends(*place));
        place = match at(place) {
            '/' if at(place + 1) == '/' => end(place, &|place| at(place) == '\n').unwrap_or(letters.len()),
            'r' if at(place + 1) == '#' && at(place + 2) == '"' => {
                end(place + 3, &|place| at(place) == '"' && at(place + 1) == '#').unwrap_or(letters.len()) + 2
            }
            '"' => {
                place += 1;
                while place < letters.len() && at(place) != '"' {
                    place += if at(place) == '\\' { 2 } else { 1 };
                }
                place + 1
            }
            // Letters, and no lifetimes.
            '\'' if at(place + 1) == '\\' => end(place + 3, &|place| at(place) == '\'').unwrap_or(letters.len()) + 1,
            '\'' if at(place + 2) == '\'' => place + 3,
            letter => {
                let end = match letter {
                    ':' if at(place + 1) == ':' => place + 2,
                    _ if is_word(letter) => end(place, &|place| !is_word(at(place))).unwrap_or(letters.len()),
                    _ => place + 1,
                };
                if !letter.is_whitespace() {
                    all.push(letters[begin..end].iter().collect());
                }
                end
            }
        };
    }
    all
}

/// Without what is there for tests alone, the simulator among them, and without attributes.
fn without_tests(code: &[String]) -> Vec<String> {
    let is = |place: usize, words: &[&str]| {
        words.iter().enumerate().all(|(n, word)| code.get(place + n).is_some_and(|it| it == word))
    };
    let (mut left, mut place) = (Vec::new(), 0);
    while place < code.len() {
        let begin = place;
        while is(place, &["#", "["]) {
            place = end_of_brackets(code, place + 1);
        }
        let for_tests = |words: &&[String]| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            matches!(words.as_slice(), ["cfg", "(", "test", ..] | ["cfg", "(", "any", "(", "test", ..])
        };
        let attributes = &code[begin..place];
        if attributes.split(|word| word == "[").any(|words| for_tests(&words)) {
            place = end_of_item(code, place);
        } else if place < code.len() {
            left.push(code[place].clone());
            place += 1;
        }
    }
    left
}

/// Where brackets end that begin at `place`.
fn end_of_brackets(code: &[String], place: usize) -> usize {
    let mut depth = 0_i32;
    let end = code[place..].iter().position(|word| {
        depth += match word.as_str() {
            "{" | "(" | "[" => 1,
            "}" | ")" | "]" => -1,
            _ => 0,
        };
        depth == 0
    });
    end.map_or(code.len(), |end| place + end + 1)
}

/// Where an item, a field or a statement ends that begins at `place`.
fn end_of_item(code: &[String], mut place: usize) -> usize {
    let has_commas = ["pub", "async", "unsafe", "fn", "impl", "struct", "enum", "trait", "const", "static", "type"];
    let has_commas = code.get(place).is_some_and(|word| has_commas.contains(&word.as_str()));
    let is_use = code[place..].iter().take(8).any(|word| word == "use");
    while let Some(word) = code.get(place) {
        match word.as_str() {
            ";" => return place + 1,
            "," if !has_commas => return place + 1,
            "}" => return place,
            "{" if !is_use => return end_of_brackets(code, place),
            "{" | "(" | "[" => place = end_of_brackets(code, place),
            _ => place += 1,
        }
    }
    place
}

/// What `a::{b, c as d, e::{self, f}};` imports, each name with its path; gives where it ends.
fn imported(code: &[String], mut place: usize, before: &[String], into: &mut Vec<(String, Vec<String>)>) -> usize {
    let mut path = before.to_vec();
    let mut name = None;
    while let Some(word) = code.get(place) {
        match word.as_str() {
            "{" => {
                let end = end_of_brackets(code, place);
                place += 1;
                while place < end - 1 {
                    place = imported(code, place, &path, into) + 1;
                }
                return end;
            }
            "}" | "," | ";" => break,
            "::" => {}
            "as" => name = code.get(place + 1).filter(|name| *name != "_").cloned(),
            _ if code[place - 1] == "as" => {}
            word => path.push(word.to_owned()),
        }
        place += 1;
    }
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    if path.len() > before.len() || !before.is_empty() {
        into.extend(name.or_else(|| path.last().cloned()).map(|name| (name, path)));
    }
    place
}

/// Reads a room from its root on.
fn read(room: &str) -> Room {
    fn walk(file: &Path, folder: &Path, module: &[String], into: &mut Room) {
        let file = File::of(&std::fs::read_to_string(file).expect("a file"));
        for below in &file.below {
            let (alone, folder) = (folder.join(format!("{below}.rs")), folder.join(below));
            let file = if alone.exists() { alone } else { folder.join("mod.rs") };
            walk(&file, &folder, &[module, std::slice::from_ref(below)].concat(), into);
        }
        into.insert(module.to_vec(), file);
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room).join("src");
    let mut all = Room::new();
    walk(&source.join("lib.rs"), &source, &[], &mut all);
    all
}

/// What a path names that stands in `of`: a module itself, or something in it, wherever it is handed on from. `None`: it
/// is of another room, or of the file's own.
fn find(room: &Room, of: &[String], path: &[String], deep: usize) -> Option<(Module, bool)> {
    let (first, mut rest) = path.split_first()?;
    let mut module = match first.as_str() {
        "crate" => Module::new(),
        "self" => of.to_vec(),
        "super" => {
            let supers = path.iter().take_while(|part| *part == "super").count();
            rest = &path[supers..];
            of[..of.len().checked_sub(supers)?].to_vec()
        }
        name if room[of].below.contains(name) => [of, std::slice::from_ref(first)].concat(),
        name => {
            let stands_for = room[of].known.get(name).filter(|known| deep < 9 && known.as_slice() != path)?;
            match find(room, of, stands_for, deep + 1)? {
                (module, true) => module,
                found => return Some(found),
            }
        }
    };
    for name in rest {
        let file = room.get(&module)?;
        if file.below.contains(name) {
            module.push(name.clone());
        } else if let Some(known) = file.known.get(name).filter(|_| deep < 9) {
            match find(room, &module, known, deep + 1)? {
                (found, true) => module = found,
                found => return Some(found),
            }
        } else {
            return Some((module, false));
        }
    }
    Some((module, true))
}

/// Which files each file of a room needs, and for what.
fn needs(room: &Room) -> BTreeMap<Module, BTreeMap<Module, String>> {
    let of_file = |(of, file): (&Module, &File)| {
        let found = file.named.iter().filter_map(|path| match find(room, of, path, 0)? {
            (on, false) if on != *of => Some((on, path.join("::"))),
            _ => None,
        });
        (of.clone(), found.collect())
    };
    room.iter().map(of_file).collect()
}

/// The shortest way by which a file needs itself over others: who needs what of whom.
fn circle(needs: &BTreeMap<Module, BTreeMap<Module, String>>, of: &Module) -> Option<Vec<String>> {
    let (mut seen, mut open) = (BTreeSet::new(), VecDeque::from([(of, Vec::new())]));
    while let Some((next, way)) = open.pop_front() {
        for (on, what) in &needs[next] {
            let mut way = way.clone();
            way.push(format!("{} needs {what} of {}", next.join("::"), on.join("::")));
            if on == of {
                return Some(way);
            }
            if seen.insert(on) {
                open.push_back((on, way));
            }
        }
    }
    None
}

/// No file needs, over whatever others, itself: each can be read and changed with those below it alone.
#[test]
fn files_of_a_room_import_each_other_in_no_circle() {
    for name in ["files", "pki", "ca", "ledger-classes", "channel-actors", "client", "demo", "server"] {
        let needs = needs(&read(name));
        assert!(needs.values().map(BTreeMap::len).sum::<usize>() >= needs.len() - 1, "{name}: imports are found");
        let shortest = needs.keys().filter_map(|of| circle(&needs, of)).min_by_key(Vec::len);
        assert!(shortest.is_none(), "{name}: a circle:\n{}", shortest.unwrap_or_default().join("\n"));
    }
}

/// The rooms within a crate, from the ground up.
const LAYERS: [(&str, &[&str]); 2] = [
    ("channel-actors", &["limits", "runtime", "store", "block", "delivery", "pipeline", "channel", "peer"]),
    (
        "server",
        &[
            "limits",
            "clock",
            "memory",
            "control",
            "register",
            "certificates",
            "problem",
            "setup",
            "identity",
            "telemetry",
            "net",
            "duties",
            "api",
            "peer",
            "cli",
        ],
    ),
];

#[test]
fn rooms_within_a_crate_import_only_those_below() {
    for (name, layers) in LAYERS {
        let room = read(name);
        let layer = |module: &Module| {
            let first = module.first().map_or("", String::as_str);
            layers.iter().position(|layer| *layer == first).unwrap_or_else(|| panic!("{name}: {first} has no layer"))
        };
        for (of, on) in needs(&room).iter().filter(|(of, _)| !of.is_empty()) {
            for (on, what) in on {
                let (above, below) = (layer(of), layer(on));
                assert!(below <= above, "{name}: {} must not need {what} of {}", of.join("::"), on.join("::"));
            }
        }
    }
}
