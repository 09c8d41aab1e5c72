//! Lines on their way to a writer that may be slow, full, closed, or never read.
//!
//! Whoever logs only copies a line into a queue with a bound in bytes; one thread writes. A line that finds the queue
//! full, or cannot be written whole, is lost and counted: [`LogLines::lost`] is a metric. Once lines are written again
//! after some were lost, the log says how many.
//! `tracing-appender` is not used: its queue is bound in lines only, it says nothing of lines that could not be written,
//! and when it ends with a full queue it prints to standard output, which may be closed, too.

use crate::limits::{LOG_FLUSH, LOG_QUEUE_BYTES_MAX};
use channel_actors::runtime::tasks::Tasks;
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Bytes that a line takes beside its own.
const LINE_OVERHEAD_BYTES: usize = 64;

/// The way to a writer. Clones lead to the same one; each call of `write` is a line.
#[derive(Clone, Debug)]
pub struct LogLines(Arc<LineQueue>);

#[derive(Debug, Default)]
struct LineQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line is being written.
    writing: bool,
}

impl LogLines {
    /// Starts the thread that writes to what `open` gives, as long as the process lives.
    pub fn start<W: Write + 'static>(tasks: &Tasks, open: impl Fn() -> W + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let of_thread = lines.clone();
        tasks.thread("log", move || of_thread.write_on(open()))?;
        Ok(lines)
    }

    /// Lines that were lost since the start.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, for a second at most.
    pub fn flush(&self) {
        self.flush_within(LOG_FLUSH);
    }

    fn flush_within(&self, limit: Duration) -> bool {
        let busy = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        let waited = self.0.emptied.wait_timeout_while(self.lock(), limit, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        let bytes = line.len() + LINE_OVERHEAD_BYTES;
        if queue.bytes + bytes > LOG_QUEUE_BYTES_MAX {
            drop(queue);
            return self.lose();
        }
        queue.bytes += bytes;
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.filled.notify_one();
    }

    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        queue.writing = false;
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len() + LINE_OVERHEAD_BYTES;
                queue.writing = true;
                return line;
            }
            self.0.emptied.notify_all();
            queue = self.0.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write_on(&self, mut writer: impl Write) {
        let mut said = 0;
        loop {
            let line = self.next();
            if writer.write_all(&line).and_then(|()| writer.flush()).is_err() {
                self.lose();
                continue;
            }
            // One more in the queue, and not in its way: what is lost while nothing can be written is said later.
            let lost = self.lost();
            if lost > said {
                tracing::warn!(lines = lost - said, "lines of the log were lost");
                said = lost;
            }
        }
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A writer that asks what to do with each line.
    struct Obedient {
        told: Sender<Vec<u8>>,
        orders: Receiver<io::Result<()>>,
    }

    impl Write for Obedient {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.told.send(line.to_vec()).expect("the test waits");
            self.orders.recv().unwrap_or(Ok(())).map(|()| line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn obedient() -> (LogLines, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
        let ((told, tells), (order, orders)) = (channel(), channel());
        let writer = Mutex::new(Some(Obedient { told, orders }));
        let open = move || writer.lock().expect("not poisoned").take().expect("opened once");
        (LogLines::start(&Tasks::default(), open).expect("a thread"), tells, order)
    }

    #[test]
    fn a_writer_that_does_not_write_takes_no_more_than_its_queue_and_whoever_logs_goes_on() {
        let (mut lines, tells, order) = obedient();
        let line = vec![b'x'; 1024 - LINE_OVERHEAD_BYTES];
        let many = 2 * LOG_QUEUE_BYTES_MAX / 1024;
        lines.write_all(&line).expect("never fails");
        assert_eq!(tells.recv().expect("it writes"), line);
        (1..many).for_each(|_| lines.write_all(&line).expect("never fails"));
        let lost = lines.lost();
        // One is in the writer's hands.
        assert_eq!(lost, (many - 1 - LOG_QUEUE_BYTES_MAX / 1024) as u64);
        assert!(!lines.flush_within(Duration::from_millis(1)), "it does not wait for ever");
        drop(order);
        assert!(lines.flush_within(Duration::from_secs(60)));
        assert_eq!(tells.try_iter().count(), LOG_QUEUE_BYTES_MAX / 1024);
        assert_eq!(lines.lost(), lost);
    }

    /// `tracing-appender` counts none of these.
    #[test]
    fn lines_that_cannot_be_written_are_lost_and_counted_and_the_next_are_written() {
        let (mut lines, tells, order) = obedient();
        for result in [Err(io::ErrorKind::StorageFull.into()), Err(io::ErrorKind::BrokenPipe.into()), Ok(())] {
            lines.write_all(b"a line").expect("never fails");
            order.send(result).expect("the thread lives");
        }
        drop(order);
        assert!(lines.flush_within(Duration::from_secs(60)));
        assert_eq!((lines.lost(), tells.try_iter().count()), (2, 3));
    }
}
