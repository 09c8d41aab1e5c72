//! Deadlines of contracts: they count time in which the channel served and the assets concerned could move.
//!
//! A contract keeps the times that it agreed on and, as [`Served`], what had been lost when it did. Later it compares
//! them with [`Lag::now`], which is block time less what was lost since; nothing is stored when a stop begins or ends, so
//! thousands of open deadlines cost nothing while they wait. Each lengthening that is found is told by an event
//! `escrow.extended` with its reason.
//!
//! What always holds: outages move a deadline by as long as nobody could act, and by a part of the time that was served
//! which leaves the rest to count ([`service`]); pauses and freezes by [`STOPS_MS_MAX`] at most. So an escrow has an end
//! that is known when it is made.

use super::Call;
use super::forms::{Field, emit, number, text};
use crate::execution::service::{self, Stopped};
use crate::formats::outcome::Refusal;
use crate::limits::{STOP_LOOK_MS_MIN, STOPS_MS_MAX};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::time::Time;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

/// Milliseconds that do not count, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Lost {
    /// The channel did not serve.
    pub outage: u64,
    /// An asset was paused.
    pub pause: u64,
    /// An item, or units of an account, were frozen.
    pub freeze: u64,
}

impl Lost {
    fn sum(self) -> u64 {
        self.outage.saturating_add(self.pause).saturating_add(self.freeze)
    }
}

/// What had been lost when the times of an escrow were agreed, and how much later they are known to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Served {
    #[serde(skip)]
    begun: Lost,
    /// What had been lost before something else came to be what must move.
    #[serde(skip)]
    carried: Lost,
    /// As the last event told.
    pub extended: Lost,
}

/// By how much the times of an escrow are later than agreed.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    time: Time,
    lost: Lost,
    /// Milliseconds until the next look at what is stopped now, while that still counts.
    look: Option<u64>,
}

/// What was lost up to `time`, with the longest stop that runs.
fn lost(view: &dyn ReadView, time: Time, concerned: &[Stopped<'_>]) -> Result<(Lost, Option<u64>), ReadError> {
    let mut lost = Lost { outage: service::lost(view)?, ..Lost::default() };
    let mut longest = None;
    for what in concerned {
        let (total, runs) = service::stopped(view, *what, time)?;
        let sum = match what {
            Stopped::Asset(_) => &mut lost.pause,
            Stopped::Item(_) | Stopped::Account { .. } => &mut lost.freeze,
        };
        *sum = sum.saturating_add(total);
        longest = longest.max(runs);
    }
    Ok((lost, longest))
}

impl Served {
    /// Begins to count. What `concerned` names is what must move for the escrow's parties to do their part.
    pub fn begin(call: &Call<'_, '_>, concerned: &[Stopped<'_>]) -> Result<Self, Refusal> {
        let (begun, _) = lost(call.view(), call.time(), concerned)?;
        Ok(Self { begun, ..Self::default() })
    }

    /// Goes on with something else that must move, `concerned`; what was lost `before` stays.
    pub fn go_on(&mut self, call: &Call<'_, '_>, before: &Lag, concerned: &[Stopped<'_>]) -> Result<(), Refusal> {
        self.begun = lost(call.view(), call.time(), concerned)?.0;
        self.carried = before.lost;
        Ok(())
    }

    /// By how much times are later at `time`.
    pub fn lag(&self, view: &dyn ReadView, time: Time, concerned: &[Stopped<'_>]) -> Result<Lag, ReadError> {
        let (now, runs) = lost(view, time, concerned)?;
        let since = |carried: u64, now: u64, begun: u64| carried.saturating_add(now.saturating_sub(begun));
        let (carried, begun) = (self.carried, self.begun);
        let pause = since(carried.pause, now.pause, begun.pause).min(STOPS_MS_MAX);
        let freeze = since(carried.freeze, now.freeze, begun.freeze).min(STOPS_MS_MAX - pause);
        let outage = since(carried.outage, now.outage, begun.outage);
        // As long as it has been stopped, again and again: a score of looks at most, and none behind the end.
        let left = STOPS_MS_MAX - pause - freeze;
        let look = runs.filter(|_| left > 0).map(|runs| runs.max(STOP_LOOK_MS_MIN).min(left));
        Ok(Lag { time, lost: Lost { outage, pause, freeze }, look })
    }

    /// [`Served::lag`] at block time. Tells of what was added since the last time, about `subject`.
    pub fn refresh(
        &mut self,
        call: &mut Call<'_, '_>,
        concerned: &[Stopped<'_>],
        subject: &str,
    ) -> Result<Lag, Refusal> {
        let lag = self.lag(call.view(), call.time(), concerned)?;
        let (told, now) = (self.extended, lag.lost);
        for (reason, before, after) in
            [("outage", told.outage, now.outage), ("pause", told.pause, now.pause), ("freeze", told.freeze, now.freeze)]
        {
            if after > before {
                let fields: [(&str, Field); 4] = [
                    ("subject", text(subject)),
                    ("reason", text(reason)),
                    ("by_ms", number(after - before)),
                    ("extended_ms", number(now.sum())),
                ];
                emit(call, "escrow.extended", &fields)?;
            }
        }
        self.extended = now;
        Ok(lag)
    }
}

impl Lag {
    /// Block time as the escrow counts it.
    pub fn now(&self) -> Time {
        Time::from_millis(self.time.millis().saturating_sub(self.lost.sum()))
    }

    /// Whether the time `agreed` has come.
    pub fn has_come(&self, agreed: Time) -> bool {
        self.now() >= agreed
    }

    /// The block time at which `agreed` comes, if nothing is lost from now on.
    pub fn comes(&self, agreed: Time) -> Time {
        agreed.plus_millis(self.lost.sum())
    }

    /// When to look at a deadline that has not come. While something is stopped the looks become rare: when it ends,
    /// anybody may look.
    pub fn next_look(&self, agreed: Time) -> Time {
        let comes = self.comes(agreed);
        match self.look {
            Some(look) => comes.max(self.time.plus_millis(look)),
            None => comes,
        }
    }
}
