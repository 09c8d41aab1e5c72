//! A peer is backed up while it runs and comes back from that; a copy of it is noticed and seals and issues nothing.

use crate::harness::{Consortium, Peer, append, chancery, copy_folder, run, signed, text, try_run};
use client::connection::Connection;
use client::submit::Wait;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A consortium with a private channel that its administrator cannot read.
struct World {
    consortium: Consortium,
    channel: Hash,
}

/// What only the channel's members read.
const GRANTS: [&str; 2] = ["--grant", "bank=write:logs"];

impl World {
    fn begin() -> (Self, Peer) {
        let consortium = Consortium::new();
        let peer = consortium.serve();
        let create = ["channel", "create", "trade", "--org", "bank", "--open-submit"];
        let made = peer.run(&consortium.admin(), &[&create[..], &GRANTS].concat());
        let channel = made["id"].as_str().expect("an id").parse().expect("hex");
        (Self { consortium, channel }, peer)
    }

    /// Commits records, a block each.
    async fn commit(&self, peer: &Peer, records: std::ops::Range<u32>) {
        let connection = peer.connect(&self.consortium.admin());
        for number in records {
            let outcome = self.post(&connection, number).await.expect("taken");
            assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));
        }
    }

    async fn post(
        &self,
        connection: &Connection,
        number: u32,
    ) -> Result<client::api::Outcome, client::submit::SubmitError> {
        let envelope = signed(self.channel, 9, vec![append("news", number.to_string())]);
        connection.submit(&self.channel.to_string(), &envelope, Wait::Committed).await
    }

    fn backup(&self) -> Value {
        run(&["backup", "--dir", text(&self.consortium.dir()), "--out", text(&self.consortium.path("backup"))])
    }

    fn try_backup(&self, dir: &Path) -> Output {
        try_run(&["backup", "--dir", text(dir), "--out", text(&self.consortium.path("backup"))])
    }

    fn try_restore(&self, to: &Path) -> Output {
        try_run(&["restore", "--from", text(&self.consortium.path("backup")), "--dir", text(to)])
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn refused(output: &Output, code: i32, why: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
}

fn height(document: &Value, channel: &str) -> u64 {
    let channels = document["channels"].as_array().expect("channels").iter();
    let found = channels.clone().find(|one| one["name"] == channel);
    found.expect("the channel")["height"].as_u64().expect("a number")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_running_peer_is_backed_up_and_comes_back_with_all_that_was_committed() {
    let (world, peer) = World::begin();
    world.commit(&peer, 0..3).await;
    let first = world.backup();
    assert_eq!((height(&first["backup"], "trade"), first["backup"]["missing"].as_array().map(Vec::len)), (3, Some(0)));
    let blocks = world.consortium.path("backup/channels/trade/00000000000000000000.blocks");
    let before = fs::read(&blocks).expect("there");

    world.commit(&peer, 3..5).await;
    let second = world.backup();
    assert_eq!(height(&second["backup"], "trade"), 5);
    assert!(second["blocks_added"].as_u64().is_some_and(|added| (2..6).contains(&added)), "{second}");
    assert!(fs::read(&blocks).expect("there").starts_with(&before), "what was there is not written again");
    let passphrase = world.consortium.dir().join("authority.passphrase");
    assert_eq!(second["backup"]["left_out"][0], text(&passphrase));
    let folder = second["backup"]["folder"].as_str().expect("a name");
    let kept = |name: &str| world.consortium.path("backup").join(folder).join(name);
    for key in ["peer/seal.pem", "peer/key.pem", "ca/bank.key", "profiles/admin/key.pem"] {
        assert_eq!(mode(&kept(key)), 0o600, "{key}");
    }
    assert_eq!(mode(&world.consortium.path("backup")), 0o700);
    assert!(!kept("authority.passphrase").exists());

    // The peer goes on, and is lost.
    world.commit(&peer, 5..6).await;
    peer.kill();
    let verified = run(&["verify", "--backup", text(&world.consortium.path("backup"))]);
    assert_eq!(height(&verified, "trade"), 5);
    let restored = world.consortium.path("restored");
    let made: Value = json_of(&world.try_restore(&restored).stdout).expect("JSON");
    assert_eq!(height(&made, "trade"), 5, "{made}");
    assert!(made["incarnation"].as_str().is_some_and(|incarnation| incarnation.starts_with("2 ")), "{made}");
    assert_eq!(mode(&restored.join("peer/seal.pem")), 0o600);
    refused(&world.try_restore(&restored), 2, "it is not empty");

    fs::copy(&passphrase, restored.join("authority.passphrase")).expect("copied");
    let peer = Peer::start(&restored, &[]);
    let status = peer.run(&world.consortium.admin(), &["status"]);
    assert_eq!((&status["incarnation"], &status["fenced"]), (&made["incarnation"], &Value::Null));
    world.commit(&peer, 10..12).await;
    // It issues certificates, too.
    let out = world.consortium.path("late");
    run(&["ca", "--dir", text(&restored), "issue", "bank", "client", "late", "--out", text(&out)]);
    peer.drain();
    let audited = run(&["verify", "--dir", text(&restored)]);
    assert_eq!(height(&audited, "trade"), 7);

    // What the lost peer had sealed above the backup is another history than the restored one's.
    let peer = Peer::start(&world.consortium.dir(), &[]);
    world.commit(&peer, 20..21).await;
    world.backup();
    let backup = world.consortium.path("backup");
    let before = contents(&backup);
    refused(&world.try_backup(&restored), 1, "history is not the one in the backup");
    assert!(contents(&backup) == before, "another history changed the backup");
    let verified = run(&["verify", "--backup", text(&backup)]);
    assert_eq!(height(&verified, "trade"), 7, "as it was");
    peer.drain();

    // The other way round: the retired peer is backed up over the restored one, running or not.
    let second = world.consortium.path("second");
    let onto = |dir: &Path| try_run(&["backup", "--dir", text(dir), "--out", text(&second)]);
    assert!(onto(&restored).status.success());
    let before = contents(&second);
    refused(&onto(&world.consortium.dir()), 1, "it was retired, or is a copy");
    assert!(contents(&second) == before, "a retired peer changed the backup");
    let peer = Peer::start(&world.consortium.dir(), &[]);
    refused(&onto(&world.consortium.dir()), 1, "it was retired, or is a copy");
    assert!(contents(&second) == before, "a retired peer that runs changed the backup");
    peer.drain();
    assert!(onto(&restored).status.success(), "its own peer goes on with it");
}

/// All files below a folder, with what is in them.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = modes(folder).into_iter().filter(|(_, is_folder, _)| !is_folder);
    let mut found: Vec<_> = files.map(|(path, _, _)| (fs::read(&path).expect("readable"), path)).collect();
    found.sort_by(|one, other| one.1.cmp(&other.1));
    found.into_iter().map(|(bytes, path)| (path, bytes)).collect()
}

/// Files and folders below one, each with its mode.
fn modes(path: &Path) -> Vec<(PathBuf, bool, u32)> {
    let metadata = fs::symlink_metadata(path).expect("there");
    let mut found = vec![(path.to_owned(), metadata.is_dir(), metadata.permissions().mode() & 0o777)];
    if metadata.is_dir() {
        let entries = fs::read_dir(path).expect("readable").map(|entry| entry.expect("readable").path());
        found.extend(entries.flat_map(|entry| modes(&entry)));
    }
    found
}

/// Files of a backup had the modes of the first ones, and blocks and stores what the umask left.
#[tokio::test]
async fn what_is_private_is_its_owners_alone_whatever_the_umask_says() {
    let home = tempfile::tempdir().expect("a directory");
    let [dir, out, restored] = ["peer", "backup", "restored"].map(|name| home.path().join(name));
    let open = || {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 000 && exec \"$0\" \"$@\"", text(Path::new(chancery().get_program()))]);
        command
    };
    let by = |arguments: &[&str]| {
        let output = open().args(arguments).output().expect("sh runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    };
    let common = ["--consortium", "test.example", "--org", "bank", "--listen", "127.0.0.1:0", "--metrics", ""];
    by(&[&["init", "--dir", text(&dir)], &common[..]].concat());
    let admin = dir.join("profiles/admin");
    by(&["--profile", text(&admin), "key", "new"]);
    by(&["ca", "--dir", text(&dir), "issue", "bank", "client", "ann", "--out", text(&home.path().join("ann"))]);
    let peer = Peer::start_by(open(), &dir, &[]);
    peer.run(&admin, &["channel", "create", "trade", "--org", "bank"]);
    peer.run(&admin, &["participant", "admit", "--channel", "trade"]);
    let fetched = home.path().join("fetched");
    by(&["--profile", text(&admin), "--peer", &peer.url, "channel", "fetch", "trade", "--out", text(&fetched)]);
    by(&["backup", "--dir", text(&dir), "--out", text(&out), "--with-passphrase"]);
    peer.drain();
    by(&["restore", "--from", text(&out), "--dir", text(&restored)]);
    Peer::start_by(open(), &restored, &[]).drain();

    // Whoever gets into a directory of a peer or a profile may read certificates, lists and settings there.
    let public = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let certificates = name.ends_with(".pem") && name != "key.pem" && name != "seal.pem";
        certificates || name.ends_with(".der") || ["chancery.toml", "main.json", "profile.toml"].contains(&name)
    };
    for made in [&dir, &home.path().join("ann")] {
        assert_eq!(mode(made), 0o700, "{}", made.display());
        for (path, is_folder, mode) in modes(made) {
            assert!(is_folder || mode == if public(&path) { 0o644 } else { 0o600 }, "{mode:o} {}", path.display());
        }
    }
    for private in [&out, &fetched, &dir.join("data"), &restored.join("data")] {
        for (path, is_folder, mode) in modes(private) {
            assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{mode:o} {}", path.display());
        }
    }
    // Files that the restored peer has written since may be public as those of the first one.
    for (path, is_folder, mode) in modes(&restored) {
        let expected: &[u32] = match is_folder {
            true => &[0o700],
            false if public(&path) => &[0o600, 0o644],
            false => &[0o600],
        };
        assert!(expected.contains(&mode), "{mode:o} {}", path.display());
    }
}

