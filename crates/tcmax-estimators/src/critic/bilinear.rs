//! The bilinear critic of two variables: T(x_1, x_2) = x_1^T W x_2 (van den Oord et al. 2018).

use candle_core::Tensor;
use tcmax_ops::{Init, ParamBuilder};

use super::definition::{Critic, check_variables};
use crate::error::{Error, Result};

/// The bilinear critic.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_estimators::critic::BilinearCritic;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let critic = BilinearCritic::from_tensor(Tensor::new(&[[2f64]], &Device::Cpu)?)?;
/// let x = [Tensor::new(&[[10f64]], &Device::Cpu)?, Tensor::new(&[[3f64]], &Device::Cpu)?];
/// assert_eq!(critic.scores(&x)?.to_vec2::<f64>()?, [[60.0]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BilinearCritic {
    /// (D_1, D_2).
    weight: Tensor,
    widths: [usize; 2],
}

impl BilinearCritic {
    /// A critic of variables of the given widths, started at Xavier's normal distribution.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(widths: [usize; 2], builder: &ParamBuilder) -> Result<Self> {
        let weight = builder.param("weight", (widths[0], widths[1]), Init::XavierNormal)?;
        Ok(Self { weight, widths })
    }

    /// A critic on a given W (D_1, D_2).
    ///
    /// # Errors
    /// When W is not a matrix.
    pub fn from_tensor(weight: Tensor) -> Result<Self> {
        match *weight.dims() {
            [first, second] => Ok(Self { weight, widths: [first, second] }),
            ref dims => Err(Error::WrongShape {
                what: "weight of the bilinear critic".to_owned(),
                got: dims.to_vec(),
                wanted: "[width 1, width 2]".to_owned(),
            }),
        }
    }
}

impl Critic for BilinearCritic {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        1
    }

    /// x_1^T W and x_2.
    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(x, &self.widths)?;
        Ok(vec![x[0].matmul(&self.weight)?, x[1].clone()])
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        Ok((&parts[0] * &parts[1])?.sum_keepdim(1)?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        vec![self.weight.clone()]
    }
}
