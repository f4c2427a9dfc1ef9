//! Is one classifier better than another on the same test rows, and how well are its probabilities calibrated?
//!
//! ```text
//! cargo run -p tcmax-metrics --example two_classifiers
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tcmax_metrics::{Bootstrap, Classification, McNemar, Result, Temperature};

const CLASSES: usize = 5;

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let labels: Vec<u32> = (0..600).map(|_| rng.random_range(0..CLASSES as u32)).collect();
    // The second sees the class a little better, and both are too certain.
    let (first, second) = (logits(&labels, 0.9, &mut rng), logits(&labels, 1.1, &mut rng));

    println!("            accuracy %, 95 % interval   macro F1   AUROC    ECE   log loss, nats");
    for (name, logits) in [("first", &first), ("second", &second)] {
        let summary = Classification::of(logits, &labels, CLASSES)?.summary;
        let interval = Bootstrap::default().accuracy(&right(logits, &labels))?;
        println!(
            "{name:10}  {:10.1}, {:4.1} to {:4.1}  {:12.3}  {:6.3}  {:5.3}  {:15.3}",
            100.0 * summary.accuracy,
            100.0 * interval.low,
            100.0 * interval.high,
            summary.macro_average.f1,
            summary.auroc_macro,
            summary.ece,
            summary.log_loss
        );
    }
    let test = McNemar::of(&right(&first, &labels), &right(&second, &labels))?;
    println!(
        "Only the first is right on {} rows, only the second on {}: p = {:.3} that chance alone does that.",
        test.only_first, test.only_second, test.p
    );
    let fitted = Temperature::fit(&second, &labels, CLASSES)?;
    println!(
        "Dividing the second's logits by {:.2} brings its log loss from {:.3} to {:.3} nats.",
        fitted.value, fitted.log_loss_before, fitted.log_loss_after
    );
    Ok(())
}

/// Logits (N, C) that show the label by `signal`, in uniform noise.
fn logits(labels: &[u32], signal: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let of_row = |&label: &u32| {
        let shown = |class: usize| if class == label as usize { signal } else { 0.0 };
        (0..CLASSES).map(|c| 6.0 * (shown(c) + rng.random_range(-1.0..1.0))).collect::<Vec<f64>>()
    };
    labels.iter().flat_map(of_row).collect()
}

/// Whether each row's largest logit is its label's.
fn right(logits: &[f64], labels: &[u32]) -> Vec<bool> {
    let rows = logits.chunks(CLASSES).zip(labels);
    rows.map(|(row, &label)| row.iter().all(|other| *other <= row[label as usize])).collect()
}
