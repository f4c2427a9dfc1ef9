//! Operators by name. B is the batch, images are (B, C, H, W), as ONNX has them.

use crate::error::Result;
use crate::graph::{Attribute, Graph, Value};

impl Graph {
    /// W x + b of `x` (B, D), with weights `name.weight` (C, D) and `name.bias` (C,): (B, C).
    ///
    /// # Errors
    /// When there are no such weights.
    pub fn linear(&mut self, name: &str, x: &Value) -> Result<Value> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let bias = self.weight(&format!("{name}.bias"))?;
        Ok(self.node("Gemm", &[x, &weight, &bias], vec![Attribute::Int("transB", 1)]))
    }

    /// A product of matrices (B, D) and (D, C).
    pub fn matmul(&mut self, x: &Value, y: &Value) -> Value {
        self.node("MatMul", &[x, y], Vec::new())
    }

    /// A convolution without bias by the filters `name.weight` (out, in, height, width).
    ///
    /// # Errors
    /// When there are no such filters.
    pub fn conv(
        &mut self,
        name: &str,
        x: &Value,
        stride: (usize, usize),
        padding: (usize, usize),
    ) -> Result<Value> {
        let filters = self.weight(&format!("{name}.weight"))?;
        let settings = vec![pads(padding), pair("strides", stride)];
        Ok(self.node("Conv", &[x, &filters], settings))
    }

    /// w (x - mean) / sqrt(var + eps) + b over channels, the second dimension, with weights `name.weight`,
    /// `name.bias`, `name.running_mean` and `name.running_var`.
    ///
    /// # Errors
    /// When there are no such weights.
    pub fn batch_norm(&mut self, name: &str, x: &Value, eps: f64) -> Result<Value> {
        let mut inputs = vec![x.clone()];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.weight(&format!("{name}.{part}"))?);
        }
        let inputs: Vec<&Value> = inputs.iter().collect();
        let settings = vec![Attribute::Float("epsilon", eps as f32)];
        Ok(self.node("BatchNormalization", &inputs, settings))
    }

    /// The maximum over windows.
    pub fn max_pool(
        &mut self,
        x: &Value,
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
    ) -> Value {
        let settings = vec![pair("kernel_shape", kernel), pads(padding), pair("strides", stride)];
        self.node("MaxPool", &[x], settings)
    }

    /// The mean over height and width: (B, C).
    pub fn global_average_pool(&mut self, x: &Value) -> Value {
        let pooled = self.node("GlobalAveragePool", &[x], Vec::new());
        self.node("Flatten", &[&pooled], vec![Attribute::Int("axis", 1)])
    }

    /// max(x, 0).
    pub fn relu(&mut self, x: &Value) -> Value {
        self.node("Relu", &[x], Vec::new())
    }

    /// 1 / (1 + exp(-x)).
    pub fn sigmoid(&mut self, x: &Value) -> Value {
        self.node("Sigmoid", &[x], Vec::new())
    }

    /// x + y.
    pub fn add(&mut self, x: &Value, y: &Value) -> Value {
        self.node("Add", &[x, y], Vec::new())
    }

    /// x - y.
    pub fn sub(&mut self, x: &Value, y: &Value) -> Value {
        self.node("Sub", &[x, y], Vec::new())
    }

    /// x y, element by element.
    pub fn mul(&mut self, x: &Value, y: &Value) -> Value {
        self.node("Mul", &[x, y], Vec::new())
    }

    /// x / y, element by element.
    pub fn div(&mut self, x: &Value, y: &Value) -> Value {
        self.node("Div", &[x, y], Vec::new())
    }

    /// The sum of all values; of one that value.
    pub fn sum(&mut self, values: &[Value]) -> Value {
        match values {
            [one] => one.clone(),
            values => self.node("Sum", &values.iter().collect::<Vec<_>>(), Vec::new()),
        }
    }

    /// Values (B, D_m) side by side.
    pub fn concat(&mut self, values: &[Value]) -> Value {
        let inputs: Vec<&Value> = values.iter().collect();
        self.node("Concat", &inputs, vec![Attribute::Int("axis", 1)])
    }

    /// The columns `start..end` of `x` (B, D).
    pub fn columns(&mut self, x: &Value, start: usize, end: usize) -> Value {
        let [start, end, axis] = [start as i64, end as i64, 1].map(|n| self.integers(&[n]));
        self.node("Slice", &[x, &start, &end, &axis], Vec::new())
    }

    /// Another shape; -1 for the one dimension that follows from the others.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", &[x, &shape], Vec::new())
    }

    /// The dimensions in another order.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![Attribute::Ints("perm", order.to_vec())])
    }

    /// The mean over a dimension, which is left out.
    pub fn mean(&mut self, x: &Value, axis: i64) -> Value {
        let settings = vec![Attribute::Ints("axes", vec![axis]), Attribute::Int("keepdims", 0)];
        self.node("ReduceMean", &[x], settings)
    }

    /// `x` (B, D) divided by sqrt(|x|^2 + tiny), row by row.
    pub fn normalised(&mut self, x: &Value, tiny: f32) -> Value {
        let squares = self.mul(x, x);
        let axis = self.integers(&[1]);
        let sum = self.node("ReduceSum", &[&squares, &axis], vec![Attribute::Int("keepdims", 1)]);
        let tiny = self.number(tiny);
        let sum = self.add(&sum, &tiny);
        let length = self.node("Sqrt", &[&sum], Vec::new());
        self.div(x, &length)
    }

    /// Softmax over the last dimension.
    pub fn softmax(&mut self, x: &Value) -> Value {
        self.node("Softmax", &[x], vec![Attribute::Int("axis", -1)])
    }
}

fn pair(name: &'static str, (height, width): (usize, usize)) -> Attribute {
    Attribute::Ints(name, vec![height as i64, width as i64])
}

/// The same padding before and behind.
fn pads((height, width): (usize, usize)) -> Attribute {
    let (height, width) = (height as i64, width as i64);
    Attribute::Ints("pads", vec![height, width, height, width])
}