/// A peer that does not run is backed up from its files; one whose places are elsewhere is restored into one directory.
#[tokio::test]
async fn a_peer_with_its_files_in_many_places_is_restored_into_one_directory() {
    let (world, peer) = World::begin();
    world.commit(&peer, 0..2).await;
    peer.drain();
    let (dir, store) = (world.consortium.dir(), world.consortium.path("elsewhere"));
    fs::create_dir_all(store.join("keys")).expect("a directory");
    fs::rename(dir.join("peer/seal.pem"), store.join("keys/seal.pem")).expect("moved");
    fs::rename(dir.join("peer/incarnation"), store.join("keys/incarnation")).expect("moved");
    fs::rename(dir.join("authority.passphrase"), store.join("passphrase")).expect("moved");
    fs::rename(dir.join("data"), store.join("data")).expect("moved");
    let set = |key: &str, name: &str| format!("{key} = \"{}\"\n", store.join(name).display());
    let lines =
        [set("seal_key", "keys/seal.pem"), set("authority_passphrase_file", "passphrase"), set("data_dir", "data")];
    let text_of = fs::read_to_string(dir.join("chancery.toml")).expect("readable");
    let kept = text_of
        .lines()
        .filter(|line| !["seal_key", "authority_passphrase_file", "data_dir"].iter().any(|key| line.starts_with(key)));
    let changed = lines.concat() + &kept.map(|line| format!("{line}\n")).collect::<String>();
    fs::write(dir.join("chancery.toml"), changed).expect("writable");
    Peer::start(&dir, &[]).drain();

    let made = world.backup();
    assert_eq!(height(&made["backup"], "trade"), 2);
    let restored = world.consortium.path("restored");
    let output = world.try_restore(&restored);
    assert!(output.status.success(), "{}", said(&output));
    let config = fs::read_to_string(restored.join("chancery.toml")).expect("readable");
    assert!(config.contains("data_dir = \"data\"") && config.contains("seal_key = \"peer/seal.pem\""), "{config}");
    assert!(config.contains(text(&store.join("passphrase"))), "where the passphrase is stays: {config}");
    let peer = Peer::start(&restored, &[]);
    world.commit(&peer, 2..3).await;
    peer.drain();
    // The directory's path is longer than a socket's address may be.
    let deep = world.consortium.path(&"deep/".repeat(25));
    fs::create_dir_all(deep.parent().expect("a parent")).expect("directories");
    fs::rename(&restored, &deep).expect("renamed");
    let peer = Peer::start(&deep, &[]);
    let again = world.consortium.path("again");
    let made = run(&["backup", "--dir", text(&deep), "--out", text(&again)]);
    assert_eq!((height(&made["backup"], "trade"), mode(&deep.join("control.sock"))), (3, 0o600));
    peer.drain();
}

