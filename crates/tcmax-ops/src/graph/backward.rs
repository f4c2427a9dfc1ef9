//! Backpropagation that adds no zeros to the gradients of parameters.

use std::cell::RefCell;

use candle_core::{Result, Tensor, backprop::GradStore};

thread_local! {
    static COLLECTED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// The gradients of `loss`, as `loss.backward()` gives them, but faster.
///
/// candle adds every gradient that a custom operation returns to a tensor of zeros. That takes three
/// passes over memory instead of one, and in a small network as long as the arithmetic. Under this
/// function the operations of this crate deliver the gradients of variables directly.
/// `loss.backward()` gives the same numbers.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
///
/// # fn main() -> candle_core::Result<()> {
/// let weight = Var::new(&[[[[2f32]]]], &Device::Cpu)?;
/// let x = Tensor::new(&[[[[1f32], [3.0]]]], &Device::Cpu)?;
/// let y = tcmax_ops::conv2d(&x, weight.as_tensor(), Default::default())?;
/// let gradients = tcmax_ops::backward(&y.sum_all()?)?;
/// assert_eq!(gradients.get(weight.as_tensor()).unwrap().flatten_all()?.to_vec1::<f32>()?, [4.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When an operation's backward pass fails.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let collection = Collection::start();
    let mut gradients = loss.backward()?;
    for (variable, gradient) in collection.finish() {
        let gradient = match gradients.remove(&variable) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        gradients.insert(&variable, gradient);
    }
    Ok(gradients)
}

/// Collects the gradient of a variable if [`backward`] is running on this thread. Otherwise, and where
/// `tensor` is no variable, returns it for candle to add.
pub(crate) fn hand_over(tensor: &Tensor, gradient: Tensor) -> Option<Tensor> {
    if !tensor.is_variable() {
        return Some(gradient);
    }
    COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) => {
            collected.push((tensor.clone(), gradient));
            None
        }
        None => Some(gradient),
    })
}

/// Collects until it is dropped, also by a panic, and then restores what was before.
struct Collection(Option<Vec<(Tensor, Tensor)>>);

impl Collection {
    fn start() -> Self {
        Self(COLLECTED.replace(Some(Vec::new())))
    }

    fn finish(self) -> Vec<(Tensor, Tensor)> {
        COLLECTED.with_borrow_mut(Option::take).unwrap_or_default()
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        COLLECTED.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::conv2d::{Conv2dConfig, conv2d};
    use candle_core::{Device, Var};

    fn variable() -> Var {
        Var::new(&[[[[2f64, -1.0]]]], &Device::Cpu).unwrap()
    }

    /// A variable used by two convolutions and by a candle operation.
    fn loss(weight: &Var) -> Tensor {
        let x = Tensor::new(&[[[[3f64], [0.5]]]], &Device::Cpu).unwrap();
        let y = conv2d(&x, weight.as_tensor(), Conv2dConfig::default()).unwrap();
        let z = conv2d(&(x * 2.0).unwrap(), weight.as_tensor(), Default::default()).unwrap();
        let squares = weight.as_tensor().sqr().unwrap().sum_all().unwrap();
        ((y.sqr().unwrap() + z).unwrap().sum_all().unwrap() + squares).unwrap()
    }

    #[test]
    fn gradients_are_those_of_candle() {
        let weight = variable();
        let read = |gradients: &GradStore| {
            let gradient = gradients.get(weight.as_tensor()).unwrap();
            gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        let plain = read(&loss(&weight).backward().unwrap());
        let ours = read(&backward(&loss(&weight)).unwrap());
        assert_eq!(plain, ours);
        assert!(plain.iter().all(|value| *value != 0.0));
        // Nothing is left behind for the next pass.
        assert_eq!(read(&backward(&loss(&weight)).unwrap()), ours);
        assert_eq!(read(&loss(&weight).backward().unwrap()), ours);
    }
}
