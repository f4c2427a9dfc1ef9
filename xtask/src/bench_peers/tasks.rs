//! `cargo xtask bench-tasks`: how far a step is cut into tasks, and what many cores could gain.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use tcmax_benches::{CASES, Case};
use tcmax_ops::{ForkWork, Work};

use crate::bench_peers::{names, say};

/// The numbers of cores of the table.
const CORES: [usize; 2] = [16, 64];

/// Forks that are named for each case.
const NAMED: usize = 3;

#[derive(Args)]
pub struct BenchTasks {
    /// Only cases whose name begins so, such as "step" or "conv-56"
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Measured calls of each case, of which the one with the shortest chain of tasks counts
    #[arg(long, default_value_t = 5)]
    calls: usize,
}

impl BenchTasks {
    pub fn run(&self) -> anyhow::Result<()> {
        // Of everything, whole fits are not cut into tasks, but run side by side.
        let wanted = |case: &&Case| {
            !case.is_fit() && self.only.as_ref().is_none_or(|only| case.name.starts_with(only))
        };
        let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
        if cases.is_empty() {
            bail!("--only: no case begins so; there are {}", names().join(", "));
        }
        rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
        say(HEAD);
        for case in cases {
            let mut work = None;
            rayon::scope(|_| work = Some(case.measure_tasks(self.calls)));
            let work = work.expect("the scope has ended")?;
            say(&line(case.title, &work));
        }
        Ok(())
    }
}

const HEAD: &str = "| case | one thread, ms | outside of forks | longest chain, ms | 16, 64 cores at most \
                    (Amdahl) | as cut at least (Brent) | forks with the longest chains |\n\
                    |---|---:|---:|---:|---:|---:|---|";

fn line(title: &str, work: &Work) -> String {
    let [amdahl, brent] = [Work::amdahl, Work::brent]
        .map(|bound| CORES.map(|cores| format!("{:.1}", bound(work, cores))).join(", "));
    format!(
        "| {title} | {:.2} | {:.1} % | {:.2} | {amdahl} | {brent} | {} |",
        milliseconds(work.time),
        100.0 * work.serial_share(),
        milliseconds(work.span),
        longest(&work.forks),
    )
}

/// The forks with the longest chains, those of one line of the source together.
fn longest(forks: &[ForkWork]) -> String {
    let mut locations: Vec<(String, Duration, usize)> = Vec::new();
    for fork in forks {
        let file = fork.at.file().rsplit_once("src/").map_or(fork.at.file(), |(_, file)| file);
        let location = format!("{file}:{}", fork.at.line());
        match locations.iter_mut().find(|(known, ..)| *known == location) {
            Some((_, span, fewest)) => {
                *span += fork.span;
                *fewest = fork.tasks.min(*fewest);
            }
            None => locations.push((location, fork.span, fork.tasks)),
        }
    }
    locations.sort_by_key(|(_, span, _)| std::cmp::Reverse(*span));
    let text = |(location, span, tasks): &(String, Duration, usize)| {
        format!("{location} {:.2} ms of {tasks} tasks or more", milliseconds(*span))
    };
    locations.iter().take(NAMED).map(text).collect::<Vec<_>>().join("; ")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
