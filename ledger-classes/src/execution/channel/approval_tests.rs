//! Whose approvals count when a proposal takes effect, and when it lapses.
#![allow(clippy::unwrap_used)]

use super::proposal_tests::{approve, of_three, open, propose, withdraw};
use super::proposals::ProposalState;
use super::{Proposal, proposal};
use crate::action::Action;
use crate::action::assets::Recover;
use crate::action::channel::Propose;
use crate::execution::test_support::{Ledger, address};
use crate::execution::{Members, config_of};
use crate::formats::config::{Approvals, ChannelConfig, ConfigChange, Organization};
use crate::formats::outcome::ResultCode as C;
use crate::formats::rights::{Grant, Grantee, Right, Rights};
use crate::limits::{PROPOSAL_MS, PROPOSALS_ENDED_MAX};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::participant::Participant;
use crate::state::record;

fn change(ledger: &mut Ledger, number: u8, change: impl FnOnce(&mut Participant)) {
    let key = keyspace::participant(&address(number));
    let mut participant: Participant = record::read(&ledger.state, &key).unwrap().unwrap();
    change(&mut participant);
    ledger.put(key, &participant);
}

fn configure(ledger: &mut Ledger, change: impl FnOnce(&mut ChannelConfig)) {
    let mut record = config_of(&ledger.state).unwrap();
    change(&mut record.config);
    ledger.put(keyspace::config_at(record.height), &record);
}

fn found(ledger: &Ledger, id: Hash) -> Proposal {
    proposal(&ledger.state, &id).unwrap().unwrap().record
}

/// What lists show: what has become of it, and organizations whose approvals count.
fn shown(ledger: &Ledger, id: Hash) -> (ProposalState, Vec<String>) {
    let config = config_of(&ledger.state).unwrap().config;
    let (members, proposal) = (Members::new(&config, ledger.certificates), found(ledger, id));
    let counted = proposal.counted(&ledger.state, &members, ledger.time).unwrap();
    let organizations = counted.iter().map(|approval| approval.by.organization().to_owned()).collect();
    (proposal.state_at(&ledger.state, &members, ledger.time).unwrap(), organizations)
}

