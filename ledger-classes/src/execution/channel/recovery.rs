//! `account.recover`: a recovery is put forward, as a change of the configuration is, or what has become movable since it
//! was decided follows.

use super::governance::administrator;
use super::proposals::put_forward;
use super::subject::Subject;
use crate::action::assets::Recover;
use crate::execution::Context;
use crate::execution::assets::{Recovery, Successor, check_parties, move_all};
use crate::execution::audit::{self, Act};
use crate::formats::detail::{Detail, Part, Party};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::limits::MEMO_BYTES_MAX;
use crate::state::keyspace;
use crate::state::participant::Participant;

pub(in crate::execution) fn recover(context: &mut Context<'_>, body: &Recover) -> Result<(), Refusal> {
    if body.reason.len() > MEMO_BYTES_MAX {
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Reason, most: MEMO_BYTES_MAX as u64 });
    }
    let by = administrator(context)?;
    let recovery = Recovery { from: body.from, to: body.to, asset: body.asset.clone() };
    match context.get::<Successor>(&keyspace::successor(&body.from))? {
        // Decided: what has become movable since follows. By an administrator of theirs, with a record as any act.
        Some(Successor { to, .. }) if to == body.to => {
            let old: Option<Participant> = context.get(&keyspace::participant(&body.from))?;
            if old.is_none_or(|old| old.identity.organization() != by.organization()) {
                return reject(ResultCode::OtherOrganization, Detail::Only { party: Party::OwnOrganization });
            }
            let moves = move_all(context, &recovery)?;
            if moves == 0 {
                return Ok(());
            }
            let (who, why, from, to) = (&by, body.reason.as_str(), body.from, body.to);
            audit::record(context, &Act::Recover { who, why, from, to, moves })
        }
        _ => {
            check_parties(context, &recovery)?;
            put_forward(context, Subject::Recovery(recovery), &body.reason, by)
        }
    }
}
