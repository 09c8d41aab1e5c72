//! A simulated machine: three files of a store in memory, the segments of a peer's log, and all that was ever done to them. From that come the disks that a
//! power loss at any moment may leave; and any operation can be made to fail, or a read to be wrong. The store's tests and
//! the simulator share it.
#![expect(clippy::unwrap_used, reason = "a lock that is poisoned is the end of a simulation")]

use super::Random;
use super::file::{File, PAGE, Page};
use crate::store::Backend;
use bytes::Bytes;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

mod segments;
mod store;

/// Files of a store.
pub(crate) const FILES: usize = 3;
pub(crate) const LOG: usize = 0;
pub(crate) const STATE: usize = 1;
pub(crate) const WAL: usize = 2;
/// All segments, when a fault is armed. Each is a file from here on.
pub(crate) const SEGMENTS: usize = 3;
/// What a disk writes whole, if anything.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Bytes),
    /// Whole pages, which the file shares with what remembers that they were written.
    Pages(u64, Arc<[Page]>),
}

impl Change {
    fn written(offset: u64, data: &[u8]) -> Self {
        if !offset.is_multiple_of(PAGE as u64) || !data.len().is_multiple_of(PAGE) {
            return Self::Write(offset, Bytes::copy_from_slice(data));
        }
        let (pages, _) = data.as_chunks::<PAGE>();
        Self::Pages(offset, pages.iter().map(|page| (*page != [0; PAGE]).then(|| Arc::new(*page))).collect())
    }

    /// The same as bytes.
    fn plain(&self) -> Self {
        let Self::Pages(offset, pages) = self else { return self.clone() };
        let bytes = |page: &Page| page.as_deref().copied().unwrap_or([0; PAGE]);
        Self::Write(*offset, pages.iter().flat_map(bytes).collect())
    }

    fn make(&self, file: &mut File) {
        match self {
            Self::Length(length) => file.resize(*length as usize),
            Self::Write(offset, data) => file.write(*offset as usize, data),
            Self::Pages(offset, pages) => file.put(*offset as usize, pages),
        }
    }

    /// Its first bytes only; a change of length is all or nothing.
    fn cut(&self, at: impl FnOnce(usize) -> usize) -> Option<Self> {
        match self.plain() {
            Self::Write(offset, data) if !data.is_empty() => Some(Self::Write(offset, data.slice(..at(data.len())))),
            _ => None,
        }
    }

    /// The change, a piece for each sector that it touches.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write(offset, data) = self.plain() else { return vec![self.clone()] };
        let (mut pieces, mut from) = (Vec::new(), 0);
        while from < data.len() {
            let end = (SECTOR - (offset as usize + from) % SECTOR + from).min(data.len());
            pieces.push(Self::Write(offset + from as u64, data.slice(from..end)));
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
    /// A segment is in this file, or in none, and durably so.
    Named(u64, Option<usize>),
    #[cfg(test)]
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
    #[cfg(test)]
    pub(crate) acknowledged: u64,
    files: Vec<File>,
    segments: BTreeMap<u64, usize>,
}

impl Image {
    /// The same disk, on which a bit of a file has rotted. False if the file has no such byte.
    pub(crate) fn rot(&mut self, file: usize, place: usize, bit: usize) -> bool {
        self.files[file].flip(place, bit)
    }

    /// Bytes of a file.
    pub(crate) fn length(&self, file: usize) -> usize {
        self.files[file].len()
    }

    /// The same disk without a file.
    pub(crate) fn without(&self, file: usize) -> Self {
        let mut image = self.clone();
        image.files[file] = File::default();
        image
    }
}

/// A moment in what was done to a machine.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    #[cfg(test)]
    acknowledged: u64,
    synced: Vec<File>,
    unsynced: Vec<Vec<Change>>,
    segments: BTreeMap<u64, usize>,
    /// Whether a sync comes next, or the end.
    #[cfg(test)]
    pub(crate) before_sync: bool,
}

impl Moment {
    /// One to which all that an image holds is synced.
    fn of(image: Image) -> Self {
        Self {
            #[cfg(test)]
            acknowledged: image.acknowledged,
            unsynced: vec![Vec::new(); image.files.len()],
            synced: image.files,
            segments: image.segments,
            #[cfg(test)]
            before_sync: false,
        }
    }

