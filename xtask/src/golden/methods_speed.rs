//! Cases of methods that weigh modalities, speed them up or hold them back.

use std::collections::BTreeMap;

use anyhow::Context;
use candle_core::{Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, HeadSpec, SPECIFIC};
use tcmax_losses::methods::arl::Asymmetry;
use tcmax_losses::methods::cml::{Cml, CmlOptions, confidence, removals};
use tcmax_losses::methods::info_reg::{InfoRegOptions, Traces};
use tcmax_losses::methods::mbsd::pairs;
use tcmax_losses::methods::mlb::{coefficient, ratios};
use tcmax_losses::methods::mslr::{Mslr, MslrOptions};
use tcmax_losses::methods::padded::padded_logits;
use tcmax_losses::methods::{ARL, CML, INFO_REG, MBSD, MLB, MSLR, Reading, arl as arl_method};
use tcmax_losses::{Clock, MethodSpec, Setup, cross_entropy};
use tcmax_ops::{backward, log_sum_exp, to_scalar_f64};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};
use super::stepped::{Form, Given, Splits, Stepped};

/// Where a single recorded step stands.
const START: Clock = Clock { epoch: 0, epochs: 1, batch: 0, batches: 1 };

/// A header's list of numbers, with or without brackets.
fn list<T: std::str::FromStr>(case: &Case, key: &str) -> anyhow::Result<Vec<T>> {
    let text = case.text(key)?;
    let parts = text.trim_matches(['[', ']']).split(',');
    let read = |part: &str| part.trim().parse().ok().with_context(|| format!("{key}: '{text}'"));
    parts.map(read).collect()
}

/// `input.x0` and on, or others of such names.
fn inputs(case: &Case, prefix: &str) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.tensor(&format!("{prefix}{m}"))).collect()
}

/// Features as variables, so that their gradients are seen.
fn features(case: &Case) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.variable(&format!("input.z{m}"))).collect()
}

/// Names with `enc0` and `head` for our `encoder0` and `fc_out`.
fn short(own: &str) -> String {
    own.replace("encoder", "enc").replace("fc_out", "head")
}

/// Names with `head0`, `head1`, .. for the layers of a specific head.
fn own_heads(own: &str) -> String {
    match own.strip_prefix("fc_").and_then(|rest| rest.split_once('.')) {
        Some(("x", rest)) => format!("head0.{rest}"),
        Some(("y", rest)) => format!("head1.{rest}"),
        Some((m, rest)) if m != "out" => format!("head{m}.{rest}"),
        _ => own.to_owned(),
    }
}

fn form(method: &'static MethodSpec, options: Table, head: &'static HeadSpec) -> Form {
    let recorded: fn(&str) -> String = str::to_owned;
    Form { method, options, head, recorded, rate: 0.0, epochs: 1, examples: 1 }
}

fn given<'a>(features: &'a [Tensor], labels: &'a Labels, clock: Clock) -> Given<'a> {
    Given { features, labels, clock, rows: &[], only: &[], taught: None }
}

/// Compares recorded gradients under a prefix within a tolerance.
fn check_all(
    case: &Case,
    prefix: &str,
    found: &BTreeMap<String, Tensor>,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix(prefix) else { continue };
        let name = name.strip_prefix("weight.").unwrap_or(name);
        let gradient = found.get(name).with_context(|| format!("{quantity}: none arrives"))?;
        case.check_within(quantity, gradient, tolerance)?;
    }
    Ok(())
}

/// Values of one quantity in one step after the other, compared when all are there.
#[derive(Default)]
struct Rows(BTreeMap<String, Vec<Tensor>>);

impl Rows {
    fn push(&mut self, quantity: &str, row: &Tensor) -> anyhow::Result<()> {
        // A copy: parameters are overwritten in place.
        self.0.entry(quantity.to_owned()).or_default().push(row.flatten_all()?.copy()?);
        Ok(())
    }

    fn push_values(&mut self, quantity: &str, row: &[f64]) -> anyhow::Result<()> {
        self.push(quantity, &Tensor::new(row, &Device::Cpu)?)
    }

    fn check(&self, case: &Case, tolerance: impl Fn(&str) -> Tolerance) -> anyhow::Result<()> {
        for (quantity, rows) in self.0.iter().filter(|(quantity, _)| case.has(quantity)) {
            case.check_within(quantity, &Tensor::stack(rows, 0)?, tolerance(quantity))?;
        }
        Ok(())
    }
}

