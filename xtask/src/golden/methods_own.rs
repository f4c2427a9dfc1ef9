//! Cases of methods with parameters of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, ConcatHead, FusionHead, HeadSpec, SUM};
use tcmax_losses::methods::amco::{self, Amco, AmcoOptions};
use tcmax_losses::methods::aug::{Aug, AugOptions};
use tcmax_losses::methods::boosting::{adds_after, fused, weaker};
use tcmax_losses::methods::cggm_direction::coefficients;
use tcmax_losses::methods::iprm::on_sphere;
use tcmax_losses::methods::pdf::{
    RegressionTarget, distance_from_uniform, holistic, losses, mixed, weights,
};
use tcmax_losses::methods::reading::Reading;
use tcmax_losses::methods::{AMCO, AUG, CGGM, IPRM};
use tcmax_losses::{Clock, EpochContext, Method, MethodSpec, Step, StepOutput, cross_entropy};
use tcmax_ops::to_vec_f64;
use tcmax_registry::Table;

use super::case::{Case, Tolerance};
use super::stepped::{Form, Given, Splits, Stepped};

/// The recorded name of a parameter of ours.
fn recorded(name: &str) -> String {
    let names = [
        ("encoder", "enc"),
        ("fc_out.", "head."),
        ("fc_x.", "own0."),
        ("fc_y.", "own1."),
        ("method.mix.", "mix."),
        ("method.classifier.", "cls"),
        ("method.base.", "E"),
        ("method.last.", "fc."),
    ];
    if let Some((m, rest)) =
        name.strip_prefix("method.added.").and_then(|rest| rest.split_once('.'))
    {
        return format!("L{m}_{rest}");
    }
    let found = names.iter().find_map(|(ours, theirs)| Some((theirs, name.strip_prefix(ours)?)));
    found.map_or_else(|| name.to_owned(), |(theirs, rest)| format!("{theirs}{rest}"))
}

/// What has one row for each step, put together as it comes.
#[derive(Default)]
struct Rows(BTreeMap<String, Vec<f64>>);

impl Rows {
    fn add(&mut self, quantity: impl Into<String>, values: &[f64]) {
        self.0.entry(quantity.into()).or_default().extend(values);
    }

    fn add_tensor(&mut self, quantity: impl Into<String>, values: &Tensor) -> anyhow::Result<()> {
        self.add(quantity, &to_vec_f64(values)?);
        Ok(())
    }

    /// Gradients by recorded names.
    fn add_gradients(&mut self, gradients: &BTreeMap<String, Tensor>) -> anyhow::Result<()> {
        for (name, gradient) in gradients {
            self.add_tensor(format!("grad.{name}"), gradient)?;
        }
        Ok(())
    }

    /// Compares all that is recorded.
    fn check(&self, case: &Case) -> anyhow::Result<()> {
        for (quantity, values) in self.0.iter().filter(|(quantity, _)| case.has(quantity)) {
            case.check_values(quantity, values)?;
        }
        Ok(())
    }
}

/// Values of a metric for each modality.
fn metric(output: &StepOutput, name: &str) -> Vec<f64> {
    let is_of = |other: &str| {
        other.strip_prefix(name).is_some_and(|m| m.trim_start().parse::<usize>().is_ok())
    };
    output.metrics.iter().filter(|(other, _)| is_of(other)).map(|(_, value)| *value).collect()
}

/// Numbers of a list in the header.
fn list(case: &Case, key: &str) -> anyhow::Result<Vec<usize>> {
    let numbers = case.text(key)?.trim_matches(['[', ']']).split(',');
    numbers.map(|number| Ok(number.trim().parse()?)).collect()
}

/// One width for each modality.
fn widths(case: &Case) -> anyhow::Result<Vec<usize>> {
    let widths = list(case, "D")?;
    match widths[..] {
        [width] => Ok(vec![width; case.number("M")?]),
        _ => Ok(widths),
    }
}

