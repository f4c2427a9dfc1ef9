//! Cases of methods with teachers, phases, or a look at the data before an epoch.

use std::collections::BTreeMap;

use anyhow::Context;
use candle_core::{Tensor, Var};
use tcmax_fusion::{CONCAT, HeadSpec, SPECIFIC, SUM};
use tcmax_losses::methods::curvature::{hessian_gradient, mean_entry};
use tcmax_losses::methods::diagnose_relearn::{is_due, relearn, scaled, strength};
use tcmax_losses::methods::dimensions::{contrasts, effective, only_one, right_by_dimension};
use tcmax_losses::methods::g2d::leading;
use tcmax_losses::methods::influence::{Game, Played};
use tcmax_losses::methods::k_means::purity;
use tcmax_losses::methods::lfm;
use tcmax_losses::methods::pmr::ClassMeans;
use tcmax_losses::methods::{DI_MML, G2D, LFM, MCR, Reading, UMT};
use tcmax_losses::{Clock, MethodSpec, StepOutput, Taught, cross_entropy};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};
use super::stepped::{Form, Given, Splits, Stepped};

/// A step of the student, after one epoch of teachers.
const STUDENT: Clock = Clock { epoch: 1, epochs: 2, batch: 0, batches: 1 };

/// Feature widths, from the metadata's list, whose form is not always the same.
fn widths(case: &Case) -> anyhow::Result<Vec<usize>> {
    let text = case.text("D")?.trim_matches(['[', ']']);
    let widths: Vec<usize> =
        text.split(',').map(|width| Ok(width.trim().parse()?)).collect::<anyhow::Result<_>>()?;
    // One number is the width of all.
    let modalities = case.number("M")?;
    Ok(if widths.len() == 1 { vec![widths[0]; modalities] } else { widths })
}

fn numbered(case: &Case, name: &str) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.tensor(&format!("{name}{m}"))).collect()
}

/// Features that gradients are asked for.
fn features(case: &Case) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.variable(&format!("input.z{m}"))).collect()
}

fn form(method: &'static MethodSpec, options: Table, head: &'static HeadSpec) -> Form {
    Form { method, options, head, recorded: of_heads, rate: 0.0, epochs: 2, examples: 1 }
}

/// Own heads are `fc_x`, `fc_y`, `fc_2`, ... here, and numbered in the files.
fn of_heads(name: &str) -> String {
    let own = [("fc_x.", "head0."), ("fc_y.", "head1.")];
    for (ours, recorded) in own {
        if let Some(rest) = name.strip_prefix(ours) {
            return format!("{recorded}{rest}");
        }
    }
    match name.strip_prefix("fc_") {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("head{rest}"),
        _ => name.to_owned(),
    }
}

/// The head of a case, by its metadata.
fn head_of(case: &Case) -> anyhow::Result<&'static HeadSpec> {
    Ok(if case.text("fusion")? == "heads" { &SUM } else { &CONCAT })
}

/// Metrics of a step whose names begin so, in their order.
fn metrics(output: &StepOutput, name: &str) -> Vec<f64> {
    let named = output.metrics.iter().filter(|(own, _)| own.starts_with(name));
    named.map(|(_, value)| *value).collect()
}

/// UMT's loss and gradients.
pub fn umt(case: &Case) -> anyhow::Result<()> {
    let scaling: f64 = case.number("scaling")?;
    let options = toml::toml! { scaling = scaling teacher-epochs = 1 };
    let mut model = Stepped::new(case, form(&UMT, options, head_of(case)?), &widths(case)?)?;
    let taught =
        Taught { features: numbered(case, "input.teacher_z")?, modality_logits: Vec::new() };
    let (features, labels) = (&features(case)?[..], &case.labels("input.label")?);
    let taught = Some(&taught);
    let output =
        model.step(Given { features, labels, clock: STUDENT, rows: &[], only: &[], taught })?;
    case.check_value("output.loss", output.loss.value()?)?;
    case.check_values("output.ce", &metrics(&output, "cross-entropy"))?;
    case.check_values("output.mse", &metrics(&output, "distance"))?;
    let handed = &model.handed[0];
    handed.check(case, "grad.", &handed.raw)
}

