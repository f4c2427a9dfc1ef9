//! A network on all variables side by side: the critic of MINE and TCNE.
//!
//! T(x_1, ..., x_n) = MLP(u) + u^T Q u with u = [x_1, ..., x_n]; the quadratic form is optional. With it
//! the critic holds the exact log ratio of jointly Gaussian variables, Q = -1/2 (R^-1 - blockdiag(R)^-1),
//! and the network has only the rest to learn.

use candle_core::Tensor;
use tcmax_ops::{Activation, Init, Linear, ParamBuilder, quadratic_form};

use super::definition::{Critic, check_variables};
use super::mlp::Mlp;
use crate::error::{Error, Result};

/// The concatenating critic.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_estimators::critic::{Activation, ConcatCritic, Mlp};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let weight = Tensor::new(&[[1f64, 2.0]], &Device::Cpu)?;
/// let layer = (weight, Tensor::new(&[0.5f64], &Device::Cpu)?);
/// let network = Mlp::from_tensors(vec![layer], Activation::Relu)?;
/// let critic = ConcatCritic::from_parts(&[1, 1], network, None)?;
/// let x = [Tensor::new(&[[10f64]], &Device::Cpu)?, Tensor::new(&[[3f64]], &Device::Cpu)?];
/// assert_eq!(critic.scores(&x)?.to_vec2::<f64>()?, [[16.5]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConcatCritic {
    widths: Vec<usize>,
    network: Mlp,
    quadratic: Option<Tensor>,
    /// Of each variable, the layer to the factors of the products; empty without products.
    factors: Vec<Linear>,
}

/// What a concatenating critic has besides the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConcatExtras {
    /// A quadratic form `quadratic` (D, D), which starts at 0.
    pub quadratic: bool,
    /// So many products prod_m tanh(w_m . x_m + b_m) as inputs of the network.
    pub products: usize,
}

impl ConcatCritic {
    /// A critic of variables of the given widths with the given hidden layers.
    ///
    /// # Errors
    /// When a width or a layer is 0, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: &[usize],
        activation: Activation,
        extras: ConcatExtras,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let ConcatExtras { quadratic, products } = extras;
        let total: usize = widths.iter().sum();
        let sizes = [&[total + products], hidden, &[1]].concat();
        let network = Mlp::new(&sizes, activation, builder)?;
        let quadratic = quadratic
            .then(|| builder.param("quadratic", (total, total), Init::Const(0.0)))
            .transpose()?;
        let mut factors = Vec::new();
        if products > 0 {
            for (m, &width) in widths.iter().enumerate() {
                let builder = builder.pp(format!("factors{m}"));
                // As steep as a sign where a variable is mostly, so that products of several are not all near 0.
                let steep = Init::Normal { mean: 0.0, std: STEEPNESS / (width as f64).sqrt() };
                let weight = builder.param("weight", (products, width), steep)?;
                let bias =
                    builder.param("bias", products, Init::Normal { mean: 0.0, std: SHIFT })?;
                factors.push(Linear::from_tensors(weight, bias)?);
            }
        }
        Ok(Self { widths: widths.to_vec(), network, quadratic, factors })
    }

    /// A critic on given parts: a network from the sum of the widths to 1, and Q of that size.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub fn from_parts(widths: &[usize], network: Mlp, quadratic: Option<Tensor>) -> Result<Self> {
        let total: usize = widths.iter().sum();
        if (network.inputs(), network.outputs()) != (total, 1) {
            return Err(Error::WrongShape {
                what: "network of the critic".to_owned(),
                got: vec![network.inputs(), network.outputs()],
                wanted: format!("{total} inputs and 1 output"),
            });
        }
        if let Some(form) = quadratic.as_ref().filter(|form| form.dims() != [total, total]) {
            return Err(Error::WrongShape {
                what: "quadratic form of the critic".to_owned(),
                got: form.dims().to_vec(),
                wanted: format!("[{total}, {total}]"),
            });
        }
        Ok(Self { widths: widths.to_vec(), network, quadratic, factors: Vec::new() })
    }

    /// The variables side by side, and the products of the factors that parts hold behind them, if any.
    fn split(&self, parts: &[Tensor]) -> Result<(Tensor, Option<Tensor>)> {
        if self.factors.is_empty() {
            return Ok((Tensor::cat(parts, 1)?, None));
        }
        let own = parts.iter().zip(&self.widths).map(|(part, &width)| part.narrow(1, 0, width));
        let x = Tensor::cat(&own.collect::<candle_core::Result<Vec<_>>>()?, 1)?;
        let mut factors = parts
            .iter()
            .zip(&self.widths)
            .map(|(part, &width)| part.narrow(1, width, part.dim(1)? - width)?.contiguous());
        let first = factors.next().transpose()?;
        let product = factors.try_fold(first, |product, factor| match product {
            Some(product) => (product * factor?).map(Some),
            None => Ok(None),
        })?;
        Ok((x, product))
    }
}

/// Standard deviation of w . x at the start, where x is of unit variance, and of b.
const STEEPNESS: f64 = 2.0;
const SHIFT: f64 = 0.3;

impl Critic for ConcatCritic {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        1
    }

    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(x, &self.widths)?;
        if self.factors.is_empty() {
            return Ok(x.to_vec());
        }
        let with_factors = |(x, factors): (&Tensor, &Linear)| {
            Ok(Tensor::cat(&[x, &factors.forward(x)?.tanh()?], 1)?)
        };
        x.iter().zip(&self.factors).map(with_factors).collect()
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        let (u, product) = self.split(parts)?;
        let network = match product {
            Some(product) => self.network.forward(&Tensor::cat(&[&u, &product], 1)?)?,
            None => self.network.forward(&u)?,
        };
        Ok(match &self.quadratic {
            Some(form) => (network + quadratic_form(&u, form)?)?,
            None => network,
        })
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        let network = self.network.parameters().into_iter();
        network
            .chain(self.quadratic.clone())
            .chain(self.factors.iter().flat_map(Linear::parameters))
            .collect()
    }
}
