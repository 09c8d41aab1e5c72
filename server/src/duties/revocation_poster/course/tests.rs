use super::*;
use crate::duties::revocation_poster::source::{Source, Unproven, Word};
use ca::office::revocation_evidence::RevocationEvidence;
use pki::{CertificateId, Serial};
use std::time::Duration;

fn key(byte: u8) -> KeyId {
    hex::encode([byte; 32]).parse().expect("hex")
}

fn revoked(number: u8, organization: &str, authority: u8) -> Revoked {
    let serial: Serial = format!("{:02x}", number + 1).parse().expect("a serial");
    let evidence = RevocationEvidence { path: Vec::new(), answer: vec![number] };
    Revoked {
        name: format!("{organization} {number}").into(),
        id: CertificateId { issuer: key(authority), serial },
        organization: organization.into(),
        compromised: false,
        vouching: vec![key(authority)],
        evidence: Ok(Arc::new(Word::Answer(evidence))),
    }
}

fn listed(all: &[(&str, u8)]) -> Listed {
    let mut listed = Listed::default();
    for (organization, authority) in all {
        listed.0.entry((*organization).to_owned()).or_default().insert(key(*authority));
    }
    listed
}

/// A course under a configuration that lists these CAs.
fn course(all: &[(&str, u8)]) -> Course {
    Course { listed: listed(all), config: Some(1), ..Course::default() }
}

/// The numbers of what is posted next.
fn numbers(step: Option<Step>) -> Vec<u64> {
    match step {
        None => Vec::new(),
        Some(Step::Post(batch)) => batch.into_iter().map(|(number, _)| number).collect(),
        Some(Step::Look(batch)) => panic!("a look at {batch:?}"),
    }
}

const ROOM: usize = 1_000;

#[test]
fn a_channel_gets_what_its_listed_cas_have_revoked_in_order_and_once() {
    let all = vec![revoked(0, "north", 1), revoked(1, "south", 2), revoked(2, "north", 3), revoked(3, "north", 1)];
    let source = Source::of(all);
    let (mut course, now) = (course(&[("north", 1), ("south", 9)]), Instant::now());
    assert_eq!(numbers(course.take(&source, ROOM, now)), [0, 3], "neither another organization's nor another CA's");
    assert!(course.take(&source, ROOM, now).is_none(), "a step is under way");
    for number in [0, 3] {
        course.became(number, &Outcome::Done, now);
    }
    course.stepped(false, now);
    assert!(course.take(&source, ROOM, now).is_none() && course.has_all(&source, now));
    assert_eq!((course.waiting(&source), course.wakes(now)), (0, None), "it costs nothing until there is another");
}

#[test]
fn what_waits_is_tried_again_after_a_pause_and_a_slow_channel_takes_little_room() {
    let source = Source::of((0..5).map(|number| revoked(number, "north", 1)).collect());
    let (mut course, start) = (course(&[("north", 1)]), Instant::now());
    assert_eq!(numbers(course.take(&source, 2, start)), [0, 1]);
    assert_eq!(course.waiting(&source), 5);
    course.became(0, &Outcome::Waits("full".into()), start);
    course.became(1, &Outcome::Waits("full".into()), start);
    course.stepped(true, start);
    assert!(course.take(&source, ROOM, start).is_none());
    assert!(course.has_all(&source, start), "whoever waits for it is told");
    let later = course.wakes(start).expect("it waits");
    assert_eq!(later, start + REVOCATION_RETRY);
    assert_eq!(numbers(course.take(&source, ROOM, later)), [0], "one at a time");
    course.became(0, &Outcome::Done, later);
    course.stepped(false, later);
    assert_eq!(numbers(course.take(&source, ROOM, later)), [1, 2, 3, 4]);
}

#[test]
fn what_is_refused_is_asked_again_under_another_configuration_only() {
    let source = Source::of(vec![revoked(0, "north", 1), revoked(1, "north", 1)]);
    let (mut course, now) = (course(&[("north", 1)]), Instant::now());
    course.take(&source, ROOM, now);
    course.became(0, &Outcome::Refused("no".into()), now);
    course.became(1, &Outcome::Judged("not now".into()), now);
    course.stepped(false, now);
    assert!(course.take(&source, ROOM, now).is_none());
    let later = course.wakes(now).expect("one is judged again");
    assert_eq!(numbers(course.take(&source, ROOM, later)), [1]);
    course.became(1, &Outcome::Judged("not now".into()), later);
    course.stepped(false, later);
    assert_eq!(course.wakes(later), Some(later + REVOCATION_RETRY * 2));
    assert_eq!(numbers(course.take(&source, ROOM, later + Duration::from_secs(1))), [1], "never the refused one");
}

#[test]
fn a_ca_that_is_listed_later_brings_its_revocations_with_it() {
    let source = Source::of(vec![revoked(0, "north", 1), revoked(1, "south", 2)]);
    let (mut course, now) = (course(&[("north", 1)]), Instant::now());
    assert_eq!(numbers(course.take(&source, ROOM, now)), [0]);
    course.became(0, &Outcome::Done, now);
    course.stepped(false, now);
    let next = listed(&[("north", 1), ("south", 2)]);
    assert!(next.adds_to(&course.listed) && !course.listed.adds_to(&next));
    (course.listed, course.next) = (next, 0);
    assert_eq!(numbers(course.take(&source, ROOM, now)), [0, 1], "what is done is asked of the channel, not posted");
}

