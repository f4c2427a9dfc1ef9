//! Cases of balancing methods: coefficients, losses and what they remember.

use candle_core::{DType, Device, Tensor};
use tcmax_losses::cross_entropy;
use tcmax_losses::methods::agm::{Modulation, clamped_loss};
use tcmax_losses::methods::mla::{Projection, Projector};
use tcmax_losses::methods::mm_pareto::{self, min_norm_pair};
use tcmax_losses::methods::pmr::{ClassMeans, Rebalance};
use tcmax_losses::methods::qmf::{History, confidence};
use tcmax_losses::methods::{
    mla, ogm as ogm_method, opm as opm_method, pmr as pmr_method, qmf as qmf_method,
};
use tcmax_ops::log_sum_exp;

use super::case::{Case, Tolerance};
use super::heads::Recorded;

/// Probabilities of the labels.
fn label_probabilities(case: &Case, logits: &Tensor, labels: &str) -> anyhow::Result<Vec<f64>> {
    let labels = case.labels(labels)?;
    let log_p = (labels.pick(logits)? - log_sum_exp(logits, 1)?)?;
    Ok(log_p.to_dtype(DType::F64)?.exp()?.to_vec1()?)
}

fn label_probability_sum(case: &Case, logits: &str, labels: &str) -> anyhow::Result<f64> {
    Ok(label_probabilities(case, &case.tensor(logits)?, labels)?.iter().sum())
}

/// AGM's coefficients over several steps.
pub fn agm(case: &Case) -> anyhow::Result<()> {
    let (steps, classes): (usize, usize) = (case.number("steps")?, case.number("C")?);
    let mut modulation = Modulation::new(2, case.number("alpha")?);
    let mut got: [Vec<f64>; 6] = Default::default();
    let truth = case.whole("input.label")?;
    let rows = truth.len() / steps;
    for step in 0..steps {
        let labels = &truth[step * rows..(step + 1) * rows];
        let labels = tcmax_estimators::Labels::new(labels, classes, &Device::Cpu)?;
        let mut losses = [0.0; 2];
        for (loss, name) in losses.iter_mut().zip(["a", "v"]) {
            let logits = case.tensor(&format!("input.logits_{name}"))?.get(step)?;
            let log_p = (labels.pick(&logits)? - log_sum_exp(&logits, 1)?)?;
            *loss = clamped_loss(&log_p.to_dtype(DType::F64)?.to_vec1::<f64>()?)?;
        }
        let step = modulation.step(&losses);
        for (m, [coefficients, ratios, scores]) in
            [(0, [0, 2, 4]), (1, [1, 3, 5])] as [(usize, [usize; 3]); 2]
        {
            got[coefficients].push(step.coefficients[m]);
            got[ratios].push(step.ratios[m]);
            got[scores].push(modulation.scores[m]);
        }
    }
    // Coefficients span eight orders of magnitude there.
    let wide = case.is_single() && case.name.contains("clamp");
    let tolerance = if wide { Tolerance::of_largest(1e-3) } else { case.usual() };
    let names = ["coeff_a", "coeff_v", "ratio_a", "ratio_v", "score_a", "score_v"];
    for (name, values) in names.iter().zip(got) {
        case.check_within(
            &format!("output.{name}"),
            &Tensor::new(values, &Device::Cpu)?,
            tolerance,
        )?;
    }
    Ok(())
}

