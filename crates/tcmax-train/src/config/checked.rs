//! Settings that have been checked.

use tcmax_datasets::DataSpec;
use tcmax_encoders::InputKind;
use tcmax_fusion::HeadSpec;
use tcmax_losses::MethodSpec;
use tcmax_ops::OptimiserSpec;
use tcmax_registry::{Catalogue, Choice, OptionSet, Options, Spec, Table};

use super::candidates::{Candidate, candidates};
use super::encoders::{self, EncoderChoice};
use super::schedule;
use super::{TrainConfig, TrainingOptions};
use crate::results::Evaluation;
use crate::schedule::{Schedule, ScheduleSpec};
use crate::{Error, Registry, Result};

/// Settings that have been checked; only these can run.
#[derive(Clone, Debug)]
pub struct CheckedConfig {
    config: TrainConfig,
    data: &'static DataSpec,
    optimiser: &'static OptimiserSpec,
    schedule: &'static ScheduleSpec,
    method: &'static MethodSpec,
    head: &'static HeadSpec,
    registry: Registry,
    candidates: Vec<Candidate>,
}

impl TrainConfig {
    /// Checks every setting that can be checked without the data, and fills in all options of what is
    /// chosen among the built-in parts.
    ///
    /// # Errors
    /// The first setting that is wrong, with its key.
    pub fn check(self) -> Result<CheckedConfig> {
        self.check_with(&Registry::default())
    }

    /// As [`TrainConfig::check`], with the parts of `registry`.
    ///
    /// # Errors
    /// As [`TrainConfig::check`].
    pub fn check_with(self, registry: &Registry) -> Result<CheckedConfig> {
        let data_name = if self.data.name.is_empty() { "synthetic" } else { &self.data.name };
        let data = found("data", &registry.data, data_name)?;
        let options = data.options.complete(&self.data.options);
        let options = options.map_err(|error| in_section("data", error))?;
        let options = data.absolute(options)?;
        let data_choice = Choice { name: data_name.to_owned(), options };
        let usual = tcmax_losses::methods::TCMAX.name;
        let method_name = if self.method.name.is_empty() { usual } else { &self.method.name };
        let method = found("method", &registry.methods, method_name)?;
        check_tables("method", &self.method, &registry.methods, |spec| spec.options)?;
        let head = self.head_spec(method, registry)?;
        check_tables("head", &self.head, &registry.heads, |spec| spec.options)?;
        let optimiser = defaulted(&self.optimiser, "sgd");
        let schedule = defaulted(&self.schedule, "step");
        let optimisers = found("optimiser", &registry.optimisers, optimiser)?;
        let schedules = found("schedule", &registry.schedules, schedule)?;
        let train = Options::of::<TrainingOptions>();
        let mut table = Table::try_from(&self.train)
            .map_err(|error| Error::setting("train", error.to_string()))?;
        table.extend(self.train.unsaved());
        train.complete(&table).map_err(|error| in_section("train", error))?;
        let config = Self {
            data: data_choice,
            encoder: encoders::completed(&self.encoder, &registry.encoders)?,
            head: completed("head", &self.head, head.name, &head.options)?,
            method: completed("method", &self.method, method.name, &method.options)?,
            optimiser: completed("optimiser", &self.optimiser, optimiser, &optimisers.options)?,
            schedule: schedule::completed(&self.schedule, schedules)?,
            train: self.train,
            choose: self.choose,
        };
        let candidates = candidates(&config, registry)?;
        Ok(CheckedConfig {
            candidates,
            config,
            data,
            optimiser: optimisers,
            schedule: schedules,
            method,
            head,
            registry: registry.clone(),
        })
    }

    /// The head asked for, or the one that the method comes with.
    fn head_spec(
        &self,
        method: &'static MethodSpec,
        registry: &Registry,
    ) -> Result<&'static HeadSpec> {
        match self.head.name.as_str() {
            "" => Ok(method.usual_head),
            name => found("head", &registry.heads, name),
        }
    }
}

fn defaulted<'a>(choice: &'a Choice, usual: &'a str) -> &'a str {
    if choice.name.is_empty() { usual } else { &choice.name }
}

fn found<S: Spec>(section: &str, catalogue: &Catalogue<S>, name: &str) -> Result<&'static S> {
    catalogue.get(name).map_err(|error| in_section(section, error))
}

fn completed(section: &str, given: &Choice, name: &str, options: &Options) -> Result<Choice> {
    given.complete(name, options).map_err(|error| in_section(section, error))
}

/// Checks the tables of a section, which are options of others than the one that was chosen.
fn check_tables<S: Spec>(
    section: &str,
    choice: &Choice,
    catalogue: &Catalogue<S>,
    options: impl Fn(&S) -> Options,
) -> Result<()> {
    for (name, table) in choice.tables() {
        let spec = found(section, catalogue, name)?;
        let checked = options(spec).complete(table);
        checked.map_err(|error| in_section(&format!("{section}.{name}"), error))?;
    }
    Ok(())
}

