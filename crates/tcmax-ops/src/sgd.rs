//! Stochastic gradient descent with momentum and weight decay.
//!
//! ```text
//! d <- g + decay p;   v <- momentum v + d  (v starts as the first d);   p <- p - rate v
//! ```
//!
//! as PyTorch's `torch.optim.SGD`. candle 0.11's SGD has neither momentum nor decay. A parameter
//! without a gradient is left alone: no decay, no momentum.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var, backprop::GradStore};

use crate::{Error, Params, Result, State};

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum, in [0, 1).
    pub momentum: f64,
    /// Weight decay, added to the gradient before the momentum.
    pub weight_decay: f64,
}

/// The optimiser of one [`Params`].
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{Init, ParamBuilder, Seed, Sgd, SgdConfig};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
/// let mut sgd = Sgd::new(&builder.params(), config)?;
/// for _ in 0..2 {
///     sgd.step(&(&p * 2.0)?.sum_all()?.backward()?)?;
/// }
/// // 1 - 0.1 * 2 - 0.1 * (0.9 * 2 + 2)
/// assert!((p.to_vec1::<f64>()?[0] - 0.42).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    params: Vec<(String, Var)>,
    momentum: BTreeMap<String, Tensor>,
    config: SgdConfig,
}

impl Sgd {
    /// An optimiser that has made no step.
    ///
    /// # Errors
    /// Never at present; devices may refuse state in the future.
    pub fn new(params: &Params, config: SgdConfig) -> Result<Self> {
        let params = params.trainable().map(|(name, var)| (name.to_owned(), var.clone()));
        Ok(Self { params: params.collect(), momentum: BTreeMap::new(), config })
    }

    /// Sets the learning rate of the steps to come.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.config.learning_rate = learning_rate;
    }

    /// Moves every parameter that has a gradient.
    ///
    /// # Errors
    /// When a gradient has another shape than its parameter.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let SgdConfig { learning_rate, momentum, weight_decay } = self.config;
        for (name, var) in &self.params {
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            let value = var.as_detached_tensor();
            let mut direction = gradient.detach();
            if weight_decay != 0.0 {
                direction = (direction + (&value * weight_decay)?)?;
            }
            if momentum != 0.0 {
                if let Some(old) = self.momentum.get(name) {
                    direction = ((old * momentum)? + direction)?;
                }
                self.momentum.insert(name.clone(), direction.clone());
            }
            var.set(&(value - (direction * learning_rate)?)?)?;
        }
        Ok(())
    }

    /// The momentum of every parameter that has made a step, by name: deep copies.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn state(&self) -> Result<State> {
        let copies = self.momentum.iter().map(|(name, v)| Ok((name.clone(), v.copy()?)));
        copies.collect()
    }

    /// Goes on from a saved momentum.
    ///
    /// # Errors
    /// When a name is not a parameter's or a shape differs; nothing is changed then.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        let mut momentum = BTreeMap::new();
        for (name, tensor) in state {
            let Some((_, var)) = self.params.iter().find(|(own, _)| own == name) else {
                return Err(Error::UnknownTensor { name: name.clone() });
            };
            if tensor.shape() != var.shape() {
                return Err(Error::WrongShape {
                    name: name.clone(),
                    got: tensor.shape().clone(),
                    wanted: var.shape().clone(),
                });
            }
            let tensor = tensor.to_dtype(var.dtype())?.to_device(var.device())?.copy()?;
            momentum.insert(name.clone(), tensor);
        }
        self.momentum = momentum;
        Ok(())
    }
}

/// Scales all gradients down together so that their joint norm is at most `largest`; returns the
/// norm before. The norm is summed in f64, in the order of the names.
///
/// # Errors
/// Only if the device fails.
pub fn clip_grad_norm(params: &Params, gradients: &mut GradStore, largest: f64) -> Result<f64> {
    let mut squares = 0.0;
    for (_, var) in params.trainable() {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            let gradient = gradient.to_dtype(candle_core::DType::F64)?;
            squares += gradient.sqr()?.sum_all()?.to_scalar::<f64>()?;
        }
    }
    let norm = squares.sqrt();
    if norm > largest {
        for (_, var) in params.trainable() {
            if let Some(gradient) = gradients.get(var.as_tensor()) {
                let scaled = (gradient * (largest / norm))?;
                gradients.insert(var.as_tensor(), scaled);
            }
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamBuilder, Seed};
    use candle_core::{DType, Device};

    fn two() -> (Params, Tensor, Tensor) {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let a = builder.param("a", 2, Init::Const(1.0)).unwrap();
        let b = builder.param("b", 1, Init::Const(1.0)).unwrap();
        (builder.params(), a, b)
    }

    #[test]
    fn decay_is_coupled_and_spares_what_has_no_gradient() {
        let (params, a, b) = two();
        let config = SgdConfig { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.5 };
        let mut sgd = Sgd::new(&params, config).unwrap();
        let loss = (&a * 3.0).unwrap().sum_all().unwrap();
        sgd.step(&loss.backward().unwrap()).unwrap();
        assert_eq!(a.to_vec1::<f64>().unwrap(), [1.0 - 0.1 * 3.5; 2]);
        assert_eq!(b.to_vec1::<f64>().unwrap(), [1.0]);
    }

    #[test]
    fn saved_momentum_goes_on_where_it_was() {
        let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let run = |reload: bool| {
            let (params, a, b) = two();
            let mut sgd = Sgd::new(&params, config).unwrap();
            for step in 0..3 {
                let loss = (a.sqr().unwrap().sum_all().unwrap() + b.sum_all().unwrap()).unwrap();
                sgd.step(&loss.backward().unwrap()).unwrap();
                if reload && step == 1 {
                    let state = sgd.state().unwrap();
                    sgd = Sgd::new(&params, config).unwrap();
                    sgd.load_state(&state).unwrap();
                }
            }
            a.to_vec1::<f64>().unwrap()
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let (params, a, b) = two();
        let loss = (&a * 3.0).unwrap().sum_all().unwrap() + (&b * 4.0).unwrap().sum_all().unwrap();
        let mut gradients = loss.unwrap().backward().unwrap();
        let norm = clip_grad_norm(&params, &mut gradients, 1.0).unwrap();
        assert!((norm - 34f64.sqrt()).abs() < 1e-12);
        let clipped = gradients.get(&b).unwrap().to_vec1::<f64>().unwrap()[0];
        assert!((clipped - 4.0 / norm).abs() < 1e-12);
        assert!((clip_grad_norm(&params, &mut gradients, 2.0).unwrap() - 1.0).abs() < 1e-12);
    }
}
