//! Places by kind: strangers and single addresses take a part of everything, whatever they do, and members and
//! administrators have theirs. Each attack here once kept an administrator out, or took the peer's memory.

use crate::{
    harness::{Consortium, Peer, append, run, signed, text},
    wait,
};
use client::api::CertificateRequestBody;
use client::connection::Connection;
use client::submit::Wait;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const METRICS: (&str, &str) = ("CHANCERY_METRICS_LISTEN", "127.0.0.1:0");
const SUBSCRIBE: &str = "GET /v1/channels/main/events HTTP/1.1\r\nHost: peer\r\n\r\n";
/// Nobody waits longer for what is there at once.
const SOON: Duration = Duration::from_secs(3);

/// A TLS connection by `openssl` that has sent something, and what comes back.
pub(crate) struct Raw {
    child: Child,
    answers: Receiver<String>,
}

impl Raw {
    /// With a profile's certificate, if there is one.
    pub(crate) fn send(peer: &Peer, who: Option<&Path>, request: &str) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-ign_eof", "-connect", peer.url.trim_start_matches("https://")]);
        if let Some(who) = who {
            let (path, key, above) = (who.join("cert.pem"), who.join("key.pem"), who.join("above.pem"));
            let pem = std::fs::read_to_string(&path).expect("readable");
            let first = pem.find("-----END").and_then(|end| Some(end + pem[end..].find('\n')?)).expect("a path");
            std::fs::write(&above, &pem[first..]).expect("writable");
            command.args(["-cert", text(&path), "-key", text(&key), "-cert_chain", text(&above)]);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("openssl is installed");
        child.stdin.as_mut().expect("piped").write_all(request.as_bytes()).expect("takes it");
        let (mut out, (told, answers)) = (child.stdout.take().expect("piped"), channel());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(1..) = out.read(&mut piece).inspect(|read| {
                let _ = told.send(String::from_utf8_lossy(&piece[..*read]).into_owned());
            }) {}
        });
        Self { child, answers }
    }

    /// What it sends goes through, for whoever sends from a thread of its own.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("piped")
    }

    /// What was answered next; nothing once the connection has ended.
    pub(crate) fn piece(&self) -> Option<String> {
        match self.answers.recv_timeout(wait::PATIENCE) {
            Ok(piece) => Some(piece),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing comes"),
        }
    }

    /// Sends more.
    pub(crate) fn go_on(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("piped").write_all(text.as_bytes()).expect("takes it");
    }

    /// What was answered up to a text that ends it.
    pub(crate) fn answer(&self, end: &str) -> String {
        let mut said = String::new();
        while !said.contains(end) {
            let more = self.answers.recv_timeout(wait::PATIENCE);
            said += &more.unwrap_or_else(|_| panic!("no {end:?} in {said:?}"));
        }
        said
    }

    /// The status, and the whole answer up to the end of its head or of a problem.
    pub(crate) fn status(&self) -> (u16, String) {
        let mut said = self.answer("\r\n\r\n");
        let status = said.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{said}"));
        if status >= 400 && !said.trim_end().ends_with('}') {
            said += &self.answer("}");
        }
        (status, said.to_lowercase())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks so many times, one after the other; those that were let in. The others were told why not, and when to ask again.
fn let_in(count: usize, problem: &str, ask: impl Fn() -> Raw) -> Vec<Raw> {
    let asked = (0..count).map(|_| ask());
    let in_place = asked.filter(|raw| {
        let (status, answer) = raw.status();
        if status != 200 {
            assert_eq!(status, 429, "{answer}");
            assert!(answer.contains("retry-after: 1") && answer.contains("application/problem+json"), "{answer}");
            assert!(answer.contains(&format!("urn:chancery:problem:{problem}")), "{answer}");
        }
        status == 200
    });
    in_place.collect()
}

/// Posts a transaction; returns how long that took.
async fn posts(connection: &Connection, text: &str) -> Duration {
    let began = Instant::now();
    let id = connection.channel("main").await.expect("answers").id;
    let outcome = connection.submit("main", &signed(id, 1, vec![append("test", text)]), Wait::Committed).await;
    assert_eq!(outcome.expect("taken").receipt.expect("committed").code, 0);
    began.elapsed()
}

/// 32 anonymous subscriptions of 32 places kept the administrator out.
#[tokio::test]
async fn strangers_that_want_all_subscriptions_get_a_part_of_them() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_SUBSCRIPTIONS_MAX", "16")]);
    let subscribe =
        |who: Option<&Path>, count| let_in(count, "too-many-subscriptions", || Raw::send(&peer, who, SUBSCRIBE));
    let strangers = subscribe(None, 16);
    assert_eq!(strangers.len(), 4, "one address has a quarter");
    let members = subscribe(Some(&ann), 8);
    assert_eq!(members.len(), 4, "one identity has a quarter");
    let admin = subscribe(Some(&consortium.admin()), 9);
    assert_eq!(admin.len(), 8, "an administrator has all that is left");
    let taken = |caller: &str| {
        let labels = format!("{{places=\"subscriptions\",caller=\"{caller}\"}}");
        ["taken", "refused_total"].map(|what| peer.metric(&format!("chancery_places_{what}{labels}")))
    };
    assert_eq!(taken("anonymous"), ["4", "12"]);
    assert_eq!(taken("member"), ["4", "4"]);
    assert_eq!(taken("administrator"), ["8", "1"]);
    assert_eq!(peer.metric("chancery_places{places=\"subscriptions\"}"), "16");
    drop((strangers, members, admin));
    let stranger = async || {
        (peer.metric("chancery_places_taken{places=\"subscriptions\",caller=\"anonymous\"}") == "0").then_some(())
    };
    wait::until("places are given back", stranger).await;
    peer.drain();
}