/// An error of a registry as one of the settings in a section.
pub(crate) fn in_section(section: &str, error: tcmax_registry::Error) -> Error {
    use tcmax_registry::Error as Wrong;
    let field = match &error {
        Wrong::OutOfRange { option, .. } => format!("{section}.{option}"),
        Wrong::UnknownOption { option, .. } => format!("{section}.{option}"),
        Wrong::Unknown { .. } => format!("{section}.name"),
        Wrong::Duplicate { .. } | Wrong::WrongType { .. } => section.to_owned(),
    };
    match error {
        Wrong::OutOfRange { problem, .. } => Error::setting(field, problem),
        error => Error::setting(field, error.to_string()),
    }
}

/// Reads the sections of a table, none of which has to be there.
pub(super) fn read_sections(table: &Table) -> Result<TrainConfig> {
    let mut config = TrainConfig::default();
    for (section, value) in table {
        let choice = match section.as_str() {
            "data" => &mut config.data,
            "choose" => {
                config.choose = section_table(section, value)?.clone();
                continue;
            }
            "encoder" => &mut config.encoder,
            "head" => &mut config.head,
            "method" => &mut config.method,
            "optimiser" => &mut config.optimiser,
            "schedule" => &mut config.schedule,
            "train" => {
                let table = section_table(section, value)?;
                let train = tcmax_registry::read(table);
                config.train = train.map_err(|error| in_section("train", error))?;
                continue;
            }
            other => return Err(no_section(other)),
        };
        let mut options = section_table(section, value)?.clone();
        let name = match options.remove("name") {
            None => String::new(),
            Some(toml::Value::String(name)) => name,
            Some(_) => {
                return Err(Error::setting(format!("{section}.name"), "must be a name, in quotes"));
            }
        };
        *choice = Choice { name, options };
    }
    Ok(config)
}

/// That there is no such section.
pub(super) fn no_section(name: &str) -> Error {
    let nearest = tcmax_registry::nearest(name, TrainConfig::SECTIONS.into_iter());
    let meant = nearest.map_or_else(String::new, |name| format!("did you mean [{name}]? "));
    let known = TrainConfig::SECTIONS.map(|name| format!("[{name}]")).join(", ");
    Error::setting(name, format!("there is no such section; {meant}the sections are {known}"))
}

fn section_table<'a>(section: &str, value: &'a toml::Value) -> Result<&'a Table> {
    value.as_table().ok_or_else(|| {
        let problem = format!("is a section: write [{section}] and its keys below");
        Error::setting(section, problem)
    })
}

impl CheckedConfig {
    /// The settings, with every option.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// What to train on.
    pub fn data(&self) -> &'static DataSpec {
        self.data
    }

    /// What to train by.
    pub fn method(&self) -> &'static MethodSpec {
        self.method
    }

    /// The fusion head.
    pub fn head(&self) -> &'static HeadSpec {
        self.head
    }

    /// The encoder of the modality `name` with inputs of the given kind.
    ///
    /// # Errors
    /// Only for options that [`TrainConfig::check`] has not seen.
    pub fn encoder(&self, name: &str, kind: InputKind) -> Result<EncoderChoice> {
        encoders::encoder_of(&self.config.encoder, &self.registry.encoders, name, kind)
    }

    /// What makes steps of gradients.
    pub fn optimiser(&self) -> &'static OptimiserSpec {
        self.optimiser
    }

    /// How the learning rate changes.
    pub fn schedule(&self) -> &'static ScheduleSpec {
        self.schedule
    }

    /// The schedule, from the learning rate of the optimiser.
    ///
    /// # Errors
    /// Only for options that [`TrainConfig::check`] has not seen.
    pub fn new_schedule(&self) -> Result<Box<dyn Schedule>> {
        let rate = self.config.optimiser.options.get("learning-rate");
        // An integer, such as 1, is a number too.
        let rate = rate.and_then(|rate| rate.as_float().or(rate.as_integer().map(|r| r as f64)));
        schedule::build(&self.config.schedule, self.schedule, rate.unwrap_or_default())
    }

    /// The epochs that the schedule is made for: those of the run, but for a run that was gone on with.
    pub fn schedule_epochs(&self) -> usize {
        schedule::length(&self.config.schedule).unwrap_or(self.config.train.epochs)
    }

    /// What a schedule that follows a metric is told: the validation accuracy (mAP of labels, minus the RMSE of
    /// numbers) where it says that more is better, the cross-entropy (the RMSE) otherwise.
    pub fn schedule_metric(&self, validation: &Evaluation) -> f64 {
        match self.config.schedule.options.get("mode").and_then(toml::Value::as_str) {
            Some("max") => validation.gain(),
            _ => validation.loss(),
        }
    }

    /// The settings that a run chooses from by validation; empty where there is nothing to choose.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// What its names are looked up in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
