//! Settings of the process that only a binary may make, and what it is told from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Keeps candle's own operations on the thread that calls them.
///
/// candle 0.11 shares out element-wise operations to threads of its own, which wait busily for each
/// other: beside the pool that the kernels use they take more time than they save. A number of
/// threads given in `CANDLE_NUM_THREADS` is left as it is.
///
/// # Safety
/// No other thread may be running: the first thing a `main` does.
pub unsafe fn keep_candle_on_one_thread() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        // SAFETY: no other thread can be reading the environment, as the caller promises.
        unsafe { std::env::set_var(THREADS, "1") };
    }
}

/// As [`keep_candle_on_one_thread`], if the system says that this is the only thread, as Linux does.
pub fn keep_candle_on_one_thread_if_alone() {
    let is_alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    if is_alone {
        // SAFETY: no other thread is running, and this one is here.
        unsafe { keep_candle_on_one_thread() }
    }
}

/// Whether training was asked to end; clones are told together.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks, as signal number `signal` would.
    pub fn ask(&self, signal: i32) {
        self.0.store(usize::try_from(signal).unwrap_or(0), Ordering::Relaxed);
    }

    /// The signal that asked.
    pub fn asked(&self) -> Option<i32> {
        let signal = self.0.load(Ordering::Relaxed);
        if signal == 0 { None } else { i32::try_from(signal).ok() }
    }

    /// From now on SIGINT, SIGTERM and SIGHUP ask for the end instead of ending the process at once; a
    /// second one ends it. Signals that the process was started to ignore (`nohup`) stay ignored.
    ///
    /// # Errors
    /// When the system refuses.
    #[cfg(unix)]
    pub fn on_signals(&self) -> std::io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        use signal_hook::flag::{register, register_conditional_default, register_usize};
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
            let second = Arc::new(AtomicBool::new(false));
            register_conditional_default(signal, second.clone())?;
            register(signal, second)?;
            register_usize(signal, self.0.clone(), usize::try_from(signal).unwrap_or(0))?;
        }
        Ok(())
    }

    /// Does nothing: this system has no such signals.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn on_signals(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: a sigaction of zeros is valid, and without a new action the call only writes the present
    // one into it.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut present) == 0
            && present.sa_sigaction == libc::SIG_IGN
    }
}
