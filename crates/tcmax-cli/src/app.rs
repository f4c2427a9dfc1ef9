//! The command as a whole: arguments in, exit code out.

use std::process::ExitCode;

use tcmax_train::{Registry, describe_error};

use crate::commands::{Arguments, with_flags};
use crate::process::{exit_code, keep_candle_on_one_thread_if_alone};
use crate::progress::say;

/// The `tcmax` command.
///
/// A program of one's own has the whole command, with methods, heads and encoders of its own, from
///
/// ```no_run
/// # use tcmax_train::Registry;
/// fn main() -> std::process::ExitCode {
///     let registry = Registry::default();
///     // registry.methods.add(&MY_METHOD) ...
///     tcmax_cli::App::new().with(registry).run()
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct App {
    registry: Registry,
}

impl App {
    /// The command with all that is built in.
    pub fn new() -> Self {
        Self::default()
    }

    /// The command with what `registry` lists.
    #[must_use]
    pub fn with(self, registry: Registry) -> Self {
        Self { registry }
    }

    /// Does what the arguments of the process say; what goes wrong is written to standard error. Ends the
    /// process itself for `--help` and for arguments that are wrong. Best called before any thread is
    /// started: candle's own threads are then left out, which only cost time here.
    pub fn run(self) -> ExitCode {
        keep_candle_on_one_thread_if_alone();
        let (arguments, command) = Arguments::of_process();
        match arguments.run(&self.registry) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let message = describe_error(error.as_ref());
                say(&format!("error: {}", with_flags(&command, &message)));
                ExitCode::from(exit_code(&error))
            }
        }
    }
}
