//! The command as a whole: arguments in, exit code out.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use tcmax_parallel::Group;
use tcmax_train::{Registry, describe_error};

use crate::commands::{Arguments, with_flags};
use crate::process::{exit_code, keep_candle_on_one_thread_if_alone};
use crate::processes::Processes;
use crate::progress::{be_silent, say};

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
    group: Option<Arc<dyn Group>>,
}

impl App {
    /// The command with all that is built in.
    pub fn new() -> Self {
        Self::default()
    }

    /// The command with what `registry` lists.
    #[must_use]
    pub fn with(self, registry: Registry) -> Self {
        Self { registry, ..self }
    }

    /// The command as one of several processes, each of which was started with the same arguments. Without it they
    /// are those that MPI has started, if it has.
    #[must_use]
    pub fn in_group(self, group: Arc<dyn Group>) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Does what the arguments of the process say; what goes wrong is written to standard error. Ends the
    /// process itself for `--help` and for arguments that are wrong. Best called before any thread is
    /// started: candle's own threads are then left out, which only cost time here.
    pub fn run(self) -> ExitCode {
        keep_candle_on_one_thread_if_alone();
        let (arguments, command) = Arguments::of_process();
        let group = match self.group.map_or_else(tcmax_mpi::join, |group| Ok(Some(group))) {
            Ok(group) => group,
            Err(error) => {
                say(&format!("error: {error}"));
                return ExitCode::FAILURE;
            }
        };
        let processes = Processes::of(group);
        if !processes.is_first() {
            be_silent();
        }
        // The others would wait for this process as long as it is there.
        let run = AssertUnwindSafe(|| arguments.run(&self.registry, &processes));
        let outcome = catch_unwind(run).unwrap_or_else(|panic| {
            processes.abort("it panicked");
            resume_unwind(panic)
        });
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let message = with_flags(&command, &describe_error(error.as_ref()));
                processes.end(&error, &message);
                say(&format!("error: {message}"));
                ExitCode::from(exit_code(&error))
            }
        }
    }
}
