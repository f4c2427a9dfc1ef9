//! The `tcmax` command line: arguments in, exit code out.

#![warn(clippy::print_stderr)]

mod cli;

use std::process::ExitCode;

/// Keeps the pages of freed tensors: the next step needs them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { tcmax_train::process::keep_candle_on_one_thread() };
    let (arguments, command) = cli::Arguments::of_process();
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = tcmax_train::describe_error(error.as_ref());
            tcmax_train::say(&format!("error: {}", cli::with_flags(&command, &message)));
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
