//! Settings of the process that only a binary may make.

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
