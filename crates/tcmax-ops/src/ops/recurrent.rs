//! A recurrent layer as one operation of candle's graph.
//!
//! Step by step, as operations of their own, small products spend most of their time between them, and the graph
//! has twenty nodes a step.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::composed;
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::recurrent::{self, Sizes};
use crate::cpu::storage::{open, tensor_of, values};
use crate::ops::linear::Linear;
use crate::precision::widened;
use crate::reading::seen;
use crate::recurrence::RecurrentCell;

const OP: &str = "recurrent";

/// The states of a recurrent layer.
#[derive(Clone, Debug)]
pub struct RecurrentStates {
    /// h after every step, (B, T, U).
    pub steps: Tensor,
    /// c after every step, (B, T, U), of an LSTM.
    pub cells: Option<Tensor>,
    /// Index of the step that was taken last.
    last: usize,
}

impl RecurrentStates {
    /// h after the last step taken, (B, U).
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn last(&self) -> Result<Tensor> {
        self.steps.narrow(1, self.last, 1)?.squeeze(1)
    }

    /// c after the last step taken, (B, U), of an LSTM.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn last_cells(&self) -> Result<Option<Tensor>> {
        self.cells.as_ref().map(|cells| cells.narrow(1, self.last, 1)?.squeeze(1)).transpose()
    }
}

/// Runs a recurrent layer over the steps of sequences, from zeros on.
///
/// `inputs` (B, T, G U) are the steps already mapped to the gates, W x + b, with G gates of U units in the order of
/// [`RecurrentCell`]; `state` maps the state to the gates, (G U, U). `there` (B, T) is 1 where a step is there and 0
/// where not: such a step leaves the state as it is. With `backwards` the last step is taken first; the states keep
/// the positions of their steps.
///
/// On a CPU f32 runs through one kernel; everything else is composed of candle operations.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{Linear, RecurrentCell, recurrent};
///
/// # fn main() -> candle_core::Result<()> {
/// let device = Device::Cpu;
/// // One unit that ignores its state: open gates i and o are 1, f is 0, so h = tanh(tanh(g)).
/// let state = Linear::from_tensors(
///     Tensor::zeros((4, 1), DType::F32, &device)?,
///     Tensor::zeros(4, DType::F32, &device)?,
/// )?;
/// let inputs = Tensor::new(&[[[50f32, -50.0, 0.5, 50.0], [50.0, -50.0, 9.0, 50.0]]], &device)?;
/// // The second step is not there.
/// let there = Tensor::new(&[[1f32, 0.0]], &device)?;
/// let states = recurrent(RecurrentCell::Lstm, &inputs, &state, &there, false)?;
/// let h = states.steps.flatten_all()?.to_vec1::<f32>()?;
/// assert!((h[0] - 0.5f32.tanh().tanh()).abs() < 1e-6);
/// assert_eq!(h[0], h[1]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When shapes or element types do not fit, or there is no step.
pub fn recurrent(
    cell: RecurrentCell,
    inputs: &Tensor,
    state: &Linear,
    there: &Tensor,
    backwards: bool,
) -> Result<RecurrentStates> {
    // A state that is rounded at every step would drift.
    let inputs = &widened(&seen(inputs))?;
    let (weight, bias) = (&seen(state.weight()), &seen(state.bias()));
    let (batch, steps, sums) = inputs.dims3()?;
    let units = weight.dim(1)?;
    let fits = weight.dims() == [sums, units] && sums == cell.gates() * units;
    if !fits || there.dims() != [batch, steps] || inputs.elem_count() == 0 {
        bail!(
            "{OP}: inputs {:?}, a weight {:?} for {} gates a unit, and {:?} steps there",
            inputs.shape(),
            weight.shape(),
            cell.gates(),
            there.shape()
        );
    }
    if [weight.dtype(), bias.dtype()] != [inputs.dtype(); 2] {
        bail!("{OP}: inputs of {:?}, a weight of {:?}", inputs.dtype(), weight.dtype());
    }
    let last = if backwards { 0 } else { steps - 1 };
    let states = if inputs.device().is_cpu() && inputs.dtype() == DType::F32 {
        let of = Sizes { cell, batch, steps, units, backwards };
        let flags = there.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let there = flags.into_iter().map(|flag| flag != 0.0).collect();
        let op = Recurrent { of, there, gates: Arc::default() };
        inputs.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?
    } else {
        composed::recurrent::recurrent(cell, inputs, [weight, bias], there, backwards)?
    };
    match cell {
        RecurrentCell::Gru => Ok(RecurrentStates { steps: states, cells: None, last }),
        RecurrentCell::Lstm => {
            let cells = Some(states.get(1)?);
            Ok(RecurrentStates { steps: states.get(0)?, cells, last })
        }
    }
}

