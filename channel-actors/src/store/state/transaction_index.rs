//! Where every transaction is: the index of `state.redb`, written in runs.
//!
//! Ids are hashes. In one tree over all of them every checkpoint would touch every page, and cost more the longer the
//! history is. So a checkpoint writes its ids as a run of its own, in their order, and merges the runs before it into
//! it as long as they are not much larger and fit: an id is written again a few times in its life, whatever follows.
//! A run is cut into buckets by the first bits of an id, so that the record that could hold it is computed. Filters in
//! memory tell nearly always which runs do not hold it.
//!
//! Always: an id is in one run; every bucket of a run has a record; runs are never changed, only merged into new ones.

use crate::store::error::StoreError;
use crate::store::file::check::{CHECK_BYTES, check};
use crate::store::file::throttle::Paced;
use crate::store::state::memtable::Location;
use crate::store::state::record::STATE_FORMAT;
use ledger_classes::primitives::hash::Hash;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Runs by number: how many ids and buckets each has, and its filter.
pub(in crate::store) const RUNS: TableDefinition<u64, &[u8]> = TableDefinition::new("runs");
/// Buckets by run and number.
pub(in crate::store) const TRANSACTIONS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("transactions");

/// Ids of a merged run at most: what one checkpoint writes at once is bounded by this, or by what waited for it.
const RUN_IDS_MAX: u64 = 1 << 21;
/// A run is merged with the one before it unless that is more than so many times as large.
const MERGE_RATIO: u64 = 3;
/// Ids of a bucket on average: it fits into a page.
const BUCKET_IDS: u64 = 64;
/// Bytes of filters in memory at most, for some 50 million ids; a lookup reads a record of every older run.
const FILTERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Id, height, position.
const ENTRY_BYTES: usize = 32 + 8 + 4;

type IndexEntry = [u8; ENTRY_BYTES];

fn entry((id, (height, position)): &(Hash, Location)) -> IndexEntry {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..32].copy_from_slice(&id.0);
    bytes[32..40].copy_from_slice(&height.to_le_bytes());
    bytes[40..].copy_from_slice(&position.to_le_bytes());
    bytes
}

fn location(entry: &[u8]) -> Option<Location> {
    let (height, position) = entry.get(32..)?.split_first_chunk()?;
    Some((u64::from_le_bytes(*height), u32::from_le_bytes(position.try_into().ok()?)))
}

/// The `place`-th word of an id: a number as good as random.
fn word(id: &[u8], place: usize) -> u64 {
    let bytes = id.get(4 * place..4 * place + 4).and_then(|bytes| bytes.try_into().ok());
    u64::from(u32::from_be_bytes(bytes.unwrap_or_default()))
}

/// The bucket of an id among `buckets`; it rises with the id.
fn bucket_of(id: &[u8], buckets: u32) -> u32 {
    u32::try_from((word(id, 0) * u64::from(buckets)) >> 32).expect("below the number of buckets")
}

fn key_of(run: u64, bucket: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&run.to_be_bytes());
    key[8..].copy_from_slice(&bucket.to_be_bytes());
    key
}

/// A Bloom filter whose bits for one id share a line of the cache. Ids are hashes, so their words are its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter(Vec<u8>);

impl Filter {
    const BLOCK: usize = 64;
    const BITS_PER_ID: u64 = 10;
    const PROBES: usize = 7;

    fn new(ids: u64) -> Self {
        let blocks = (ids * Self::BITS_PER_ID).div_ceil(8 * Self::BLOCK as u64).max(1);
        Self(vec![0; usize::try_from(blocks).expect("filters fit into memory") * Self::BLOCK])
    }

    /// The block of an id and the bits in it. The first word chooses the bucket, so that it is not used here.
    fn places(&self, id: &[u8]) -> (usize, impl Iterator<Item = (usize, u8)> + use<>) {
        let blocks = self.0.len() / Self::BLOCK;
        let block = usize::try_from((word(id, 1) * blocks as u64) >> 32).expect("below the number of blocks");
        let (base, step) = (word(id, 2), word(id, 3) | 1);
        let bit =
            move |probe: usize| (base.wrapping_add(step.wrapping_mul(probe as u64)) >> 3) % (8 * Self::BLOCK as u64);
        (block * Self::BLOCK, (0..Self::PROBES).map(move |probe| ((bit(probe) / 8) as usize, 1 << (bit(probe) % 8))))
    }

