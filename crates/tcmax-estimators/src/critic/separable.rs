//! The separable critic: T(x_1, ..., x_n) = sum_k prod_m e_m(x_m)\[k\], with one network e_m per variable.
//!
//! For n = 2 this is the inner product of two embeddings (Poole et al. 2019). The networks see every row
//! once, whatever the number of tuples.

use candle_core::Tensor;
use tcmax_ops::{Activation, ParamBuilder};

use super::definition::{Critic, check_variables};
use super::mlp::Mlp;
use crate::error::{Error, Result};

/// The separable critic; parameters are called `net0.fc1.weight`, ...
#[derive(Clone, Debug)]
pub struct SeparableCritic {
    widths: Vec<usize>,
    networks: Vec<Mlp>,
}

impl SeparableCritic {
    /// A critic of variables of the given widths; every network has the given hidden layers and
    /// `embedding` outputs.
    ///
    /// # Errors
    /// When a width or a layer is 0, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: &[usize],
        embedding: usize,
        activation: Activation,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let network = |(m, &width): (usize, &usize)| {
            let sizes = [&[width], hidden, &[embedding]].concat();
            Mlp::new(&sizes, activation, &builder.pp(format!("net{m}")))
        };
        Self::from_networks(widths.iter().enumerate().map(network).collect::<Result<_>>()?)
    }

    /// A critic on given networks, one per variable.
    ///
    /// # Errors
    /// When there is none, or their outputs differ in width.
    pub fn from_networks(networks: Vec<Mlp>) -> Result<Self> {
        let outputs: Vec<usize> = networks.iter().map(Mlp::outputs).collect();
        if outputs.is_empty() {
            return Err(Error::Empty { what: "the critic", unit: "network" });
        }
        if outputs.iter().any(|&width| width != outputs[0]) {
            return Err(Error::WrongShape {
                what: "embeddings of the critic".to_owned(),
                got: outputs,
                wanted: "one width for all".to_owned(),
            });
        }
        Ok(Self { widths: networks.iter().map(Mlp::inputs).collect(), networks })
    }
}

impl Critic for SeparableCritic {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        1
    }

    /// e_m(x_m), each (N, K).
    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(x, &self.widths)?;
        self.networks.iter().zip(x).map(|(network, x)| network.forward(x)).collect()
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        let mut product = parts[0].clone();
        for part in &parts[1..] {
            product = (product * part)?;
        }
        Ok(product.sum_keepdim(1)?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.networks.iter().flat_map(Mlp::parameters).collect()
    }
}
