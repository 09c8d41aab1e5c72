//! Many live subscribers of one channel, each on a connection of its own, all on one thread of the generator. A tenth of
//! them read slowly while transactions commit, and catch up afterwards: a peer may let them fall behind, and must lose
//! nothing for them.

use crate::error::LoadError;
use crate::order::EventReader;
use crate::scenario::block_on;
use crate::wire::Dialer;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// One of so many reads slowly.
const SLOW_EACH: u32 = 10;
/// How long a slow one rests after each piece.
const SLOW_REST: Duration = Duration::from_millis(250);
/// Handshakes at a time.
const DIALED_AT_A_TIME: usize = 32;
/// How long events may take to reach everybody once all are committed.
const CATCH_UP: Duration = Duration::from_secs(120);

/// What one subscriber saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its events.
    pub reader: EventReader,
    /// Whether it read slowly.
    pub slow: bool,
    /// When its last event came.
    pub last: Instant,
}

/// Live subscribers.
pub struct Crowd {
    readers: tokio::task::JoinHandle<Result<Vec<Seen>, LoadError>>,
    expected: watch::Sender<Option<u64>>,
}

/// What a crowd saw.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    /// Subscribers.
    pub subscribers: u64,
    /// Those that saw every event, once and in order.
    pub whole: u64,
    /// Of those, the ones that read slowly.
    pub whole_slow: u64,
    /// Events that reached somebody who reads fast.
    pub deliveries: u64,
    /// When the last of those came.
    pub last: Option<Instant>,
}

impl Crowd {
    /// Opens `count` subscriptions of `path`, such as `/v1/channels/load/events?class=assets`, from now on, and waits
    /// until all of them are live.
    pub async fn open(dialer: Dialer, path: &str, count: u32) -> Result<Self, LoadError> {
        let (expected, ends) = watch::channel(None);
        let live = Arc::new(AtomicU64::new(0));
        let (path, counted): (Arc<str>, _) = (path.into(), Arc::clone(&live));
        let readers = tokio::task::spawn_blocking(move || {
            block_on(async move {
                let (mut running, doors) = (JoinSet::new(), Arc::new(Semaphore::new(DIALED_AT_A_TIME)));
                for number in 1..=count {
                    let (dialer, path, doors) = (dialer.clone(), Arc::clone(&path), Arc::clone(&doors));
                    let (live, ends) = (Arc::clone(&counted), ends.clone());
                    running.spawn(subscribe(dialer, path, doors, live, ends, number % SLOW_EACH == 0));
                }
                let mut seen = Vec::new();
                while let Some(one) = running.join_next().await {
                    seen.push(one??);
                }
                Ok(seen)
            })
        });
        while live.load(Ordering::Acquire) < u64::from(count) && !readers.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if readers.is_finished() {
            let ended = readers.await??.len();
            return Err(LoadError::Setup(format!("{ended} subscriptions ended before anything was committed")));
        }
        Ok(Self { readers, expected })
    }

    /// Says that all is committed and how many events that were, and waits until everybody has them, or has had the time.
    pub async fn close(self, events: u64) -> Result<Delivered, LoadError> {
        // If nobody listens any more, the readers' own result says why.
        let _ = self.expected.send(Some(events));
        Ok(sum(&self.readers.await??, events))
    }
}

fn sum(seen: &[Seen], events: u64) -> Delivered {
    let mut delivered = Delivered::default();
    for Seen { reader, slow, last } in seen {
        let whole = reader.order.is_whole(events);
        delivered.subscribers += 1;
        delivered.whole += u64::from(whole);
        delivered.whole_slow += u64::from(whole && *slow);
        if !slow {
            delivered.deliveries += reader.order.events;
            delivered.last = delivered.last.max(Some(*last));
        }
    }
    delivered
}

async fn subscribe(
    dialer: Dialer,
    path: Arc<str>,
    doors: Arc<Semaphore>,
    live: Arc<AtomicU64>,
    mut ends: watch::Receiver<Option<u64>>,
    slow: bool,
) -> io::Result<Seen> {
    let door = doors.acquire().await.map_err(io::Error::other)?;
    let mut wire = dialer.dial().await?;
    wire.open_stream(&path).await?;
    live.fetch_add(1, Ordering::Release);
    drop(door);
    let mut seen = Seen { reader: EventReader::default(), slow, last: Instant::now() };
    let mut until: Option<Instant> = None;
    while !seen.reader.broken {
        let expected = *ends.borrow_and_update();
        if expected.is_some_and(|events| seen.reader.order.events >= events) {
            break;
        }
        if expected.is_some() && until.is_none() {
            until = Some(Instant::now() + CATCH_UP);
        }
        let deadline = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
        let piece = tokio::select! {
            piece = wire.chunk() => piece,
            // A crowd that is dropped instead of closed ends here.
            changed = ends.changed(), if expected.is_none() => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
            () = tokio::time::sleep_until(deadline.into()) => match until {
                Some(_) => break,
                None => continue,
            },
        };
        // Who is cut off has not seen everything, and is counted so.
        let Ok(piece) = piece else { break };
        let before = seen.reader.order.events;
        seen.reader.push(&piece);
        if seen.reader.order.events > before {
            seen.last = Instant::now();
        }
        if slow && expected.is_none() {
            tokio::select! {
                () = tokio::time::sleep(SLOW_REST) => {}
                _ = ends.changed() => {}
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_streams_count_and_slow_readers_do_not_make_the_rate() {
        let seen = |events: u32, slow| {
            let mut reader = EventReader::default();
            let header = ledger_classes::primitives::hash::Hash::ZERO;
            let cursor = |event| client::subscribe::Cursor::new(1, 0, event, &header);
            (0..events).for_each(|event| reader.order.take(cursor(event)));
            Seen { reader, slow, last: Instant::now() }
        };
        let delivered = sum(&[seen(3, false), seen(3, true), seen(2, false), seen(4, false)], 3);
        assert_eq!((delivered.subscribers, delivered.whole, delivered.whole_slow), (4, 2, 1));
        assert_eq!(delivered.deliveries, 9);
    }
}
