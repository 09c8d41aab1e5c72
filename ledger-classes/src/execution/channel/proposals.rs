//! Proposals, of changes of the configuration and of recoveries: made, approved until the channel's policy is met, or
//! withdrawn.
//!
//! A proposal is open until it is done or withdrawn, or lapses: after [`PROPOSAL_MS`], or when the organization that made
//! it leaves the channel. It is listed as long ([`keyspace::open_proposal`]); one whose time has passed leaves the list with
//! a later proposal. Its record stays.
//!
//! Approvals are counted when a proposal takes effect, and each time that it is looked at: one counts as long as its giver
//! may sign, administers, was not revoked since, and is of an organization that was a member all along. Whatever the policy,
//! a member's CA certificates change with its own approval only.

use super::change::{changed, take_effect};
use super::governance::administrator;
use super::membership::{own_proposals, was_member};
use super::revocation::check_reason;
use super::subject::Subject;
use super::{governance, pace};
use crate::action::channel::{Approve, Propose, Withdraw};
use crate::execution::assets;
use crate::execution::audit::{self, Act, Ballot};
use crate::execution::{Context, Members};
use crate::formats::config::ChannelConfig;
use crate::formats::detail::{Detail, Moment, Part, Party, Text};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::rights::Right;
use crate::keys::Address;
use crate::limits::{MEMO_BYTES_MAX, PROPOSAL_MS, PROPOSALS_ENDED_MAX, PROPOSALS_OPEN_MAX};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::identity::Identity;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::keyspace::Family;
use crate::state::participant::Participant;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view;
use crate::state::view::{ReadError, ReadView};
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
    /// Its time has passed, or its proposer's organization has left the channel.
    Lapsed,
}

/// A yes, which counts for the administrator's organization.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Approval {
    /// Who.
    pub by: Identity,
    /// By the record of which address.
    pub address: Address,
    /// The block.
    pub approved_height: u64,
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
    /// Its time.
    pub proposed_at: Time,
    /// Who approved, one of an organization, in order.
    pub approvals: Vec<Approval>,
    /// What has become of it.
    pub state: ProposalState,
    /// The block that ended it.
    pub ended_height: Option<u64>,
}

impl Record for Proposal {}

impl Proposal {
    /// What has become of it at block time `time`.
    pub fn state_at(&self, view: &dyn ReadView, members: &Members<'_>, time: Time) -> Result<ProposalState, ReadError> {
        let lapsed = || -> Result<bool, ReadError> {
            let stays = was_member(view, members, self.by.organization(), self.proposed_height)?;
            Ok(self.is_late(time) || !stays)
        };
        Ok(if self.state == ProposalState::Open && lapsed()? { ProposalState::Lapsed } else { self.state })
    }

    fn is_late(&self, time: Time) -> bool {
        time.millis_since(self.proposed_at) > PROPOSAL_MS
    }

    /// The approvals that count under a configuration at block time `time`; of one that is done those that made it so.
    pub fn counted(&self, view: &dyn ReadView, members: &Members<'_>, time: Time) -> Result<Vec<&Approval>, ReadError> {
        let mut counted = Vec::new();
        for approval in &self.approvals {
            if self.state == ProposalState::Done || approval.counts(view, members, time)? {
                counted.push(approval);
            }
        }
        Ok(counted)
    }

    /// How many approvals it needs, with those that are there: what the policy asks for, and those of the members whose own
    /// is needed whatever the policy.
    pub fn needed(
        &self,
        view: &dyn ReadView,
        config: &ChannelConfig,
        counted: &[&Approval],
    ) -> Result<usize, ReadError> {
        let missing = self.owners(config).into_iter();
        let missing = missing.filter(|owner| counted.iter().all(|given| given.by.organization() != *owner)).count();
        let policy = governance::approvals_needed(view, config)?;
        Ok(if missing == 0 { policy } else { policy.max(counted.len() + missing) })
    }

    /// The members whose own approval it needs, whatever the policy.
    pub fn owners(&self, config: &ChannelConfig) -> Vec<&str> {
        match &self.subject {
            Subject::Configuration(changes) => governance::owners(config, changes),
            Subject::Recovery(_) => Vec::new(),
        }
    }
}

