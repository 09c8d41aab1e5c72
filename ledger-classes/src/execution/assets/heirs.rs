//! Who stands in the place of an address that was recovered ([`super::recovery`]).

use crate::execution::Context;
use crate::formats::detail::Detail;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::SUCCESSORS_MAX;
use crate::primitives::codec::{Decode, Encode};
use crate::state::keyspace;
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

/// Who has what was a revoked participant's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Successor {
    /// Who.
    pub to: Address,
    /// The block of the last approval.
    pub height: u64,
}

impl Record for Successor {}

/// Who has what is `account`'s: the last of its successors, or itself.
pub(in crate::execution) fn heir(view: &dyn ReadView, account: &Address) -> Result<Address, ReadError> {
    let mut heir = *account;
    // A successor was in good standing, and a recovered address is never admitted again: there is no circle, and a
    // recovery that would make a way too long is refused.
    for _ in 0..SUCCESSORS_MAX {
        match record::read::<Successor>(view, &keyspace::successor(&heir))? {
            Some(successor) => heir = successor.to,
            None => break,
        }
    }
    Ok(heir)
}

/// Refuses the admission of an address that was recovered.
pub(in crate::execution) fn require_not_recovered(context: &Context<'_>, address: &Address) -> Result<(), Refusal> {
    match context.get::<Successor>(&keyspace::successor(address))? {
        Some(Successor { to, .. }) => {
            reject(ResultCode::AddressIsTaken, Detail::HasSuccessor { address: *address, successor: to })
        }
        None => Ok(()),
    }
}