    fn insert(&mut self, id: &[u8]) {
        let (block, bits) = self.places(id);
        bits.for_each(|(byte, bit)| self.0[block + byte] |= bit);
    }

    /// False only for what was not inserted.
    fn may_hold(&self, id: &[u8]) -> bool {
        let (block, mut bits) = self.places(id);
        bits.all(|(byte, bit)| self.0[block + byte] & bit != 0)
    }
}

#[derive(Clone, Debug)]
struct Run {
    number: u64,
    ids: u64,
    buckets: u32,
    /// Not of old runs in a long history.
    filter: Option<Arc<Filter>>,
}

impl Run {
    /// Version, ids, buckets.
    const HEAD_BYTES: usize = 1 + 8 + 4;

    fn encode(&self, filter: &Filter) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEAD_BYTES + filter.0.len() + CHECK_BYTES);
        bytes.push(STATE_FORMAT);
        bytes.extend_from_slice(&self.ids.to_le_bytes());
        bytes.extend_from_slice(&self.buckets.to_le_bytes());
        bytes.extend_from_slice(&filter.0);
        let check = check(&self.number.to_be_bytes(), &bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    fn decode(number: u64, record: &[u8]) -> Option<Self> {
        let (content, found) = record.split_last_chunk()?;
        let (&version, rest) = content.split_first()?;
        let (ids, rest) = rest.split_first_chunk()?;
        let (buckets, filter) = rest.split_first_chunk()?;
        let (ids, buckets) = (u64::from_le_bytes(*ids), u32::from_le_bytes(*buckets));
        let sound = version == STATE_FORMAT
            && buckets > 0
            && !filter.is_empty()
            && filter.len().is_multiple_of(Filter::BLOCK)
            && check(&number.to_be_bytes(), content) == *found;
        sound.then(|| Self { number, ids, buckets, filter: Some(Arc::new(Filter(filter.to_vec()))) })
    }
}

/// The record of a run does not match its check.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the record of run {number} does not match its check")]
pub(in crate::store) struct DamagedRun {
    number: u64,
}

/// The runs of the file when it reflects so many blocks.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Runs {
    pub(in crate::store) reflects: u64,
    /// Oldest first.
    runs: Vec<Run>,
}

impl Runs {
    /// Reads what runs there are; the inner error says what is broken.
    pub(in crate::store) fn load(
        table: &impl ReadableTable<u64, &'static [u8]>,
        reflects: u64,
    ) -> Result<Result<Self, DamagedRun>, redb::Error> {
        let (mut runs, mut bytes) = (Vec::new(), 0);
        // Newest first: of those whose filters do not fit, not even one is held at a time.
        for record in table.iter()?.rev() {
            let (number, record) = record?;
            let Some(mut run) = Run::decode(number.value(), record.value()) else {
                return Ok(Err(DamagedRun { number: number.value() }));
            };
            bytes += run.filter.as_ref().map_or(0, |filter| filter.0.len());
            run.filter = run.filter.filter(|_| bytes <= FILTERS_BYTES_MAX);
            runs.push(run);
        }
        runs.reverse();
        Ok(Ok(Self { reflects, runs }))
    }

