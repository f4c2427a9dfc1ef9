//! `README.md`: the model card.

use std::fmt::Write;

use super::description::Description;
use crate::checkpoint::SavedModel;
use crate::results::RunResult;
use crate::{Error, Result, Task};

/// Class names that are listed; of more only the number.
const LISTED: usize = 30;

/// The card of a model; `result` is what its run found out, `graph` whether there is a graph.
pub(super) fn text(
    saved: &SavedModel,
    description: &Description,
    result: Option<&RunResult>,
    graph: bool,
) -> Result<String> {
    let mut text = introduction(description);
    text += &inputs(description);
    text += &data(saved);
    text += &match result {
        Some(result) => metrics(saved, result),
        None => "\n## Test\n\nThe run's `result.json` was not there when the model was exported.\n"
            .to_owned(),
    };
    text += &usage(description, graph);
    let settings = toml::to_string(&description.settings)
        .map_err(|error| Error::setting("settings", error.to_string()))?;
    text += &format!("\n## Settings\n\nSeed {}.\n\n```toml\n{settings}```\n", saved.card.seed);
    Ok(text)
}

fn introduction(description: &Description) -> String {
    let names: Vec<&str> =
        description.modalities.iter().map(|input| input.modality.name.as_str()).collect();
    let kind = match description.task {
        Task::Classes => "classifier",
        Task::Labels => "multi-label classifier",
        Task::Regression => "regression",
    };
    let classes = &description.classes;
    let listed = match classes.len() <= LISTED {
        true => format!(": {}", classes.join(", ")),
        false => "; their names are in `config.json`".to_owned(),
    };
    format!(
        "# A {} of {}\n\nTrained by tcmax {} with the method `{}` and the head `{}`.\n\n{} {}\
         {listed}.\n",
        kind,
        names.join(" and "),
        env!("CARGO_PKG_VERSION"),
        description.method.name,
        description.head.name,
        classes.len(),
        description.task.outputs(classes.len()),
    )
}

fn inputs(description: &Description) -> String {
    let mut text =
        "\n## Inputs\n\n| modality | kind | shape of one example | encoder | features | \
                    standardised |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for input in &description.modalities {
        let kind = format!("{:?}", input.modality.kind).to_lowercase();
        let standardised = if input.standardised { "yes" } else { "no" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {kind} | {:?} | {} | {} | {standardised} |",
            input.modality.name, input.modality.shape, input.encoder.name, input.features
        );
    }
    text
}

fn data(saved: &SavedModel) -> String {
    let data = &saved.card.data;
    let mut text = format!(
        "\n## Data\n\nWeights of epoch {}, chosen on the validation split.\n\n| split | examples | SHA-256 \
         |\n|---|---|---|\n",
        saved.card.epoch
    );
    for (name, split) in
        [("train", &data.train), ("validation", &data.validation), ("test", &data.test)]
    {
        let _ = writeln!(text, "| {name} | {} | `{}` |", split.examples, split.sha256);
    }
    text
}

fn metrics(saved: &SavedModel, result: &RunResult) -> String {
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let test = &result.test;
    let mut rows = vec![("examples".to_owned(), test.examples.to_string())];
    match &test.targets {
        None => rows.extend([
            ("accuracy".to_owned(), percent(test.accuracy)),
            ("balanced accuracy".to_owned(), percent(test.balanced_accuracy)),
            ("most frequent class".to_owned(), percent(test.majority_rate)),
        ]),
        Some(scores) => {
            let row = |(name, value): (&str, f64)| (name.replace('_', " "), format!("{value:.4}"));
            rows.extend(scores.all().into_iter().map(row));
        }
    }
    if let Some(nats) = test.cross_entropy {
        rows.push(("cross-entropy, nats".to_owned(), format!("{nats:.4}")));
    }
    if let Some(metrics) = &result.metrics {
        rows.push(("F1, macro".to_owned(), format!("{:.4}", metrics.summary.macro_average.f1)));
        rows.push(("AUROC, macro".to_owned(), format!("{:.4}", metrics.summary.auroc_macro)));
        rows.push(("expected calibration error".to_owned(), format!("{:.4}", metrics.summary.ece)));
    }
    let names = saved.card.modalities.iter().map(|modality| &modality.name);
    let metric = test.metric();
    for (name, score) in names.clone().zip(test.modality_scores()) {
        let row = |value| (format!("{}, {name} alone", metric.name()), metric.text(value, 2));
        rows.extend(score.map(row));
    }
    if let Some(absence) = &result.absence {
        for (name, accuracy) in names.zip(&absence.accuracy_without) {
            rows.extend(accuracy.map(|value| (format!("accuracy without {name}"), percent(value))));
        }
    }
    let mut text = "\n## Test\n\n| metric | value |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    for warning in &result.warnings {
        let _ = writeln!(text, "\nWarning: {warning}.");
    }
    text
}

fn usage(description: &Description, graph: bool) -> String {
    let mut text = "\n## Use from Python\n\nWeights have PyTorch's names and layout: those of modality \
                    `NAME` begin with `NAME_net.`, those of the head with `fusion_module.`. What takes the \
                    place of absent modalities begins with `marginals.`.\n\n```python\nimport json\nfrom \
                    safetensors.numpy import load_file  # or safetensors.torch\n\nweights = \
                    load_file(\"model.safetensors\")\nconfig = json.load(open(\"config.json\"))\n\
                    print(config[\"classes\"], [(name, array.shape) for name, array in \
                    weights.items()])\n```\n"
        .to_owned();
    if !graph {
        return text;
    }
    let outputs = match description.task {
        Task::Regression => "output `numbers`",
        Task::Classes | Task::Labels => "outputs `logits` and `probabilities`",
    };
    text += &format!(
        "\n`model.onnx` has an input for each modality, all of which it needs, and the {outputs}; the number \
         of examples is free."
    );
    if description.modalities.iter().any(|input| input.standardised) {
        text += " Feature vectors are standardised in it.";
    }
    text += "\n\n```python\nimport numpy as np\nimport onnxruntime\n\nsession = \
             onnxruntime.InferenceSession(\"model.onnx\")\ninputs = {\n";
    for input in &description.modalities {
        let shape: Vec<String> = input.modality.shape.iter().map(ToString::to_string).collect();
        let name = &input.modality.name;
        let _ =
            writeln!(text, "    {name:?}: np.zeros((1, {}), dtype=np.float32),", shape.join(", "));
    }
    text + match description.task {
        Task::Regression => "}\n(numbers,) = session.run([\"numbers\"], inputs)\n```\n",
        Task::Classes | Task::Labels => {
            "}\nlogits, probabilities = session.run([\"logits\", \"probabilities\"], inputs)\n```\n"
        }
    }
}
