//! Nothing that time does alone locks anybody out: the clock walks past every expiry of a running consortium, leaps
//! over all of them at once, and goes ahead and back.
//!
//! The clock of the program's processes is libfaketime's: nothing of the program knows. The commands are those of
//! docs/operating/authorities.md, "When clocks or certificates went wrong".

use crate::harness::{Peer, chancery, copy_folder, text};
use crate::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tempfile::TempDir;

const DAY: i64 = 24 * 60 * 60;

/// libfaketime for programs with threads; `tests/run` installs it.
fn faketime() -> String {
    let places = [
        "/usr/lib/x86_64-linux-gnu/faketime",
        "/usr/lib/aarch64-linux-gnu/faketime",
        "/usr/lib/faketime",
        "/usr/lib64/faketime",
    ];
    let files = places.iter().map(|place| format!("{place}/libfaketimeMT.so.1"));
    let found = files.into_iter().find(|file| Path::new(file).exists());
    found.expect("libfaketime is installed (apt-get install faketime)")
}

/// A consortium of three organizations under one clock: `bank` has the peer and an Ed25519 CA, `dealer` a P-256 CA
/// under the same root, `carrier` a root of its own.
struct World {
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl World {
    /// The CAs begin so many days after the consortium.
    fn new(dealer: i64, carrier: i64) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let clock = home.path().join("clock");
        let variables = [
            ("LD_PRELOAD", faketime()),
            ("FAKETIME_TIMESTAMP_FILE", text(&clock).to_owned()),
            ("FAKETIME_NO_CACHE", "1".into()),
            // Durations are real; so are the times of files, by which the peer sees that they have changed.
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let world = Self { home, variables };
        world.day(0);
        let common =
            ["--consortium", "test.example", "--org", "bank", "--listen", "127.0.0.1:0", "--metrics", "", "--public"];
        world.run(&[&["init", "--dir", text(&world.dir())], &common[..]].concat());
        world.day(dealer);
        world.ca(&["organization", "dealer", "--algorithm", "p256"]);
        world.day(carrier);
        world.ca(&["organization", "carrier", "--own-root"]);
        world
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("peer")
    }

    fn admin(&self) -> PathBuf {
        self.dir().join("profiles/admin")
    }

    /// Sets the clock of every process, running ones too: real time and so many days.
    fn day(&self, day: i64) {
        self.ahead(day * DAY);
    }

    /// The same by seconds.
    fn ahead(&self, seconds: i64) {
        let (clock, next) = (self.home.path().join("clock"), self.home.path().join("clock.next"));
        fs::write(&next, format!("+{seconds}\n")).expect("writes");
        fs::rename(next, clock).expect("renames");
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = chancery();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.arg("--json").args(arguments).output().expect("the program starts")
    }

    /// Runs a command that must succeed.
    fn run(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments);
        let told = || format!("{arguments:?}: {}{}", shown(&output.stdout), shown(&output.stderr));
        assert!(output.status.success(), "{}", told());
        ledger_classes::primitives::json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", told()))
    }

    fn ca(&self, arguments: &[&str]) -> Value {
        self.run(&[&["ca", "--dir", text(&self.dir())], arguments].concat())
    }

    /// The certificate of a folder, by whoever has the CAs.
    fn renew(&self, folder: &Path, more: &[&str]) {
        self.ca(&[&["renew", text(folder)], more].concat());
    }

    /// Another certificate for a CA, and its list.
    fn reissue(&self, organization: &str) {
        self.ca(&["reissue", organization]);
        self.ca(&["crl", organization]);
    }

