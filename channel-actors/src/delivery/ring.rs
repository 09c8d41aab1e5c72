//! What subscribers read: a notification that says only "look at what is there", a ring of recent blocks, and older ones
//! that were read lately. A subscription is a cursor of its reader's; nothing is kept here for it but its filter while it
//! waits, so a slow one slows nobody, and holds no block either.

use crate::block::committed::CommittedBlock;
use crate::limits::{LOOKS_MAX, NEWEST_KEPT_BYTES_MAX, RING_BLOCKS_MAX, RING_BYTES_MAX};
use crate::runtime::memory::Pool;
use ledger_classes::formats::rights::Class;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Recent blocks, and the height of the newest.
pub(crate) struct Ring {
    blocks: Mutex<Blocks>,
    older: Mutex<Older>,
    readers: Mutex<Readers>,
    memory: Arc<Pool>,
}

/// A reader's filter: events of this class and topic.
pub(crate) type Wants = Box<dyn Fn(Class, &str) -> bool + Send>;

/// Who waits for blocks.
struct Readers {
    /// The newest height that was told.
    newest: u64,
    waiting: HashMap<u64, Waiting>,
    number: u64,
}

struct Waiting {
    /// Every block up to this height is behind it.
    place: Arc<AtomicU64>,
    /// `None`: any block.
    wants: Option<Wants>,
    wake: oneshot::Sender<()>,
}

/// A place in [`Readers`].
struct Registered<'r> {
    ring: &'r Ring,
    number: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.ring.readers().waiting.remove(&self.number);
    }
}

/// Consecutive heights, ascending.
#[derive(Default)]
struct Blocks {
    /// With the bytes that each held when it was last looked at: frames are made when somebody asks.
    recent: VecDeque<(Arc<CommittedBlock>, usize)>,
    /// The sum of these.
    bytes: usize,
    /// Index of the next subscriber to inspect.
    next: usize,
}

/// Blocks that are looked at for each read and each commit.
const LOOKED_AT: usize = 8;

impl Blocks {
    /// `over`: all channels together hold more than they may.
    fn trim(&mut self, over: bool) {
        for _ in 0..LOOKED_AT.min(self.recent.len()) {
            self.next = (self.next + 1) % self.recent.len();
            if let Some((block, counted)) = self.recent.get_mut(self.next) {
                let before = std::mem::replace(counted, block.held());
                self.bytes = self.bytes - before + *counted;
            }
        }
        let too_much = |blocks: &Self| {
            let alone = blocks.recent.len() <= 1;
            blocks.recent.len() > RING_BLOCKS_MAX
                || ((over || blocks.bytes > RING_BYTES_MAX) && !alone)
                || (over && blocks.bytes > NEWEST_KEPT_BYTES_MAX)
        };
        while too_much(self) {
            let Some((_, counted)) = self.recent.pop_front() else { break };
            self.bytes -= counted;
            self.next = self.next.saturating_sub(1);
        }
    }
}

/// Older blocks that were read lately: those who are at the same one share it with its frames.
#[derive(Default)]
struct Older {
    blocks: HashMap<u64, Arc<CommittedBlock>>,
    /// Their heights in the order of coming.
    order: VecDeque<u64>,
    /// Reads since it was last looked how much they hold.
    reads: usize,
}

/// Reads of older blocks between two looks at all of them.
const OLDER_READS: usize = 16;

impl Older {
    fn find(&mut self, height: u64, over: bool) -> Option<Arc<CommittedBlock>> {
        self.reads += 1;
        if self.reads >= OLDER_READS {
            self.trim(over);
        }
        self.blocks.get(&height).cloned()
    }

    fn insert(&mut self, height: u64, block: Arc<CommittedBlock>, over: bool) {
        self.blocks.insert(height, block);
        self.order.push_back(height);
        self.trim(over);
    }

    fn trim(&mut self, over: bool) {
        self.reads = 0;
        let mut bytes: usize = self.blocks.values().map(|block| block.held()).sum();
        let most = if over { 0 } else { RING_BYTES_MAX };
        let alone = if over { NEWEST_KEPT_BYTES_MAX } else { usize::MAX };
        while self.order.len() > RING_BLOCKS_MAX || (bytes > most && (self.order.len() > 1 || bytes > alone)) {
            let Some(oldest) = self.order.pop_front().and_then(|height| self.blocks.remove(&height)) else { break };
            bytes = bytes.saturating_sub(oldest.held());
        }
    }
}

