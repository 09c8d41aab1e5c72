//! The contracts class: registered contracts with versions, their instances, calls and timers. What a contract
//! does is an engine's matter ([`engine::ContractEngine`]); the first engine is the built-in library.

pub mod timers;

use super::Context;
use crate::action::contracts::{Call, Create, Deploy, Retire};
use crate::outcome::{Refusal, ResultCode, reject};

macro_rules! later {
    ($($name:ident: $body:ty),*) => { $(
        pub(super) fn $name(_: &mut Context<'_>, _: &$body) -> Result<(), Refusal> {
            reject(ResultCode::ContractUnknown, "")
        }
    )* };
}

later! { deploy: Deploy, upgrade: Deploy, retire: Retire, create: Create, call: Call }

fn run_timer(_: &mut Context<'_>, _: &timers::Timer) -> Result<(), Refusal> {
    Ok(())
}
