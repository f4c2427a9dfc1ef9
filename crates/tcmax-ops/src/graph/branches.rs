//! Networks that a loss joins, each with a graph of its own, so that they run side by side.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use crate::apart::on_its_own;
use crate::graph::backward::backward;

/// The networks behind some features, such as the encoders of modalities, cut off from what is computed from them.
///
/// candle walks through a graph one operation after the other. Networks that have nothing to do with each other until
/// their features meet are graphs of their own here: they are computed, and backpropagated into, at the same time, each on
/// threads of the pool. Gradients have the same bits as those of one graph.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tcmax_ops::Branches;
///
/// # fn main() -> candle_core::Result<()> {
/// let weights = [Var::new(2f32, &Device::Cpu)?, Var::new(3f32, &Device::Cpu)?];
/// let (branches, features) = Branches::grow(2, |m| weights[m].as_tensor() * 10.0)?;
/// let loss = (&features[0] * &features[1])?;
/// let mut gradients = tcmax_ops::backward(&loss)?;
/// // So far of the features alone.
/// assert!(gradients.get(weights[0].as_tensor()).is_none());
/// branches.backward(&mut gradients)?;
/// assert_eq!(gradients.get(weights[0].as_tensor()).unwrap().to_scalar::<f32>()?, 300.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Branches {
    branches: Vec<Branch>,
}

#[derive(Clone, Debug)]
struct Branch {
    /// The features, with the network behind them.
    end: Tensor,
    /// The same features, with nothing behind them.
    leaf: Tensor,
}

impl Branches {
    /// The features that `network` computes of each of `count` inputs, at the same time and each
    /// [on its own](crate::on_its_own), and the networks behind them.
    /// What tracks no gradient comes back as it is.
    ///
    /// # Errors
    /// The first that `network` returns.
    pub fn grow<E>(
        count: usize,
        network: impl Fn(usize) -> std::result::Result<Tensor, E> + Sync,
    ) -> std::result::Result<(Self, Vec<Tensor>), E>
    where
        E: From<candle_core::Error> + Send,
    {
        let grown: Vec<_> = (0..count).into_par_iter().map(|m| on_its_own(|| network(m))).collect();
        let mut all = Self::default();
        let features = grown.into_iter().map(|end| all.cut(end?).map_err(E::from));
        let features = features.collect::<std::result::Result<Vec<_>, E>>()?;
        Ok((all, features))
    }

    fn cut(&mut self, end: Tensor) -> Result<Tensor> {
        if !end.track_op() || end.is_variable() {
            return Ok(end);
        }
        let leaf = Var::from_tensor(&end)?.as_tensor().clone();
        self.branches.push(Branch { end, leaf: leaf.clone() });
        Ok(leaf)
    }

    /// Adds the gradients of what is in the networks to those of a loss of the features.
    ///
    /// # Errors
    /// When an operation's backward pass fails.
    pub fn backward(&self, gradients: &mut GradStore) -> Result<()> {
        let ends: Vec<(&Tensor, Tensor)> = self
            .branches
            .iter()
            .filter_map(|branch| Some((&branch.end, gradients.get(&branch.leaf)?.clone())))
            .collect();
        let found: Vec<Result<GradStore>> = ends
            .into_par_iter()
            .map(|(end, gradient)| on_its_own(|| of_branch(end, &gradient)))
            .collect();
        found.into_iter().try_for_each(|found| gradients.extend(found?))
    }
}

