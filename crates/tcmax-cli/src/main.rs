//! The `tcmax` command line.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

/// Keeps the pages of freed tensors: the next step needs them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { tcmax_cli::process::keep_candle_on_one_thread() };
    keep_pages();
    tcmax_cli::App::new().run()
}

/// Keeps freed pages for longer than a step of a large network takes, unless the environment says otherwise.
///
/// After one second, mimalloc's own time, pages go back to the system, which clears them before they come
/// again: a fifth of the time of a step of several seconds.
fn keep_pages() {
    /// The number of mimalloc's option `purge_delay`, which its bindings do not name.
    const PURGE_DELAY: c_int = 15;
    const MILLISECONDS: c_long = 60_000;
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the option exists, and any number is one of its values.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, MILLISECONDS) };
    }
}
