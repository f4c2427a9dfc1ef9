//! Cases of methods that plan their epochs, or train in phases.

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use tcmax_fusion::{CONCAT, SHARED, SPECIFIC};
use tcmax_losses::methods::modality_valuation::{imbalance, repeated};
use tcmax_losses::methods::reconboost::{alignment, boosting_loss, known};
use tcmax_losses::methods::sample_valuation::copies;
use tcmax_losses::methods::valuation::{Worth, contributions, is_right, logits_of, shapley};
use tcmax_losses::methods::{RECONBOOST, REMIX, SAMPLE_VALUATION, remix};
use tcmax_losses::{Clock, EpochPlan, Planned};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};
use super::stepped::{Form, Given, Splits, Stepped};

/// The clock of a step in some epoch.
fn at(epoch: usize) -> Clock {
    Clock { epoch, epochs: epoch + 1, batch: 0, batches: 1 }
}

/// Inputs `input.x0` and on.
fn inputs(case: &Case) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.tensor(&format!("input.x{m}"))).collect()
}

/// Feature widths, from the header's list.
fn widths(case: &Case) -> anyhow::Result<Vec<usize>> {
    let list = case.text("D")?.trim_matches(['[', ']']);
    Ok(list.split(',').map(|width| width.trim().parse()).collect::<Result<_, _>>()?)
}

/// The recorded name of a parameter: `enc0.weight`, `head.weight`, `own0.weight`.
fn recorded(name: &str) -> String {
    let (layer, parameter) = name.rsplit_once('.').unwrap_or((name, ""));
    let layer = match layer {
        "fc_out" => "head".to_owned(),
        "fc_x" => "own0".to_owned(),
        "fc_y" => "own1".to_owned(),
        other => other.replace("encoder", "enc").replace("fc_", "own"),
    };
    format!("{layer}.{parameter}")
}

/// Some rows of tensors.
fn rows(tensors: &[Tensor], chosen: &[u32]) -> anyhow::Result<Vec<Tensor>> {
    let chosen = Tensor::new(chosen, &Device::Cpu)?;
    let of = |tensor: &Tensor| Ok(tensor.index_select(&chosen, 0)?);
    tensors.iter().map(of).collect()
}

/// Features with zeros where the plan says that they do not count.
fn counted(features: &[Tensor], only: &[Option<usize>]) -> anyhow::Result<Vec<Tensor>> {
    let of = |(m, z): (usize, &Tensor)| -> anyhow::Result<Tensor> {
        let flags = only.iter().map(|only| f64::from(u8::from(only.is_none_or(|k| k == m))));
        let flags = Tensor::from_vec(flags.collect::<Vec<f64>>(), (only.len(), 1), z.device())?;
        Ok(z.broadcast_mul(&flags.to_dtype(z.dtype())?)?)
    };
    features.iter().enumerate().map(of).collect()
}

/// Labels of some rows.
fn labels_of(case: &Case, chosen: &[u32]) -> anyhow::Result<tcmax_estimators::Labels> {
    let all = case.whole("input.label")?;
    let labels: Vec<u32> = chosen.iter().map(|&row| all[row as usize]).collect();
    Ok(tcmax_estimators::Labels::new(&labels, case.number("C")?, &Device::Cpu)?)
}

/// One step on some rows, with the modalities that count.
fn step(
    model: &mut Stepped,
    case: &Case,
    (chosen, only, epoch): (&[u32], &[Option<usize>], usize),
) -> anyhow::Result<tcmax_losses::StepOutput> {
    let features = model.features(&rows(&inputs(case)?, chosen)?)?;
    let features = if only.is_empty() { features } else { counted(&features, only)? };
    let labels = labels_of(case, chosen)?;
    let rows: Vec<usize> = chosen.iter().map(|&row| row as usize).collect();
    let (features, labels) = (&features[..], &labels);
    model.step(Given { features, labels, clock: at(epoch), rows: &rows, only, taught: None })
}

fn flat(values: &[Vec<f64>]) -> Vec<f64> {
    values.iter().flatten().copied().collect()
}

fn counts(values: &[Vec<f64>]) -> Vec<f64> {
    values.iter().flatten().map(|&phi| copies(phi) as f64).collect()
}

