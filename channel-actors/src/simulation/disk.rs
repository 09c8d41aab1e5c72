//! A simulated machine: three files in memory, and all that was ever done to them. From that come the disks that a
//! power loss at any moment may leave; and any operation can be made to fail, or a read to be wrong. The store's tests and
//! the simulator share it.
#![cfg_attr(not(test), allow(dead_code, reason = "the store's tests use all of it, the simulator a part"))]
#![expect(clippy::unwrap_used, reason = "a lock that is poisoned is the end of a simulation")]

use super::Random;
use crate::store::{Backend, JournalFile, StoreError, StoreFiles};
use redb::StorageBackend;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Log, state, journal.
pub(crate) const FILES: usize = 3;
pub(crate) const JOURNAL: usize = 2;
/// What a disk writes whole, if anything.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length as usize, 0),
            Self::Write(offset, data) => {
                let (from, end) = (*offset as usize, *offset as usize + data.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[from..end].copy_from_slice(data);
            }
        }
    }

    /// Its first bytes only; a change of length is all or nothing.
    fn cut(&self, at: impl FnOnce(usize) -> usize) -> Option<Self> {
        match self {
            Self::Length(_) => None,
            Self::Write(_, data) if data.is_empty() => None,
            Self::Write(offset, data) => Some(Self::Write(*offset, data[..at(data.len())].to_vec())),
        }
    }

    /// The change, a piece for each sector that it touches.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write(offset, data) = self else { return vec![self.clone()] };
        let (mut pieces, mut from) = (Vec::new(), 0);
        while from < data.len() {
            let end = (SECTOR - (*offset as usize + from) % SECTOR + from).min(data.len());
            pieces.push(Self::Write(offset + from as u64, data[from..end].to_vec()));
            from = end;
        }
        pieces
    }
}

#[derive(Clone, Debug)]
enum Event {
    Change(usize, Change),
    Sync(usize),
    /// A sync that failed: of what it should have brought to the disk, nobody knows what is there, and no later
    /// sync brings it.
    FailedSync(usize),
    Acknowledged,
}

/// What becomes of what was written since the last sync, when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Everything,
    Nothing,
    /// All that was written after some moment.
    Tail,
    /// The same, and the last write ends at a sector's border.
    TailAtSector,
    /// The same, and the last write ends anywhere.
    TailAnywhere,
    /// Any writes: the disk had its own order.
    Writes,
    /// Any sectors of any writes.
    Sectors,
}

impl Loss {
    pub(crate) const ALL: [Self; 7] = [
        Self::Everything,
        Self::Nothing,
        Self::Tail,
        Self::TailAtSector,
        Self::TailAnywhere,
        Self::Writes,
        Self::Sectors,
    ];

    /// What of the changes reaches the disk.
    fn survivors(self, changes: &[Change], random: &mut Random) -> Vec<Change> {
        let mut some = |changes: Vec<Change>| -> Vec<Change> {
            let odds = 1 + random.below(9);
            changes.into_iter().filter(|_| random.below(10) < odds).collect()
        };
        match self {
            Self::Everything => Vec::new(),
            Self::Nothing => changes.to_vec(),
            Self::Writes => some(changes.to_vec()),
            Self::Sectors => some(changes.iter().flat_map(Change::sectors).collect()),
            Self::Tail | Self::TailAtSector | Self::TailAnywhere if changes.is_empty() => Vec::new(),
            Self::Tail | Self::TailAtSector | Self::TailAnywhere => {
                let last = random.below(changes.len());
                let mut kept = changes[..last].to_vec();
                kept.extend(match self {
                    Self::TailAtSector => changes[last].cut(|length| random.below(length / SECTOR + 1) * SECTOR),
                    Self::TailAnywhere => changes[last].cut(|length| random.below(length)),
                    _ => None,
                });
                kept
            }
        }
    }
}

/// What a machine's disk may hold when it comes up again, and what had been acknowledged by then.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Blocks whose append had returned.
    pub(crate) acknowledged: u64,
    files: [Vec<u8>; FILES],
}

impl Image {
    /// The same disk, on which a bit of a file has rotted. False if the file has no such byte.
    pub(crate) fn rot(&mut self, file: usize, place: usize, bit: usize) -> bool {
        let byte = self.files[file].get_mut(place);
        byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }

    /// Bytes of a file.
    pub(crate) fn length(&self, file: usize) -> usize {
        self.files[file].len()
    }

    /// The same disk without a file.
    pub(crate) fn without(&self, file: usize) -> Self {
        let mut image = self.clone();
        image.files[file].clear();
        image
    }
}

/// A moment in what was done to a machine.
pub(crate) struct Moment {
    acknowledged: u64,
    synced: [Vec<u8>; FILES],
    unsynced: [Vec<Change>; FILES],
    /// Whether a sync comes next, or the end.
    pub(crate) before_sync: bool,
}

