//! Where a directory of channels belongs, so that a copy of it is noticed: two peers that seal with one key would give
//! a channel two histories. docs/decisions/0017-backup-and-fence.md says what is noticed and what cannot be.
//!
//! A fence is a file in the directory. It names the peer's incarnation and the place where it was written: machine, file
//! system, inode and time of birth of the directory itself, which no copy shares. The incarnation is written beside the
//! seal key, too, so that a key with another directory is noticed. Whoever is behind a wrong fence reads, seals nothing
//! and issues nothing.

use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file in the directory of channels. No channel can have its name.
pub const FENCE: &str = "fence.place";
/// First line of a fence.
const FENCE_MAGIC: &str = "chancery/fence/1\n";
/// First line of an incarnation.
const INCARNATION_MAGIC: &str = "chancery/incarnation/1\n";
/// What it says beside a key that no peer has used.
const UNUSED: &str = "unused";
/// Bytes of either file that are read.
const BYTES_MAX: u64 = 4096;

/// One life of a peer: from its making, a restore or a move to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// Counts from 1.
    pub number: u64,
    /// 16 random bytes, hex: two copies that go on separately do not meet.
    pub id: String,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.id)
    }
}

impl Incarnation {
    /// The one after another, or the first.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn after(before: Option<&Self>) -> io::Result<Self> {
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let number = before.map_or(0, |before| before.number).saturating_add(1);
        Ok(Self { number, id: id.iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    /// From the form that [`fmt::Display`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, id) = text.split_once(' ')?;
        let of_form = id.len() == 32 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let made = Self { number: number.parse().ok()?, id: id.to_owned() };
        (of_form && made.number > 0 && made.to_string() == text).then_some(made)
    }

    /// Reads the file beside a seal key; `None` if there is none, or it says that the key is unused.
    ///
    /// # Errors
    /// It cannot be read, or is not of its form.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(match Beside::read(path)? {
            Beside::Used(incarnation) => Some(incarnation),
            Beside::Nothing | Beside::Unused => None,
        })
    }

    /// Says beside a new seal key that it was never used: only then a peer begins without being asked.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_unused(path: &Path) -> io::Result<()> {
        write(path, &format!("{INCARNATION_MAGIC}{UNUSED}\n"))
    }

    /// Writes it there, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write(path, &format!("{INCARNATION_MAGIC}{self}\n"))
    }
}

/// What the file beside a seal key says of its use.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Beside {
    /// The file is missing: the key was copied without it.
    Nothing,
    /// The key is new.
    Unused,
    Used(Incarnation),
}

impl Beside {
    fn read(path: &Path) -> io::Result<Self> {
        let Some(text) = read(path)? else { return Ok(Self::Nothing) };
        let said = text.strip_prefix(INCARNATION_MAGIC).and_then(|said| said.strip_suffix('\n'));
        match said.ok_or_else(|| of_form(path))? {
            UNUSED => Ok(Self::Unused),
            said => Incarnation::parse(said).map(Self::Used).ok_or_else(|| of_form(path)),
        }
    }

    const fn incarnation(&self) -> Option<&Incarnation> {
        match self {
            Self::Used(incarnation) => Some(incarnation),
            Self::Nothing | Self::Unused => None,
        }
    }
}

/// Where a directory is, as far as the system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FencePlace {
    /// Hash of the machine's id: the id itself is confidential (machine-id(5)). Empty where there is none.
    machine: String,
    /// The system's present run: device numbers hold for that long. Empty where it is not known.
    boot: String,
    device: u64,
    inode: u64,
    /// When the directory was made, seconds and nanoseconds; a copy is made later. Empty where the file system does not
    /// keep it.
    born: String,
}

