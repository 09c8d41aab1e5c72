//! The apps class.

use super::Context;
use crate::action::apps::{Publish, Retire, UpdateSettings};
use crate::outcome::{Refusal, ResultCode, reject};

pub(super) fn publish(_: &mut Context<'_>, _: &Publish) -> Result<(), Refusal> {
    reject(ResultCode::AppUnknown, "")
}

pub(super) fn update_settings(_: &mut Context<'_>, _: &UpdateSettings) -> Result<(), Refusal> {
    reject(ResultCode::AppUnknown, "")
}

pub(super) fn retire(_: &mut Context<'_>, _: &Retire) -> Result<(), Refusal> {
    reject(ResultCode::AppUnknown, "")
}
