//! Keys of CAs at rest: encrypted, opened by one passphrase, which can be changed.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity};
use ca::{
    CertificateFolder, KeyPair, Keyring, PassphraseSource,
    keys::error::{KeyError, PassphraseError},
    limits::DAY_MS,
    office::{error::FolderError, issuing::LeafOptions, record::CertificateStatus, revocation::Selection},
};
use pki::{KeyAlgorithm, RevocationReason};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, NOW).unwrap();
    folder
}

fn with(dir: &Path, passphrase: &Path) -> CertificateFolder {
    CertificateFolder::open(dir).unwrap().with_keys(Keyring::new(PassphraseSource::file(passphrase.into())))
}

fn issue(folder: &CertificateFolder, name: &str) -> Result<Vec<Vec<u8>>, FolderError> {
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    folder.issuing().issue(&identity(&format!("north/client/{name}")), key.public(), &LeafOptions::default(), NOW)
}

/// An error with its causes, as the command line shows it.
fn in_full(error: &FolderError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn key_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("ca").join(format!("{name}.key"))
}

/// Runs openssl in a directory; `None` if it is not installed.
fn openssl(dir: &Path, arguments: &str) -> Option<bool> {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output().ok()?;
    Some(output.status.success())
}

#[test]
fn no_usable_key_lies_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let passphrase = fs::read_to_string(dir.path().join("authority.passphrase")).unwrap();
    assert_eq!(passphrase.trim_end().len(), 64, "256 bits in hex");
    for file in fs::read_dir(dir.path().join("ca")).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        assert!(!text.contains("-----BEGIN PRIVATE KEY-----"), "{file:?}");
        assert!(!text.contains(passphrase.trim_end()), "{file:?}");
    }
    assert_eq!(CertificateFolder::open(dir.path()).unwrap().key_files().plain().unwrap(), Vec::<String>::new());
}

#[test]
fn openssl_opens_our_keys_and_we_open_its() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    folder(dir);
    for name in ["root", "north"] {
        let open = format!("pkey -in ca/{name}.key -passin file:authority.passphrase -out {name}.plain");
        let Some(opened) = openssl(dir, &open) else { return };
        assert!(opened, "{name}");
        assert_eq!(openssl(dir, &format!("pkey -in ca/{name}.key -passin pass:wrong -noout")), Some(false));
        // The same key, encrypted by OpenSSL in each way that it has.
        for how in ["-v2 aes-256-cbc", "-v2 aes-128-cbc -v2prf hmacWithSHA512 -iter 10000", "-scrypt"] {
            let seal =
                format!("pkcs8 -topk8 -in {name}.plain {how} -passout file:authority.passphrase -out ca/{name}.key");
            assert_eq!(openssl(dir, &seal), Some(true), "{how}");
            let folder = CertificateFolder::open(dir).unwrap();
            folder.publication().reissue_crl(name, NOW).unwrap();
        }
        let seal =
            format!("pkcs8 -topk8 -in {name}.plain -v2 des3 -passout file:authority.passphrase -out ca/{name}.key");
        assert_eq!(openssl(dir, &seal), Some(true));
        let refused = CertificateFolder::open(dir).unwrap().publication().reissue_crl(name, NOW).unwrap_err();
        assert!(matches!(&refused, FolderError::Key(KeyError::Locked { .. })), "{refused:?}");
    }
}

#[test]
fn without_the_passphrase_only_what_needs_a_key_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    issue(&folder(dir), "alice").unwrap();
    let file = dir.join("authority.passphrase");
    let kept = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();

    let folder = CertificateFolder::open(dir).unwrap();
    assert_eq!(folder.records().unwrap().certificates().len(), 1);
    assert_eq!(folder.records().unwrap().trust().unwrap().anchors.len(), 1);
    assert!(!folder.records().unwrap().forecast(NOW, 400 * DAY_MS).is_empty());
    let refused = issue(&folder, "bob").unwrap_err();
    assert!(matches!(&refused, FolderError::Key(KeyError::Passphrase(PassphraseError::Missing { .. }))));
    let says = in_full(&refused);
    for part in [&*file.to_string_lossy(), "--passphrase-file", "CHANCERY_AUTHORITY_PASSPHRASE_FILE"] {
        assert!(says.contains(part), "{says:?} does not say {part}");
    }
    assert!(folder.authorities().add_organization("south", KeyAlgorithm::Ed25519, NOW).is_err());
    assert!(!key_file(dir, "south").exists());
    // A revocation is recorded whatever happens: the next CRL carries it.
    let alice = Selection::Identity(identity("north/client/alice"));
    folder.revocation().revoke(&alice, RevocationReason::KeyCompromise, NOW).unwrap_err();
    assert_eq!(folder.records().unwrap().certificates()[0].status(NOW), CertificateStatus::Revoked);

    for (text, says) in [("wrong\n", "with "), ("", "one line"), ("two\nlines", "one line")] {
        files::write_private(&file, text.as_bytes()).unwrap();
        let error = in_full(&issue(&folder, "bob").unwrap_err());
        assert!(error.contains(says) && error.contains(&*file.to_string_lossy()), "{error}");
    }
    // It may come back while the folder is open.
    fs::write(&file, kept).unwrap();
    issue(&folder, "bob").unwrap();
}

