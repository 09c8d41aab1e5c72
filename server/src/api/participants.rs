//! Who may sign on a channel, and proposed changes of its configuration. Anybody with a right on the channel may ask:
//! these records decide what everybody's transactions do.

use super::query::{address, hash, one};
use crate::{context::PeerContext, problem::ApiError, problem::Kind, tls::Caller};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use ledger_classes::{execution::channel::Proposal, keyspace, participant::Participant, record};

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, participant) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    let key = keyspace::participant(&address(&participant)?);
    one(&visible.channel, Kind::ParticipantUnknown, move |view| Ok(record::read::<Participant>(view, &key)?)).await
}

pub(super) async fn proposal(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, proposal) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    let key = keyspace::proposal(&hash(&proposal)?);
    one(&visible.channel, Kind::ProposalUnknown, move |view| Ok(record::read::<Proposal>(view, &key)?)).await
}
