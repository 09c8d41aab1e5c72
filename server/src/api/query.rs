//! What all queries share: running on the channel's store threads, pages, and the height that an answer reflects.

use super::service::json;
use crate::{
    limits::{PAGE_DEFAULT, PAGE_MAX, RETRY_AFTER_MS},
    problem::{ApiError, Kind},
};
use actix_web::HttpResponse;
use channel_actors::{ChannelHandle, Reader, Unavailable};
use client::api::Page;
use ledger_classes::{
    hash::Hash,
    keys::{Address, ParseAddressError},
    state::{ReadError, ReadView},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a page begins and how long it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// What the page before said in `next`.
    pub(super) from: Option<String>,
    /// Items.
    pub(super) limit: Option<usize>,
}

/// A page's length within its bounds.
pub(super) fn limit(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        limit if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        _ => Err(ApiError::new(Kind::InvalidParameter, format!("limit: 1 to {PAGE_MAX}"))),
    }
}

/// A record as JSON. Some records say at which height they were written; in answers `height` is the height that the
/// answer reflects, so theirs is called `block_height`.
pub(super) fn record<T: Serialize>(record: &T) -> Result<Value, ReadError> {
    let mut value = serde_json::to_value(record).map_err(|error| ReadError(error.to_string()))?;
    if let Value::Object(fields) = &mut value
        && let Some(height) = fields.remove("height")
    {
        fields.insert("block_height".into(), height);
    }
    Ok(value)
}

/// A record with the height that the answer reflects.
pub(super) fn at<T: Serialize>(height: u64, item: &T) -> Result<Value, ReadError> {
    let mut value = record(item)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("height".into(), height.into());
    }
    Ok(value)
}

/// Why a query has no answer: the caller's fault, or a store that cannot be read, which halts the channel.
#[derive(Debug)]
pub(super) enum Failed {
    /// The caller is told.
    Refused(ApiError),
    /// The channel halts.
    Broken(ReadError),
}

impl From<ApiError> for Failed {
    fn from(refusal: ApiError) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self::Broken(error)
    }
}

/// Runs a query on the channel's reading threads.
pub(super) async fn read<R: Send + 'static>(
    channel: &ChannelHandle,
    query: impl FnOnce(&Reader<'_>) -> Result<R, Failed> + Send + 'static,
) -> Result<R, ApiError> {
    let work = |reader: &Reader<'_>| match query(reader) {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failed::Refused(refusal)) => Ok(Err(refusal)),
        Err(Failed::Broken(error)) => Err(error),
    };
    channel.read(work).await.map_err(not_readable)?
}

/// The channel cannot be read: it is busy, not open, or has just halted.
pub(super) fn not_readable(error: Unavailable) -> ApiError {
    match error {
        Unavailable::Busy { retry_after_ms } => ApiError::from(Kind::Busy).retry_after_ms(retry_after_ms),
        Unavailable::Stopped { reason } => ApiError::new(Kind::Stopped, reason).retry_after_ms(RETRY_AFTER_MS),
        // Logged by the channel, which halts with the reason.
        Unavailable::Broken(why) => ApiError::halted(format!("reading failed: {why}")),
    }
}

/// Answers one item, or says what is unknown.
pub(super) async fn one<T: Serialize + Send + 'static>(
    channel: &ChannelHandle,
    unknown: Kind,
    query: impl FnOnce(&dyn ReadView) -> Result<Option<T>, Failed> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let answer = read(channel, move |reader| {
        let item = query(reader.view())?;
        Ok(item.map(|item| at(reader.height(), &item)).transpose()?)
    });
    json(&answer.await?.ok_or(unknown)?)
}

/// Answers a page. `query` gives up to as many items as it is told; `token` says where the page after an item begins.
pub(super) async fn page<T: Serialize + Send + 'static>(
    channel: &ChannelHandle,
    limit: usize,
    query: impl FnOnce(&dyn ReadView, usize) -> Result<Vec<T>, ReadError> + Send + 'static,
    token: impl Fn(&T) -> String + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let answer = read(channel, move |reader| {
        let page = cut(reader.height(), query(reader.view(), limit + 1)?, limit, token);
        let items: Result<Vec<Value>, ReadError> = page.items.iter().map(record).collect();
        Ok(Page { height: page.height, items: items?, next: page.next })
    });
    json(&answer.await?)
}

/// A page of `limit` items; the last of them is the token of the page after, if there is one.
pub(super) fn cut<T>(height: u64, mut items: Vec<T>, limit: usize, token: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(token) } else { None };
    Page { height, items, next }
}

/// The channel does not answer now.
pub(super) fn unavailable(why: &str) -> ApiError {
    ApiError::new(Kind::Unavailable, why).retry_after_ms(RETRY_AFTER_MS)
}

/// An address in a path.
pub(super) fn address(text: &str) -> Result<Address, ApiError> {
    let fail = |error: ParseAddressError| ApiError::new(Kind::InvalidParameter, error.to_string());
    text.parse().map_err(fail)
}

/// A hash in a path.
pub(super) fn hash(text: &str) -> Result<Hash, ApiError> {
    text.parse().map_err(|_| ApiError::new(Kind::InvalidParameter, "an id has 64 lower-case hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_own_height_is_not_the_answers() {
        #[derive(Serialize)]
        struct Written {
            height: u64,
            name: &'static str,
        }
        let value = at(9, &Written { height: 4, name: "x" }).ok();
        assert_eq!(value, Some(serde_json::json!({ "height": 9, "block_height": 4, "name": "x" })));
    }

    #[test]
    fn a_page_names_its_last_item_only_if_there_are_more() {
        let cut = |items: &[u32], limit| {
            let page = cut(9, items.to_vec(), limit, u32::to_string);
            (page.items, page.next)
        };
        assert_eq!(cut(&[1, 2, 3], 2), (vec![1, 2], Some("2".into())));
        assert_eq!(cut(&[1, 2], 2), (vec![1, 2], None));
        assert_eq!(cut(&[], 2), (vec![], None));
        for (asked, given) in [(None, Some(PAGE_DEFAULT)), (Some(0), None), (Some(1), Some(1)), (Some(1001), None)] {
            assert_eq!(limit(asked).ok(), given, "{asked:?}");
        }
    }
}
