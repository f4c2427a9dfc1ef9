//! What `tcmax estimate` prints.

use std::fmt::Write;

use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;
use tcmax_estimators::fit::{Decomposition, Estimate, Fit, Warning};
use tcmax_estimators::{Sample, Variable, VariableKind};

/// Units of information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Unit {
    /// Natural logarithms
    Nats,
    /// Logarithms to base 2
    Bits,
}

impl Unit {
    /// Nats in this unit.
    pub(super) fn of(self, nats: f64) -> f64 {
        match self {
            Self::Nats => nats,
            Self::Bits => nats / std::f64::consts::LN_2,
        }
    }

    /// The name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Bits => "bits",
        }
    }
}

/// One variable, as it was understood.
#[derive(Clone, Serialize)]
struct Seen {
    name: String,
    columns: usize,
    kind: VariableKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<usize>,
}

/// One estimate, in nats.
#[derive(Clone)]
pub(super) struct Outcome {
    variables: Vec<Seen>,
    rows: usize,
    estimator: String,
    pub(super) value: f64,
    interval: Option<[f64; 2]>,
    cap: Option<f64>,
    spread: Option<f64>,
    seed_values: Vec<f64>,
    warnings: Vec<String>,
    pub(super) fits: Vec<Fit>,
    pub(super) seconds: f64,
}

