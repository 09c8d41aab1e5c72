//! Timers of contract instances, in block time. A due timer runs at the start of the first block that has reached
//! its time, and alone is reason enough to cut one.

pub use super::records::Timer;

use crate::execution::Context;
use crate::formats::outcome::Refusal;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::keyspace::Family;
use crate::state::record;
use crate::state::view::{ReadError, ReadView, prefix_end};

/// A due timer, taken from the list.
pub(in crate::execution) struct DueTimer {
    pub(in crate::execution) key: Vec<u8>,
    pub(in crate::execution) timer: Timer,
}

/// When the next timer is due.
pub(in crate::execution) fn next_due(view: &dyn ReadView) -> Result<Option<Time>, ReadError> {
    let prefix = [Family::Timer as u8];
    let Some((_, value)) = view.first_in(&prefix, &prefix_end(&prefix))? else { return Ok(None) };
    Ok(Some(record::from_value::<Timer>(&value)?.due))
}

/// Takes the first timer with a key above `after` that is due at the block's time, whatever becomes of it. What a timer
/// sets is due after its block, so there is never one to go back for; to look from the beginning again would be to
/// pass over every timer that was taken before, each time.
pub(in crate::execution) fn take_due(context: &mut Context<'_>, after: &[u8]) -> Result<Option<DueTimer>, ReadError> {
    let from = [after, &[0]].concat();
    let end = keyspace::key(Family::Timer, &[&(context.time().millis() + 1).to_be_bytes()]);
    let Some((key, value)) = context.first_in(&from, &end)? else { return Ok(None) };
    let timer: Timer = record::from_value(&value)?;
    context.remove(key.clone());
    context.remove(keyspace::timer_time(&timer.instance, &timer.timer));
    context.keep();
    Ok(Some(DueTimer { key, timer }))
}

/// Sets or moves a timer of `instance`.
pub(in crate::execution) fn set(
    context: &mut Context<'_>,
    instance: &str,
    timer: &str,
    due: Time,
) -> Result<(), Refusal> {
    cancel(context, instance, timer)?;
    let record = Timer { due, instance: instance.into(), timer: timer.into() };
    context.put(keyspace::timer(due, instance, timer), &record);
    context.put(keyspace::timer_time(instance, timer), &record);
    Ok(())
}

/// Ends a timer of `instance`, if it is set.
pub(in crate::execution) fn cancel(context: &mut Context<'_>, instance: &str, timer: &str) -> Result<(), Refusal> {
    let time_key = keyspace::timer_time(instance, timer);
    if let Some(record) = context.get::<Timer>(&time_key)? {
        context.remove(keyspace::timer(record.due, instance, timer));
        context.remove(time_key);
    }
    Ok(())
}
