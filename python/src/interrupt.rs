//! Long work in a thread of its own, which Ctrl-C ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tcmax_datasets::fetch::DownloadProgress;
use tcmax_media::PrepareProgress;

/// Between two questions whether the user has interrupted.
const POLL: Duration = Duration::from_millis(50);

/// How long interrupted work is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// Whether work is to end.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

/// What work that was ended leaves its thread with.
struct Stopped;

impl Stop {
    /// To be called between steps: where the user has interrupted, the thread unwinds from here, through whatever
    /// called it, and nobody prints anything.
    pub(crate) fn check(&self) {
        if self.0.load(Ordering::Relaxed) {
            resume_unwind(Box::new(Stopped));
        }
    }
}

/// Ends downloads and the making of clips between two of their steps.
pub(crate) struct Watched<'a>(pub(crate) &'a Stop);

impl PrepareProgress for Watched<'_> {
    fn started(&self, _: usize, _: usize) {
        self.0.check();
    }

    fn clip(&self) {
        self.0.check();
    }

    fn finished(&self) {}
}

impl DownloadProgress for Watched<'_> {
    fn started(&self, _: &str, _: u64, _: Option<u64>) {
        self.0.check();
    }

    fn received(&self, _: u64) {
        self.0.check();
    }

    fn finished(&self) {}
}

/// Clips that are done, of all.
#[derive(Default)]
pub(crate) struct Clips {
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Clips {
    /// (done, all).
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// As [`Watched`], and counts clips.
pub(crate) struct Counted<'a>(pub(crate) &'a Stop, pub(crate) &'a Clips);

impl PrepareProgress for Counted<'_> {
    fn started(&self, done: usize, total: usize) {
        self.1.done.store(done, Ordering::Relaxed);
        self.1.total.store(total, Ordering::Relaxed);
        self.0.check();
    }

    fn clip(&self) {
        self.1.done.fetch_add(1, Ordering::Relaxed);
        self.0.check();
    }

    fn finished(&self) {}
}

/// Runs `work` in a thread, without holding the interpreter, and asks Python for signals meanwhile.
///
/// After an interrupt the work ends at its next [`Stop::check`], for which up to two seconds are waited. What does not
/// ask in that time goes on in the background until it does or is finished, and its result is dropped.
///
/// # Errors
/// The interrupt; a `RuntimeError` when the work panics; what the work returns.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Stop) -> PyResult<T> + Send + 'static,
) -> PyResult<T> {
    interruptible_with(py, |_| Ok(()), work)
}

/// As [`interruptible`], and calls `between` again and again while the work runs; its error ends the work, too.
///
/// # Errors
/// As [`interruptible`], and those of `between`.
pub(crate) fn interruptible_with<T: Send + 'static>(
    py: Python<'_>,
    mut between: impl FnMut(Python<'_>) -> PyResult<()>,
    work: impl FnOnce(&Stop) -> PyResult<T> + Send + 'static,
) -> PyResult<T> {
    let stop = Stop::default();
    let (sender, receiver) = channel();
    let of_thread = stop.clone();
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&of_thread)));
        // Nobody listens where the interrupt was not waited for.
        let _ = sender.send(result);
    };
    thread::Builder::new().name("tcmax".to_owned()).spawn(run)?;
    let mut receiver = receiver;
    loop {
        let (back, ended) = wait(py, receiver, POLL);
        receiver = back;
        match ended {
            Ok(Ok(result)) => return result,
            Ok(Err(panic)) => return Err(of_panic(panic.as_ref())),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the computation ended without a result"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(interrupt) = py.check_signals().and_then(|()| between(py)) {
            stop.0.store(true, Ordering::Relaxed);
            let _ = wait(py, receiver, GRACE);
            return Err(interrupt);
        }
    }
}

/// The result of the work, or its panic.
type Ended<T> = thread::Result<PyResult<T>>;

/// Waits without holding the interpreter. A receiver cannot be shared between threads, but be handed over and back.
fn wait<T: Send>(
    py: Python<'_>,
    receiver: Receiver<Ended<T>>,
    time: Duration,
) -> (Receiver<Ended<T>>, Result<Ended<T>, RecvTimeoutError>) {
    py.detach(move || {
        let ended = receiver.recv_timeout(time);
        (receiver, ended)
    })
}

fn of_panic(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    PyRuntimeError::new_err(format!("this is a bug of tcmax: {text}"))
}
