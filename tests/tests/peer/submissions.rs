//! Streams of submissions: every transaction that is posted on one has one outcome, with its caller's number, whatever
//! becomes of the stream; and a stream holds no more of a peer than it has its place for.

use crate::disk::shim::Shim;
use crate::harness::{Consortium, Peer, append, run, signed, text};
use crate::places::Raw;
use crate::wait;
use client::api::{JsonEnvelope, SubmissionLine, SubmissionStatus};
use client::connection::{Connection, Options, RequestError};
use client::profile::Profile;
use client::submit::{SubmitError, Wait};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const METRICS: (&str, &str) = ("CHANCERY_METRICS_LISTEN", "127.0.0.1:0");
/// What a peer announces.
const CREDITS: usize = 512;

fn head(channel: &str, media: &str) -> String {
    format!(
        "POST /v1/channels/{channel}/submissions HTTP/1.1\r\nHost: peer\r\nContent-Type: {media}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn line(number: u64, envelope: &Envelope) -> String {
    let line = SubmissionLine { number, transaction: JsonEnvelope::from(envelope) };
    serde_json::to_string(&line).expect("JSON") + "\n"
}

/// A stream of lines, as bytes on a connection.
struct Lines {
    raw: Raw,
    said: String,
    /// What was said, without the chunks that it came in.
    lines: String,
    status: u16,
}

impl Lines {
    fn open(peer: &Peer, who: Option<&Path>, channel: &str) -> Self {
        let raw = Raw::send(peer, who, &head(channel, "application/x-ndjson"));
        let mut said = raw.answer("\r\n\r\n");
        let status = said.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{said}"));
        let body = said.find("\r\n\r\n").expect("just read") + 4;
        said.drain(..body);
        // What is refused has a document, which may come behind the head.
        while status != 200 && !said.contains('}') {
            said += &raw.piece().unwrap_or_else(|| panic!("cut off behind {said:?}"));
        }
        Self { raw, said, lines: String::new(), status }
    }

    /// The same, past the line with the credits.
    fn begun(peer: &Peer, who: Option<&Path>, channel: &str) -> Self {
        let mut stream = Self::open(peer, who, channel);
        assert_eq!(stream.status, 200, "{:?}", stream.said);
        let first = stream.next().expect("a first line");
        assert_eq!(first["credits"], CREDITS, "{first}");
        stream
    }

    fn send(&mut self, text: &str) {
        self.raw.go_on(&chunk(text));
    }

    fn end(&mut self) {
        self.raw.go_on("0\r\n\r\n");
    }

    /// The next line that says something; nothing once the stream has ended as it should.
    fn next(&mut self) -> Option<Value> {
        let began = Instant::now();
        loop {
            // Blank lines say that the peer is there, and nothing else.
            assert!(began.elapsed() < wait::PATIENCE, "nothing is said");
            if let Some(end) = self.lines.find('\n') {
                let line: String = self.lines.drain(..=end).collect();
                if line.trim().is_empty() {
                    continue;
                }
                return Some(
                    ledger_classes::primitives::json::from_str(&line)
                        .unwrap_or_else(|error| panic!("{line:?}: {error}")),
                );
            }
            if let Some((length, _)) = self.said.split_once("\r\n") {
                let size = usize::from_str_radix(length, 16).unwrap_or_else(|_| panic!("{:?}", self.said));
                let begin = length.len() + 2;
                if size == 0 {
                    assert_eq!(self.lines, "", "the last line is whole");
                    return None;
                }
                if self.said.len() >= begin + size + 2 {
                    self.lines += &self.said[begin..begin + size];
                    self.said.drain(..begin + size + 2);
                    continue;
                }
            }
            self.said += &self.raw.piece().unwrap_or_else(|| panic!("cut off behind {:?}", self.said));
        }
    }

    /// Outcomes by their numbers, so many.
    fn outcomes(&mut self, count: usize) -> BTreeMap<u64, Value> {
        let mut outcomes = BTreeMap::new();
        while outcomes.len() < count {
            let line = self.next().expect("goes on");
            let number = line["number"].as_u64().unwrap_or_else(|| panic!("{line}"));
            assert_eq!(outcomes.insert(number, line["outcome"].clone()), None, "{number} twice");
        }
        outcomes
    }
}

fn problem(value: &Value) -> &str {
    value["problem"]["type"].as_str().and_then(|name| name.rsplit(':').next()).unwrap_or_else(|| panic!("{value}"))
}

async fn main_of(connection: &Connection) -> Hash {
    connection.channel("main").await.expect("public").id
}

fn many(channel: Hash, count: u64) -> Vec<Envelope> {
    (0..count).map(|number| signed(channel, 1, vec![append("tests.stream", format!("{number}"))])).collect()
}

/// How many transactions the channel has under way, by what it tells.
async fn under_way(connection: &Connection, channel: &str) -> usize {
    connection.channel(channel).await.expect("answers").queue.transactions as usize
}

#[tokio::test]
async fn outcomes_have_their_callers_numbers_and_a_bad_line_spoils_no_other() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let main = main_of(&peer.connect(&consortium.admin())).await;
    let good = signed(main, 1, vec![append("tests.stream", "good")]);
    let strange = signed(Hash([9; 32]), 1, vec![append("tests.stream", "of another channel")]);
    let mut forged = signed(main, 1, vec![append("tests.stream", "forged")]);
    forged.signatures[0].signature.0[0] ^= 1;

    let mut stream = Lines::begun(&peer, None, "main");
    let text = format!(
        "{}{{\"number\":1}}\n\n{}{}{}",
        line(1 << 60, &good),
        line(4, &strange),
        line(5, &forged),
        line(4, &good).trim_end()
    );
    // However it is cut.
    let (one, two) = text.split_at(700);
    stream.send(one);
    stream.send(two);
    stream.end();
    let mut said: Vec<Value> = std::iter::from_fn(|| stream.next()).collect();
    said.sort_by_key(|line| (line["number"].as_u64(), line["outcome"]["status"].to_string()));
    let told: Vec<(Option<u64>, Option<u64>, &str)> = said
        .iter()
        .map(|line| {
            let outcome = &line["outcome"];
            let what = if outcome["status"] == "refused" { problem(outcome) } else { "committed" };
            (line["number"].as_u64(), line["line"].as_u64(), what)
        })
        .collect();
    let expected = [
        (None, Some(2), "malformed"),
        (Some(4), None, "committed"),
        (Some(4), None, "wrong-channel"),
        (Some(5), None, "wrong-signature"),
        (Some(1 << 60), None, "committed"),
    ];
    assert_eq!(told, expected);
    let receipts = [&said[1]["outcome"], &said[4]["outcome"]];
    assert_eq!(receipts[0], receipts[1], "one id, one outcome");
    assert_eq!(receipts[0]["id"], good.id().to_string());
    assert_eq!(receipts[0]["receipt"]["code"], 0);
}