struct Recurrent {
    of: Sizes,
    /// Which steps are there, sequence by sequence.
    there: Vec<bool>,
    /// What the forward pass leaves for the backward pass.
    gates: Arc<OnceLock<Scratch>>,
}

impl CustomOp3 for Recurrent {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let inputs = values::<f32>(inputs, inputs_layout, OP)?;
        let (weight, bias) =
            (values::<f32>(weight, weight_layout, OP)?, values::<f32>(bias, bias_layout, OP)?);
        let (states, gates) = recurrent::forward(self.of, inputs, [weight, bias], &self.there);
        // Set once, because an operation is applied once.
        let _ = self.gates.set(gates);
        let Sizes { cell, batch, steps, units, .. } = self.of;
        let shape = match cell {
            RecurrentCell::Gru => Shape::from((batch, steps, units)),
            RecurrentCell::Lstm => Shape::from((2, batch, steps, units)),
        };
        Ok((CpuStorage::F32(states), shape))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        states: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(gates) = self.gates.get() else { bail!("{OP}: backward before forward") };
        let gradient = gradient.contiguous()?;
        let (opened_weight, opened_states, opened_gradient) =
            (open(weight, OP), open(states, OP), open(&gradient, OP));
        let of_states = (opened_states.values()?, &**gates);
        let [dinputs, dweight, dbias] = recurrent::backward(
            self.of,
            opened_weight.values()?,
            &self.there,
            of_states,
            opened_gradient.values()?,
        );
        let tensor = |values: Vec<f32>, like: &Tensor| tensor_of(CpuStorage::F32(values), like);
        let dinputs = tensor(dinputs, inputs)?;
        Ok((Some(dinputs), Some(tensor(dweight, weight)?), Some(tensor(dbias, bias)?)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::training::gradcheck::gradient_error;
    use crate::training::init::Init;
    use crate::training::seed::Seed;
    use crate::wide::to_vec_f64;

    const CELLS: [RecurrentCell; 2] = [RecurrentCell::Gru, RecurrentCell::Lstm];

    fn random(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
        let unit = Init::Normal { mean: 0.0, std: 0.7 };
        unit.tensor(&shape.into(), Seed::new(seed), dtype, &Device::Cpu).unwrap()
    }

    /// Steps in the middle and at the end that are not there, and a sequence that has none.
    fn there(batch: usize, steps: usize, dtype: DType) -> Tensor {
        let is_there =
            |i: usize| i / steps != 1 && (i % steps + i / steps) % 4 != 2 && i % steps < steps - 1;
        let flags = (0..batch * steps).map(|i| f32::from(u8::from(is_there(i)))).collect();
        let flags: Vec<f32> = flags;
        Tensor::from_vec(flags, (batch, steps), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }

    fn loss(cell: RecurrentCell, tensors: &[Tensor], backwards: bool) -> Result<Tensor> {
        let [inputs, weight, bias] = tensors else { bail!("three tensors") };
        let (batch, steps, _) = inputs.dims3()?;
        let there = there(batch, steps, inputs.dtype());
        let state = Linear::from_tensors(weight.clone(), bias.clone())?;
        let states = recurrent(cell, inputs, &state, &there, backwards)?;
        let weights = random(9, states.steps.dims(), inputs.dtype());
        let mut loss =
            ((&states.steps * &weights)?.sum_all()? + states.last()?.sqr()?.sum_all()?)?;
        if let (Some(cells), Some(last)) = (&states.cells, states.last_cells()?) {
            loss = ((loss + (cells * weights)?.sin()?.sum_all()?)? + last.sum_all()?)?;
        }
        Ok(loss)
    }

    /// The loss, and its gradients, in f64 numbers.
    fn value_and_gradients(
        cell: RecurrentCell,
        tensors: &[Tensor],
        backwards: bool,
    ) -> Vec<Vec<f64>> {
        let vars: Vec<Var> = tensors.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let loss = loss(cell, &tensors, backwards).unwrap();
        let gradients = loss.backward().unwrap();
        let mut all = vec![to_vec_f64(&loss).unwrap()];
        all.extend(tensors.iter().map(|t| to_vec_f64(gradients.get(t).unwrap()).unwrap()));
        all
    }

    #[test]
    fn kernel_and_composition_agree_in_value_and_gradient() {
        // One task and three; units that fill no panel of the products.
        for (batch, steps, units) in [(2, 5, 3), (13, 4, 40), (3, 1, 33)] {
            for cell in CELLS {
                let sums = cell.gates() * units;
                let wide = [[batch, steps, sums].to_vec(), vec![sums, units], vec![sums]];
                let of = |dtype: DType| {
                    let tensors = wide.iter().zip(1..).map(|(shape, seed)| {
                        random(seed, shape, DType::F32).to_dtype(dtype).unwrap()
                    });
                    tensors.collect::<Vec<_>>()
                };
                for backwards in [false, true] {
                    let kernel = value_and_gradients(cell, &of(DType::F32), backwards);
                    let composed = value_and_gradients(cell, &of(DType::F64), backwards);
                    for (ours, theirs) in kernel.iter().zip(&composed) {
                        let largest = theirs.iter().fold(1f64, |most, x| most.max(x.abs()));
                        for (a, b) in ours.iter().zip(theirs) {
                            assert!((a - b).abs() < 3e-6 * largest, "{cell:?} {units}: {a} {b}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        for cell in CELLS {
            let sums = cell.gates() * 3;
            let tensors = [
                random(1, &[3, 5, sums], DType::F64),
                random(2, &[sums, 3], DType::F64),
                random(3, &[sums], DType::F64),
            ];
            for backwards in [false, true] {
                let error = gradient_error(&tensors, |t| Ok(loss(cell, t, backwards)?)).unwrap();
                assert!(error < 1e-7, "{cell:?}: {error:e}");
            }
        }
    }

    #[test]
    fn steps_that_are_not_there_may_hold_anything() {
        for cell in CELLS {
            let sums = cell.gates() * 4;
            let mut numbers = to_vec_f64(&random(1, &[1, 3, sums], DType::F32)).unwrap();
            numbers[sums..2 * sums].fill(f64::NAN);
            let inputs = Tensor::from_vec(numbers, (1, 3, sums), &Device::Cpu).unwrap();
            let inputs = inputs.to_dtype(DType::F32).unwrap();
            let there = Tensor::new(&[[1f32, 0.0, 1.0]], &Device::Cpu).unwrap();
            let weight = random(2, &[sums, 4], DType::F32);
            let state = Linear::from_tensors(weight, random(3, &[sums], DType::F32)).unwrap();
            let states = recurrent(cell, &inputs, &state, &there, false).unwrap();
            let h = to_vec_f64(&states.steps).unwrap();
            assert_eq!(h[..4], h[4..8]);
            assert!(h.iter().all(|h| h.is_finite()) && h[4..8] != h[8..]);
        }
    }

    #[test]
    fn sums_of_any_size_are_stable() {
        for cell in CELLS {
            let sums = cell.gates() * 2;
            let tensors = [
                (random(1, &[2, 6, sums], DType::F32) * 1e4).unwrap(),
                (random(2, &[sums, 2], DType::F32) * 1e4).unwrap(),
                random(3, &[sums], DType::F32),
            ];
            let all = value_and_gradients(cell, &tensors, false);
            assert!(all.iter().flatten().all(|x| x.is_finite()), "{cell:?}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let inputs = random(1, &[2, 3, 8], DType::F32);
        let state = |sums: usize| {
            let weight = random(2, &[sums, 2], DType::F32);
            Linear::from_tensors(weight, random(3, &[sums], DType::F32)).unwrap()
        };
        let there = |steps: usize| Tensor::ones((2, steps), DType::F32, &Device::Cpu).unwrap();
        assert!(recurrent(RecurrentCell::Lstm, &inputs, &state(8), &there(3), false).is_ok());
        let error = recurrent(RecurrentCell::Gru, &inputs, &state(8), &there(3), false);
        assert!(error.unwrap_err().to_string().contains("3 gates"));
        assert!(recurrent(RecurrentCell::Lstm, &inputs, &state(4), &there(3), false).is_err());
        assert!(recurrent(RecurrentCell::Lstm, &inputs, &state(8), &there(2), false).is_err());
    }
}
