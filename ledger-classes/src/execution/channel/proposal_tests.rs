//! The life of a proposal, and the lists of what is open and who takes part.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::action::Action;
use crate::action::channel::{Approve, Propose, Withdraw};
use crate::execution::test_support::{Ledger, address, open_config};
use crate::formats::config::{Approvals, ChannelConfig, ConfigChange, Organization};
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode;
use crate::formats::rights::{Grant, Grantee, Right};
use crate::keys::Address;
use crate::limits::PROPOSALS_OPEN_MAX;
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::state::keyspace;
use crate::state::listing::Span;
use ResultCode as C;

/// Administrators 1 and 2 of alpha, 3 of beta, 4 of gamma; two organizations must approve. Client 5 of beta.
pub(super) fn of_three() -> Ledger {
    let mut config = ChannelConfig { public_read: false, open_submit: false, ..open_config() };
    for name in ["beta", "gamma"] {
        let authorities = vec![HexBytes(vec![0x30])];
        config.organizations.push(Organization { name: name.into(), title: name.into(), authorities });
    }
    config.approvals = Approvals::Majority;
    let admin = [Right::Admin].into_iter().collect();
    for name in ["alpha", "beta", "gamma"] {
        config.grants.push(Grant { to: Grantee::Organization(name.into()), rights: admin });
    }
    let mut ledger = Ledger::with_config(config);
    let people = [
        (1, "alpha", Role::Admin, "ann"),
        (2, "alpha", Role::Admin, "art"),
        (3, "beta", Role::Admin, "ben"),
        (4, "gamma", Role::Admin, "gil"),
        (5, "beta", Role::Client, "bea"),
    ];
    for (number, organization, role, name) in people {
        let identity = Identity::new("test.example", organization, role, name).unwrap();
        ledger.admit(number, &identity);
    }
    ledger
}

pub(super) fn propose(ledger: &mut Ledger, signer: u8, to: &str) -> Hash {
    let rights = [Right::Audit].into_iter().collect();
    let changes = vec![ConfigChange::Grant(Grant { to: Grantee::Organization(to.into()), rights })];
    let propose = Action::ChannelPropose(Propose { changes, reason: format!("for {to}") });
    let receipts = ledger.run(&[(&[signer], vec![propose])]);
    assert_eq!(receipts[0].head.code, 0, "{}", receipts[0].message());
    receipts[0].head.id
}

pub(super) fn approve(proposal: Hash) -> Vec<Action> {
    vec![Action::ChannelApprove(Approve { proposal })]
}

pub(super) fn withdraw(proposal: Hash) -> Vec<Action> {
    vec![Action::ChannelWithdraw(Withdraw { proposal, reason: "a mistake".into() })]
}

pub(super) fn open(ledger: &Ledger) -> Vec<Hash> {
    let listed = open_proposals(&ledger.state, &Span::first(9)).unwrap();
    assert_eq!(listed.next, None);
    listed.items.into_iter().map(|proposal| proposal.id).collect()
}

