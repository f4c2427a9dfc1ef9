//! `tcmax methods`.

use clap::Args;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use tcmax_encoders::EncoderSpec;
use tcmax_estimators::EstimatorKind;
use tcmax_losses::MethodSpec;
use tcmax_registry::Options;
use tcmax_train::{Error, Registry, Task};

use super::config::documented;
use super::print;

/// Options of `tcmax methods`.
#[derive(Args)]
pub struct Methods {
    /// Tell about this method, head or encoder
    name: Option<String>,
}

impl Methods {
    /// Prints a table of each kind, or what one method, head or encoder is and its options.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        match self.name.as_deref() {
            None => print(&everything(registry))?,
            Some(name) => print(&one(registry, name)?)?,
        }
        Ok(())
    }
}

const HINT: &str = "`tcmax methods NAME` lists the options of one; set them with\n`tcmax train --set \
                    method.OPTION=VALUE` (head, encoder, optimiser, schedule likewise).\n`tcmax estimate \
                    --list` has those of estimators.";

/// Columns of text that a table takes at most, and that fit where no terminal says how many there are.
const WIDEST: u16 = 100;

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let width = table.width().map_or(WIDEST, |terminal| terminal.min(WIDEST));
    table.set_width(width);
    // Names are typed again: they stay in one piece.
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn everything(registry: &Registry) -> String {
    let tables = [
        methods(registry),
        heads(registry),
        encoders(registry),
        others("optimiser", registry.optimisers.iter().map(|o| [o.name, o.description, o.source])),
        others("schedule", registry.schedules.iter().map(|s| [s.name, s.description, s.source])),
        estimators(registry),
    ];
    let tables: String = tables.iter().map(|table| format!("{table}\n\n")).collect();
    tables + HINT
}

fn methods(registry: &Registry) -> Table {
    let mut table = table(["method", "what it does", "modalities", "head", "source"]);
    for spec in registry.methods.iter() {
        table.add_row([
            spec.name,
            spec.description,
            &spec.modalities.to_string(),
            spec.usual_head.name,
            spec.source,
        ]);
    }
    table
}

fn heads(registry: &Registry) -> Table {
    let mut table = table(["head", "what it does", "modalities", "additive", "source"]);
    for spec in registry.heads.iter() {
        let additive = if spec.additive { "yes" } else { "no" };
        let modalities = spec.modalities.to_string();
        table.add_row([spec.name, spec.description, &modalities, additive, spec.source]);
    }
    table
}

fn encoders(registry: &Registry) -> Table {
    let mut table = table(["encoder", "what it is", "takes", "published weights", "source"]);
    for spec in registry.encoders.iter() {
        let published = if spec.pretrained.is_some() { "yes" } else { "no" };
        table.add_row([spec.name, spec.description, &inputs(spec), published, spec.source]);
    }
    table
}

/// What an encoder takes.
fn inputs(spec: &EncoderSpec) -> String {
    spec.inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn estimators(registry: &Registry) -> Table {
    let mut table = table(["estimator", "what it is", "variables", "lower bound", "critics"]);
    for spec in registry.estimators.iter() {
        let variables = if spec.pairs_only { "2" } else { "2 or more" };
        let bound = if spec.lower_bound { "yes" } else { "no" };
        let critics = match spec.kind {
            EstimatorKind::Critic(_) => "one per seed",
            EstimatorKind::Sum(_) => "one per seed and term",
            EstimatorKind::Direct(_) => "none",
        };
        table.add_row([spec.name, spec.description, variables, bound, critics]);
    }
    table
}

fn others(kind: &str, rows: impl Iterator<Item = [&'static str; 3]>) -> Table {
    let mut table = table([kind, "what it does", "source"]);
    for row in rows {
        table.add_row(row);
    }
    table
}

fn one(registry: &Registry, name: &str) -> anyhow::Result<String> {
    if let Ok(head) = registry.heads.get(name) {
        let options = options("head", name, head.options);
        return Ok(format!("{head}: {}{}\n\n{options}", head.description, source(head.source)));
    }
    if let Ok(encoder) = registry.encoders.get(name) {
        let published = match encoder.pretrained {
            Some(_) => "Published weights are loaded with --set encoder.weights=PATH.",
            None => "Nobody publishes weights of it.",
        };
        return Ok(format!(
            "{name}: {}{}\nTakes: {}. {published}\n\n{}",
            encoder.description,
            source(encoder.source),
            inputs(encoder),
            options("encoder", name, encoder.options)
        ));
    }
    if let Ok(spec) = registry.optimisers.get(name) {
        let options = options("optimiser", name, spec.options);
        return Ok(format!("{name}: {}{}\n\n{options}", spec.description, source(spec.source)));
    }
    if let Ok(spec) = registry.schedules.get(name) {
        let options = options("schedule", name, spec.options);
        return Ok(format!("{name}: {}{}\n\n{options}", spec.description, source(spec.source)));
    }
    let Ok(method) = registry.methods.get(name) else {
        let problem = format!(
            "no method, head or encoder '{name}'; methods are {}, heads are {}, encoders are {}",
            registry.methods.names().join(", "),
            registry.heads.names().join(", "),
            registry.encoders.names().join(", ")
        );
        return Err(Error::setting("NAME", problem).into());
    };
    let stages = if method.needs_stages { " Encoders: ResNets." } else { "" };
    Ok(format!(
        "{method}: {}{}\nModalities: {}.{stages} Usual head: {}. Tasks: {}.\n\n{}",
        method.description,
        source(method.source),
        method.modalities,
        method.usual_head,
        tasks(method),
        options("method", name, method.options)
    ))
}

/// For which tasks a method is defined, and why for no others.
fn tasks(method: &MethodSpec) -> String {
    let all = [Task::Classes, Task::Labels, Task::Regression];
    let fits = |task: &Task| method.check_task(*task).is_ok();
    let (fit, not): (Vec<Task>, Vec<Task>) = all.into_iter().partition(fits);
    let names = fit.iter().map(|task| task.name()).collect::<Vec<_>>().join(", ");
    let why = not.first().and_then(|task| method.tasks.refusal(*task));
    why.map_or(names.clone(), |why| format!("{names}; not others, because {why}"))
}

fn source(source: &str) -> String {
    if source.is_empty() { String::new() } else { format!(" ({source})") }
}

/// Every option with its default and what it does, as it stands in a configuration file.
fn options(section: &str, name: &str, options: Options) -> String {
    let docs = options.documentation();
    let Some(first) = docs.first() else { return "No options.".to_owned() };
    format!(
        "Options and their defaults:\n[{section}]\nname = \"{name}\"\n{}\nOr: --set {section}.{}=VALUE",
        documented(&docs, &tcmax_registry::Table::new()),
        first.name
    )
}
