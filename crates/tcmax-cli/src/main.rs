//! The `tcmax` command line.

use std::process::ExitCode;

/// Keeps the pages of freed tensors: the next step needs them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { tcmax_cli::process::keep_candle_on_one_thread() };
    tcmax_cli::App::new().run()
}
