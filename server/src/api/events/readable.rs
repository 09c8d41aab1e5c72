//! What a subscription may deliver: its filters, and what its reader may read of a channel.

use super::super::frames;
use crate::{
    api::access::forbidden,
    limits::CLASS_FILTER_BYTES_MAX,
    problem::{ApiError, Kind},
};
use ledger_classes::execution::logs::is_topic;
use ledger_classes::formats::rights::{Class, Right, Rights};
use ledger_classes::primitives::identity::is_label;
use std::collections::BTreeSet;

/// Whether an event of a class can have a topic that passes a filter.
fn can_match(class: Class, filter: &str) -> bool {
    let part = filter.strip_suffix('*');
    match class {
        // Names of assets, instances, contracts, apps. What a label begins with is empty or a label.
        Class::Assets | Class::Contracts | Class::Apps => {
            part.map_or(is_label(filter), |part| part.is_empty() || is_label(part))
        }
        // Topics of records, or the kind of an administrative event, which may hold an underscore.
        Class::Logs => {
            let topic = |text: &str| is_topic(&text.replace('_', "-"));
            part.map_or(topic(filter), |part| part.is_empty() || topic(part.strip_suffix('.').unwrap_or(part)))
        }
    }
}

/// Refuses a filter that nothing can pass: whoever has mistyped it would wait for ever.
pub(super) fn check_topic(filter: &str, classes: &BTreeSet<Class>) -> Result<(), ApiError> {
    match classes.iter().any(|class| can_match(*class, filter)) {
        true => Ok(()),
        false => Err(ApiError::new(Kind::InvalidParameter, "topic: no event of these classes can have such a topic")),
    }
}

/// The classes of a filter; `None` is every class that the caller may read, now and later.
pub(super) fn classes(text: Option<&str>) -> Result<Option<BTreeSet<Class>>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let malformed =
        || ApiError::new(Kind::InvalidParameter, "class: assets, contracts, apps or logs, separated by commas");
    if text.len() > CLASS_FILTER_BYTES_MAX {
        return Err(malformed());
    }
    let parsed = text.split(',').map(|class| class.parse::<Class>());
    let parsed: Result<BTreeSet<Class>, _> = parsed.collect();
    parsed.map(Some).map_err(|_| malformed())
}

/// What a subscription may deliver.
#[derive(Clone, Debug)]
pub(super) struct Readable {
    pub(super) classes: BTreeSet<Class>,
    pub(super) rights: Rights,
}

impl Readable {
    /// What is delivered under these rights of the classes that were asked for.
    pub(super) fn of(rights: Rights, classes: Option<&BTreeSet<Class>>) -> Result<Self, ApiError> {
        if rights.is_empty() {
            return Err(Kind::ChannelUnknown.into());
        }
        let mine = |class: &Class| rights.allows(Right::Read(*class));
        let classes = match classes {
            Some(wanted) => match wanted.iter().find(|class| !mine(class)) {
                Some(class) => return Err(forbidden(&format!("read:{class}"))),
                None => wanted.clone(),
            },
            None if rights.reads_any() => Class::ALL.into_iter().filter(mine).collect(),
            None => return Err(forbidden("to read a class")),
        };
        Ok(Self { classes, rights })
    }

    /// Whether events of a class and topic are for this reader.
    pub(super) fn wants(&self, filter: Option<&str>, class: Class, topic: &str) -> bool {
        self.classes.contains(&class)
            && self.rights.reads(class, topic)
            && filter.is_none_or(|filter| frames::topic_matches(filter, topic))
    }
}
