//! What a channel has asked of certificate paths of late. An admission is verified at the door and again when its block is
//! executed: the second time the answer is known. Of each channel apart, so that none pushes out another's answers.
//!
//! Relation that always holds: an answer equals the one that would be given afresh, whatever is remembered. The paths'
//! verification is a function of its arguments ([`CertificatePaths`]), of which all but the time are in the key, and of
//! times an answer holds only as long as no certificate begins or ends ([`CertificatePaths::steady`]). So block time
//! decides, and no clock.

use crate::limits::REMEMBERED_ANSWERS_MAX;
use crate::runtime::generations::{Generations, question};
use ledger_classes::formats::detail::PathRefusal;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{
    AuthorityContinuation, AuthorityFacts, CertificatePaths, CertifiedIdentity, PathRules, RevokedCertificate,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One channel's.
pub(crate) struct PathCache {
    paths: Arc<dyn CertificatePaths>,
    known: Mutex<Generations<Answer>>,
}

/// The answer, and the times for which it holds.
type Answer = (Range<Time>, Result<CertifiedIdentity, PathRefusal>);

impl PathCache {
    pub(crate) fn new(paths: Arc<dyn CertificatePaths>) -> Self {
        Self { paths, known: Mutex::new(Generations::new(REMEMBERED_ANSWERS_MAX)) }
    }

    fn known(&self) -> MutexGuard<'_, Generations<Answer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificatePaths for PathCache {
    fn verify(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        roots: &[&[u8]],
        time: Time,
    ) -> Result<CertifiedIdentity, PathRefusal> {
        let asked = question(rules.number(), &[path, roots]);
        // Not held while the paths are verified.
        let known = self.known().get(&asked);
        match known {
            Some((steady, answer)) if steady.contains(&time) => answer,
            _ => {
                let answer = self.paths.verify(rules, path, roots, time);
                let steady = self.paths.steady(rules, path, roots, time);
                self.known().put(asked, (steady, answer.clone()));
                answer
            }
        }
    }

    fn claimed_organization(&self, rules: PathRules, leaf: &[u8]) -> Option<String> {
        self.paths.claimed_organization(rules, leaf)
    }

    fn steady(&self, rules: PathRules, path: &[&[u8]], roots: &[&[u8]], time: Time) -> Range<Time> {
        self.paths.steady(rules, path, roots, time)
    }

    fn authority(
        &self,
        rules: PathRules,
        certificate: &[u8],
        consortium: &str,
        organization: &str,
    ) -> Result<(), PathRefusal> {
        self.paths.authority(rules, certificate, consortium, organization)
    }

    fn authority_key(&self, rules: PathRules, certificate: &[u8]) -> Option<Hash> {
        self.paths.authority_key(rules, certificate)
    }

    fn authority_facts(&self, rules: PathRules, certificate: &[u8]) -> Result<AuthorityFacts, PathRefusal> {
        self.paths.authority_facts(rules, certificate)
    }

    fn continuation(
        &self,
        rules: PathRules,
        certificate: &[u8],
        listed: &[&[u8]],
        message: &[u8],
        proof: &[u8],
    ) -> Result<AuthorityContinuation, PathRefusal> {
        self.paths.continuation(rules, certificate, listed, message, proof)
    }

    fn revocation(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        evidence: &[u8],
        roots: &[&[u8]],
    ) -> Result<RevokedCertificate, PathRefusal> {
        self.paths.revocation(rules, path, evidence, roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{NOW, key};
    use ledger_classes::formats::detail::PathFault;
    use ledger_classes::primitives::identity::{Identity, Role};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts what it is asked. A path of one byte is good from that many seconds on, for ten; an odd root refuses.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    fn begin(path: &[&[u8]]) -> Time {
        NOW.plus_millis(u64::from(path[0][0]) * 1000)
    }

    impl CertificatePaths for Counting {
        fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
            None
        }

        fn verify(
            &self,
            _: PathRules,
            path: &[&[u8]],
            roots: &[&[u8]],
            time: Time,
        ) -> Result<CertifiedIdentity, PathRefusal> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match time {
                _ if roots[0][0] % 2 == 1 => return Err(PathFault::UnknownIssuer.into()),
                time if time < begin(path) => return Err(PathFault::NotYetValid.into()),
                time if time >= begin(path).plus_millis(10_000) => return Err(PathFault::Expired.into()),
                _ => {}
            }
            Ok(CertifiedIdentity {
                identity: Identity::new("test.example", "bank", Role::Client, "carl").expect("valid"),
                serial: path[0].to_vec(),
                issuer: Hash::ZERO,
                not_after: begin(path),
                key: key(1).public(),
                authorities: Vec::new(),
                above: Vec::new(),
            })
        }

        fn steady(&self, _: PathRules, path: &[&[u8]], _: &[&[u8]], time: Time) -> Range<Time> {
            let (begin, end) = (begin(path), begin(path).plus_millis(10_000));
            match time {
                time if time < begin => Time::ZERO..begin,
                time if time < end => begin..end,
                _ => end..Time::from_millis(u64::MAX),
            }
        }
    }

    /// An admission cost its path's verification four times, and whoever posted a wrong one paid for none of them.
    #[test]
    fn what_was_answered_is_not_asked_again_and_never_differs_from_what_would_be() {
        let counting = Arc::new(Counting::default());
        let (remembered, fresh) = (PathCache::new(counting.clone()), Counting::default());
        let mut asked = 0;
        for _ in 0..2 {
            for leaf in 0..20u8 {
                for root in 0..2u8 {
                    for second in [0, 5, 9, 10, 19, 20, 29, 40] {
                        for millis in [0, 999] {
                            let time = NOW.plus_millis(second * 1000 + millis);
                            let question: (&[&[u8]], &[&[u8]]) = (&[&[leaf]], &[&[root]]);
                            let expected = fresh.verify(PathRules::V1, question.0, question.1, time);
                            assert_eq!(
                                remembered.verify(PathRules::V1, question.0, question.1, time),
                                expected,
                                "{leaf} at {time}"
                            );
                            asked += 1;
                        }
                    }
                }
            }
        }
        let count = counting.0.load(Ordering::Relaxed);
        assert!(count * 5 < asked, "{count} of {asked} were verified");
    }

    #[test]
    fn parts_of_a_question_are_told_apart_and_few_answers_are_kept() {
        let counting = Arc::new(Counting::default());
        let remembered = PathCache::new(counting.clone());
        let ask = |path: &[&[u8]], roots: &[&[u8]]| {
            let answer = remembered.verify(PathRules::V1, path, roots, NOW);
            assert_eq!(answer, Counting::default().verify(PathRules::V1, path, roots, NOW));
        };
        ask(&[b"ab"], &[b"d"]);
        ask(&[b"ab"], &[b"d"]);
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
        ask(&[b"a", b"b"], &[b"d"]);
        ask(&[b"a"], &[b"bd"]);
        ask(&[b"ab"], &[b"d", b""]);
        assert_eq!(counting.0.load(Ordering::Relaxed), 4);
        for number in 0..10_000u32 {
            ask(&[&number.to_le_bytes()], &[b"d"]);
        }
        let known = remembered.known.lock().expect("whole");
        assert!(known.len() <= 2 * REMEMBERED_ANSWERS_MAX);
    }
}