/// OGM's coefficients, and the gradients they make.
pub fn ogm(case: &Case) -> anyhow::Result<()> {
    let scores = [
        label_probability_sum(case, "input.logits_a", "input.label")?,
        label_probability_sum(case, "input.logits_v", "input.label")?,
    ];
    case.check_value("output.score_a", scores[0])?;
    case.check_value("output.score_v", scores[1])?;
    case.check_value("output.ratio_a", scores[0] / scores[1])?;
    let epoch: usize = case.number("epoch")?;
    let active =
        epoch >= case.number("modulation_starts")? && epoch <= case.number("modulation_ends")?;
    let factors =
        if active { ogm_method::coefficients(scores, case.number("alpha")?) } else { [1.0; 2] };
    case.check_value("output.coeff_a", factors[0])?;
    case.check_value("output.coeff_v", factors[1])?;
    let enhanced = case.text("modulation")? == "OGM_GE";
    // Encoders in the order of their names: audio before visual, the first visual before the second.
    let mut encoders: Vec<String> = Vec::new();
    for name in case.names() {
        let encoder = name.strip_prefix("input.noise.").and_then(|rest| rest.split('.').next());
        if let Some(encoder) =
            encoder.filter(|name| encoders.last().is_none_or(|last| last != name))
        {
            encoders.push(encoder.to_owned());
        }
    }
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix("output.grad.") else { continue };
        let gradient = case.tensor(&format!("input.grad.{name}"))?;
        let encoder = encoders.iter().position(|encoder| name.split('.').next() == Some(encoder));
        let new = match encoder {
            Some(m) if active && gradient.rank() == 4 => {
                let noise = case.tensor(&format!("input.noise.{name}"))?;
                ogm_method::modulated(&gradient, factors[m], enhanced.then_some(&noise))?
            }
            _ => gradient.clone(),
        };
        case.check(quantity, &new)?;
        let spread = format!("output.noise_std.{name}");
        if case.has(&spread) {
            case.check_value(&spread, ogm_method::standard_deviation(&gradient)? + 1e-8)?;
        }
    }
    Ok(())
}

/// OPM's rates, masks and losses over several steps.
pub fn opm(case: &Case) -> anyhow::Result<()> {
    let (rate, strength): (f64, f64) = (case.number("q_base")?, case.number("lambda")?);
    let mut rates = [0.0; 2];
    for step in 0..case.number("steps")? {
        let input = |name: &str| format!("input.step{step}.{name}");
        let output = |name: &str| format!("output.step{step}.{name}");
        let names = [input("a"), input("v")];
        let recorded = Recorded::new(case, &[&names[0], &names[1]])?;
        let labels = case.labels(&input("label"))?;
        let mut features = Vec::new();
        let mut scores = [0.0; 2];
        for (m, name) in ["a", "v"].into_iter().enumerate() {
            let draws = case.recorded(&input(&format!("uniform_{name}")))?.to_vec1::<f64>()?;
            features.push(opm_method::dropped(&recorded.features[m], &draws, rates[m])?);
            let dropped: Vec<f64> =
                draws.iter().map(|&draw| f64::from(u8::from(draw < rates[m]))).collect();
            case.check_values(&output(&format!("mask_{name}")), &dropped)?;
            case.check_value(&output(&format!("q_{name}_used")), rates[m])?;
            let logits = input(&format!("logits_{name}"));
            scores[m] = label_probability_sum(case, &logits, &input("label"))?;
            let loss = cross_entropy(&case.tensor(&logits)?, &labels)?;
            case.check(&output(&format!("loss_{name}")), &loss)?;
        }
        rates = opm_method::next_rates(scores, rate, strength);
        case.check_value(&output("q_a_next"), rates[0])?;
        case.check_value(&output("q_v_next"), rates[1])?;
        let loss = cross_entropy(&recorded.head.logits(&features)?, &labels)?;
        case.check(&output("loss"), &loss)?;
        let prefix = format!("grad.step{step}.");
        let tensor = |name: &str| recorded.tensor(name);
        case.check_gradients(&prefix, &loss.backward()?, case.usual(), tensor)?;
    }
    Ok(())
}

