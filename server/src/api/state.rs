//! What keys have in the state, proven against the last header.

use super::answer::{Source, in_json, streamed};
use super::slices::StateSlices;
use crate::{
    context::PeerContext,
    problem::{ApiError, Kind},
    tls::Caller,
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use ledger_classes::{keyspace, limits::STATE_KEY_BYTES_MAX, rights::Class};

/// Who may read all classes may have proofs: beside a key's way stand hashes of its neighbours, which could be guessed.
/// Among what the channel keeps of itself and among logs these are of administrative acts.
pub(super) async fn proof(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, key) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    let key = key_of(&key)?;
    visible.read_all()?;
    if matches!(keyspace::class_of(&key), None | Some(Class::Logs)) {
        visible.acts()?;
    }
    let source = Source::Channel(visible.channel);
    let proof = StateSlices { key, found: None };
    streamed(&context.into_inner(), &caller, &visible.purse, source, in_json(), proof).await
}

fn key_of(text: &str) -> Result<Vec<u8>, ApiError> {
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    let key = hex::decode(text).ok().filter(|key| lower && (1..=STATE_KEY_BYTES_MAX).contains(&key.len()));
    let what = || format!("a key of the state is 1 to {STATE_KEY_BYTES_MAX} bytes in lower-case hex digits");
    key.ok_or_else(|| ApiError::new(Kind::InvalidParameter, what()))
}
