//! What keys have in the state, proven against the last header.

use super::answer::sliced;
use super::slices::StateSlices;
use crate::{
    api::context::PeerContext,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use ledger_classes::formats::rights::Class;
use ledger_classes::limits::STATE_KEY_BYTES_MAX;
use ledger_classes::state::keyspace;

/// Beside a key's way stand hashes of its neighbours of the same class, which could be guessed: who has a proof may read all
/// of them. Among what the channel keeps of itself and among logs these are of administrative acts, and among contracts of
/// what names identities. Of other classes there is nothing but what is blinded.
pub(super) async fn proof(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, key) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    let key = key_of(&key)?;
    match keyspace::class_of(&key) {
        Some(class @ (Class::Assets | Class::Apps)) => visible.read(class)?,
        Some(class @ Class::Contracts) => visible.read(class).and_then(|()| visible.governance())?,
        Some(class @ Class::Logs) => visible.read(class).and_then(|()| visible.acts())?,
        None => visible.read_all().and_then(|()| visible.acts())?,
    }
    let proof = StateSlices { key, found: None };
    sliced(&context, &caller, &visible, proof).await
}

fn key_of(text: &str) -> Result<Vec<u8>, ApiError> {
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    let key = hex::decode(text).ok().filter(|key| lower && (1..=STATE_KEY_BYTES_MAX).contains(&key.len()));
    let what = || format!("a key of the state is 1 to {STATE_KEY_BYTES_MAX} bytes in lower-case hex digits");
    key.ok_or_else(|| ApiError::new(Kind::InvalidParameter, what()))
}