#[tokio::test]
async fn what_is_not_whole_never_says_so() {
    let (world, peer) = World::begin();
    world.commit(&peer, 0..3).await;
    let backup = world.consortium.path("backup");
    let dir = world.consortium.dir();
    // Killed anywhere: what there is can be restored, or says that it is nothing.
    let mut wholes = 0;
    for micros in (0..60).map(|step| step * 1500) {
        let mut command = chancery();
        command.args(["backup", "--dir", text(&dir), "--out", text(&backup)]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(micros) {
            std::hint::spin_loop();
        }
        child.kill().expect("it was not waited for");
        child.wait().expect("it ends");
        let verified = try_run(&["verify", "--backup", text(&backup)]);
        if backup.join("backup.json").exists() {
            assert!(verified.status.success(), "after {micros} µs: {}", said(&verified));
            wholes += 1;
            if wholes % 5 == 0 {
                // From nothing again.
                fs::remove_dir_all(&backup).expect("removes");
            }
        } else {
            assert_eq!(verified.status.code(), Some(2), "{}", said(&verified));
            let restored = world.try_restore(&world.consortium.path("never"));
            assert_eq!(restored.status.code(), Some(2), "{}", said(&restored));
        }
    }
    world.backup();

    // Another one at the same time.
    let held = File::open(&backup).expect("there");
    held.try_lock().expect("free");
    refused(&world.try_backup(&dir), 3, "is in use");
    refused(&world.try_restore(&world.consortium.path("never")), 3, "is in use");
    drop(held);

    // Something else in the directory, and another peer's backup.
    let other = Consortium::new();
    refused(
        &try_run(&["backup", "--dir", text(&dir), "--out", text(&other.dir())]),
        2,
        "it is not empty, and no backup",
    );
    let theirs = world.consortium.path("theirs");
    fs::create_dir(&theirs).expect("a directory");
    fs::write(theirs.join("file"), "x").expect("writes");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).expect("ours");
    refused(&try_run(&["backup", "--dir", text(&dir), "--out", text(&theirs)]), 2, "it is not empty, and no backup");
    refused(&world.try_restore(&theirs), 2, "it is not empty");
    assert_eq!(mode(&theirs), 0o755, "somebody else's directory stays as it was");
    other.serve().drain();
    let output = try_run(&["backup", "--dir", text(&other.dir()), "--out", text(&backup)]);
    refused(&output, 1, "it was retired, or is a copy");
    world.backup();

    // Rot in a file, and in a block.
    let manifest: Value = json_of(&fs::read(backup.join("backup.json")).expect("there")).expect("JSON");
    let folder = backup.join(manifest["folder"].as_str().expect("a name"));
    for file in [folder.join("ca/index.jsonl"), backup.join("channels/trade/00000000000000000000.blocks")] {
        let whole = fs::read(&file).expect("readable");
        let mut rotten = whole.clone();
        rotten[whole.len() / 2] ^= 1;
        fs::write(&file, rotten).expect("writable");
        let verified = try_run(&["verify", "--backup", text(&backup)]);
        assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
        let restored = world.consortium.path("rotten");
        let output = world.try_restore(&restored);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(!restored.join("peer/seal.pem").exists(), "what is not whole cannot seal");
        let served = chancery().args(["serve", "--dir", text(&restored)]).output().expect("runs");
        assert_eq!(served.status.code(), Some(3));
        fs::remove_dir_all(&restored).expect("removes");
        fs::write(&file, whole).expect("writable");
    }
    assert!(world.try_restore(&world.consortium.path("sound")).status.success());
}

