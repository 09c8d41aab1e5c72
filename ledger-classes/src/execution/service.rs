//! When a channel served, as its blocks show, and how long assets, items and accounts could not move: what deadlines
//! of contracts are measured by ([`super::contracts::deadlines`]).
//!
//! While a timer is set, a block is due at the latest [`MARK_MS`] after the one before: the channel's own timer makes
//! it if nothing else does. A block that comes later than it was due proves that the channel did not serve meanwhile,
//! and to replay the same blocks is to find the same outages. One record holds the sum for the whole channel, so a
//! mark costs the same for one open deadline as for thousands. A channel without a timer makes no mark.
//!
//! Relations that always hold: the clock runs after a block exactly if a timer is set then; what was lost never
//! becomes less; of what was served at least one part in [`RETURN_PRICE`], less [`UNEARNED_MS_MAX`] once, is not lost,
//! whatever the blocks' times are; a stop runs exactly while its asset is paused, its item frozen, or units of its
//! account are.

use super::Context;
use super::contracts::timers;
use crate::action::assets::ItemName;
use crate::formats::event::Event;
use crate::formats::outcome::Refusal;
use crate::formats::receipt::Receipt;
use crate::keys::Address;
use crate::limits::{LATE_MS, MARK_MS, RETURN_MS, RETURN_PRICE, UNEARNED_MS_MAX};
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

/// The channel's record of the time in which it served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct ServiceClock {
    /// Time of the last block, while a timer is set.
    pub last: Option<Time>,
    /// Milliseconds of block time by which outages have moved deadlines, in all.
    pub lost: u64,
    /// Milliseconds still to serve for what was given back: at most [`UNEARNED_MS_MAX`].
    pub unearned: u64,
}

impl Record for ServiceClock {}

impl ServiceClock {
    /// Notes time that was served, and the outage after it, if there was one: by how much it moves deadlines.
    fn pass(&mut self, served: u64, outage: u64) -> u64 {
        self.unearned = self.unearned.saturating_sub(served);
        if outage == 0 {
            return 0;
        }
        let returned = RETURN_MS.min(UNEARNED_MS_MAX.saturating_sub(self.unearned) / RETURN_PRICE);
        self.unearned = self.unearned.saturating_add(returned.saturating_mul(RETURN_PRICE));
        let lost = outage.saturating_add(returned);
        self.lost = self.lost.saturating_add(lost);
        lost
    }
}

/// How long something could not move, in milliseconds in which the channel served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Stop {
    /// When the stop that runs began: block time less what outages had taken then.
    pub since: Option<u64>,
    /// The stops that have ended, each with the time to come back.
    pub total: u64,
    /// When the last of them ended, as `since` counts.
    pub ended: Option<u64>,
}

impl Record for Stop {}

/// What cannot move.
#[derive(Clone, Copy, Debug)]
pub enum Stopped<'a> {
    /// A paused asset.
    Asset(&'a str),
    /// A frozen item.
    Item(&'a ItemName),
    /// An account with frozen units.
    Account {
        /// Of this asset.
        asset: &'a str,
        /// Whose.
        account: &'a Address,
    },
}

impl<'a> Stopped<'a> {
    /// The asset whose control authority stops it.
    pub const fn asset(self) -> &'a str {
        match self {
            Self::Asset(asset) | Self::Account { asset, .. } => asset,
            Self::Item(item) => item.asset.as_str(),
        }
    }

    fn key(self) -> Vec<u8> {
        match self {
            Self::Asset(asset) => keyspace::stop(asset, 0, &[]),
            Self::Item(ItemName { asset, item }) => keyspace::stop(asset, 1, item.as_bytes()),
            Self::Account { asset, account } => keyspace::stop(asset, 2, &account.0),
        }
    }
}

fn clock(view: &dyn ReadView) -> Result<ServiceClock, ReadError> {
    Ok(record::read(view, &keyspace::service_clock())?.unwrap_or_default())
}

/// Milliseconds that outages have taken up to now.
pub(in crate::execution) fn lost(view: &dyn ReadView) -> Result<u64, ReadError> {
    Ok(clock(view)?.lost)
}

/// Time of the last block, while a timer is set: what a query counts deadlines up to.
pub(in crate::execution) fn last_block(view: &dyn ReadView) -> Result<Option<Time>, ReadError> {
    Ok(clock(view)?.last)
}