/// The gradients behind `end`, of its own.
fn of_branch(end: &Tensor, gradient: &Tensor) -> Result<GradStore> {
    // Without what it was computed of: candle's gradient of a product has the other factor behind it.
    let gradient = gradient.detach();
    // candle starts from a number alone: this one has the given gradient with respect to `end`.
    let mut gradients = backward(&(end * &gradient)?.sum_all()?)?;
    gradients.remove(&gradient);
    Ok(gradients)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::linear::Linear;
    use crate::ops::relu::relu;
    use crate::training::init::Init;
    use crate::training::seed::Seed;
    use crate::wide::to_vec_f64;

    fn random(seed: u64, shape: &[usize]) -> Tensor {
        let unit = Init::Normal { mean: 0.2, std: 1.0 };
        unit.tensor(&shape.into(), Seed::new(seed), DType::F32, &Device::Cpu).unwrap()
    }

    struct Networks {
        vars: Vec<Var>,
        layers: Vec<Linear>,
        inputs: Vec<Tensor>,
    }

    impl Networks {
        fn new(count: u64) -> Self {
            let (mut vars, mut layers) = (Vec::new(), Vec::new());
            for n in 0..count {
                let [w, b] = [random(10 + n, &[4, 6]), random(20 + n, &[4])]
                    .map(|tensor| Var::from_tensor(&tensor).unwrap());
                let layer = Linear::from_tensors(w.as_tensor().clone(), b.as_tensor().clone());
                layers.push(layer.unwrap());
                vars.extend([w, b]);
            }
            Self { vars, layers, inputs: (0..count).map(|n| random(30 + n, &[5, 6])).collect() }
        }

        fn feature(&self, n: usize) -> Result<Tensor> {
            relu(&self.layers[n].forward(&self.inputs[n])?)
        }

        fn bits(&self, gradients: &GradStore) -> Vec<Option<Vec<u64>>> {
            let bits = |gradient| to_vec_f64(gradient).unwrap().into_iter().map(f64::to_bits);
            self.vars.iter().map(|var| gradients.get(var).map(|g| bits(g).collect())).collect()
        }
    }

    /// Products of features with one another, and with a parameter of the head, as gates and attention have.
    fn loss(features: &[Tensor], gate: &Var) -> Tensor {
        let product = (&features[0] * &features[1]).unwrap();
        let gated = features[0].broadcast_mul(gate.as_tensor()).unwrap().sqr().unwrap();
        (product.sum_all().unwrap() + gated.sum_all().unwrap()).unwrap()
    }

    #[test]
    fn gradients_are_those_of_one_graph_to_the_bit_for_any_number_of_threads() {
        let mut networks = Networks::new(3);
        let gate = Var::from_tensor(&random(40, &[4])).unwrap();
        // Compared with the others; no layer has it.
        networks.vars.insert(0, gate.clone());
        let whole: Vec<Tensor> = (0..3).map(|n| networks.feature(n).unwrap()).collect();
        let wanted = networks.bits(&backward(&loss(&whole, &gate)).unwrap());
        // The third has nothing to do with the loss.
        assert!(wanted[..5].iter().all(Option::is_some) && wanted[5..].iter().all(Option::is_none));
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let got = pool.install(|| {
                let (branches, features) = Branches::grow(3, |n| networks.feature(n)).unwrap();
                let mut gradients = backward(&loss(&features, &gate)).unwrap();
                branches.backward(&mut gradients).unwrap();
                // Once more, of the same graphs: methods have several losses of the same features.
                let mut again = backward(&loss(&features, &gate)).unwrap();
                branches.backward(&mut again).unwrap();
                assert_eq!(networks.bits(&again), networks.bits(&gradients));
                networks.bits(&gradients)
            });
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn parameters_that_branches_share_get_the_sum() {
        let weight = Var::new(3f64, &Device::Cpu).unwrap();
        let (branches, features) =
            Branches::grow(2, |n| weight.as_tensor() * (n + 1) as f64).unwrap();
        let mut gradients = backward(&(&features[0] + &features[1]).unwrap()).unwrap();
        branches.backward(&mut gradients).unwrap();
        assert_eq!(gradients.get(&weight).unwrap().to_scalar::<f64>().unwrap(), 3.0);
    }

    #[test]
    fn what_has_no_gradient_is_no_branch_and_errors_come_out() {
        let plain = random(1, &[2]);
        let (branches, features) =
            Branches::grow(1, |_| Ok::<_, candle_core::Error>(plain.clone())).unwrap();
        assert!(branches.branches.is_empty() && features[0].id() == plain.id());
        let failed = Branches::grow(2, |n| plain.reshape(n + 2));
        assert!(failed.is_err());
    }
}
