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
    listing::{Listed, Span},
    state::{ReadError, ReadView},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// What the page before said in `next`.
    pub(super) after: Option<String>,
    /// Items.
    pub(super) limit: Option<usize>,
}

impl PageQuery {
    /// For the ledger.
    pub(super) fn span(self) -> Result<Span, ApiError> {
        span(self.after.as_deref(), self.limit)
    }
}

/// A part of a list over the state. To callers a cursor means nothing: it is what `next` said, in hex.
pub(super) fn span(after: Option<&str>, asked: Option<usize>) -> Result<Span, ApiError> {
    let malformed = |_| ApiError::new(Kind::InvalidParameter, "after: what the page before said in next");
    // One cursor has one form.
    if after.is_some_and(|after| after.bytes().any(|byte| byte.is_ascii_uppercase())) {
        return Err(malformed(hex::FromHexError::OddLength));
    }
    Ok(Span { after: after.map(hex::decode).transpose().map_err(malformed)?, limit: limit(asked)? })
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

/// Answers a page of records.
pub(super) async fn page<T: Serialize + Send + 'static>(
    channel: &ChannelHandle,
    query: impl FnOnce(&dyn ReadView) -> Result<Listed<T>, ReadError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    json(&read(channel, move |reader| Ok(page_of(reader.height(), &query(reader.view())?, record)?)).await?)
}

/// A part of a list as the API answers it.
pub(super) fn page_of<T, V>(
    height: u64,
    listed: &Listed<T>,
    view: impl Fn(&T) -> Result<V, ReadError>,
) -> Result<Page<V>, ReadError> {
    let items: Result<Vec<V>, ReadError> = listed.items.iter().map(view).collect();
    Ok(Page { height, items: items?, next: listed.next.as_deref().map(hex::encode) })
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
    #![allow(clippy::unwrap_used)]
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
    fn a_cursor_is_what_next_said_and_a_limit_has_bounds() {
        let listed = Listed { items: vec![1, 2], next: Some(vec![0, 0xab]) };
        let page = page_of(9, &listed, |item| Ok(*item)).unwrap();
        assert_eq!((page.height, page.items, page.next.as_deref()), (9, vec![1, 2], Some("00ab")));
        assert_eq!(span(page.next.as_deref(), Some(7)).unwrap(), Span { after: listed.next, limit: 7 });
        for malformed in ["x", "0", "bank"] {
            assert_eq!(span(Some(malformed), None).unwrap_err().name(), "invalid-parameter");
        }
        for (asked, given) in [(None, Some(PAGE_DEFAULT)), (Some(0), None), (Some(1), Some(1)), (Some(1001), None)] {
            assert_eq!(limit(asked).ok(), given, "{asked:?}");
        }
    }
}
