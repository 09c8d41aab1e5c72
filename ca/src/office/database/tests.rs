//! Tests of the index in memory and on the disk.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    Keyring, PassphraseSource,
    office::{
        cause::Cause,
        known::Known,
        layout::Layout,
        locked_records::{self, LOCK, LockedRecords},
        record::CertificateStatus,
    },
};
use std::{fs::OpenOptions, io::Write as _, sync::Arc};

fn read(directory: &Path) -> Result<Arc<Database>, DatabaseError> {
    Ok(Known::default().read(directory)?.0)
}

fn locked(dir: &Path) -> Result<LockedRecords, DatabaseError> {
    let keys = Keyring::new(PassphraseSource::usual(dir));
    LockedRecords::lock(Layout::new(dir.into()), Cause::default(), &Known::default(), keys)
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn added() -> Event {
    let (name, issuer) = ("north".to_owned(), "root".to_owned());
    Event::AuthorityAdded { name, issuer, serial: "01".parse().unwrap(), not_after: at(9), at: at(1) }
}

fn intended(serial: &str) -> Event {
    Event::Intended {
        authority: "north".into(),
        serial: serial.parse().unwrap(),
        identity: Identity::parse("spiffe://c/north/client/a").unwrap(),
        not_before: at(1_000),
        not_after: at(2_000),
        key: None,
        request: None,
        renews: None,
        at: at(1),
    }
}

#[test]
fn what_was_appended_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    locked_records::create(dir.path(), "c", at(0)).unwrap();
    let mut open = locked(dir.path()).unwrap();
    let serial: Serial = "07".parse().unwrap();
    open.append(&added()).unwrap();
    open.append(&intended("07")).unwrap();
    let status = |now| read(dir.path()).unwrap().certificate(&serial).unwrap().status(at(now));
    assert_eq!(status(1_500), CertificateStatus::Intended);
    open.append(&Event::Issued { serial: serial.clone(), fingerprint: "aa".into(), at: at(2) }).unwrap();
    assert_eq!((status(2_999), status(3_000)), (CertificateStatus::Valid, CertificateStatus::Expired));
    let reason = RevocationReason::KeyCompromise;
    open.append(&Event::Revoked { serial: serial.clone(), reason, at: at(3) }).unwrap();
    assert_eq!(status(3_000), CertificateStatus::Revoked);
}

#[test]
fn a_line_without_its_end_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    locked_records::create(dir.path(), "c", at(0)).unwrap();
    locked(dir.path()).unwrap().append(&added()).unwrap();
    let path = dir.path().join(INDEX);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"event\":\"inten").unwrap();
    assert_eq!(read(dir.path()).unwrap().certificates().len(), 0);
    locked(dir.path()).unwrap().append(&intended("07")).unwrap();
    assert_eq!(read(dir.path()).unwrap().certificates().len(), 1);
}

#[test]
fn contradictions_are_refused() {
    let crl = |number| Event::CrlIntended { authority: "north".into(), number, next_update: at(9), at: at(1) };
    for (events, reason) in [
        (vec![added()], "an authority is added twice"),
        (vec![intended("07"), intended("07")], "a serial is used twice"),
        (vec![crl(2), crl(2)], "a CRL number goes back"),
        (
            vec![Event::Issued { serial: "08".parse().unwrap(), fingerprint: String::new(), at: at(1) }],
            "an unknown serial",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        locked_records::create(dir.path(), "c", at(0)).unwrap();
        let mut open = locked(dir.path()).unwrap();
        open.append(&added()).unwrap();
        let results: Vec<_> = events.iter().map(|event| open.append(event)).collect();
        let error = results.last().unwrap().as_ref().unwrap_err();
        assert!(error.to_string().ends_with(reason), "{error}");
        assert!(matches!(open.append(&crl(9)), Err(DatabaseError::Broken)), "nothing is written after that");
        drop(open);
        assert_eq!(read(dir.path()).unwrap().authorities().len(), 1);
    }
}

#[test]
fn a_second_writer_waits() {
    let dir = tempfile::tempdir().unwrap();
    locked_records::create(dir.path(), "c", at(0)).unwrap();
    let held = locked(dir.path()).unwrap();
    let second = OpenOptions::new().write(true).open(dir.path().join(LOCK)).unwrap();
    assert!(second.try_lock().is_err());
    drop(held);
    assert!(second.try_lock().is_ok());
}

/// Each time that the same request was posted again, the index was locked for it.
#[test]
fn who_asks_again_is_answered_from_the_index_while_others_write_it() {
    use crate::{CertificateFolder, KeyPair};
    use pki::{CertificateRequest, KeyAlgorithm};
    let dir = tempfile::tempdir().unwrap();
    let now = at(1_800_000_000_000);
    let folder = CertificateFolder::create(dir.path(), "harbour.example", KeyAlgorithm::P256, now).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, now).unwrap();
    let identity = Identity::parse("spiffe://harbour.example/north/client/alice").unwrap();
    let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let request = crate::holder::request::make_request(&key, &identity).unwrap();
    let request = CertificateRequest::parse(request.as_bytes()).unwrap();
    let filed = folder.registration().file_request(&request, None, "192.0.2.1", now).unwrap();
    let held = folder.lock().unwrap();
    let (tells, told) = std::sync::mpsc::channel();
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| {
            let again = folder.registration().file_request(&request, None, "192.0.2.7", now).unwrap();
            tells.send((again.record.id, again.status)).unwrap();
        });
        let answer = told.recv_timeout(std::time::Duration::from_secs(20));
        drop(held);
        answer
    });
    assert_eq!(answer.expect("answered without the lock"), (filed.record.id, filed.status));
}
