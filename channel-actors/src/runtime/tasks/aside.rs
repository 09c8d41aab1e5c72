//! Threads for work that waits for others in between and takes processor time, such as handshakes: they give way to all
//! that the peer does for those who are let in already.

use super::{Tasks, give_way};
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Such threads. Dropping the last clone ends them, and what they do.
#[derive(Clone, Debug)]
pub struct Aside(Arc<Threads>);

#[derive(Debug)]
struct Threads {
    each: Vec<Handle>,
    next: AtomicUsize,
    _ends: watch::Sender<()>,
}

impl Tasks {
    /// Starts so many threads (at least one) that give way, as in `nice`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn aside(&self, name: &'static str, threads: usize, nice: i32) -> std::io::Result<Aside> {
        let (sender, _) = watch::channel(());
        let mut each = Vec::new();
        for _ in 0..threads.max(1) {
            let runtime = Builder::new_current_thread().build()?;
            each.push(runtime.handle().clone());
            let mut ends = sender.subscribe();
            // Once: each call adds to the last.
            let mut nice = Some(nice);
            self.thread(name, move || {
                nice.take().into_iter().for_each(give_way);
                runtime.block_on(async {
                    // Nothing is ever sent: the sender goes.
                    let _ = ends.changed().await;
                });
            })?;
        }
        Ok(Aside(Arc::new(Threads { each, next: AtomicUsize::new(0), _ends: sender })))
    }
}

impl Aside {
    /// Runs `work` on one of the threads. Dropping what is returned ends it where it waits; a panic in it is one of whoever
    /// waits.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let Threads { each, next, .. } = &*self.0;
        let mut one = JoinSet::new();
        one.spawn_on(work, &each[next.fetch_add(1, Ordering::Relaxed) % each.len()]);
        match one.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
            // The threads end, and with them whoever waits.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

impl Aside {
    /// The same, until `ends`. What is returned resolves once all that the work held is gone, which a thread that has much
    /// to do comes to later: whoever counts what there is counts until then. Not so if it is dropped.
    pub async fn run_until<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        ends: impl Future<Output = ()> + Send + 'static,
    ) -> Option<T> {
        let until = async move {
            tokio::select! {
                done = work => Some(done),
                () = ends => None,
            }
        };
        self.run(until).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Waker};
    use std::time::Duration;
    use tokio::sync::oneshot;

    /// Handshakes that had given way to others kept their sockets until a thread came to them, and nobody counted those.
    #[actix::test]
    async fn what_has_ended_is_told_of_when_what_it_held_is_gone() {
        let tasks = Tasks::default();
        let aside = tasks.aside("aside", 1, 10).expect("a thread");
        let ((held, mut gone), (end, ends)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        let work = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        fn waits_on<F: Future>(future: Pin<&mut F>) -> bool {
            future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
        }
        let mut waits = Box::pin(aside.run_until(work, async { drop(ends.await) }));
        assert!(waits_on(waits.as_mut()));
        // The thread is at something else.
        let ((begun, begins), (go_on, goes_on)) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
        let busy = aside.run(async move {
            let _ = begun.send(());
            goes_on.recv()
        });
        let both = async {
            let others = async {
                begins.await.expect("it begins");
                drop(end);
                assert!(waits_on(waits.as_mut()), "it is not gone yet");
                assert_eq!(gone.try_recv(), Err(oneshot::error::TryRecvError::Empty));
                go_on.send(()).expect("it waits");
                assert_eq!(waits.await, None);
                assert_eq!(gone.try_recv(), Err(oneshot::error::TryRecvError::Closed));
            };
            let (busy, ()) = tokio::join!(busy, others);
            busy.expect("it was sent");
        };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("in time");
    }

    #[actix::test]
    async fn work_aside_runs_on_its_threads_and_ends_where_nobody_waits_for_it_any_more() {
        let tasks = Tasks::default();
        let aside = tasks.aside("aside", 2, 10).expect("threads");
        let name = aside.run(async { std::thread::current().name().map(str::to_owned) }).await;
        assert_eq!(name.as_deref(), Some("aside"));
        // What waits on one of them stands in nobody's way.
        let (held, gone) = oneshot::channel::<()>();
        let waits = aside.run(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        let others = async {
            for _ in 0..4 {
                aside.run(async {}).await;
            }
        };
        tokio::select! {
            () = waits => unreachable!("it never ends"),
            () = others => {}
        }
        assert!(gone.await.is_err(), "what nobody waits for is dropped");
        assert!(super::super::caught(aside.run(async { panic!("broken") })).await.is_err());
        aside.run(async {}).await;
        drop(aside);
        let ended = async {
            while tasks.list()[0].running > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the threads end");
    }
}