#[tokio::test]
async fn what_cannot_be_cut_ends_the_stream_behind_what_came_before() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let main = main_of(&peer.connect(&consortium.admin())).await;
    let mut stream = Lines::begun(&peer, None, "main");
    stream.send(&line(1, &signed(main, 1, vec![append("tests.stream", "first")])));
    let long = "x".repeat(64 * 1024);
    for _ in 0..17 {
        stream.send(&long);
    }
    assert_eq!(stream.outcomes(1)[&1]["status"], "committed");
    let last = stream.next().expect("a reason");
    assert_eq!(problem(&last), "oversize", "{last}");
    assert_eq!(stream.next(), None);
}

/// What its caller has no outcome of is posted again on another stream.
#[tokio::test]
async fn a_stream_that_is_cut_is_taken_up_by_another_and_nothing_is_done_twice() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let envelopes = many(main_of(&connection).await, 200);
    let all: String = (0..).zip(&envelopes).map(|(number, envelope)| line(number, envelope)).collect();
    let mut stream = Lines::begun(&peer, None, "main");
    stream.send(&all);
    let before = stream.outcomes(1);
    drop(stream);
    let mut stream = Lines::begun(&peer, None, "main");
    stream.send(&all);
    let outcomes = stream.outcomes(200);
    for (number, outcome) in &before {
        assert_eq!(&outcomes[number], outcome);
    }
    let place = |outcome: &Value| (outcome["receipt"]["height"].as_u64(), outcome["receipt"]["index"].as_u64());
    assert_eq!(outcomes.values().map(place).collect::<BTreeSet<_>>().len(), 200);
    let records = peer
        .run(&consortium.admin(), &["log", "list", "--topic", "tests.stream", "--channel", "main", "--limit", "1000"]);
    assert_eq!(records["items"].as_array().expect("a page").len(), 200);
}

