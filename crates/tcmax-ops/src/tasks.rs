//! Work that is cut into tasks for threads, and how far that goes.
//!
//! Every kernel forks here, so that a computation can be measured: the time outside of all forks, which one
//! thread alone can do, and the *span*, the time of its longest chain of tasks, below which no number of
//! threads gets.

use std::cell::RefCell;
use std::panic::Location;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::apart::on_its_own;
use crate::error::{Error, Result};

/// Running tasks, by as many threads as there are; a thread that waits for them may take up other work, which is
/// [`on_its_own`].
pub(crate) trait Fork: IndexedParallelIterator {
    /// Runs `task` on every item.
    #[track_caller]
    fn fork(self, task: impl Fn(Self::Item) + Sync + Send) {
        self.fork_with(|| (), |(), item| task(item));
    }

    /// Runs `task` on every item, with something that a thread uses again for the next one.
    #[track_caller]
    fn fork_with<B>(
        self,
        init: impl Fn() -> B + Sync + Send,
        task: impl Fn(&mut B, Self::Item) + Sync + Send,
    ) {
        match Meter::fork() {
            false => on_its_own(|| self.for_each_init(init, task)),
            true => {
                self.for_each_init(init, |kept, item| Meter::task(|| task(kept, item)));
                Meter::join(Location::caller());
            }
        }
    }

    /// What `task` makes of every item, in order.
    #[track_caller]
    fn gather<R: Send>(self, task: impl Fn(Self::Item) -> R + Sync + Send) -> Vec<R> {
        self.gather_with(|| (), |(), item| task(item))
    }

    /// What `task` makes of every item, with something that a thread uses again for the next one.
    #[track_caller]
    fn gather_with<B, R: Send>(
        self,
        init: impl Fn() -> B + Sync + Send,
        task: impl Fn(&mut B, Self::Item) -> R + Sync + Send,
    ) -> Vec<R> {
        match Meter::fork() {
            false => on_its_own(|| self.map_init(init, task).collect()),
            true => {
                let task = |kept: &mut B, item| Meter::task(|| task(kept, item));
                let results = self.map_init(init, task).collect();
                Meter::join(Location::caller());
                results
            }
        }
    }
}

impl<I: IndexedParallelIterator> Fork for I {}

/// A computation on one thread, measured by [`measure_tasks`].
#[derive(Clone, Debug)]
pub struct Work {
    /// Time of all of it.
    pub time: Duration,
    /// Time of its longest chain of tasks, each of which has to wait for the one before: what is outside of
    /// forks, and of each fork its longest task.
    pub span: Duration,
    /// Its forks in order, without those inside the tasks of another.
    pub forks: Vec<ForkWork>,
}

/// One fork of a [`Work`].
#[derive(Clone, Debug)]
pub struct ForkWork {
    /// The file and line of the fork.
    pub at: &'static Location<'static>,
    /// Tasks that can run at the same time; where tasks fork again, those of their narrowest forks.
    pub tasks: usize,
    /// Time of all tasks.
    pub time: Duration,
    /// Time of the longest chain of tasks.
    pub span: Duration,
}

impl Work {
    /// The part of the time that is outside of all forks.
    #[must_use]
    pub fn serial_share(&self) -> f64 {
        let forked: Duration = self.forks.iter().map(|fork| fork.time).sum();
        1.0 - forked.as_secs_f64() / self.time.as_secs_f64()
    }

    /// How many times faster `cores` cores are at most if everything but the serial share is cut finely enough
    /// (Amdahl, 1967).
    #[must_use]
    pub fn amdahl(&self, cores: usize) -> f64 {
        let serial = self.serial_share();
        1.0 / (serial + (1.0 - serial) / cores as f64)
    }

    /// How many times faster `cores` cores are at least if none waits while there is a task, and none slows another
    /// down (Brent, 1974): the tasks that there are, with their lengths.
    #[must_use]
    pub fn brent(&self, cores: usize) -> f64 {
        let (time, span) = (self.time.as_secs_f64(), self.span.as_secs_f64());
        time / (span + (time - span) / cores as f64)
    }
}

/// Runs a computation and measures its tasks. They have to run one after the other, so the caller is the one
/// thread of a pool.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{measure_tasks, softmax};
///
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
/// let (y, work) = pool.install(|| {
///     let x = Tensor::zeros((4096, 10), candle_core::DType::F32, &Device::Cpu)?;
///     measure_tasks(|| softmax(&x))
/// })?;
/// assert_eq!(y?.dims(), [4096, 10]);
/// assert_eq!(work.forks[0].tasks, 64);
/// println!("16 cores are at most {:.1} times faster", work.amdahl(16));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the caller is not such a thread.
pub fn measure_tasks<R>(compute: impl FnOnce() -> R) -> Result<(R, Work)> {
    match (rayon::current_thread_index(), rayon::current_num_threads()) {
        (Some(_), 1) => Ok(Meter::measure(compute)),
        (of_pool, threads) => Err(Error::Threads { of_pool: of_pool.is_some(), threads }),
    }
}

