//! What `tcmax estimate` prints.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use tcmax_estimators::{Relation, RelationKind};

use super::outcome::{Outcome, Seen, Shape, Unit};
use super::significance;

impl Outcome {
    /// The estimate in lines.
    pub(super) fn text(&self, unit: Unit) -> String {
        let mut text = String::new();
        let number = |nats: f64| format!("{:.4}", unit.of(nats));
        let described: Vec<String> = self.variables.iter().map(Seen::described).collect();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        line("variables", described.join(", "));
        line("rows", rows(self.rows, self.left_out));
        line("estimator", self.estimator.clone());
        let is = if self.is_lower_bound { "at least" } else { "about" };
        let value = match self.value.is_infinite() {
            true => "infinite".to_owned(),
            false => format!("{is} {} {}", number(self.value), unit.name()),
        };
        line("estimate", format!("{} is {value}", self.quantity()));
        if let Some(relation) = &self.relation {
            line("relation", relation_text(relation, unit));
        }
        if let Some([low, high]) = self.interval {
            let of = match self.is_lower_bound {
                true => "95%; above it only where no such critic is right",
                false => "95%",
            };
            line("interval", format!("{} to {} ({of})", number(low), number(high)));
        }
        if let Some(guess) = self.best_guess {
            let of = match self.neighbours {
                Some(_) => "by nearest neighbours, which hardly fall short of two columns",
                None => "midway between the bounds on held-out and on training data",
            };
            line("best guess", format!("{} ({of})", number(guess)));
        }
        if !self.comparisons.is_empty() {
            let others = self.comparisons.iter();
            let others: Vec<String> =
                others.map(|c| format!("{} {}", c.estimator, number(c.value))).collect();
            line("others", others.join(", "));
        }
        if let Some(cap) = self.cap {
            line("cap", number(cap));
        }
        if let Some(spread) = self.spread {
            let values: Vec<String> = self.seed_values.iter().map(|&value| number(value)).collect();
            line("seeds", format!("{} (spread {})", values.join(" "), number(spread)));
        }
        if let Some(test) = &self.test {
            line("p value", significance::text(test, unit));
        }
        line("seconds", format!("{:.1}", self.seconds));
        for warning in &self.warnings {
            line("warning", warning.clone());
        }
        text.trim_end().to_owned()
    }

    /// What the value and the interval are, for readers of the JSON.
    fn meaning(&self) -> &'static str {
        match () {
            () if self.refusal.is_some() => "no estimate",
            () if self.value.is_infinite() => "infinite: one variable determines another",
            () if self.is_lower_bound => {
                "lower bound: the truth is at least the value, and most likely within the interval; it \
                 lies above that only where no critic of this kind is right"
            }
            () => "estimate, not a bound",
        }
    }

    fn json(&self, unit: Unit) -> serde_json::Value {
        let of = |nats: f64| unit.of(nats);
        serde_json::json!({
            "quantity": self.quantity(),
            "variables": self.variables,
            "rows": self.rows,
            "rows_left_out": self.left_out,
            "estimator": self.estimator,
            "unit": unit.name(),
            // None where it is infinite or was refused.
            "value": Some(of(self.value)).filter(|value| value.is_finite()),
            "infinite": self.value.is_infinite(),
            "meaning": self.meaning(),
            "is_lower_bound": self.is_lower_bound,
            "relation": self.relation.as_ref().map(|relation| relation_text(relation, unit)),
            "refused": self.refusal,
            "comparisons": self.comparisons.iter().map(|other| serde_json::json!({
                "estimator": other.estimator,
                "value": of(other.value),
                "standard_error": of(other.standard_error),
            })).collect::<Vec<_>>(),
            "interval": self.interval.map(|ends| ends.map(of)),
            "best_guess": self.best_guess.map(of),
            "neighbours": self.neighbours.map(of),
            "cap": self.cap.map(of),
            "seed_values": self.seed_values.iter().map(|&value| of(value)).collect::<Vec<_>>(),
            "spread": self.spread.map(of),
            "permutation_test": self.test.as_ref().map(|test| significance::json(test, unit)),
            "p_holm": self.corrected.map(|[holm, _]| holm),
            "p_benjamini_hochberg": self.corrected.map(|[_, rate]| rate),
            "warnings": self.warnings,
            "seconds": self.seconds,
            // In nats always, as the fits are.
            "fits_in_nats": self.fits,
        })
    }
}

impl Seen {
    /// The name, with the number of classes or columns.
    pub(super) fn described(&self) -> String {
        let name = &self.name;
        match &self.shape {
            Some(Shape { classes: Some(classes), .. }) => format!("{name} ({classes} classes)"),
            Some(Shape { columns, .. }) if *columns > 1 => format!("{name} ({columns} columns)"),
            _ => name.clone(),
        }
    }
}

