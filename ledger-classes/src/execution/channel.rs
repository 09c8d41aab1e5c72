//! Actions on the channel itself: admission and revocation of participants, and configuration changes with the
//! approvals of a policy, by which recoveries are decided as well.

mod admission;
pub(super) mod authority;
mod change;
mod governance;
mod membership;
mod pace;
mod paths;
mod proposals;
mod queries;
mod recovery;
mod revocation;
mod subject;

pub(super) use admission::admit;
#[cfg(test)]
pub(super) use authority::KnownAuthority;
#[cfg(test)]
pub(super) use governance::Administrators;
pub use governance::approvals_needed;
#[cfg(test)]
pub(super) use membership::Membership;
#[cfg(test)]
pub(super) use pace::Pace;
pub use proposals::{Approval, Proposal, ProposalState};
pub(super) use proposals::{approve, propose, withdraw};
pub(crate) use queries::changes;
pub use queries::{NamedParticipant, NamedProposal, open_proposals, participants, proposal};
pub(super) use recovery::recover;
pub(super) use revocation::{reinstate, revoke, revoke_by_evidence};
pub use subject::Subject;

#[cfg(test)]
mod approval_tests;
#[cfg(test)]
mod authority_tests;
#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod governance_tests;
#[cfg(test)]
mod proposal_tests;
#[cfg(test)]
mod repair_tests;
#[cfg(test)]
mod revocation_tests;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
mod succession_tests;
#[cfg(test)]
mod tests;