#[tokio::test]
async fn no_more_than_the_credits_is_under_way_and_the_rest_follows() {
    let shim = Shim::new();
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &shim.variables());
    let connection = peer.connect(&consortium.admin());
    let main = main_of(&connection).await;
    let first = signed(main, 1, vec![append("tests.stream", "first")]);
    connection.submit("main", &first, Wait::Committed).await.expect("in time");
    let all: String = (0..).zip(&many(main, 1_200)).map(|(number, envelope)| line(number, envelope)).collect();
    let mut stream = Lines::begun(&peer, None, "main");
    File::create(&shim.stall).expect("a file");
    let mut input = stream.raw.input();
    // Nobody reads it all.
    let writes = std::thread::spawn(move || input.write_all(chunk(&all).as_bytes()).map(|()| input));
    wait::until("the credits to be used up", async || (under_way(&connection, "main").await >= CREDITS).then_some(()))
        .await;
    for _ in 0..20 {
        assert_eq!(under_way(&connection, "main").await, CREDITS);
    }
    fs::remove_file(&shim.stall).expect("removes");
    let outcomes = stream.outcomes(1_200);
    assert!(outcomes.values().all(|outcome| outcome["status"] == "committed"), "{outcomes:?}");
    drop(writes.join().expect("no panic").expect("it was read"));
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_stream_in_the_middle_and_no_other() {
    let shim = Shim::new();
    let consortium = Consortium::new();
    let (ann, bob) = (consortium.profile("bank", "client", "ann"), consortium.profile("bank", "client", "bob"));
    let peer = Peer::start(&consortium.dir(), &shim.variables());
    let connection = peer.connect(&consortium.admin());
    let main = main_of(&connection).await;
    let first = signed(main, 1, vec![append("tests.stream", "first")]);
    connection.submit("main", &first, Wait::Committed).await.expect("in time");
    let (mut gone, mut stays) = (Lines::begun(&peer, Some(&ann), "main"), Lines::begun(&peer, Some(&bob), "main"));
    File::create(&shim.stall).expect("a file");
    for (number, stream) in [(1, &mut gone), (2, &mut stays)] {
        stream.send(&line(number, &signed(main, 1, vec![append("tests.stream", "under way")])));
    }
    wait::until("both to be under way", async || (under_way(&connection, "main").await == 2).then_some(())).await;
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", "spiffe://test.example/bank/client/ann"]);
    let last = gone.next().expect("a reason");
    assert_eq!(problem(&last), "certificate-refused", "{last}");
    assert_eq!(gone.next(), None);
    fs::remove_file(&shim.stall).expect("removes");
    assert_eq!(stays.outcomes(1)[&2]["status"], "committed");
}

#[tokio::test]
async fn a_stream_ends_when_its_caller_may_not_write_any_more_whatever_else_it_may() {
    let consortium = Consortium::new();
    let admin = consortium.admin();
    let peer = consortium.serve();
    let who = |name: &str, rights: &str| format!("spiffe://test.example/bank/client/{name}={rights}");
    let create = ["channel", "create", "notes", "--org", "bank", "--approvals", "any"];
    let own = "spiffe://test.example/bank/admin/admin=member,admin";
    let grants = [own, &who("ann", "read:logs,write:logs"), &who("bob", "write:logs"), &who("eve", "write:logs")];
    let grants: Vec<&str> = grants.into_iter().flat_map(|grant| ["--grant", grant]).collect();
    let made = peer.run(&admin, &[&create[..], &grants].concat());
    let id = made["id"].as_str().expect("an id").parse().expect("hex");
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "notes"]);
    let mut streams = ["ann", "bob", "eve"].map(|name| {
        let profile = consortium.profile("bank", "client", name);
        Lines::begun(&peer, Some(&profile), "notes")
    });
    let item = |number| line(number, &signed(id, 1, vec![append("notes", "x")]));
    for stream in &mut streams {
        stream.send(&item(1));
        assert_eq!(problem(&stream.outcomes(1)[&1]), "not-a-participant");
    }
    let [ann, bob, eve] = &mut streams;
    for (name, stream, why) in [("ann", ann, "forbidden"), ("bob", bob, "channel-unknown")] {
        peer.run(&admin, &["channel", "deny", "notes", &who(name, "write:logs")]);
        let last = stream.next().expect("a reason");
        assert_eq!(problem(&last), why, "{name}: {last}");
        assert_eq!(stream.next(), None);
    }
    // Nobody else's.
    eve.send(&item(2));
    assert_eq!(problem(&eve.outcomes(1)[&2]), "not-a-participant");
}