impl Ring {
    pub(crate) fn new(height: u64, memory: Arc<Pool>) -> Self {
        let readers = Readers { newest: height, waiting: HashMap::new(), number: 0 };
        Self { blocks: Mutex::default(), older: Mutex::default(), readers: Mutex::new(readers), memory }
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next block and tells those who wait for something in it. `all` if it is everybody's matter, such as a
    /// change of rights. Others are moved past it.
    pub(crate) fn publish(&self, block: Arc<CommittedBlock>, all: bool) {
        let height = block.block.header.height;
        block.count_in(&self.memory);
        let mut blocks = self.lock();
        let held = block.held();
        blocks.bytes += held;
        blocks.recent.push_back((block.clone(), held));
        blocks.trim(self.memory.is_over());
        drop(blocks);
        let mut readers = self.readers();
        readers.newest = height;
        let contents = block.looked_through().then(|| block.contents());
        // They look for themselves if nobody has yet, or if telling them apart would hold up the channel.
        let contents = contents.filter(|contents| !all && contents.kinds() * readers.waiting.len() <= LOOKS_MAX);
        let told: Vec<Waiting> = readers
            .waiting
            .extract_if(|_, waiting| {
                if !all && height <= waiting.place.load(Ordering::Relaxed) {
                    return false;
                }
                let nothing = contents.zip(waiting.wants.as_ref()).is_some_and(|(all, wants)| !all.any(wants));
                if nothing {
                    waiting.place.store(height, Ordering::Relaxed);
                }
                !nothing
            })
            .map(|(_, waiting)| waiting)
            .collect();
        drop(readers);
        for Waiting { wake, .. } in told {
            // Who is gone needs no waking.
            let _ = wake.send(());
        }
    }

    /// Whether somebody waits, so that it pays to look through the next block before it is published.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.readers().waiting.is_empty()
    }

    /// The newest height that was told.
    pub(crate) fn newest(&self) -> u64 {
        self.readers().newest
    }

    /// Waits until a block above `place` has to be looked at: one with something that is wanted, or any if `wants` is
    /// `None`. `place` is moved over blocks without, also if the waiting is given up.
    pub(crate) async fn wait(&self, place: &Arc<AtomicU64>, wants: Option<Wants>) {
        let (wake, woken) = oneshot::channel();
        let registered = {
            let mut readers = self.readers();
            if readers.newest > place.load(Ordering::Relaxed) {
                return;
            }
            readers.number += 1;
            let number = readers.number;
            readers.waiting.insert(number, Waiting { place: place.clone(), wants, wake });
            Registered { ring: self, number }
        };
        // It is dropped unsent by nobody but `registered`.
        let _ = woken.await;
        drop(registered);
    }

    /// A block, if it is recent.
    pub(crate) fn block(&self, height: u64) -> Option<Arc<CommittedBlock>> {
        let mut blocks = self.lock();
        blocks.trim(self.memory.is_over());
        let first = blocks.recent.front()?.0.block.header.height;
        blocks.recent.get(usize::try_from(height.checked_sub(first)?).ok()?).map(|(block, _)| block.clone())
    }

    /// A block that has left the ring, if it was read lately; else what `load` finds.
    pub(crate) fn older<E>(
        &self,
        height: u64,
        load: impl FnOnce() -> Result<Option<CommittedBlock>, E>,
    ) -> Result<Option<Arc<CommittedBlock>>, E> {
        let lock = || self.older.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.memory.is_over();
        if let Some(block) = lock().find(height, over) {
            return Ok(Some(block));
        }
        let Some(block) = load()?.map(Arc::new) else { return Ok(None) };
        let mut older = lock();
        // Whoever was quicker has its block shared.
        if let Some(block) = older.find(height, over) {
            return Ok(Some(block));
        }
        block.count_in(&self.memory);
        older.insert(height, block.clone(), self.memory.is_over());
        Ok(Some(block))
    }