impl Moment {
    /// The disk after a power loss now.
    pub(crate) fn image(&self, loss: Loss, random: &mut Random) -> Image {
        let mut files = self.synced.clone();
        for (bytes, changes) in files.iter_mut().zip(&self.unsynced) {
            loss.survivors(changes, random).iter().for_each(|change| change.make(bytes));
        }
        Image { acknowledged: self.acknowledged, files }
    }
}

/// An operation on a file that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// EIO, and what was to be synced may never reach the disk. Once: later syncs succeed.
    Sync,
    /// ENOSPC, until mended; nothing is written.
    Write,
    /// ENOSPC, until mended; the first time a part is written.
    ShortWrite,
    /// ENOSPC, until mended.
    SetLength,
    /// EIO, once.
    Read,
    /// One bit of what is read is wrong, once.
    Flip,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] =
        [Self::Sync, Self::Write, Self::ShortWrite, Self::SetLength, Self::Read, Self::Flip];

    fn lasts(self) -> bool {
        matches!(self, Self::Write | Self::ShortWrite | Self::SetLength)
    }
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    file: usize,
    fault: Fault,
    /// Operations that still go well.
    left: u64,
    /// Of the bit that flips and the part that is written.
    place: usize,
}

#[derive(Debug, Default)]
struct World {
    base: [Vec<u8>; FILES],
    live: [Vec<u8>; FILES],
    events: Vec<Event>,
    acknowledged: u64,
    /// Operations of each kind on each file since the last arming.
    operations: [[u64; 6]; FILES],
    armed: Option<Armed>,
    fired: bool,
    set_aside: u64,
    /// Syncs do nothing, and say that they did.
    lies: bool,
}

impl World {
    /// Counts an operation of this kind; says whether it goes wrong, and where.
    fn wrong(&mut self, file: usize, fault: Fault) -> Option<usize> {
        self.operations[file][fault as usize] += 1;
        let armed = self.armed.as_mut().filter(|armed| (armed.file, armed.fault) == (file, fault))?;
        if armed.left > 0 {
            armed.left -= 1;
            return None;
        }
        let place = armed.place;
        self.armed = self.armed.filter(|armed| armed.fault.lasts());
        self.fired = true;
        Some(place)
    }

    fn change(&mut self, file: usize, change: Change) {
        change.make(&mut self.live[file]);
        self.events.push(Event::Change(file, change));
    }
}

/// The machine. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine(Arc<Mutex<World>>);

impl Machine {
    /// A machine that comes up again with what the image holds.
    pub(crate) fn after(image: &Image) -> Self {
        let (base, live) = (image.files.clone(), image.files.clone());
        Self(Arc::new(Mutex::new(World { base, live, acknowledged: image.acknowledged, ..World::default() })))
    }

    /// What another process finds that opens the files now, no power lost.
    pub(crate) fn live(&self) -> Image {
        let world = self.0.lock().unwrap();
        Image { acknowledged: world.acknowledged, files: world.live.clone() }
    }

    /// From now on no sync brings anything to the disk.
    pub(crate) fn lie(&self) {
        self.0.lock().unwrap().lies = true;
    }

    /// Says that one more append returned.
    pub(crate) fn acknowledge(&self) {
        let mut world = self.0.lock().unwrap();
        world.acknowledged += 1;
        world.events.push(Event::Acknowledged);
    }

    /// Forgets what led here: moments begin now. All was synced.
    pub(crate) fn begin(&self) {
        let mut world = self.0.lock().unwrap();
        world.base = world.live.clone();
        world.events.clear();
    }

    /// Lets so many operations on a file go well, then one go wrong.
    pub(crate) fn arm(&self, file: usize, fault: Fault, left: u64, place: usize) {
        let mut world = self.0.lock().unwrap();
        world.armed = Some(Armed { file, fault, left, place });
        (world.operations, world.fired) = Default::default();
    }

    /// Whether the fault has come.
    pub(crate) fn fired(&self) -> bool {
        self.0.lock().unwrap().fired
    }

    /// Operations of a kind on a file since the last arming.
    pub(crate) fn operations(&self, file: usize, fault: Fault) -> u64 {
        self.0.lock().unwrap().operations[file][fault as usize]
    }

    /// Makes everything go well again.
    pub(crate) fn mend(&self) {
        self.0.lock().unwrap().armed = None;
    }

    /// State files that were set aside.
    pub(crate) fn set_aside(&self) -> u64 {
        self.0.lock().unwrap().set_aside
    }