/// CML: the logits after each removal, the rise of confidence, and the loss of a step in the recorded order.
pub fn cml(case: &Case) -> anyhow::Result<()> {
    let widths: Vec<usize> = list(case, "D")?;
    let lambda: f64 = case.number("lambda")?;
    let mut model =
        Stepped::new(case, form(&CML, toml::toml! { lambda = lambda }, &CONCAT), &widths)?;
    let order: Vec<usize> = case.whole("input.order")?.iter().map(|&m| m as usize).collect();
    let setup = Setup::alone(&widths, case.number("C")?, &CONCAT);
    let options = CmlOptions { lambda, reading: Reading::Code };
    model.method = Box::new(Cml::new(options, &setup)?.in_order(order.clone())?);
    let (features, labels) = (features(case)?, case.labels("input.label")?);
    let remaining = removals(model.head.as_ref(), &features, &order)?;
    let (mut confidences, mut losses) = (Vec::new(), Vec::new());
    for (i, logits) in remaining.iter().enumerate() {
        case.check(&format!("output.s{i}"), logits)?;
        confidences.push(confidence(logits)?);
        losses.push(to_scalar_f64(&cross_entropy(logits, &labels)?)?);
    }
    case.check("output.conf", &Tensor::stack(&confidences, 0)?)?;
    case.check_values("output.ce", &losses)?;
    let output = model.step(given(&features, &labels, START))?;
    let rises: Vec<f64> = output.metrics.iter().map(|(_, rise)| *rise).collect();
    case.check_values("output.conf_rise", &rises)?;
    case.check_value("output.loss", output.loss.value()?)?;
    check_all(case, "grad.", &model.handed[0].raw, case.usual())
}

/// MBSD: the terms of every pair, and a step.
pub fn mbsd(case: &Case) -> anyhow::Result<()> {
    let (name, reading) = match case.text("k_form")? {
        "code" => ("code", Reading::Code),
        _ => ("paper", Reading::Paper),
    };
    let options = Table::from_iter([("as".to_owned(), name.into())]);
    let widths: Vec<usize> = list(case, "D")?;
    let mut model = Stepped::new(case, form(&MBSD, options, &CONCAT), &widths)?;
    let (features, labels) = (features(case)?, case.labels("input.label")?);
    let large = case.is_single() && case.name.contains("large");
    let tolerance = if large { Tolerance::new(1e-4) } else { case.usual() };
    let (mut weights, mut similarities, mut divergences) = (Vec::new(), Vec::new(), Vec::new());
    for pair in pairs(&model.head.modality_logits(&features)?, &labels, reading)? {
        similarities.push((&pair.weight * &pair.similarity)?.mean_all()?);
        divergences.push((&pair.weight * &pair.divergence)?.mean_all()?);
        weights.push(pair.weight);
    }
    case.check("output.w", &Tensor::stack(&weights, 0)?)?;
    case.check_within("output.pair_rs", &Tensor::stack(&similarities, 0)?, tolerance)?;
    case.check_within("output.pair_k", &Tensor::stack(&divergences, 0)?, tolerance)?;
    let output = model.step(given(&features, &labels, START))?;
    let loss = Tensor::new(output.loss.value()?, &Device::Cpu)?;
    case.check_within("output.loss", &loss, tolerance)?;
    check_all(case, "grad.", &model.handed[0].raw, tolerance)
}

/// MLB: ratios and coefficients, and a step's gradients before and after they are multiplied.
pub fn mlb(case: &Case) -> anyhow::Result<()> {
    let widths: Vec<usize> = list(case, "D")?;
    let alpha: f64 = case.number("alpha")?;
    let beta = if case.text("beta")? == "none" { 2.0 } else { case.number("beta")? };
    let labels = case.labels("input.label")?;
    // A step without strength shows the gradients as they are before.
    for (strength, prefix) in [(0.0, "grad_raw."), (alpha, "grad.")] {
        let options = toml::toml! { alpha = strength
        beta = beta };
        let form = Form { recorded: own_heads, ..form(&MLB, options, &SPECIFIC) };
        let mut model = Stepped::new(case, form, &widths)?;
        let features = model.features(&inputs(case, "input.x")?)?;
        let output = model.step(given(&features, &labels, START))?;
        case.check_value("output.loss", output.loss.value()?)?;
        model.handed[0].check(case, prefix, &model.handed[0].raw)?;
        if strength == 0.0 {
            continue;
        }
        let coefficients: Vec<f64> = output.metrics.iter().map(|(_, value)| *value).collect();
        case.check_values("output.coeff", &coefficients)?;
        let mut means = Vec::new();
        for (m, own) in model.head.modality_logits(&features)?.iter().enumerate() {
            case.check(&format!("output.head{m}"), own)?;
            let log_p = (labels.pick(own)? - log_sum_exp(own, 1)?)?;
            means.push(to_scalar_f64(&log_p.exp()?.mean_all()?)?);
        }
        case.check_values("output.label_prob", &means)?;
        let ratios = ratios(&means.iter().map(|mean| mean.ln()).collect::<Vec<f64>>());
        case.check_values("output.r", &ratios)?;
        let of = |r: &f64| coefficient(*r, alpha, beta);
        case.check_values("output.coeff", &ratios.iter().map(of).collect::<Vec<f64>>())?;
    }
    Ok(())
}

