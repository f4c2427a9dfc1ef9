//! The additive critic: T(x_1, ..., x_n, c) = sum_m g_m(x_m)\[c\], with a network g_m a variable.

use candle_core::Tensor;
use tcmax_ops::{ParamBuilder, sum_of};

use super::{Activation, Mlp, SeparableCritic, check_variables};
use crate::{Critic, Error, Result, Tuples};

/// The additive critic; parameters are called `net0.fc1.weight`, ...
///
/// With labels as outcomes it goes into [`crate::BatchBound`]; without, into [`super::LatentCritic`].
#[derive(Clone, Debug)]
pub struct AdditiveCritic {
    widths: Vec<usize>,
    outcomes: usize,
    networks: Vec<Mlp>,
}

impl AdditiveCritic {
    /// A critic of variables of the given widths; every network has the given hidden layers and one
    /// output an outcome.
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

    /// A critic on given networks, one a variable.
    ///
    /// # Errors
    /// When there is none, or their outputs differ in width.
    pub fn from_networks(networks: Vec<Mlp>) -> Result<Self> {
        // The same shapes are asked for there.
        SeparableCritic::from_networks(networks.clone())?;
        let outcomes = networks.first().map(Mlp::outputs);
        let outcomes = outcomes.ok_or(Error::Empty { what: "the critic", unit: "network" })?;
        Ok(Self { widths: networks.iter().map(Mlp::inputs).collect(), outcomes, networks })
    }

    fn terms(&self, variables: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(variables, &self.widths)?;
        self.networks.iter().zip(variables).map(|(network, x)| network.forward(x)).collect()
    }
}

impl Critic for AdditiveCritic {
    fn num_variables(&self) -> usize {
        self.widths.len()
    }

    fn num_outcomes(&self) -> usize {
        self.outcomes
    }

    fn scores(&self, variables: &[Tensor]) -> Result<Tensor> {
        Ok(sum_of(&self.terms(variables)?)?)
    }

    fn additive_terms(&self, variables: &[Tensor]) -> Result<Option<Vec<Tensor>>> {
        self.terms(variables).map(Some)
    }

    fn row_parts(&self, variables: &[Tensor]) -> Result<Vec<Tensor>> {
        self.terms(variables)
    }

    fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
        Ok(sum_of(&tuples.gather(parts)?)?)
    }
}