/// Contributions, copies, the modality that is repeated, and a step on examples with single modalities.
pub fn valuation(case: &Case) -> anyhow::Result<()> {
    if case.has("input.right") {
        return valuation_table(case);
    }
    let is_official = case.text("variant")? == "official";
    let worth = if is_official { Worth::Size } else { Worth::One };
    let mut options = toml::toml! { warm-up = 0 };
    options.insert("worth".to_owned(), if is_official { "size" } else { "one" }.into());
    let (modalities, examples): (usize, usize) = (case.number("M")?, case.number("B")?);
    let form = Form {
        method: &SAMPLE_VALUATION,
        options,
        head: &CONCAT,
        recorded,
        rate: case.number("lr")?,
        epochs: 1,
        examples,
    };
    let mut model = Stepped::new(case, form, &widths(case)?)?;
    let (x, labels) = (inputs(case)?, case.labels("input.label")?);
    let features = model.features(&x)?;
    let head = model.head.as_ref();
    // Sets of modalities: each alone, then all.
    let all = (1usize << modalities) - 1;
    let logits = head.logits(&features)?;
    case.check("output.logits", &logits)?;
    let alone = |m: usize| -> anyhow::Result<Tensor> {
        if is_official {
            return Ok(logits_of(head, &features, 1 << m)?);
        }
        let mut x = x.iter().map(Tensor::zeros_like).collect::<candle_core::Result<Vec<_>>>()?;
        x[m] = inputs(case)?.swap_remove(m);
        Ok(head.logits(&model.features(&x)?)?)
    };
    let alone = (0..modalities).map(alone).collect::<anyhow::Result<Vec<_>>>()?;
    case.check("output.logits_only", &Tensor::stack(&alone, 0)?)?;
    ensure!(modalities == 2, "sets of two of more modalities are not recorded");
    let mut worths = vec![vec![0.0; all + 1]; examples];
    let right = alone.iter().enumerate().map(|(m, logits)| (1 << m, logits));
    for (set, logits) in right.chain([(all, &logits)]) {
        for (worths, right) in worths.iter_mut().zip(is_right(logits, &labels)?) {
            worths[set] = worth.of(set.count_ones() as usize, right);
        }
    }
    case.check_values(
        "output.v",
        &flat(&worths.iter().map(|v| v[1..3].to_vec()).collect::<Vec<_>>()),
    )?;
    case.check_values("output.v_all", &worths.iter().map(|v| v[all]).collect::<Vec<_>>())?;
    let phi: Vec<Vec<f64>> = worths.iter().map(|worths| shapley(worths)).collect();
    case.check_values("output.phi", &flat(&phi))?;
    case.check_values("output.copies", &counts(&phi))?;
    case.check_value("output.epoch_size", examples as f64 + counts(&phi).iter().sum::<f64>())?;
    if is_official {
        case.check_values("output.phi", &flat(&contributions(head, &features, &labels, worth)?))?;
        let splits = Splits { train: Some((x, labels)), validation: None };
        model.begin_epoch(at(0), &splits)?;
        let plan = model.method.take_plan().context("no plan")?;
        case.check_value("output.epoch_size", plan.examples() as f64)?;
        let planned: Vec<Planned> = plan.batches.concat();
        let count = |row: usize, m: usize| {
            planned.iter().filter(|&&example| example == Planned::only(row, m)).count() as f64
        };
        let found = (0..examples).flat_map(|row| [count(row, 0), count(row, 1)]);
        case.check_values("output.copies", &found.collect::<Vec<_>>())?;
    }
    let alpha = case.number("alpha")?;
    let subset = case.whole("input.subset")?;
    let mean = |m: usize| {
        subset.iter().map(|&row| phi[row as usize][m]).sum::<f64>() / subset.len() as f64
    };
    let means: Vec<f64> = (0..modalities).map(mean).collect();
    case.check_values("output.phi_mean", &means)?;
    let (share, gaps) = imbalance(&means, alpha);
    case.check_values("output.gap", &gaps)?;
    case.check_value("output.P", share)?;
    let added = repeated(&means, alpha, examples);
    case.check_value("output.appended", added.count as f64)?;
    case.check_value("output.appended_modality", added.modality as f64)?;
    let keep = case.whole("input.batch_keep")?;
    let only = keep.chunks(modalities).map(|keep| match keep.iter().sum::<u32>() {
        1 => keep.iter().position(|&kept| kept == 1),
        _ => None,
    });
    let only: Vec<Option<usize>> = only.collect();
    let output = step(&mut model, case, (&case.whole("input.batch_index")?, &only, 0))?;
    case.check_value("output.loss", output.loss.value()?)?;
    let handed = &model.handed[0];
    handed.check(case, "grad.", &handed.raw)?;
    model.check_parameters(case, "output.final.")
}

