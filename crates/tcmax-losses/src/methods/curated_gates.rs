//! MMTM blocks between the stages of the encoders, the gates of one of whose modalities can be held at their mean.
//!
//! ```text
//! r <- r + (g - r) / (t + 1),    t <- t + 1      after every pass of training
//! ```
//!
//! g is the mean of a modality's gates over the examples of the batch that have it. While a modality is held, passes of
//! training multiply its maps by r in place of its gates, without gradient: what flows between the modalities reaches
//! its encoder no more, and the layers of its gates do not learn. Passes of evaluation have the gates as they are.
//!
//! Everything remembered is a buffer beside the parameters of the block, as the running statistics of norms are.

use candle_core::{Device, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{Mmtm, StageFusion};
use tcmax_ops::{Linear, Members, ParamBuilder, placed_like, to_scalar_f64, to_vec_f64};
use tcmax_parallel::Purpose;

use crate::Result;

/// Which mean of a modality's gates takes their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateMean {
    /// Over all passes of training so far.
    #[default]
    Running,
    /// Over the batch alone.
    Batch,
}

/// See the [module](self). Clones share parameters and buffers.
#[derive(Clone, Debug)]
pub struct CuratedGates {
    /// One per stage; none where the encoders are not joined.
    blocks: Vec<Option<Curated>>,
    mean: GateMean,
    /// 0, or the modality that is held, from 1.
    held: Var,
    members: Members,
}

/// A block with the means of its gates.
#[derive(Clone, Debug)]
struct Curated {
    block: Mmtm,
    means: Vec<Running>,
}

/// r and t of one modality.
#[derive(Clone, Debug)]
struct Running {
    mean: Var,
    passes: Var,
}

impl Running {
    /// Takes in the mean of a batch's gates, or starts anew from it.
    fn update(&self, batch: &[f64], mean: GateMean) -> candle_core::Result<()> {
        let passes = match mean {
            GateMean::Running => to_scalar_f64(self.passes.as_tensor())?,
            GateMean::Batch => 0.0,
        };
        let before = to_vec_f64(self.mean.as_tensor())?;
        let moved = before.iter().zip(batch).map(|(r, g)| r + (g - r) / (passes + 1.0));
        set(&self.mean, moved.collect())?;
        set(&self.passes, vec![passes + 1.0])
    }
}

fn set(var: &Var, values: Vec<f64>) -> candle_core::Result<()> {
    let values = Tensor::from_vec(values, var.shape(), &Device::Cpu)?;
    var.set(&placed_like(&values, var.as_tensor())?)
}

impl CuratedGates {
    /// Blocks after the stages from `first` (from 0) of encoders with so many channels, `channels[m][stage]`, called
    /// `mmtm1`, `mmtm2`, ... by their stage.
    ///
    /// # Errors
    /// When the name of a parameter is taken.
    pub fn new(
        channels: &[Vec<usize>],
        first: usize,
        mean: GateMean,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let stages = channels.iter().map(Vec::len).min().unwrap_or(0);
        let block = |stage: usize| -> Result<Option<Curated>> {
            if stage < first {
                return Ok(None);
            }
            let channels: Vec<usize> = channels.iter().map(|channels| channels[stage]).collect();
            let builder = builder.pp(format!("mmtm{}", stage + 1));
            let block = Mmtm::new(&channels, &builder)?;
            let running = |(m, &channels): (usize, &usize)| -> Result<Running> {
                let builder = builder.pp(format!("running{m}"));
                let mean = builder.buffer("mean", channels, 0.0)?;
                Ok(Running { mean, passes: builder.buffer("passes", 1, 0.0)? })
            };
            let means = channels.iter().enumerate().map(running).collect::<Result<_>>()?;
            Ok(Some(Curated { block, means }))
        };
        let blocks = (0..stages).map(block).collect::<Result<_>>()?;
        let held = builder.buffer("held", 1, 0.0)?;
        Ok(Self { blocks, mean, held, members: builder.members().clone() })
    }

    /// The modality that is held, if one is.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn held(&self) -> Result<Option<usize>> {
        Ok((to_scalar_f64(self.held.as_tensor())? as usize).checked_sub(1))
    }

    /// Holds a modality from now on, or none.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn hold(&self, modality: Option<usize>) -> Result<()> {
        Ok(set(&self.held, vec![modality.map_or(0.0, |m| m as f64 + 1.0)])?)
    }

    /// The parameters by which the others reach modality `m`: the layers of its gates, and those that all share.
    pub fn bypass(&self, m: usize) -> Vec<Tensor> {
        let blocks = self.blocks.iter().flatten().map(|curated| &curated.block);
        let layers = blocks.flat_map(|block| [Some(block.squeeze()), block.excite().get(m)]);
        layers.flatten().flat_map(Linear::parameters).collect()
    }

    /// Means over the examples of all members that have the modalities.
    fn means(
        &self,
        gates: &[Tensor],
        present: &[&[bool]],
    ) -> candle_core::Result<Vec<Option<Vec<f64>>>> {
        let mut numbers = Vec::new();
        for (gates, present) in gates.iter().zip(present) {
            let channels = gates.dim(1)?;
            let values = to_vec_f64(&gates.detach())?;
            let mut sums = vec![0.0; channels];
            let rows = values.chunks(channels.max(1)).zip(*present).filter(|(_, there)| **there);
            let mut examples = 0.0;
            for (row, _) in rows {
                sums.iter_mut().zip(row).for_each(|(sum, gate)| *sum += gate);
                examples += 1.0;
            }
            numbers.extend(sums);
            numbers.push(examples);
        }
        let group = self.members.group();
        if group.size() > 1 {
            group.sum_f64(&mut numbers, Purpose::BatchNorm).map_err(candle_core::Error::wrap)?;
        }
        let mut rest = &numbers[..];
        let mut means = Vec::with_capacity(gates.len());
        for gates in gates {
            let (own, others) = rest.split_at(gates.dim(1)? + 1);
            rest = others;
            let mean = own.split_last().filter(|(examples, _)| **examples > 0.0);
            means
                .push(mean.map(|(examples, sums)| sums.iter().map(|sum| sum / examples).collect()));
        }
        Ok(means)
    }
}

impl StageFusion for CuratedGates {
    fn factors(
        &self,
        stage: usize,
        means: &[Tensor],
        present: &[&[bool]],
        train: bool,
    ) -> candle_core::Result<Option<Vec<Tensor>>> {
        let Some(curated) = self.blocks.get(stage).and_then(Option::as_ref) else {
            return Ok(None);
        };
        let mut gates = curated.block.gates(means)?;
        if !train {
            return Ok(Some(gates));
        }
        for (running, mean) in curated.means.iter().zip(self.means(&gates, present)?) {
            if let Some(mean) = mean {
                running.update(&mean, self.mean)?;
            }
        }
        let held = to_scalar_f64(self.held.as_tensor())? as usize;
        if let Some(m) = held.checked_sub(1).filter(|&m| m < gates.len()) {
            // A copy: the buffer changes in the next pass.
            let mean = curated.means[m].mean.as_detached_tensor().copy()?;
            gates[m] = mean.broadcast_as(gates[m].shape())?.contiguous()?;
        }
        Ok(Some(gates))
    }
}
