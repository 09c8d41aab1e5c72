//! The thread of the peer's log: it takes all that waits, writes it, syncs once, and answers.
//!
//! Always: whoever asks is answered once, also when the thread panics or ends; while a batch is on its way to the disk, the
//! next one gathers.

use super::{
    BATCH_RECORDS_MAX, Failure, Lost, PeerLogCore, PeerLogOptions, PutError, Record, SegmentFiles, TakeError, What,
    Write,
};
use crate::runtime::tasks::Tasks;
use crate::store::error::StoreError;
use ledger_classes::primitives::hash::Hash;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of a batch after which the rest waits for the next one.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

type Done = Box<dyn FnOnce(Result<(), PutError>) + Send>;

/// The log of a peer. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct PeerLog(Arc<Handle>);

struct Handle(Arc<Shared>);

struct Shared {
    core: Mutex<PeerLogCore>,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Write, Answer)>,
    closing: bool,
}

/// Who waits for a record.
struct Answer(Option<Done>);

impl Answer {
    fn give(mut self, result: Result<(), PutError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Answer {
    /// Nobody wrote it.
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(ended().into()));
        }
    }
}

fn ended() -> Failure {
    Failure { kind: io::ErrorKind::Other, words: "its thread has ended in the middle of it".into() }
}

impl PeerLog {
    /// Opens the log and starts its thread, `peer-log`.
    ///
    /// # Errors
    /// [`PeerLogCore::open`], or the system has no more threads.
    pub fn open(files: Box<dyn SegmentFiles>, options: PeerLogOptions, tasks: &Tasks) -> Result<Self, StoreError> {
        let core = Mutex::new(PeerLogCore::open(files, options)?);
        let shared = Arc::new(Shared { core, queue: Mutex::default(), more: Condvar::new() });
        let works = shared.clone();
        tasks.thread("peer-log", move || works.work()).map_err(StoreError::disk("starting a thread"))?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// A channel's records, from its newest base on, or from its first one.
    ///
    /// # Errors
    /// Something of them cannot be read.
    pub fn take(&self, channel: &Hash) -> Result<Vec<Record>, TakeError> {
        match self.0.0.core.lock() {
            Ok(core) => core.take(channel),
            // What it knows may be half of it.
            Err(_) => Err(Lost { channel: *channel, sequence: 0 }.into()),
        }
    }

    /// Has something kept; `done` is called on the log's thread when it is on the disk, or why it is not. What is put first
    /// is written first.
    pub fn put(&self, channel: Hash, what: What, done: impl FnOnce(Result<(), PutError>) + Send + 'static) {
        let answer = Answer(Some(Box::new(done)));
        self.0.0.queue().waiting.push_back((Write { channel, what }, answer));
        self.0.0.more.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue().closing = true;
        self.0.more.notify_one();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, once something does; `None` when nothing will any more.
    fn next(&self) -> Option<(Vec<Write>, Vec<Answer>)> {
        let mut queue = self.queue();
        while queue.waiting.is_empty() {
            if queue.closing {
                return None;
            }
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        let count = queue.waiting.iter().take(BATCH_RECORDS_MAX).take_while(|(write, _)| {
            let fits = bytes < BATCH_BYTES_MAX;
            bytes += write.what.bytes();
            fits
        });
        let count = count.count();
        Some(queue.waiting.drain(..count).unzip())
    }

    fn work(&self) {
        while let Some((batch, answers)) = self.next() {
            let results = match self.core.lock() {
                Ok(mut core) => {
                    let written = core.write(&batch);
                    let synced = core.sync();
                    written.into_iter().map(|written| written.and(synced.clone().map_err(PutError::from))).collect()
                }
                // It panicked in the middle of a batch.
                Err(_) => vec![Err(PutError::from(ended())); batch.len()],
            };
            answers.into_iter().zip(results).for_each(|(answer, result)| answer.give(result));
        }
    }
}