/// ARL: how unlike the modalities are, and a step's gradients at the encoders' outputs and everywhere else.
pub fn arl(case: &Case) -> anyhow::Result<()> {
    let widths: Vec<usize> = list(case, "D")?;
    let (gamma, sharpness): (f64, f64) = (case.number("gamma")?, case.number("T")?);
    let reading = if case.text("form")? == "released" { "code" } else { "paper" };
    let options = toml::toml! { gamma = gamma
    sharpness = sharpness };
    let options: Table = options.into_iter().chain([("as".to_owned(), reading.into())]).collect();
    let mut model = Stepped::new(case, form(&ARL, options, &CONCAT), &widths)?;
    let epoch: usize = case.number("epoch")?;
    let clock = Clock { epoch, epochs: epoch + 1, ..START };
    let labels = case.labels("input.label")?;
    let features = model.features(&inputs(case, "input.x")?)?;
    let own = padded_logits(model.head.as_ref(), &features)?;
    for m in 0..widths.len() {
        case.check(&format!("output.z{m}"), &features[m])?;
        case.check(&format!("output.u{m}"), &own[m])?;
    }
    let unlike = Asymmetry::of(&own, sharpness)?;
    for (name, values) in [
        ("H", unlike.entropies),
        ("h", unlike.shares),
        ("c", unlike.certainties),
        ("d", unlike.dominances),
        ("w", unlike.weights),
    ] {
        case.check_values(&format!("output.{name}"), &values)?;
    }
    let output = model.step(given(&features, &labels, clock))?;
    case.check_value("output.loss", output.loss.value()?)?;
    let factors: Vec<f64> = output.metrics.iter().map(|(_, value)| *value).collect();
    case.check_values("output.factor", &factors)?;
    let handed = &model.handed[0];
    for quantity in case.names() {
        let named = |prefix: &str| {
            let name = quantity.strip_prefix(prefix)?;
            Some(name.strip_prefix("weight.").unwrap_or(name)).filter(|name| !name.starts_with('z'))
        };
        let found = match (named("grad."), named("grad_clip.")) {
            (Some(name), _) => handed.raw.get(name),
            (_, Some(name)) => handed.clipped.get(name),
            _ => continue,
        };
        case.check(quantity, found.with_context(|| format!("{quantity}: none arrives"))?)?;
    }
    let (norm, clip): (f64, f64) = (handed.norm.unwrap_or(f64::NAN), case.number("clip")?);
    case.check_value("output.norm", norm)?;
    case.check_value("output.clip_coeff", (clip / (norm + 1e-6)).min(1.0))?;
    // Again with variables in place of the encoders' outputs, whose gradients are seen then.
    let leaves = features.iter().map(|z| Ok(candle_core::Var::from_tensor(&z.detach())?));
    let leaves = leaves.collect::<anyhow::Result<Vec<_>>>()?;
    let leaves: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
    model.step(given(&leaves, &labels, clock))?;
    let weight = if output.metrics.iter().all(|(_, factor)| *factor == 1.0) { 1.0 } else { gamma };
    let plain = backward(&arl_method::loss(model.head.as_ref(), &leaves, &labels, weight)?.0)?;
    for (m, leaf) in leaves.iter().enumerate() {
        let name = format!("z{m}");
        let after = model.handed[0].raw.get(&name).context("no gradient of the features")?;
        case.check(&format!("grad.{name}"), after)?;
        let before = plain.get(leaf).context("no gradient of the features")?;
        case.check(&format!("grad_raw.{name}"), before)?;
    }
    Ok(())
}

/// MSLR: epochs of one step each, with given validation accuracies.
pub fn mslr(case: &Case) -> anyhow::Result<()> {
    let widths: Vec<usize> = list(case, "D")?;
    let epochs: usize = case.number("epochs")?;
    let (window, rates): (usize, Vec<f64>) = (case.number("K")?, list(case, "lr_m")?);
    let setup = Setup::alone(&widths, case.number("C")?, &CONCAT);
    let mut method = Mslr::new(MslrOptions { window, rates }, &setup)?;
    let form =
        Form { recorded: short, rate: case.number("lr")?, ..form(&MSLR, Table::new(), &CONCAT) };
    let mut model = Stepped::new(case, form, &widths)?;
    let (x, y) = (inputs(case, "input.x")?, case.recorded("input.label")?);
    let accuracies = case.recorded("input.acc")?.to_vec2::<f64>()?;
    let mut rows = Rows::default();
    for (epoch, accuracies) in accuracies.into_iter().enumerate() {
        if epoch > 0 {
            method.observe(accuracies);
        }
        rows.push_values("output.ratio", &method.ratios())?;
        model.method = Box::new(method.clone());
        let inputs: Vec<Tensor> =
            x.iter().map(|x| x.get(epoch)).collect::<candle_core::Result<_>>()?;
        let labels = case.labels_of(&y.get(epoch)?)?;
        let features = model.features(&inputs)?;
        let clock = Clock { epoch, epochs, ..START };
        let output = model.step(given(&features, &labels, clock))?;
        rows.push_values("output.loss", &[output.loss.value()?])?;
        let multipliers: Vec<f64> = output.metrics.iter().map(|(_, value)| *value).collect();
        rows.push_values("output.multiplier", &multipliers)?;
        for (name, gradient) in &model.handed[0].raw {
            rows.push(&format!("grad.{name}"), gradient)?;
        }
    }
    rows.check(case, |_| case.usual())?;
    model.check_parameters(case, "output.final.")
}

