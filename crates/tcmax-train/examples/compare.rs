//! Two methods and each modality alone, from two seeds on generated vectors: trained and compared in memory.
//!
//! ```text
//! cargo run -p tcmax-train --example compare
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use candle_core::Device;
use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{
    Existing, Experiment, Observer, Registry, RunLabel, Suite, open_data_quietly, variants,
};

const EXPERIMENT: &str = "
[data]
name = 'regimes'
regime = 'three-noisy'
test-size = 500
[train]
epochs = 8
[compare]
methods = ['joint', 'tcmax']
each-modality = true
seeds = [0, 1]
";

/// Prints a line for every finished run.
struct Lines;

impl Observer for Lines {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn step(&self, _: &RunLabel, _: &StepRecord) {}
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, run: &RunLabel, result: &RunResult) {
        println!("{run}: {:.1} % after epoch {}", 100.0 * result.test.accuracy, result.best_epoch);
    }
}

fn main() -> tcmax_train::Result<()> {
    let experiment = Experiment::from_toml(EXPERIMENT)?;
    let registry = Registry::default();
    let data = open_data_quietly(&experiment.config.clone().check_with(&registry)?)?;
    let splits = data.splits(0)?;
    let names: Vec<String> = splits.train.modalities().iter().map(|m| m.name.clone()).collect();
    let suite = Suite {
        name: "example".to_owned(),
        title: data.title(),
        dataset: data.as_ref(),
        variants: variants(&experiment, &registry, &names)?,
        seeds: experiment.compare.seeds.clone(),
        settings: Vec::new(),
        folder: None,
        existing: Existing::Refuse,
        baseline: None,
        published: Default::default(),
        group: None,
    };
    let result = suite.run(2, (&Device::Cpu).into(), &Lines, None)?;
    println!("\n{}: mean test accuracy over the seeds", result.title);
    for method in &result.methods {
        let sum: f64 = method.runs.iter().map(|run| run.test.accuracy).sum();
        println!("  {:12} {:5.1} %", method.name, 100.0 * sum / method.runs.len() as f64);
    }
    Ok(())
}
