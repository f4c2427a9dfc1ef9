//! Targets other than classes, and the losses of single examples.
//!
//! ```text
//! labels    L = 1/(N C) sum_ic (log(1 + exp f_i[c]) - y_i[c] f_i[c])      (nats)
//! numbers   L = 1/(N K) sum_ik (f_i[k] - y_i[k])^2
//! ```
//!
//! Labels are decided one by one: sigmoid(f\[c\]) is the probability of label c, and the loss the mean binary
//! cross-entropy, with the logarithm of the sum taken so that logits of any size are exact.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_ops::{log_sum_exp, placed_like, to_vec_f64};
use tcmax_registry::Task;

use crate::{Error, Result, cross_entropy};

/// What outputs are compared with, example by example.
pub trait Target {
    /// The mean loss of the outputs (N, C): a scalar. Cross-entropy of classes and labels, nats; the mean
    /// squared error of numbers.
    ///
    /// # Errors
    /// When the shapes do not fit.
    fn loss(&self, outputs: &Tensor) -> Result<Tensor>;

    /// The number of examples.
    fn examples(&self) -> usize;
}

impl Target for Labels {
    fn loss(&self, outputs: &Tensor) -> Result<Tensor> {
        cross_entropy(outputs, self)
    }

    fn examples(&self) -> usize {
        self.len()
    }
}

/// Several labels, or numbers, of N examples; checked once.
#[derive(Clone, Debug)]
pub struct Targets {
    task: Task,
    values: Tensor,
}

impl Targets {
    /// Labels (N, C): 1 where an example has a label, and 0 where it has not.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use tcmax_losses::{Target, Targets};
    ///
    /// # fn main() -> tcmax_losses::Result<()> {
    /// let labels = Targets::labels(Tensor::new(&[[1f64, 0.0]], &Device::Cpu)?)?;
    /// let logits = Tensor::new(&[[0f64, -1000.0]], &Device::Cpu)?;
    /// let loss = labels.loss(&logits)?.to_scalar::<f64>()?;
    /// assert!((loss - 2f64.ln() / 2.0).abs() < 1e-15);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the tensor is no matrix, or holds another number.
    pub fn labels(values: Tensor) -> Result<Self> {
        Self::new(Task::Labels, values, |value| value == 0.0 || value == 1.0, "neither 0 nor 1")
    }

    /// Numbers (N, K).
    ///
    /// # Errors
    /// When the tensor is no matrix, or a number is not finite.
    pub fn numbers(values: Tensor) -> Result<Self> {
        Self::new(Task::Regression, values, f64::is_finite, "not finite")
    }

    fn new(task: Task, values: Tensor, fits: fn(f64) -> bool, wrong: &str) -> Result<Self> {
        let &[rows, columns] = values.dims() else {
            let problem = format!("the shape is {:?}, not (examples, outputs)", values.dims());
            return Err(Error::BadTargets { problem });
        };
        if rows * columns == 0 {
            let problem = format!("the shape is {:?}: there are none", values.dims());
            return Err(Error::BadTargets { problem });
        }
        let all = to_vec_f64(&values.flatten_all()?)?;
        match all.iter().position(|&value| !fits(value)) {
            None => Ok(Self { task, values }),
            Some(index) => {
                let (row, column) = (index / columns, index % columns);
                let problem = format!("row {row}, column {column}: {} is {wrong}", all[index]);
                Err(Error::BadTargets { problem })
            }
        }
    }

    /// What they are; never classes.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The targets (N, C).
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// Of each label which examples have it, as two classes: no and yes.
    ///
    /// # Errors
    /// Only if the device fails.
    pub(crate) fn each_label(&self) -> Result<Vec<Labels>> {
        let (rows, columns) = self.values.dims2()?;
        let all = to_vec_f64(&self.values.flatten_all()?)?;
        let of = |column: usize| {
            let has = (0..rows).map(|row| u32::from(all[row * columns + column] != 0.0));
            Ok(Labels::new(&has.collect::<Vec<_>>(), 2, self.values.device())?)
        };
        (0..columns).map(of).collect()
    }
}

impl Target for Targets {
    fn loss(&self, outputs: &Tensor) -> Result<Tensor> {
        match self.task {
            Task::Regression => mean_squared_error(outputs, &self.values),
            Task::Classes | Task::Labels => binary_cross_entropy(outputs, &self.values),
        }
    }

    fn examples(&self) -> usize {
        self.values.dims()[0]
    }
}

/// Mean binary cross-entropy of logits (N, C) and labels (N, C) of 0 and 1: a scalar, nats.
///
/// # Errors
/// When the shapes differ.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let labels = alike(labels, logits)?;
    Ok((softplus(logits)? - (labels * logits)?)?.mean_all()?)
}

/// Mean of the squared differences of outputs and numbers, both (N, K): a scalar.
///
/// # Errors
/// When the shapes differ.
pub fn mean_squared_error(outputs: &Tensor, numbers: &Tensor) -> Result<Tensor> {
    Ok((outputs - alike(numbers, outputs)?)?.sqr()?.mean_all()?)
}

/// Targets of the type and device of outputs of the same shape.
pub(crate) fn alike(targets: &Tensor, outputs: &Tensor) -> Result<Tensor> {
    if targets.dims() != outputs.dims() {
        let (got, wanted) = (outputs.dims(), targets.dims());
        let problem = format!("the outputs have the shape {got:?}, and the targets {wanted:?}");
        return Err(Error::BadTargets { problem });
    }
    Ok(placed_like(targets, outputs)?)
}

/// log(1 + exp x) of every entry: the log-sum-exp of 0 and x, whose gradient is the sigmoid of x everywhere.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    let flat = x.flatten_all()?;
    let pairs = Tensor::stack(&[&flat.zeros_like()?, &flat], 0)?;
    Ok(log_sum_exp(&pairs, 0)?.reshape(x.shape())?)
}