/// InfoReg: epochs of several steps, what each remembers, and the parameters they lead to.
pub fn info_reg_epochs(case: &Case) -> anyhow::Result<()> {
    let widths: Vec<usize> = list(case, "D")?;
    let (epochs, steps): (usize, usize) = (case.number("epochs")?, case.number("steps")?);
    let (first, second): (f64, f64) = (case.number("beta_audio")?, case.number("beta_visual")?);
    let threshold: f64 = case.number("threshold")?;
    let options = toml::toml! { first = first
    second = second
    threshold = threshold };
    let form =
        Form { recorded: short, rate: case.number("lr")?, ..form(&INFO_REG, options, &CONCAT) };
    let mut model = Stepped::new(case, form, &widths)?;
    let (x, y) = (inputs(case, "input.x")?, case.recorded("input.label")?);
    let (mut rows, mut traces) = (Rows::default(), Traces::default());
    for epoch in 0..epochs {
        let at = |batch| Clock { epoch, epochs, batch, batches: steps };
        model.begin_epoch(at(0), &Splits::default())?;
        let [now, before] = traces.means();
        rows.push_values("output.S1", &[now])?;
        rows.push_values("output.S2", &[before])?;
        for batch in 0..steps {
            let of_step = |all: &Tensor| all.get(epoch)?.get(batch);
            let inputs: Vec<Tensor> = x.iter().map(of_step).collect::<candle_core::Result<_>>()?;
            let labels = case.labels_of(&of_step(y)?)?;
            let features = model.features(&inputs)?;
            let output = model.step(given(&features, &labels, at(batch)))?;
            rows.push_values("output.loss", &[output.loss.value()?])?;
            let metrics = |name: &str| -> Vec<f64> {
                let named = output.metrics.iter().filter(|(metric, _)| metric.starts_with(name));
                named.map(|(_, value)| *value).collect()
            };
            rows.push_values("output.score", &metrics("score"))?;
            rows.push_values("output.beta", &metrics("strength"))?;
            if batch == 0 {
                rows.push_values("output.k", &metrics("growth"))?;
            }
        }
        let state = model.method.state()?;
        let trace = state.get("trace").context("no trace is remembered")?;
        rows.push("output.trace", trace)?;
        traces.push(to_scalar_f64(&trace.get(0)?)?);
        for (name, var) in model.params.trainable() {
            rows.push(&format!("output.epoch_end.{}", short(name)), var.as_tensor())?;
        }
    }
    let single = |limit| if case.is_single() { Tolerance::new(limit) } else { case.usual() };
    // Rounding of single precision grows over the steps.
    rows.check(case, |_| single(1e-3))?;
    for (name, var) in model.params.trainable() {
        let quantity = format!("output.final.{}", short(name));
        case.check_within(&quantity, var.as_tensor(), single(1e-3))?;
    }
    Ok(())
}

/// InfoReg's coefficients from given traces and scores.
pub fn info_reg_table(case: &Case) -> anyhow::Result<()> {
    let values = |name: &str| -> anyhow::Result<Vec<f64>> {
        Ok(case.recorded(name)?.flatten_all()?.to_vec1::<f64>()?)
    };
    let mut traces = Traces::default();
    let mut growth = Vec::new();
    for (epoch, trace) in values("input.trace")?.into_iter().enumerate() {
        growth.push(if epoch == 0 { 1.0 } else { traces.growth() });
        traces.push(trace);
    }
    case.check_values("output.k", &growth)?;
    let options = InfoRegOptions {
        first: case.number("beta_audio")?,
        second: case.number("beta_visual")?,
        threshold: case.number("threshold")?,
    };
    let (scores, growth) = (values("input.score")?, values("input.k")?);
    let strengths = scores
        .chunks(2)
        .zip(growth)
        .flat_map(|(scores, growth)| options.strengths([scores[0], scores[1]], growth));
    case.check_values("output.beta", &strengths.collect::<Vec<f64>>())
}
