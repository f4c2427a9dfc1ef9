//! `tcmax estimate --measure`: measures of more than two variables.

use std::fmt::Write;
use std::time::Instant;

use serde_json::json;
use tcmax_estimators::exact::{PartialInformation, Redundancy};
use tcmax_estimators::{JointTable, Measure, Measured, Relation, Sample, estimate_measure};
use tcmax_train::Error;

use super::flags::{Asked, OutputFlags};
use super::missing::Complete;
use super::outcome::{Outcome, Seen, Unit};
use super::output::rows;
use super::progress::{Cost, Progress};
use super::work::Work;

/// Estimates a measure of the variables, of which the last `given` are known, and returns what to print.
pub(super) fn run(
    asked: Asked,
    complete: &Complete,
    given: usize,
    work: &Work<'_>,
    output: &OutputFlags,
) -> anyhow::Result<String> {
    let measure = match asked {
        Asked::TotalCorrelation => Measure::TotalCorrelation,
        Asked::Dual => Measure::Dual,
        Asked::OInformation => Measure::OInformation,
        Asked::Interaction => Measure::Interaction,
        Asked::Conditional => Measure::Conditional,
        Asked::Pid => return parts(complete, Redundancy::Broja, output),
        Asked::PidMin => return parts(complete, Redundancy::IMin, output),
    };
    let sample = &complete.sample;
    let (free, known) = split(sample, given);
    let terms = measure.terms(&free, &known).map_err(Error::from)?;
    if let Some(relation) = Relation::find(sample).filter(Relation::is_infinite) {
        let problem = format!(
            "{relation}: what they share is infinite, and {measure} a difference of infinite numbers"
        );
        return Err(Error::setting("--measure", problem).into());
    }
    let of_term = |term: &tcmax_estimators::Term| {
        let variables: Vec<_> =
            term.groups.iter().flatten().map(|&v| &sample.variables()[v]).collect();
        work.cost_of(&variables)
    };
    let cost = terms.iter().map(of_term).fold(Cost::default(), Cost::and);
    work.announce(cost, &format!("{} estimates: ", terms.len()))?;
    let (start, progress) = (Instant::now(), Progress::new(cost.steps));
    let observe = |steps: usize| progress.add(steps as u64);
    let found = estimate_measure(sample, measure, &known, work.config, work.seeds, &observe);
    progress.finish();
    let names = sample.names();
    let (free, known) = names.split_at(free.len());
    let quantity = measure.quantity(free, known);
    let found = found.map_err(|e| anyhow::Error::from(Error::from(e)).context(quantity.clone()))?;
    let head = Head { complete, quantity, estimator: work.config.config().estimator.name };
    let seconds = start.elapsed().as_secs_f64();
    Ok(match output.json {
        true => serde_json::to_string_pretty(&head.json(&found, output.unit, seconds))?,
        false => head.text(&found, output.unit, seconds),
    })
}

/// The numbers of the variables and of those that are given.
fn split(sample: &Sample, given: usize) -> (Vec<usize>, Vec<usize>) {
    let all = sample.variables().len();
    let free = all.saturating_sub(given);
    ((0..free).collect(), (free..all).collect())
}

/// What is known before anything is estimated.
struct Head<'a> {
    complete: &'a Complete,
    quantity: String,
    estimator: &'a str,
}

