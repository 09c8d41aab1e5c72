//! Child processes: the peer, one-shot clients and subscribers, all of them this same program. None outlives the
//! demonstration: a child that is dropped is killed.

use crate::steps::{StepError, expect};
use client::api::{CloudEvent, Outcome, ReceiptView};
use serde::de::DeserializeOwned;
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// The longest that any client command may take.
const COMMAND_MAX: Duration = Duration::from_secs(30);

/// This program, to be run again.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    slowest_ms: AtomicU64,
}

/// A client process that has ended.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    what: String,
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    stderr: String,
}

impl Program {
    /// This program.
    pub(super) fn this() -> Result<Self, StepError> {
        Ok(Self { path: std::env::current_exe()?, slowest_ms: AtomicU64::new(0) })
    }

    /// The longest that a client process has taken so far: a measure of this machine, in milliseconds.
    pub(super) fn slowest_ms(&self) -> u64 {
        self.slowest_ms.load(Ordering::Relaxed)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        // Profile and channel are always said; whoever starts the demonstration may have others in mind.
        command.env_remove("CHANCERY_PROFILE").env_remove("CHANCERY_CHANNEL");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a client command to its end, with its answer in JSON.
    pub(super) async fn run(&self, profile: Option<&Path>, words: &[&str]) -> Result<Finished, StepError> {
        let began = Instant::now();
        let what = format!("chancery {}", words.join(" "));
        let mut command = self.command();
        command.args(words).arg("--json");
        if let Some(profile) = profile {
            command.arg("--profile").arg(profile);
        }
        let late = |_| StepError::unexpected(&what, format!("an answer within {COMMAND_MAX:?}"), "none");
        let output = timeout(COMMAND_MAX, command.output()).await.map_err(late)??;
        let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms.fetch_max(elapsed, Ordering::Relaxed);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ok(Finished { what, code: output.status.code(), stdout, stderr })
    }
}

impl Finished {
    /// Holds the exit code to be `code`.
    pub(super) fn ended(self, code: i32) -> Result<Self, StepError> {
        match self.code == Some(code) {
            true => Ok(self),
            false => Err(StepError::unexpected(
                &self.what,
                format!("exit code {code}"),
                format!("{:?}: {} {}", self.code, self.stderr.trim(), self.stdout.trim()),
            )),
        }
    }

    /// The answer.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        let parsed = ledger_classes::primitives::json::from_str(&self.stdout);
        parsed.map_err(|error| StepError::failed(format!("{}: {error} in {:?}", self.what, self.stdout)))
    }

    /// The receipt of a submission that was committed with this result code.
    pub(super) fn receipt(self, code: u16) -> Result<ReceiptView, StepError> {
        if !matches!(self.code, Some(0 | 1)) {
            return Err(self.ended(0).err().unwrap_or_else(|| StepError::failed("no receipt")));
        }
        let receipt = self.json::<Outcome>()?.receipt;
        let receipt = receipt.ok_or_else(|| StepError::unexpected(&self.what, "a receipt", self.stdout.trim()))?;
        let shown = |code, message: &str| format!("result code {code} {message}").trim_end().to_owned();
        match receipt.code == code {
            true => expect(&self.what, &self.code, &Some(i32::from(code != 0))).map(|()| receipt),
            false => {
                let actual = shown(receipt.code, &format!("{} {}", receipt.result, receipt.message));
                Err(StepError::unexpected(&self.what, shown(code, ""), actual))
            }
        }
    }
}

/// What a subscriber has printed.
#[derive(Clone, Debug, Default)]
struct Printed {
    events: Vec<CloudEvent>,
    rest: String,
    ended: Option<Instant>,
}

/// A `chancery watch` process whose lines are read as they come.
#[derive(Debug)]
pub(super) struct Watcher {
    what: String,
    child: Child,
    seen: watch::Receiver<Printed>,
}

/// How a subscriber ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// When its output ended.
    pub(super) at: Instant,
    /// Its exit code.
    pub(super) code: Option<i32>,
    /// The problem that the peer named, last part of its type.
    pub(super) problem: String,
}

