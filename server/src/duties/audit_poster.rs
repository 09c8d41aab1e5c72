//! Acts of the authorities' folder become log records of `main`, in order, each once: `audit.certificate`.
//!
//! Nothing is remembered here. The ledger keeps the digest of the last record of this index, and execution takes no
//! record but the one that names it; so a crash at any instant, an answer that was lost, and another peer that posts
//! from the same folder neither lose nor double an act. An index in which that digest does not occur has been changed:
//! nothing more is posted, and the log says so.

use crate::{
    clock,
    duties::{Duties, Duty, Pause},
    identity::{stamp::Stamp, trust::Trust},
    limits::{AUDIT_LOOK, AUDIT_POSTED_MAX, AUDIT_RETRY, COMMIT_WAIT, DUTY_RETRY_MAX},
    setup::init,
};
use ca::office::audit_trail::{Act, Index, acts};
use channel_actors::runtime::tasks::blocking;
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle, SubmitResult, Wait};
use client::submit::{VALIDITY_MS, transaction};
use ledger_classes::action::{Action, logs};
use ledger_classes::execution::audit::{AuditHead, CERTIFICATE};
use ledger_classes::formats::config::Limits;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::{keyspace, record};
use std::{convert::Infallible, sync::Arc, time::Instant};

/// Bytes of an action beside its body, and of a transaction beside its actions, rounded up.
const OVERHEAD_BYTES: usize = 512;

/// Posts acts until the peer stops.
pub(crate) async fn keep(
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    key: Arc<SigningKey>,
    duties: Arc<Duties>,
) -> Infallible {
    let pause = Pause::new(AUDIT_RETRY, DUTY_RETRY_MAX);
    let mut recorder = Recorder { trust, registry, key, duties, posted: None, refused: None, pause };
    let mut looks = tokio::time::interval(AUDIT_LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        recorder.look().await;
    }
}

/// Why acts are not posted.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    /// For a moment, as at the start: not worth a word.
    #[error("main does not serve yet")]
    NotYet,
    /// The peer has no `main`.
    #[error("this peer has no channel main")]
    NoMain,
    /// Somebody else orders it.
    #[error("this peer does not order main")]
    NotOrdering,
    /// The index.
    #[error("the index cannot be read: {0}")]
    Index(String),
    /// The ledger has a record that this index does not lead to.
    #[error(
        "the index is not what main has recorded: somebody changed it, or it is an old copy (`chancery ca audit` names the line)"
    )]
    Changed,
    /// `main`, for now.
    #[error("main: {0}")]
    Main(String),
    /// The rules of `main`, in a block: the same again would be one more block.
    #[error("main refuses them: {0}")]
    Refused(String),
}

struct Recorder {
    trust: Arc<Trust>,
    registry: Arc<ChannelRegistry>,
    key: Arc<SigningKey>,
    /// Everything is posted of the index of this stamp.
    posted: Option<Stamp>,
    duties: Arc<Duties>,
    /// `main` has refused them under the configuration of this block.
    refused: Option<u64>,
    /// They could not be posted.
    pause: Pause,
}

impl Recorder {
    async fn look(&mut self) {
        let Some(stamp) = self.stamp().filter(|stamp| self.posted.as_ref() != Some(stamp)) else { return };
        let config = || self.registry.by_name(init::MAIN)?.config().map(|record| record.height);
        let refused = self.refused.is_some() && self.refused == config();
        if refused || !self.pause.is_over(Instant::now()) {
            return;
        }
        match self.post().await {
            Ok(records) => {
                if records > 0 {
                    tracing::info!(records, "administrative acts are recorded on main");
                }
                // What was appended meanwhile has another stamp.
                self.posted = Some(stamp);
                self.refused = None;
                self.pause.end();
                self.duties.done(init::MAIN, Duty::Audit, "");
            }
            Err(Obstacle::NotYet) => {}
            Err(obstacle) => {
                let said = obstacle.to_string();
                self.pause.lengthen(Instant::now());
                if matches!(obstacle, Obstacle::Refused(_)) {
                    self.refused = config();
                }
                if self.duties.hinder(init::MAIN, Duty::Audit, "", &said) {
                    match obstacle {
                        Obstacle::Changed | Obstacle::Refused(_) => {
                            tracing::error!("administrative acts are not recorded: {said}");
                        }
                        _ => tracing::warn!("administrative acts are not recorded: {said}"),
                    }
                }
            }
        }
    }