/// Proposals of a revoked administrator still counted, and one member alone completed them.
#[test]
fn an_approval_counts_as_long_as_its_giver_may_give_it() {
    type Change = fn(&mut Ledger);
    let rows: [(&str, Change); 7] = [
        ("revoked", |ledger| change(ledger, 1, |ann| ann.revoked_height = Some(9))),
        ("expired", |ledger| change(ledger, 1, |ann| ann.not_after = Time::from_millis(1))),
        // Whoever had the key before the revocation may have approved.
        ("admitted again", |ledger| change(ledger, 1, |ann| ann.revoked_before = Some(1))),
        ("somebody else", |ledger| {
            let art = Identity::new("test.example", "alpha", Role::Admin, "art").unwrap();
            change(ledger, 1, |ann| ann.identity = art);
        }),
        ("without the right", |ledger| configure(ledger, |config| drop(config.grants.remove(0)))),
        ("by a CA that was replaced", |ledger| {
            configure(ledger, |config| config.organizations[0].authorities = vec![HexBytes(vec![0x31])]);
        }),
        ("of no member", |ledger| configure(ledger, |config| drop(config.organizations.remove(0)))),
    ];
    let open = |organizations: &[&str]| {
        (ProposalState::Open, organizations.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    for (what, become_so) in rows {
        let mut ledger = of_three();
        let id = propose(&mut ledger, 1, "beta");
        assert_eq!(shown(&ledger, id), open(&["alpha"]), "{what}");
        become_so(&mut ledger);
        if what == "of no member" {
            assert_eq!(ledger.one(4, approve(id)).0, C::ProposalLapsed);
            continue;
        }
        assert_eq!(shown(&ledger, id), open(&[]), "{what}");
        ledger.done(4, approve(id));
        assert_eq!(shown(&ledger, id), open(&["gamma"]), "{what}");
        assert_eq!(found(&ledger, id).state, ProposalState::Open, "{what}");
        ledger.done(3, approve(id));
        assert_eq!(shown(&ledger, id), (ProposalState::Done, vec!["gamma".to_owned(), "beta".to_owned()]), "{what}");
        // Who made it done does not change with what becomes of them.
        change(&mut ledger, 4, |gil| gil.revoked_height = Some(9));
        assert_eq!(shown(&ledger, id).1.len(), 2, "{what}");
    }
}

#[test]
fn whose_approval_counts_no_more_may_approve_again_and_so_may_a_colleague() {
    for (who, revoked, code) in
        [(1, false, C::AlreadyApproved), (2, false, C::AlreadyApproved), (1, true, C::Done), (2, true, C::Done)]
    {
        let mut ledger = of_three();
        let id = propose(&mut ledger, 1, "beta");
        if revoked {
            change(&mut ledger, 1, |ann| ann.revoked_before = Some(1));
        }
        assert_eq!(ledger.one(who, approve(id)).0, code, "{who} {revoked}");
        assert_eq!(found(&ledger, id).approvals.len(), 1, "one of an organization");
        ledger.done(3, approve(id));
        assert_eq!(found(&ledger, id).state, ProposalState::Done);
    }
}

#[test]
fn a_renewed_certificate_brings_back_what_expired_with_the_one_before() {
    let mut ledger = of_three();
    let id = propose(&mut ledger, 1, "beta");
    change(&mut ledger, 1, |ann| ann.not_after = Time::from_millis(1));
    assert_eq!(shown(&ledger, id).1, [""; 0]);
    change(&mut ledger, 1, |ann| ann.not_after = Time::from_millis(u64::MAX));
    ledger.done(3, approve(id));
    assert_eq!(found(&ledger, id).state, ProposalState::Done);
}

/// With a policy that asks for less, a proposal had enough approvals and waited for one more.
#[test]
fn a_proposal_that_has_enough_since_is_done_when_somebody_says_yes_again() {
    let mut ledger = of_three();
    configure(&mut ledger, |config| config.approvals = Approvals::All);
    let id = propose(&mut ledger, 1, "beta");
    ledger.done(3, approve(id));
    configure(&mut ledger, |config| config.approvals = Approvals::Majority);
    ledger.done(3, approve(id));
    assert_eq!(found(&ledger, id).state, ProposalState::Done);
}

/// Proposes as alpha, and beta agrees.
fn agreed(ledger: &mut Ledger, changes: Vec<ConfigChange>) {
    let propose = Action::ChannelPropose(Propose { changes, reason: String::new() });
    let receipt = ledger.run(&[(&[1], vec![propose])]).pop().unwrap();
    assert_eq!(receipt.head.code, 0, "{}", receipt.message());
    ledger.done(3, approve(receipt.head.id));
}

/// An organization that left and came back had its approvals still, without a right, and one member alone completed what it
/// had proposed: the policy became `any`.
#[test]
fn an_organization_that_leaves_takes_its_proposals_and_approvals_with_it() {
    for comes_back in [false, true] {
        let mut ledger = of_three();
        configure(&mut ledger, |config| config.approvals = Approvals::All);
        let (own, others) = (propose(&mut ledger, 4, "beta"), propose(&mut ledger, 1, "gamma"));
        ledger.done(4, approve(others));
        configure(&mut ledger, |config| config.approvals = Approvals::Majority);
        agreed(&mut ledger, vec![ConfigChange::RemoveOrganization { name: "gamma".into() }]);
        if comes_back {
            let gamma =
                Organization { name: "gamma".into(), title: String::new(), authorities: vec![HexBytes(vec![0x30])] };
            let rights = Rights::from_iter([Right::Admin]);
            let to = Grantee::Organization("gamma".into());
            agreed(&mut ledger, vec![ConfigChange::PutOrganization(gamma), ConfigChange::Grant(Grant { to, rights })]);
        }
        if comes_back {
            // From its first administrator on it is asked again.
            ledger.admit(4, &Identity::new("test.example", "gamma", Role::Admin, "gil").unwrap());
        }
        configure(&mut ledger, |config| config.approvals = Approvals::All);
        assert_eq!(shown(&ledger, own), (ProposalState::Lapsed, vec![]), "{comes_back}");
        assert_eq!(shown(&ledger, others), (ProposalState::Open, vec!["alpha".to_owned()]), "{comes_back}");
        let (code, message) = ledger.one(1, approve(own));
        assert_eq!(code, C::ProposalLapsed);
        assert!(message.contains("gamma has left"), "{message}");
        if comes_back {
            ledger.done(3, approve(others));
            assert_eq!(found(&ledger, others).state, ProposalState::Open);
            ledger.done(4, approve(others));
            assert_eq!(found(&ledger, others).state, ProposalState::Done, "as everybody else it approves anew");
            let again = propose(&mut ledger, 4, "alpha");
            assert_eq!(shown(&ledger, again), (ProposalState::Open, vec!["gamma".to_owned()]));
        }
    }
}

/// Records outlive a membership: two organizations that came back would have been two of the two that are asked.
#[test]
fn who_came_back_is_asked_from_its_first_act_on() {
    let mut ledger = of_three();
    agreed(&mut ledger, vec![ConfigChange::RemoveOrganization { name: "gamma".into() }]);
    let gamma = Organization { name: "gamma".into(), title: String::new(), authorities: vec![HexBytes(vec![0x30])] };
    let (rights, to) = (Rights::from_iter([Right::Admin]), Grantee::Organization("gamma".into()));
    agreed(&mut ledger, vec![ConfigChange::PutOrganization(gamma), ConfigChange::Grant(Grant { to, rights })]);
    configure(&mut ledger, |config| config.approvals = Approvals::All);
    let id = propose(&mut ledger, 1, "beta");
    ledger.done(4, approve(id));
    assert_eq!(shown(&ledger, id), (ProposalState::Open, vec!["alpha".to_owned(), "gamma".to_owned()]), "two of three");
    ledger.done(3, approve(id));
    assert_eq!(found(&ledger, id).state, ProposalState::Done);
}

#[test]
fn a_proposal_lapses_after_its_time_a_recovery_too_and_leaves_the_list() {
    let recovery = |ledger: &mut Ledger| {
        change(ledger, 5, |bea| bea.revoked_height = Some(0));
        let recover = Recover { from: address(5), to: address(3), reason: "left".into(), asset: None };
        let receipt = ledger.run(&[(&[1], vec![Action::AccountRecover(recover)])]).pop().unwrap();
        assert_eq!(receipt.head.code, 0, "{}", receipt.message());
        receipt.head.id
    };
    for is_recovery in [false, true] {
        let mut ledger = of_three();
        let made = ledger.time;
        let id = if is_recovery { recovery(&mut ledger) } else { propose(&mut ledger, 1, "beta") };
        ledger.advance_to(made.plus_millis(PROPOSAL_MS));
        assert_eq!(shown(&ledger, id).0, ProposalState::Open);
        ledger.advance(1);
        assert_eq!(shown(&ledger, id).0, ProposalState::Lapsed);
        for actions in [approve(id), withdraw(id)] {
            let (code, message) = ledger.one(3, actions);
            assert_eq!(code, C::ProposalLapsed);
            assert!(message.contains("30 days"), "{message}");
        }
        assert_eq!(open(&ledger), [id], "until another is made");
        let next = propose(&mut ledger, 1, "gamma");
        assert_eq!(open(&ledger), [next]);
        let lapsed = found(&ledger, id);
        assert_eq!((lapsed.state, lapsed.ended_height), (ProposalState::Lapsed, Some(ledger.height)));
        assert_eq!(ledger.one(3, approve(id)).0, C::ProposalLapsed);
    }
}

#[test]
fn a_proposal_takes_a_bounded_number_of_lapsed_ones_off_the_list() {
    let mut ledger = of_three();
    for _ in 0..=PROPOSALS_ENDED_MAX {
        propose(&mut ledger, 1, "beta");
    }
    ledger.advance(PROPOSAL_MS + 1);
    propose(&mut ledger, 1, "gamma");
    assert_eq!(open(&ledger).len(), 2);
}