impl Watcher {
    /// Starts a subscriber.
    pub(super) fn start(program: &Program, profile: &Path, channel: &str, words: &[&str]) -> Result<Self, StepError> {
        let mut command = program.command();
        command.args(["watch", channel, "--json", "--profile"]).arg(profile).args(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| StepError::failed("a subscriber has no output"))?;
        let (sender, seen) = watch::channel(Printed::default());
        #[expect(clippy::disallowed_methods, reason = "its end, whatever it is, closes what is seen")]
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let event = ledger_classes::primitives::json::from_str::<CloudEvent>(&line);
                sender.send_modify(|seen| match event {
                    Ok(event) => seen.events.push(event),
                    Err(_) => {
                        seen.rest.push_str(&line);
                        seen.rest.push('\n');
                    }
                });
            }
            sender.send_modify(|seen| seen.ended = Some(Instant::now()));
        });
        Ok(Self { what: format!("watch {channel} {}", words.join(" ")), child, seen })
    }

    /// All events so far.
    pub(super) fn events(&self) -> Vec<CloudEvent> {
        self.seen.borrow().events.clone()
    }

    /// Waits until `find` finds what it looks for among the events.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        find: impl Fn(&[CloudEvent]) -> Option<T>,
    ) -> Result<T, StepError> {
        let mut seen = self.seen.clone();
        let unexpected = |actual: String| StepError::unexpected(&self.what, what, actual);
        let found = async {
            loop {
                {
                    let now = seen.borrow_and_update();
                    if let Some(found) = find(&now.events) {
                        return Ok(found);
                    }
                    if now.ended.is_some() {
                        return Err(unexpected(format!("the subscription ended: {}", now.rest.trim())));
                    }
                }
                if seen.changed().await.is_err() {
                    return Err(unexpected("the subscription ended".into()));
                }
            }
        };
        match timeout(within, found).await {
            Ok(found) => found,
            Err(_) => {
                let seen = self.seen.borrow();
                let last = seen.events.last().map_or("none", |event| event.id.as_str());
                Err(unexpected(format!("not within {within:?}; {} events, the last {last}", seen.events.len())))
            }
        }
    }

    /// Waits for the process to end by itself.
    pub(super) async fn ended(&mut self, within: Duration) -> Result<Ended, StepError> {
        let what = format!("{} ends", self.what);
        let late = |_| StepError::unexpected(&what, format!("within {within:?}"), "it goes on");
        let mut seen = self.seen.clone();
        let at = async {
            loop {
                if let Some(at) = seen.borrow_and_update().ended {
                    return at;
                }
                if seen.changed().await.is_err() {
                    return Instant::now();
                }
            }
        };
        let at = timeout(within, at).await.map_err(late)?;
        let status = timeout(within, self.child.wait()).await.map_err(late)??;
        let said: serde_json::Value =
            ledger_classes::primitives::json::from_str(&self.seen.borrow().rest).unwrap_or_default();
        let problem = said["error"]["problem"]["type"].as_str().unwrap_or_default();
        let problem = problem.rsplit(':').next().unwrap_or_default().to_owned();
        Ok(Ended { at, code: status.code(), problem })
    }
}

/// A `chancery serve` process.
#[derive(Debug)]
pub(super) struct PeerProcess {
    child: Child,
    log: PathBuf,
}

impl PeerProcess {
    /// Starts the peer; what it prints is appended to `log`.
    pub(super) fn start(program: &Program, dir: &Path, log: &Path) -> Result<Self, StepError> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = program.command();
        command.arg("serve").arg("--dir").arg(dir).stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: command.spawn()?, log: log.into() })
    }

    /// An error if the process has ended.
    pub(super) fn lives(&mut self) -> Result<(), StepError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended_early(status)),
        }
    }

    fn ended_early(&self, status: ExitStatus) -> StepError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join(" | ");
        StepError::unexpected("the peer", "it runs", format!("it ended with {status}: {last}"))
    }

    /// Asks the peer to drain, as `kill` does, and gives its exit code.
    pub(super) async fn terminate(mut self, within: Duration) -> Result<Option<i32>, StepError> {
        let Some(id) = self.child.id() else { return Ok(self.child.wait().await?.code()) };
        // The shell's own `kill`: it is there on every system, and signals need no unsafe code this way.
        let mut shell = Command::new("sh");
        let sent = shell.args(["-c", &format!("kill -TERM {id}")]).stdin(Stdio::null()).status().await?;
        expect("kill -TERM", &sent.code(), &Some(0))?;
        let late = |_| StepError::unexpected("the peer drains", format!("within {within:?}"), "it goes on");
        Ok(timeout(within, self.child.wait()).await.map_err(late)??.code())
    }

    /// Kills the peer as a power cut would, without notice.
    pub(super) async fn kill(mut self) -> Result<(), StepError> {
        Ok(self.child.kill().await?)
    }
}