    /// `None` without the folder.
    fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.trust.authority_dir().join("ca").join("index.jsonl")).ok()
    }

    /// Posts what is missing, batch after batch. Returns how many records were posted.
    async fn post(&self) -> Result<usize, Obstacle> {
        let main = self.registry.by_name(init::MAIN).ok_or(Obstacle::NoMain)?;
        let (Some(id), Some(config), LifeCycle::Serving) = (main.id(), main.config(), main.state()) else {
            return Err(Obstacle::NotYet);
        };
        if !config.config.peers.iter().any(|peer| peer.key == self.key.public()) {
            return Err(Obstacle::NotOrdering);
        }
        let (index, acts) = self.read().await?;
        let Some(source) = index.source() else { return Ok(0) };
        let (mut records, mut refused_after) = (0, None);
        loop {
            let (last, missing) = missing(&main, source, &acts).await?;
            if refused_after == Some(last) {
                return Err(Obstacle::Main("the sequence of records does not move".into()));
            }
            let batch = batch(missing, &config.config.limits);
            if batch.is_empty() {
                return Ok(records);
            }
            let envelope = self.envelope(id, clock::now_on(&main), source, last, batch)?;
            // A record that somebody else posted meanwhile is found by the next look at the head.
            match submit(&main, envelope).await? {
                true => records += batch.len(),
                false => refused_after = Some(last),
            }
        }
    }

    async fn read(&self) -> Result<(Index, Vec<Act>), Obstacle> {
        let trust = Arc::clone(&self.trust);
        let read = blocking(move || match trust.folder() {
            Ok(Some(folder)) => acts(&folder).map_err(|error| Obstacle::Index(in_one_line(&error))),
            Ok(None) => Err(Obstacle::NotYet),
            Err(error) => Err(Obstacle::Index(in_one_line(&error))),
        });
        read.await
    }

    fn envelope(
        &self,
        channel: Hash,
        now: Time,
        source: Hash,
        last: Hash,
        batch: &[Act],
    ) -> Result<Envelope, Obstacle> {
        let mut previous = last;
        let mut next = |act: &Act| {
            let before = std::mem::replace(&mut previous, act.digest);
            let (topic, body) = (CERTIFICATE.to_owned(), act.body.clone());
            Action::LogAudit(logs::Audit { topic, source, previous: before, digest: act.digest, body })
        };
        let actions = batch.iter().map(&mut next).collect();
        let sender = self.key.public().address();
        let transaction = transaction(channel, sender, actions, now, VALIDITY_MS);
        let transaction = transaction.map_err(|error| Obstacle::Main(in_one_line(&error)))?;
        Ok(Envelope::sign_binary(&transaction, &[&*self.key]))
    }
}

/// The digest of the last record of an index on the ledger, and the acts behind it.
async fn missing<'a>(main: &ChannelHandle, source: Hash, acts: &'a [Act]) -> Result<(Hash, &'a [Act]), Obstacle> {
    let key = keyspace::audit_head(CERTIFICATE, &source);
    let head = main.read(move |reader| record::read::<AuditHead>(reader.view(), &key)).await;
    let last = head.map_err(|error| Obstacle::Main(error.to_string()))?.map(|head| head.digest);
    Ok((last.unwrap_or(Hash::ZERO), behind(acts, last)?))
}

