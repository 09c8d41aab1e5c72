//! What all queries share: running on the channel's store threads, pages, and the height that an answer reflects.

use super::answer::{Pieces, found, in_json, written};
use super::reading::Failed;
use crate::{
    api::access::Visible,
    limits::{PAGE_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX},
    problem::{ApiError, Kind},
};
use actix_web::HttpResponse;
use channel_actors::Reader;
use ledger_classes::keys::{Address, ParseAddressError};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::listing::{Listed, Span};
use ledger_classes::state::view::{ReadError, ReadView};
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
    Ok(Span {
        after: after.map(hex::decode).transpose().map_err(malformed)?,
        limit: limit(asked)?,
        bytes: PAGE_BYTES_MAX,
    })
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

/// Answers one item, or says what is unknown.
pub(super) async fn one<T: Serialize>(
    visible: &Visible,
    unknown: Kind,
    query: impl FnOnce(&dyn ReadView) -> Result<Option<T>, Failed> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let item = move |reader: &Reader<'_>| {
        let item = query(reader.view())?.ok_or_else(|| ApiError::from(unknown))?;
        Ok(at(reader.height(), &item)?)
    };
    found(visible, item).await
}

/// Answers a page of records.
pub(super) async fn page<T: Serialize>(
    visible: &Visible,
    query: impl FnOnce(&dyn ReadView) -> Result<Listed<T>, ReadError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let page =
        move |reader: &Reader<'_>, out: &mut Pieces| write_page(out, reader.height(), &query(reader.view())?, record);
    written(visible, in_json(), page).await
}

/// Writes a part of a list as the API answers it, as [`client::api::Page`] has it: as many of its items as a page may
/// have bytes, and one at least.
pub(super) fn write_page<T, V: Serialize>(
    out: &mut Pieces,
    height: u64,
    listed: &Listed<T>,
    view: impl Fn(&T) -> Result<V, ReadError>,
) -> Result<(), Failed> {
    let items = listed.items.iter().map(|item| Ok(view(item)?));
    let next = listed.next.as_deref().map(hex::encode);
    write_items(out, height, items, next, |last| listed.places.get(last).map(hex::encode))
}

/// Writes items as a page. `next` is where the list goes on behind all of them, `behind` where behind one of them.
pub(super) fn write_items<V: Serialize>(
    out: &mut Pieces,
    height: u64,
    items: impl Iterator<Item = Result<V, Failed>>,
    mut next: Option<String>,
    behind: impl Fn(usize) -> Option<String>,
) -> Result<(), Failed> {
    out.text(&format!("{{\"height\":{height},\"items\":["))?;
    for (index, item) in items.enumerate() {
        let encoded = serde_json::to_vec(&item?).map_err(|error| ReadError(error.to_string()))?;
        if index > 0 {
            if out.total() + encoded.len() > PAGE_BYTES_MAX {
                next = behind(index - 1);
                break;
            }
            out.text(",")?;
        }
        out.raw(&encoded)?;
    }
    out.text("]")?;
    if let Some(next) = next {
        out.text(",\"next\":")?;
        out.json(&next)?;
    }
    out.text("}")
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
    use client::api::Page;

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
        let (items, places) = (vec![1, 2], vec![vec![9], vec![0, 0xab]]);
        let listed = Listed { items, places, next: Some(vec![0, 0xab]) };
        let page: Page<u8> = parsed(&written_page(&listed, |item| *item));
        assert_eq!((page.height, page.items, page.next.as_deref()), (9, vec![1, 2], Some("00ab")));
        let expected = Span { after: listed.next, limit: 7, bytes: PAGE_BYTES_MAX };
        assert_eq!(span(page.next.as_deref(), Some(7)).unwrap(), expected);
        for malformed in ["x", "0", "bank"] {
            assert_eq!(span(Some(malformed), None).unwrap_err().name(), "invalid-parameter");
        }
        for (asked, given) in [(None, Some(PAGE_DEFAULT)), (Some(0), None), (Some(1), Some(1)), (Some(1001), None)] {
            assert_eq!(limit(asked).ok(), given, "{asked:?}");
        }
    }

    fn written_page<T, V: Serialize>(listed: &Listed<T>, view: impl Fn(&T) -> V) -> Vec<u8> {
        let mut out = Pieces::unpaid();
        write_page(&mut out, 9, listed, |item| Ok(view(item))).unwrap();
        out.all()
    }

    fn parsed<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
        ledger_classes::primitives::json::from_slice(bytes).unwrap()
    }

    /// `logs?limit=1000` was 98.5 MB.
    #[test]
    fn a_page_ends_by_its_encoded_bytes_and_goes_on_behind_its_last_item() {
        let listed = |count: u8, next: Option<u8>| Listed {
            items: (0..count).collect(),
            places: (0..count).map(|place| vec![place]).collect(),
            next: next.map(|next| vec![next]),
        };
        let body = |bytes: usize| move |item: &u8| format!("{item}{}", "x".repeat(bytes));
        let page = |listed: &Listed<u8>, bytes: usize| {
            let encoded = written_page(listed, body(bytes));
            let page: Page<String> = parsed(&encoded);
            assert_eq!(serde_json::to_vec(&page).unwrap(), encoded, "as serde writes it");
            (page.items.len(), page.next, encoded.len())
        };
        let quarter = PAGE_BYTES_MAX / 4;
        let (items, next, bytes) = page(&listed(9, None), quarter);
        assert_eq!((items, next.as_deref()), (3, Some("02")));
        assert!(bytes <= PAGE_BYTES_MAX, "{bytes}");
        assert_eq!(page(&listed(2, None), quarter).0, 2);
        let (items, next, _) = page(&listed(3, Some(2)), quarter - 100);
        assert_eq!((items, next.as_deref()), (3, Some("02")));
        let (items, next, _) = page(&listed(2, None), 2 * PAGE_BYTES_MAX);
        assert_eq!((items, next.as_deref()), (1, Some("00")), "one that is larger than a page is a page");
    }
}
