//! Losses of a concat head on features of 512 numbers, forward and backward, alternately.

use std::time::Instant;

use candle_core::{Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead};
use tcmax_losses::{cross_entropy, tcmax};
use tcmax_registry::Table;

use crate::{builder, random};

/// Feature width of each of the two modalities.
pub const WIDTH: usize = 512;

/// A head, a batch, and the two losses of it.
pub struct Losses {
    head: Box<dyn FusionHead>,
    features: Vec<Tensor>,
    labels: Labels,
}

/// What fails here is only a shape that does not fit.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Losses {
    /// For `batch` examples of `classes` classes.
    ///
    /// # Errors
    /// When there are fewer than two classes, or no example.
    pub fn new(batch: usize, classes: usize) -> Result<Self> {
        let widths = [WIDTH, WIDTH];
        let head = CONCAT.build(&Table::new(), &widths, classes, &builder())?;
        let mut features = Vec::new();
        for name in ["audio", "visual"] {
            features.push(random(name, &[batch, WIDTH])?.as_tensor().clone());
        }
        let labels: Vec<u32> = (0..batch).map(|row| (row % classes) as u32).collect();
        Ok(Self { head, features, labels: Labels::new(&labels, classes, &Device::Cpu)? })
    }

    /// Cross-entropy of the fused logits.
    ///
    /// # Errors
    /// Only if an operation fails.
    pub fn cross_entropy(&self) -> Result<()> {
        let loss = cross_entropy(&self.head.logits(&self.features)?, &self.labels)?;
        tcmax_ops::backward(&loss)?;
        Ok(())
    }

    /// The TCMax loss.
    ///
    /// # Errors
    /// Only if an operation fails.
    pub fn tcmax(&self) -> Result<()> {
        tcmax_ops::backward(&tcmax(self.head.as_ref(), &self.features, &self.labels)?)?;
        Ok(())
    }

    /// Milliseconds of `count` calls of each, in turn: TCMax, cross-entropy.
    ///
    /// # Errors
    /// Only if an operation fails.
    pub fn time(&self, count: usize) -> Result<[Vec<f64>; 2]> {
        let timed = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        let mut times = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for call in 0..count + 2 {
            let pair = [timed(&|| self.tcmax())?, timed(&|| self.cross_entropy())?];
            if call >= 2 {
                times.iter_mut().zip(pair).for_each(|(times, time)| times.push(time));
            }
        }
        Ok(times)
    }
}
