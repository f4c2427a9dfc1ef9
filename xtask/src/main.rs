//! Automation of the workspace, as `cargo xtask ...`.

mod bench_estimators;
mod reproduce;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Automation of the tcmax workspace.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare joint, unimodal and TCMax training, and write a report.
    Reproduce(reproduce::Reproduce),
    /// Compare the information estimators with truths known in closed form.
    BenchEstimators(bench_estimators::BenchEstimators),
    /// Draw report.html and the table again from a folder's results.json.
    Report(reproduce::Report),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Reproduce(reproduce) => reproduce.run(),
        Command::BenchEstimators(bench) => bench.run(),
        Command::Report(report) => report.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let code = error.downcast_ref::<tcmax_train::Error>();
            ExitCode::from(code.map_or(1, tcmax_train::Error::exit_code))
        }
    }
}
