//! The graph that is built.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use prost::Message;

use crate::error::{Error, Result};
use crate::proto::{
    AttributeMessage, Dimension, FLOAT, GraphMessage, INT64, Model, Node, OperatorSet,
    ShapeMessage, TensorMessage, TensorType, Type, ValueInfo,
};

/// The version of the format, of the year of the operators.
const FORMAT: i64 = 8;
/// The version of the set of operators.
pub const OPERATORS: i64 = 17;
/// What the free first dimension of inputs and outputs is called.
const BATCH: &str = "batch";

/// What a node makes, an input or a weight of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    name: String,
}

impl Value {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A setting of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(&'static str, i64),
    /// A number.
    Float(&'static str, f32),
    /// A list of integers.
    Ints(&'static str, Vec<i64>),
}

impl Attribute {
    fn into_message(self) -> AttributeMessage {
        let of = |name: &str, kind| AttributeMessage {
            name: name.to_owned(),
            kind,
            ..AttributeMessage::default()
        };
        match self {
            Self::Float(name, f) => AttributeMessage { f: Some(f), ..of(name, 1) },
            Self::Int(name, i) => AttributeMessage { i: Some(i), ..of(name, 2) },
            Self::Ints(name, ints) => AttributeMessage { ints, ..of(name, 7) },
        }
    }
}

/// A graph that is built node by node on weights that are called by name. Names get the names of what they
/// are [within](Graph::within) in front, with dots between, as PyTorch's parameters have.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    message: GraphMessage,
    weights: BTreeMap<String, Tensor>,
    within: Vec<String>,
    names: BTreeSet<String>,
}

impl Graph {
    /// An empty graph. `weights` are what its nodes may use, in PyTorch's layout under PyTorch's names;
    /// those that are used become part of it.
    pub fn new(name: &str, weights: BTreeMap<String, Tensor>) -> Self {
        let message = GraphMessage { name: name.to_owned(), ..GraphMessage::default() };
        Self { message, weights, ..Self::default() }
    }

    /// Builds a part whose names have `name` in front.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn within<T>(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.within.push(name.to_owned());
        let built = build(self);
        self.within.pop();
        built
    }

    /// An input of 32-bit numbers: `shape` is that of one example, and the batch comes first.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Result<Value> {
        let value = self.named(name.to_owned())?;
        self.message.input.push(info(name, shape));
        Ok(value)
    }

    /// Makes a value an output called `name`; `shape` is that of one example.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn output(&mut self, name: &str, value: &Value, shape: &[usize]) -> Result<()> {
        let output = self.named(name.to_owned())?;
        self.push("Identity", &[value], Vec::new(), output);
        self.message.output.push(info(name, shape));
        Ok(())
    }

    /// The weight `name`.
    ///
    /// # Errors
    /// When there is none, or the device fails.
    pub fn weight(&mut self, name: &str) -> Result<Value> {
        let full_name = self.full_name(name);
        if self.message.initializer.iter().any(|weight| weight.name == full_name) {
            return Ok(Value { name: full_name });
        }
        let tensor = self.tensor(name)?;
        self.add_weight(name, &tensor)
    }

    /// The numbers of the weight `name`, from which others may be computed.
    ///
    /// # Errors
    /// When there is none.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let name = self.full_name(name);
        self.weights.get(&name).cloned().ok_or(Error::NoWeight { name })
    }

    /// Another weight, as 32-bit numbers.
    ///
    /// # Errors
    /// When the name is taken, or the device fails.
    pub fn add_weight(&mut self, name: &str, tensor: &Tensor) -> Result<Value> {
        let value = self.named(self.full_name(name))?;
        let numbers = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        self.message.initializer.push(TensorMessage {
            dims: signed(tensor.dims()),
            data_type: FLOAT,
            name: value.name.clone(),
            raw_data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        });
        Ok(value)
    }

    /// A constant number.
    pub fn number(&mut self, number: f32) -> Value {
        self.constant(Vec::new(), FLOAT, number.to_le_bytes().to_vec())
    }

    /// A constant list of integers, such as a shape.
    pub fn integers(&mut self, integers: &[i64]) -> Value {
        let bytes = integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
        self.constant(signed(&[integers.len()]), INT64, bytes)
    }

    fn constant(&mut self, dims: Vec<i64>, data_type: i32, raw_data: Vec<u8>) -> Value {
        let value = self.numbered("Constant");
        let name = value.name.clone();
        self.message.initializer.push(TensorMessage { dims, data_type, name, raw_data });
        value
    }

    /// A node with one output: any operator of ONNX's own set.
    pub fn node(&mut self, operator: &str, inputs: &[&Value], settings: Vec<Attribute>) -> Value {
        let output = self.numbered(operator);
        self.push(operator, inputs, settings, output.clone());
        output
    }

    fn push(&mut self, operator: &str, inputs: &[&Value], settings: Vec<Attribute>, output: Value) {
        self.message.node.push(Node {
            input: inputs.iter().map(|input| input.name.clone()).collect(),
            name: format!("{}:{operator}", output.name),
            output: vec![output.name],
            op_type: operator.to_owned(),
            attribute: settings.into_iter().map(Attribute::into_message).collect(),
        });
    }

    /// The nodes so far.
    pub fn nodes(&self) -> &[Node] {
        &self.message.node
    }

    /// The bytes of an `.onnx` file.
    pub fn into_bytes(self) -> Vec<u8> {
        let model = Model {
            ir_version: FORMAT,
            producer_name: "tcmax".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.message),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        };
        model.encode_to_vec()
    }

    fn full_name(&self, name: &str) -> String {
        let names = self.within.iter().map(String::as_str).chain([name]);
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(".")
    }

    fn named(&mut self, name: String) -> Result<Value> {
        match self.names.insert(name.clone()) {
            true => Ok(Value { name }),
            false => Err(Error::NameTaken { name }),
        }
    }

    /// A value that nobody asks for by its name.
    fn numbered(&mut self, operator: &str) -> Value {
        let number = self.names.len();
        let mut name = self.full_name(&format!("{operator}_{number}"));
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        Value { name }
    }
}

/// Reads the bytes of an `.onnx` file; what this crate does not write is left out.
///
/// # Errors
/// When they are no such file.
pub fn parse(bytes: &[u8]) -> Result<Model> {
    Ok(Model::decode(bytes)?)
}

fn signed(dims: &[usize]) -> Vec<i64> {
    // No tensor has a dimension beyond the positive ones.
    dims.iter().map(|&dim| dim as i64).collect()
}

fn info(name: &str, shape: &[usize]) -> ValueInfo {
    let free = Dimension { value: None, name: Some(BATCH.to_owned()) };
    let fixed = signed(shape).into_iter().map(|dim| Dimension { value: Some(dim), name: None });
    let shape = ShapeMessage { dim: [free].into_iter().chain(fixed).collect() };
    let tensor = TensorType { elem_type: FLOAT, shape: Some(shape) };
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor: Some(tensor) }) }
}