#[test]
fn a_proposal_is_listed_until_it_is_done_or_withdrawn() {
    let mut ledger = of_three();
    let first = propose(&mut ledger, 1, "beta");
    let second = propose(&mut ledger, 3, "gamma");
    let third = propose(&mut ledger, 4, "alpha");
    assert_eq!(open(&ledger), [first, second, third], "in the order in which they were made");
    let page = open_proposals(&ledger.state, &Span::first(2)).unwrap();
    let rest = open_proposals(&ledger.state, &Span { after: page.next, ..Span::first(2) }).unwrap();
    assert_eq!(rest.items.iter().map(|proposal| proposal.id).collect::<Vec<_>>(), [third]);

    ledger.done(3, approve(first));
    assert_eq!(open(&ledger), [second, third]);
    let done = proposal(&ledger.state, &first).unwrap().unwrap().record;
    assert_eq!((done.state, done.proposed_height, done.ended_height), (ProposalState::Done, 1, Some(4)));
    let approvals: Vec<(String, u64)> =
        done.approvals.iter().map(|approval| (approval.by.name().to_owned(), approval.approved_height)).collect();
    assert_eq!(approvals, [("ann".to_owned(), 1), ("ben".to_owned(), 4)]);

    // (who, what, code)
    for (signer, actions, code) in [
        (2, approve(first), C::ProposalUnknown),
        (1, withdraw(first), C::ProposalUnknown),
        (1, withdraw(second), C::OtherOrganization),
        (5, withdraw(second), C::NoRight),
        (4, withdraw(Hash([9; 32])), C::ProposalUnknown),
        (3, withdraw(second), C::Done),
        (3, withdraw(second), C::ProposalUnknown),
        (1, approve(second), C::ProposalUnknown),
    ] {
        let (found, message) = ledger.one(signer, actions.clone());
        assert_eq!(found, code, "{signer} {actions:?}: {message}");
    }
    assert_eq!(open(&ledger), [third]);
    let withdrawn = proposal(&ledger.state, &second).unwrap().unwrap().record;
    assert_eq!(withdrawn.state, ProposalState::Withdrawn);
}