    /// After an event.
    fn pass(&mut self, event: &Event, random: &mut Random) {
        match event {
            #[cfg(test)]
            Event::Acknowledged => self.acknowledged += 1,
            Event::Change(file, change) => self.unsynced[*file].push(change.clone()),
            Event::Sync(file) => {
                let changes = std::mem::take(&mut self.unsynced[*file]);
                changes.iter().for_each(|change| change.make(&mut self.synced[*file]));
            }
            Event::FailedSync(file) => {
                let changes = std::mem::take(&mut self.unsynced[*file]);
                let kept = Loss::Sectors.survivors(&changes, random);
                kept.iter().for_each(|change| change.make(&mut self.synced[*file]));
            }
            Event::Named(number, file) => self.name(*number, *file),
        }
    }

    /// The disk after a power loss now.
    pub(crate) fn image(&self, loss: Loss, random: &mut Random) -> Image {
        let mut files = self.synced.clone();
        for (bytes, changes) in files.iter_mut().zip(&self.unsynced) {
            loss.survivors(changes, random).iter().for_each(|change| change.make(bytes));
        }
        Image {
            #[cfg(test)]
            acknowledged: self.acknowledged,
            files,
            segments: self.segments.clone(),
        }
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
    /// One bit of what is read is wrong, and so it is each time that it is read, until mended.
    Stuck,
}

impl Fault {
    #[cfg(test)]
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

#[derive(Debug)]
struct World {
    /// Where the events begin.
    base: Moment,
    live: Vec<File>,
    /// Which files the segments are.
    segments: BTreeMap<u64, usize>,
    events: Vec<Event>,
    /// Operations of each kind on each file, and on all segments, since the last arming.
    #[cfg(test)]
    operations: [[u64; 7]; FILES + 1],
    armed: Option<Armed>,
    /// A bit that is read wrong: of which file, of which byte, and the bit.
    stuck: Option<(usize, u64, u8)>,
    fired: bool,
    /// Something was done wrong since the arming.
    hit: bool,
    set_aside: u64,
}

impl World {
    fn of(image: Image) -> Self {
        Self {
            live: image.files.clone(),
            segments: image.segments.clone(),
            base: Moment::of(image),
            events: Vec::new(),
            #[cfg(test)]
            operations: Default::default(),
            armed: None,
            stuck: None,
            fired: false,
            hit: false,
            set_aside: 0,
        }
    }

    /// Counts an operation of this kind; says whether it goes wrong, and where.
    fn wrong(&mut self, file: usize, fault: Fault) -> Option<usize> {
        let file = file.min(SEGMENTS);
        #[cfg(test)]
        {
            self.operations[file][fault as usize] += 1;
        }
        let armed = self.armed.as_mut().filter(|armed| (armed.file, armed.fault) == (file, fault))?;
        if armed.left > 0 {
            armed.left -= 1;
            return None;
        }
        let place = armed.place;
        self.armed = self.armed.filter(|armed| armed.fault.lasts());
        self.fired = true;
        self.hit |= !matches!(fault, Fault::Flip | Fault::Stuck);
        Some(place)
    }

    fn change(&mut self, file: usize, change: Change) {
        change.make(&mut self.live[file]);
        self.events.push(Event::Change(file, change));
    }
}

/// The machine. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Machine(Arc<Mutex<World>>);

impl Default for Machine {
    fn default() -> Self {
        Self::after(&Image {
            #[cfg(test)]
            acknowledged: 0,
            files: vec![File::default(); FILES],
            segments: BTreeMap::new(),
        })
    }
}

impl Machine {
    /// A machine that comes up again with what the image holds.
    pub(crate) fn after(image: &Image) -> Self {
        Self(Arc::new(Mutex::new(World::of(image.clone()))))
    }

    /// What another process finds that opens the files now, no power lost.
    pub(crate) fn live(&self) -> Image {
        let world = self.0.lock().unwrap();
        #[cfg(test)]
        let since = world.events.iter().filter(|event| matches!(event, Event::Acknowledged)).count() as u64;
        Image {
            #[cfg(test)]
            acknowledged: world.base.acknowledged + since,
            files: world.live.clone(),
            segments: world.segments.clone(),
        }
    }

    /// Forgets which moments led here: they begin now.
    pub(crate) fn forget(&self, random: &mut Random) {
        let world = &mut *self.0.lock().unwrap();
        for event in world.events.drain(..) {
            world.base.pass(&event, random);
        }
    }

    /// Lets so many operations on a file go well, then one go wrong.
    pub(crate) fn arm(&self, file: usize, fault: Fault, left: u64, place: usize) {
        let mut world = self.0.lock().unwrap();
        world.armed = Some(Armed { file, fault, left, place });
        world.stuck = None;
        world.fired = false;
        world.hit = false;
        #[cfg(test)]
        {
            world.operations = Default::default();
        }
    }