/// A target without room: a clear end, and the earlier backup holds.
#[test]
fn a_full_disk_leaves_the_earlier_backup_whole() {
    let consortium = Consortium::new();
    let script = r#"mount -t tmpfs -o size=$3k chancery "$2" && "$0" --json backup --dir "$1" --out "$2/b" && \
                    dd if=/dev/zero of="$2/filler" bs=1k 2>/dev/null; "$0" --json backup --dir "$1" --out "$2/b"; code=$?
                    rm "$2/filler" && "$0" --json verify --backup "$2/b" && exit $code"#;
    consortium.serve().drain();
    let mount = consortium.path("small");
    fs::create_dir(&mount).expect("a directory");
    let program = chancery();
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, text(Path::new(program.get_program()))])
        .args([text(&consortium.dir()), text(&mount), "2048"])
        .output()
        .expect("unshare runs");
    refused(&output, 3, "No space left on device");
}

#[tokio::test]
async fn a_copy_of_a_peer_reads_and_seals_nothing_until_it_is_told_that_it_was_moved() {
    let (world, peer) = World::begin();
    world.commit(&peer, 0..2).await;
    let admin = world.consortium.admin();
    peer.run(&admin, &["channel", "create", "open", "--org", "bank", "--grant", "bank=member"]);
    peer.drain();
    let copy = world.consortium.path("copy");
    let copied = Command::new("cp").args(["-a", text(&world.consortium.dir()), text(&copy)]).status();
    assert!(copied.expect("cp runs").success());
    let first = world.consortium.serve();
    let second = Peer::start(&copy, &[("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")]);
    second.says("the peer seals and issues nothing");
    let status = second.run(&admin, &["status"]);
    assert!(status["fenced"].as_str().is_some_and(|why| why.contains("serve --moved")), "{status}");
    assert_eq!(second.metric("chancery_fenced"), "1");
    let height = second.run(&admin, &["channel", "show", "open"])["height"].as_u64();
    assert_eq!(height, first.run(&admin, &["channel", "show", "open"])["height"].as_u64(), "it can be read");
    let blocks = second.run(&admin, &["channel", "blocks", "open"]);
    assert_eq!(blocks["items"].as_array().map(Vec::len), Some(1), "{blocks}");
    let problem = world.post(&second.connect_once(&admin), 7).await.expect_err("refused");
    assert!(format!("{problem:?}").contains("peer-fenced"), "{problem:?}");
    world.commit(&first, 2..3).await;
    second.drain();
    first.drain();

    let moved = Peer::start_by_with(&copy, &["--moved"]);
    let status = moved.run(&admin, &["status"]);
    assert_eq!((&status["fenced"], status["incarnation"].as_str().map(|text| &text[..2])), (&Value::Null, Some("2 ")));
    world.commit(&moved, 3..4).await;
    moved.drain();
    Peer::start(&copy, &[]).drain();
    // Data that was lost is no new peer.
    fs::remove_dir_all(copy.join("data")).expect("removes");
    let output = chancery().args(["serve", "--dir", text(&copy)]).output().expect("runs");
    refused(&output, 3, "the directory of channels is not where its fence says");
}