    fn serve(&self, more: &[(&str, &str)]) -> Running<'_> {
        self.serve_in(&self.dir(), &[], more)
    }

    fn serve_in(&self, dir: &Path, arguments: &[&str], more: &[(&str, &str)]) -> Running<'_> {
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        Running { world: self, peer: Peer::start_with(dir, arguments, &variables) }
    }

    /// A profile with an account.
    fn member(&self, organization: &str, role: &str, name: &str, days: &str, algorithm: &str) -> PathBuf {
        let out = self.home.path().join(name);
        let terms = ["--out", text(&out), "--days", days, "--algorithm", algorithm];
        self.ca(&[&["issue", organization, role, name], &terms[..]].concat());
        self.run(&["--profile", text(&out), "key", "new"]);
        out
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The peer, while it runs.
struct Running<'w> {
    world: &'w World,
    peer: Peer,
}

impl Running<'_> {
    fn ask(&self, profile: &Path, arguments: &[&str]) -> Output {
        self.world.command(&[&["--profile", text(profile), "--peer", &self.peer.url], arguments].concat())
    }

    /// A client's command that must succeed.
    fn run(&self, profile: &Path, arguments: &[&str]) -> Value {
        self.world.run(&[&["--profile", text(profile), "--peer", &self.peer.url], arguments].concat())
    }

    fn admit(&self, profile: &Path) {
        self.run(profile, &["participant", "admit", "--channel", "trade"]);
    }

    /// A transaction of the profile's account is in a block, and done.
    fn commits(&self, profile: &Path) {
        self.run(profile, &["log", "append", "tests.expiry", "--channel", "trade"]);
    }

    /// The command is refused, and says why.
    fn refuses(&self, profile: &Path, arguments: &[&str], why: &str) {
        let output = self.ask(profile, arguments);
        let told = format!("{}{}", shown(&output.stdout), shown(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.to_lowercase().contains(why), "{arguments:?}: {told}");
    }

    /// Neither the connection nor, over another's, the account is accepted any more.
    fn is_over(&self, profile: &Path, other: &Path) {
        self.refuses(profile, &["status"], "expired");
        let key = profile.join("account.key");
        let append = ["log", "append", "tests.expiry", "--channel", "trade", "--key", text(&key)];
        self.refuses(other, &append, "participant-expired");
    }

    /// Waits until the peer, whose files have changed, accepts the caller and is accepted by it.
    fn knows(&self, profile: &Path) {
        wait::until_found(&profile.display().to_string(), || {
            self.ask(profile, &["status"]).status.success().then_some(())
        });
    }

    fn again(self) -> Self {
        let world = self.world;
        self.peer.drain();
        world.serve(&[])
    }
}

/// A channel of the three organizations: what its members' administrators and clients may, and who must approve.
fn channel(peer: &Running<'_>, approvals: &str) {
    let mut create = vec!["channel", "create", "trade", "--approvals", approvals];
    for organization in ["bank", "dealer", "carrier"] {
        create.extend(["--org", organization]);
    }
    for grant in ["bank=member,admin", "dealer=member,admin", "carrier=member,admin"] {
        create.extend(["--grant", grant]);
    }
    peer.run(&peer.world.admin(), &create);
}