    /// Goes through all moments since the beginning: before each operation, and at the end. `None` of a visit ends it.
    pub(crate) fn moments(&self, random: &mut Random, mut visit: impl FnMut(&Moment, &mut Random) -> Option<()>) {
        let (base, events, acknowledged) = {
            let world = self.0.lock().unwrap();
            let since = world.events.iter().filter(|event| matches!(event, Event::Acknowledged)).count() as u64;
            (world.base.clone(), world.events.clone(), world.acknowledged - since)
        };
        let mut moment =
            Moment { acknowledged, synced: base, unsynced: Default::default(), before_sync: events.is_empty() };
        for event in events.iter().map(Some).chain([None]) {
            moment.before_sync = matches!(event, None | Some(Event::Sync(_) | Event::FailedSync(_)));
            if visit(&moment, random).is_none() {
                return;
            }
            match event {
                None => {}
                Some(Event::Acknowledged) => moment.acknowledged += 1,
                Some(Event::Change(file, change)) => moment.unsynced[*file].push(change.clone()),
                Some(Event::Sync(file)) => {
                    let changes = std::mem::take(&mut moment.unsynced[*file]);
                    changes.iter().for_each(|change| change.make(&mut moment.synced[*file]));
                }
                Some(Event::FailedSync(file)) => {
                    let changes = std::mem::take(&mut moment.unsynced[*file]);
                    let kept = Loss::Sectors.survivors(&changes, random);
                    kept.iter().for_each(|change| change.make(&mut moment.synced[*file]));
                }
            }
        }
    }

    /// The disk after a power loss when so many operations were done since the beginning.
    pub(crate) fn image_after(&self, operations: usize, loss: Loss, random: &mut Random) -> Image {
        let (mut left, mut image) = (operations, self.live());
        self.moments(random, |moment, random| {
            let reached = left == 0;
            left = left.saturating_sub(1);
            if reached {
                image = moment.image(loss, random);
            }
            (!reached).then_some(())
        });
        image
    }

    /// The number of moments.
    pub(crate) fn moments_count(&self) -> usize {
        self.0.lock().unwrap().events.len() + 1
    }

    fn backend(&self, file: usize) -> Backend {
        Box::new(SimBackend { world: self.0.clone(), file })
    }
}

#[derive(Debug)]
struct SimBackend {
    world: Arc<Mutex<World>>,
    file: usize,
}

fn io_error() -> io::Error {
    io::Error::other("the disk does not answer")
}

fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl StorageBackend for SimBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.world.lock().unwrap().live[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        if world.wrong(self.file, Fault::Read).is_some() {
            return Err(io_error());
        }
        let from = offset as usize;
        let bytes = world.live[self.file].get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        if let Some(place) = world.wrong(self.file, Fault::Flip) {
            // Among the bytes that say something.
            let used: Vec<usize> = (0..out.len()).filter(|at| out[*at] != 0).collect();
            if let Some(at) = used.get(place % used.len().max(1)) {
                out[*at] ^= 1 << (place % 8);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        if world.wrong(self.file, Fault::SetLength).is_some() {
            return Err(no_space());
        }
        world.change(self.file, Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        match world.wrong(self.file, Fault::Sync) {
            None if world.lies => {}
            None => world.events.push(Event::Sync(self.file)),
            Some(_) => {
                world.events.push(Event::FailedSync(self.file));
                return Err(io_error());
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        if world.wrong(self.file, Fault::Write).is_some() {
            return Err(no_space());
        }
        let first = !world.fired;
        if let Some(place) = world.wrong(self.file, Fault::ShortWrite) {
            if first {
                world.change(self.file, Change::Write(offset, data[..place % data.len()].to_vec()));
            }
            return Err(no_space());
        }
        world.change(self.file, Change::Write(offset, data.to_vec()));
        Ok(())
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
        match self.0.lock().unwrap().live[0].is_empty() {
            true => Err(StoreError::Missing(PathBuf::new())),
            false => Ok(self.backend(0)),
        }
    }

    fn journal(&self) -> Box<dyn JournalFile> {
        Box::new(self.clone())
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        Ok(self.backend(1))
    }

    fn set_state_aside(&self, _: &str) -> Result<String, StoreError> {
        let mut world = self.0.lock().unwrap();
        world.set_aside += 1;
        world.change(1, Change::Length(0));
        world.events.push(Event::Sync(1));
        Ok("aside".into())
    }
}

impl JournalFile for Machine {
    fn open(&self) -> Result<Option<Backend>, StoreError> {
        let there = !self.0.lock().unwrap().live[JOURNAL].is_empty();
        Ok(there.then(|| self.backend(JOURNAL)))
    }

    fn create(&self) -> Result<Backend, StoreError> {
        // The name is synced, and with it the end of the one before.
        let mut world = self.0.lock().unwrap();
        assert!(world.live[JOURNAL].is_empty(), "made where there is one");
        world.events.push(Event::Sync(JOURNAL));
        drop(world);
        Ok(self.backend(JOURNAL))
    }

    fn remove(&self) -> Result<(), StoreError> {
        self.0.lock().unwrap().change(JOURNAL, Change::Length(0));
        Ok(())
    }
}