/// phi and copies from what is right, P from means.
fn valuation_table(case: &Case) -> anyhow::Result<()> {
    let right = case.whole("input.right")?;
    for (name, worth) in [("bb", Worth::One), ("official", Worth::Size)] {
        let phi: Vec<Vec<f64>> = right
            .chunks(3)
            .map(|right| {
                let is_right = |set: usize| right[set] == 1;
                let worths = [
                    0.0,
                    worth.of(1, is_right(0)),
                    worth.of(1, is_right(1)),
                    worth.of(2, is_right(2)),
                ];
                shapley(&worths)
            })
            .collect();
        case.check_values(&format!("output.phi_{name}"), &flat(&phi))?;
        case.check_values(&format!("output.copies_{name}"), &counts(&phi))?;
    }
    let alpha = case.number("alpha")?;
    for modalities in [2, 3] {
        let means = case.recorded(&format!("input.phi_mean_m{modalities}"))?.to_vec2::<f64>()?;
        let found: Vec<(f64, Vec<f64>)> =
            means.iter().map(|means| imbalance(means, alpha)).collect();
        let shares: Vec<f64> = found.iter().map(|(share, _)| *share).collect();
        let gaps: Vec<f64> = found.into_iter().flat_map(|(_, gaps)| gaps).collect();
        case.check_values(&format!("output.P_m{modalities}"), &shares)?;
        case.check_values(&format!("output.gap_m{modalities}"), &gaps)?;
    }
    Ok(())
}

/// A warm-up, an epoch's plan, and the epoch.
pub fn remix(case: &Case) -> anyhow::Result<()> {
    let gamma: f64 = case.number("gamma")?;
    let form = Form {
        method: &REMIX,
        options: toml::toml! {
            warm-up = 1
            warm-up-weight = 0.5
            gamma = gamma
            shuffle = false
        },
        head: &SPECIFIC,
        recorded,
        rate: case.number("lr")?,
        epochs: 2,
        examples: case.number("N")?,
    };
    let mut model = Stepped::new(case, form, &widths(case)?)?;
    let warm = case.whole("input.warm_index")?;
    let mut losses = Vec::new();
    for batch in warm.chunks(case.number("B")?) {
        losses.push(step(&mut model, case, (batch, &[], 0))?.loss.value()?);
    }
    case.check_values("output.warm_loss", &losses)?;
    model.check_parameters(case, "output.warm_final.")?;
    let (x, labels) = (inputs(case)?, case.labels("input.label")?);
    let own = model.head.modality_logits(&model.features(&x)?)?;
    let certainties = remix::certainties(&own)?;
    let by_example = (0..labels.len()).flat_map(|row| certainties.iter().map(move |of| of[row]));
    case.check_values("output.K", &by_example.collect::<Vec<_>>())?;
    let assigned = remix::assignments(&certainties).into_iter().map(|m| m as f64);
    case.check_values("output.assignment", &assigned.collect::<Vec<_>>())?;
    model.begin_epoch(at(1), &Splits { train: Some((x, labels)), validation: None })?;
    let plan = model.method.take_plan().context("no plan")?;
    check_plan(case, &plan)?;
    let mut losses = [Vec::new(), Vec::new(), Vec::new()];
    let mut gradients: std::collections::BTreeMap<String, Vec<Tensor>> = Default::default();
    for batch in &plan.batches {
        let rows: Vec<u32> = batch.iter().map(|example| example.row as u32).collect();
        let only: Vec<Option<usize>> = batch.iter().map(|example| example.only).collect();
        let output = step(&mut model, case, (&rows, &only, 1))?;
        let parts = [output.loss.value()?, output.metrics[0].1, output.metrics[1].1];
        losses.iter_mut().zip(parts).for_each(|(all, part)| all.push(part));
        let raw = &model.handed[0].raw;
        for (name, var) in model.params.trainable().map(|(name, var)| (recorded(name), var)) {
            // The layer of the modality that does not count has no gradient.
            let gradient = raw.get(&name).cloned().map_or_else(|| var.zeros_like(), Ok)?;
            gradients.entry(name).or_default().push(gradient);
        }
    }
    for (name, values) in ["output.loss", "output.ce", "output.ce_m"].iter().zip(&losses) {
        case.check_values(name, values)?;
    }
    for (name, steps) in gradients {
        case.check(&format!("grad.{name}"), &Tensor::stack(&steps, 0)?)?;
    }
    model.check_parameters(case, "output.final.")
}

fn check_plan(case: &Case, plan: &EpochPlan) -> anyhow::Result<()> {
    let (size, width) = (|batch: &Vec<Planned>| batch.len() as f64, case.number("B")?);
    case.check_values("output.size", &plan.batches.iter().map(size).collect::<Vec<_>>())?;
    let modality = |batch: &Vec<Planned>| batch[0].only.map_or(-1.0, |m| m as f64);
    case.check_values("output.modality", &plan.batches.iter().map(modality).collect::<Vec<_>>())?;
    let row = |batch: &Vec<Planned>| {
        let mut rows: Vec<f64> = batch.iter().map(|example| example.row as f64).collect();
        rows.resize(width, -1.0);
        rows
    };
    case.check_values("output.plan", &flat(&plan.batches.iter().map(row).collect::<Vec<_>>()))
}