/// How many rows there are, and how many were left out.
pub(super) fn rows(used: usize, left_out: usize) -> String {
    match left_out {
        0 => used.to_string(),
        _ => format!("{used} of {}: the others lack a value", used + left_out),
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

/// The sentence on a relation; entropies in the unit.
fn relation_text(relation: &Relation, unit: Unit) -> String {
    match (relation.kind, unit) {
        (RelationKind::Classes { entropy }, Unit::Bits) => {
            let (x, y, rows, bits) = (&relation.x, &relation.y, relation.rows, unit.of(entropy));
            format!(
                "'{x}' determines '{y}' in all {rows} rows: what they share is the entropy of '{y}', \
                 {bits:.3} bits"
            )
        }
        _ => relation.to_string(),
    }
}

/// Most variables that are shown as a matrix.
const MOST_IN_MATRIX: usize = 20;

/// Pairs that are listed of more.
const MOST_LISTED: usize = 100;

/// The mutual informations of all pairs, given in the order (0, 1), (0, 2), ..., (1, 2), ...
pub(super) fn matrix(names: &[String], outcomes: &[Outcome], unit: Unit) -> String {
    let mut text = match names.len() <= MOST_IN_MATRIX {
        true => square(names, outcomes, unit),
        false => list(outcomes, unit),
    };
    if outcomes.iter().any(|outcome| outcome.is_lower_bound) {
        text += "\nLower bounds: what two variables share is at least this, and ± is that of the bound.";
    }
    text += &significance::of_pairs(outcomes);
    let fewest = outcomes.iter().filter(|o| o.left_out > 0).map(|o| o.rows).min();
    if let Some(fewest) = fewest {
        text += &format!(
            "\nRows that lack a value of a pair's variables are left out of it; the fewest that are left are \
             {fewest}, and --json has the rows of every pair."
        );
    }
    let mut refusals: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.refusal.is_some()).collect();
    let all = refusals.len();
    refusals.truncate(MOST_LISTED);
    for outcome in &refusals {
        let reason = outcome.refusal().unwrap_or_default();
        let quantity = outcome.quantity();
        // Reasons that come from an estimator name the pair themselves.
        let reason = reason.strip_prefix(&format!("{quantity}: ")).unwrap_or(reason);
        let _ = write!(text, "\nrefused    {quantity}: {reason}");
    }
    if all > refusals.len() {
        let _ = write!(text, "\n... and {} more pairs are refused", all - refusals.len());
    }
    for outcome in outcomes {
        if let Some(relation) = &outcome.relation {
            let _ = write!(
                text,
                "\nrelation   {}: {}",
                outcome.quantity(),
                relation_text(relation, unit)
            );
        }
        for warning in &outcome.warnings {
            let _ = write!(text, "\nwarning    {}: {warning}", outcome.quantity());
        }
    }
    text
}

/// One value with its interval, short.
fn cell(outcome: &Outcome, unit: Unit) -> String {
    if outcome.refusal.is_some() {
        return "refused".to_owned();
    }
    if outcome.value.is_infinite() {
        return "∞".to_owned();
    }
    let half = outcome.interval.map(|[low, high]| unit.of(high - low) / 2.0);
    let half = half.map_or_else(String::new, |half| format!(" ± {half:.3}"));
    let at_least = if outcome.is_lower_bound { "≥ " } else { "" };
    format!("{at_least}{:.3}{half}", unit.of(outcome.value))
}

fn square(names: &[String], outcomes: &[Outcome], unit: Unit) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once(unit.name()).chain(names.iter().map(String::as_str)));
    let at = |i: usize, j: usize| {
        if i == j {
            return String::new();
        }
        let (i, j) = (i.min(j), i.max(j));
        // Pairs of rows before i, then those of row i before j.
        let position = i * names.len() - i * (i + 1) / 2 + j - i - 1;
        outcomes.get(position).map_or_else(String::new, |outcome| cell(outcome, unit))
    };
    for (i, name) in names.iter().enumerate() {
        let mut row = vec![name.clone()];
        row.extend((0..names.len()).map(|j| at(i, j)));
        table.add_row(row);
    }
    table.to_string()
}

/// The pairs that share most, a line each.
fn list(outcomes: &[Outcome], unit: Unit) -> String {
    let mut order: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.refusal.is_none()).collect();
    order.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut text = format!("{:<24} {}\n", unit.name(), "pair");
    for outcome in order.iter().take(MOST_LISTED) {
        let _ = writeln!(text, "{:<24} {}", cell(outcome, unit), outcome.quantity());
    }
    if order.len() > MOST_LISTED {
        let _ = writeln!(text, "... and {} more; --json has all", order.len() - MOST_LISTED);
    }
    text.trim_end().to_owned()
}