/// PMR's loss with given prototypes.
pub fn pmr(case: &Case) -> anyhow::Result<()> {
    let recorded = Recorded::new(case, &["input.a", "input.v"])?;
    let labels = case.labels("input.label")?;
    let prototypes = case.tensor("input.prototypes")?;
    let prototypes = [prototypes.get(0)?, prototypes.get(1)?];
    let logits = recorded.head.logits(&recorded.features)?;
    case.check("output.logits", &logits)?;
    let own = Rebalance::new(&recorded.features, &prototypes, &labels)?;
    let [a, v] = own.prototype_losses(&labels)?;
    case.check("output.loss_a", &a)?;
    case.check("output.loss_v", &v)?;
    // The ratio may be of any order of magnitude.
    let tolerance = Tolerance { floor: 1.0, ..case.usual() };
    let ratios = [("a_p", own.ratio), ("a", own.ratio.max(1.0)), ("v", (1.0 / own.ratio).max(1.0))];
    for (name, ratio) in ratios {
        let ratio = Tensor::new(ratio, &Device::Cpu)?;
        case.check_within(&format!("output.ratio_{name}"), &ratio, tolerance)?;
    }
    let ce = cross_entropy(&logits, &labels)?;
    let loss = own.loss(&ce, &labels, case.number("alpha")?, case.number("mu")?)?;
    case.check("output.loss", &loss)?;
    case.check_gradients("grad.", &loss.backward()?, case.usual(), |name| recorded.tensor(name))
}

/// PMR's prototypes from batches of features.
pub fn pmr_prototypes(case: &Case) -> anyhow::Result<()> {
    let classes: usize = case.number("C")?;
    let of = |part: &str| -> anyhow::Result<[Tensor; 2]> {
        let mut means = ClassMeans::new(classes);
        let labels = case.recorded(&format!("input.{part}.label"))?.to_dtype(DType::U32)?;
        for batch in 0..case.number("batches_used")? {
            let features = ["a", "v"]
                .map(|name| anyhow::Ok(case.tensor(&format!("input.{part}.{name}"))?.get(batch)?));
            let [a, v] = features;
            let labels = labels.get(batch)?.to_vec1::<u32>()?;
            let labels = tcmax_estimators::Labels::new(&labels, classes, &Device::Cpu)?;
            means.add(&[a?, v?], &labels)?;
        }
        Ok(means.means()?)
    };
    let (first, second) = (of("first")?, of("second")?);
    let stacked = |prototypes: &[Tensor; 2]| Tensor::stack(prototypes, 0);
    case.check("output.first", &stacked(&first)?)?;
    case.check("output.second", &stacked(&second)?)?;
    let mixed = pmr_method::mixed(&first, &second, case.number("epsilon")?)?;
    case.check("output.second_momentum", &stacked(&mixed)?)
}

/// QMF's loss and histories over several steps.
pub fn qmf(case: &Case) -> anyhow::Result<()> {
    let examples: usize = case.number("n_data")?;
    let mut history = History::new(2, examples);
    let mut confidences = [vec![0.0; examples], vec![0.0; examples]];
    for step in 0..case.number("steps")? {
        let input = |name: &str| format!("input.step{step}.{name}");
        let output = |name: &str| format!("output.step{step}.{name}");
        let labels = case.labels(&input("label"))?;
        let rows: Vec<usize> = case.whole(&input("idx"))?.iter().map(|&row| row as usize).collect();
        let own = [case.variable(&input("logits_a"))?, case.variable(&input("logits_v"))?];
        history.add(&own, &labels, &rows)?;
        let loss = history.loss(&own, &labels, &rows)?;
        case.check(&output("loss"), &loss)?;
        for (m, name) in ["a", "v"].into_iter().enumerate() {
            case.check(&output(&format!("loss_{name}")), &cross_entropy(&own[m], &labels)?)?;
            case.check_values(&output(&format!("correctness_{name}")), &history.losses[m])?;
            let of_batch = confidence(&own[m])?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            rows.iter().zip(of_batch).for_each(|(&row, value)| confidences[m][row] = value);
            case.check_values(&output(&format!("confidence_{name}")), &confidences[m])?;
        }
        let prefix = format!("grad.step{step}.");
        let tensor = |name: &str| case.variable(&input(name)).ok();
        case.check_gradients(&prefix, &loss.backward()?, case.usual(), tensor)?;
    }
    Ok(())
}

