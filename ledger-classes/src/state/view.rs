//! What execution reads and writes: an ordered map from key bytes to value bytes.
//!
//! Execution sees state through [`ReadView`] and answers with [`Writes`]; it never changes anything in place, so
//! a view whose block is not sealed is dropped without trace.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value. Shared, because caches, views and queries hold the same bytes.
pub type Value = Arc<[u8]>;

/// What a transaction or block wrote, in key order; `None` removes the key.
pub type Writes = BTreeMap<Vec<u8>, Option<Value>>;

/// The store below a view failed, or a stored record does not decode. The channel must halt: no answer is
/// better than a wrong one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("state cannot be read: {0}")]
pub struct ReadError(pub String);

/// A consistent state at some height.
pub trait ReadView {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError>;

    /// The first entry with `from <= key < end`, in byte order.
    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError>;
}

impl<V: ReadView + ?Sized> ReadView for &V {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        (**self).get(key)
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        (**self).first_in(from, end)
    }
}

/// The first key after every key that starts with `prefix`; the end of a scan over that prefix.
/// Our prefixes start with a small family byte, so such a key always exists; an all-0xff prefix gives an empty end.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Up to `limit` entries under `prefix`, from `from` on (which is `prefix` itself or a later key).
pub fn scan(view: &dyn ReadView, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Value)>, ReadError> {
    let end = prefix_end(prefix);
    let mut from = from.max(prefix).to_vec();
    let mut entries = Vec::new();
    while entries.len() < limit {
        let Some((key, value)) = view.first_in(&from, &end)? else { break };
        from.clone_from(&key);
        from.push(0);
        entries.push((key, value));
    }
    Ok(entries)
}

/// State kept in a map: tests, offline verification of small channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState(BTreeMap<Vec<u8>, Value>);

impl MemoryState {
    /// Applies what a block wrote.
    pub fn apply(&mut self, writes: &Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }

    /// Every entry, in key order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value))
    }
}

impl ReadView for MemoryState {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        Ok(self.0.get(key).cloned())
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        if from >= end {
            return Ok(None);
        }
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(end));
        Ok(self.0.range::<[u8], _>(range).next().map(|(key, value)| (key.clone(), value.clone())))
    }
}

/// The first bytes of keys, which are their families: most of what a transaction reads is of a family of which a block writes
/// nothing, and need not be looked for among thousands of keys.
#[derive(Clone, Debug)]
pub(crate) struct Families([bool; 256]);

impl Families {
    /// Of no keys.
    pub(crate) const NONE: Self = Self([false; 256]);

    /// Those of these keys.
    pub(crate) fn of(writes: &Writes) -> Self {
        let mut families = Self::NONE;
        writes.keys().for_each(|key| families.add(key));
        families
    }

    /// With that of a key.
    pub(crate) fn add(&mut self, key: &[u8]) {
        self.0[Self::place(key)] = true;
    }

    /// Whether a key may be among those. False only for what is not.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        self.0[Self::place(key)]
    }

    fn place(key: &[u8]) -> usize {
        key.first().copied().unwrap_or_default().into()
    }
}

/// A view with writes laid over it. The lower view may itself be an overlay: blocks executed but not yet
/// persisted stack up this way.
pub struct Overlay<'a> {
    below: &'a dyn ReadView,
    writes: &'a Writes,
    families: Families,
}

impl<'a> Overlay<'a> {
    /// Lays `writes` over `below`.
    pub fn new(below: &'a dyn ReadView, writes: &'a Writes) -> Self {
        Self { below, writes, families: Families::of(writes) }
    }
}

impl ReadView for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        match self.families.may_have(key).then(|| self.writes.get(key)).flatten() {
            Some(value) => Ok(value.clone()),
            None => self.below.get(key),
        }
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        first_over(self.below, self.writes, from, end)
    }
}

/// [`ReadView::first_in`] of `writes` laid over `below`.
pub fn first_over(
    below: &dyn ReadView,
    writes: &Writes,
    from: &[u8],
    end: &[u8],
) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
    first_over_counting(below, writes, from, end, &Cell::new(0))
}

/// [`first_over`] that adds to `passed` the removed keys that it passes over: each is work.
pub(crate) fn first_over_counting(
    below: &dyn ReadView,
    writes: &Writes,
    from: &[u8],
    end: &[u8],
    passed: &Cell<u64>,
) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
    if from >= end {
        return Ok(None);
    }
    let mut from = from.to_vec();
    loop {
        let lower = below.first_in(&from, end)?;
        let range = (std::ops::Bound::Included(from.as_slice()), std::ops::Bound::Excluded(end));
        let upper = writes.range::<[u8], _>(range).next();
        match (lower, upper) {
            (lower, None) => return Ok(lower),
            (Some((key, value)), Some((written, _))) if key < *written => return Ok(Some((key, value))),
            (_, Some((written, Some(value)))) => return Ok(Some((written.clone(), value.clone()))),
            (_, Some((removed, None))) => {
                passed.set(passed.get().saturating_add(1));
                from.clone_from(removed);
                from.push(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(entries: &[(&str, Option<&str>)]) -> Writes {
        let value = |text: &str| Value::from(text.as_bytes());
        entries.iter().map(|(key, text)| (key.as_bytes().to_vec(), text.map(value))).collect()
    }

    #[test]
    fn an_overlay_hides_and_adds() {
        let mut state = MemoryState::default();
        state.apply(&writes(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]));
        let over = writes(&[("a", None), ("b", Some("x")), ("bb", Some("y")), ("c", None)]);
        let view = Overlay::new(&state, &over);
        let seen = scan(&view, b"", b"a", 10).unwrap_or_default();
        assert_eq!(seen, [], "an empty prefix has no end");
        let mut from = b"a".to_vec();
        let mut keys = Vec::new();
        while let Ok(Some((key, _))) = view.first_in(&from, b"z") {
            keys.push(String::from_utf8_lossy(&key).into_owned());
            from = key;
            from.push(0);
        }
        assert_eq!(keys, ["b", "bb"]);
        assert_eq!(view.get(b"a"), Ok(None));
        assert_eq!(view.get(b"b").map(|value| value.map(|bytes| bytes.to_vec())), Ok(Some(b"x".to_vec())));
    }

    #[test]
    fn a_family_of_which_nothing_was_written_is_told_from_one_of_which_something_was() {
        let mut families = Families::of(&writes(&[("ab", None), ("cd", Some("1"))]));
        let known = |families: &Families| ["", "a", "b", "cd", "d"].map(|key| families.may_have(key.as_bytes()));
        assert_eq!(known(&families), [false, true, false, true, false]);
        families.add(b"");
        families.add(b"d");
        assert_eq!(known(&families), [true, true, false, true, true]);
    }

    #[test]
    fn a_prefix_ends_before_the_next() {
        assert_eq!(prefix_end(&[1, 2]), [1, 3]);
        assert_eq!(prefix_end(&[1, 255]), [2]);
        assert_eq!(prefix_end(&[255]), Vec::<u8>::new());
    }
}
