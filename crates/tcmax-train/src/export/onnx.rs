//! The inference graph of a model.

use tcmax_data::Modality;
use tcmax_onnx::{Graph, Value};

use super::rule::Rule;
use crate::checkpoint::SavedModel;
use crate::{Model, Result, Task};

/// The bytes of `model.onnx`: an input (batch, shape...) per modality, under its name, and the outputs
/// `logits` and `probabilities` (batch, classes or labels), or `numbers` (batch, numbers).
pub(super) fn graph(saved: &SavedModel, rule: Rule) -> Result<Vec<u8>> {
    let model = &saved.model;
    if model.is_joined() {
        let method = saved.config.method().name;
        let what = format!("encoders that the method '{method}' joins between their stages");
        return Err(tcmax_onnx::Error::no_graph(what, "each has a graph of its own alone").into());
    }
    let mut graph = Graph::new("tcmax", model.params().snapshot()?);
    let features = model.used_modalities().iter().enumerate().map(|(position, &m)| {
        features(model, position, &saved.card.modalities[m], saved, &mut graph)
    });
    let features = features.collect::<Result<Vec<Value>>>()?;
    let method = saved.config.method().name;
    let head = saved.config.head().name;
    let logits = graph.within("fusion_module", |graph| match rule {
        Rule::Logits => model.head().logits_to_onnx(graph, &features),
        Rule::Scores => model.head().scores_to_onnx(graph, &features),
        Rule::Own => Err(tcmax_onnx::Error::no_graph(
            format!("the predictions of the method '{method}'"),
            "it mixes the modalities in a way of its own",
        )),
    });
    let logits = logits.map_err(|error| of(error, || format!("the head '{head}'")))?;
    let outputs = [saved.card.classes.len()];
    if model.task() == Task::Regression {
        let numbers = in_units(model, &logits, &mut graph)?;
        graph.output("numbers", &numbers, &outputs)?;
        return Ok(graph.into_bytes());
    }
    let probabilities = match model.task() {
        Task::Labels => graph.sigmoid(&logits),
        Task::Classes | Task::Regression => graph.softmax(&logits),
    };
    graph.output("logits", &logits, &outputs)?;
    graph.output("probabilities", &probabilities, &outputs)?;
    Ok(graph.into_bytes())
}

/// Numbers to predict, of outputs that are standardised where the model's are.
fn in_units(model: &Model, outputs: &Value, graph: &mut Graph) -> tcmax_onnx::Result<Value> {
    if !model.is_target_standardised() {
        // An output of its own name.
        let zero = graph.number(0.0);
        return Ok(graph.add(outputs, &zero));
    }
    graph.within("target", |graph| {
        let (mean, deviation) = (graph.weight("mean")?, graph.weight("deviation")?);
        let scaled = graph.mul(outputs, &deviation);
        Ok(graph.add(&scaled, &mean))
    })
}

/// Features (batch, D) of one modality.
fn features(
    model: &Model,
    position: usize,
    modality: &Modality,
    saved: &SavedModel,
    graph: &mut Graph,
) -> Result<Value> {
    let mut input = graph.input(&modality.name, &modality.shape)?;
    let mut shape = modality.shape.clone();
    let built = graph.within(&format!("{}_net", modality.name), |graph| {
        if model.is_standardised(position) {
            shape = vec![modality.len()];
            let rows = graph.reshape(&input, &[-1, modality.len() as i64]);
            input = graph.within("input", |graph| {
                let (mean, scale) = (graph.weight("mean")?, graph.weight("scale")?);
                let centred = graph.sub(&rows, &mean);
                Ok(graph.mul(&centred, &scale))
            })?;
        }
        model.encoder(position).to_onnx(graph, &input, &shape)
    });
    let name = || {
        let choice = saved.config.encoder(&modality.name, crate::model::input_kind(modality.kind));
        let encoder = choice.map_or_else(|_| String::new(), |c| format!(" '{}'", c.spec.name));
        format!("the encoder{encoder} of '{}'", modality.name)
    };
    Ok(built.map_err(|error| of(error, name))?)
}

/// The error with the name of what has no graph.
fn of(error: tcmax_onnx::Error, what: impl FnOnce() -> String) -> tcmax_onnx::Error {
    match error {
        tcmax_onnx::Error::NoGraph { what: given, why } if given.split(' ').count() == 2 => {
            tcmax_onnx::Error::no_graph(what(), why)
        }
        error => error,
    }
}