/// When the next mark is due, if the clock runs.
pub(in crate::execution) fn next_mark(view: &dyn ReadView) -> Result<Option<Time>, ReadError> {
    Ok(clock(view)?.last.map(|last| last.plus_millis(MARK_MS)))
}

/// Looks at the beginning of a block whether it is late, or is needed as a mark. Either gives a receipt.
pub(in crate::execution) fn begin_block(
    context: &mut Context<'_>,
    receipts: &mut Vec<Receipt>,
) -> Result<(), ReadError> {
    let mut clock = clock(context)?;
    let Some(last) = clock.last else { return Ok(()) };
    let (time, mark) = (context.time(), last.plus_millis(MARK_MS));
    // Timers that were due with the last block are those that did not fit into it: they were served since.
    let timer = timers::next_due(context)?;
    let due = timer.map_or(mark, |due| due.min(mark)).max(last);
    // What every block may be late is served time as well: else blocks that are always late would stop the clock.
    let served_until = due.plus_millis(LATE_MS).min(time);
    let outage = time.millis_since(served_until);
    let lost = clock.pass(served_until.millis_since(last), outage);
    let key = keyspace::service_clock();
    context.put(key.clone(), &clock);
    context.keep();
    // A block that a timer makes is a mark as it is.
    if outage == 0 && (time < mark || timer.is_some_and(|due| due <= time)) {
        return Ok(());
    }
    let id = Hash::tagged(Tag::Timer, &[&context.height().to_le_bytes(), &key]);
    context.begin(id, 0, super::Sender::Timer);
    if outage > 0 {
        let told = context.emit(Event::ChannelOutage { since: due, until: time, lost_ms: lost });
        told.expect("a receipt without events has room for one");
    }
    receipts.push(context.finish(Amount::ZERO));
    Ok(())
}

/// Notes the time of a block at its end, while a timer is set.
pub(in crate::execution) fn end_block(context: &mut Context<'_>) -> Result<(), ReadError> {
    let before = clock(context)?;
    let last = timers::next_due(context)?.map(|_| context.time());
    if before.last != last {
        context.put(keyspace::service_clock(), &ServiceClock { last, ..before });
        context.keep();
    }
    Ok(())
}

/// Time that counts: block time without outages.
fn served(view: &dyn ReadView, time: Time) -> Result<u64, ReadError> {
    Ok(time.millis().saturating_sub(lost(view)?))
}

/// Notes that `what` cannot move from now on, or that it can again.
pub(in crate::execution) fn set_stopped(
    context: &mut Context<'_>,
    what: Stopped<'_>,
    stopped: bool,
) -> Result<(), Refusal> {
    let key = what.key();
    let mut stop: Stop = context.get(&key)?.unwrap_or_default();
    let now = served(context, context.time())?;
    match (stop.since, stopped) {
        (None, true) => stop.since = Some(now),
        (Some(since), false) => {
            (stop.since, stop.ended) = (None, Some(now));
            stop.total = stop.total.saturating_add(with_return(now.saturating_sub(since)));
        }
        _ => return Ok(()),
    }
    context.put(key, &stop);
    Ok(())
}

/// A stop with the time to come back: as much as it lasted at most, or pausing and resuming would move deadlines for
/// nothing.
fn with_return(lasted: u64) -> u64 {
    lasted.saturating_add(lasted.min(RETURN_MS))
}

/// How long `what` could not move up to `time`: in all, and the stop that runs now.
pub(in crate::execution) fn stopped(
    view: &dyn ReadView,
    what: Stopped<'_>,
    time: Time,
) -> Result<(u64, Option<u64>), ReadError> {
    let Some(stop) = record::read::<Stop>(view, &what.key())? else { return Ok((0, None)) };
    let Some(since) = stop.since else { return Ok((stop.total, None)) };
    let runs = served(view, time)?.saturating_sub(since);
    Ok((stop.total.saturating_add(with_return(runs)), Some(runs)))
}

/// For how long `what` could move without a break up to `time`: nothing while it is stopped, `None` if it never was.
pub(in crate::execution) fn moves_for(
    view: &dyn ReadView,
    what: Stopped<'_>,
    time: Time,
) -> Result<Option<u64>, ReadError> {
    Ok(match record::read::<Stop>(view, &what.key())? {
        Some(Stop { since: Some(_), .. }) => Some(0),
        Some(Stop { ended: Some(ended), .. }) => Some(served(view, time)?.saturating_sub(ended)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