/// A key that was copied without the file that says that it was used sealed another first block of `main`; and whoever
/// could not read a fence went past it.
#[tokio::test]
async fn a_seal_key_or_a_ca_that_was_used_elsewhere_signs_nothing_in_a_new_directory() {
    let (world, peer) = World::begin();
    let (dir, other) = (world.consortium.dir(), world.consortium.path("other"));
    fs::create_dir_all(other.join("peer")).expect("directories");
    for name in ["cert.pem", "key.pem", "ca.pem", "seal.pem"] {
        fs::copy(dir.join("peer").join(name), other.join("peer").join(name)).expect("copied");
    }
    for name in ["chancery.toml", "main.json", "authority.passphrase"] {
        fs::copy(dir.join(name), other.join(name)).expect("copied");
    }
    let issue = |dir: &Path, name: &str| {
        let out = world.consortium.path(name);
        try_run(&["ca", "--dir", text(dir), "issue", "bank", "client", name, "--out", text(&out)])
    };
    let mut serve = chancery();
    serve.args(["serve", "--dir", text(&other)]).env("CHANCERY_METRICS_LISTEN", "127.0.0.1:0");
    let output = serve.output().expect("runs");
    refused(&output, 3, "the directory of channels is not where its fence says");
    assert!(said(&output).contains("nothing says that the seal key is unused"), "{}", said(&output));
    assert!(!other.join("data/main").exists(), "it has no first block of its own");

    // The authorities alone, and beside channels that both directories name.
    copy_folder(&dir.join("ca"), &other.join("ca"));
    refused(&issue(&other, "x"), 1, "serve --moved");
    fs::remove_dir_all(other.join("peer")).expect("removes");
    fs::remove_dir_all(other.join("data")).expect("removes");
    refused(&issue(&other, "x"), 1, "this is a copy");
    copy_folder(&dir.join("peer"), &other.join("peer"));
    std::os::unix::fs::symlink(dir.join("data"), other.join("data")).expect("a link");
    refused(&issue(&other, "x"), 1, "this is a copy");

    // Where nobody can tell, nothing is signed; what is there can be read.
    assert!(issue(&dir, "ann").status.success());
    let fence = dir.join("data/fence.place");
    let (whole, config) = (fs::read(&fence).expect("there"), fs::read(dir.join("chancery.toml")).expect("there"));
    for damaged in [&b""[..], &whole[..whole.len() / 2]] {
        fs::write(&fence, damaged).expect("writable");
        refused(&issue(&dir, "x"), 1, "fence.place is damaged");
    }
    fs::remove_file(&fence).expect("there");
    refused(&issue(&dir, "x"), 1, "serve --moved");
    files::write_private(&fence, &whole).expect("writable");
    fs::write(dir.join("chancery.toml"), "listen = 7").expect("writable");
    refused(&try_run(&["ca", "--dir", text(&dir), "crl"]), 1, "nothing tells where its peer is");
    assert!(try_run(&["ca", "--dir", text(&dir), "list"]).status.success());
    fs::write(dir.join("chancery.toml"), config).expect("writable");
    assert!(issue(&dir, "bob").status.success());
    peer.drain();

    // A folder that no peer has served may be copied on purpose: it has no fence.
    let [offline, copy] = ["offline", "offline-copy"].map(|name| world.consortium.path(name));
    run(&["ca", "--dir", text(&offline), "init", "--consortium", "test.example", "--org", "carrier"]);
    copy_folder(&offline, &copy);
    let out = world.consortium.path("carl");
    let at = ["--at", "https://localhost:7100", "--out", text(&out)];
    run(&[&["ca", "--dir", text(&copy), "issue", "carrier", "client", "carl"], &at[..]].concat());
}

