//! The apps class: registered applications, their versions, and the settings that their owner may change.
//!
//! A version is written once and never again; retirement ends changes, not reading. What the bundle holds is
//! stored beside the ledger: here is its digest.

#[cfg(test)]
mod tests;

use super::Context;
use crate::action::apps::{Publish, Retire, UpdateSettings};
use crate::formats::detail::{Detail, Part, Thing};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::{APP_CONTRACTS_MAX, APP_SETTINGS_BYTES_MAX, NAME_BYTES_MAX, TITLE_BYTES_MAX};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::identity::is_label;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::listing::{Listed, Span, list, text};
use crate::state::record;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

/// An application: who owns it and what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct AppRecord {
    /// Who published it first; only this account changes it.
    pub owner: Address,
    /// The version published last.
    pub version: String,
    /// The settings in force, a JSON document: the last version's, or what the owner has set since.
    pub settings: String,
    /// The block in which the settings last changed.
    pub settings_height: u64,
    /// The block of the first publication.
    pub published_height: u64,
    /// The block in which it was retired, if it was.
    pub retired_height: Option<u64>,
}

impl Record for AppRecord {}

/// A version of an application, as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct AppVersion {
    /// For people to read.
    pub title: String,
    /// SHA-256 of the bundle.
    pub bundle: Hash,
    /// Contracts of this channel that it uses.
    pub contracts: Vec<String>,
    /// The settings that it came with, a JSON document.
    pub settings: String,
    /// The block.
    pub height: u64,
    /// The block's time.
    pub time: Time,
}

impl Record for AppVersion {}

/// An application with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedApp {
    /// Its name on the channel.
    pub app: String,
    /// The record.
    #[serde(flatten)]
    pub record: AppRecord,
}

/// A version with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedAppVersion {
    /// The version.
    pub version: String,
    /// The record.
    #[serde(flatten)]
    pub record: AppVersion,
}

/// Whether `text` is 1 to 64 of a-z, A-Z, 0-9, dot, hyphen and plus.
fn is_version(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte))
}

fn check_settings(settings: &str) -> Result<(), Refusal> {
    if settings.len() > APP_SETTINGS_BYTES_MAX {
        return reject(
            ResultCode::SettingsInvalid,
            Detail::AtMost { part: Part::Settings, most: APP_SETTINGS_BYTES_MAX as u64 },
        );
    }
    match crate::primitives::json::check_document(settings) {
        Ok(()) => Ok(()),
        // Not where: another release of the library may count otherwise.
        Err(_) => reject(ResultCode::SettingsInvalid, Detail::NotJson {}),
    }
}

/// The application, if it is in force and the acting account owns it.
fn require_own(context: &Context<'_>, record: Option<AppRecord>, app: &str) -> Result<AppRecord, Refusal> {
    let Some(record) = record else {
        return reject(ResultCode::AppUnknown, Detail::UnknownApplication { app: app.into() });
    };
    if super::assets::heir(context, &record.owner)? != context.acting() {
        return reject(ResultCode::NotTheAppOwner, Detail::ApplicationOwnedBy { app: app.into(), owner: record.owner });
    }
    if record.retired_height.is_some() {
        return reject(ResultCode::AppIsRetired, Detail::ApplicationRetired { app: app.into() });
    }
    Ok(record)
}

pub(super) fn publish(context: &mut Context<'_>, body: &Publish) -> Result<(), Refusal> {
    let Publish { app, version, title, bundle, contracts, settings } = body;
    if !is_label(app) {
        return reject(ResultCode::InvalidField, Detail::Named { thing: Thing::Application });
    }
    if !is_version(version) {
        return reject(ResultCode::InvalidField, Detail::VersionForm {});
    }
    if title.len() > TITLE_BYTES_MAX {
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Title, most: TITLE_BYTES_MAX as u64 });
    }
    if contracts.len() > APP_CONTRACTS_MAX || !contracts.iter().all(|name| is_label(name)) {
        let detail = Detail::AtMost { part: Part::AppContracts, most: APP_CONTRACTS_MAX as u64 };
        return reject(ResultCode::InvalidField, detail);
    }
    check_settings(settings)?;
    let height = context.height();
    let key = keyspace::app(app);
    let mut record = match context.get::<AppRecord>(&key)? {
        None => AppRecord {
            owner: context.acting(),
            version: String::new(),
            settings: String::new(),
            settings_height: height,
            published_height: height,
            retired_height: None,
        },
        known => require_own(context, known, app)?,
    };
    let version_key = keyspace::app_version(app, version);
    if context.get_value(&version_key)?.is_some() {
        return reject(ResultCode::VersionExists, Detail::Published { app: app.into(), version: version.into() });
    }
    record.version.clone_from(version);
    record.settings.clone_from(settings);
    record.settings_height = height;
    context.put(key, &record);
    let published = AppVersion {
        title: title.clone(),
        bundle: *bundle,
        contracts: contracts.clone(),
        settings: settings.clone(),
        height,
        time: context.time(),
    };
    context.put(version_key, &published);
    context.emit(Event::AppPublished { app: app.clone(), version: version.clone(), bundle: *bundle })
}

pub(super) fn update_settings(context: &mut Context<'_>, body: &UpdateSettings) -> Result<(), Refusal> {
    let UpdateSettings { app, settings } = body;
    check_settings(settings)?;
    let key = keyspace::app(app);
    let record = context.get(&key)?;
    let mut record = require_own(context, record, app)?;
    record.settings.clone_from(settings);
    record.settings_height = context.height();
    context.put(key, &record);
    context.emit(Event::AppSettingsUpdated { app: app.clone() })
}

pub(super) fn retire(context: &mut Context<'_>, body: &Retire) -> Result<(), Refusal> {
    let key = keyspace::app(&body.app);
    let record = context.get(&key)?;
    let mut record = require_own(context, record, &body.app)?;
    record.retired_height = Some(context.height());
    context.put(key, &record);
    context.emit(Event::AppRetired { app: body.app.clone() })
}

/// The application named `name`.
pub fn app(view: &dyn ReadView, name: &str) -> Result<Option<AppRecord>, ReadError> {
    record::read(view, &keyspace::app(name))
}

/// A version of the application named `name`, whether or not it is the last.
pub fn app_version(view: &dyn ReadView, name: &str, version: &str) -> Result<Option<AppVersion>, ReadError> {
    record::read(view, &keyspace::app_version(name, version))
}

/// Applications in the order of their names.
pub fn apps(view: &dyn ReadView, span: &Span) -> Result<Listed<NamedApp>, ReadError> {
    list(view, &keyspace::app(""), span, |_, name, value| {
        Ok(NamedApp { app: text(name)?, record: record::from_value(value)? })
    })
}

/// Versions of the application named `name`, in the byte order of their texts.
pub fn app_versions(view: &dyn ReadView, name: &str, span: &Span) -> Result<Listed<NamedAppVersion>, ReadError> {
    list(view, &keyspace::app_version(name, ""), span, |_, version, value| {
        Ok(NamedAppVersion { version: text(version)?, record: record::from_value(value)? })
    })
}