/// G2D's loss, gradients before an encoder waits, and which one does.
pub fn g2d(case: &Case) -> anyhow::Result<()> {
    let temperature: f64 = case.number("T")?;
    let options = toml::toml! { temperature = temperature teacher-epochs = 1 };
    let mut model = Stepped::new(case, form(&G2D, options, head_of(case)?), &widths(case)?)?;
    let taught = Taught {
        features: numbered(case, "input.teacher_z")?,
        modality_logits: numbered(case, "input.teacher_logits")?,
    };
    let (features, labels) = (&features(case)?[..], &case.labels("input.label")?);
    let taught = Some(&taught);
    let output =
        model.step(Given { features, labels, clock: STUDENT, rows: &[], only: &[], taught })?;
    case.check_value("output.loss", output.loss.value()?)?;
    case.check("output.logits", &output.logits)?;
    case.check("output.logits", &model.method.predict(model.head.as_ref(), features)?)?;
    case.check_values("output.ce", &metrics(&output, "cross-entropy"))?;
    // Recorded without the square of the temperature, which the loss has.
    let divergences = metrics(&output, "divergence");
    let divergences: Vec<f64> =
        divergences.into_iter().map(|kl| kl / temperature.powi(2)).collect();
    case.check_values("output.kl", &divergences)?;
    case.check_values("output.mse", &metrics(&output, "distance"))?;
    let scores = metrics(&output, "teacher's score");
    case.check_values("output.teacher_score", &scores)?;
    let leading = leading(&scores).context("several teachers lead")?;
    case.check_value("output.suppressed", leading as f64)?;
    let waits: Vec<f64> = (0..scores.len()).map(|m| f64::from(u8::from(m == leading))).collect();
    anyhow::ensure!(metrics(&output, "waits") == waits, "another encoder waits");
    let handed = &model.handed[0];
    handed.check(case, "grad.", &handed.raw)
}

/// LFM, by either schedule.
pub fn lfm(case: &Case) -> anyhow::Result<()> {
    match case.text("schedule")? {
        "fitted" => lfm_fitted(case),
        _ => lfm_learned(case),
    }
}

/// Where the fused logits of a case come from.
fn fused(case: &Case) -> anyhow::Result<&'static str> {
    Ok(if case.text("fusion")? == "heads" { "mean" } else { "head" })
}

fn lfm_fitted(case: &Case) -> anyhow::Result<()> {
    let epoch: usize = case.number("epoch")?;
    let fused = fused(case)?;
    let form = form(&LFM, toml::toml! { fused = fused }, head_of(case)?);
    let mut model = Stepped::new(case, form, &widths(case)?)?;
    let (features, labels) = (&features(case)?[..], &case.labels("input.label")?);
    let clock = Clock { epoch, epochs: epoch + 1, batch: 0, batches: 1 };
    let output =
        model.step(Given { features, labels, clock, rows: &[], only: &[], taught: None })?;
    // Single precision at logits of order 100 is as coarse as the READMEs say.
    let large = case.is_single() && case.name.ends_with("_large");
    let tolerance = if large { Tolerance::new(1e-4) } else { case.usual() };
    let check = |name: &str, values: &[f64]| {
        let values = Tensor::new(values, &candle_core::Device::Cpu)?;
        case.check_within(name, &values, tolerance)
    };
    check("output.loss", &[output.loss.value()?])?;
    check("output.ce", &metrics(&output, "cross-entropy"))?;
    check("output.A", &metrics(&output, "gap"))?;
    let weight = metrics(&output, "weight of the gap");
    case.check_values("output.a1", &weight)?;
    case.check_value("output.a0", lfm::fitted(epoch))?;
    case.check_value("output.a0", 1.0 - weight[0])?;
    case.check("output.logits", &output.logits)?;
    let own = model.head.modality_logits(features)?;
    let pairs = lfm::gap_of_pairs(&own, Reading::Code)?;
    let pairs: Vec<f64> =
        pairs.iter().map(tcmax_ops::to_scalar_f64).collect::<candle_core::Result<_>>()?;
    check("output.A_pairs", &pairs)?;
    check("output.A_sum", &[pairs.iter().sum()])?;
    case.check("output.A_js", &lfm::gap(&own, Reading::Paper)?)?;
    let handed = &model.handed[0];
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix("grad.") else { continue };
        let name = name.strip_prefix("weight.").unwrap_or(name);
        let gradient = handed.raw.get(name).with_context(|| format!("{quantity}: none"))?;
        case.check_within(quantity, gradient, tolerance)?;
    }
    Ok(())
}