impl Outcome {
    /// An outcome without a value yet.
    pub(super) fn new(sample: &Sample, estimator: &str) -> Self {
        let seen = |v: &Variable| Seen {
            name: v.name().to_owned(),
            columns: v.width(),
            kind: v.kind(),
            classes: v.classes(),
        };
        Self {
            variables: sample.variables().iter().map(seen).collect(),
            rows: sample.len(),
            estimator: estimator.to_owned(),
            value: f64::NAN,
            interval: None,
            cap: None,
            spread: None,
            seed_values: Vec::new(),
            warnings: Vec::new(),
            fits: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Takes the fits of all seeds.
    pub(super) fn set_estimate(&mut self, estimate: Estimate) {
        let seeds = estimate.fits.len();
        let warnings = estimate.warnings().into_iter().map(|(warning, count)| match count {
            _ if seeds == 1 => warning.message(),
            count => format!("{} ({count} of {seeds} fits)", warning.message()),
        });
        self.warnings = warnings.collect();
        self.value = estimate.value;
        self.interval = Some(estimate.interval);
        self.cap = Some(estimate.cap);
        self.spread = estimate.spread;
        self.seed_values = estimate.fits.iter().map(|fit| fit.value).collect();
        self.fits = estimate.fits;
    }

    /// Takes the decompositions of all seeds; fits are the parts of the first seed, then those of the
    /// second, ...
    pub(super) fn set_parts(&mut self, all: Vec<Decomposition>) {
        let count = all.len() as f64;
        self.seed_values = all.iter().map(|parts| parts.value).collect();
        self.value = self.seed_values.iter().sum::<f64>() / count;
        let variance = all.iter().map(|parts| parts.standard_error.powi(2)).sum::<f64>() / count;
        let half = 1.96 * variance.sqrt();
        self.interval = Some([(self.value - half).max(0.0), self.value + half]);
        let squares: f64 = self.seed_values.iter().map(|v| (v - self.value).powi(2)).sum();
        self.spread = (all.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        self.fits = all.into_iter().flat_map(|all| all.parts).map(|part| part.fit).collect();
        let mut messages: Vec<String> =
            self.fits.iter().flat_map(|fit| &fit.warnings).map(Warning::message).collect();
        messages.dedup();
        messages.truncate(5);
        self.warnings = messages;
    }

    /// What is estimated: `TC(a, b, y)` or `I(a; b)`.
    pub(super) fn quantity(&self) -> String {
        let names: Vec<&str> = self.variables.iter().map(|seen| seen.name.as_str()).collect();
        match names.as_slice() {
            [a, b] => format!("I({a}; {b})"),
            names => format!("TC({})", names.join(", ")),
        }
    }

    /// The estimate in lines.
    pub(super) fn text(&self, unit: Unit) -> String {
        let mut text = String::new();
        let number = |nats: f64| format!("{:.4}", unit.of(nats));
        let described = self.variables.iter().map(|seen| match seen.classes {
            Some(classes) => format!("{} ({classes} classes)", seen.name),
            None if seen.columns == 1 => seen.name.clone(),
            None => format!("{} ({} columns)", seen.name, seen.columns),
        });
        let described: Vec<String> = described.collect();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        line("variables", described.join(", "));
        line("rows", self.rows.to_string());
        line("estimator", self.estimator.clone());
        line("estimate", format!("{} = {} {}", self.quantity(), number(self.value), unit.name()));
        if let Some([low, high]) = self.interval {
            line("interval", format!("{} to {} (95%, held-out data)", number(low), number(high)));
        }
        if let Some(cap) = self.cap {
            line("cap", number(cap));
        }
        if let Some(spread) = self.spread {
            let values: Vec<String> = self.seed_values.iter().map(|&value| number(value)).collect();
            line("seeds", format!("{} (spread {})", values.join(" "), number(spread)));
        }
        line("seconds", format!("{:.1}", self.seconds));
        for warning in &self.warnings {
            line("warning", warning.clone());
        }
        text.trim_end().to_owned()
    }

    fn json(&self, unit: Unit) -> serde_json::Value {
        let of = |nats: f64| unit.of(nats);
        serde_json::json!({
            "quantity": self.quantity(),
            "variables": self.variables,
            "rows": self.rows,
            "estimator": self.estimator,
            "unit": unit.name(),
            "value": of(self.value),
            "interval": self.interval.map(|ends| ends.map(of)),
            "cap": self.cap.map(of),
            "seed_values": self.seed_values.iter().map(|&value| of(value)).collect::<Vec<_>>(),
            "spread": self.spread.map(of),
            "warnings": self.warnings,
            "seconds": self.seconds,
            // In nats always, as the fits are.
            "fits_in_nats": self.fits,
        })
    }
}

/// One outcome, or all pairs', as JSON.
pub(super) fn json(outcomes: &[Outcome], unit: Unit, all_pairs: bool) -> anyhow::Result<String> {
    let all: Vec<serde_json::Value> = outcomes.iter().map(|outcome| outcome.json(unit)).collect();
    Ok(match all.as_slice() {
        [only] if !all_pairs => serde_json::to_string_pretty(only)?,
        all => serde_json::to_string_pretty(all)?,
    })
}

/// The mutual informations of all pairs, given in the order (0, 1), (0, 2), ..., (1, 2), ...
pub(super) fn matrix(sample: &Sample, outcomes: &[Outcome], unit: Unit) -> String {
    let names: Vec<&str> = sample.variables().iter().map(Variable::name).collect();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([&[unit.name()], names.as_slice()].concat());
    let cell = |i: usize, j: usize| {
        if i == j {
            return String::new();
        }
        let (i, j) = (i.min(j), i.max(j));
        // Pairs of rows before i, then those of row i before j.
        let place = i * names.len() - i * (i + 1) / 2 + j - i - 1;
        outcomes.get(place).map_or_else(String::new, |outcome| {
            let half = outcome.interval.map(|[low, high]| unit.of(high - low) / 2.0);
            let half = half.map_or_else(String::new, |half| format!(" ± {half:.3}"));
            format!("{:.3}{half}", unit.of(outcome.value))
        })
    };
    for (i, name) in names.iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        row.extend((0..names.len()).map(|j| cell(i, j)));
        table.add_row(row);
    }
    let mut text = table.to_string();
    for outcome in outcomes {
        for warning in &outcome.warnings {
            let _ = write!(text, "\nwarning    {}: {warning}", outcome.quantity());
        }
    }
    text
}