/// docs/operating/backup.md says which files make a peer.
#[tokio::test]
async fn the_documented_list_of_files_restores_a_peer() {
    let page = include_str!("../../../docs/operating/backup.md");
    let (_, list) = page.split_once("<!-- the files of a peer -->\n").expect("the page has the list");
    let names = list.lines().skip_while(|line| line.is_empty()).take_while(|line| line.starts_with("- "));
    let names: Vec<&str> = names.map(|line| line.split('`').nth(1).expect("a name in backticks")).collect();
    assert!(names.len() > 3, "{names:?}");

    let (world, peer) = World::begin();
    world.commit(&peer, 0..3).await;
    peer.drain();
    let (from, to) = (world.consortium.dir(), world.consortium.path("by-hand"));
    fs::create_dir(&to).expect("a directory");
    for name in names {
        match name.strip_suffix('/') {
            Some(folder) => copy_folder(&from.join(folder), &to.join(folder)),
            None => drop(fs::copy(from.join(name), to.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))),
        }
    }
    let peer = Peer::start_by_with(&to, &["--moved"]);
    world.commit(&peer, 3..5).await;
    peer.drain();
    assert_eq!(height(&run(&["verify", "--dir", text(&to)]), "trade"), 5);
}

/// An auditor takes what a peer shows, and needs no peer to check it.
#[tokio::test]
async fn an_auditor_fetches_blocks_and_verifies_them_elsewhere() {
    let consortium = Consortium::new();
    let eve = consortium.profile("bank", "auditor", "eve");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let identity = "spiffe://test.example/bank/auditor/eve";
    let create = ["channel", "create", "trade", "--org", "bank", "--open-submit", "--grant"];
    let made = peer.run(&admin, &[&create[..], &[&format!("{identity}=read")]].concat());
    let channel: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let world = World { consortium, channel };
    world.commit(&peer, 0..4).await;
    let folder = world.consortium.path("fetched");
    let fetch = ["channel", "fetch", "trade", "--out", text(&folder)];
    let fetched = peer.run(&eve, &fetch);
    assert_eq!((&fetched["height"], &fetched["blocks_added"]), (&4.into(), &5.into()));
    world.commit(&peer, 4..6).await;
    let fetched = peer.run(&eve, &fetch);
    assert_eq!((&fetched["height"], &fetched["blocks_added"]), (&6.into(), &2.into()));
    let file = world.consortium.path("trade.blocks");
    let export = ["block", "export", "trade", "--file", text(&file)];
    let exported = peer.run(&eve, &export);
    assert_eq!((&exported["height"], &exported["tip"]), (&6.into(), &fetched["tip"]));
    let again = try_run(&[&["--profile", text(&eve), "--peer", &peer.url], &export[..]].concat());
    refused(&again, 2, "exists");
    let mut answers = Vec::new();
    tests::conformance::chain::run(&fs::read(&file).expect("there")[..], &mut answers).expect("of this version");
    let expected: String =
        (0..=6).map(|height| format!("{{\"height\":{height},\"ok\":true,\"reason\":null}}\n")).collect();
    assert_eq!(String::from_utf8(answers).expect("text"), expected);
    let other = world.consortium.profile("bank", "client", "alice");
    let refused_to = try_run(&[&["--profile", text(&other), "--peer", &peer.url], &fetch[..]].concat());
    assert_eq!(refused_to.status.code(), Some(1), "{}", said(&refused_to));
    peer.kill();

    let id = channel.to_string();
    let sound = run(&["verify", "--blocks", text(&folder), "--channel-id", &id]);
    assert_eq!((&sound["height"], &sound["tip"], &sound["transactions"]), (&6.into(), &fetched["tip"], &6.into()));
    let other = "0".repeat(64);
    refused(&try_run(&["verify", "--blocks", text(&folder), "--channel-id", &other]), 1, "not of");
    let file = folder.join("00000000000000000000.blocks");
    let mut bytes = fs::read(&file).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("writable");
    refused(&try_run(&["verify", "--blocks", text(&folder)]), 1, "NOT SOUND");
}