/// ReconBoost on given features, at a stage of two epochs, and whether the alignment goes through the modality before.
fn boosted(case: &Case, through_previous: bool) -> anyhow::Result<Stepped> {
    let kind = case.text("phi")?;
    let mut options: Table = toml::toml! {
        boosting-epochs = 1
        rectifying-epochs = 1
    };
    options.insert("phi".to_owned(), kind.into());
    options.insert("through-previous".to_owned(), through_previous.into());
    if kind == "mlp" {
        let hidden = case.recorded("weight.phi.0.weight")?.dim(0)?;
        options.insert("hidden".to_owned(), i64::try_from(hidden)?.into());
    }
    for name in ["w1", "w2", "alpha"] {
        if let Ok(value) = case.number::<f64>(name) {
            options.insert(name.to_owned(), value.into());
        }
    }
    if case.text("ga").is_ok_and(|ga| ga == "live") {
        options.insert("as".to_owned(), "paper".into());
    }
    let form = Form {
        method: &RECONBOOST,
        options,
        head: &SHARED,
        recorded: |name| name.strip_prefix("method.").unwrap_or(name).to_owned(),
        rate: 0.0,
        epochs: 1,
        examples: 1,
    };
    Stepped::new(case, form, &widths(case)?)
}

/// The recorded features, of which gradients are asked.
fn features(case: &Case) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.variable(&format!("input.z{m}"))).collect()
}

/// Compares recorded gradients under a prefix; what gets none is recorded as zero.
fn check_gradients(
    case: &Case,
    prefix: &str,
    model: &Stepped,
    tolerance: Tolerance,
) -> anyhow::Result<()> {
    let handed = &model.handed[0].raw;
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix(prefix) else { continue };
        let name = name.strip_prefix("weight.").unwrap_or(name);
        let gradient = match handed.get(name) {
            Some(gradient) => gradient.clone(),
            None => case.tensor(quantity)?.zeros_like()?,
        };
        case.check_within(quantity, &gradient, tolerance)?;
    }
    let unknown = handed.keys().find(|name| {
        !case.has(&format!("{prefix}{name}")) && !case.has(&format!("{prefix}weight.{name}"))
    });
    ensure!(unknown.is_none(), "a gradient that is not recorded: {unknown:?}");
    Ok(())
}

/// Both phases.
pub fn reconboost(case: &Case) -> anyhow::Result<()> {
    let labels = &case.labels("input.label")?;
    let z = features(case)?;
    let stage: Option<usize> = case.number("stage").ok();
    // Stages of two epochs; a case of the second phase has no stage.
    let clock = at(stage.map_or(1, |stage| 2 * stage));
    let given = |features| Given { features, labels, clock, rows: &[], only: &[], taught: None };
    let mut model = boosted(case, true)?;
    let output = model.step(given(&z))?;
    let Some(stage) = stage else {
        case.check_value("output.loss", output.loss.value()?)?;
        case.check("output.logits", &output.logits)?;
        return check_gradients(case, "grad.", &model, case.usual());
    };
    let limit = if case.is_single() { 1e-6 } else { 1e-12 };
    let is_zero = case.name.contains("zero");
    let tolerance = if is_zero { Tolerance::absolute(limit) } else { case.usual() };
    let value = |value: f64| Tensor::new(value, &Device::Cpu);
    case.check_within("output.loss", &value(output.loss.value()?)?, tolerance)?;
    check_gradients(case, "grad.", &model, tolerance)?;
    let head = model.method.own_head().context("no head")?;
    let own = head.modality_logits(&z)?;
    for (k, logits) in own.iter().enumerate() {
        case.check(&format!("output.o{k}"), logits)?;
    }
    let m = stage % own.len();
    let params: std::collections::BTreeMap<_, _> = model.params.trainable().collect();
    let q = known(&own, m, params["method.rho"].as_tensor(), labels)?;
    case.check("output.q_label", &q)?;
    let weights = (case.number("w1")?, case.number("w2")?);
    let boosting = boosting_loss(&own[m], &q, weights, labels)?;
    case.check_within("output.l1", &boosting, tolerance)?;
    let aligned = match stage.checked_sub(1) {
        Some(before) => alignment(&own[m], &own[before % own.len()], labels)?,
        None => value(0.0)?,
    };
    case.check("output.ga", &aligned)?;
    if case.names().iter().any(|name| name.starts_with("grad_prev_detached.")) {
        let mut model = boosted(case, false)?;
        model.step(given(&z))?;
        check_gradients(case, "grad_prev_detached.", &model, case.usual())?;
    }
    Ok(())
}