/// The acts behind the one that was recorded last.
fn behind(acts: &[Act], last: Option<Hash>) -> Result<&[Act], Obstacle> {
    let Some(last) = last else { return Ok(acts) };
    let position = acts.iter().position(|act| act.digest == last).ok_or(Obstacle::Changed)?;
    Ok(acts.get(position + 1..).unwrap_or_default())
}

/// As many acts as one transaction of the channel holds; at least one, if there is one.
fn batch<'a>(acts: &'a [Act], limits: &Limits) -> &'a [Act] {
    let most = usize::try_from(limits.actions_max).unwrap_or(usize::MAX).min(AUDIT_POSTED_MAX);
    let room = usize::try_from(limits.payload_bytes_max).unwrap_or(usize::MAX);
    let mut bytes = OVERHEAD_BYTES;
    let fits = |act: &&Act| {
        bytes += act.body.len() + OVERHEAD_BYTES;
        bytes <= room
    };
    let count = acts.iter().take(most).take_while(fits).count().max(1);
    acts.get(..count).unwrap_or(acts)
}

/// Waits for the outcome. Returns whether the records are new; otherwise somebody else was quicker.
async fn submit(main: &ChannelHandle, envelope: Envelope) -> Result<bool, Obstacle> {
    let submission = main.submit(vec![envelope], Wait::Committed);
    let submission = submission.map_err(|refusal| Obstacle::Main(refusal.to_string()))?;
    let results = tokio::time::timeout(COMMIT_WAIT, submission).await;
    let results = results.map_err(|_| Obstacle::Main("no answer in time".into()))?;
    match results.into_iter().next() {
        Some(SubmitResult::Committed { receipt, .. }) => {
            let head = &receipt.head;
            if head.code == ResultCode::AuditOutOfSequence.number() {
                return Ok(false);
            }
            if head.code == ResultCode::Done.number() {
                return Ok(true);
            }
            let name = ResultCode::from_number(head.code).map_or("unknown", ResultCode::name);
            Err(Obstacle::Refused(format!("{} {name}: {}", head.code, receipt.message())))
        }
        Some(SubmitResult::Refused { refusal, .. }) => Err(Obstacle::Main(refusal.to_string())),
        Some(SubmitResult::Accepted { .. }) | None => Err(Obstacle::Main("no outcome".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_record_is_missing_and_a_strange_record_is_an_obstacle() {
        let act = |byte| Act { line: 1, digest: Hash([byte; 32]), body: String::new() };
        let acts = [act(1), act(2), act(3)];
        for (last, first) in [(None, Some(1)), (Some(1), Some(2)), (Some(2), Some(3)), (Some(3), None)] {
            let behind = behind(&acts, last.map(|byte| Hash([byte; 32]))).expect("a known record");
            assert_eq!(behind.first(), first.map(act).as_ref(), "{last:?}");
        }
        // Changed, or an old copy: what the ledger has recorded last is not here.
        assert!(matches!(behind(&acts, Some(Hash([4; 32]))), Err(Obstacle::Changed)));
        assert!(matches!(behind(&[], Some(Hash([1; 32]))), Err(Obstacle::Changed)));
    }

    #[test]
    fn a_batch_is_what_a_transaction_holds() {
        let act = |bytes: usize| Act { line: 1, digest: Hash::ZERO, body: "x".repeat(bytes) };
        let limits = |actions_max, payload_bytes_max| Limits { actions_max, payload_bytes_max, ..Limits::default() };
        let many = vec![act(1_000); 200];
        for (acts, limits, count) in [
            (&[][..], limits(64, 65_536), 0),
            (&many[..3], limits(64, 65_536), 3),
            (&many[..], limits(64, 65_536), 43),
            (&many[..], limits(8, 65_536), 8),
            (&many[..], limits(256, 262_144), AUDIT_POSTED_MAX),
            // Too long for the channel: execution says so, rather than that nothing happens.
            (&many[..], limits(64, 1), 1),
        ] {
            assert_eq!(batch(acts, &limits).len(), count, "{limits:?}");
        }
    }
}
