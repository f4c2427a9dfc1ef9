//! Threads that wait for tasks without falling asleep.

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::Yield;

use crate::scope::with_flag;

/// How long a thread that finds no task stays awake: longer than one thread alone works between two forks of a step.
const PATIENCE: Duration = Duration::from_millis(1);

/// Pauses of the processor between two looks for tasks.
const PAUSES: usize = 16;

thread_local! {
    /// Whether this thread has begun something, and only waits for parts of it.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, a step of training, while the idle threads of this thread's pool look for its tasks without falling asleep.
///
/// A step forks several hundred times, and rayon's threads fall asleep within some ten microseconds. To wake one takes
/// longer than many of the tasks. Threads stay awake a millisecond after the last task they had, give way to other programs
/// while they look, and are asleep as ever when `f` has returned. Nothing else changes, and not a bit of the result.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{keep_awake, relu};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[-1f32, 2.0], &Device::Cpu)?;
/// let y = keep_awake(|| relu(&x))?;
/// assert_eq!(y.to_vec1::<f32>()?, [0.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub fn keep_awake<T>(f: impl FnOnce() -> T) -> T {
    // From outside, a pool is handed one whole task after the other; of one thread there is nobody else.
    if rayon::current_thread_index().is_none() || rayon::current_num_threads() == 1 {
        return f();
    }
    let step = Step(Arc::new(AtomicBool::new(true)));
    let goes_on = step.0.clone();
    busy(|| {
        rayon::spawn_broadcast(move |_| look_for_tasks(&goes_on));
        f()
    })
}

/// Runs `f`, of which this thread may wait for parts.
pub(crate) fn busy<T>(f: impl FnOnce() -> T) -> T {
    with_flag(&IS_BUSY, true, f)
}

/// A step that goes on until this is dropped, by a panic too.
struct Step(Arc<AtomicBool>);

impl Drop for Step {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Does tasks of others until `goes_on` is false, or there was none for long.
fn look_for_tasks(goes_on: &AtomicBool) {
    // A busy thread takes this up while it waits for its own tasks, and would not see that they are done.
    if IS_BUSY.get() {
        return;
    }
    let mut last = Instant::now();
    while goes_on.load(Ordering::Relaxed) && last.elapsed() < PATIENCE {
        if rayon::yield_now() == Some(Yield::Executed) {
            last = Instant::now();
        } else {
            (0..PAUSES).for_each(|_| spin_loop());
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use rayon::prelude::*;

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// Threads that look for tasks do them, and are free for the pool's other work afterwards.
    #[test]
    fn tasks_are_done_by_threads_that_stay_awake() {
        pool(3).install(|| {
            for _ in 0..20 {
                // Each waits for the others: three threads have to do one each.
                let here = AtomicUsize::new(0);
                keep_awake(|| {
                    (0..3).into_par_iter().with_max_len(1).for_each(|_| {
                        here.fetch_add(1, Ordering::SeqCst);
                        while here.load(Ordering::SeqCst) < 3 {
                            std::thread::yield_now();
                        }
                    });
                });
            }
        });
    }

    /// A step inside of a task of another, on all threads of the pool: nobody looks for tasks on top of its own, nor after
    /// the step.
    #[test]
    fn only_idle_threads_look_for_tasks_and_only_during_a_step() {
        let sum = pool(2).install(|| {
            let all = (0..64u64)
                .into_par_iter()
                .map(|n| keep_awake(|| (0..64u64).into_par_iter().map(|m| n * m).sum::<u64>()));
            all.sum::<u64>()
        });
        assert_eq!(sum, 2016 * 2016);
        pool(1).install(|| {
            let time = |goes_on| {
                let start = Instant::now();
                look_for_tasks(&AtomicBool::new(goes_on));
                start.elapsed()
            };
            assert!(time(true) >= PATIENCE);
            // The shortest, as a thread may be held up.
            let shortest = |time: &dyn Fn() -> Duration| (0..100).map(|_| time()).min().unwrap();
            let busy = shortest(&|| busy(|| time(true)));
            let after = shortest(&|| time(false));
            assert!(busy < PATIENCE && after < PATIENCE, "{busy:?} {after:?}");
        });
    }

    #[test]
    fn looking_ends_with_the_step_when_it_panics_too() {
        pool(2).install(|| {
            let kept = Arc::new(std::sync::Mutex::new(None));
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let step = Step(Arc::new(AtomicBool::new(true)));
                *kept.lock().unwrap() = Some(step.0.clone());
                panic!("a step failed");
            }));
            assert!(panicked.is_err());
            let goes_on = kept.lock().unwrap().take().unwrap();
            assert!(!goes_on.load(Ordering::Relaxed));
        });
        assert_eq!(keep_awake(|| 1), 1);
        assert_eq!(pool(1).install(|| keep_awake(|| 2)), 2);
    }
}
