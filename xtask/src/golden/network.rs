//! A network whose weights a case records under upstream names.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;
use tcmax_encoders::{EncoderSpec, UpstreamName};
use tcmax_ops::{ParamBuilder, Params, Seed, State};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};

/// The parameters of a network, loaded from `state.*` as from a published file, and the tensors that are no
/// part of it, such as a classifier.
pub struct Network {
    pub params: Params,
    names: fn(&str) -> UpstreamName,
    others: BTreeMap<String, Var>,
}

/// How a specification's network calls the tensors of published files.
pub fn names_of(spec: &EncoderSpec) -> anyhow::Result<fn(&str) -> UpstreamName> {
    Ok(spec.pretrained.context("the encoder is not published")?.names)
}

/// Every name as it is.
pub fn same_name(name: &str) -> UpstreamName {
    match name.ends_with("num_batches_tracked") {
        true => UpstreamName::Ignored,
        false => UpstreamName::Parameter(name.to_owned()),
    }
}

/// An empty store in the element type under test.
pub fn builder(case: &Case) -> ParamBuilder {
    ParamBuilder::new(Seed::new(0), case.dtype, &Device::Cpu)
}

/// The case's configuration.
pub fn config(case: &Case) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(case.text("config")?)?)
}

/// The options that the case's configuration and `more` give a specification's network.
pub fn options<T: tcmax_registry::OptionSet>(
    case: &Case,
    spec: &EncoderSpec,
    more: &[(&str, toml::Value)],
) -> anyhow::Result<T> {
    let published = spec.pretrained.context("the encoder is not published")?;
    let mut options: Table = (published.options)(&config(case)?)?;
    options.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let options = spec.options.complete(&options)?;
    Ok(tcmax_registry::read(&options)?)
}

impl Network {
    /// Loads the recorded state into the parameters of a builder.
    pub fn load(
        case: &Case,
        builder: &ParamBuilder,
        names: fn(&str) -> UpstreamName,
    ) -> anyhow::Result<Self> {
        let params = builder.params();
        let mut state = State::new();
        let mut others = BTreeMap::new();
        for quantity in case.names() {
            let Some(name) = quantity.strip_prefix("state.") else { continue };
            match names(name) {
                UpstreamName::Parameter(own) => {
                    state.insert(own, case.tensor(quantity)?);
                }
                UpstreamName::Ignored => {
                    others.insert(name.to_owned(), Var::from_tensor(&case.tensor(quantity)?)?);
                }
            }
        }
        params.load(&state)?;
        Ok(Self { params, names, others })
    }

    /// A tensor that is no part of the network.
    pub fn other(&self, name: &str) -> anyhow::Result<Tensor> {
        let other = self.others.get(name).with_context(|| format!("the state has no '{name}'"))?;
        Ok(other.as_tensor().clone())
    }

    /// x W^T + b of a linear layer that is no part of the network.
    pub fn linear(&self, name: &str, x: &Tensor) -> anyhow::Result<Tensor> {
        let weight = self.other(&format!("{name}.weight"))?;
        let bias = self.other(&format!("{name}.bias"))?;
        Ok(tcmax_ops::Linear::from_tensors(weight, bias)?.forward(x)?)
    }

    /// Compares all gradients recorded under `prefix`, relative to the largest of each, or to a thousandth of
    /// the largest of all.
    pub fn check_gradients(
        &self,
        case: &Case,
        prefix: &str,
        loss: &Tensor,
        limit: impl Fn(&str) -> f64,
    ) -> anyhow::Result<()> {
        let gradients = tcmax_ops::backward(loss)?;
        let mut floor = 0f64;
        for quantity in case.names().into_iter().filter(|name| name.starts_with(prefix)) {
            let largest = case.recorded(quantity)?.to_dtype(DType::F64)?.abs()?.flatten_all()?;
            floor = floor.max(largest.max(0)?.to_scalar::<f64>()?);
        }
        for quantity in case.names() {
            let Some(name) = quantity.strip_prefix(prefix) else { continue };
            let gradient = self.gradient(case, &gradients, name)?;
            let tolerance = Tolerance { largest: limit(name), floor: 1e-3 * floor };
            case.check_within(quantity, &gradient, tolerance)?;
        }
        Ok(())
    }

    /// The gradient of a parameter by its upstream name, or of an input.
    pub fn gradient(
        &self,
        case: &Case,
        gradients: &GradStore,
        name: &str,
    ) -> anyhow::Result<Tensor> {
        let missing = || format!("{name}: no gradient arrives");
        if name.starts_with("input.") {
            return Ok(gradients.get(&case.variable(name)?).with_context(missing)?.clone());
        }
        match (self.names)(name) {
            UpstreamName::Parameter(own) => {
                let mut trainable = self.params.trainable();
                let Some((_, var)) = trainable.find(|(of, _)| *of == own) else {
                    bail!("{name}: the network has no '{own}'");
                };
                let gradient = gradients.get(var.as_tensor()).with_context(missing)?;
                Ok(self.params.to_pytorch_layout(&own, gradient)?)
            }
            UpstreamName::Ignored => {
                Ok(gradients.get(&self.other(name)?).with_context(missing)?.clone())
            }
        }
    }
}

/// sum(x y).
pub fn inner(x: &Tensor, y: &Tensor) -> anyhow::Result<Tensor> {
    Ok((x * y)?.sum_all()?)
}
