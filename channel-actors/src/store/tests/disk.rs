//! A simulated machine: two files in memory that lose what was not synced when the power goes, and whose sync
//! can be made to fail.

use crate::store::{Backend, StoreError, StoreFiles};
use redb::StorageBackend;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A file: what is surely on disk, and what was written since the last sync.
#[derive(Clone, Debug, Default)]
struct SimFile {
    live: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

fn make(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length as usize, 0),
        Change::Write(offset, data) => {
            let (from, end) = (*offset as usize, *offset as usize + data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[from..end].copy_from_slice(data);
        }
    }
}

/// What a machine's disk may hold after the power went, and what had been acknowledged by then.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Blocks whose append had returned.
    pub(crate) acknowledged: u64,
    files: [Vec<u8>; 2],
}

#[derive(Debug, Default)]
struct World {
    files: [SimFile; 2],
    images: Vec<Image>,
    acknowledged: u64,
    /// Syncs that still succeed.
    syncs_left: Option<u64>,
    recording: bool,
    seed: u64,
}

impl World {
    /// Power loss at this moment: all of what was synced, and of the rest nothing, or any part.
    fn record_images(&mut self) {
        if !self.recording {
            return;
        }
        let nothing = self.files.each_ref().map(|file| file.synced.clone());
        let mut any = || {
            // SplitMix64
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)) & 4 == 0
        };
        let some = self.files.each_ref().map(|file| {
            let mut bytes = file.synced.clone();
            file.unsynced.iter().filter(|_| any()).for_each(|change| make(&mut bytes, change));
            bytes
        });
        let acknowledged = self.acknowledged;
        self.images.extend([nothing, some].map(|files| Image { acknowledged, files }));
    }
}

/// The machine. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine(Arc<Mutex<World>>);

impl Machine {
    /// A machine that comes up again with what the image holds.
    pub(crate) fn after(image: &Image) -> Self {
        let files = image.files.clone().map(|bytes| SimFile { live: bytes.clone(), synced: bytes, unsynced: vec![] });
        Self(Arc::new(Mutex::new(World { files, ..World::default() })))
    }

    /// Keeps images of every moment before a sync from now on.
    pub(crate) fn record(&self, seed: u64) {
        let mut world = self.0.lock().unwrap();
        (world.recording, world.seed) = (true, seed);
    }

    /// Says that one more append returned.
    pub(crate) fn acknowledge(&self) {
        self.0.lock().unwrap().acknowledged += 1;
    }

    /// Lets this many syncs succeed, then none.
    pub(crate) fn fail_after(&self, syncs: u64) {
        self.0.lock().unwrap().syncs_left = Some(syncs);
    }

    /// Makes syncs succeed again.
    pub(crate) fn mend(&self) {
        self.0.lock().unwrap().syncs_left = None;
    }

    /// Disks that a power loss may have left, one after the other.
    pub(crate) fn images(&self) -> Vec<Image> {
        let mut world = self.0.lock().unwrap();
        world.record_images();
        world.images.clone()
    }
}

#[derive(Debug)]
struct SimBackend {
    world: Arc<Mutex<World>>,
    file: usize,
}

impl StorageBackend for SimBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.world.lock().unwrap().files[self.file].live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let world = self.world.lock().unwrap();
        let live = &world.files[self.file].live;
        let from = offset as usize;
        let bytes = live.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let file = &mut self.world.lock().unwrap().files[self.file];
        file.live.resize(len as usize, 0);
        file.unsynced.push(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        world.record_images();
        match &mut world.syncs_left {
            Some(0) => return Err(io::Error::other("the disk does not answer")),
            Some(left) => *left -= 1,
            None => {}
        }
        let SimFile { synced, unsynced, .. } = &mut world.files[self.file];
        unsynced.drain(..).for_each(|change| make(synced, &change));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let file = &mut self.world.lock().unwrap().files[self.file];
        let change = Change::Write(offset, data.to_vec());
        make(&mut file.live, &change);
        file.unsynced.push(change);
        Ok(())
    }
}

impl Machine {
    fn backend(&self, file: usize) -> Backend {
        Box::new(SimBackend { world: self.0.clone(), file })
    }
}

impl StoreFiles for Machine {
    fn create_log(&self) -> Result<Backend, StoreError> {
        Ok(self.backend(0))
    }

    fn publish_log(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn open_log(&self) -> Result<Backend, StoreError> {
        match self.0.lock().unwrap().files[0].live.is_empty() {
            true => Err(StoreError::Missing(PathBuf::new())),
            false => Ok(self.backend(0)),
        }
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        Ok(self.backend(1))
    }

    fn set_state_aside(&self) -> Result<String, StoreError> {
        panic!("no power loss breaks the state file")
    }
}
