//! What an organization tells a peer of its CA when the CA's folder is elsewhere: its newest CRLs, which close the
//! connections of those who are revoked, and the CA's answers, by which the peer ends their participation on every
//! channel that it has ([`crate::duties::revocation_poster`]).

use super::{directory::Directory, in_full, place::Remote};
use crate::{
    cli::{
        failure::Failure,
        output::{Output, clean},
        session::{Global, Session},
    },
    clock,
    duties::Duty,
};
use bytes::Bytes;
use ca::office::record::ROOT;
use clap::Args;
use client::api::{CaAnswer, WaitingView};
use client::connection::RequestError;
use ledger_classes::primitives::hash::HexBytes;
use serde::Serialize;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// Between two attempts, if the peer does not say.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest, whatever the peer says.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Give a peer the newest CRLs and the CA's answers about certificates that are revoked
#[derive(Args, Debug)]
#[command(after_help = "\
For an organization whose CA is in a folder of its own (--dir), with the profile of any member: the CA's signatures are
the authority. The peer ends the connections of those who are revoked, and their participation on every channel, also on
those that this profile does not see; of those that it administers or audits, it is told what is still to come. Run it after each `chancery ca revoke` and `chancery ca crl`; what the peer knows is
left alone. A peer that is busy is asked again for up to two minutes; what is left then is told, and the exit code is 3.

Example:
  $ chancery ca publish --dir carrier --profile profiles/donna")]
pub(super) struct Publish {}

/// What became of one thing that was brought.
#[derive(Debug, Serialize)]
struct Brought {
    /// `CRL of carrier`, or an identity and a serial number.
    what: String,
    /// `taken`, `known`, or why not.
    became: String,
    #[serde(skip)]
    done: Done,
}

/// Whether it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    /// The peer says no.
    No,
    /// It may be brought later.
    Left,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Published {
    answers: Vec<Brought>,
    crls: Vec<Brought>,
    /// What the peer is still to do on channels that the profile administers or audits.
    waiting: Vec<WaitingView>,
}

impl Publish {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let folder = directory.open_quietly()?;
        let (mut crls, mut replaced) = (Vec::new(), HashSet::new());
        let records = folder.records()?;
        for authority in records.authorities().values() {
            if authority.revoked.is_some() {
                replaced.insert(authority.name.clone());
            }
            if authority.name != ROOT && authority.retired.is_none() {
                crls.push((authority.name.clone(), records.bundle(std::slice::from_ref(&authority.name))?.crls));
            }
        }
        let mut answers = Vec::new();
        for record in records.revoked(clock::now()) {
            answers.push((
                format!("{} {}", record.identity, record.serial),
                records.evidence(&record)?,
                record.authority,
            ));
        }
        let remote = Remote::open(global)?;
        let published = remote.work(async |session| {
            let mut published = Published { answers: Vec::new(), crls: Vec::new(), waiting: Vec::new() };
            // Lists first: they end connections, and what ends the participation on channels comes right behind.
            let mut bringing = Bringing { session, until: Instant::now() + PATIENCE, gone: None };
            for (authority, lists) in crls {
                for der in lists {
                    let der = Bytes::from(der);
                    let send =
                        async || session.connection.offer_crl(der.clone()).await.map(|taken| (taken.new, taken.older));
                    published.crls.push(bringing.bring(format!("CRL of {authority}"), send).await);
                }
            }
            for (what, evidence, authority) in answers {
                published.answers.push(match evidence {
                    Some(evidence) => {
                        let path = evidence.path.into_iter().map(HexBytes).collect();
                        let answer = CaAnswer { path, evidence: HexBytes(evidence.answer) };
                        let send =
                            async || session.connection.bring_answer(&answer).await.map(|taken| (taken.new, false));
                        let brought = bringing.bring(what, send).await;
                        if brought.done == Done::No && replaced.contains(&authority) {
                            let became = "of a CA that was replaced, and that this peer trusts no more".into();
                            Brought { became, done: Done::Yes, ..brought }
                        } else {
                            brought
                        }
                    }
                    None => {
                        let became = format!("its answer is not signed yet: `chancery ca ocsp {authority}`");
                        Brought { what, became, done: Done::No }
                    }
                });
            }
            if published.answers.iter().any(|brought| brought.done == Done::Yes) {
                published.waiting = waiting(session).await?;
            }
            Ok(published)
        })?;
        let all = || published.crls.iter().chain(&published.answers);
        let left = all().any(|brought| brought.done == Done::Left);
        let whole = all().all(|brought| brought.done == Done::Yes);
        output.show(&published, |published| {
            let all = published.crls.iter().chain(&published.answers);
            let brought = all.map(|brought| format!("{}: {}\n", clean(&brought.what), clean(&brought.became)));
            let line = |it: &WaitingView| format!("{}: {} still to come, see status\n", clean(&it.channel), it.count);
            brought.chain(published.waiting.iter().map(line)).collect()
        })?;
        match (whole, left) {
            (true, _) => Ok(()),
            (false, true) => Err(Failure::Left),
            (false, false) => Err(Failure::Reported),
        }
    }
}