fn lfm_learned(case: &Case) -> anyhow::Result<()> {
    let (rate, start): (f64, f64) = (case.number("lr")?, case.number("a1")?);
    let fused = fused(case)?;
    let options = toml::toml! { schedule = "learned" fused = fused rate = rate start = start };
    let form = form(&LFM, options, head_of(case)?);
    let mut model = Stepped::new(case, form, &widths(case)?)?;
    let inputs = numbered(case, "input.x")?;
    let labels = case.labels("input.label")?;
    let losses = || -> tcmax_losses::Result<[Tensor; 3]> {
        let features = inputs.iter().enumerate().map(|(m, x)| {
            let part = |name: &str| {
                let name = format!("encoder{m}.{name}");
                model.params.trainable().find(|(own, _)| *own == name).map(|(_, var)| var.clone())
            };
            let (Some(weight), Some(bias)) = (part("weight"), part("bias")) else {
                candle_core::bail!("encoder {m} has no weights")
            };
            tcmax_ops::linear(x, weight.as_tensor(), bias.as_tensor())
        });
        let features = features.collect::<candle_core::Result<Vec<_>>>()?;
        let head = model.head.as_ref();
        let ce = cross_entropy(&model.method.predict(head, &features)?, &labels)?;
        let gap = lfm::gap(&head.modality_logits(&features)?, Reading::Code)?;
        let both = ((&ce * (1.0 - start))? + (&gap * start)?)?;
        Ok([ce, gap, both])
    };
    let [ce, gap, both] = losses()?;
    case.check("output.ce", &ce)?;
    case.check("output.A", &gap)?;
    case.check("output.J", &both)?;
    let (names, vars): (Vec<String>, Vec<Var>) =
        model.params.trainable().map(|(name, var)| (of_heads(name), var.clone())).unzip();
    for (prefix, loss) in [("grad_ce.", &ce), ("grad_j.", &both)] {
        let gradients = tcmax_ops::backward(loss)?;
        for (name, var) in names.iter().zip(&vars) {
            let quantity = [format!("{prefix}{name}"), format!("{prefix}weight.{name}")];
            let gradient = gradients.get(var.as_tensor()).context("no gradient")?;
            for quantity in quantity.iter().filter(|quantity| case.has(quantity)) {
                case.check(quantity, gradient)?;
            }
        }
    }
    // Finite differences: as exact as their step allows, some 4e-11 and 3e-5.
    let tolerance = Tolerance::new(if case.is_single() { 1e-4 } else { 1e-9 });
    let v = hessian_gradient(&vars, &|| losses().map(|[ce, _, both]| [ce, both]))?;
    for (name, v) in names.iter().zip(&v) {
        case.check_within(&format!("output.v.weight.{name}"), v, tolerance)?;
    }
    let first = names.iter().position(|name| name == "encoder0.weight").context("no encoder")?;
    let value = |name: &str, value: f64| {
        case.check_within(name, &Tensor::new(value, &candle_core::Device::Cpu)?, tolerance)
    };
    let (of_first, of_all) = (mean_entry(&v[first..=first])?, mean_entry(&v)?);
    value("output.d_first", of_first)?;
    value("output.d_all", of_all)?;
    let after = lfm::next_weight(start, rate, of_all);
    value("output.a1_all", after)?;
    value("output.a0_all", 1.0 - after)?;
    let splits = Splits { train: Some((inputs.clone(), labels.clone())), ..Splits::default() };
    let before = model.params.snapshot()?;
    model.begin_epoch(Clock { epoch: 0, epochs: 2, batch: 0, batches: 1 }, &splits)?;
    let after = tcmax_ops::to_scalar_f64(&model.method.state()?["weight"])?;
    value("output.a1_first", after)?;
    value("output.a0_first", 1.0 - after)?;
    for (name, value) in model.params.snapshot()? {
        let (new, old) = (tcmax_ops::to_vec_f64(&value)?, tcmax_ops::to_vec_f64(&before[&name])?);
        anyhow::ensure!(new == old, "{name} is not as it was");
    }
    let rates: Vec<f64> = case
        .whole("input.epochs")?
        .into_iter()
        .map(|epoch| lfm::rate(1e-4, epoch as usize, 20))
        .collect();
    case.check_values("output.lr_by_epoch", &rates)
}

