//! `tcmax config`: the settings of an experiment, and what every key does.

use clap::Args;
use tcmax_registry::{Catalogue, Choice, OptionDoc, OptionSet, Options, Spec, Table};
use tcmax_train::{
    CheckedConfig, CompareOptions, EncoderTraining, Registry, TrainingOptions, WarmUpOptions,
};

use super::experiment::ExperimentOptions;
use super::print;

/// Options of `tcmax config`.
#[derive(Args)]
#[command(after_help = "Examples:\n  tcmax config > experiment.toml             \
                        the default experiment, to be edited\n  tcmax config --config experiment.toml \
                        --explain   every key of it with what it does\n  tcmax train --config experiment.toml \
                        --set train.epochs=3\n\nThe values printed are those of the file and the flags, and defaults \
                        where they say nothing.")]
pub struct Config {
    #[command(flatten)]
    experiment: ExperimentOptions,
    /// Say above every key what it does, and list the keys that have no default
    #[arg(long)]
    explain: bool,
}

impl Config {
    /// Prints the settings as an experiment file.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        let experiment = self.experiment.experiment(registry, None)?;
        let compare = experiment.compare.clone();
        let path_is_missing = experiment.config.data.name == "files"
            && !experiment.config.data.options.contains_key("path");
        let mut settings = experiment.config;
        if path_is_missing {
            settings = settings.clone();
            settings.set("data.path", "PATH".into())?;
        }
        let config = self.experiment.check(settings, registry)?;
        print(text(&config, &compare, registry, self.explain).trim_end())
    }
}

/// A section: its name, what may be chosen in it, its values and what is known of its keys.
struct Section<'a> {
    name: &'a str,
    about: String,
    values: Table,
    docs: Vec<OptionDoc>,
}

fn text(
    config: &CheckedConfig,
    compare: &CompareOptions,
    registry: &Registry,
    explain: bool,
) -> String {
    let settings = config.config();
    let table = |value: toml::Value| value.as_table().cloned().unwrap_or_default();
    let encoder = registry.encoders.get(&settings.encoder.name).map(|spec| spec.options);
    let mut encoder = docs(encoder.unwrap_or(Options::NONE));
    encoder.extend(docs(Options::of::<EncoderTraining>()));
    let mut train = toml::Value::try_from(&settings.train).map(table).unwrap_or_default();
    train.extend(settings.train.unsaved());
    let mut compared = toml::Value::try_from(compare).map(table).unwrap_or_default();
    compared.extend(compare.unsaved());
    let encoders = format!(
        "{}. A table [encoder.NAME] is the encoder of one modality",
        listed("The network of every modality whose inputs it takes", &registry.encoders)
    );
    let methods = format!(
        "{}. A table [method.NAME] has options for when that is chosen",
        listed("What to train by", &registry.methods)
    );
    let heads = listed("The classifier on the features", &registry.heads);
    let optimisers = listed("What makes steps of gradients", &registry.optimisers);
    let schedules = listed("How the learning rate changes", &registry.schedules);
    let data = listed("What to train on", &registry.data);
    let sections = [
        Section::of("data", data, &settings.data, docs(config.data().options)),
        Section::of("encoder", encoders, &settings.encoder, encoder),
        Section::of("head", heads, &settings.head, docs(config.head().options)),
        Section::of("method", methods, &settings.method, docs(config.method().options)),
        Section::of("optimiser", optimisers, &settings.optimiser, docs(config.optimiser().options)),
        Section::of("schedule", schedules, &settings.schedule, schedule(config)),
        Section {
            name: "train",
            about: "The loop".to_owned(),
            values: train,
            docs: docs(Options::of::<TrainingOptions>()),
        },
        Section {
            name: "choose",
            about: "Lists of values of other keys, such as method.alpha = [0.1, 0.4]: a run trains with every \
                    combination and keeps the model of the best validation accuracy"
                .to_owned(),
            values: settings.choose.clone(),
            docs: Vec::new(),
        },
        Section {
            name: "compare",
            about: "What `tcmax compare` compares; `tcmax train` does not read it".to_owned(),
            values: compared,
            docs: docs(Options::of::<CompareOptions>()),
        },
    ];
    sections.iter().map(|section| section.text(explain)).collect()
}

fn schedule(config: &CheckedConfig) -> Vec<OptionDoc> {
    let mut all = docs(config.schedule().options);
    all.push(OptionDoc {
        name: "length".to_owned(),
        default: None,
        text: "Epochs that the schedule is made for; absent: those of the run.".to_owned(),
    });
    all.push(OptionDoc {
        name: "warm-up".to_owned(),
        default: None,
        text: "What is in front of the schedule.".to_owned(),
    });
    let inside = docs(Options::of::<WarmUpOptions>()).into_iter();
    all.extend(inside.map(|doc| OptionDoc { name: format!("warm-up.{}", doc.name), ..doc }));
    all
}

fn docs(options: Options) -> Vec<OptionDoc> {
    options.documentation()
}

fn listed<S: Spec>(what: &str, catalogue: &Catalogue<S>) -> String {
    format!("{what}: {}", catalogue.names().join(", "))
}

impl<'a> Section<'a> {
    /// The section of something that is chosen by name.
    fn of(name: &'a str, about: String, choice: &Choice, docs: Vec<OptionDoc>) -> Self {
        let mut values = choice.options.clone();
        values.insert("name".to_owned(), choice.name.as_str().into());
        Self { name, about, values, docs }
    }

    fn text(&self, explain: bool) -> String {
        let Self { name, about, values, docs } = self;
        let mut text = String::new();
        if explain {
            text += &format!("# {about}.\n");
        }
        text += &format!("[{name}]\n");
        let (tables, mut plain): (Table, Table) =
            values.clone().into_iter().partition(|(_, value)| value.is_table());
        if let Some(name) = plain.remove("name") {
            text += &format!("name = {name}\n");
        }
        if explain {
            let (inside, own): (Vec<_>, Vec<_>) =
                docs.iter().cloned().partition(|doc| doc.name.contains('.'));
            let own: Vec<OptionDoc> =
                own.into_iter().filter(|doc| !tables.contains_key(&doc.name)).collect();
            text += &documented(&own, &plain);
            for (table, values) in &tables {
                text += &nested(name, table, values, &inside);
            }
        } else {
            for (key, value) in &plain {
                text += &format!("{key} = {value}\n");
            }
            for (table, values) in &tables {
                text += &nested(name, table, values, &[]);
            }
        }
        text + "\n"
    }
}

/// A table in a section.
fn nested(section: &str, name: &str, values: &toml::Value, docs: &[OptionDoc]) -> String {
    let mut text = format!("[{section}.{name}]\n");
    for (key, value) in values.as_table().into_iter().flatten() {
        let of_key = docs.iter().find(|doc| doc.name == format!("{name}.{key}"));
        if let Some(doc) = of_key {
            text += &format!("# {}\n", doc.text);
        }
        text += &format!("{key} = {value}\n");
    }
    text
}

/// Every option with what it does, with the values of `values` or else the defaults; those that have neither
/// are comments.
pub fn documented(docs: &[OptionDoc], values: &Table) -> String {
    let line = |OptionDoc { name, default, text }: &OptionDoc| {
        let value = values.get(name).map(ToString::to_string).or_else(|| default.clone());
        match value {
            Some(value) => format!("# {text}\n{name} = {value}\n"),
            None => format!("# {text}\n# {name} =\n"),
        }
    };
    docs.iter().map(line).collect()
}