/// A model of linear encoders, as a case starts it.
fn model(
    case: &Case,
    (method, options): (&'static MethodSpec, Table),
    head: &'static HeadSpec,
    epochs: usize,
) -> anyhow::Result<Stepped> {
    let rate = case.number("lr")?;
    let form = Form { method, options, head, recorded, rate, epochs, examples: 1 };
    Stepped::new(case, form, &widths(case)?)
}

/// Inputs and labels of one step.
fn batch(case: &Case, at: &[usize]) -> anyhow::Result<(Vec<Tensor>, Labels)> {
    let row = |name: &str| -> anyhow::Result<Tensor> {
        let mut tensor = case.recorded(name)?.clone();
        for &index in at {
            tensor = tensor.get(index)?;
        }
        Ok(tensor)
    };
    let input = |m: usize| Ok(row(&format!("input.x{m}"))?.to_dtype(case.dtype)?);
    let inputs = (0..case.number("M")?).map(input).collect::<anyhow::Result<_>>()?;
    let labels = row("input.label")?.to_dtype(DType::U32)?.to_vec1()?;
    Ok((inputs, Labels::new(&labels, case.number("C")?, &Device::Cpu)?))
}

fn given<'a>(features: &'a [Tensor], labels: &'a Labels, clock: Clock) -> Given<'a> {
    Given { features, labels, clock, rows: &[], only: &[], taught: None }
}

/// Parameters after the last step, which single precision has by then less exactly.
fn check_final(case: &Case, model: &Stepped) -> anyhow::Result<()> {
    if !case.is_single() {
        return model.check_parameters(case, "output.final.");
    }
    for (name, var) in model.params.trainable() {
        let quantity = format!("output.final.{}", recorded(name));
        if case.has(&quantity) {
            case.check_within(&quantity, var.as_tensor(), Tolerance::new(1e-3))?;
        }
    }
    Ok(())
}

/// AMCo that masks classes in a given order.
struct InOrder(Arc<Mutex<(Amco, Vec<usize>)>>);

impl Method for InOrder {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> tcmax_losses::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.begin_epoch(context)
    }

    fn step(&mut self, step: &mut Step<'_>) -> tcmax_losses::Result<StepOutput> {
        let (amco, order) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        amco.step_in_order(step, order)
    }
}

/// AMCo's masks, losses and steps.
pub fn amco(case: &Case) -> anyhow::Result<()> {
    let (sigma, eps): (f64, f64) = (case.number("sigma")?, case.number("eps")?);
    let (first, epochs): (usize, usize) = (case.number("epoch_start")?, case.number("epochs")?);
    let batches: usize = case.number("steps")?;
    let table = toml::toml! { sigma = sigma eps = eps };
    let mut model = model(case, (&AMCO, table), &CONCAT, first + epochs)?;
    let own = Amco::new(AmcoOptions { sigma, eps }, &model.setup)?;
    let shared = Arc::new(Mutex::new((own, Vec::new())));
    model.method = Box::new(InOrder(shared.clone()));
    let own = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rows = Rows::default();
    let flags = |flags: &[bool]| -> Vec<f64> {
        flags.iter().map(|&flag| f64::from(u8::from(flag))).collect()
    };
    for epoch in 0..epochs {
        for number in 0..batches {
            let clock =
                Clock { epoch: first + epoch, epochs: first + epochs, batch: number, batches };
            if number == 0 {
                model.begin_epoch(clock, &Splits::default())?;
            }
            let order = case.recorded("input.perm")?.get(epoch)?.get(number)?;
            let order: Vec<usize> =
                order.to_vec1::<i64>()?.into_iter().map(|class| class as usize).collect();
            own().1.clone_from(&order);
            let progress = own().0.progress();
            rows.add("output.l", &[progress]);
            rows.add("output.pt", &[amco::masked_share(progress, eps)]);
            rows.add("output.dependent_used", &flags(own().0.dependent()));
            let (inputs, labels) = batch(case, &[epoch, number])?;
            let features = model.features(&inputs)?;
            let output = model.step(given(&features, &labels, clock))?;
            let masked = output.metrics[0].1;
            rows.add("output.N", &[masked]);
            rows.add("output.mask", &amco::mask(&order, masked as usize));
            rows.add("output.mass", &metric(&output, "share"));
            rows.add("output.dependent", &flags(own().0.dependent()));
            rows.add("output.loss", &[output.loss.value()?]);
            rows.add_tensor("output.out", &output.logits)?;
            rows.add_gradients(&model.handed[0].raw)?;
        }
    }
    rows.check(case)?;
    check_final(case, &model)?;
    let (inputs, _) = batch(case, &[0, 0])?;
    let features = model.features(&inputs)?;
    case.check("output.predict", &own().0.predict(model.head.as_ref(), &features)?)
}

