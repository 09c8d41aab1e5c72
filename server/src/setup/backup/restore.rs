//! `chancery restore`: a peer's directory from a backup. Every file is held against its hash, every block is executed
//! again. The peer is a new incarnation. Its seal key comes last: a directory that was not finished cannot seal.

use super::{
    BackupError, Manifest, file_error,
    manifest::{CHANNELS, copy_file, measure, sync_all_directories, take_directory},
    source::incarnation_file,
};
use crate::{
    certificates::paths::ParticipantPaths,
    setup::config::{Config, FILE},
};
use channel_actors::block::folder::BlockReader;
use channel_actors::block::verify_offline::{AuditReport, audit_blocks, rebuild};
use channel_actors::peer::fence::{Incarnation, raise};
use std::{
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
};

/// What a peer is made from.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The backup.
    pub from: PathBuf,
    /// The directory, which must not exist, or be empty.
    pub dir: PathBuf,
    /// Although channels are missing in the backup, or not up to date.
    pub partial: bool,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub backup: Manifest,
    /// The peer's new incarnation.
    pub incarnation: String,
    /// Its channels.
    pub channels: Vec<AuditReport>,
}

fn unsuitable(path: &Path, what: impl Into<String>) -> BackupError {
    BackupError::Unsuitable { path: path.into(), what: what.into() }
}

fn unsound(path: &Path, what: impl Into<String>) -> BackupError {
    BackupError::Unsound { path: path.into(), what: what.into() }
}

/// A backup that says that it is whole.
fn whole(from: &Path) -> Result<Manifest, BackupError> {
    let nothing = || unsuitable(from, "it has no backup.json: it is no backup, or none came to its end");
    Manifest::read(from)?.ok_or_else(nothing)
}

/// The blocks of a channel, if the backup's folder holds what it says.
fn blocks(from: &Path, channel: &super::BackedUpChannel) -> Result<BlockReader, BackupError> {
    let folder = from.join(CHANNELS).join(&channel.name);
    let reader = BlockReader::open(&folder).map_err(|error| channel_error(&channel.name, &error))?;
    match Manifest::holds(channel, reader.kept()) {
        true => Ok(reader),
        false => Err(BackupError::Channel {
            name: channel.name.clone(),
            reason: format!("{} holds other blocks than backup.json says", folder.display()),
        }),
    }
}

fn private_folder(path: &Path) -> Result<(), BackupError> {
    files::private_folders(path).and_then(|()| files::make_private_folder(path)).map_err(file_error(path))
}

fn channel_error(name: &str, error: &dyn std::error::Error) -> BackupError {
    BackupError::Channel { name: name.into(), reason: ledger_classes::primitives::causes::in_one_line(error) }
}