#[tokio::test]
async fn a_peer_that_drains_tells_the_outcomes_of_what_it_has_taken() {
    let shim = Shim::new();
    let consortium = Consortium::new();
    let mut peer = Peer::start(&consortium.dir(), &shim.variables());
    let connection = peer.connect(&consortium.admin());
    let main = main_of(&connection).await;
    let first = signed(main, 1, vec![append("tests.stream", "first")]);
    connection.submit("main", &first, Wait::Committed).await.expect("in time");
    let (mut busy, mut idle) = (Lines::begun(&peer, None, "main"), Lines::begun(&peer, None, "main"));
    File::create(&shim.stall).expect("a file");
    let all: String = (0..).zip(&many(main, 20)).map(|(number, envelope)| line(number, envelope)).collect();
    busy.send(&all);
    wait::until("all to be under way", async || (under_way(&connection, "main").await == 20).then_some(())).await;
    peer.terminate();
    let last = idle.next().expect("a reason");
    assert_eq!(problem(&last), "draining", "{last}");
    fs::remove_file(&shim.stall).expect("removes");
    assert!(busy.outcomes(20).values().all(|outcome| outcome["status"] == "committed"));
    let last = busy.next().expect("a reason");
    assert_eq!(problem(&last), "draining", "{last}");
    assert_eq!(busy.next(), None);
    assert!(peer.ended().success());
}

/// Bad lines cost little, and are answered with a hundred times as many bytes.
#[tokio::test]
async fn whoever_takes_no_outcomes_is_read_no_further_and_cut_off() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_WRITE_TIMEOUT_MS", "1500")]);
    let connection = peer.connect(&consortium.admin());
    let main = main_of(&connection).await;
    let mut child = Command::new("openssl")
        .args(["s_client", "-quiet", "-ign_eof", "-connect", peer.url.trim_start_matches("https://")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let mut input = child.stdin.take().expect("piped");
    let writes = std::thread::spawn(move || {
        let lines = chunk(&"x\n".repeat(4096));
        // Some 500 MB of answers, if the peer read on.
        input.write_all(head("main", "application/x-ndjson").as_bytes())?;
        (0..500).try_for_each(|_| input.write_all(lines.as_bytes()))
    });
    let resident = peer.resident_mib();
    wait::until_found("the stream to be cut", || {
        (peer.metric("chancery_answers_cut_total{why=\"stalled\"}") == "1").then_some(())
    });
    assert!(peer.resident_mib() < resident + 64, "{} MiB after {resident}", peer.resident_mib());
    let posted = signed(main, 1, vec![append("tests.stream", "others go on")]);
    connection.submit("main", &posted, Wait::Committed).await.expect("taken");
    child.kill().expect("it was not waited for");
    child.wait().expect("it ends");
    assert!(writes.join().expect("no panic").is_err(), "the peer read it all");
}

#[tokio::test]
async fn strangers_post_on_an_open_channel_and_have_a_part_of_the_streams() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    // Sixteen streams.
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_MEMORY_BYTES_MAX", "134217728")]);
    let main = main_of(&peer.connect(&consortium.admin())).await;
    assert_eq!(peer.metric("chancery_places{places=\"submission_streams\"}"), "16");
    let mut strangers: Vec<Lines> = (0..6).map(|_| Lines::open(&peer, None, "main")).collect();
    let statuses: Vec<u16> = strangers.iter().map(|stream| stream.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429], "one address has a quarter");
    assert!(strangers[5].said.contains("no-place"), "{}", strangers[5].said);
    assert_eq!(Lines::open(&peer, Some(&ann), "main").status, 200, "members have theirs");
    let stream = &mut strangers[0];
    stream.next().expect("credits");
    stream.send(&line(3, &signed(main, 1, vec![append("tests.stream", "by nobody")])));
    assert_eq!(stream.outcomes(1)[&3]["status"], "committed");
    let taken = "chancery_places_taken{places=\"submission_streams\",caller=\"anonymous\"}";
    assert_eq!(peer.metric(taken), "4");
    drop(strangers);
    wait::until_found("the places to be given back", || (peer.metric(taken) == "0").then_some(()));
}