/// D&R: purities of given clusters, the strengths, and the parameters afterwards.
pub fn diagnose_relearn(case: &Case) -> anyhow::Result<()> {
    if case.name == "dr_schedule" {
        return schedule(case);
    }
    let lambda: f64 = case.number("lambda")?;
    let (mut alphas, mut purities) = (Vec::new(), [Vec::new(), Vec::new()]);
    for m in 0..case.number("M")? {
        for (split, purities) in ["train", "val"].iter().zip(&mut purities) {
            let features = case.tensor(&format!("input.features_{split}{m}"))?;
            case.check(&format!("output.scaled_{split}{m}"), &scaled(&features)?)?;
            let clusters = case.whole(&format!("input.cluster_{split}{m}"))?;
            let clusters: Vec<usize> =
                clusters.into_iter().map(|cluster| cluster as usize).collect();
            purities.push(purity(&clusters, &case.whole(&format!("input.label_{split}"))?));
        }
        let alpha = strength(purities[0][m], purities[1][m], lambda);
        alphas.push(alpha);
        for part in ["weight", "bias"] {
            let current = case.tensor(&format!("weight.enc{m}.{part}"))?;
            let initial = case.tensor(&format!("weight.initial.enc{m}.{part}"))?;
            let var = Var::from_tensor(&current)?;
            relearn(std::slice::from_ref(&var), &[initial], alpha)?;
            let name = format!("output.final.enc{m}.{part}");
            case.check(&name, var.as_tensor())?;
            if alpha == 0.0 && !case.is_single() {
                case.check_within(&name, var.as_tensor(), Tolerance::absolute(0.0))?;
            }
        }
    }
    case.check_values("output.alpha", &alphas)?;
    case.check_values("output.purity_train", &purities[0])?;
    case.check_values("output.purity_val", &purities[1])
}