    /// Forgets the blocks, as the channel is suspended: who wants one gets it from the store.
    pub(crate) fn forget(&self) {
        *self.lock() = Blocks::default();
        *self.older.lock().unwrap_or_else(PoisonError::into_inner) = Older::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::committed::Frame;
    use crate::test_support::config;
    use ledger_classes::chain;
    use ledger_classes::formats::detail::Detail;
    use ledger_classes::formats::event::Event;
    use ledger_classes::formats::outcome::ResultCode;
    use ledger_classes::formats::receipt::Receipt;
    use ledger_classes::formats::rights::Class;
    use ledger_classes::primitives::amount::Amount;
    use ledger_classes::primitives::hash::Hash;

    fn block(height: u64) -> Arc<CommittedBlock> {
        about(height, &[])
    }

    /// A block with these assets' events.
    fn about(height: u64, assets: &[&str]) -> Arc<CommittedBlock> {
        let (mut block, _) = chain::genesis(&config()).expect("valid");
        block.header.height = height;
        let events: Vec<_> = assets.iter().map(|asset| Event::AssetPaused { asset: (*asset).into() }).collect();
        let receipt = Receipt::new(Hash::ZERO, height, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, &events);
        Arc::new(CommittedBlock::new(block, Hash::ZERO, vec![Arc::new(receipt)]))
    }

    /// Frames with evidence are many times larger than their block; only the block was counted.
    #[test]
    fn frames_count_against_the_rings_bytes() {
        let ring = Ring::new(0, Arc::default());
        let bytes = vec![0; RING_BYTES_MAX * 2 / 3];
        let frame = || Frame { event: 0, class: Class::Logs, topic: String::new(), bytes: bytes.clone().into() };
        for height in 1..=3 {
            let block = block(height);
            ring.publish(block.clone(), false);
            assert_eq!(block.frames(true, 0, |_| vec![frame()]).len(), 1);
            assert_eq!(block.frames(true, 0, |_| vec![]).len(), 1, "made once");
            assert_eq!(block.frames(true, 1, |_| vec![frame()]).len(), 0, "no such receipt");
        }
        ring.publish(block(4), false);
        assert_eq!([1, 2, 3, 4].map(|height| ring.block(height).is_some()), [false, false, true, true]);
        assert_eq!(ring.newest(), 4);
        // Nobody commits any more, and a reader takes what is left with evidence.
        assert_eq!(ring.block(4).expect("recent").frames(true, 0, |_| vec![frame()]).len(), 1);
        assert_eq!([3, 4].map(|height| ring.block(height).is_some()), [false, true]);
    }

    /// Each channel had a bound of its own, and a hundred of them had a hundred times as much.
    #[test]
    fn all_channels_together_have_a_bound() {
        const CHANNELS: usize = 20;
        let memory = Arc::new(Pool::new(RING_BYTES_MAX));
        let rings: Vec<Ring> = (0..CHANNELS).map(|_| Ring::new(0, memory.clone())).collect();
        let bytes = bytes::Bytes::from(vec![0; NEWEST_KEPT_BYTES_MAX / 2]);
        let frame = || Frame { event: 0, class: Class::Logs, topic: String::new(), bytes: bytes.clone() };
        let mut most = 0;
        for height in 1..=10 {
            for ring in &rings {
                let block = block(height);
                ring.publish(block.clone(), false);
                block.frames(true, 0, |_| vec![frame()]);
                let old = ring.older(1_000 + height, || Ok::<_, ()>(Arc::into_inner(about(1_000 + height, &[]))));
                old.expect("loads").expect("there").frames(true, 0, |_| vec![frame()]);
                most = most.max(memory.held());
            }
        }
        // Two blocks of each channel are what readers are at.
        let bound = RING_BYTES_MAX + CHANNELS * 2 * NEWEST_KEPT_BYTES_MAX;
        assert!(most <= bound, "{most} bytes");
        assert!(rings.iter().all(|ring| ring.block(10).is_some()), "small blocks are there for whoever waits");
        drop(rings);
        assert_eq!(memory.held(), 0);
    }

    /// A reader of one asset, polled by hand.
    struct Reader<'r> {
        place: Arc<AtomicU64>,
        waits: std::pin::Pin<Box<dyn Future<Output = ()> + 'r>>,
    }

    fn reader<'r>(ring: &'r Ring, place: u64, asset: Option<&'static str>) -> Reader<'r> {
        let place = Arc::new(AtomicU64::new(place));
        let wants =
            asset.map(|asset| Box::new(move |class, topic: &str| class == Class::Assets && topic == asset) as Wants);
        let mine = place.clone();
        Reader { place, waits: Box::pin(async move { ring.wait(&mine, wants).await }) }
    }

