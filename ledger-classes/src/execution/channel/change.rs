//! A change of the configuration: what it makes, and how that comes to rule.

use super::governance;
use super::membership::{self, Membership};
use crate::execution::Context;
use crate::execution::configuration::{self, ConfigRecord, config_of};
use crate::formats::config::ConfigChange;
use crate::formats::detail::Detail;
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::primitives::hash::Hash;
use crate::state::keyspace;

/// Sets the configuration for the blocks after this one, and tells light clients. Returns the first height that it
/// rules.
pub(super) fn take_effect(context: &mut Context<'_>, record: &ConfigRecord, cause: Hash) -> Result<u64, Refusal> {
    // Who comes back later is as new: nobody of it can be admitted before.
    let current = context.config();
    for left in current.organizations.iter().filter(|member| !record.config.is_member(&member.name)) {
        context.remove(keyspace::administrators(&left.name));
        context.remove(keyspace::membership(&left.name));
        membership::forget(context, &left.name)?;
    }
    let since = context.height();
    for member in &record.config.organizations {
        let before = current.organizations.iter().find(|before| before.name == member.name);
        let Some(before) = before else {
            context.put(keyspace::membership(&member.name), &Membership { since });
            continue;
        };
        // So is who has no CA any more: nobody of it can be admitted before it has another.
        if member.authorities.is_empty() && !before.authorities.is_empty() {
            context.remove(keyspace::administrators(&member.name));
            context.put(keyspace::membership(&member.name), &Membership { since });
            membership::forget(context, &member.name)?;
        }
    }
    let (configuration, writes) = configuration::writes_of(record, current.rules);
    writes.into_iter().for_each(|(key, value)| context.put_value(key, value));
    let height = context.height() + 1;
    context.emit(Event::ChannelConfigured { proposal: cause, height, configuration })?;
    Ok(height)
}

/// The configuration to change. One change takes effect with a block: of two, one would be told by an event and never rule.
pub(super) fn unchanged(context: &Context<'_>) -> Result<ConfigRecord, Refusal> {
    let record = config_of(context)?;
    if record.height == context.height() {
        return reject(ResultCode::ConfigurationInvalid, Detail::AnotherChange {});
    }
    Ok(record)
}

/// The configuration after `changes`, checked.
pub(super) fn changed(context: &Context<'_>, changes: &[ConfigChange]) -> Result<ConfigRecord, Refusal> {
    let record = unchanged(context)?;
    let mut config = record.config.clone();
    for change in changes {
        governance::check_change(context, change)?;
        change.apply(&mut config);
    }
    // Each is kept for ever.
    if config == record.config {
        return reject(ResultCode::ConfigurationInvalid, Detail::NoChange {});
    }
    governance::check(context, &config)?;
    Ok(record.followed_by(config, context.height()))
}
