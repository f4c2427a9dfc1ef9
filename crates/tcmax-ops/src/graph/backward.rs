//! Backpropagation that adds no zeros to the gradients of parameters.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candle_core::{D, Result, Tensor, backprop::GradStore, bail};

thread_local! {
    static COLLECTED: RefCell<Option<Vec<Collected>>> = const { RefCell::new(None) };
}

/// The gradient of a variable, or of neighbouring columns of one.
struct Collected {
    variable: Tensor,
    /// The first of the columns.
    first: usize,
    gradient: Tensor,
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
    for (variable, gradient) in joined(collection.finish())? {
        let gradient = match gradients.remove(&variable) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        gradients.insert(&variable, gradient);
    }
    Ok(gradients)
}

/// Gradients of whole variables.
fn joined(collected: Vec<Collected>) -> Result<Vec<(Tensor, Tensor)>> {
    let mut whole = Vec::with_capacity(collected.len());
    let mut partial: Vec<(Tensor, BTreeMap<[usize; 2], Tensor>)> = Vec::new();
    for Collected { variable, first, gradient } in collected {
        if gradient.dims() == variable.dims() {
            whole.push((variable, gradient));
            continue;
        }
        let known = partial.iter().position(|(other, _)| other.id() == variable.id());
        let number = known.unwrap_or_else(|| {
            partial.push((variable, BTreeMap::new()));
            partial.len() - 1
        });
        let columns = [first, first + gradient.dim(D::Minus1)?];
        let sum = match partial[number].1.remove(&columns) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        partial[number].1.insert(columns, sum);
    }
    for (variable, parts) in partial {
        let all = joined_columns(parts, variable.dim(D::Minus1)?)?;
        whole.push((variable, all));
    }
    Ok(whole)
}

/// The gradient of all columns, of gradients of some each: side by side where each column is there once.
fn joined_columns(parts: BTreeMap<[usize; 2], Tensor>, all: usize) -> Result<Tensor> {
    let mut end = 0;
    let side_by_side =
        parts.keys().all(|&[first, next]| first == std::mem::replace(&mut end, next));
    if side_by_side && end == all {
        return Tensor::cat(&parts.into_values().collect::<Vec<_>>(), D::Minus1);
    }
    let mut padded = parts
        .into_iter()
        .map(|([first, next], part)| part.pad_with_zeros(D::Minus1, first, all - next));
    let Some(first) = padded.next() else { bail!("backward: a gradient of no columns") };
    padded.try_fold(first?, |sum, part| sum + part?)
}

/// Collects the gradient of a variable if [`backward`] is running on this thread. Otherwise, and where
/// `tensor` is no variable, returns it for candle to add.
pub(crate) fn hand_over(tensor: &Tensor, gradient: Tensor) -> Option<Tensor> {
    let all = Collected { variable: tensor.clone(), first: 0, gradient };
    collect(all).err().map(|all| all.gradient)
}

/// As [`hand_over`], of the columns from `first` on: what candle adds has zeros around them.
pub(crate) fn hand_over_columns(
    tensor: &Tensor,
    first: usize,
    gradient: Tensor,
) -> Result<Option<Tensor>> {
    let after = tensor.dim(D::Minus1)? - first - gradient.dim(D::Minus1)?;
    match collect(Collected { variable: tensor.clone(), first, gradient }) {
        Ok(()) => Ok(None),
        Err(part) => part.gradient.pad_with_zeros(D::Minus1, first, after).map(Some),
    }
}

/// Gives a gradient back that nobody collects.
fn collect(part: Collected) -> std::result::Result<(), Collected> {
    if !part.variable.is_variable() {
        return Err(part);
    }
    COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) => {
            collected.push(part);
            Ok(())
        }
        None => Err(part),
    })
}

/// Collects until it is dropped, also by a panic, and then restores what was before.
struct Collection(Option<Vec<Collected>>);

impl Collection {
    fn start() -> Self {
        Self(COLLECTED.replace(Some(Vec::new())))
    }

    fn finish(self) -> Vec<Collected> {
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