impl Approval {
    fn counts(&self, view: &dyn ReadView, members: &Members<'_>, time: Time) -> Result<bool, ReadError> {
        let record: Option<Participant> = record::read(view, &keyspace::participant(&self.address))?;
        let Some(giver) = record.filter(|giver| giver.identity == self.by) else { return Ok(false) };
        let good = members.standing(view, Some(&giver), time)?.is_ok()
            && members.config().rights_of(Some(&giver.identity)).allows(Right::Admin)
            // Whoever had the key before a revocation may have given it.
            && giver.revoked_before.is_none_or(|height| height < self.approved_height);
        Ok(good && was_member(view, members, self.by.organization(), self.approved_height)?)
    }
}

pub(in crate::execution) fn propose(context: &mut Context<'_>, body: &Propose) -> Result<(), Refusal> {
    if body.changes.is_empty() || body.changes.len() > CHANGES_MAX || body.reason.len() > MEMO_BYTES_MAX {
        let detail = Detail::Between { part: Part::Changes, least: 1, most: CHANGES_MAX as u64 };
        return reject(ResultCode::InvalidField, detail);
    }
    check_reason(&body.reason)?;
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
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Proposals, most: 1 });
    }
    end_late(context)?;
    require_room(context, by.organization())?;
    let proposal = Proposal {
        subject,
        reason: reason.to_owned(),
        by: by.clone(),
        proposed_height: height,
        proposed_at: context.time(),
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
    check_reason(&body.reason)?;
    let by = administrator(context)?;
    let mut proposal = open(context, &body.proposal)?;
    if proposal.by.organization() != by.organization() {
        return reject(ResultCode::OtherOrganization, Detail::Only { party: Party::OwnOrganization });
    }
    end(context, &body.proposal, &mut proposal, ProposalState::Withdrawn);
    context.put(keyspace::proposal(&body.proposal), &proposal);
    context.emit(Event::ChannelWithdrawn { proposal: body.proposal, by: by.clone(), reason: body.reason.clone() })?;
    audit::record(context, &Act::Withdraw { who: &by, why: &body.reason, proposal: body.proposal })
}

/// A proposal that can still be approved or withdrawn.
fn open(context: &Context<'_>, id: &Hash) -> Result<Proposal, Refusal> {
    let found: Option<Proposal> = context.get(&keyspace::proposal(id))?;
    let state = match &found {
        Some(proposal) => Some(proposal.state_at(context, context.members(), context.time())?),
        None => None,
    };
    match (found, state) {
        (Some(proposal), Some(ProposalState::Open)) => Ok(proposal),
        (Some(proposal), Some(ProposalState::Lapsed)) => {
            let detail = match proposal.is_late(context.time()) {
                true => Detail::Moment { moment: Moment::ProposalLapsed, time: proposal.proposed_at },
                false => Detail::ProposerLeft { organization: proposal.by.organization().into() },
            };
            reject(ResultCode::ProposalLapsed, detail)
        }
        _ => reject(ResultCode::ProposalUnknown, Detail::UnknownProposal { proposal: *id }),
    }
}

/// Takes those off the list whose time has passed, which are the first there: as many as one proposal makes up for.
fn end_late(context: &mut Context<'_>) -> Result<(), Refusal> {
    let prefix = keyspace::key(Family::OpenProposal, &[]);
    for (place, _) in view::scan(context, &prefix, &prefix, PROPOSALS_ENDED_MAX)? {
        let id = place.get(prefix.len() + 8..).and_then(|id| id.try_into().ok()).map(Hash);
        let id = id.ok_or_else(|| ReadError("the list of open proposals is damaged".into()))?;
        let Some(mut proposal) = context.get::<Proposal>(&keyspace::proposal(&id))? else { continue };
        if !proposal.is_late(context.time()) {
            break;
        }
        end(context, &id, &mut proposal, ProposalState::Lapsed);
        context.put(keyspace::proposal(&id), &proposal);
    }
    Ok(())
}

