//! What an organization tells a peer of its CA when the CA's folder is elsewhere: its newest CRLs, which close the
//! connections of those who are revoked, and on every channel the answers of that CA that end their participation.
//! A peer that has the folder does the latter by itself ([`crate::revocations`]).

use super::{Directory, in_full, place::Remote};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, clean, table};
use crate::cli::session::{Global, Session};
use crate::clock;
use ca::database::CertificateRecord;
use ca::evidence::RevocationEvidence;
use ca::folder::ROOT;
use clap::Args;
use client::api::{Outcome, ParticipantStanding};
use client::query::Paging;
use client::submit::{VALIDITY_MS, Wait, sign_json, transaction};
use client::window::valid_from;
use ledger_classes::action::{Action, channel::RevokeByEvidence};
use ledger_classes::hash::HexBytes;
use ledger_classes::keys::SigningKey;
use ledger_classes::outcome::ResultCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// Give a peer the newest CRLs, and end revoked participants on its channels
#[derive(Args, Debug)]
#[command(after_help = "\
For an organization whose CA is in a folder of its own (--dir), with the profile of a member who may read the channels'
participants, such as its administrator. Run it after each `chancery ca revoke` and `chancery ca crl`; what the peer and
its channels know already is left alone. It needs no account key and costs no fee: the CA's signature is the authority.

Example:
  $ chancery ca publish --dir carrier --profile profiles/donna")]
pub(super) struct Publish {}

/// A CRL that was brought.
#[derive(Debug, Serialize)]
struct Brought {
    /// Whose.
    authority: String,
    /// `taken`, or `known` if the peer has it or a newer one.
    became: &'static str,
}

/// A participation that was to end.
#[derive(Debug, Serialize)]
struct Ended {
    channel: String,
    identity: String,
    serial: String,
    /// `revoked`, or why not.
    became: String,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Published {
    crls: Vec<Brought>,
    participants: Vec<Ended>,
}

/// A leaf that is revoked, by its serial.
type Revoked = HashMap<Vec<u8>, (CertificateRecord, RevocationEvidence)>;

impl Publish {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let mut crls = Vec::new();
        for authority in folder.authorities()? {
            if authority.name != ROOT && authority.retired.is_none() {
                crls.push((authority.name.clone(), folder.bundle(&[authority.name])?.crls));
            }
        }
        let mut revoked = Revoked::new();
        for record in folder.revoked(clock::now())? {
            let evidence = folder.evidence(&record)?.ok_or_else(|| {
                Failure::refused(format!(
                    "the answer about certificate {} is not signed yet: `chancery ca ocsp {}`",
                    record.serial, record.authority
                ))
            })?;
            revoked.insert(record.serial.as_bytes().to_vec(), (record, evidence));
        }
        let remote = Remote::open(global)?;
        let published = remote.work(async |session| publish(session, crls, &revoked).await)?;
        let whole = published.participants.iter().all(|ended| ended.became == "revoked");
        output.show(&published, shown)?;
        if whole { Ok(()) } else { Err(Failure::Reported) }
    }
}

async fn publish(
    session: &Session,
    crls: Vec<(String, Vec<Vec<u8>>)>,
    revoked: &Revoked,
) -> Result<Published, Failure> {
    let mut brought = Vec::new();
    for (authority, lists) in crls {
        let mut became = "known";
        for der in lists {
            match session.connection.offer_crl(der).await {
                Ok(taken) if taken.new => became = "taken",
                Ok(_) => {}
                Err(error) if error.problem().is_some_and(|problem| problem.name() == "crl-older") => {}
                Err(error) => return Err(error.into()),
            }
        }
        brought.push(Brought { authority, became });
    }
    let mut participants = Vec::new();
    if !revoked.is_empty() {
        for channel in session.connection.all_channels().await? {
            end_on(session, &channel.name, revoked, &mut participants).await?;
        }
    }
    Ok(Published { crls: brought, participants })
}

/// Ends those of the revoked who are admitted on a channel.
async fn end_on(session: &Session, channel: &str, revoked: &Revoked, ended: &mut Vec<Ended>) -> Result<(), Failure> {
    let mut organizations: Vec<&str> = revoked.values().map(|(record, _)| record.identity.organization()).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let config = session.connection.channel(channel).await?.config;
    organizations.retain(|name| config.as_ref().is_some_and(|config| config.is_member(name)));
    for organization in organizations {
        let mut after: Option<String> = None;
        loop {
            let paging = Paging { after: after.as_deref(), limit: None };
            let page = match session.connection.participants(channel, Some(organization), paging).await {
                Ok(page) => page,
                // The others are done all the same.
                Err(error) if error.problem().is_some() => {
                    let (channel, identity) = (channel.to_owned(), format!("those of {organization}"));
                    ended.push(Ended { channel, identity, serial: "-".into(), became: in_full(&error) });
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            for participant in page.items {
                let Some((record, evidence)) = revoked.get(&participant.serial.0) else { continue };
                if participant.standing == ParticipantStanding::Admitted
                    && record.identity.to_string() == participant.identity
                {
                    let became = end(session, channel, evidence).await?;
                    let (identity, serial) = (participant.identity, record.serial.to_string());
                    ended.push(Ended { channel: channel.to_owned(), identity, serial, became });
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Posts the CA's answer under a key that is made for it: whoever posts it has no say in what becomes of it.
async fn end(session: &Session, channel: &str, evidence: &RevocationEvidence) -> Result<String, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    let random = SystemRandom::new().fill(seed.as_mut_slice());
    random.map_err(|_| Failure::unavailable("the system gives no random numbers"))?;
    let key = SigningKey::from_seed(&seed);
    let view = session.connection.channel(channel).await?;
    let path = evidence.path.iter().cloned().map(HexBytes).collect();
    let body = RevokeByEvidence { path, evidence: HexBytes(evidence.answer.clone()) };
    let actions = vec![Action::ParticipantRevokeByEvidence(body)];
    let from = valid_from(client::now(), view.time, false)?;
    let transaction = transaction(view.id, key.public().address(), actions, from, VALIDITY_MS)?;
    let envelope = sign_json(&transaction, &[&key]);
    match session.connection.submit(channel, &envelope, Wait::Committed).await {
        Ok(outcome) => Ok(became(&outcome)),
        Err(error) => Ok(in_full(&error)),
    }
}

fn became(outcome: &Outcome) -> String {
    let done = [ResultCode::Done, ResultCode::CertificateIsRevoked].map(ResultCode::number);
    match (&outcome.receipt, &outcome.problem) {
        (Some(receipt), _) if done.contains(&receipt.code) => "revoked".into(),
        (Some(receipt), _) => format!("{} ({}): {}", receipt.result, receipt.code, receipt.message),
        (None, Some(problem)) => problem.detail.clone().unwrap_or_else(|| problem.title.clone()),
        (None, None) => "its block is under way".into(),
    }
}

fn shown(published: &Published) -> String {
    let lists = published.crls.iter();
    let mut text: String = lists.map(|crl| format!("CRL of {}: {}\n", clean(&crl.authority), crl.became)).collect();
    let rows: Vec<Vec<String>> = published
        .participants
        .iter()
        .map(|ended| [&ended.channel, &ended.identity, &ended.serial, &ended.became].map(|word| clean(word)).to_vec())
        .collect();
    if rows.is_empty() {
        text.push_str("no channel has a revoked participant\n");
    } else {
        text.push_str(&table(&["channel", "identity", "serial", ""], &rows));
    }
    text
}