/// PDF's weights and losses of given confidences.
pub fn pdf(case: &Case) -> anyhow::Result<()> {
    let widths = widths(case)?;
    let of_all = |name: &str| -> anyhow::Result<Vec<Tensor>> {
        (0..widths.len()).map(|m| case.variable(&format!("input.{name}{m}"))).collect()
    };
    let (features, confidences) = (of_all("z")?, of_all("c")?);
    let weight = case.variable("weight.fc_out.weight")?;
    let head = ConcatHead::from_tensors(&widths, weight, case.variable("weight.fc_out.bias")?)?;
    let own = head.modality_logits(&features)?;
    let logs = confidences.iter().map(|c| Ok(to_vec_f64(c)?.iter().map(|c| c.ln()).collect()));
    let logs = logs.collect::<anyhow::Result<Vec<Vec<f64>>>>()?;
    let of_modalities = weights(&logs, None);
    for (m, h) in holistic(&logs).iter().enumerate() {
        case.check_values(&format!("output.h{m}"), h)?;
        case.check_values(&format!("output.w{m}"), &of_modalities[m])?;
        case.check_values(&format!("output.U{m}"), &distance_from_uniform(&own[m])?)?;
    }
    let logits = mixed(&own, &of_modalities)?;
    case.check("output.logits", &logits)?;
    let labels = case.labels("input.label")?;
    for (m, logits) in own.iter().enumerate() {
        let probability = labels.pick(&tcmax_ops::softmax(logits)?)?;
        case.check(&format!("output.label_prob{m}"), &probability)?;
    }
    for (target, prefix) in
        [(RegressionTarget::Detached, "grad."), (RegressionTarget::Live, "grad_live.")]
    {
        let losses = losses(&logits, &own, &confidences, &labels, target)?;
        case.check("output.ce", &losses.fused)?;
        case.check("output.ce_uni", &Tensor::stack(&losses.own, 0)?)?;
        case.check("output.l1", &Tensor::stack(&losses.confidences, 0)?)?;
        let total = losses.total()?;
        case.check("output.loss", &total)?;
        case.check_gradients(prefix, &total.backward()?, case.usual(), |name| {
            let input = format!("input.{name}");
            case.variable(if case.has(&input) { &input } else { name }).ok()
        })?;
    }
    Ok(())
}

/// IPRM's probes and steps.
pub fn iprm(case: &Case) -> anyhow::Result<()> {
    let alpha: f64 = case.number("momentum_lambda")?;
    let batches = case.number("steps")?;
    let mut model = model(case, (&IPRM, toml::toml! { alpha = alpha }), &SUM, 1)?;
    let mut rows = Rows::default();
    for number in 0..batches {
        let (inputs, labels) = batch(case, &[number])?;
        let features = model.features(&inputs)?;
        let clock = Clock { epoch: 0, epochs: 1, batch: number, batches };
        let output = model.step(given(&features, &labels, clock))?;
        rows.add("output.loss", &[output.loss.value()?]);
        rows.add("output.kl", &metric(&output, "divergence"));
        rows.add_tensor("output.predict", &output.logits)?;
        for (name, features_name, weights) in [
            ("output.lambda", "output.probe_mix", metric(&output, "running weight")),
            ("output.estimate", "output.mix", metric(&output, "weight")),
        ] {
            let [one, other] = weights[..] else { anyhow::bail!("not two weights") };
            let mixed = on_sphere(&features[0], &features[1], [vec![one], vec![other]])?;
            rows.add_tensor(features_name, &mixed)?;
            rows.add(name, &weights);
        }
        rows.add_gradients(&model.handed[0].raw)?;
    }
    rows.check(case)?;
    check_final(case, &model)
}

/// IPRM's mixture on the sphere.
pub fn iprm_on_sphere(case: &Case) -> anyhow::Result<()> {
    let (first, second) = (case.variable("input.z0")?, case.variable("input.z1")?);
    let weights = to_vec_f64(case.recorded("input.lambda")?)?;
    let others = weights.iter().map(|weight| 1.0 - weight).collect();
    let mixed = on_sphere(&first, &second, [weights, others])?;
    case.check("output.f", &mixed)?;
    let value = (mixed * case.tensor("input.cotangent")?)?.sum_all()?;
    case.check_gradients("grad.", &value.backward()?, case.usual(), |name| {
        case.variable(&format!("input.{name}")).ok()
    })
}