    /// Makes everything go well again.
    pub(crate) fn mend(&self) {
        let mut world = self.0.lock().unwrap();
        (world.armed, world.stuck) = (None, None);
    }

    /// Whether the fault that it was armed with has come about.
    pub(crate) fn has_hit(&self) -> bool {
        self.0.lock().unwrap().hit
    }

    /// State files that were set aside.
    pub(crate) fn set_aside(&self) -> u64 {
        self.0.lock().unwrap().set_aside
    }

    /// Goes through all moments since the beginning: before each operation, and at the end. `None` of a visit ends it.
    pub(crate) fn moments(&self, random: &mut Random, mut visit: impl FnMut(&Moment, &mut Random) -> Option<()>) {
        let (mut moment, events) = {
            let world = self.0.lock().unwrap();
            (world.base.clone(), world.events.clone())
        };
        for event in events.iter().map(Some).chain([None]) {
            #[cfg(test)]
            {
                moment.before_sync = matches!(event, None | Some(Event::Sync(_) | Event::FailedSync(_)));
            }
            if visit(&moment, random).is_none() {
                return;
            }
            event.into_iter().for_each(|event| moment.pass(event, random));
        }
    }

    /// The disk after a power loss when so many operations were done since the beginning.
    pub(crate) fn image_after(&self, operations: usize, loss: Loss, random: &mut Random) -> Image {
        let (mut left, mut image) = (operations, None);
        self.moments(random, |moment, random| {
            let reached = left == 0;
            left = left.saturating_sub(1);
            if reached {
                image = Some(moment.image(loss, random));
            }
            (!reached).then_some(())
        });
        image.unwrap_or_else(|| self.live())
    }

    /// Operations since the beginning.
    pub(crate) fn operations_count(&self) -> usize {
        self.0.lock().unwrap().events.len()
    }

    fn backend(&self, file: usize) -> Backend {
        Box::new(SimBackend { world: self.0.clone(), file })
    }
}

/// What only the store's tests ask.
#[cfg(test)]
impl Machine {
    /// Says that one more append returned.
    pub(crate) fn acknowledge(&self) {
        self.0.lock().unwrap().events.push(Event::Acknowledged);
    }

    /// Forgets what led here: moments begin now. All was synced.
    pub(crate) fn begin(&self) {
        let image = self.live();
        let mut world = self.0.lock().unwrap();
        world.base = Moment::of(image);
        world.events.clear();
    }

    /// Whether the fault has come.
    pub(crate) fn fired(&self) -> bool {
        self.0.lock().unwrap().fired
    }

    /// Operations of a kind on a file since the last arming.
    pub(crate) fn operations(&self, file: usize, fault: Fault) -> u64 {
        self.0.lock().unwrap().operations[file][fault as usize]
    }

    /// The number of moments.
    pub(crate) fn moments_count(&self) -> usize {
        self.operations_count() + 1
    }
}

#[derive(Debug)]
struct SimBackend {
    world: Arc<Mutex<World>>,
    file: usize,
}

impl SimBackend {
    /// Which bit of what is read is wrong: of the bytes that say something. Those of a write-ahead log and of segments are
    /// under a key that is another one in each run.
    fn bit(&self, place: usize, read: &[u8]) -> Option<(usize, u8)> {
        let used: Vec<usize> = (0..read.len()).filter(|at| self.file >= WAL || read[*at] != 0).collect();
        used.get(place % used.len().max(1)).map(|at| (*at, 1 << (place % 8)))
    }
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
        if !world.live[self.file].read(offset as usize, out) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((at, bit)) = world.wrong(self.file, Fault::Flip).and_then(|place| self.bit(place, out)) {
            out[at] ^= bit;
            world.hit = true;
        }
        if let Some((at, bit)) = world.wrong(self.file, Fault::Stuck).and_then(|place| self.bit(place, out)) {
            world.stuck = Some((self.file, offset + at as u64, bit));
        }
        if let Some((_, at, bit)) = world.stuck.filter(|(file, ..)| *file == self.file)
            && let Some(byte) = at.checked_sub(offset).and_then(|at| out.get_mut(at as usize))
        {
            *byte ^= bit;
            world.hit = true;
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
                let part = Bytes::copy_from_slice(&data[..place % data.len()]);
                world.change(self.file, Change::Write(offset, part));
            }
            return Err(no_space());
        }
        world.change(self.file, Change::written(offset, data));
        Ok(())
    }
}