/// Waits a while for the channels of which the peer tells this profile. Returns what is still to come there.
async fn waiting(session: &Session) -> Result<Vec<WaitingView>, Failure> {
    let until = Instant::now() + ARRIVAL;
    loop {
        let mut waiting = session.connection.status().await?.waiting;
        waiting.retain(|waiting| waiting.duty == Duty::Revocation.word());
        if waiting.is_empty() || Instant::now() > until {
            return Ok(waiting);
        }
        session.pause(PAUSE).await;
    }
}

/// How long channels are waited for.
const ARRIVAL: Duration = Duration::from_secs(10);

/// What is said of a list that is older than the one that the peer has.
const BEHIND: &str = "the peer has a newer one of this CA: this folder is an older copy of the one that signed it, or came \
    from a backup. Work where the newest is; if this is it, revoke again what was revoked since, and `chancery ca crl`";

/// How long a peer that is busy is asked again, for all of it: whoever keeps it busy does not end this.
const PATIENCE: Duration = Duration::from_secs(120);

/// Brings one thing after the other.
struct Bringing<'a> {
    session: &'a Session,
    until: Instant,
    /// Why the peer is not asked any more.
    gone: Option<String>,
}

impl Bringing<'_> {
    /// Brings one thing, and waits as the peer says where it is busy. What it refuses is told beside the rest, which is
    /// brought all the same; what a peer that is not there has not got is left.
    async fn bring(&mut self, what: String, send: impl AsyncFn() -> Result<(bool, bool), RequestError>) -> Brought {
        let left = |what, why: &str| Brought { what, became: format!("left: {why}"), done: Done::Left };
        if let Some(gone) = &self.gone {
            return left(what, gone);
        }
        loop {
            let error = match send().await {
                // What the peer's own list lacks counts there all the same; but who has published it is older than what it
                // published.
                Ok((_, true)) => {
                    return Brought { what, became: format!("what it revokes is taken; {BEHIND}"), done: Done::No };
                }
                Ok((true, _)) => return Brought { what, became: "taken".into(), done: Done::Yes },
                Ok((false, _)) => return Brought { what, became: "known".into(), done: Done::Yes },
                Err(error) => error,
            };
            match error.problem() {
                Some(problem) if problem.name() == "crl-older" => {
                    return Brought { what, became: BEHIND.into(), done: Done::No };
                }
                Some(_) if error.is_unavailable() => {
                    let pause = error.retry_after().unwrap_or(PAUSE).clamp(PAUSE, PAUSE_MAX);
                    if Instant::now() + pause > self.until {
                        return left(what, &in_full(&error));
                    }
                    self.session.pause(pause).await;
                }
                Some(_) => return Brought { what, became: in_full(&error), done: Done::No },
                None => {
                    let gone = in_full(&error);
                    self.gone = Some(gone.clone());
                    return left(what, &gone);
                }
            }
        }
    }
}
