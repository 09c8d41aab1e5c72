//! The door's actor: deals submissions to shards by sender, so that one sender stays on one shard.

use super::{GroupContext, Guard, stops, verifier};
use crate::limits::INTAKE_MAILBOX;
use crate::verifier::Arrival;
use actix::prelude::*;
use std::sync::Arc;

/// Transactions that have their credits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Submit(pub(crate) Vec<Arrival>);

pub(crate) struct Intake {
    shards: Vec<Addr<verifier::ShardActor>>,
    _guard: Guard,
}

impl Intake {
    pub(super) fn start(
        context: Arc<GroupContext>,
        shards: Vec<Addr<verifier::ShardActor>>,
        arbiter: &ArbiterHandle,
    ) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |actor| {
            actor.set_mailbox_capacity(INTAKE_MAILBOX);
            Self { shards, _guard: context.guard("intake") }
        })
    }
}

impl Actor for Intake {
    type Context = Context<Self>;
}

/// The shard of a sender among `shards`.
fn shard_of(arrival: &Arrival, shards: usize) -> usize {
    let key = arrival.envelope.signatures.first().map_or(&[][..], |signed| signed.key.bytes());
    let last = key.iter().rev().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    usize::try_from(last % shards as u64).expect("below the number of shards")
}

impl Handler<Submit> for Intake {
    type Result = ();

    fn handle(&mut self, Submit(arrivals): Submit, _: &mut Self::Context) {
        let mut dealt: Vec<Vec<Arrival>> = self.shards.iter().map(|_| Vec::new()).collect();
        for arrival in arrivals {
            let shard = shard_of(&arrival, self.shards.len());
            dealt[shard].push(arrival);
        }
        for (shard, arrivals) in self.shards.iter().zip(dealt) {
            if !arrivals.is_empty() {
                // Bounded by credits.
                shard.do_send(verifier::Arrive(arrivals));
            }
        }
    }
}

stops!(Intake);