    /// Records of the table of buckets. A run that a rotten page hides is noticed by them.
    pub(in crate::store) fn buckets(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.buckets)).sum()
    }

    fn within_memory(mut self) -> Self {
        let mut bytes = 0;
        for run in self.runs.iter_mut().rev() {
            bytes += run.filter.as_ref().map_or(0, |filter| filter.0.len());
            if bytes > FILTERS_BYTES_MAX {
                run.filter = None;
            }
        }
        self
    }

    /// Where a transaction is. `table` is of a file that reflects as many blocks as these runs.
    pub(in crate::store) fn find(
        &self,
        table: &ReadOnlyTable<(u64, u32), &'static [u8]>,
        id: &Hash,
    ) -> Result<Option<Location>, StoreError> {
        for run in self.runs.iter().rev() {
            if run.filter.as_ref().is_some_and(|filter| !filter.may_hold(&id.0)) {
                continue;
            }
            let bucket = bucket_of(&id.0, run.buckets);
            let record = table.get((run.number, bucket)).map_err(StoreError::disk("reading the index"))?;
            let record = record.as_ref().map(|record| record.value());
            let Some(entries) = record.and_then(|record| entries_of(run.number, bucket, record)) else {
                return Err(StoreError::StateCorrupt(rotten(run.number, bucket)));
            };
            let place = entries.binary_search_by(|entry| entry[..32].cmp(&id.0));
            if let Ok(place) = place {
                return Ok(location(&entries[place]));
            }
        }
        Ok(None)
    }

    /// Writes `new`, which is in the order of ids, as the newest run; `before` is the file as it was. Returns the
    /// runs of the file that will reflect so many blocks.
    pub(in crate::store) fn write(
        &self,
        before: &ReadTransaction,
        transaction: &WriteTransaction,
        paced: &Paced,
        new: &[(Hash, Location)],
        reflects: u64,
    ) -> Result<Self, redb::Error> {
        let mut runs = self.runs.clone();
        if new.is_empty() {
            return Ok(Self { reflects, runs });
        }
        let number = runs.last().map_or(0, |run| run.number + 1);
        let (mut ids, mut merged) = (new.len() as u64, Vec::new());
        let fits = |run: &mut Run, ids| run.ids <= MERGE_RATIO * ids && run.ids + ids <= RUN_IDS_MAX;
        while let Some(run) = runs.pop_if(|run| fits(run, ids)) {
            ids += run.ids;
            merged.push(run);
        }
        let old = before.open_table(TRANSACTIONS)?;
        let mut table = transaction.open_table(TRANSACTIONS)?;
        let buckets = u32::try_from(ids.div_ceil(BUCKET_IDS)).unwrap_or(u32::MAX).max(1);
        let mut filter = Filter::new(ids);
        let mut sources = vec![Source::New(new.iter())];
        sources.extend(merged.iter().map(|run| Source::Old { run, table: &old, bucket: 0, entries: Vec::new() }));
        let (mut bucket, mut record) = (0, vec![STATE_FORMAT]);
        let mut put = |bucket: u32, record: &mut Vec<u8>| -> Result<(), redb::Error> {
            let check = check(&key_of(number, bucket), record);
            record.extend_from_slice(&check);
            table.insert((number, bucket), record.as_slice())?;
            record.truncate(1);
            Ok(paced.rest()?)
        };
        let mut written = 0;
        for entry in Merge::new(sources)? {
            let entry = entry?;
            let its = bucket_of(&entry, buckets);
            while bucket < its {
                put(bucket, &mut record)?;
                bucket += 1;
            }
            filter.insert(&entry);
            record.extend_from_slice(&entry);
            written += 1;
        }
        while bucket < buckets {
            put(bucket, &mut record)?;
            bucket += 1;
        }
        if written != ids {
            return Err(redb::Error::Corrupted(format!("the index has {written} of {ids} transactions")));
        }
        for run in &merged {
            for bucket in 0..run.buckets {
                table.remove((run.number, bucket))?;
            }
        }
        // redb ends the process when opening a table panics over a rotten page beside one that is open.
        drop(table);
        let mut index = transaction.open_table(RUNS)?;
        for run in &merged {
            index.remove(run.number)?;
        }
        let mut run = Run { number, ids, buckets, filter: None };
        index.insert(number, run.encode(&filter).as_slice())?;
        run.filter = Some(Arc::new(filter));
        runs.push(run);
        Ok(Self { reflects, runs }.within_memory())
    }
}

fn rotten(run: u64, bucket: u32) -> String {
    format!("bucket {bucket} of run {run} of the index does not match its check")
}

/// The entries of a bucket's record, if it is sound.
fn entries_of(run: u64, bucket: u32, record: &[u8]) -> Option<&[IndexEntry]> {
    let (content, found) = record.split_last_chunk()?;
    match content {
        [STATE_FORMAT, entries @ ..] if check(&key_of(run, bucket), content) == *found => {
            let (entries, rest) = entries.as_chunks();
            rest.is_empty().then_some(entries)
        }
        _ => None,
    }
}

/// Entries in the order of their ids.
enum Source<'a> {
    New(std::slice::Iter<'a, (Hash, Location)>),
    Old {
        run: &'a Run,
        table: &'a ReadOnlyTable<(u64, u32), &'static [u8]>,
        bucket: u32,
        /// Of the bucket before, last first.
        entries: Vec<IndexEntry>,
    },
}

