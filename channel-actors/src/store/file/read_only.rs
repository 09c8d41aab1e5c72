//! A file that is only read: by who looks at a store without a right or a wish to change it, and on a file system that
//! is read-only. redb writes when it opens a file: that is kept in memory.
//! Never here: a change of the file.

use crate::store::file::backend::Backend;
use crate::store::lock::{read, write};
use redb::StorageBackend;
use std::io;
use std::sync::RwLock;

/// The file, and what was written above it.
#[derive(Debug)]
pub(in crate::store) struct ReadOnly {
    file: Backend,
    /// In the order of its happening. It is what one opening writes: little.
    changes: RwLock<Vec<Change>>,
}

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl ReadOnly {
    pub(in crate::store) fn new(file: Backend) -> Self {
        Self { file, changes: RwLock::default() }
    }

    fn length(&self, changes: &[Change]) -> io::Result<u64> {
        let length = self.file.len()?;
        Ok(changes.iter().fold(length, |length, change| match change {
            Change::Write(offset, data) => length.max(offset + data.len() as u64),
            Change::Length(length) => *length,
        }))
    }
}

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        self.length(&read(&self.changes))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = read(&self.changes);
        let end = offset + out.len() as u64;
        if end > self.length(&changes)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Where a place of the file is in what is read.
        let at = |place: u64| (place.clamp(offset, end) - offset) as usize;
        let there = at(self.file.len()?);
        if there > 0 {
            self.file.read(offset, &mut out[..there])?;
        }
        out[there..].fill(0);
        for change in &*changes {
            match change {
                Change::Write(first, data) => {
                    let part = at(*first)..at(first + data.len() as u64);
                    if !part.is_empty() {
                        let skipped = (offset + part.start as u64 - first) as usize;
                        out[part.clone()].copy_from_slice(&data[skipped..skipped + part.len()]);
                    }
                }
                Change::Length(length) => out[at(*length)..].fill(0),
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        write(&self.changes).push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write(&self.changes).push(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::StoreFiles as _;
    use crate::store::tests::disk::Machine;
    use crate::test_support::{Random, seeds};

    #[test]
    fn what_is_read_is_what_was_written_and_the_file_stays_as_it_was() {
        for seed in seeds(20) {
            let mut random = Random(seed);
            let mut model: Vec<u8> = (0..random.below(200)).map(|_| 1 + random.below(200) as u8).collect();
            let before = model.clone();
            let machine = Machine::default();
            machine.open_state().unwrap().write(0, &model).unwrap();
            let file = ReadOnly::new(machine.open_state().unwrap());
            for step in 0..120 {
                match random.below(4) {
                    0 => {
                        let length = random.below(260);
                        file.set_len(length as u64).unwrap();
                        model.resize(length, 0);
                    }
                    1 => file.sync_data().unwrap(),
                    _ => {
                        let (at, length) = (random.below(model.len() + 1), random.below(50));
                        let data = vec![1 + step as u8; length];
                        file.write(at as u64, &data).unwrap();
                        model.resize(model.len().max(at + length), 0);
                        model[at..at + length].copy_from_slice(&data);
                    }
                }
                assert_eq!(file.len().unwrap(), model.len() as u64, "seed {seed}, {step}");
                let from = random.below(model.len() + 1);
                let mut part = vec![0; random.below(model.len() - from + 1)];
                file.read(from as u64, &mut part).unwrap();
                assert_eq!(part, model[from..from + part.len()], "seed {seed}, {step}");
                let beyond = file.read(model.len() as u64, &mut [0]).unwrap_err();
                assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof, "seed {seed}, {step}");
            }
            let raw = machine.open_state().unwrap();
            let mut bytes = vec![0; raw.len().unwrap() as usize];
            raw.read(0, &mut bytes).unwrap();
            assert_eq!(bytes, before, "seed {seed}");
        }
    }
}