/// Four certificates of one organization had all places that members have.
#[tokio::test]
async fn members_of_one_organization_leave_places_for_those_of_others() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    consortium.organization("carrier");
    let of = |organization: &str, count: usize| -> Vec<PathBuf> {
        (0..count)
            .map(|number| consortium.profile(organization, "client", &format!("{organization}{number}")))
            .collect()
    };
    let (dealers, carriers) = (of("dealer", 4), of("carrier", 1));
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_SUBSCRIPTIONS_MAX", "16")]);
    let subscribe =
        |who: &Path, count| let_in(count, "too-many-subscriptions", || Raw::send(&peer, Some(who), SUBSCRIBE));
    let held: Vec<Vec<Raw>> = dealers.iter().map(|who| subscribe(who, 5)).collect();
    assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 0, 0], "half of what members have");
    let (_, answer) = Raw::send(&peer, Some(&dealers[3]), SUBSCRIBE).status();
    assert!(answer.contains("one organization has no more than it leaves for others"), "{answer}");
    assert_eq!(subscribe(&carriers[0], 5).len(), 4, "another organization finds its own");
    peer.drain();
}

#[tokio::test]
async fn strangers_that_stay_on_all_connections_keep_nobody_out() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let variables = [("CHANCERY_LIMITS_CONNECTIONS_MAX", "16"), ("CHANCERY_LIMITS_IDLE_SECONDS", "600")];
    let peer = Peer::start(&consortium.dir(), &variables);
    let ask = "GET /v1/status HTTP/1.1\r\nHost: peer\r\n\r\n";
    let strangers = let_in(24, "no-place", || Raw::send(&peer, None, ask));
    assert_eq!(strangers.len(), 4);
    for who in [&ann, &consortium.admin()] {
        let took = posts(&peer.connect_once(who), "beside strangers").await;
        assert!(took < SOON, "{took:?}");
    }
    // Who administers the peer sees it.
    let places = peer.connect(&consortium.admin()).status().await.expect("answers").places;
    let connections = places.iter().find(|places| places.what == "connections").expect("shown");
    assert_eq!((connections.total, connections.strangers, connections.refused), (16, 4, 20));
    assert!(connections.administrators >= 1);
    assert_eq!(peer.connect(&ann).status().await.expect("answers").places, []);
    peer.drain();
}

#[tokio::test]
async fn connections_that_never_begin_their_handshake_keep_nobody_out() {
    let consortium = Consortium::new();
    let variables =
        [METRICS, ("CHANCERY_LIMITS_CONNECTIONS_MAX", "16"), ("CHANCERY_LIMITS_HEADER_TIMEOUT_MS", "600000")];
    let peer = Peer::start(&consortium.dir(), &variables);
    let address = peer.url.trim_start_matches("https://").to_owned();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).expect("taken")).collect();
    let sent_away = "chancery_places_refused_total{places=\"handshakes\",caller=\"unknown\"}";
    wait::until("the first had to go", async || (peer.metric(sent_away) == "196").then_some(())).await;
    let took = posts(&peer.connect_once(&consortium.admin()), "beside silent ones").await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(peer.metric("chancery_places{places=\"handshakes\"}"), "8");
    drop(silent);
    peer.drain();
}