impl Source<'_> {
    fn next(&mut self) -> Result<Option<IndexEntry>, redb::Error> {
        match self {
            Self::New(new) => Ok(new.next().map(entry)),
            Self::Old { run, table, bucket, entries } => loop {
                if let Some(entry) = entries.pop() {
                    return Ok(Some(entry));
                }
                if *bucket == run.buckets {
                    return Ok(None);
                }
                let record = table.get((run.number, *bucket))?;
                let record = record.as_ref().map(|record| record.value());
                let Some(found) = record.and_then(|record| entries_of(run.number, *bucket, record)) else {
                    return Err(redb::Error::Corrupted(rotten(run.number, *bucket)));
                };
                *entries = found.iter().rev().copied().collect();
                *bucket += 1;
            },
        }
    }
}

/// All sources together in the order of ids.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    next: BinaryHeap<Reverse<(IndexEntry, usize)>>,
}

impl<'a> Merge<'a> {
    fn new(mut sources: Vec<Source<'a>>) -> Result<Self, redb::Error> {
        let mut next = BinaryHeap::with_capacity(sources.len());
        for (place, source) in sources.iter_mut().enumerate() {
            next.extend(source.next()?.map(|entry| Reverse((entry, place))));
        }
        Ok(Self { sources, next })
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<IndexEntry, redb::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first = self.next.peek_mut()?;
        let Reverse((entry, place)) = *first;
        match self.sources[place].next() {
            Ok(Some(following)) => *first = Reverse((following, place)),
            Ok(None) => drop(std::collections::binary_heap::PeekMut::pop(first)),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{Database, ReadableDatabase, ReadableTableMetadata, backends::InMemoryBackend};

    fn id(number: u64) -> Hash {
        Hash::plain(&[&number.to_le_bytes()])
    }

    fn place(number: u64) -> Location {
        (number / 7, u32::try_from(number % 7).expect("small"))
    }

    fn database() -> Database {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("a database");
        let transaction = database.begin_write().expect("writable");
        transaction.open_table(TRANSACTIONS).expect("a table");
        transaction.open_table(RUNS).expect("a table");
        transaction.commit().expect("committed");
        database
    }

    fn add(database: &Database, runs: &Runs, numbers: std::ops::Range<u64>) -> Runs {
        let mut new: Vec<_> = numbers.map(|number| (id(number), place(number))).collect();
        new.sort_unstable_by_key(|(id, _)| *id);
        let before = database.begin_read().expect("readable");
        let transaction = database.begin_write().expect("writable");
        let runs = runs.write(&before, &transaction, &unhurried(), &new, runs.reflects + 1).expect("written");
        transaction.commit().expect("committed");
        runs
    }

    fn loaded(database: &Database, reflects: u64) -> Runs {
        let transaction = database.begin_read().expect("readable");
        Runs::load(&transaction.open_table(RUNS).expect("a table"), reflects).expect("readable").expect("sound")
    }

    fn found(database: &Database, runs: &Runs, number: u64) -> Result<Option<Location>, StoreError> {
        let transaction = database.begin_read().expect("readable");
        runs.find(&transaction.open_table(TRANSACTIONS).expect("a table"), &id(number))
    }

    /// A pace for a file that is none.
    fn unhurried() -> Arc<Paced> {
        Paced::for_checkpoints(Box::new(InMemoryBackend::new()), usize::MAX)
    }

    #[test]
    fn every_id_is_found_in_its_place_and_no_other_after_any_merging() {
        let database = database();
        let (mut runs, mut end) = (Runs::default(), 0);
        for count in [1, 1, 0, 5, 1, 300, 2, 40, 1_000, 1, 1, 1, 4_000, 900, 3] {
            runs = add(&database, &runs, end..end + count);
            end += count;
            assert_eq!(runs.runs.iter().map(|run| run.ids).sum::<u64>(), end);
        }
        // Sizes fall by more than the ratio: few runs, whatever came.
        assert!(runs.runs.windows(2).all(|pair| pair[0].ids > MERGE_RATIO * pair[1].ids), "{:?}", runs.runs.len());
        let again = loaded(&database, runs.reflects);
        for runs in [&runs, &again] {
            for number in 0..end {
                assert_eq!(found(&database, runs, number).expect("sound"), Some(place(number)), "{number}");
            }
            assert!((end..3 * end).all(|number| found(&database, runs, number).expect("sound").is_none()));
        }
        // Nothing is left of runs that were merged.
        let transaction = database.begin_read().expect("readable");
        let buckets = transaction.open_table(TRANSACTIONS).expect("a table").len().expect("counted");
        assert_eq!(buckets, runs.runs.iter().map(|run| u64::from(run.buckets)).sum::<u64>());
        assert_eq!(transaction.open_table(RUNS).expect("a table").len().expect("counted"), runs.runs.len() as u64);
    }

    #[test]
    fn a_filter_knows_what_it_holds_and_little_else() {
        let mut filter = Filter::new(10_000);
        (0..10_000).for_each(|number| filter.insert(&id(number).0));
        assert!((0..10_000).all(|number| filter.may_hold(&id(number).0)));
        let wrong = (10_000..110_000).filter(|number| filter.may_hold(&id(*number).0)).count();
        assert!(wrong < 2_500, "{wrong} of 100,000");
    }

    #[test]
    fn old_runs_lose_their_filters_and_are_still_read() {
        let database = database();
        let runs = add(&database, &add(&database, &Runs::default(), 0..400), 400..410);
        let mut bare = runs.clone();
        bare.runs.iter_mut().for_each(|run| run.filter = None);
        assert_eq!(bare.runs.len(), 2);
        assert!((0..410).all(|number| found(&database, &bare, number).expect("sound") == Some(place(number))));
        assert_eq!(found(&database, &bare, 411).expect("sound"), None);
        let large = Arc::new(Filter(vec![0; FILTERS_BYTES_MAX]));
        let mut long = runs;
        long.runs.iter_mut().for_each(|run| run.filter = Some(large.clone()));
        let kept: Vec<bool> = long.within_memory().runs.iter().map(|run| run.filter.is_some()).collect();
        assert_eq!(kept, [false, true]);
    }

    #[test]
    fn rot_is_an_error_where_it_is_read_and_stops_a_merge() {
        let database = database();
        let runs = add(&database, &Runs::default(), 0..400);
        let bucket = bucket_of(&id(3).0, runs.runs[0].buckets);
        let change = |change: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>| {
            let transaction = database.begin_write().expect("writable");
            let mut table = transaction.open_table(TRANSACTIONS).expect("a table");
            let record = table.remove((0, bucket)).expect("removed").expect("there").value().to_vec();
            if let Some(record) = change(record) {
                table.insert((0, bucket), record.as_slice()).expect("inserted");
            }
            drop(table);
            transaction
        };
        for rot in [
            &(|mut record: Vec<u8>| {
                record[20] ^= 4;
                Some(record)
            }) as &dyn Fn(Vec<u8>) -> Option<Vec<u8>>,
            &|mut record| {
                record.truncate(1 + ENTRY_BYTES + CHECK_BYTES);
                Some(record)
            },
            &|_| None,
        ] {
            change(rot).commit().expect("committed");
            assert!(matches!(found(&database, &runs, 3), Err(StoreError::StateCorrupt(_))));
            let before = database.begin_read().expect("readable");
            let transaction = database.begin_write().expect("writable");
            let new: Vec<_> = vec![(id(900), place(900)); 1];
            let many: Vec<_> = (0..200).map(|_| new[0]).collect();
            assert!(matches!(
                runs.write(&before, &transaction, &unhurried(), &many, 2),
                Err(redb::Error::Corrupted(_))
            ));
            transaction.abort().expect("aborted");
            // Whole again.
            let transaction = database.begin_write().expect("writable");
            let mut table = transaction.open_table(TRANSACTIONS).expect("a table");
            let mut whole: Vec<_> = (0..400).map(|number| (id(number), place(number))).collect();
            whole.sort_unstable_by_key(|(id, _)| *id);
            let mut record = vec![STATE_FORMAT];
            let its = whole.iter().filter(|(id, _)| bucket_of(&id.0, runs.runs[0].buckets) == bucket);
            its.for_each(|known| record.extend_from_slice(&entry(known)));
            let check = check(&key_of(0, bucket), &record);
            record.extend_from_slice(&check);
            table.insert((0, bucket), record.as_slice()).expect("inserted");
            drop(table);
            transaction.commit().expect("committed");
            assert_eq!(found(&database, &runs, 3).expect("sound"), Some(place(3)));
        }
        let mut record = runs.runs[0].encode(&Filter::new(400));
        record[3] ^= 1;
        assert!(Run::decode(0, &record).is_none());
    }
}