/// The first line of a file, or nothing.
fn word(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

impl FencePlace {
    fn of(directory: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(directory)?;
        let machine = match word("/etc/machine-id") {
            // As in images that are run many times.
            id if id.is_empty() || id == "uninitialized" => String::new(),
            id => Hash::plain(&[b"chancery/machine/1", id.as_bytes()]).to_string(),
        };
        let born = statx(CWD, directory, AtFlags::empty(), StatxFlags::BTIME).ok();
        let born = born.filter(|found| found.stx_mask & StatxFlags::BTIME.bits() != 0);
        let born = born.map(|found| format!("{}.{:09}", found.stx_btime.tv_sec, found.stx_btime.tv_nsec));
        Ok(Self {
            machine,
            boot: word("/proc/sys/kernel/random/boot_id"),
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born.unwrap_or_default(),
        })
    }

    /// What differs from the place in a fence, if it is not the same.
    fn differs(&self, fenced: &Self) -> Option<&'static str> {
        let both = |one: &str, other: &str| !one.is_empty() && !other.is_empty();
        if both(&self.machine, &fenced.machine) && self.machine != fenced.machine {
            return Some("it was written on another machine");
        }
        if both(&self.boot, &fenced.boot) && self.boot == fenced.boot && self.device != fenced.device {
            return Some("it was written on another file system");
        }
        // File systems without lasting inodes give others at each mount, but keep when a directory was made.
        match both(&self.born, &fenced.born) {
            true if self.born != fenced.born => Some("it was written for another directory, of which this is a copy"),
            false if self.inode != fenced.inode => {
                Some("it was written for another directory, of which this is a copy")
            }
            _ => None,
        }
    }
}

/// A fence's content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fence {
    incarnation: Incarnation,
    place: FencePlace,
}

impl Fence {
    fn to_text(&self) -> String {
        let FencePlace { machine, boot, device, inode, born } = &self.place;
        let incarnation = &self.incarnation;
        format!(
            "{FENCE_MAGIC}incarnation {incarnation}\nmachine {machine}\nboot {boot}\ndevice {device}\ninode {inode}\n\
             born {born}\n"
        )
    }

    /// The fence of a directory, if it has one.
    fn read(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(FENCE);
        read(&path)?.map(|text| Self::parse(&text).ok_or_else(|| of_form(&path))).transpose()
    }

    /// What is wrong with it for a directory that is at `place`, beside a seal key of an incarnation if that is known.
    fn wrong(&self, place: &FencePlace, beside: Option<&Incarnation>) -> Option<String> {
        match beside {
            Some(beside) if self.incarnation != *beside => {
                Some(format!("its fence is of incarnation {}, the seal key of {beside}", self.incarnation))
            }
            // Without the file beside the key: whoever wrote the fence here did not come so far.
            _ => place.differs(&self.place).map(str::to_owned),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(FENCE_MAGIC)?.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let incarnation = Incarnation::parse(field("incarnation")?)?;
        let place = FencePlace {
            machine: field("machine")?.to_owned(),
            boot: field("boot")?.to_owned(),
            device: field("device")?.parse().ok()?,
            inode: field("inode")?.parse().ok()?,
            born: field("born")?.to_owned(),
        };
        let fence = Self { incarnation, place };
        (fence.to_text() == text).then_some(fence)
    }
}

/// What a peer that opens a directory brings along.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file beside its seal key.
    pub incarnation: PathBuf,
    /// The authorities' folder, if it has one. It has a fence of its own, of which only the place counts: the channels may
    /// be on a volume that two copies of the peer's directory share.
    pub authorities: PathBuf,
    /// An operator says that the directory was moved here, and that nobody seals with its key elsewhere.
    pub moved: bool,
}

/// Who a peer is behind its fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Its incarnation, if that is known.
    pub incarnation: Option<Incarnation>,
    /// Why it must neither seal nor issue.
    pub fenced: Option<String>,
}

