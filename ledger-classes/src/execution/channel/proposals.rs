//! Proposals, of changes of the configuration and of recoveries: made, approved until the channel's policy is met, or
//! withdrawn.
//!
//! A proposal is open until it is done or withdrawn, and listed as long ([`keyspace::open_proposal`]). Its record stays.

use super::{administrator, changed, take_effect};
use crate::action::channel::{Approve, Propose, Withdraw};
use crate::codec::{Decode, Encode};
use crate::config::{ChannelConfig, ConfigChange};
use crate::event::Event;
use crate::execution::Context;
use crate::execution::assets::{self, Recovery};
use crate::execution::audit::{self, Act, Ballot};
use crate::hash::Hash;
use crate::identity::Identity;
use crate::keyspace;
use crate::limits::MEMO_BYTES_MAX;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::record::Record;
use serde::Serialize;

/// Most changes in one proposal.
const CHANGES_MAX: usize = 64;

/// What has become of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalState {
    /// It waits for approvals.
    Open,
    /// It has taken effect.
    Done,
    /// Its proposer's organization has taken it back.
    Withdrawn,
}

/// A yes, which counts for the administrator's organization.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Approval {
    /// Who.
    pub by: Identity,
    /// The block.
    pub approved_height: u64,
}

/// What a proposal is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Changes of the configuration, in order, all or nothing.
    Configuration(Vec<ConfigChange>),
    /// A successor for a revoked participant.
    Recovery(Recovery),
}

/// What waits for approvals, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Proposal {
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub by: Identity,
    /// The block that proposed it.
    pub proposed_height: u64,
    /// Who approved, one of an organization, in order.
    pub approvals: Vec<Approval>,
    /// What has become of it.
    pub state: ProposalState,
    /// The block that ended it.
    pub ended_height: Option<u64>,
}

impl Record for Proposal {}

impl Proposal {
    /// Organizations whose approval counts under a configuration: one that left since does not.
    pub fn counted<'a>(&'a self, config: &'a ChannelConfig) -> impl Iterator<Item = &'a str> {
        let approved = self.approvals.iter().map(|approval| approval.by.organization());
        approved.filter(|organization| config.is_member(organization))
    }
}

pub(in crate::execution) fn propose(context: &mut Context<'_>, body: &Propose) -> Result<(), Refusal> {
    if body.changes.is_empty() || body.changes.len() > CHANGES_MAX || body.reason.len() > MEMO_BYTES_MAX {
        return reject(ResultCode::InvalidField, "a proposal has 1 to 64 changes and a reason of at most 256 bytes");
    }
    let by = administrator(context)?;
    changed(context, &body.changes)?;
    put_forward(context, Subject::Configuration(body.changes.clone()), &body.reason, by)
}

/// Makes a proposal, which is its proposer's approval. The caller has looked whether it could take effect now.
pub(in crate::execution) fn put_forward(
    context: &mut Context<'_>,
    subject: Subject,
    reason: &str,
    by: Identity,
) -> Result<(), Refusal> {
    let (id, height) = (context.id(), context.height());
    if context.get::<Proposal>(&keyspace::proposal(&id))?.is_some() {
        return reject(ResultCode::InvalidField, "a transaction makes one proposal");
    }
    let proposal = Proposal {
        subject,
        reason: reason.to_owned(),
        by: by.clone(),
        proposed_height: height,
        approvals: Vec::new(),
        state: ProposalState::Open,
        ended_height: None,
    };
    context.emit(Event::ChannelProposed { proposal: id, by: by.clone(), reason: reason.to_owned() })?;
    count_approval(context, id, proposal, by)
}

pub(in crate::execution) fn approve(context: &mut Context<'_>, body: &Approve) -> Result<(), Refusal> {
    let by = administrator(context)?;
    let proposal = open(context, &body.proposal)?;
    count_approval(context, body.proposal, proposal, by)
}

/// By the proposer or another administrator of its organization, who answer for it together.
pub(in crate::execution) fn withdraw(context: &mut Context<'_>, body: &Withdraw) -> Result<(), Refusal> {
    if body.reason.len() > MEMO_BYTES_MAX {
        return reject(ResultCode::InvalidField, "a reason has at most 256 bytes");
    }
    let by = administrator(context)?;
    let mut proposal = open(context, &body.proposal)?;
    if proposal.by.organization() != by.organization() {
        return reject(ResultCode::OtherOrganization, "an organization withdraws its own proposals");
    }
    end(context, &body.proposal, &mut proposal, ProposalState::Withdrawn);
    context.put(keyspace::proposal(&body.proposal), &proposal);
    context.emit(Event::ChannelWithdrawn { proposal: body.proposal, by: by.clone(), reason: body.reason.clone() })?;
    audit::record(context, &Act::Withdraw { who: &by, why: &body.reason, proposal: body.proposal })
}

/// A proposal that can still be approved or withdrawn.
fn open(context: &Context<'_>, id: &Hash) -> Result<Proposal, Refusal> {
    match context.get::<Proposal>(&keyspace::proposal(id))? {
        Some(proposal) if proposal.state == ProposalState::Open => Ok(proposal),
        _ => reject(ResultCode::ProposalUnknown, format!("no open proposal {id}")),
    }
}

/// It is open no more.
fn end(context: &mut Context<'_>, id: &Hash, proposal: &mut Proposal, state: ProposalState) {
    // One that is done as it is made was never listed.
    if *id != context.id() {
        context.remove(keyspace::open_proposal(proposal.proposed_height, id));
    }
    proposal.state = state;
    proposal.ended_height = Some(context.height());
}

/// Adds an approval. With enough of them changes take effect for the blocks after this one, a recovery at once.
fn count_approval(context: &mut Context<'_>, id: Hash, mut proposal: Proposal, by: Identity) -> Result<(), Refusal> {
    let config = context.config();
    if proposal.approvals.iter().any(|approval| approval.by.organization() == by.organization()) {
        return reject(ResultCode::AlreadyApproved, format!("{} has approved already", by.organization()));
    }
    proposal.approvals.push(Approval { by: by.clone(), approved_height: context.height() });
    let approvals = proposal.counted(config).count();
    let needed = config.approvals.needed(config.organizations.len());
    context.emit(Event::ChannelApproved {
        proposal: id,
        by: by.clone(),
        approvals: u32::try_from(approvals).expect("organizations are limited"),
        needed: u32::try_from(needed).expect("organizations are limited"),
    })?;
    let mut effective = None;
    if approvals >= needed {
        effective = Some(match &proposal.subject {
            Subject::Configuration(changes) => {
                let record = changed(context, changes)?;
                take_effect(context, &record, id)?
            }
            Subject::Recovery(recovery) => {
                assets::pass_on(context, recovery, proposal.proposed_height)?;
                context.height()
            }
        });
        end(context, &id, &mut proposal, ProposalState::Done);
    } else if id == context.id() {
        context.put_value(keyspace::open_proposal(proposal.proposed_height, &id), [1u8].as_slice().into());
    }
    context.put(keyspace::proposal(&id), &proposal);
    let (why, changes) = (proposal.reason.as_str(), audit::in_words(&proposal.subject));
    let ballot = Ballot { who: &by, why, proposal: id, changes, approvals, needed, effective };
    audit::record(context, &if id == context.id() { Act::Propose(ballot) } else { Act::Approve(ballot) })
}