fn schedule(case: &Case) -> anyhow::Result<()> {
    for number in 0.. {
        let name = format!("input.schedule{number}");
        if !case.has(&name) {
            break;
        }
        let [epochs, every, most] = case.whole(&name)?[..] else { anyhow::bail!("{name}") };
        let mut done = 0;
        let due = (0..epochs as usize).map(|epoch| {
            let due = is_due(epoch, every as usize, most as usize, done);
            done += usize::from(due);
            f64::from(u8::from(due))
        });
        case.check_values(&format!("output.reinit{number}"), &due.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Encoders are `enc0`, ..., own layers `own0` and `own1` in the files; the fused classifier is not there.
fn of_di_mml(name: &str) -> String {
    let names =
        [("encoder", "enc"), ("fc_x.", "own0."), ("fc_y.", "own1."), ("method.shared.", "shared.")];
    for (ours, recorded) in names {
        if let Some(rest) = name.strip_prefix(ours) {
            return format!("{recorded}{rest}");
        }
    }
    name.to_owned()
}

/// DI-MML's choice of dimensions and its first stage.
pub fn di_mml(case: &Case) -> anyhow::Result<()> {
    let (lambda, tau): (f64, f64) = (case.number("lambda")?, case.number("tau")?);
    let options = toml::toml! {
        lambda = lambda
        temperature = tau
        contrast-from = 0
        fusion-epochs = 1
    };
    let form =
        Form { recorded: of_di_mml, rate: case.number("lr")?, ..form(&DI_MML, options, &SPECIFIC) };
    let mut model = Stepped::new(case, form, &widths(case)?)?;
    let (inputs, labels) = (numbered(case, "input.x")?, case.labels("input.label")?);
    let dimensions = check_dimensions(case, &model.features(&inputs)?)?;
    let splits = Splits { train: Some((inputs.clone(), labels)), ..Splits::default() };
    let clock = Clock { epoch: 0, epochs: 2, batch: 0, batches: 1 };
    model.begin_epoch(clock, &splits)?;
    let state = model.method.state()?;
    for (m, name) in ["output.dims_a", "output.dims_v"].iter().enumerate() {
        let flags = tcmax_ops::to_vec_f64(&state[&format!("dimensions.{m}")])?;
        let chosen = flags.iter().enumerate().filter(|(_, flag)| **flag > 0.0);
        case.check_values(name, &chosen.map(|(d, _)| d as f64).collect::<Vec<_>>())?;
    }
    let (steps, size): (usize, usize) = (case.number("steps")?, case.number("B")?);
    let (rows, truth) = (case.whole("input.batch_index")?, case.whole("input.label")?);
    let mut found: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
    for rows in rows.chunks(size).take(steps) {
        let classes: Vec<u32> = rows.iter().map(|&row| truth[row as usize]).collect();
        let device = &candle_core::Device::Cpu;
        let labels = tcmax_estimators::Labels::new(&classes, case.number("C")?, device)?;
        let rows = Tensor::new(rows, device)?;
        let batch = inputs.iter().map(|x| x.index_select(&rows, 0));
        let features = model.features(&batch.collect::<candle_core::Result<Vec<_>>>()?)?;
        let mut note = |name: String, value: Tensor| found.entry(name).or_default().push(value);
        for (name, gradient) in of_contrast(&model, &features, &dimensions, tau)? {
            note(format!("grad_contrast.{name}"), gradient);
        }
        let (features, labels) = (&features[..], &labels);
        let output =
            model.step(Given { features, labels, clock, rows: &[], only: &[], taught: None })?;
        let scalar = |value: f64| Tensor::new(value, device);
        note("output.loss".to_owned(), scalar(output.loss.value()?)?);
        for (ours, recorded) in [
            ("own", "own"),
            ("shared", "shared"),
            ("contrast 0", "contrast_a"),
            ("contrast 1", "contrast_v"),
        ] {
            let [value] = metrics(&output, ours)[..] else { anyhow::bail!("no {ours}") };
            note(format!("output.{recorded}"), scalar(value)?);
        }
        for (name, gradient) in &model.handed[0].raw {
            note(format!("grad.{name}"), gradient.clone());
        }
    }
    for (name, steps) in &found {
        case.check(name, &Tensor::stack(steps, 0)?)?;
    }
    model.check_parameters(case, "output.final.")
}

/// Compares class means and accuracies by dimension; what is effective in one modality only.
fn check_dimensions(case: &Case, features: &[Tensor]) -> anyhow::Result<[Vec<bool>; 2]> {
    let labels = case.labels("input.label")?;
    let mut means = ClassMeans::new(case.number("C")?);
    means.add(features, &labels)?;
    let mut all = [Vec::new(), Vec::new()];
    for (m, (z, means)) in features.iter().zip(&means.means()?).enumerate() {
        case.check(&format!("output.class_mean{m}"), means)?;
        let right = right_by_dimension(z, &labels, means)?;
        let right: Vec<f64> =
            right.into_iter().map(|right| right as f64 / labels.len() as f64).collect();
        case.check_values(&format!("output.dim_accuracy{m}"), &right)?;
        all[m] = effective(&right);
        let flags: Vec<f64> = all[m].iter().map(|&flag| f64::from(u8::from(flag))).collect();
        case.check_values(&format!("output.effective{m}"), &flags)?;
    }
    Ok(only_one(&all))
}

/// The gradients of the contrast alone, of encoders and features.
fn of_contrast(
    model: &Stepped,
    features: &[Tensor],
    dimensions: &[Vec<bool>; 2],
    tau: f64,
) -> anyhow::Result<Vec<(String, Tensor)>> {
    let of = |features: &[Tensor; 2]| -> anyhow::Result<Tensor> {
        let [first, second] = contrasts(features, dimensions, tau)?;
        Ok((first.context("no dimension")? + second.context("no dimension")?)?)
    };
    let [first, second] = features else { anyhow::bail!("not two modalities") };
    let mut found = Vec::new();
    let gradients = tcmax_ops::backward(&of(&[first.clone(), second.clone()])?)?;
    for (name, var) in model.params.trainable().filter(|(name, _)| name.starts_with("encoder")) {
        let gradient = gradients.get(var.as_tensor()).context("no gradient")?;
        found.push((of_di_mml(name), gradient.clone()));
    }
    let alone = [Var::from_tensor(&first.detach())?, Var::from_tensor(&second.detach())?];
    let gradients = tcmax_ops::backward(&of(&alone.clone().map(|z| z.as_tensor().clone()))?)?;
    for (m, z) in alone.iter().enumerate() {
        let gradient = gradients.get(z.as_tensor()).context("no gradient")?;
        found.push((format!("z{m}"), gradient.clone()));
    }
    Ok(found)
}

/// MCR's influences, its players' losses, and all their gradients.
pub fn mcr(case: &Case) -> anyhow::Result<()> {
    let options = toml::toml! { contrast = 0.0 };
    let model = Stepped::new(case, form(&MCR, options, head_of(case)?), &widths(case)?)?;
    let game = match case.number("k")? {
        -1 => Game::Greedy,
        0 => Game::Independent,
        1 => Game::Collaborative,
        other => anyhow::bail!("k is {other}"),
    };
    let features = numbered(case, "input.z")?;
    let (count, batch): (usize, usize) = (case.number("permutations")?, case.number("B")?);
    let orders = case.whole("input.permutations")?;
    let orders: Vec<Vec<u32>> = orders.chunks(batch).map(<[u32]>::to_vec).collect();
    let orders: Vec<Vec<Vec<u32>>> = orders.chunks(count).map(<[Vec<u32>]>::to_vec).collect();
    let played = Played::new(model.head.as_ref(), &features, &orders)?;
    let losses = played.losses(game);
    for (m, gradient) in played.gradients(game)?.iter().enumerate() {
        case.check(&format!("grad.z{m}"), gradient)?;
        case.check_value(&format!("output.D{m}"), played.influences[m])?;
        case.check_value(&format!("output.loss{m}"), losses[m])?;
        for (n, z) in played.features().iter().enumerate() {
            let gradient = played.gradient(m, z.as_tensor()).context("no gradient")?;
            case.check(&format!("grad_d{m}.z{n}"), gradient)?;
        }
        for (name, var) in model.params.trainable() {
            let name = format!("grad_d{m}.weight.{}", of_heads(name));
            if case.has(&name) {
                let gradient = played.gradient(m, var.as_tensor()).context("no gradient")?;
                case.check(&name, gradient)?;
            }
        }
    }
    Ok(())
}