impl Entry {
    /// Enters a directory, which the caller holds. Where nothing was before, and where an operator says that all was
    /// moved here, the fence is written anew.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn enter(&self, directory: &Path, has_channels: bool) -> io::Result<Entered> {
        let place = FencePlace::of(directory)?;
        let beside = Beside::read(&self.incarnation)?;
        let fence = Fence::read(directory)?;
        let wrong = self.wrong(directory, fence.as_ref(), &beside, has_channels)?;
        let beside = beside.incarnation();
        let raised = !self.authorities.is_dir() || self.authorities.join(FENCE).exists();
        let known = fence.as_ref().map(|fence| fence.incarnation.clone());
        match wrong {
            Some(_) if !self.moved => return Ok(Entered { incarnation: known, fenced: wrong }),
            None if !self.moved && raised && beside.is_some() && fence.is_some_and(|fence| fence.place == place) => {
                return Ok(Entered { incarnation: known, fenced: None });
            }
            _ => {}
        }
        let new = wrong.is_some() || self.moved || known.is_none();
        let before = known.iter().chain(beside).max_by_key(|known| known.number);
        let incarnation = match known.clone().filter(|_| !new) {
            Some(known) => known,
            None => Incarnation::after(before)?,
        };
        let written = raise(directory, &incarnation)
            .and_then(|()| if self.authorities.is_dir() { raise(&self.authorities, &incarnation) } else { Ok(()) })
            .and_then(|()| incarnation.write(&self.incarnation));
        // Device numbers are those of this run of the system from now on, if that can be written: a disk that takes no
        // writes now keeps nobody out.
        if new {
            written?;
        }
        Ok(Entered { incarnation: Some(incarnation), fenced: None })
    }

    /// What keeps a peer from entering, if anything.
    fn wrong(
        &self,
        directory: &Path,
        fence: Option<&Fence>,
        beside: &Beside,
        has_channels: bool,
    ) -> io::Result<Option<String>> {
        let wrong = match (fence, beside) {
            (None, Beside::Used(_)) => Some("it has no fence, and the seal key has been used behind one".into()),
            (None, _) if has_channels => Some("it has channels and no fence: it was put together by hand".into()),
            (None, Beside::Unused) => None,
            (None, Beside::Nothing) => Some(format!(
                "nothing says that the seal key is unused: {} is missing, as where the key was copied without it",
                self.incarnation.display()
            )),
            (Some(fence), beside) => fence.wrong(&FencePlace::of(directory)?, beside.incarnation()),
        };
        match wrong {
            None => self.authorities_wrong(),
            wrong => Ok(wrong),
        }
    }

    /// What is wrong with the place of the authorities' folder. One that no peer has served has no fence.
    fn authorities_wrong(&self) -> io::Result<Option<String>> {
        let Some(fence) = read_fence(&self.authorities)? else { return Ok(None) };
        let differs = FencePlace::of(&self.authorities)?.differs(&fence.place);
        Ok(differs.map(|why| format!("the fence of {}: {why}", self.authorities.display())))
    }

    /// Whether a peer that enters would be behind a wrong fence, for those who do not enter: why, and what to do. Where
    /// there is neither a seal key nor anything that one leaves behind is no peer, and only the authorities' folder counts.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged.
    pub fn look(&self, directory: &Path, seal_key: &Path) -> io::Result<Option<String>> {
        let (fence, beside) = (read_fence(directory)?, Beside::read(&self.incarnation)?);
        let is_peer = fence.is_some() || beside != Beside::Nothing || seal_key.exists();
        let wrong = match is_peer {
            true => self.wrong(directory, fence.as_ref(), &beside, has_channels(directory)?)?,
            false => self.authorities_wrong()?,
        };
        Ok(wrong.map(|why| explain(directory, &why)))
    }
}

/// The fence of what may be no directory.
fn read_fence(directory: &Path) -> io::Result<Option<Fence>> {
    match Fence::read(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        fence => fence,
    }
}

/// Whether a directory, if it is there, holds a channel.
///
/// # Errors
/// It cannot be read.
pub fn has_channels(directory: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if is_label(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a fence for the place where a directory is now.
///
/// # Errors
/// It cannot be written.
pub fn raise(directory: &Path, incarnation: &Incarnation) -> io::Result<()> {
    let path = directory.join(FENCE);
    // The first file in it may make another directory of one that comes from below an overlay.
    let first = path.with_extension("first");
    File::create(&first).and_then(|_| fs::remove_file(&first))?;
    let place = FencePlace::of(directory)?;
    write(&path, &Fence { incarnation: incarnation.clone(), place }.to_text())
}

/// Why a peer behind a wrong fence neither seals nor issues, and what to do.
pub fn explain(directory: &Path, why: &str) -> String {
    format!(
        "{} is not where it was: {why}; two peers with one seal key would give channels two histories, and two with one \
         CA would issue what the other does not know of; if it was moved here, and nobody seals or issues with these \
         keys elsewhere, start once with `serve --moved`",
        directory.display()
    )
}

fn of_form(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{} is damaged: restore a backup; or, if nobody seals or issues with these keys elsewhere, remove it and start \
             once with `serve --moved`",
            path.display()
        ),
    )
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => io::read_to_string(io::Read::take(file, BYTES_MAX)).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let written = files::write_private(path, text.as_bytes());
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