fn json_of(bytes: &[u8]) -> Result<Value, impl std::fmt::Debug> {
    ledger_classes::primitives::json::from_slice(bytes)
}

/// The passphrase is elsewhere by a variable: the backup said that it was done, and neither `verify` nor `restore` read it.
#[test]
fn a_backup_whose_passphrase_is_elsewhere_by_a_variable_can_be_read() {
    let consortium = Consortium::new();
    let dir = consortium.dir();
    consortium.serve().drain();
    let (secret, out) = (consortium.path("secret/passphrase"), consortium.path("backup"));
    fs::create_dir_all(secret.parent().expect("a folder")).expect("writable");
    fs::rename(dir.join("authority.passphrase"), &secret).expect("moved");
    let by = |arguments: &[&str]| {
        let mut command = chancery();
        command.env("CHANCERY_AUTHORITY_PASSPHRASE_FILE", &secret).arg("--json").args(arguments);
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    by(&["backup", "--dir", text(&dir), "--out", text(&out)]);
    by(&["verify", "--backup", text(&out)]);
    let restored = consortium.path("restored");
    by(&["restore", "--from", text(&out), "--dir", text(&restored)]);
    let config = fs::read_to_string(restored.join("chancery.toml")).expect("readable");
    assert!(config.contains(text(&secret)) && !restored.join("authority.passphrase").exists(), "{config}");
}
