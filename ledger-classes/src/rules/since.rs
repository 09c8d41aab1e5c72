//! Which number of the rules a transaction, an action, a change, a result code, a detail and an event came with.

use crate::action::Action;
use crate::action::channel::Propose;
use crate::formats::config::ConfigChange;
use crate::formats::outcome::ResultCode;
use crate::formats::transaction::Encoding;
use crate::keys::Scheme;
use crate::rules::known;

/// The number that a transaction's form came with: how its payload is written, what its signers sign with, and its actions.
/// A program of an earlier number cannot read it at all.
pub fn since(encoding: Encoding, schemes: impl IntoIterator<Item = Scheme>, actions: &[Action]) -> u32 {
    let encoding = match encoding {
        Encoding::Genesis | Encoding::Binary | Encoding::Json => 1,
    };
    let schemes = schemes.into_iter().map(scheme_since);
    schemes.chain(actions.iter().map(action_since)).fold(encoding, u32::max)
}

/// The number that a scheme came with.
pub(super) const fn scheme_since(scheme: Scheme) -> u32 {
    match scheme {
        Scheme::Ed25519 | Scheme::EcdsaP256 => 1,
    }
}

/// The number that an action came with, with all that is in it. Whoever adds an action, or gives one another form inside,
/// says here that it is of a later number than those of before.
pub(crate) fn action_since(action: &Action) -> u32 {
    #[cfg(test)]
    if LATER.get() == Some(action.type_text()) {
        return crate::rules::NEXT;
    }
    match action {
        Action::ChannelPropose(Propose { changes, .. }) => changes.iter().map(change_since).fold(1, u32::max),
        _ => 1,
    }
}

#[cfg(test)]
thread_local! {
    /// Actions of which type this thread takes for those of the next number.
    static LATER: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// As if the next number had brought the actions of a type, while `work` goes on: there is none yet.
#[cfg(test)]
pub(crate) fn with_later(kind: &'static str, work: impl FnOnce()) {
    LATER.set(Some(kind));
    work();
    LATER.set(None);
}

/// The number that a change came with, with all that is in it.
pub(super) const fn change_since(_: &ConfigChange) -> u32 {
    1
}

/// The number that a result code came with: no receipt of an earlier one has it.
pub(crate) const fn code_since(_: ResultCode) -> u32 {
    1
}

/// The number that a refusal's detail came with, with all that its arguments can be, by the detail's own number.
pub(crate) const fn detail_since(_number: u16) -> u32 {
    1
}

/// The number that an event came with, with all that is in it, by its kind.
pub(crate) const fn event_since(_kind: &str) -> u32 {
    1
}

/// Whether a change raises a channel's rules to a number that this process does not know. No proposer of this build puts that
/// into a block, neither the proposal nor an approval of it: it could make none after it takes effect.
pub fn raises_beyond_known(changes: &[ConfigChange]) -> bool {
    let raises = |change: &ConfigChange| matches!(change, ConfigChange::SetRules { rules } if *rules > known());
    changes.iter().any(raises)
}
