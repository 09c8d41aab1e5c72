//! What a caller may do on a channel for as long as an answer lasts: its rights are asked again before each piece of a
//! subscription, of a stream of submissions, and of an answer that goes out slice by slice.
//!
//! What must never happen here: a refusal that is remembered as leave. Only what was allowed counts as judged.

use super::reading::unavailable;
use crate::{
    api::{
        access::{Visible, rights_on},
        context::PeerContext,
    },
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use channel_actors::{ChannelHandle, LifeCycle};
use ledger_classes::execution::{ConfigRecord, Mark};
use ledger_classes::formats::rights::Rights;
use std::sync::Arc;
use tokio::sync::watch;

/// A caller's rights on a channel, asked again while something lasts.
pub(super) struct LiveRights {
    context: Arc<PeerContext>,
    caller: Caller,
    channel: ChannelHandle,
    /// As they were allowed last.
    rights: Rights,
    /// The configuration, and whose certificates the channel has ended, by which they were; none before the first time.
    allowed_by: Option<(Arc<ConfigRecord>, Arc<[Mark]>)>,
    trust_changes: watch::Receiver<u64>,
}

impl LiveRights {
    /// The rights of a caller that something begins under. They are judged anew the first time that they are asked.
    pub(super) fn of(context: &Arc<PeerContext>, caller: &Caller, visible: &Visible) -> Self {
        Self {
            trust_changes: context.trust.subscribe(),
            context: Arc::clone(context),
            caller: caller.clone(),
            channel: visible.channel.clone(),
            rights: visible.rights,
            allowed_by: None,
        }
    }

    /// Whose they are.
    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// As they were when they were last asked.
    pub(super) const fn rights(&self) -> Rights {
        self.rights
    }

    /// Asks whether the caller may go on. Where its rights may have changed, `allow` says what comes of them, or refuses.
    /// Who may not go on is told why.
    pub(super) async fn again<R>(
        &mut self,
        allow: impl FnOnce(Rights) -> Result<R, ApiError>,
    ) -> Result<Option<R>, ApiError> {
        match self.judge(allow) {
            Ok(changed) => Ok(changed),
            Err(refusal) => Err(self.caller.why(&self.context.trust, refusal).await),
        }
    }

    fn judge<R>(&mut self, allow: impl FnOnce(Rights) -> Result<R, ApiError>) -> Result<Option<R>, ApiError> {
        self.caller.check(&self.context.trust)?;
        // Before rights: who may act on a channel that has halted need have none.
        match self.channel.state() {
            LifeCycle::Halted { reason } => return Err(ApiError::halted(reason)),
            LifeCycle::Closed => return Err(unavailable("the channel is closed")),
            _ => {}
        }
        let Some(config) = self.channel.config() else { return Err(Kind::ChannelUnknown.into()) };
        let ended = self.channel.ended();
        let same =
            |(by, outs): &(Arc<ConfigRecord>, Arc<[Mark]>)| Arc::ptr_eq(by, &config) && Arc::ptr_eq(outs, &ended);
        if self.allowed_by.as_ref().is_some_and(same) {
            return Ok(None);
        }
        let rights = rights_on(&self.channel, &config.config, &self.caller);
        if rights.is_empty() {
            return Err(Kind::ChannelUnknown.into());
        }
        let allowed = allow(rights)?;
        (self.rights, self.allowed_by) = (rights, Some((config, ended)));
        Ok(Some(allowed))
    }

    /// Asks whether what was begun under these rights may go on: nothing of them is gone.
    pub(super) async fn all_still(&mut self) -> Result<(), ApiError> {
        let begun = self.rights;
        let allow = |rights| match begun.without(rights).is_empty() {
            true => Ok(()),
            // Whoever asks again is told what it may have now.
            false => Err(unavailable("the caller's rights on the channel have changed")),
        };
        self.again(allow).await.map(drop)
    }

    /// Waits until trust changes, which may end the caller's certificate.
    pub(super) async fn trust_changed(&mut self) {
        // The sender is the peer's trust, which lives as long as this.
        let _ = self.trust_changes.changed().await;
    }
}
