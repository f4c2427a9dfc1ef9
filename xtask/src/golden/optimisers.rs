//! Cases of optimisers: parameters after each step, and what is kept beside them at the end.

use anyhow::Context;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tcmax_ops::{
    AnyOptimiser, GroupOptions, Init, ParamBuilder, Params, Seed, State, backward, grad_norm,
    optimisers, scale_gradients, to_vec_f64,
};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};
use super::text::number_after;

/// Steps with given gradients, some of which are absent, and given learning rates.
pub fn steps(case: &Case) -> anyhow::Result<()> {
    let params = parameters(case)?;
    let mut optimiser = optimiser(case, &params)?;
    let note = case.text("note")?;
    let largest = number_after(note, "max_norm=").filter(|_| case.has("output.norm"));
    let rates = to_vec_f64(case.recorded("input.lr")?)?;
    let (mut norms, mut values) = (Vec::new(), vec![Vec::new(); params.trainable().len()]);
    for (step, rate) in rates.into_iter().enumerate() {
        let mut gradients = gradients(case, &params, step)?;
        if let Some(largest) = largest {
            let norm = grad_norm(&params, &gradients)?;
            // PyTorch rounds the norm up.
            scale_gradients(&params, &mut gradients, (largest / (norm + 1e-6)).min(1.0))?;
            norms.push(norm);
        }
        optimiser.set_learning_rate(rate);
        optimiser.step(&gradients)?;
        for ((_, var), values) in params.trainable().zip(&mut values) {
            values.push(var.as_detached_tensor().copy()?);
        }
    }
    let tolerance = Tolerance::new(if case.is_single() { 1e-5 } else { 1e-12 });
    for ((name, _), values) in params.trainable().zip(values) {
        let quantity = format!("output.{name}");
        case.check_within(&quantity, &Tensor::stack(&values, 0)?, tolerance)?;
    }
    if largest.is_some() {
        case.check_within("output.norm", &Tensor::new(norms, &Device::Cpu)?, tolerance)?;
    }
    check_state(case, &params, &optimiser.state()?, tolerance)
}

/// `input.p0` and on.
fn parameters(case: &Case) -> anyhow::Result<Params> {
    let builder = ParamBuilder::new(Seed::new(0), case.dtype, &Device::Cpu);
    let mut state = State::new();
    for name in case.names() {
        let Some(own) = name.strip_prefix("input.").filter(|own| is_parameter(own)) else {
            continue;
        };
        let value = case.tensor(name)?;
        builder.param(own, value.shape().clone(), Init::Const(0.0))?;
        state.insert(own.to_owned(), value);
    }
    let params = builder.params();
    params.load(&state)?;
    Ok(params)
}

fn is_parameter(name: &str) -> bool {
    name.strip_prefix('p').is_some_and(|number| number.parse::<usize>().is_ok())
}

/// The optimiser of the case's name with PyTorch's settings.
fn optimiser(case: &Case, params: &Params) -> anyhow::Result<Box<dyn AnyOptimiser>> {
    let kind = case.name.strip_prefix("optim_").unwrap_or_default().split('_').next();
    let name = kind.unwrap_or_default();
    let config: Value = serde_json::from_str(case.text("config")?)?;
    let mut options = Table::new();
    if name == "sgd" {
        // What PyTorch has where nothing is said.
        options.extend(["momentum", "weight-decay"].map(|key| (key.to_owned(), 0.0.into())));
    }
    for (key, value) in config.as_object().context("the configuration is no object")? {
        match (key.as_str(), value) {
            ("betas", Value::Array(betas)) => {
                for (key, beta) in ["beta1", "beta2"].into_iter().zip(betas) {
                    options.insert(key.to_owned(), option(beta)?);
                }
            }
            ("lr", value) => {
                options.insert("learning-rate".to_owned(), option(value)?);
            }
            (key, value) => {
                options.insert(key.replace('_', "-"), option(value)?);
            }
        }
    }
    let mut optimiser = optimisers().get(name)?.build(&options, params)?;
    optimiser.set_groups(&without_decay(case.text("note")?))?;
    Ok(optimiser)
}

fn option(value: &Value) -> anyhow::Result<toml::Value> {
    match value {
        Value::Bool(value) => Ok((*value).into()),
        value => Ok(value.as_f64().context("an option is no number")?.into()),
    }
}

/// The parameters that the note says do not decay, as in "weight decay 0 for p1 and p3".
fn without_decay(note: &str) -> Vec<GroupOptions> {
    let rest = note.split("weight decay 0 for ").nth(1).unwrap_or_default();
    let words = rest.split([' ', ',']).take_while(|word| is_parameter(word) || *word == "and");
    let group = |word: &str| GroupOptions {
        prefix: word.to_owned(),
        weight_decay: Some(0.0),
        ..Default::default()
    };
    words.filter(|word| is_parameter(word)).map(group).collect()
}

/// The gradients of a step: those of the sum of parameters times gradients.
fn gradients(case: &Case, params: &Params, step: usize) -> anyhow::Result<GradStore> {
    let present = to_vec_f64(&case.recorded("input.present")?.get(step)?)?;
    let mut sum = Tensor::zeros((), case.dtype, &Device::Cpu)?;
    for (name, var) in params.trainable() {
        let number: usize = name.trim_start_matches('p').parse()?;
        if present[number] != 0.0 {
            let gradient = case.tensor(&format!("input.grad.{name}"))?.get(step)?;
            sum = (sum + (var.as_tensor() * gradient)?.sum_all()?)?;
        }
    }
    Ok(backward(&sum)?)
}

/// Running values and numbers of steps at the end, PyTorch's names beside ours.
fn check_state(
    case: &Case,
    params: &Params,
    state: &State,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let steps = state["steps"].to_dtype(DType::F64)?;
    for (index, (name, _)) in params.trainable().enumerate() {
        for (theirs, ours) in [
            ("momentum_buffer", "momentum"),
            ("exp_avg", "mean"),
            ("exp_avg_sq", "square"),
            ("max_exp_avg_sq", "largest"),
        ] {
            let quantity = format!("output.state.{theirs}.{name}");
            if case.has(&quantity) {
                case.check_within(&quantity, &state[&format!("{ours}.{name}")], tolerance)?;
            }
        }
        let quantity = format!("output.state.step.{name}");
        if case.has(&quantity) {
            case.check_within(&quantity, &steps.get(index)?, tolerance)?;
        }
    }
    Ok(())
}