#[test]
fn the_clock_walks_past_every_expiry_and_only_its_own_holder_waits() {
    // The CAs end on days 3650, 3680 and 3710.
    let world = World::new(30, 60);
    let ann = world.member("bank", "client", "ann", "3650", "ed25519");
    let dora = world.member("dealer", "client", "dora", "3650", "p256");
    let carl = world.member("carrier", "client", "carl", "3650", "p256");
    let short = world.member("dealer", "client", "short", "10", "ed25519");
    let deputy = world.member("carrier", "admin", "deputy", "20", "p256");
    let all = [&ann, &dora, &carl];
    let mut peer = world.serve(&[]);
    // The first CRLs have expired meanwhile: the peer signs them as it starts.
    peer.knows(&world.admin());
    channel(&peer, "majority");
    for member in [&ann, &dora, &carl, &short, &deputy] {
        peer.admit(member);
        peer.commits(member);
    }

    // A client's certificate, renewed by its peer: with it no connection can be opened, and none is needed.
    world.day(60 + 9);
    peer.commits(&short);
    world.day(60 + 11);
    peer.is_over(&short, &dora);
    all.iter().for_each(|member| peer.commits(member));
    peer = peer.again();
    peer.run(&short, &["ca", "renew"]);
    peer.refuses(&short, &["log", "append", "tests.expiry", "--channel", "trade"], "participant-expired");
    peer.admit(&short);
    peer.commits(&short);

    // An administrator's, renewed by whoever has the folder.
    peer.commits(&deputy);
    world.day(60 + 20);
    peer.commits(&carl);
    world.day(60 + 21);
    peer.is_over(&deputy, &carl);
    all.iter().for_each(|member| peer.commits(member));
    world.renew(&deputy, &[]);
    peer.knows(&deputy);
    peer.admit(&deputy);
    peer.commits(&deputy);

    // Every CRL, while the peer is off: it signs them again when it starts.
    peer.peer.drain();
    world.day(60 + 60);
    peer = world.serve(&[]);
    all.iter().for_each(|member| peer.knows(member));
    all.iter().for_each(|member| peer.commits(member));

    // The peer's own certificate and the first administrator's, on a peer that cannot renew itself: it starts and
    // answers whoever does not ask for its certificate's dates.
    peer.peer.drain();
    world.day(60 + 60 + 366);
    let alone = world.serve(&[("CHANCERY_AUTHORITY_DIR", "elsewhere")]);
    let status = format!("{}/v1/status", alone.peer.url);
    let curl = Command::new("curl").args(["--silent", "--show-error", "--insecure", &status]).output();
    let answer = curl.expect("curl is installed").stdout;
    let answer: Value = ledger_classes::primitives::json::from_slice(&answer)
        .unwrap_or_else(|error| panic!("{error}: {}", shown(&answer)));
    assert_eq!(answer["peer"], "spiffe://test.example/bank/peer/peer-1", "{answer:#}");
    alone.refuses(&ann, &["status"], "expired");
    alone.peer.drain();
    peer = world.serve(&[]);
    all.iter().for_each(|member| peer.knows(member));
    all.iter().for_each(|member| peer.commits(member));
    peer.refuses(&world.admin(), &["status"], "expired");
    world.renew(&world.admin(), &[]);
    peer.knows(&world.admin());

    // The CA of the peer's own organization, in time: nobody waits.
    peer.peer.drain();
    world.day(3640);
    world.reissue("bank");
    peer = world.serve(&[]);
    all.iter().for_each(|member| peer.knows(member));
    world.renew(&ann, &[]);
    peer.run(&ann, &["channel", "renew-authority", "trade", "bank", "--dir", text(&world.dir())]);
    peer.admit(&ann);
    world.day(3651);
    all.iter().for_each(|member| peer.commits(member));

    // An issuing CA, and a root of an organization's own, when it is too late.
    for (day, organization, member, others) in
        [(3681, "dealer", &dora, [&ann, &carl]), (3711, "carrier", &carl, [&ann, &dora])]
    {
        world.day(day - 2);
        world.ca(&["crl"]);
        all.iter().for_each(|member| peer.knows(member));
        all.iter().for_each(|member| peer.commits(member));
        world.day(day);
        // Some list may be no newer than the organization's last reissue; the new one is read within a second.
        others.iter().for_each(|other| peer.knows(other));
        peer.is_over(member, others[0]);
        others.iter().for_each(|other| peer.commits(other));
        peer = peer.again();
        others.iter().for_each(|other| peer.commits(other));

        let refused = world.command(&["ca", "--dir", text(&world.dir()), "renew", text(member)]);
        assert!(!refused.status.success() && shown(&refused.stderr).contains("chancery ca reissue"), "{refused:?}");
        world.reissue(organization);
        world.renew(member, &[]);
        peer.knows(member);
        peer.refuses(member, &["participant", "admit", "--channel", "trade"], "path-refused");
        peer.run(member, &["channel", "renew-authority", "trade", organization, "--dir", text(&world.dir())]);
        peer.admit(member);
        all.iter().for_each(|member| peer.commits(member));
    }

    // Who trusts nothing but the channel's id follows all of that.
    let outcome = peer.run(&dora, &["log", "append", "tests.expiry", "--channel", "trade"]);
    let proof = peer.run(&dora, &["tx", "proof", outcome["id"].as_str().expect("an id"), "--channel", "trade"]);
    let file = world.home.path().join("proof.json");
    fs::write(&file, proof.to_string()).expect("writes");
    let id = peer.run(&dora, &["channel", "show", "trade"])["id"].as_str().expect("an id").to_owned();
    world.run(&["verify", "--proof", text(&file), "--channel-id", &id]);
    peer.peer.drain();
    world.run(&["verify", "--dir", text(&world.dir())]);
}