impl Head<'_> {
    fn variables(&self) -> Vec<Seen> {
        Outcome::new(&self.complete.sample, self.estimator).variables
    }

    /// The lines that every text begins with.
    fn lines(&self) -> String {
        let variables: Vec<String> = self.variables().iter().map(Seen::described).collect();
        let rows = rows(self.complete.sample.len(), self.complete.left_out);
        format!(
            "{:<10} {}\n{:<10} {rows}\n{:<10} {}\n",
            "variables",
            variables.join(", "),
            "rows",
            "estimator",
            self.estimator
        )
    }

    fn text(&self, found: &Measured, unit: Unit, seconds: f64) -> String {
        let number = |nats: f64| format!("{:.4}", unit.of(nats));
        let mut text = self.lines();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        let is = if found.is_lower_bound { "at least" } else { "about" };
        let value = number(found.value);
        line("estimate", format!("{} is {is} {value} {}", self.quantity, unit.name()));
        if let Some([low, high]) = found.interval {
            let of = "95%; each term between its bounds on held-out and on training data";
            line("interval", format!("{} to {} ({of})", number(low), number(high)));
        }
        if let Some(spread) = found.spread {
            let values: Vec<String> = found.seed_values.iter().map(|&v| number(v)).collect();
            line("seeds", format!("{} (spread {})", values.join(" "), number(spread)));
        }
        for term in &found.terms {
            let sign = if term.weight < 0.0 { "-" } else { "+" };
            let value = number(term.estimate.held_out());
            line("term", format!("{sign} I({}) {value}", term.groups.join("; ")));
        }
        line("seconds", format!("{seconds:.1}"));
        for warning in &found.warnings {
            line("warning", warning.clone());
        }
        text.trim_end().to_owned()
    }

    fn json(&self, found: &Measured, unit: Unit, seconds: f64) -> serde_json::Value {
        let of = |nats: f64| unit.of(nats);
        json!({
            "quantity": self.quantity,
            "measure": found.measure,
            "variables": self.variables(),
            "rows": self.complete.sample.len(),
            "rows_left_out": self.complete.left_out,
            "estimator": self.estimator,
            "unit": unit.name(),
            "value": of(found.value),
            "is_lower_bound": found.is_lower_bound,
            "interval": found.interval.map(|ends| ends.map(of)),
            "spread": found.spread.map(of),
            "seed_values": found.seed_values.iter().map(|&value| of(value)).collect::<Vec<_>>(),
            "warnings": found.warnings,
            "seconds": seconds,
            // In nats always, as the fits are.
            "terms_in_nats": found.terms,
        })
    }
}

/// What two sources tell of a target, from the frequencies of classes.
fn parts(
    complete: &Complete,
    redundancy: Redundancy,
    output: &OutputFlags,
) -> anyhow::Result<String> {
    let sample = &complete.sample;
    let variables = sample.variables();
    let [a, b, target] = variables else {
        let problem = format!(
            "two sources and a target are three --variables, in this order; got {}",
            variables.len()
        );
        return Err(Error::setting("--measure pid", problem).into());
    };
    let table = JointTable::of_sample(sample).map_err(Error::from)?;
    let found = table.partial_information([&[0], &[1]], &[2], redundancy).map_err(Error::from)?;
    let estimator = match redundancy {
        Redundancy::Broja => "plug-in, parts as Bertschinger et al. (2014)",
        Redundancy::IMin => "plug-in, parts by I_min (Williams and Beer 2010)",
    };
    let (a, b, target) = (a.name(), b.name(), target.name());
    let head = Head { complete, quantity: format!("I({target}; ({a}, {b}))"), estimator };
    let states: usize = variables.iter().filter_map(tcmax_estimators::Variable::classes).product();
    // Of fewer than ten rows for each the bias is above a twentieth of a nat.
    let warning = (sample.len() < 10 * states).then(|| {
        let bias = output.unit.of(states as f64 / (2.0 * sample.len() as f64));
        format!(
            "{} rows are few for {states} combinations of classes: chance alone adds up to about {bias:.2} {}, \
             most of it to what is called synergistic",
            sample.len(),
            output.unit.name()
        )
    });
    let PartialInformation { redundant, unique: [of_a, of_b], synergistic, .. } = found;
    let unit = output.unit;
    if output.json {
        return Ok(serde_json::to_string_pretty(&json!({
            "quantity": head.quantity,
            "definition": redundancy,
            "variables": head.variables(),
            "rows": sample.len(),
            "rows_left_out": complete.left_out,
            "unit": unit.name(),
            "value": unit.of(redundant + of_a + of_b + synergistic),
            "redundant": unit.of(redundant),
            "unique": [unit.of(of_a), unit.of(of_b)],
            "synergistic": unit.of(synergistic),
            "gap": unit.of(found.gap),
            "warnings": Vec::from_iter(warning),
        }))?);
    }
    let mut text = head.lines();
    let name = unit.name();
    let all = [
        (head.quantity.clone(), redundant + of_a + of_b + synergistic),
        (format!("  redundant, told by both {a} and {b}"), redundant),
        (format!("  unique, told by {a} alone"), of_a),
        (format!("  unique, told by {b} alone"), of_b),
        ("  synergistic, told by both together only".to_owned(), synergistic),
    ];
    for (what, nats) in all {
        let _ = writeln!(text, "{:.4} {name}  {what}", unit.of(nats));
    }
    if let Some(warning) = warning {
        let _ = writeln!(text, "{:<10} {warning}", "warning");
    }
    Ok(text.trim_end().to_owned())
}
