//! What an organization tells a peer of its CA when the CA's folder is elsewhere: its newest CRLs, which close the
//! connections of those who are revoked, and the CA's answers, by which the peer ends their participation on every
//! channel that it has ([`crate::revocations`]).

use super::{Directory, in_full, place::Remote};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, clean};
use crate::cli::session::{Global, Session};
use crate::clock;
use ca::folder::ROOT;
use clap::Args;
use client::api::CaAnswer;
use client::connection::RequestError;
use ledger_classes::hash::HexBytes;
use serde::Serialize;

/// Give a peer the newest CRLs and the CA's answers about certificates that are revoked
#[derive(Args, Debug)]
#[command(after_help = "\
For an organization whose CA is in a folder of its own (--dir), with the profile of any member: the CA's signatures are
the authority. The peer ends the connections of those who are revoked, and their participation on every channel, also on
those that this profile does not see. Run it after each `chancery ca revoke` and `chancery ca crl`; what the peer knows is
left alone.

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
    done: bool,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Published {
    answers: Vec<Brought>,
    crls: Vec<Brought>,
}

impl Publish {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let folder = directory.open_quietly()?;
        let mut crls = Vec::new();
        for authority in folder.authorities()? {
            if authority.name != ROOT && authority.retired.is_none() {
                crls.push((authority.name.clone(), folder.bundle(&[authority.name])?.crls));
            }
        }
        let mut answers = Vec::new();
        for record in folder.revoked(clock::now())? {
            answers.push((
                format!("{} {}", record.identity, record.serial),
                folder.evidence(&record)?,
                record.authority,
            ));
        }
        let remote = Remote::open(global)?;
        let published = remote.work(async |session| {
            let mut published = Published { answers: Vec::new(), crls: Vec::new() };
            // Answers first: a list that came alone would be told of as one without them.
            for (what, evidence, authority) in answers {
                let brought = match evidence {
                    Some(evidence) => {
                        let path = evidence.path.into_iter().map(HexBytes).collect();
                        let answer = CaAnswer { path, evidence: HexBytes(evidence.answer) };
                        bring_answer(session, what, &answer).await?
                    }
                    None => {
                        let became = format!("its answer is not signed yet: `chancery ca ocsp {authority}`");
                        Brought { what, became, done: false }
                    }
                };
                published.answers.push(brought);
            }
            for (authority, lists) in crls {
                for der in lists {
                    published.crls.push(bring_crl(session, format!("CRL of {authority}"), der).await?);
                }
            }
            Ok(published)
        })?;
        let whole = published.answers.iter().chain(&published.crls).all(|brought| brought.done);
        output.show(&published, |published| {
            let all = published.answers.iter().chain(&published.crls);
            all.map(|brought| format!("{}: {}\n", clean(&brought.what), clean(&brought.became))).collect()
        })?;
        if whole { Ok(()) } else { Err(Failure::Reported) }
    }
}

/// What is said of a list that is older than the one that the peer has.
const BEHIND: &str = "the peer has a newer one of this CA: this folder is an older copy of the one that signed it, or came \
    from a backup. Work where the newest is; if this is it, revoke again what was revoked since, and `chancery ca crl`";

async fn bring_answer(session: &Session, what: String, answer: &CaAnswer) -> Result<Brought, Failure> {
    became(what, session.connection.bring_answer(answer).await.map(|taken| taken.new))
}

async fn bring_crl(session: &Session, what: String, der: Vec<u8>) -> Result<Brought, Failure> {
    // What the peer's own list lacks counts there all the same; but who has published it is older than what it published.
    match session.connection.offer_crl(der).await {
        Ok(taken) if taken.older => {
            let became = format!("what it revokes is taken; {BEHIND}");
            Ok(Brought { what, became, done: false })
        }
        Err(RequestError::Problem(problem)) if problem.name() == "crl-older" => {
            Ok(Brought { what, became: BEHIND.into(), done: false })
        }
        taken => became(what, taken.map(|taken| taken.new)),
    }
}

/// What the peer refuses is told beside the rest, which is brought all the same; a peer that is not there ends it.
fn became(what: String, new: Result<bool, RequestError>) -> Result<Brought, Failure> {
    let (became, done) = match new {
        Ok(true) => ("taken".to_owned(), true),
        Ok(false) => ("known".to_owned(), true),
        Err(error) if error.problem().is_some() && !error.is_unavailable() => (in_full(&error), false),
        Err(error) => return Err(error.into()),
    };
    Ok(Brought { what, became, done })
}
