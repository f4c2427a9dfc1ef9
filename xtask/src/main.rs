//! Automation of the workspace, as `cargo xtask ...`.

mod bench_clips;
mod bench_estimators;
mod bench_load;
mod bench_peers;
mod bench_scaling;
mod check_cuda;
mod check_logs;
mod check_metrics;
mod check_msrv;
mod check_weights;
mod dist;
mod golden;
mod kill_runs;
mod leaderboard;
mod meter;
mod package;
mod reproduce;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tcmax_cli::process::{exit_code, keep_candle_on_one_thread};
use tcmax_cli::progress::say;
use tcmax_train::describe_error;

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
    /// Compare every loss, head, method and encoder with recorded values.
    Golden(golden::Golden),
    /// Compare metrics and tests with scikit-learn's and scipy's on random data.
    CheckMetrics(check_metrics::CheckMetrics),
    /// Compare the event files of an interrupted run with what TensorBoard reads of them.
    CheckLogs(check_logs::CheckLogs),
    /// Compile the command for CUDA, with a compiler that is fetched where there is none.
    CheckCuda(check_cuda::CheckCuda),
    /// Compile the workspace with the oldest Rust that it is for, where that can be installed.
    CheckMsrv(check_msrv::CheckMsrv),
    /// Exchange weights with torchvision and transformers in both directions, and compare features.
    CheckWeights(check_weights::CheckWeights),
    /// Write manual pages of tcmax, and scripts that complete its commands.
    Dist(dist::Dist),
    /// Make the archives of all crates that are published, and check what is in them.
    Package(package::PackageCrates),
    /// Draw report.html and the table again from a folder's results.json.
    Report(reproduce::Report),
    /// Time training operations and steps beside PyTorch's.
    BenchPeers(bench_peers::BenchPeers),
    /// Measure how far training steps are cut into tasks, and what 16 and 64 cores could gain.
    BenchTasks(bench_peers::BenchTasks),
    /// Time every encoder beside PyTorch's, for the table of tcmax-encoders.
    BenchEncoders(bench_peers::BenchEncoders),
    /// Time training by several processes, and print what a model says of clusters.
    BenchScaling(bench_scaling::BenchScaling),
    /// One measurement of bench-peers, in a process of its own.
    #[command(hide = true)]
    OwnCase(bench_peers::OwnCase),
    /// One measurement of loading, in a process of its own.
    #[command(hide = true)]
    OwnLoad(bench_load::OwnLoad),
    /// Prepare and load many generated clips; reports rates and the largest memory.
    BenchClips(bench_clips::BenchClips),
    /// Kill training and preparation at random moments, go on, and compare the bytes.
    KillRuns(kill_runs::KillRuns),
}

/// mimalloc keeps the pages of freed tensors, which the next step needs again; around it, bytes are
/// counted.
#[global_allocator]
static ALLOCATOR: meter::Counting = meter::Counting;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { keep_candle_on_one_thread() };
    let done = match Arguments::parse().command {
        Command::Reproduce(reproduce) => reproduce.run(),
        Command::BenchEstimators(bench) => bench.run(),
        Command::Golden(golden) => golden.run(),
        Command::CheckMetrics(check) => check.run(),
        Command::CheckLogs(check) => check.run(),
        Command::CheckCuda(check) => check.run(),
        Command::CheckMsrv(check) => check.run(),
        Command::CheckWeights(check) => check.run(),
        Command::Dist(dist) => dist.run(),
        Command::Package(package) => package.run(),
        Command::Report(report) => report.run(),
        Command::BenchPeers(bench) => bench.run(),
        Command::BenchTasks(bench) => bench.run(),
        Command::BenchEncoders(bench) => bench.run(),
        Command::BenchScaling(bench) => bench.run(),
        Command::OwnCase(case) => case.run(),
        Command::OwnLoad(case) => case.run(),
        Command::BenchClips(bench) => bench.run(),
        Command::KillRuns(kills) => kills.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {}", describe_error(error.as_ref())));
            ExitCode::from(exit_code(&error))
        }
    }
}
