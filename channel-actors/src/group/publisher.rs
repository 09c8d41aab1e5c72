//! The publisher's actor: puts committed blocks in the ring, which wakes subscribers. What it does for all of them
//! together is bounded (`LOOKS_MAX`), so none can delay it.

use super::{GroupContext, Guard, stops};
use crate::committed::CommittedBlock;
use crate::limits::MAILBOX;
use actix::prelude::*;
use std::sync::Arc;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Publish {
    pub(super) block: Arc<CommittedBlock>,
    /// It is every subscriber's matter.
    pub(super) all: bool,
}

/// Answered when everything before it is published.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Published;

pub(super) struct Publisher {
    context: Arc<GroupContext>,
    _guard: Guard,
}

impl Publisher {
    pub(super) fn start(context: Arc<GroupContext>, arbiter: &ArbiterHandle) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |actor| {
            actor.set_mailbox_capacity(MAILBOX);
            let guard = context.guard("publisher");
            Self { context, _guard: guard }
        })
    }
}

impl Actor for Publisher {
    type Context = Context<Self>;
}

impl Handler<Publish> for Publisher {
    type Result = ();

    fn handle(&mut self, Publish { block, all }: Publish, _: &mut Self::Context) {
        self.context.shared.ring.publish(block, all);
    }
}

impl Handler<Published> for Publisher {
    type Result = ();

    fn handle(&mut self, _: Published, _: &mut Self::Context) {}
}

stops!(Publisher);