#[test]
fn a_key_is_opened_once_and_forgotten_when_its_file_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    folder(dir);
    let running = CertificateFolder::open(dir).unwrap();
    issue(&running, "a").unwrap();
    // Proof that nothing is opened again: there is nothing to open it with.
    fs::remove_file(dir.join("authority.passphrase")).unwrap();
    issue(&running, "b").unwrap();
    issue(&running.clone(), "c").unwrap();
    issue(&CertificateFolder::open(dir).unwrap(), "d").unwrap_err();
    fs::rename(key_file(dir, "north"), dir.join("offline")).unwrap();
    assert!(matches!(issue(&running, "e"), Err(FolderError::Key(KeyError::File { .. }))));
}

#[test]
fn a_folder_has_one_passphrase() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    folder(dir);
    let other = dir.join("other");
    files::write_private(&other, b"of another folder\n").unwrap();
    let refused =
        with(dir, &other).authorities().add_organization_root("south", KeyAlgorithm::Ed25519, NOW).unwrap_err();
    assert!(matches!(&refused, FolderError::Key(KeyError::Passphrase(PassphraseError::Other { .. }))), "{refused:?}");
    assert!(!key_file(dir, "south").exists());
    // No second attempt finds half an organization.
    CertificateFolder::open(dir)
        .unwrap()
        .authorities()
        .add_organization_root("south", KeyAlgorithm::Ed25519, NOW)
        .unwrap();
}

#[test]
fn plain_keys_of_older_versions_work_and_are_encrypted_on_demand() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    if openssl(dir, "version").is_none() {
        return;
    }
    old_folder(dir);
    let old = CertificateFolder::open(dir).unwrap();
    assert_eq!(old.key_files().plain().unwrap(), ["north", "root"]);
    issue(&old, "alice").unwrap();

    assert_eq!(old.key_files().change_passphrase(&PassphraseSource::usual(dir)).unwrap(), ["north", "root"]);
    let new = CertificateFolder::open(dir).unwrap();
    assert_eq!(new.key_files().plain().unwrap(), Vec::<String>::new());
    issue(&new, "bob").unwrap();
}

/// A folder as versions before encryption left it.
fn old_folder(dir: &Path) {
    folder(dir);
    let passphrase = dir.join("authority.passphrase");
    for name in ["root", "north"] {
        let file = key_file(dir, name);
        let plain = dir.join("plain");
        let open =
            format!("pkey -in {} -passin file:{} -out {}", file.display(), passphrase.display(), plain.display());
        assert_eq!(openssl(dir, &open), Some(true));
        fs::rename(plain, file).unwrap();
    }
    fs::remove_file(passphrase).unwrap();
}

#[test]
fn a_change_that_was_interrupted_is_healed_by_the_next() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    folder(dir);
    let (old, new) = (dir.join("authority.passphrase"), dir.join("new.passphrase"));
    let root_before = fs::read(key_file(dir, "root")).unwrap();
    let change =
        || CertificateFolder::open(dir).unwrap().key_files().change_passphrase(&PassphraseSource::file(new.clone()));
    assert_eq!(change().unwrap(), ["north", "root"]);
    // As if it had stopped between the two: one key is under the old passphrase still, and a draft was left.
    fs::copy(key_file(dir, "root"), dir.join("ca/root.key.new")).unwrap();
    fs::write(key_file(dir, "root"), root_before).unwrap();
    with(dir, &old).publication().reissue_crl("root", NOW).unwrap();
    with(dir, &old).publication().reissue_crl("north", NOW).unwrap_err();
    with(dir, &new).publication().reissue_crl("north", NOW).unwrap();

    assert_eq!(change().unwrap(), ["north", "root"]);
    for name in ["root", "north"] {
        with(dir, &new).publication().reissue_crl(name, NOW).unwrap();
        with(dir, &old).publication().reissue_crl(name, NOW).unwrap_err();
        assert!(!dir.join(format!("ca/{name}.key.new")).exists());
    }
    // With neither passphrase nothing is touched.
    let before = fs::read(key_file(dir, "root")).unwrap();
    let wrong = dir.join("wrong");
    files::write_private(&wrong, b"wrong").unwrap();
    with(dir, &wrong).key_files().change_passphrase(&PassphraseSource::file(old)).unwrap_err();
    assert_eq!(fs::read(key_file(dir, "root")).unwrap(), before);
}