/// Nothing has to be paid for a proposal, and each is listed for 30 days.
fn require_room(context: &mut Context<'_>, organization: &str) -> Result<(), Refusal> {
    let open = own_proposals(context, organization)?;
    if open.len() < PROPOSALS_OPEN_MAX {
        return Ok(());
    }
    let mut room = false;
    for (_, id) in open {
        let Some(mut proposal) = context.get::<Proposal>(&keyspace::proposal(&id))? else { continue };
        if proposal.is_late(context.time()) {
            end(context, &id, &mut proposal, ProposalState::Lapsed);
            context.put(keyspace::proposal(&id), &proposal);
            room = true;
        }
    }
    match room {
        true => Ok(()),
        false => {
            let (organization, most) = (organization.into(), PROPOSALS_OPEN_MAX as u64);
            reject(ResultCode::TooManyProposals, Detail::OpenProposals { organization, most })
        }
    }
}

/// It is open no more.
fn end(context: &mut Context<'_>, id: &Hash, proposal: &mut Proposal, state: ProposalState) {
    // One that is done as it is made was never listed.
    if *id != context.id() {
        context.remove(keyspace::open_proposal(proposal.proposed_height, id));
        context.remove(keyspace::own_proposal(proposal.by.organization(), proposal.proposed_height, id));
    }
    proposal.state = state;
    proposal.ended_height = Some(context.height());
}

/// Adds an approval. With enough of them changes take effect for the blocks after this one, a recovery at once.
fn count_approval(context: &mut Context<'_>, id: Hash, mut proposal: Proposal, by: Identity) -> Result<(), Refusal> {
    let config = context.config();
    let organization = by.organization().to_owned();
    // Of an organization that came back who was admitted before may act: from here on it is asked as well.
    if context.get_value(&keyspace::administrators(&organization))?.is_none() {
        governance::note_administrator(context, &by, context.sender())?;
    }
    let counted = proposal.counted(context, context.members(), context.time())?;
    let has = counted.iter().any(|approval| approval.by.organization() == organization);
    // Where fewer are needed than before, whoever has approved may say so again, and it takes effect.
    if has && counted.len() < proposal.needed(context, config, &counted)? {
        return reject(
            ResultCode::AlreadyApproved,
            Detail::ApprovedAlready { organization: Text::from(&organization) },
        );
    }
    proposal.approvals.retain(|approval| approval.by.organization() != organization);
    let (address, approved_height) = (context.sender(), context.height());
    proposal.approvals.push(Approval { by: by.clone(), address, approved_height });
    let counted = proposal.counted(context, context.members(), context.time())?;
    let needed = proposal.needed(context, config, &counted)?;
    let (approvals, counted): (usize, Vec<Approval>) = (counted.len(), counted.into_iter().cloned().collect());
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
                // Each key that is listed anew may end, or name another, without anybody's approval.
                let changes = 1 + governance::newly_listed(context, &record.config);
                pace::spend_several(context, pace::Kind::Configuration, proposal.by.organization(), changes)?;
                for organization in governance::newcomers(context, &record.config) {
                    pace::begin(context, pace::Kind::Configuration, &organization)?;
                }
                take_effect(context, &record, id)?
            }
            Subject::Recovery(recovery) => {
                assets::pass_on(context, recovery, proposal.proposed_height)?;
                context.height()
            }
        });
        end(context, &id, &mut proposal, ProposalState::Done);
        proposal.approvals = counted;
    } else if id == context.id() {
        let own = keyspace::own_proposal(proposal.by.organization(), proposal.proposed_height, &id);
        for place in [keyspace::open_proposal(proposal.proposed_height, &id), own] {
            context.put_value(place, [1u8].as_slice().into());
        }
    }
    context.put(keyspace::proposal(&id), &proposal);
    let (why, (changes, more)) = (proposal.reason.as_str(), audit::told(&proposal.subject));
    let ballot = Ballot { who: &by, why, proposal: id, changes, more, approvals, needed, effective };
    audit::record(context, &if id == context.id() { Act::Propose(ballot) } else { Act::Approve(ballot) })
}