    impl Reader<'_> {
        /// Whether it was told to look, and where it is.
        fn look(&mut self) -> (bool, u64) {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let told = self.waits.as_mut().poll(&mut context).is_ready();
            (told, self.place.load(Ordering::Relaxed))
        }
    }

    fn publish(ring: &Ring, height: u64, assets: &[&str], all: bool) {
        let block = about(height, assets);
        block.contents();
        ring.publish(block, all);
    }

    #[test]
    fn who_waits_is_told_of_what_it_wants_and_moved_past_the_rest() {
        let ring = Ring::new(5, Arc::default());
        let mut behind = reader(&ring, 4, Some("gold"));
        assert_eq!(behind.look(), (true, 4), "block 5 is there already");
        let [mut gold, mut any, mut later] =
            [(5, Some("gold")), (5, None), (7, Some("gold"))].map(|(place, asset)| reader(&ring, place, asset));
        assert!([&mut gold, &mut any, &mut later].iter_mut().all(|reader| !reader.look().0));
        publish(&ring, 6, &["tin"], false);
        assert_eq!([gold.look(), any.look(), later.look()], [(false, 6), (true, 5), (false, 7)]);
        publish(&ring, 7, &["tin", "gold"], false);
        assert_eq!([gold.look(), later.look()], [(true, 6), (false, 7)], "whoever begins later is not told");
        publish(&ring, 8, &[], false);
        assert_eq!(later.look(), (false, 8));
        let mut much_later = reader(&ring, 100, Some("gold"));
        assert_eq!(much_later.look(), (false, 100));
        publish(&ring, 9, &[], true);
        assert_eq!([later.look(), much_later.look()], [(true, 8), (true, 100)], "everybody's matter");
        assert!(!ring.is_waited_for());
    }

    #[test]
    fn who_gives_up_waiting_keeps_its_place_and_leaves_nothing() {
        let ring = Ring::new(1, Arc::default());
        let mut gold = reader(&ring, 1, Some("gold"));
        assert_eq!(gold.look(), (false, 1));
        publish(&ring, 2, &["tin"], false);
        assert!(ring.is_waited_for());
        let Reader { place, waits } = gold;
        drop(waits);
        assert_eq!(place.load(Ordering::Relaxed), 2);
        assert!(!ring.is_waited_for());
    }

    #[test]
    fn readers_look_for_themselves_where_telling_them_apart_takes_long() {
        let ring = Ring::new(1, Arc::default());
        let mut gold = reader(&ring, 1, Some("gold"));
        assert_eq!(gold.look(), (false, 1));
        ring.publish(about(2, &["tin"]), false);
        assert_eq!(gold.look(), (true, 1), "nobody had looked through it");

        let ring = Ring::new(1, Arc::default());
        let names: Vec<String> = (0..=LOOKS_MAX / 2).map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut readers = [1, 1].map(|place| reader(&ring, place, Some("gold")));
        assert!(readers.iter_mut().all(|reader| !reader.look().0));
        publish(&ring, 2, &names[1..], false);
        assert!(readers.iter_mut().all(|reader| reader.look() == (false, 2)));
        publish(&ring, 3, &names, false);
        assert!(readers.iter_mut().all(|reader| reader.look() == (true, 2)));
    }

    #[test]
    fn readers_of_the_past_share_blocks_within_bounds() {
        let ring = Ring::new(0, Arc::default());
        let load = |height: u64| Ok::<_, ()>(Arc::into_inner(block(height)));
        let first = ring.older(1, || load(1)).expect("loads").expect("there");
        let second = ring.older(1, || Err(())).expect("not loaded again").expect("there");
        assert!(Arc::ptr_eq(&first, &second));
        for height in 2..1_000 {
            assert!(ring.older(height, || load(height)).expect("loads").is_some());
        }
        let kept = || {
            let older = ring.older.lock().expect("whole");
            assert_eq!(older.blocks.len(), older.order.len());
            older.order.len()
        };
        assert_eq!(kept(), RING_BLOCKS_MAX);
        assert_eq!(ring.older(1, || Err(())).map(|_| ()), Err(()), "it was let go");
        assert_eq!(ring.older(5_000, || Ok::<_, ()>(None)).map(|block| block.is_none()), Ok(true));
        // What was made of a block counts.
        let newest = ring.older(999, || Err(())).expect("kept").expect("there");
        let bytes = vec![0; RING_BYTES_MAX];
        let frame = Frame { event: 0, class: Class::Logs, topic: String::new(), bytes: bytes.into() };
        assert_eq!(newest.frames(true, 0, |_| vec![frame]).len(), 1);
        for _ in 0..OLDER_READS {
            assert!(ring.older(999, || Err(())).is_ok());
        }
        assert_eq!(kept(), 1);
    }
}
