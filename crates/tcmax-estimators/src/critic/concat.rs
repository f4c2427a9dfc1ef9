//! A network on all variables side by side: the critic of MINE and TCNE.
//!
//! T(x_1, ..., x_n) = MLP(u) + u^T Q u with u = [x_1, ..., x_n]; the quadratic form is optional. With it
//! the critic holds the exact log ratio of jointly Gaussian variables, Q = -1/2 (R^-1 - blockdiag(R)^-1),
//! and the network has only the rest to learn.

use candle_core::Tensor;
use tcmax_ops::{Activation, Init, ParamBuilder, quadratic_form};

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
}

impl ConcatCritic {
    /// A critic of variables of the given widths with the given hidden layers; with `quadratic`, also
    /// a quadratic form `quadratic` (D, D) that starts at 0.
    ///
    /// # Errors
    /// When a width or a layer is 0, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: &[usize],
        activation: Activation,
        quadratic: bool,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let total = widths.iter().sum();
        let sizes = [&[total], hidden, &[1]].concat();
        let network = Mlp::new(&sizes, activation, builder)?;
        let quadratic = quadratic
            .then(|| builder.param("quadratic", (total, total), Init::Const(0.0)))
            .transpose()?;
        Ok(Self { widths: widths.to_vec(), network, quadratic })
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
        Ok(Self { widths: widths.to_vec(), network, quadratic })
    }
}

impl Critic for ConcatCritic {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        1
    }

    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(x, &self.widths)?;
        Ok(x.to_vec())
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        let u = Tensor::cat(parts, 1)?;
        let network = self.network.forward(&u)?;
        Ok(match &self.quadratic {
            Some(form) => (network + quadratic_form(&u, form)?)?,
            None => network,
        })
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.network.parameters().into_iter().chain(self.quadratic.clone()).collect()
    }
}
