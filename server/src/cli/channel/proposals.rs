//! What waits for approvals: shown one by one and as a list, and looked at before it is approved.

use super::cas;
use crate::cli::failure::Failure;
use crate::cli::output::{clean, pairs};
use crate::cli::session::{Paging, Session};
use client::api::ProposalView;
use client::connection::RequestError;
use ledger_classes::primitives::hash::Hash;

/// Says of a proposal that cannot be approved why, before a transaction that fails is in a block for ever. Who may not
/// see the proposal is told by the ledger.
pub(super) async fn may_be_approved(session: &Session, channel: &str, proposal: Hash) -> Result<(), Failure> {
    match session.connection.proposal(channel, proposal).await {
        Ok(found) if found["state"] == "open" => {
            if let Ok(known) = ledger_classes::primitives::json::from_value::<ProposalView>(found) {
                cas::tell_approver(&known);
            }
            Ok(())
        }
        Ok(found) => {
            let height = found["ended_height"].as_u64().map(|height| format!(" since block {height}"));
            let height = height.unwrap_or_default();
            let what = found["state"].as_str().map_or("over", |state| if state == "done" { "in force" } else { state });
            Err(Failure::refused(format!("the proposal is {}{height}: nothing is left to approve", clean(what))))
        }
        Err(RequestError::Problem(problem)) if problem.name() == "proposal-unknown" => Err(Failure::Refused {
            message: format!(
                "there is no proposal {proposal} on {channel}: `chancery channel proposals {channel}` lists those that wait"
            )
            .into(),
            problem: Some(problem),
        }),
        Err(RequestError::Problem(problem)) if problem.status == 403 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A proposal for people.
pub(super) fn in_words(proposal: &ProposalView) -> String {
    let ended = proposal.ended_height.map(|height| format!(" since block {height}")).unwrap_or_default();
    let mut lines = vec![
        ("proposal", proposal.id.to_string()),
        ("state", clean(&format!("{}{ended}", proposal.state))),
        ("by", clean(&proposal.by)),
        ("block", proposal.proposed_height.to_string()),
        ("reason", clean(&proposal.reason)),
    ];
    lines.extend(proposal.summary.iter().map(|change| ("change", clean(change))));
    lines.extend(cas::lines(proposal));
    lines.push(("approvals", format!("{} of {}", proposal.approvals_given, proposal.approvals_needed)));
    for approval in &proposal.approvals {
        let counts = if approval.counts { "" } else { ", which does not count any more" };
        lines.push(("approved", clean(&format!("in block {} by {}{counts}", approval.approved_height, approval.by))));
    }
    if !proposal.not_yet.is_empty() {
        lines.push(("not yet", clean(&proposal.not_yet.join(", "))));
    }
    pairs(&lines)
}

/// Lists what waits for approvals.
pub(super) async fn list(session: &Session, channel: &str, paging: &Paging) -> Result<(), Failure> {
    let page = session.connection.proposals(channel, paging.part()).await?;
    let titles = ["proposal", "kind", "state", "by", "block", "approvals", "not yet", "what", "reason"];
    session.output.list(&page, &titles, |proposal| {
        let counted = proposal.approvals.iter().filter(|approval| approval.counts);
        let by: Vec<&str> = counted.map(|approval| approval.organization.as_str()).collect();
        let approvals = format!("{} of {}: {}", proposal.approvals_given, proposal.approvals_needed, by.join(", "));
        vec![
            proposal.id.to_string(),
            clean(&proposal.kind),
            clean(&proposal.state),
            clean(&proposal.by),
            proposal.proposed_height.to_string(),
            clean(&approvals),
            clean(&proposal.not_yet.join(", ")),
            proposal.summary.iter().cloned().chain(cas::in_short(proposal)).collect::<Vec<_>>().join("; "),
            clean(&proposal.reason),
        ]
    })
}
