//! Settings of the process that only a binary may make, signals, and exit codes.

use std::num::NonZero;

use tcmax_train::{Error, Stop};

/// 2 when the command itself has to be changed, 1 when data, files or training failed, and 128 plus the
/// signal's number when it was interrupted, as shells do it.
///
/// ```
/// let error = tcmax_train::Error::setting("epochs", "must be at least 1");
/// assert_eq!(tcmax_cli::process::exit_code(&error.into()), 2);
/// ```
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(Error::Interrupted { signal, .. }) => u8::try_from(128 + signal).unwrap_or(1),
        Some(error) if error.is_setting() => 2,
        _ => 1,
    }
}

/// Keeps candle's own operations on the thread that calls them, and tells it how many threads there are.
///
/// candle 0.11 shares out element-wise operations to threads of its own, which wait busily for each
/// other: beside the pool that the kernels use they take more time than they save. And where
/// `RAYON_NUM_THREADS` is not set, each of its matrix products reads and parses all of /proc/cpuinfo to
/// count the cores: half of the time of a step of small networks. Numbers of threads given in
/// `CANDLE_NUM_THREADS` and `RAYON_NUM_THREADS` are left as they are.
///
/// # Safety
/// No other thread may be running: the first thing a `main` does.
pub unsafe fn keep_candle_on_one_thread() {
    // As many as rayon itself starts.
    let all = std::thread::available_parallelism().map_or(1, NonZero::get);
    for (name, threads) in [("CANDLE_NUM_THREADS", 1), ("RAYON_NUM_THREADS", all)] {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread can be reading the environment, as the caller promises.
            unsafe { std::env::set_var(name, threads.to_string()) };
        }
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

/// From now on SIGINT, SIGTERM and SIGHUP ask `stop` for the end of training instead of ending the process
/// at once; a second one ends it. Signals that the process was started to ignore (`nohup`) stay ignored.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn stop_on_signals(stop: &Stop) -> std::io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_default, register_usize};

    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if is_ignored(signal) {
            continue;
        }
        let second = Arc::new(AtomicBool::new(false));
        register_conditional_default(signal, second.clone())?;
        register(signal, second)?;
        register_usize(signal, stop.flag(), usize::try_from(signal).unwrap_or(0))?;
    }
    Ok(())
}

/// Does nothing: this system has no such signals.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn stop_on_signals(_: &Stop) -> std::io::Result<()> {
    Ok(())
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
