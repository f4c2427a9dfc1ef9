//! Losses of a concat head, forward and backward, alternately.

use std::time::Instant;

use candle_core::Tensor;
use tcmax_estimators::{Bound, Labels, Reference};
use tcmax_fusion::{CONCAT, FusionHead};
use tcmax_losses::{cross_entropy, tcmax};
use tcmax_registry::Table;

use crate::{builder, device, random};

/// The share of TCMax in the blend.
const WEIGHT: f64 = 0.1;

/// A head, a batch, and the losses of it.
pub struct Losses {
    head: Box<dyn FusionHead>,
    features: Vec<Tensor>,
    labels: Labels,
}

/// What fails here is only a shape that does not fit.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Losses {
    /// For `batch` examples of `classes` classes, and `width` features of each of two modalities.
    ///
    /// # Errors
    /// When there are fewer than two classes, or no example.
    pub fn new(batch: usize, classes: usize, width: usize) -> Result<Self> {
        let widths = [width, width];
        let head = CONCAT.build(&Table::new(), &widths, classes, &builder())?;
        let mut features = Vec::new();
        for name in ["audio", "visual"] {
            features.push(random(name, &[batch, width])?.as_tensor().clone());
        }
        let labels: Vec<u32> = (0..batch).map(|row| (row % classes) as u32).collect();
        Ok(Self { head, features, labels: Labels::new(&labels, classes, device())? })
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

    /// The blend of both.
    ///
    /// # Errors
    /// Only if an operation fails.
    pub fn blend(&self) -> Result<()> {
        let all = Reference::all();
        let bound = Bound::new(self.head.as_ref(), &self.features, &self.labels, all)?;
        tcmax_ops::backward(&bound.blended(WEIGHT)?.neg()?)?;
        Ok(())
    }

    /// Milliseconds of `count` calls of each, in turn: TCMax, the blend, cross-entropy.
    ///
    /// # Errors
    /// Only if an operation fails.
    pub fn time(&self, count: usize) -> Result<[Vec<f64>; 3]> {
        let timed = |work: &dyn Fn() -> Result<()>| -> Result<f64> {
            let start = Instant::now();
            work()?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        let mut times = [(); 3].map(|()| Vec::with_capacity(count));
        for call in 0..count + 2 {
            let all = [&|| self.tcmax(), &|| self.blend(), &|| self.cross_entropy()]
                as [&dyn Fn() -> Result<()>; 3];
            let [a, b, c] = all.map(timed);
            let found = [a?, b?, c?];
            if call >= 2 {
                times.iter_mut().zip(found).for_each(|(times, time)| times.push(time));
            }
        }
        Ok(times)
    }
}