#[tokio::test]
async fn a_hidden_channel_answers_as_one_that_does_not_exist() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    peer.run(&consortium.admin(), &["channel", "create", "private", "--org", "bank", "--grant", "bank=read:logs"]);
    let answers = ["private", "nothing"].map(|channel| {
        ["application/x-ndjson", "text/plain"].map(|media| {
            let raw = Raw::send(&peer, None, &head(channel, media));
            let (status, answer) = raw.status();
            assert_eq!(status, 404, "{answer}");
            answer.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
        })
    });
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0][0].contains("channel-unknown"), "{answers:?}");
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_ends_without_a_problem() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_LIMITS_IDLE_SECONDS", "1")]);
    let main = main_of(&peer.connect(&consortium.admin())).await;
    let mut stream = Lines::begun(&peer, None, "main");
    stream.send(&line(3, &signed(main, 1, vec![append("tests.stream", "once")])));
    assert_eq!(stream.outcomes(1)[&3]["status"], "committed");
    assert_eq!(stream.next(), None);
}

/// Passes connections on until they are cut.
struct Relay {
    url: String,
    /// Ends the connections that there are.
    cut: tokio::sync::broadcast::Sender<()>,
    /// Of the connection with this number nothing that the peer says is passed on any more.
    mute: tokio::sync::broadcast::Sender<usize>,
    _all: JoinSet<()>,
}

