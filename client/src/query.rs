//! What can be asked of a peer. Each answer names the height that it reflects; records of the classes come as JSON
//! values, since each class's own record is its only description.

use crate::api::{
    AccountView, BlockView, ChannelSpec, ChannelView, MEDIA_TYPE_BLOCK, MEDIA_TYPE_BLOCKS, Outcome, Page,
    ParticipantView, PeerStatus, ProposalView,
};
use crate::connection::{Answer, Ask, Connection, JSON, RequestError};
use bytes::{Buf as _, Bytes};
use ledger_classes::formats::block::Block;
use ledger_classes::formats::proof::{Proof, StateProof, Trust};
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Blocks: from which height on, and how many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// The first height, as the page before said in `next`; 0 if absent.
    pub from: Option<&'a str>,
    /// Blocks; the peer's own number if absent.
    pub limit: Option<u32>,
}

/// A part of a list: where it goes on, as the part before said in `next`, and how long it may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paging<'a> {
    /// Where to go on; at the beginning if absent.
    pub after: Option<&'a str>,
    /// Items; the peer's own number if absent.
    pub limit: Option<u32>,
}

/// The decimals in an asset's record; an asset of items has none.
pub fn decimals_of(record: &Value) -> u8 {
    record["kind"]["fungible"]["decimals"].as_u64().and_then(|decimals| decimals.try_into().ok()).unwrap_or(0)
}

impl Connection {
    async fn fetch(&self, path: &[&str], query: &[(&str, &str)], accept: &'static str) -> Result<Answer, RequestError> {
        let url = self.url(path, query)?;
        self.ask(Ask { method: Method::GET, url, accept, body: None, again: true }).await
    }

    /// Any resource under `/v1`, by the segments of its path.
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, RequestError> {
        self.fetch(path, query, JSON).await?.json()
    }