/// A colleague of the proposer's, since an administrator's certificate may have been revoked meanwhile.
#[test]
fn another_administrator_of_the_proposers_organization_withdraws_and_it_is_told() {
    let mut ledger = of_three();
    let id = propose(&mut ledger, 1, "beta");
    let receipts = ledger.run(&[(&[2], withdraw(id))]);
    let events = receipts[0].decoded_events().unwrap();
    let by = Identity::new("test.example", "alpha", Role::Admin, "art").unwrap();
    let told = Event::ChannelWithdrawn { proposal: id, by: by.clone(), reason: "a mistake".into() };
    assert_eq!(events[0], told);
    let body = format!(r#"{{"act":"channel.withdraw","who":"{by}","why":"a mistake","proposal":"{id}"}}"#);
    assert!(matches!(&events[1], Event::LogAppended { body: found, .. } if *found == body), "{events:?}");
}

#[test]
fn a_proposal_that_its_own_approval_does_is_never_listed_nor_are_keys_of_it_written() {
    let mut ledger = of_three();
    let change = Action::ChannelPropose(Propose {
        changes: vec![ConfigChange::SetApprovals { approvals: Approvals::Any }],
        reason: String::new(),
    });
    let id = ledger.run(&[(&[1], vec![change])])[0].head.id;
    ledger.done(3, approve(id));
    let rights = [Right::Audit].into_iter().collect();
    let changes = vec![ConfigChange::Grant(Grant { to: Grantee::Organization("beta".into()), rights })];
    let transaction =
        ledger.transaction(&[1], vec![Action::ChannelPropose(Propose { changes, reason: String::new() })]);
    let executed = ledger.preview(std::slice::from_ref(&transaction));
    assert_eq!(executed.receipts[0].head.code, 0);
    let family = keyspace::Family::OpenProposal as u8;
    assert!(executed.writes.keys().all(|key| key[0] != family), "{:?}", executed.writes.keys());
}

#[test]
fn participants_are_listed_by_identity_and_those_of_an_organization_alone() {
    let ledger = of_three();
    let config = crate::execution::config_of(&ledger.state).unwrap().config;
    let names = |organization: Option<&str>, after: Option<Vec<u8>>, limit| {
        let listed = participants(&ledger.state, &config, organization, &Span { after, ..Span::first(limit) }).unwrap();
        let names: Vec<String> =
            listed.items.iter().map(|participant| participant.record.identity.name().to_owned()).collect();
        (names.join(" "), listed.next)
    };
    let (first, next) = names(None, None, 3);
    assert_eq!(first, "ann art ben");
    assert_eq!(names(None, next, 3), ("bea gil".into(), None));
    assert_eq!(names(Some("beta"), None, 9), ("ben bea".into(), None), "administrators come before clients");
    assert_eq!(names(Some("bet"), None, 9), (String::new(), None));
    assert_eq!(names(Some("delta"), None, 9), (String::new(), None));
    let all = participants(&ledger.state, &config, None, &Span::first(1)).unwrap();
    let expected: Address = address(1);
    assert_eq!(all.items[0].address, expected);
}

/// They are free, so one organization's filled a channel's list.
#[test]
fn an_organization_has_a_bounded_number_of_open_proposals() {
    let change = || {
        let changes = vec![ConfigChange::SetPublicRead { public_read: true }];
        vec![Action::ChannelPropose(Propose { changes, reason: String::new() })]
    };
    let mut ledger = of_three();
    // Older ones of others, which a new one takes off the list first.
    for _ in 0..9 {
        propose(&mut ledger, 3, "beta");
    }
    let made: Vec<Hash> = (0..PROPOSALS_OPEN_MAX).map(|_| propose(&mut ledger, 4, "gamma")).collect();
    let (code, message) = ledger.one(4, change());
    assert_eq!(code, C::TooManyProposals, "{message}");
    ledger.done(1, change());
    ledger.done(4, withdraw(made[5]));
    ledger.done(4, change());
    assert_eq!(ledger.one(4, change()).0, C::TooManyProposals);
    let mut left = ledger.clone();
    ledger.advance(crate::limits::PROPOSAL_MS + 1_000);
    ledger.done(4, change());

    // Who comes back begins anew.
    let propose_by = |ledger: &mut Ledger, changes| {
        let propose = Action::ChannelPropose(Propose { changes, reason: String::new() });
        ledger.run(&[(&[1], vec![propose])])[0].head.id
    };
    let out = propose_by(&mut left, vec![ConfigChange::RemoveOrganization { name: "gamma".into() }]);
    left.done(3, approve(out));
    let authorities = vec![HexBytes(vec![0x30])];
    let gamma = Organization { name: "gamma".into(), title: "gamma".into(), authorities };
    let rights = [Right::Admin].into_iter().collect();
    let grant = Grant { to: Grantee::Organization("gamma".into()), rights };
    let back = propose_by(&mut left, vec![ConfigChange::PutOrganization(gamma), ConfigChange::Grant(grant)]);
    left.done(3, approve(back));
    left.admit(4, &Identity::new("test.example", "gamma", Role::Admin, "gil").unwrap());
    propose(&mut left, 4, "gamma");
}

/// A record above what the store reads back was looked for at the end of a transaction only: what its next action read
/// halted the channel.
#[test]
fn a_proposal_too_large_to_be_read_back_is_refused_and_the_channel_goes_on() {
    let name = "x".to_owned();
    // In the payload three bytes each, in the record eight.
    let authorities = vec![HexBytes(Vec::new()); 66_000];
    let put = ConfigChange::PutOrganization(Organization { name: name.clone(), title: name.clone(), authorities });
    let changes = vec![put, ConfigChange::RemoveOrganization { name }];
    let large = || Action::ChannelPropose(Propose { changes: changes.clone(), reason: String::new() });
    let changes = vec![ConfigChange::SetApprovals { approvals: Approvals::Any }];
    let small = Action::ChannelPropose(Propose { changes, reason: String::new() });
    let recover = Action::AccountRecover(crate::action::assets::Recover {
        from: address(5),
        to: address(3),
        reason: String::new(),
        asset: None,
    });
    for after in [vec![], vec![small], vec![recover]] {
        let mut ledger = of_three();
        let transaction = ledger.json_transaction(1, [vec![large()], after].concat());
        let (receipts, _) = ledger.seal(&[transaction]);
        assert_ne!(receipts[0].head.code, C::Done.number());
        propose(&mut ledger, 1, "beta");
    }
}