/// CGGM's coefficients of given accuracies.
pub fn cggm_coefficients(case: &Case) -> anyhow::Result<()> {
    let rho: f64 = case.number("rho")?;
    let mut before = vec![0.0; case.number("M")?];
    let mut rows = Rows::default();
    for now in case.recorded("input.acc")?.to_vec2::<f64>()? {
        let found = coefficients(&before, &now);
        rows.add("output.coeff", &found);
        rows.add("output.multiplier", &found.iter().map(|k| rho * k).collect::<Vec<_>>());
        before = now;
    }
    rows.check(case)
}

/// CGGM's steps, and those of its classifiers.
pub fn cggm(case: &Case) -> anyhow::Result<()> {
    let number = |key: &str| case.number::<f64>(key);
    let (rho, lambda, rate, clip) =
        (number("rho")?, number("lambda")?, number("lr_cls")?, number("clip")?);
    let table = toml::toml! {
        rho = rho
        lambda = lambda
        classifier-optimiser = "sgd"
        classifier-learning-rate = rate
    };
    let mut model = model(case, (&CGGM, table), &CONCAT, 1)?;
    model.largest = (clip > 0.0).then_some(clip);
    let batches = case.number("steps")?;
    let mut rows = Rows::default();
    let mut last = vec![0.0; model.groups.encoders.len()];
    for number in 0..batches {
        let (inputs, labels) = batch(case, &[number])?;
        let features = model.features(&inputs)?;
        let before = model.params.snapshot()?;
        let clock = Clock { epoch: 0, epochs: 1, batch: number, batches };
        let output = model.step(given(&features, &labels, clock))?;
        let after = model.params.snapshot()?;
        let named = |name: &str| {
            let found = output.metrics.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| *value).with_context(|| format!("no metric '{name}'"))
        };
        rows.add("output.loss", &[output.loss.value()?]);
        rows.add("output.loss_cls", &[named("loss of the classifiers")?]);
        rows.add("output.G", &[named("loss of the directions")?]);
        rows.add_tensor("output.ce", &cross_entropy(&output.logits, &labels)?)?;
        let found = metric(&output, "coefficient");
        rows.add("output.coeff", &found);
        rows.add("output.multiplier", &found.iter().map(|k| rho * k).collect::<Vec<_>>());
        rows.add("output.cos", &metric(&output, "cosine"));
        let accuracies = metric(&output, "accuracy of the classifier");
        let changes = accuracies.iter().zip(&last).map(|(now, before)| now - before);
        rows.add("output.delta", &changes.collect::<Vec<_>>());
        rows.add("output.acc", &accuracies);
        last = accuracies;
        let handed = &model.handed[0];
        let mut squares = 0.0;
        for gradient in handed.raw.values() {
            squares += to_vec_f64(gradient)?.iter().map(|x| x * x).sum::<f64>();
        }
        let norm = squares.sqrt();
        rows.add("output.norm", &[norm]);
        let factor = model.largest.map_or(1.0, |largest| (largest / (norm + 1e-6)).min(1.0));
        rows.add("output.clip_scale", &[factor]);
        rows.add_gradients(&handed.clipped)?;
        // The classifiers have an optimiser of their own: plain gradient descent.
        for (name, before) in before.iter().filter(|(name, _)| name.starts_with("method.")) {
            let gradient = ((before - &after[name])? / rate)?;
            rows.add_tensor(format!("grad.{}", recorded(name)), &gradient)?;
        }
    }
    rows.check(case)?;
    check_final(case, &model)
}

/// AUG's rule of when and to whom learners are added.
pub fn aug_ratio(case: &Case) -> anyhow::Result<()> {
    let tolerance = AugOptions::default().tolerance;
    let mut rows = Rows::default();
    for scores in case.recorded("input.S")?.to_vec2::<f64>()? {
        rows.add("output.ratio", &[scores[0] / scores[1]]);
        rows.add("output.add_to", &[chosen(&weaker(&scores, tolerance))]);
    }
    for number in 0..2 {
        let epochs = case.scalar(&format!("input.epochs{number}"))? as usize;
        let looks = (0..epochs).map(|epoch| adds_after(epoch, epochs, Reading::Paper));
        let looks: Vec<f64> = looks.map(|look| f64::from(u8::from(look))).collect();
        rows.add(format!("output.check{number}"), &looks);
    }
    rows.check(case)?;
    let totals = [case.tensor("input.total0")?, case.tensor("input.total1")?];
    case.check("output.predict", &fused(&totals, AugOptions::default().first_part)?)
}

