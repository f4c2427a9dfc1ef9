//! Commands of `tcmax`.

mod compare;
mod completions;
mod config;
mod datasets;
mod device;
mod estimate;
mod eval;
mod examples;
mod experiment;
mod export;
mod flags;
mod inspect;
mod methods;
mod predict;
mod prepare;
mod train;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tcmax_train::Registry;

use crate::processes::Processes;
use crate::progress::is_silent;

pub use compare::{Comparison, write_results};
pub use experiment::parse_assignment;
pub use flags::with_flags;

/// Train multimodal classifiers without letting one modality starve the others.
#[derive(Parser)]
#[command(
    name = "tcmax",
    version,
    after_help = "Examples:\n  tcmax train                                  TCMax on generated clips, no files \
                  needed\n  tcmax train --method joint --seeds 0,1,2     joint training, three \
                  seeds\n  tcmax train --dataset av-digits --data-dir DIR --out runs/digits\n  tcmax \
                  compare --dataset PATH --methods joint,tcmax --out study   five seeds of each, and a \
                  report\n  tcmax config --explain                       every setting, with what it \
                  does\n  tcmax eval runs/digits/seed-0                test a finished run \
                  again\n  tcmax eval runs/x/seed-0 --dataset PATH      test it on other \
                  data\n  tcmax predict runs/digits/seed-0 --without audio   predictions \
                  from the pictures alone\n  tcmax methods                                what there is to train \
                  by\n  tcmax datasets                               what there is to train \
                  on\n  tcmax estimate data.npz --variables a,b,y    total correlation of variables in a \
                  file\n  tcmax prepare crema-d --root DIR --out CLIPS     clips from a data set's \
                  media\n  tcmax train --dataset CLIPS                  train on prepared clips, a \
                  feature file, ...\n  tcmax inspect PATH                           what is in one's own \
                  data\n  tcmax examples DIR                           small files to try these \
                  with\n\nExit codes: 0 success; 1 data, files or training failed; 2 the command line \
                  or a setting is wrong; 130, 143 or 129 after SIGINT, SIGTERM or SIGHUP."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train, validate and test a model, from one seed or several.
    Train(Box<train::Train>),
    /// Train several methods from several seeds and compare them, or compare finished runs.
    Compare(Box<compare::Compare>),
    /// Print the settings of an experiment, and what every key does.
    Config(Box<config::Config>),
    /// Estimate the information that variables in files share.
    Estimate(Box<estimate::Estimate>),
    /// Evaluate a finished run's model.
    Eval(eval::Eval),
    /// Write a finished run's predictions, with or without all modalities.
    Predict(predict::Predict),
    /// Write a finished run's model for other programs: weights, ONNX, a model card.
    Export(export::Export),
    /// List the methods and heads to train by, or tell about one.
    Methods(methods::Methods),
    /// Make clips of a data set's media, or of a manifest's, that load fast.
    Prepare(Box<prepare::Prepare>),
    /// Say what is in a feature file, feature tables, a manifest or prepared clips.
    Inspect(inspect::Inspect),
    /// Write small example files of every kind that is read.
    Examples(examples::Examples),
    /// List the data sets, or tell about one.
    Datasets(datasets::Datasets),
    /// Print a script that completes commands and options in a shell.
    Completions(completions::Completions),
}

impl Arguments {
    /// The arguments of this process and the name of the command, unless they are wrong or ask for help.
    pub fn of_process() -> (Self, String) {
        let matches = Self::command().get_matches();
        let name = matches.subcommand_name().unwrap_or_default().to_owned();
        (Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()), name)
    }

    /// Does what was asked.
    pub fn run(self, registry: &Registry, processes: &Processes) -> anyhow::Result<()> {
        match self.command {
            Command::Train(train) => train.run(registry, processes),
            Command::Compare(compare) => compare.run(registry, processes),
            // The others train nothing: one process does them.
            _ if !processes.is_first() => Ok(()),
            Command::Config(config) => config.run(registry),
            Command::Estimate(estimate) => estimate.run(&registry.estimators),
            Command::Eval(eval) => eval.run(registry),
            Command::Predict(predict) => predict.run(registry),
            Command::Export(export) => export.run(registry),
            Command::Methods(methods) => methods.run(registry),
            Command::Prepare(prepare) => prepare.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Examples(examples) => examples.run(),
            Command::Datasets(datasets) => datasets.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}

/// The command line of `tcmax`: every command with its options, for documents and tests of them.
pub fn command_line() -> clap::Command {
    Arguments::command()
}

/// Prints a result and a line end on standard output, as [`write_out`] writes.
fn print(text: &str) -> anyhow::Result<()> {
    write_out(format!("{text}\n").as_bytes())
}

/// Writes a result to standard output, to the last byte. A reader that went away (`| head`) is no error;
/// anything else is, a full disk above all: the result would be lost with exit code 0.
fn write_out(bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    if is_silent() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            let path = "standard output".into();
            Err(tcmax_train::Error::File { path, source }.into())
        }
        _ => Ok(()),
    }
}