/// Predictions mixed by confidence (QMF) and by entropy (MLA), of two and three modalities.
pub fn predictions(case: &Case) -> anyhow::Result<()> {
    let mut own = vec![case.tensor("input.logits_a")?, case.tensor("input.logits_v")?];
    case.check("output.mla", &mla::mixed(&own)?)?;
    case.check("output.qmf", &qmf_method::mixed(&own)?)?;
    if case.has("input.logits_t") {
        own.push(case.tensor("input.logits_t")?);
        case.check("output.mla_avt", &mla::mixed(&own)?)?;
        case.check("output.qmf_avt", &qmf_method::mixed(&own)?)?;
    }
    Ok(())
}

/// c'Gc.
fn squared_length(gram: &[Vec<f64>], weights: &[f64]) -> f64 {
    let product = |row: &Vec<f64>| row.iter().zip(weights).map(|(g, c)| g * c).sum::<f64>();
    gram.iter().zip(weights).map(|(row, c)| c * product(row)).sum()
}

/// Shortest convex combinations of two and more vectors.
pub fn min_norm(case: &Case) -> anyhow::Result<()> {
    for name in case.names() {
        let Some(set) = name.strip_prefix("input.").and_then(|rest| rest.strip_suffix(".x")) else {
            continue;
        };
        let x = case.tensor(name)?;
        let gram = x.matmul(&x.t()?)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        if gram.len() == 2 {
            let (weights, cost) = min_norm_pair([gram[0][0], gram[1][1], gram[0][1]]);
            case.check_values(&format!("output.{set}.c"), &weights)?;
            case.check_value(&format!("output.{set}.cost"), cost)?;
            continue;
        }
        // The paper's own solvers stop early; the exact values are recorded beside theirs.
        let weights = mm_pareto::min_norm(&gram);
        let got = Tensor::new(&weights[..], &Device::Cpu)?;
        let fine = if case.is_single() { 1e-3 } else { 1e-6 };
        case.check_within(&format!("output.{set}.c_exact"), &got, Tolerance::new(fine))?;
        for early in ["c", "c_fw"] {
            case.check_within(&format!("output.{set}.{early}"), &got, Tolerance::new(1e-3))?;
        }
        let squared = Tensor::new(squared_length(&gram, &weights), &Device::Cpu)?;
        case.check_within(&format!("output.{set}.norm2_exact"), &squared, Tolerance::new(fine))?;
    }
    if case.has("input.alpha.g1") {
        let (one, other) = (case.tensor("input.alpha.g1")?, case.tensor("input.alpha.g2")?);
        let inner = |x: &Tensor, y: &Tensor| -> anyhow::Result<f64> {
            Ok((x * y)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?)
        };
        let products = [inner(&one, &one)?, inner(&other, &other)?, inner(&one, &other)?];
        case.check_value("output.alpha", min_norm_pair(products).0[0])?;
    }
    Ok(())
}

/// The projection of MLA's head gradient, in its three forms.
pub fn mla_projection(case: &Case) -> anyhow::Result<()> {
    let forms = [
        ("output.", Projection::Elementwise),
        ("output_scalar.", Projection::Normalised),
        ("output_nonorm.", Projection::Plain),
    ];
    let batches: f64 = case.number("len_dataloader")?;
    for (prefix, form) in forms {
        let mut projector = Projector::new(case.number("D")?, form)?;
        // Denominators of single entries come close to zero.
        let delicate = case.is_single() && form == Projection::Elementwise;
        let tolerance = if delicate { Tolerance::new(1e-3) } else { case.usual() };
        for step in 0..case.number::<usize>("steps")? {
            let input = |name: &str| format!("input.step{step}.{name}");
            let mut gradient = case.tensor(&input("grad"))?;
            if case.scalar(&input("exp_count"))? != 0.0 {
                let place = case.scalar(&input("batch_index"))? / batches;
                projector.update(&case.tensor(&input("feature"))?, place)?;
                gradient = projector.project(&gradient)?;
            }
            case.check_within(&format!("{prefix}step{step}.P"), projector.matrix(), tolerance)?;
            case.check_within(&format!("{prefix}step{step}.grad"), &gradient, tolerance)?;
        }
    }
    Ok(())
}
