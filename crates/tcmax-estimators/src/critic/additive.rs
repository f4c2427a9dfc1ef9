//! The additive critic: T(x_1, ..., x_n, c) = sum_m g_m(x_m)\[c\], with one network g_m per variable.

use candle_core::Tensor;
use tcmax_ops::{Activation, ParamBuilder, sum_of};

use super::definition::{Critic, check_variables};
use super::mlp::Mlp;
use super::separable::SeparableCritic;
use crate::error::{Error, Result};

/// The additive critic; parameters are called `net0.fc1.weight`, ...
///
/// With labels as outcomes, its bound is on the information of the variables and the label; for the
/// variables alone, put it into a [`super::LatentCritic`].
#[derive(Clone, Debug)]
pub struct AdditiveCritic {
    widths: Vec<usize>,
    outcomes: usize,
    networks: Vec<Mlp>,
}

impl AdditiveCritic {
    /// A critic of variables of the given widths; every network has the given hidden layers and one
    /// output per outcome.
    ///
    /// # Errors
    /// When a width or a layer is 0, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: &[usize],
        outcomes: usize,
        activation: Activation,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let network = |(m, &width): (usize, &usize)| {
            let sizes = [&[width], hidden, &[outcomes]].concat();
            Mlp::new(&sizes, activation, &builder.pp(format!("net{m}")))
        };
        Self::from_networks(widths.iter().enumerate().map(network).collect::<Result<_>>()?)
    }

    /// A critic on given networks, one per variable.
    ///
    /// # Errors
    /// When there is none, or their outputs differ in width.
    pub fn from_networks(networks: Vec<Mlp>) -> Result<Self> {
        // A separable critic needs the same shapes.
        SeparableCritic::from_networks(networks.clone())?;
        let outcomes = networks.first().map(Mlp::outputs);
        let outcomes = outcomes.ok_or(Error::Empty { what: "the critic", unit: "network" })?;
        Ok(Self { widths: networks.iter().map(Mlp::inputs).collect(), outcomes, networks })
    }
}

impl Critic for AdditiveCritic {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.outcomes
    }

    /// g_m(x_m), each (N, C).
    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(x, &self.widths)?;
        self.networks.iter().zip(x).map(|(network, x)| network.forward(x)).collect()
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        Ok(sum_of(parts)?)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.networks.iter().flat_map(Mlp::parameters).collect()
    }
}
