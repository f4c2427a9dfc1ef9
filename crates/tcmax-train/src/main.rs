//! The `tcmax` command line: arguments in, exit code out.

#![warn(clippy::print_stderr)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

/// Keeps the pages of freed tensors: the next step needs them again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { tcmax_train::process::keep_candle_on_one_thread() };
    let arguments = cli::Arguments::parse();
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tcmax_train::say(&format!("error: {}", tcmax_train::describe_error(error.as_ref())));
            ExitCode::from(cli::exit_code(&error))
        }
    }
}