/// The modality that gets a learner, or -1.
fn chosen(weaker: &[usize]) -> f64 {
    weaker.first().map_or(-1.0, |&m| m as f64)
}

/// AUG's two steps a batch with given numbers of learners.
pub fn aug(case: &Case) -> anyhow::Result<()> {
    // Long enough for as many learners as are recorded.
    const EPOCHS: usize = 100;
    let hidden: usize = case.number("H")?;
    let is_trained = case.number::<u8>("trained")? == 1;
    let reading = if is_trained { Reading::Paper } else { Reading::Code };
    let of = |reading: &str| -> anyhow::Result<Stepped> {
        let width = hidden as i64;
        let mut table = toml::toml! { hidden = width };
        table.insert("as".to_owned(), reading.into());
        let model = model(case, (&AUG, table), &CONCAT, EPOCHS)?;
        let learners: Vec<f64> = list(case, "learners")?.iter().map(|&n| n as f64).collect();
        for (_, var) in model.params.buffers().filter(|(name, _)| *name == "method.learners") {
            var.set(&Tensor::new(&learners[..], &Device::Cpu)?.to_dtype(case.dtype)?)?;
        }
        Ok(model)
    };
    let mut model = of(if is_trained { "paper" } else { "code" })?;
    // Gradients of learners that are not trained are those that they would get if they were.
    let mut trained = of("paper")?;
    let own = Aug::new(AugOptions { reading, hidden, ..AugOptions::default() }, &model.setup)?;
    let (batches, rate): (usize, f64) = (case.number("steps")?, case.number("lr")?);
    let mut rows = Rows::default();
    let mut sums = [0.0; 2];
    for number in 0..batches {
        let clock = Clock { epoch: 0, epochs: EPOCHS, batch: number, batches };
        let (inputs, labels) = batch(case, &[number])?;
        let mut before = model.params.snapshot()?;
        trained.params.load(&before)?;
        let features = trained.features(&inputs)?;
        trained.step(given(&features, &labels, clock))?;
        let features = model.features(&inputs)?;
        let output = model.step(given(&features, &labels, clock))?;
        let after = model.params.snapshot()?;
        rows.add("output.loss", &metric(&output, "loss"));
        let scores = metric(&output, "score");
        rows.add("output.score", &scores);
        sums = [0, 1].map(|m| sums[m] + scores[m]);
        for m in [0, 1] {
            for (name, gradient) in &model.handed[m].raw {
                match name.starts_with("fc.") {
                    true => rows.add_tensor(format!("grad.loss{m}.{name}"), gradient)?,
                    false => rows.add_tensor(format!("grad.{name}"), gradient)?,
                }
            }
            let of_added = trained.handed[m].raw.iter().filter(|(name, _)| name.starts_with('L'));
            for (name, gradient) in of_added.filter(|_| !is_trained) {
                rows.add_tensor(format!("grad.{name}"), gradient)?;
            }
            // As the pass of modality m sees the parameters.
            model.params.load(&before)?;
            let boosted = own.boosted(m, &features[m])?;
            rows.add_tensor(format!("output.total{m}"), &boosted.total)?;
            let mut parts = boosted
                .parts(&labels)?
                .iter()
                .map(tcmax_ops::to_scalar_f64)
                .collect::<candle_core::Result<Vec<f64>>>()?;
            parts.resize(4, 0.0);
            rows.add("output.parts", &parts);
            for name in ["weight", "bias"] {
                let gradient = &model.handed[m].raw[&format!("fc.{name}")];
                let var = before.get_mut(&format!("method.last.{name}"));
                let var = var.context("no last layer")?;
                *var = (&*var - (gradient * rate)?)?;
            }
        }
        model.params.load(&after)?;
    }
    rows.check(case)?;
    check_final(case, &model)?;
    case.check_values("output.S", &sums)?;
    case.check_value("output.ratio", sums[0] / sums[1])?;
    let tolerance = AugOptions::default().tolerance;
    case.check_value("output.add_to", chosen(&weaker(&sums, tolerance)))?;
    let (inputs, _) = batch(case, &[0])?;
    let features = model.features(&inputs)?;
    case.check("output.predict", &model.method.predict(model.head.as_ref(), &features)?)
}