/// Verifies a backup, as [`restore`] does, and makes nothing. Also what lies above the heights that it names.
///
/// # Errors
/// The first file or channel that is not sound.
pub fn verify(
    from: &Path,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<(Manifest, Vec<AuditReport>), BackupError> {
    let backup = whole(from)?;
    let _held = take_directory(from)?;
    for file in &backup.files {
        let path = from.join(&backup.folder).join(&file.path);
        if measure(&path)? != (file.bytes, file.sha256.clone()) {
            return Err(unsound(&path, "its content is not what backup.json says"));
        }
    }
    let mut reports = Vec::with_capacity(backup.channels.len());
    for channel in &backup.channels {
        let reader = blocks(from, channel)?;
        let report = audit_blocks(reader, &ParticipantPaths, |done, of| progress(&channel.name, done, of));
        let report = report.map_err(|error| channel_error(&channel.name, &error))?;
        reports.push(report);
    }
    Ok((backup, reports))
}

/// Makes a peer's directory from a backup. `progress` is called with a channel, the block that was executed last and the
/// last one.
///
/// # Errors
/// The directory is not empty, or the backup is not sound; what was made until then stays, without its seal key.
pub fn restore(options: &RestoreOptions, mut progress: impl FnMut(&str, u64, u64)) -> Result<Restored, BackupError> {
    let RestoreOptions { from, dir, partial } = options;
    let backup = whole(from)?;
    let _held = take_directory(from)?;
    if !backup.missing.is_empty() && !partial {
        let names: Vec<&str> = backup.missing.iter().map(|missing| missing.name.as_str()).collect();
        let what = format!(
            "channels are missing in it or not up to date ({}): a peer that goes on without their newest blocks gives \
             them another history; look for another backup, or say --partial",
            names.join(", ")
        );
        return Err(unsuitable(from, what));
    }
    files::private_folder(dir).map_err(file_error(dir))?;
    if fs::read_dir(dir).map_err(file_error(dir))?.next().is_some() {
        return Err(unsuitable(
            dir,
            "it is not empty, and nothing in it was touched: name a directory that does not exist, or is empty",
        ));
    }
    private_folder(dir)?;
    let copy = |file: &super::BackedUpFile| -> Result<(), BackupError> {
        let path = from.join(&backup.folder).join(&file.path);
        let open = File::open(&path).map_err(file_error(&path))?;
        let copied = copy_file(open, &path, &dir.join(&file.path))?;
        match copied == (file.bytes, file.sha256.clone()) {
            true => Ok(()),
            false => Err(unsound(&path, "its content is not what backup.json says")),
        }
    };
    let text = match backup.files.iter().find(|file| file.path == FILE) {
        Some(file) => {
            copy(file)?;
            fs::read_to_string(dir.join(FILE)).map_err(file_error(&dir.join(FILE)))?
        }
        None => String::new(),
    };
    let config = relocate(dir, &text, &backup)?;
    let seal_key = |file: &&super::BackedUpFile| dir.join(&file.path) == dir.join(&config.seal_key);
    let Some(seal) = backup.files.iter().find(seal_key) else {
        return Err(unsound(from, "it holds no seal key"));
    };
    for file in backup.files.iter().filter(|file| file.path != FILE && file.path != seal.path) {
        // A key that was used elsewhere begins a new life.
        if dir.join(&file.path) != incarnation_file(&dir.join(&config.seal_key)) {
            copy(file)?;
        }
    }
    for path in [&config.data_dir, &config.seal_key, &config.certificate_dir, &config.authority_dir] {
        // The configuration comes with the backup: it must not lead out of what is made here.
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(unsound(from, "its configuration names a path outside of the directory"));
        }
    }
    let data = dir.join(&config.data_dir);
    private_folder(&data)?;
    let mut channels = Vec::with_capacity(backup.channels.len());
    for channel in &backup.channels {
        let reader = blocks(from, channel)?;
        let (name, height) = (&channel.name, channel.height);
        let made = rebuild(reader, height, &data.join(name), &ParticipantPaths, |done, of| progress(name, done, of));
        let report = made.map_err(|error| channel_error(name, &error))?;
        if report.tip != channel.tip {
            let reason = format!("its block {height} is not the one that backup.json names");
            return Err(BackupError::Channel { name: name.clone(), reason });
        }
        channels.push(report);
    }
    let before = backup.incarnation.as_deref().and_then(Incarnation::parse);
    let begin = || -> io::Result<Incarnation> {
        let incarnation = Incarnation::after(before.as_ref())?;
        raise(&data, &incarnation)?;
        let authorities = dir.join(&config.authority_dir).join("ca");
        if authorities.starts_with(dir) && authorities.is_dir() {
            raise(&authorities, &incarnation)?;
        }
        incarnation.write(&incarnation_file(&dir.join(&config.seal_key)))?;
        Ok(incarnation)
    };
    if let Some(parent) = dir.join(&config.seal_key).parent() {
        private_folder(parent)?;
    }
    let incarnation = begin().map_err(file_error(dir))?;
    sync_all_directories(dir)?;
    copy(seal)?;
    sync_all_directories(dir)?;
    Ok(Restored { backup, incarnation: incarnation.to_string(), channels })
}

/// Has the configuration name the places of the restored files, where these are others.
fn relocate(dir: &Path, text: &str, backup: &Manifest) -> Result<Config, BackupError> {
    let path = dir.join(FILE);
    let mut text = text.to_owned();
    if !backup.relocated.is_empty() {
        let mut table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| unsuitable(&path, error.message()))?;
        let moved = backup.relocated.iter().map(|(key, place)| (key.clone(), toml::Value::String(place.clone())));
        table.extend(moved);
        text = table.to_string();
        files::write_private(&path, text.as_bytes()).map_err(file_error(&path))?;
    }
    Ok(Config::parse(&text, |_| None)?)
}