impl Relay {
    async fn before(peer: &Peer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let ((cut, _), (mute, _)) = (tokio::sync::broadcast::channel(1), tokio::sync::broadcast::channel(1));
        let address = peer.url.trim_start_matches("https://").to_owned();
        let (cuts, mutes) = (cut.clone(), mute.clone());
        let mut all = JoinSet::new();
        all.spawn(async move {
            let mut passing = JoinSet::new();
            for number in 1.. {
                let Ok((mut one, _)) = listener.accept().await else { return };
                let (address, mut cut, mut mute) = (address.clone(), cuts.subscribe(), mutes.subscribe());
                passing.spawn(async move {
                    let Ok(mut two) = TcpStream::connect(address).await else { return };
                    let muted = async { while mute.recv().await.is_ok_and(|muted| muted != number) {} };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut one, &mut two) => return,
                        _ = cut.recv() => return,
                        () = muted => {}
                    }
                    let (mut said, mut passed) = (one.split().0, two.split().1);
                    tokio::select! {
                        _ = tokio::io::copy(&mut said, &mut passed) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { url, cut, mute, _all: all }
    }

    fn connection(&self, profile: &Path, options: Options) -> Connection {
        let mut profile = Profile::open(profile).expect("a profile");
        profile.peer = self.url.parse().expect("a URL");
        Connection::open(&profile, options).expect("usable")
    }
}

/// Transactions that were posted alone and answered.
fn plain_requests(peer: &Peer) -> u32 {
    let route = "route=\"/v1/channels/{channel}/transactions\",status=\"200\"";
    peer.metric(&format!("chancery_requests_total{{method=\"POST\",{route}}}")).parse().expect("a number")
}

#[tokio::test]
async fn the_sdk_posts_singles_by_one_stream_and_gets_over_its_cut() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[METRICS]);
    let relay = Relay::before(&peer).await;
    let connection = relay.connection(&consortium.admin(), Options::default());
    let envelopes = many(main_of(&connection).await, 300);
    let mut places = BTreeSet::new();
    for (part, envelopes) in envelopes.chunks(100).enumerate() {
        let mut posts = JoinSet::new();
        for envelope in envelopes {
            let (connection, envelope) = (connection.clone(), envelope.clone());
            posts.spawn(async move {
                let outcome = connection.submit("main", &envelope, Wait::Committed).await.expect("an outcome");
                assert_eq!((outcome.id, outcome.status), (Some(envelope.id()), SubmissionStatus::Committed));
                outcome.receipt.expect("committed")
            });
        }
        let mut first = part == 1;
        while let Some(receipt) = posts.join_next().await {
            if std::mem::take(&mut first) {
                relay.cut.send(()).expect("there are connections");
            }
            let receipt = receipt.expect("no panic");
            places.insert((receipt.height, receipt.index));
        }
    }
    assert_eq!(places.len(), 300);
    let records = peer
        .run(&consortium.admin(), &["log", "list", "--topic", "tests.stream", "--channel", "main", "--limit", "1000"]);
    assert_eq!(records["items"].as_array().expect("a page").len(), 300, "none twice");
    let route = "route=\"/v1/channels/{channel}/submissions\",status=\"200\"";
    let streams = peer.metric(&format!("chancery_requests_total{{method=\"POST\",{route}}}"));
    assert!(["2", "3", "4"].contains(&streams.as_str()), "{streams} streams");
    let plain = plain_requests(&peer);
    assert!(plain <= 10, "{plain} plain requests: who is alone needs no stream");
}

/// A stream that said nothing any more took every transaction for half a minute, each of which failed for its time.
#[tokio::test]
async fn a_stream_that_says_nothing_is_given_up_and_the_next_try_has_another() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[METRICS]);
    let relay = Relay::before(&peer).await;
    let connection =
        relay.connection(&consortium.admin(), Options { timeout: Duration::from_secs(5), ..Options::default() });
    let envelopes = many(main_of(&connection).await, 5);
    let post = async |envelope: &Envelope| connection.submit("main", envelope, Wait::Committed).await;
    let streams = || {
        let route = "route=\"/v1/channels/{channel}/submissions\"";
        peer.metric(&format!("chancery_requests_total{{method=\"POST\",{route},status=\"200\"}}"))
    };
    let both = async |envelopes: &[Envelope]| tokio::join!(post(&envelopes[0]), post(&envelopes[1]));
    let (one, other) = both(&envelopes[..2]).await;
    assert!(one.is_ok() && other.is_ok(), "{one:?}, {other:?}");
    assert_eq!(streams(), "1");
    // One goes by a request of its own, on the first connection; the other opened a stream.
    relay.mute.send(2).expect("there are connections");
    let late = post(&envelopes[2]).await;
    assert!(matches!(&late, Err(SubmitError::Request(RequestError::Late { .. }))), "{late:?}");
    // The peer has it, and has said so to nobody: whoever posts it again is told of its one outcome.
    let told = post(&envelopes[2]).await.expect("by a plain request");
    assert_eq!((told.id, told.status), (Some(envelopes[2].id()), SubmissionStatus::Committed));
    let (one, other) = both(&envelopes[3..5]).await;
    assert!(one.is_ok() && other.is_ok(), "{one:?}, {other:?}");
    assert_eq!(streams(), "2");
    let records = peer.run(&consortium.admin(), &["log", "list", "--topic", "tests.stream", "--channel", "main"]);
    assert_eq!(records["items"].as_array().expect("a page").len(), 5, "none twice");
}

/// One transaction above the size of all refused those of others, who posted over clones of its connection.
#[tokio::test]
async fn a_transaction_that_is_too_large_is_refused_alone() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[METRICS]);
    let connection = peer.connect(&consortium.admin());
    let main = main_of(&connection).await;
    let first = signed(main, 1, vec![append("tests.stream", "alone")]);
    connection.submit("main", &first, Wait::Committed).await.expect("in time");
    let large = signed(main, 1, vec![append("tests.stream", "x".repeat(300 * 1024))]);
    let mut envelopes = many(main, 100);
    envelopes.insert(50, large.clone());
    let mut posts = JoinSet::new();
    for envelope in envelopes {
        let connection = connection.clone();
        posts.spawn(async move { (envelope.id(), connection.submit("main", &envelope, Wait::Committed).await) });
    }
    while let Some(posted) = posts.join_next().await {
        let (id, outcome) = posted.expect("no panic");
        match outcome {
            Ok(outcome) => assert_eq!((outcome.id, outcome.status), (Some(id), SubmissionStatus::Committed)),
            Err(SubmitError::Request(RequestError::Problem(problem))) if id == large.id() => {
                assert_eq!(problem.name(), "oversize", "{problem:?}");
            }
            Err(error) => panic!("{error:?}, and the large one is {}", large.id()),
        }
    }
    let plain = plain_requests(&peer);
    assert!(plain <= 10, "{plain} plain requests: the stream went on");
}
