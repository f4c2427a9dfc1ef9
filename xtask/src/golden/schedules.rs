//! The case of learning-rate schedules: rates at t = 0, 1, ... of schedules that the header describes in words.

use anyhow::{Context, bail};
use candle_core::{Device, Tensor};
use serde_json::Value;
use tcmax_ops::to_vec_f64;
use tcmax_registry::Table;
use tcmax_train::schedule::{
    Position, Schedule, ScheduleConfig, WarmUpOptions, schedules as catalogue,
};

use super::case::{Case, Tolerance};
use super::text::number_after;

/// Every recorded schedule.
pub fn schedules(case: &Case) -> anyhow::Result<()> {
    let mut columns: Vec<String> = Vec::new();
    for name in case.names() {
        let column = name.strip_prefix("output.").filter(|name| !name.ends_with(".momentum"));
        columns.extend(column.map(str::to_owned));
    }
    for column in columns {
        check(case, &column).with_context(|| column.clone())?;
    }
    Ok(())
}

fn check(case: &Case, column: &str) -> anyhow::Result<()> {
    let text = case.text(&format!("schedule.{column}"))?;
    let Described { name, options, warm_up, base, steps } = described(column, text)?;
    let config = ScheduleConfig { name: name.to_owned(), warm_up, options };
    let base = base.map_or_else(|| case.number("base_lr"), Ok)?;
    let mut schedule: Box<dyn Schedule> = config.build(&catalogue(), base)?;
    let quantity = format!("output.{column}");
    let count = case.recorded(&quantity)?.elem_count();
    let metrics = match case.has(&format!("input.metric.{column}")) {
        true => to_vec_f64(case.recorded(&format!("input.metric.{column}"))?)?,
        false => Vec::new(),
    };
    let (mut rates, mut momenta) = (Vec::new(), Vec::new());
    for step in 0..count {
        let at = Position { step, steps: steps.unwrap_or(count), steps_per_epoch: 1 };
        rates.push(schedule.rate(at));
        momenta.extend(schedule.momentum(at));
        if let Some(&metric) = metrics.get(step) {
            schedule.observe(metric);
        }
    }
    // The rates are computed in double precision, whatever the weights are in.
    let tolerance = Tolerance::new(1e-12);
    case.check_within(&quantity, &Tensor::new(rates, &Device::Cpu)?, tolerance)?;
    let quantity = format!("output.{column}.momentum");
    if case.has(&quantity) {
        case.check_within(&quantity, &Tensor::new(momenta, &Device::Cpu)?, tolerance)?;
    }
    Ok(())
}

/// A schedule as the header describes it.
struct Described {
    name: &'static str,
    options: Table,
    warm_up: WarmUpOptions,
    /// The learning rate, where it is not the one of the other schedules.
    base: Option<f64>,
    /// Steps of the run, where these are not as many as were recorded.
    steps: Option<usize>,
}

impl Described {
    fn new(name: &'static str) -> Self {
        let (options, warm_up) = (Table::new(), WarmUpOptions::default());
        Self { name, options, warm_up, base: None, steps: None }
    }

    /// With an option, if it is said.
    fn with(mut self, option: &str, value: Option<f64>) -> Self {
        if let Some(value) = value {
            self.options.insert(option.to_owned(), value.into());
        }
        self
    }

    /// With an option that is a count, if it is said.
    fn counting(mut self, option: &str, value: Option<f64>) -> Self {
        if let Some(value) = value {
            self.options.insert(option.to_owned(), (value as i64).into());
        }
        self
    }

    /// After a warm-up in a run of so many steps.
    fn warmed(mut self, length: f64, start: f64, from_start: bool, steps: f64) -> Self {
        let length = length as usize;
        self.warm_up = WarmUpOptions { length, start, from_start, ..WarmUpOptions::default() };
        self.steps = Some(steps as usize);
        self
    }
}

fn described(column: &str, text: &str) -> anyhow::Result<Described> {
    let number =
        |before: &str| number_after(text, before).with_context(|| format!("no '{before}'"));
    let said = |before: &str| number_after(text, before);
    Ok(match column {
        "step" => Described::new("step")
            .counting("step-size", said("floor(t/"))
            .with("gamma", said("gamma=")),
        "multistep" => multi_step(text)?,
        "exponential" => Described::new("exponential").with("gamma", said("base*")),
        "cosine" => Described::new("cosine")
            .counting("total", said(" T="))
            .with("min-rate", said("eta_min=")),
        "cosine_restarts" => Described::new("cosine-restarts")
            .counting("first-period", said("T_0="))
            .counting("period-factor", said("T_mult="))
            .with("min-rate", said("eta_min=")),
        "linear_then_cosine" => {
            let (length, start) = (number("over ")?, number("start ")?);
            let steps = length + number("T_max=")?;
            let cosine = Described::new("cosine").with("min-rate", said("eta_min="));
            cosine.warmed(length, start, true, steps)
        }
        "lambda_warmup_cosine" => {
            Described::new("cosine").warmed(number("(t+1)/")?, 0.0, false, number("/(")?)
        }
        "hf_cosine_warmup" => {
            Described::new("cosine").warmed(number("t/")?, 0.0, true, number("/(")?)
        }
        "hf_linear_warmup" => {
            Described::new("linear").warmed(number("t/")?, 0.0, true, number("/(")?)
        }
        _ if column.starts_with("onecycle") => one_cycle(text),
        _ if column.starts_with("plateau") => plateau(text)?,
        _ => bail!("no such schedule is known here"),
    })
}

/// "milestones [4, 10], gamma 0.5".
fn multi_step(text: &str) -> anyhow::Result<Described> {
    let list = text.split(['[', ']']).nth(1).context("no milestones")?;
    let milestone = |text: &str| anyhow::Ok(toml::Value::Integer(text.trim().parse()?));
    let milestones: Vec<toml::Value> =
        list.split(',').map(milestone).collect::<anyhow::Result<_>>()?;
    let mut described = Described::new("multi-step").with("gamma", number_after(text, "gamma "));
    described.options.insert("milestones".to_owned(), milestones.into());
    Ok(described)
}

/// "max_lr=0.5, total_steps=31, pct_start=0.3, ..., cosine".
fn one_cycle(text: &str) -> Described {
    let said = |before: &str| number_after(text, before);
    let mut described = Described::new("one-cycle")
        .counting("total", said("total_steps="))
        .with("pct-start", said("pct_start="))
        .with("div-factor", said(" div_factor="))
        .with("final-div-factor", said("final_div_factor="));
    described.base = said("max_lr=");
    let linear = text.contains("linear");
    let anneal = if linear { "linear" } else { "cos" };
    described.options.insert("anneal".to_owned(), anneal.into());
    described.options.insert("three-phase".to_owned(), text.contains("three_phase").into());
    described
}

/// "ReduceLROnPlateau {...}; other arguments at their defaults".
fn plateau(text: &str) -> anyhow::Result<Described> {
    let inside = text.split(['{', '}']).nth(1).context("no arguments")?;
    let arguments: Value = serde_json::from_str(&format!("{{{inside}}}"))?;
    let mut described = Described::new("plateau");
    for (key, value) in arguments.as_object().context("no arguments")? {
        let option = match key.as_str() {
            "min_lr" => "min-rate".to_owned(),
            key => key.replace('_', "-"),
        };
        described.options.insert(option, toml::Value::try_from(value)?);
    }
    Ok(described)
}