/// 256 requests by strangers in 0.7 s closed the queue to members for 30 days.
#[tokio::test]
async fn strangers_that_fill_the_queue_of_requests_leave_room_for_members_and_are_cleared() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let nobody = consortium.path("nobody");
    std::fs::create_dir_all(&nobody).expect("writable");
    for file in ["ca.pem", "profile.toml"] {
        std::fs::copy(consortium.admin().join(file), nobody.join(file)).expect("copied");
    }
    let identity = "spiffe://test.example/bank/client/new".parse().expect("an identity");
    let body = || {
        let key = ca::KeyPair::generate(pki::KeyAlgorithm::P256).expect("a key");
        let request = ca::holder::request::make_request(&key, &identity).expect("a request");
        CertificateRequestBody { request, identity: None, token: None }
    };
    let stranger = peer.connect_once(&nobody);
    for _ in 0..8 {
        stranger.file_request(&body()).await.expect("filed");
    }
    let full = stranger.file_request(&body()).await.expect_err("an address has eight");
    assert_eq!(full.problem().map(|problem| problem.name().to_owned()).as_deref(), Some("requests-full"));
    peer.connect_once(&ann).file_request(&body()).await.expect("a member has places of its own");
    let reject = ["ca", "reject", "--strangers", "--reason", "flooded"];
    assert_eq!(peer.run(&consortium.admin(), &reject)["rejected"], 8);
    let left = peer.run(&consortium.admin(), &["ca", "requests"]);
    let left: Vec<&str> =
        left["items"].as_array().expect("a list").iter().filter_map(|it| it["requester"].as_str()).collect();
    assert_eq!(left, ["spiffe://test.example/bank/client/ann"]);
    stranger.file_request(&body()).await.expect("there is room again");
    let folder = run(&["ca", "--dir", text(&consortium.dir()), "reject", "--strangers", "--reason", "flooded"]);
    assert_eq!(folder["rejected"], 1);
    peer.drain();
}

/// 24 bodies of 8 MiB: 210 MB.
#[tokio::test]
async fn bodies_that_never_arrive_take_a_part_of_the_memory_that_bodies_have() {
    const MIB: usize = 1024 * 1024;
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let memory = (128 * MIB).to_string();
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_MEMORY_BYTES_MAX", &memory)]);
    let post = |bytes: usize| {
        let head = "POST /v1/channels/main/transactions HTTP/1.1\r\nHost: peer\r\nContent-Type: application/vnd.chancery.batch\r\n";
        format!("{head}Content-Length: {bytes}\r\n\r\n{}", "x".repeat(1000))
    };
    let (status, answer) = Raw::send(&peer, None, &post(8 * MIB)).status();
    assert_eq!(status, 413, "{answer}");
    let taken =
        |caller: &str| peer.metric(&format!("chancery_places_taken{{places=\"body_bytes\",caller=\"{caller}\"}}"));
    // Bodies have 16 MiB here, and an address or an identity a quarter.
    let strangers: Vec<Raw> = (0..4).map(|_| Raw::send(&peer, None, &post(MIB))).collect();
    let held = (4 * MIB).to_string();
    wait::until("four are being read", async || (taken("anonymous") == held).then_some(())).await;
    assert_eq!(let_in(8, "no-place", || Raw::send(&peer, None, &post(MIB))).len(), 0);
    let members = [Raw::send(&peer, Some(&ann), &post(8 * MIB))];
    let held = (8 * MIB).to_string();
    wait::until("one is being read", async || (taken("member") == held).then_some(())).await;
    let (status, answer) = Raw::send(&peer, Some(&ann), &post(MIB)).status();
    assert_eq!(status, 429, "{answer}");
    posts(&peer.connect_once(&consortium.admin()), "beside bodies that never arrive").await;
    drop((strangers, members));
    wait::until("it is given back", async || (taken("anonymous") == "0" && taken("member") == "0").then_some(())).await;
    // One without a length is counted as it comes.
    let chunk = format!("{:x}\r\n{}\r\n", 512 * 1024, "x".repeat(512 * 1024));
    let head = post(0).split("Content-Length").next().map(str::to_owned).expect("a head");
    let slow = Raw::send(&peer, None, &format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}"));
    let held = (512 * 1024).to_string();
    wait::until("it is counted", async || (taken("anonymous") == held).then_some(())).await;
    drop(slow);
    peer.drain();
}