/// All files of a folder with their contents.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).expect("readable"))),
        }
    }
    found
}

/// Two peers from one directory had one CA twice: each issued what the other did not know of, and signed CRLs under one
/// number.
#[test]
fn a_copy_behind_a_wrong_fence_issues_and_signs_nothing_until_it_is_told_that_it_was_moved() {
    let world = World::new(0, 0);
    // Two thirds of it are over on day 12, and a third of a CRL's life.
    let short = world.home.path().join("short");
    let terms = ["--days", "15", "--host", "localhost", "--host", "127.0.0.1", "--out", text(&short)];
    world.ca(&[&["issue", "bank", "peer", "peer-1"], &terms[..]].concat());
    for file in ["cert.pem", "key.pem"] {
        fs::copy(short.join(file), world.dir().join("peer").join(file)).expect("copied");
    }
    let ann = world.member("bank", "client", "ann", "90", "p256");
    let late = "spiffe://test.example/bank/client/late";
    let token = world.ca(&["token", late, "--hours", "400"]);
    let token_file = world.home.path().join("token");
    files::write_private(&token_file, token["token"].as_str().expect("a token").as_bytes()).expect("writes");
    let filed = world.home.path().join("filed");
    world.run(&["ca", "request", "--out", text(&filed), "--identity", late]);
    let request = filed.join("request.pem");
    world.serve(&[]).peer.drain();
    let copy = world.home.path().join("copy");
    copy_folder(&world.dir(), &copy);
    world.day(12);

    let issued = || (contents(&copy.join("ca")), fs::read(copy.join("peer/cert.pem")).expect("there"));
    let before = issued();
    let peer = world.serve_in(&copy, &[], &[]);
    // The peer has looked what ends, and what is to be signed again.
    peer.peer.says("expires soon");
    let admin = world.admin();
    let status = peer.run(&admin, &["status"]);
    assert!(status["fenced"].as_str().is_some_and(|why| why.contains("serve --moved")), "{status}");
    let with_token = ["ca", "request", text(&request), "--token-file", text(&token_file)];
    for (who, arguments) in [
        (&admin, &["ca", "request", text(&request)][..]),
        (&admin, &with_token),
        (&ann, &["ca", "renew"]),
        (&admin, &["ca", "token", late]),
        (&admin, &["ca", "revoke", "spiffe://test.example/bank/client/ann"]),
    ] {
        let output = peer.ask(who, arguments);
        let told = format!("{}{}", shown(&output.stdout), shown(&output.stderr));
        assert!(!output.status.success() && told.contains("peer-fenced"), "{arguments:?}: {told}");
    }
    // What there is can be read.
    assert!(peer.run(&admin, &["ca", "list"])["items"].as_array().is_some_and(|all| all.len() > 2));
    let on = |words: &[&str]| world.command(&[&["ca", "--dir", text(&copy)], words].concat());
    assert!(on(&["list"]).status.success());
    for words in [&["crl"][..], &["issue", "bank", "client", "x", "--out", text(&world.home.path().join("x"))]] {
        let output = on(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(shown(&output.stderr).contains("serve --moved"), "{words:?}: {}", shown(&output.stderr));
    }
    peer.peer.drain();
    assert!(issued() == before, "a copy changed what was issued");

    let peer = world.serve_in(&copy, &["--moved"], &[]);
    peer.peer.says("a CRL was signed again");
    assert_ne!(issued().1, before.1, "the peer's own certificate is renewed");
    peer.run(&ann, &["ca", "renew"]);
    let made = peer.run(&admin, &with_token);
    assert_eq!(made["status"], "issued", "{made}");
    assert!(on(&["crl"]).status.success());
}

/// The formats' documents know what was committed.
fn described(peer: &Running<'_>, member: &Path, outcome: &Value, kind: &str) {
    let id = outcome["id"].as_str().expect("an id");
    crate::schemas::describes(peer.run(member, &["tx", "proof", id, "--channel", "trade"]), kind);
}

/// A machine that slept for ten years: certificates, CRLs and the CAs of all three organizations are over.
#[test]
fn everything_has_expired_at_once_and_everybody_comes_back() {
    let world = World::new(0, 0);
    let ann = world.member("bank", "admin", "ann", "90", "ed25519");
    let dora = world.member("dealer", "admin", "dora", "90", "p256");
    let carl = world.member("carrier", "admin", "carl", "90", "p256");
    let members = [("bank", &ann), ("dealer", &dora), ("carrier", &carl)];
    let peer = world.serve(&[]);
    channel(&peer, "all");
    for (_, member) in members {
        peer.admit(member);
        peer.commits(member);
    }
    world.day(3660);
    let peer = peer.again();
    for (_, member) in members {
        peer.refuses(member, &["status"], "expired");
    }
    world.reissue("bank");
    world.ca(&["crl", "root"]);
    world.renew(&world.dir().join("peer"), &[]);
    for (organization, member) in members {
        if organization != "bank" {
            world.reissue(organization);
        }
        world.renew(member, &[]);
        peer.knows(member);
        let renewed =
            peer.run(member, &["channel", "renew-authority", "trade", organization, "--dir", text(&world.dir())]);
        described(&peer, member, &renewed, "channel.renew_authority");
        peer.admit(member);
        peer.commits(member);
    }
    // They are in command again.
    let proposed = peer.run(&ann, &["channel", "update", "trade", "--approvals", "majority"]);
    let proposal = proposed["id"].as_str().expect("an id");
    peer.run(&dora, &["channel", "approve", "trade", proposal]);
    let approved = peer.run(&carl, &["channel", "approve", "trade", proposal]);
    described(&peer, &ann, &approved, "channel.approve");
    let config = peer.run(&ann, &["channel", "show", "trade"])["config"].clone();
    assert_eq!(config["approvals"], "majority", "{config:#}");
}

/// A clock that was a year ahead for an hour: whatever was signed meanwhile is of the future, block time stays there.
#[test]
fn a_clock_goes_a_year_ahead_and_back_and_administrators_get_in() {
    let world = World::new(0, 0);
    let ann = world.member("bank", "admin", "ann", "90", "ed25519");
    let carl = world.member("carrier", "client", "carl", "3650", "p256");
    let peer = world.serve(&[]);
    channel(&peer, "any");
    for member in [&ann, &carl] {
        peer.admit(member);
        peer.commits(member);
    }
    world.day(366);
    let peer = peer.again();
    for member in [&carl, &world.admin()] {
        // The first administrator's certificate has expired; the peer's was renewed as it started.
        if member == &world.admin() {
            world.renew(member, &[]);
        }
        peer.knows(member);
    }
    peer.commits(&carl);

    world.day(0);
    let append = ["log", "append", "tests.expiry", "--channel", "trade"];
    // As documented, beginning with what a peer does by itself within a minute: its certificate is not valid yet, nor
    // are the CRLs in force.
    world.ca(&["crl"]);
    world.renew(&world.dir().join("peer"), &[]);
    // Each organization has lists of its own, which are read as they come.
    [&ann, &carl].into_iter().for_each(|member| peer.knows(member));
    peer.refuses(&carl, &append, "--at-channel-time");
    let at = |arguments: &[&'static str]| [arguments, &["--at-channel-time"]].concat();
    peer.run(&carl, &at(&append));
    peer.refuses(&ann, &at(&append), "participant-expired");
    world.renew(&ann, &["--days", "800"]);
    peer.knows(&ann);
    peer.run(&ann, &at(&["participant", "admit", "--channel", "trade"]));
    peer.run(&ann, &at(&["channel", "grant", "trade", "carrier=audit"]));
    let shown = peer.run(&ann, &["channel", "show", "trade"]);
    assert!(shown["config"]["grants"].to_string().contains("audit"), "{shown:#}");

    // A peer that starts with its clock right again goes on from there.
    let peer = peer.again();
    peer.run(&carl, &at(&append));
    world.day(366);
    world.ca(&["crl"]);
    world.renew(&world.dir().join("peer"), &[]);
    peer.knows(&carl);
    peer.commits(&carl);
}

/// Transactions are posted all along; a refusal says that they have expired, or how to go on.
#[test]
fn an_hour_either_way_stops_nobody_and_block_time_never_goes_back() {
    const HOUR: i64 = 60 * 60;
    let world = World::new(0, 0);
    let ann = world.member("bank", "client", "ann", "3650", "ed25519");
    let bob = world.member("bank", "client", "bob", "3650", "ed25519");
    world.ahead(2 * HOUR);
    let peer = world.serve(&[]);
    peer.knows(&world.admin());
    channel(&peer, "majority");
    [&ann, &bob].iter().for_each(|member| peer.admit(member));
    let leaps = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Each answer with the leap that came last before its question; the load ends with its reader.
        let (answers, answered) = mpsc::channel();
        scope.spawn(|| {
            let answers = answers;
            loop {
                let leap = leaps.load(Ordering::SeqCst);
                let posted = peer.ask(&bob, &["log", "append", "tests.load", "--channel", "trade"]);
                let told = format!("{}{}", shown(&posted.stdout), shown(&posted.stderr));
                let behind = told.contains("--at-channel-time");
                assert!(posted.status.success() || behind || told.contains("expired"), "{told}");
                if answers.send((leap, posted.status.success())).is_err() {
                    break;
                }
            }
        });
        let answered = answered;
        let (mut newest, mut newest_hours) = (String::new(), 0);
        let append = ["log", "append", "tests.expiry", "--channel", "trade"];
        for hours in [2, 1, 2, 3, 2, 1, 2] {
            world.ahead(hours * HOUR);
            let leap = leaps.fetch_add(1, Ordering::SeqCst) + 1;
            // An hour before block time is followed without a word, more only when asked for.
            let behind = hours < newest_hours - 1;
            if behind {
                peer.refuses(&ann, &append, "--at-channel-time");
                peer.run(&ann, &[&append[..], &["--at-channel-time"]].concat());
            } else {
                peer.commits(&ann);
            }
            newest_hours = newest_hours.max(hours);
            let shown = peer.run(&ann, &["channel", "show", "trade"]);
            let time = shown["time"].as_str().expect("a time").to_owned();
            // RFC 3339 in UTC sorts as text.
            assert!(time >= newest, "block time went from {newest} back to {time}");
            newest = time;
            let (_, committed) = answered.iter().find(|(after, _)| *after == leap).expect("the load goes on");
            assert_eq!(committed, !behind, "{hours} hours ahead, {newest_hours} at most");
        }
    });
    peer.peer.drain();
    let verified = world.run(&["verify", "--dir", text(&world.dir())]);
    assert_eq!(verified["channels"].as_array().map(Vec::len), Some(2), "{verified}");
}
