//! The segments of a peer's log on the simulated disk: as many files as there are, each with a number for a name, which is
//! durable as soon as it is given or taken.

use super::{Event, FILES, File, Image, Machine, Moment};
use crate::store::peer_log::SegmentFiles;
use crate::store::{Backend, StoreError};
use std::path::PathBuf;

impl Moment {
    pub(super) fn name(&mut self, number: u64, file: Option<usize>) {
        let before = match file {
            Some(file) => {
                let files = self.synced.len().max(file + 1);
                self.synced.resize(files, File::default());
                self.unsynced.resize(files, Vec::new());
                self.segments.insert(number, file)
            }
            None => self.segments.remove(&number),
        };
        if let Some(before) = before {
            self.synced[before] = File::default();
            self.unsynced[before].clear();
        }
    }
}

impl Image {
    /// Which files the segments are, in their order.
    pub(crate) fn segments(&self) -> Vec<usize> {
        self.segments.values().copied().collect()
    }

    /// Bytes of a file.
    #[cfg(test)]
    pub(crate) fn bytes(&self, file: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.files[file].len()];
        assert!(self.files[file].read(0, &mut bytes));
        bytes
    }

    /// Puts bytes into a file.
    #[cfg(test)]
    pub(crate) fn put(&mut self, file: usize, at: usize, bytes: &[u8]) {
        self.files[file].write(at, bytes);
    }
}

impl SegmentFiles for Machine {
    fn list(&self) -> Result<Vec<u64>, StoreError> {
        Ok(self.0.lock().unwrap().segments.keys().copied().collect())
    }

    fn create(&self, number: u64) -> Result<Backend, StoreError> {
        let mut world = self.0.lock().unwrap();
        let file = world.live.len();
        world.live.push(File::default());
        if let Some(before) = world.segments.insert(number, file) {
            world.live[before] = File::default();
        }
        world.events.push(Event::Named(number, Some(file)));
        drop(world);
        assert!(file >= FILES, "a store has files of its own");
        Ok(self.backend(file))
    }

    fn open(&self, number: u64) -> Result<Backend, StoreError> {
        let file = self.0.lock().unwrap().segments.get(&number).copied();
        Ok(self.backend(file.ok_or_else(|| StoreError::Missing(PathBuf::new()))?))
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        let mut world = self.0.lock().unwrap();
        if let Some(file) = world.segments.remove(&number) {
            world.live[file] = File::default();
            world.events.push(Event::Named(number, None));
        }
        Ok(())
    }
}