    /// A page of any list under `/v1`.
    pub async fn page<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        paging: Paging<'_>,
    ) -> Result<Page<T>, RequestError> {
        self.part(path, query, paging).await
    }

    /// A part of a list, in the form that it is answered in.
    pub(crate) async fn part<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        paging: Paging<'_>,
    ) -> Result<T, RequestError> {
        let limit = paging.limit.map(|limit| limit.to_string());
        let mut query = query.to_vec();
        query.extend(paging.after.map(|after| ("after", after)));
        query.extend(limit.as_deref().map(|limit| ("limit", limit)));
        self.get(path, &query).await
    }

    /// The peer, and the channels that the caller may see.
    pub async fn status(&self) -> Result<PeerStatus, RequestError> {
        self.get(&["status"], &[]).await
    }

    /// Channels that the caller may see, by name.
    pub async fn channels(&self, paging: Paging<'_>) -> Result<Page<ChannelView>, RequestError> {
        self.page(&["channels"], &[], paging).await
    }

    /// All channels that the caller may see, page after page.
    pub async fn all_channels(&self) -> Result<Vec<ChannelView>, RequestError> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.channels(Paging { after: after.as_deref(), limit: Some(1000) }).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// One channel, by name or id, with its configuration. The channel of an id is the one of that id, and that of a name
    /// the one that the name meant before ([`crate::known`]).
    pub async fn channel(&self, channel: &str) -> Result<ChannelView, RequestError> {
        let view: ChannelView = self.get(&["channels", channel], &[]).await?;
        // One that cannot be opened may have none.
        if view.id != Hash::ZERO {
            self.known().hold_channel(channel, view.id)?;
        }
        Ok(view)
    }

    /// A channel's id: the text itself if it is one, else what its name meant before, else what the peer says.
    pub async fn channel_id(&self, channel: &str) -> Result<Hash, RequestError> {
        let known = self.known().channel(channel);
        match known {
            Some(id) => Ok(id),
            None => Ok(self.channel(channel).await?.id),
        }
    }

    /// Digits after the point of an asset's amounts; 0 for non-fungible assets. They never change on a ledger, so what the
    /// peer says is what it, or another one, has said before.
    pub async fn decimals(&self, channel: &str, asset: &str) -> Result<u8, RequestError> {
        let id = self.channel_id(channel).await?;
        let record: Value = self.get(&["channels", channel, "assets", asset], &[]).await?;
        let decimals = decimals_of(&record);
        self.known().hold_decimals(id, asset, decimals)?;
        Ok(decimals)
    }

    /// Creates a channel on the peer; for administrators.
    pub async fn create_channel(&self, spec: &ChannelSpec) -> Result<ChannelView, RequestError> {
        let url = self.url(&["channels"], &[])?;
        let body = serde_json::to_vec(spec).map_err(|error| RequestError::Answer(error.to_string()))?;
        let body = Some((JSON, body.into()));
        let made: ChannelView =
            self.ask(Ask { method: Method::POST, url, accept: JSON, body, again: false }).await?.json()?;
        self.known().hold_channel(&made.name, made.id)?;
        Ok(made)
    }

    /// What became of a transaction.
    pub async fn transaction(&self, channel: &str, id: Hash) -> Result<Outcome, RequestError> {
        self.get(&["channels", channel, "transactions", &id.to_string()], &[]).await
    }

    /// The offline proof of a committed transaction, tied to the header at `later` if that is given.
    pub async fn proof(&self, channel: &str, id: Hash, later: Option<u64>) -> Result<Proof, RequestError> {
        let later = later.map(|height| height.to_string());
        let query: Vec<_> = later.iter().map(|height| ("later", height.as_str())).collect();
        self.get(&["channels", channel, "transactions", &id.to_string(), "proof"], &query).await
    }

    /// The offline proof of what a key has in the state (`docs/formats/state.md`), or that it is absent.
    pub async fn state_proof(&self, channel: &str, key: &[u8]) -> Result<StateProof, RequestError> {
        self.get(&["channels", channel, "state", &hex::encode(key), "proof"], &[]).await
    }

    /// The way from the channel's genesis to those who may seal; check it with [`Trust::verify`].
    pub async fn trust(&self, channel: &str) -> Result<Trust, RequestError> {
        self.get(&["channels", channel, "trust"], &[]).await
    }

    /// Blocks as JSON.
    pub async fn blocks(&self, channel: &str, range: Range<'_>) -> Result<Page<BlockView>, RequestError> {
        let query: Vec<_> = range.from.iter().map(|from| ("from", *from)).collect();
        self.page(&["channels", channel, "blocks"], &query, Paging { after: None, limit: range.limit }).await
    }

    /// Blocks in their binary form, from a height on: as many as the peer gives at a time, none above the tip. Nothing of
    /// them is checked.
    pub async fn encoded_blocks(&self, channel: &str, from: u64) -> Result<Vec<Bytes>, RequestError> {
        let from = from.to_string();
        let answer = self.fetch(&["channels", channel, "blocks"], &[("from", &from)], MEDIA_TYPE_BLOCKS).await?;
        let (mut rest, mut blocks) = (Bytes::from(answer.body), Vec::new());
        while !rest.is_empty() {
            let length = rest.try_get_u32_le().ok().and_then(|length| usize::try_from(length).ok());
            let whole = length.filter(|length| *length <= rest.len());
            let length = whole.ok_or_else(|| RequestError::Answer("a block is cut off".into()))?;
            blocks.push(rest.split_to(length));
        }
        Ok(blocks)
    }

    /// A block as JSON.
    pub async fn block_view(&self, channel: &str, height: u64) -> Result<BlockView, RequestError> {
        self.get(&["channels", channel, "blocks", &height.to_string()], &[]).await
    }

    /// A block in its binary form. Its body is checked against its header; its seal is not.
    pub async fn block(&self, channel: &str, height: u64) -> Result<Block, RequestError> {
        let path = ["channels", channel, "blocks", &height.to_string()];
        let answer = self.fetch(&path, &[], MEDIA_TYPE_BLOCK).await?;
        let block = Block::decode(&answer.body).map_err(|error| RequestError::Answer(error.to_string()))?;
        block.check_body().map_err(|error| RequestError::Answer(error.to_string()))?;
        Ok(block)
    }

    /// What an account owns.
    pub async fn account(&self, channel: &str, address: Address) -> Result<AccountView, RequestError> {
        self.get(&["channels", channel, "accounts", &address.to_string()], &[]).await
    }

    /// How much `spender` may move of what `owner` holds of an asset.
    pub async fn allowance(
        &self,
        channel: &str,
        owner: Address,
        spender: Address,
        asset: &str,
    ) -> Result<Value, RequestError> {
        let (owner, spender) = (owner.to_string(), spender.to_string());
        self.get(&["channels", channel, "accounts", &owner, "allowances", &spender, asset], &[]).await
    }

    /// Participants by identity, of one organization if that is given.
    pub async fn participants(
        &self,
        channel: &str,
        organization: Option<&str>,
        paging: Paging<'_>,
    ) -> Result<Page<ParticipantView>, RequestError> {
        let query: Vec<_> = organization.iter().map(|name| ("organization", *name)).collect();
        self.page(&["channels", channel, "participants"], &query, paging).await
    }

    /// Open proposals in the order in which they were made.
    pub async fn proposals(&self, channel: &str, paging: Paging<'_>) -> Result<Page<ProposalView>, RequestError> {
        self.page(&["channels", channel, "proposals"], &[], paging).await
    }

    /// A participant record, with the height that it reflects.
    pub async fn participant(&self, channel: &str, address: Address) -> Result<Value, RequestError> {
        self.get(&["channels", channel, "participants", &address.to_string()], &[]).await
    }

    /// A proposed configuration change.
    pub async fn proposal(&self, channel: &str, id: Hash) -> Result<Value, RequestError> {
        self.get(&["channels", channel, "proposals", &id.to_string()], &[]).await
    }

    /// Log records, of one topic if that is given.
    pub async fn logs(
        &self,
        channel: &str,
        topic: Option<&str>,
        paging: Paging<'_>,
    ) -> Result<Page<Value>, RequestError> {
        let query: Vec<_> = topic.iter().map(|topic| ("topic", *topic)).collect();
        self.page(&["channels", channel, "logs"], &query, paging).await
    }

    /// Asks a contract's instance without changing it; `arguments` is a JSON document.
    pub async fn instance_query(
        &self,
        channel: &str,
        instance: &str,
        method: &str,
        arguments: &str,
    ) -> Result<Value, RequestError> {
        let query = [("method", method), ("arguments", arguments)];
        self.get(&["channels", channel, "instances", instance, "query"], &query).await
    }

    /// The consortium's CA certificates, PEM.
    pub async fn ca_certificates(&self) -> Result<Vec<u8>, RequestError> {
        Ok(self.fetch(&["ca", "certificates"], &[], "application/x-pem-file, */*").await?.body)
    }

    /// An organization's CRL.
    pub async fn crl(&self, organization: &str) -> Result<Vec<u8>, RequestError> {
        Ok(self.fetch(&["ca", "crl", organization], &[], "application/pkix-crl, */*").await?.body)
    }
}
