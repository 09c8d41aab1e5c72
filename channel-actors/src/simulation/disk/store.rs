//! The files of a store on the simulated disk.

use super::{Change, Event, LOG, Machine, STATE, WAL};
use crate::store::{Backend, StoreError, StoreFiles, WalFile};
use std::path::PathBuf;

impl StoreFiles for Machine {
    fn create_log(&self) -> Result<Backend, StoreError> {
        Ok(self.backend(LOG))
    }

    fn publish_log(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn open_log(&self) -> Result<Backend, StoreError> {
        match self.0.lock().unwrap().live[LOG].is_empty() {
            true => Err(StoreError::Missing(PathBuf::new())),
            false => Ok(self.backend(LOG)),
        }
    }

    fn wal(&self) -> Box<dyn WalFile> {
        Box::new(self.clone())
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        Ok(self.backend(STATE))
    }

    fn set_state_aside(&self, _: &str) -> Result<String, StoreError> {
        let mut world = self.0.lock().unwrap();
        world.set_aside += 1;
        world.change(STATE, Change::Length(0));
        world.events.push(Event::Sync(STATE));
        Ok("aside".into())
    }
}

impl WalFile for Machine {
    fn open(&self) -> Result<Option<Backend>, StoreError> {
        let there = !self.0.lock().unwrap().live[WAL].is_empty();
        Ok(there.then(|| self.backend(WAL)))
    }

    fn create(&self) -> Result<Backend, StoreError> {
        // The name is synced, and with it the end of the one before.
        let mut world = self.0.lock().unwrap();
        assert!(world.live[WAL].is_empty(), "made where there is one");
        world.events.push(Event::Sync(WAL));
        drop(world);
        Ok(self.backend(WAL))
    }

    fn remove(&self) -> Result<(), StoreError> {
        self.0.lock().unwrap().change(WAL, Change::Length(0));
        Ok(())
    }
}
