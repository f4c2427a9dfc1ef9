//! Training by several processes: measured here, and what a model of communication says of clusters.

#![expect(clippy::print_stdout, reason = "the output of the command")]

mod measure;
mod model;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use measure::{Measured, Programs};
use model::{Link, Network};

/// Options of `cargo xtask bench-scaling`.
#[derive(Clone, Debug, Args)]
pub struct BenchScaling {
    /// Where `tcmax` and `examples/exchange` lie, built with the feature `mpi`.
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    binaries: PathBuf,
    /// Only what the model says; nothing is run.
    #[arg(long)]
    model: bool,
}

/// Two ResNet-18, of pictures and of spectrograms, as measured here.
const MEASURED: Network = Network {
    name: "2 x ResNet-18",
    parameters: 2.0 * 11_170_000.0,
    norms: (2.0 * 4800.0, 2.0 * 20.0),
    modalities: 2.0,
    classes: 10.0,
    features: 1024.0,
};

/// Two encoders of each kind, 309 classes.
const RESNET: Network = Network { classes: 309.0, ..MEASURED };
const VIT: Network = Network {
    name: "2 x ViT-B/32",
    parameters: 2.0 * 87_850_000.0,
    norms: (0.0, 0.0),
    modalities: 2.0,
    classes: 309.0,
    features: 1536.0,
};

/// Seconds of forward and backward of 64 examples of 224 x 224 on a rank of 16 cores that keep 12 busy: eight
/// examples of one encoder take 0.41 s (ResNet-18) and 2.3 s (ViT-B/32) on one.
const NETWORKS: [(Network, f64); 2] =
    [(RESNET, 2.0 * 8.0 * 0.41 / 12.0), (VIT, 2.0 * 8.0 * 2.3 / 12.0)];

/// Examples of a rank.
const SHARE: f64 = 64.0;

const LINKS: [Link; 2] = [
    Link { name: "10 Gbit/s Ethernet", latency: 30e-6, rate: 1.1e9 },
    Link { name: "100 Gbit/s InfiniBand", latency: 2e-6, rate: 11e9 },
];

const RANKS: [f64; 5] = [8.0, 32.0, 128.0, 512.0, 1024.0];

impl BenchScaling {
    pub fn run(self) -> anyhow::Result<()> {
        if !self.model {
            let programs = Programs::in_folder(&self.binaries)?;
            let (link, measured) = programs.measure().context("cannot measure")?;
            print_measured(&link, &measured);
        }
        for (network, compute) in NETWORKS {
            print_predicted(&network, compute);
        }
        print_losses();
        Ok(())
    }
}

/// What was measured, beside what the model says of the same.
fn print_measured(link: &Link, measured: &[Measured]) {
    println!(
        "Processes of this machine: {:.0} microseconds a message, {:.2} GB/s.\n",
        1e6 * link.latency,
        link.rate / 1e9
    );
    println!("| ranks | step, ms | model, ms | gradients, MB | batch norm, KB | loss, bytes |");
    println!("|---:|---:|---:|---:|---:|---:|");
    let alone = measured[0].step;
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    for Measured { ranks, step, bytes: [gradients, norms, loss] } in measured {
        let exchanges: f64 = MEASURED.exchanges(link, *ranks).iter().sum();
        let predicted = alone / ranks.min(cores) + exchanges * (ranks / cores).max(1.0);
        println!(
            "| {ranks} | {:.0} | {:.0} | {:.1} | {:.1} | {loss:.0} |",
            1e3 * step,
            1e3 * predicted,
            gradients / 1e6,
            norms / 1e3
        );
    }
    println!();
}

/// The efficiency of a network on each link.
fn print_predicted(network: &Network, compute: f64) {
    let [gradients, norms, loss] = network.bytes();
    println!(
        "{}, {SHARE} examples and {compute:.2} s of computing a rank and step; each gives {:.0} MB of gradients, {:.0} KB \
         of batch statistics and {:.1} KB of the loss a step.\n",
        network.name,
        gradients / 1e6,
        norms / 1e3,
        loss / 1e3
    );
    println!("| link | ranks | batch | gradients, ms | batch norm, ms | loss, ms | efficiency |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for link in LINKS {
        for ranks in RANKS {
            let exchanges = network.exchanges(&link, ranks);
            let [of_gradients, of_norms, of_loss, _] = exchanges.map(|seconds| 1e3 * seconds);
            let efficiency = compute / (compute + exchanges.iter().sum::<f64>());
            println!(
                "| {} | {ranks} | {} | {of_gradients:.1} | {of_norms:.1} | {of_loss:.2} | {:.0} % |",
                link.name,
                ranks * SHARE,
                100.0 * efficiency
            );
        }
    }
    println!();
}

/// What the loss adds over cross-entropy, beside gathering features.
fn print_losses() {
    println!(
        "| ranks | batch | cross-entropy | TCMax gives | TCMax receives | ms | features receive | ms |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    let [_, link] = LINKS;
    for ranks in RANKS {
        let batch = ranks * SHARE;
        let own = RESNET.loss_bytes();
        println!(
            "| {ranks} | {batch} | 0 | {:.1} KB | {:.2} MB | {:.2} | {:.1} MB | {:.1} |",
            own / 1e3,
            own * (ranks - 1.0) / 1e6,
            1e3 * link.gather(own, ranks),
            4.0 * RESNET.features * (batch - SHARE) / 1e6,
            1e3 * RESNET.feature_gather(&link, ranks, batch)
        );
    }
}