#[test]
fn a_source_numbers_what_is_new_and_forgets_what_has_expired() {
    let mut source = Source::of(vec![revoked(0, "north", 1), revoked(1, "north", 1)]);
    assert_eq!(source.end(), 2);
    let compromised = Revoked { compromised: true, ..revoked(1, "north", 1) };
    source.renew(vec![revoked(2, "north", 1), compromised]);
    let left: Vec<(u64, bool)> = source.from(0).map(|(number, revoked)| (number, revoked.compromised)).collect();
    assert_eq!(left, [(2, false), (3, true)], "that the key is compromised is news");
    let mut course = course(&[("north", 1)]);
    assert_eq!(numbers(course.take(&source, ROOM, Instant::now())), [2, 3]);
    source.renew(Vec::new());
    course.under_way = false;
    assert!(course.take(&source, ROOM, Instant::now()).is_none() && course.left.is_empty());
}

#[test]
fn what_has_no_answer_yet_keeps_no_other_waiting_and_goes_once_it_has_one() {
    let unproven = Revoked { evidence: Err(Unproven::Pending), ..revoked(0, "north", 1) };
    let mut source = Source::of(vec![unproven, revoked(1, "north", 1)]);
    let (mut course, now) = (course(&[("north", 1)]), Instant::now());
    assert!(source.is_incomplete());
    assert_eq!(numbers(course.take(&source, ROOM, now)), [0, 1]);
    course.became(0, &Outcome::Unproven("it is being written".into()), now);
    course.became(1, &Outcome::Done, now);
    course.stepped(false, now);
    assert!(course.take(&source, ROOM, now).is_none() && course.has_all(&source, now));
    source.renew(vec![revoked(0, "north", 1), revoked(1, "north", 1), revoked(2, "north", 1)]);
    assert!(!source.is_incomplete());
    assert_eq!(numbers(course.take(&source, ROOM, now)), [0, 2]);
}

#[test]
fn what_waits_is_told_when_it_changes_and_counted_without_a_look_at_each() {
    let all = [revoked(0, "north", 1), revoked(1, "south", 2), revoked(2, "north", 1), revoked(3, "north", 3)];
    let mut source = Source::of(all.to_vec());
    let (mut course, now) = (course(&[("north", 1)]), Instant::now());
    assert_eq!((course.tell(&source), course.tell(&source)), (Some(2), None), "before the first step");
    course.take(&source, 1, now);
    assert_eq!(course.tell(&source), None, "one is under way and one ahead");
    course.became(0, &Outcome::Done, now);
    course.stepped(false, now);
    assert_eq!(course.tell(&source), Some(1));
    source.renew([&all[..], &[revoked(4, "north", 1)]].concat());
    assert_eq!(course.tell(&source), Some(2));
    source.renew(vec![revoked(1, "south", 2)]);
    assert_eq!(course.tell(&source), Some(0), "the rest has expired");
}

/// Whoever is admitted to a channel and revoked behind ten thousand who never came there stayed until all of these had been
/// told.
#[test]
fn whom_a_channel_has_met_goes_before_thousands_whom_it_has_not() {
    let many = |count: u64| -> Vec<Revoked> {
        let one = |number: u64| Revoked {
            id: CertificateId { issuer: key(1), serial: format!("01{number:08x}").parse().expect("a serial") },
            ..revoked(0, "north", 1)
        };
        (0..count).map(one).collect()
    };
    let looked = |step| match step {
        Some(Step::Look(batch)) => (batch[0].0, batch.len()),
        other => panic!("{other:?}"),
    };
    let mut source = Source::of(many(3_000));
    let (mut course, now) = (course(&[("north", 1)]), Instant::now());
    assert_eq!(looked(course.take(&source, ROOM, now)), (0, REVOCATIONS_LOOKED_UP_MAX));
    course.became(700, &Outcome::Met, now);
    course.stepped(false, now);
    // It is one of those that are ahead, and is not counted twice.
    assert_eq!(course.waiting(&source), 3_000);
    let posted = numbers(course.take(&source, ROOM, now));
    assert_eq!((posted[0], posted.len()), (700, REVOCATIONS_POSTED_MAX), "and others fill the step");
    posted.iter().for_each(|number| course.became(*number, &Outcome::Done, now));
    course.stepped(false, now);
    assert_eq!(looked(course.take(&source, ROOM, now)), (1_024, REVOCATIONS_LOOKED_UP_MAX));
    course.look_again(1_024);
    course.stepped(true, now);
    let now = course.wakes(now).unwrap_or(now + REVOCATION_RETRY);
    assert_eq!(looked(course.take(&source, ROOM, now)), (1_024, REVOCATIONS_LOOKED_UP_MAX), "it could not be asked");
    course.stepped(false, now);
    assert_eq!(looked(course.take(&source, ROOM, now)), (2_048, 3_000 - 2_048));
    course.stepped(false, now);
    assert!(!course.is_urgent(&source), "it has met none of those that are left");
    let posted = numbers(course.take(&source, ROOM, now));
    assert_eq!((posted[0], posted.len()), (63, REVOCATIONS_POSTED_MAX));
    posted.iter().for_each(|number| course.became(*number, &Outcome::Done, now));
    course.stepped(false, now);
    // One more comes in the middle of all that.
    source.renew(many(3_001));
    assert!(course.is_urgent(&source));
    assert_eq!(looked(course.take(&source, ROOM, now)), (3_000, 1));
    course.became(3_000, &Outcome::Met, now);
    course.stepped(false, now);
    assert_eq!(numbers(course.take(&source, ROOM, now))[0], 3_000);
}