thread_local! {
    /// Computations and tasks being measured on this thread, each inside the one before.
    static RUNNING: RefCell<Vec<Meter>> = const { RefCell::new(Vec::new()) };
}

/// A task being measured, or the whole computation.
struct Meter {
    start: Instant,
    /// Time and span of its forks.
    forked: Duration,
    spans: Duration,
    /// The tasks of its narrowest fork.
    fewest: Option<usize>,
    /// Its forks, of the whole computation alone.
    forks: Vec<ForkWork>,
    /// The fork that runs.
    running: Option<Running>,
}

/// A fork being measured.
struct Running {
    start: Instant,
    longest: Duration,
    tasks: usize,
}

impl Meter {
    fn new() -> Self {
        let zero = Duration::ZERO;
        let start = Instant::now();
        Self { start, forked: zero, spans: zero, fewest: None, forks: Vec::new(), running: None }
    }

    fn measure<R>(compute: impl FnOnce() -> R) -> (R, Work) {
        RUNNING.with_borrow_mut(|running| running.push(Self::new()));
        let result = compute();
        let meter = RUNNING.with_borrow_mut(|running| running.pop().expect("pushed above"));
        let time = meter.start.elapsed();
        (result, Work { time, span: meter.span(time), forks: meter.forks })
    }

    fn span(&self, time: Duration) -> Duration {
        time.saturating_sub(self.forked) + self.spans
    }

    /// Begins a fork; false where nothing is measured.
    fn fork() -> bool {
        RUNNING.with_borrow_mut(|running| {
            let Some(current) = running.last_mut() else { return false };
            let start = Instant::now();
            current.running = Some(Running { start, longest: Duration::ZERO, tasks: 0 });
            true
        })
    }

    fn task<R>(task: impl FnOnce() -> R) -> R {
        RUNNING.with_borrow_mut(|running| running.push(Self::new()));
        let result = task();
        RUNNING.with_borrow_mut(|running| {
            let meter = running.pop().expect("pushed above");
            let span = meter.span(meter.start.elapsed());
            let fork = running.last_mut().and_then(|current| current.running.as_mut());
            let fork = fork.expect("a task runs inside a fork");
            fork.longest = fork.longest.max(span);
            fork.tasks += meter.fewest.unwrap_or(1);
        });
        result
    }

    /// Ends the fork begun last.
    fn join(at: &'static Location<'static>) {
        RUNNING.with_borrow_mut(|running| {
            let whole = running.len() == 1;
            let current = running.last_mut().expect("a fork is inside what is measured");
            let Running { start, longest: span, tasks } =
                current.running.take().expect("begun before it ends");
            let time = start.elapsed();
            current.forked += time;
            current.spans += span;
            current.fewest = Some(current.fewest.map_or(tasks, |fewest| fewest.min(tasks)));
            if whole {
                current.forks.push(ForkWork { at, tasks, time, span });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured<R: Send>(compute: impl FnOnce() -> R + Send) -> (R, Work) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| measure_tasks(compute)).unwrap()
    }

    fn wait(milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    #[test]
    fn the_span_is_what_is_serial_and_the_longest_chain_of_tasks() {
        let (sum, work) = measured(|| {
            wait(20);
            let outer = (0..3usize).into_par_iter().gather(|number| {
                (0..4usize).into_par_iter().fork(|_| wait(5));
                if number == 1 {
                    (0..2usize).into_par_iter().fork(|_| wait(10));
                }
                number
            });
            outer.iter().sum::<usize>()
        });
        assert_eq!(sum, 3);
        assert_eq!(work.forks.len(), 1);
        // Four tasks each, but two in the narrower fork of one of them.
        assert_eq!(work.forks[0].tasks, 10);
        // 20 outside; of the fork 5 + 10 in the longest chain, of 80 in all. Waiting takes no less.
        assert!(work.time >= Duration::from_millis(100));
        assert!(work.span >= Duration::from_millis(35) && work.span < work.time);
        assert!(work.serial_share() > 0.0 && work.serial_share() < 1.0);
        assert!((1.0..=2.0).contains(&work.brent(2)) && work.brent(64) > work.brent(2));
        assert!(work.amdahl(64) >= work.brent(64));
    }

    #[test]
    fn results_are_in_order_whether_or_not_they_are_measured() {
        let gather = || (0..1000usize).into_par_iter().gather(|number| number * 2);
        let (results, work) = measured(gather);
        assert_eq!(results, gather());
        assert_eq!(work.forks[0].tasks, 1000);
    }

    #[test]
    fn several_threads_are_refused() {
        let message = measure_tasks(|| ()).unwrap_err().to_string();
        assert!(message.contains("num_threads(1)"), "{message}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let message = pool.install(|| measure_tasks(|| ())).unwrap_err().to_string();
        assert!(message.contains("2 threads"), "{message}");
    }
}
