//! Cases of the TCMax loss.

use candle_core::Tensor;
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::{Bound, Labels, Reference, Tuples};
use tcmax_fusion::SUM;
use tcmax_losses::cross_entropy;
use tcmax_ops::{ParamBuilder, Seed, State};
use tcmax_registry::Table;

use super::case::Case;
use super::heads::{Recorded, gradient_tolerance};

/// Tuples at a time: fewer than any case has, so that chunks are joined.
const CHUNK: usize = 7;

/// Whether softmax of the logits is beyond single precision.
fn is_extreme(case: &Case) -> bool {
    case.name.contains("huge")
}

/// The exact loss of any head, over chunks of tuples, and over the factors where it is additive.
pub fn heads(case: &Case) -> anyhow::Result<()> {
    let recorded = Recorded::new(case, &["input.a", "input.v"])?;
    let labels = case.labels("input.label")?;
    let tensor = |name: &str| recorded.tensor(name);
    let (head, features) = (recorded.head.as_ref(), &recorded.features);
    // By factors or together, and in chunks; every tuple by itself would be slow where there are many.
    let chunk = if labels.len() > 20 { 1024 } else { CHUNK };
    for reference in [Reference::all(), Reference::all().in_chunks_of(chunk)] {
        let bound = Bound::new(head, features, &labels, reference)?;
        let dv = bound.value()?.neg()?;
        case.check("output.dv", &dv)?;
        // The paper's code leaves out some constants.
        let constant = (labels.len() as f64).ln() + (labels.classes() as f64).ln();
        case.check("output.loss", &(&dv + constant)?)?;
        let own = bound.variable_losses()?;
        case.check_value("output.loss_a", own[0])?;
        case.check_value("output.loss_v", own[1])?;
        if case.is_single() && is_extreme(case) {
            case.excuse("grad.");
            continue;
        }
        case.check_gradients("grad.", &dv.backward()?, gradient_tolerance(case), tensor)?;
    }
    Ok(())
}

/// The loss over given tuples.
pub fn sampled(case: &Case) -> anyhow::Result<()> {
    let recorded = Recorded::new(case, &["input.a", "input.v"])?;
    let labels = case.labels("input.label")?;
    let (head, features) = (recorded.head.as_ref(), &recorded.features);
    let rows = [case.whole("input.index_a")?, case.whole("input.index_v")?];
    let tuples = Tuples::from_rows(&rows, labels.len())?;
    let reference = Reference::of(tuples);
    let bound = Bound::new(head, features, &labels, reference)?.value()?;
    let constant = (labels.len() as f64).ln() + (labels.classes() as f64).ln();
    let loss = (bound.neg()? + constant)?;
    case.check("output.loss", &loss)?;
    let own = head.modality_logits(features)?;
    case.check("output.loss_a", &cross_entropy(&own[0], &labels)?)?;
    case.check("output.loss_v", &cross_entropy(&own[1], &labels)?)?;
    if case.is_single() && is_extreme(case) {
        case.excuse("grad.");
        return Ok(());
    }
    let tensor = |name: &str| recorded.tensor(name);
    case.check_gradients("grad.", &loss.backward()?, gradient_tolerance(case), tensor)
}

/// The exact loss of a sum of one to four linear layers.
pub fn many_modalities(case: &Case) -> anyhow::Result<()> {
    let modalities: usize = case.number("M")?;
    let labels = case.labels("input.label")?;
    let features = (0..modalities)
        .map(|m| case.variable(&format!("input.x{m}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let widths = features.iter().map(|x| x.dim(1)).collect::<candle_core::Result<Vec<_>>>()?;
    let builder = ParamBuilder::new(Seed::new(0), case.dtype, features[0].device());
    let head = SUM.build(&Table::new(), &widths, labels.classes(), &builder)?;
    let params = builder.params();
    // The files count layers from 0; the paper's code calls the first two x and y.
    let recorded_name =
        |own: &str| own.replace("fc_x", "fc_0").replace("fc_y", "fc_1").replace("fc_", "fc");
    let mut state = State::new();
    for (own, _) in params.trainable() {
        let recorded = case.tensor(&format!("weight.{}", recorded_name(own)))?;
        state.insert(own.to_owned(), recorded);
    }
    params.load(&state)?;
    let terms = head.modality_logits(&features)?;
    for (m, term) in terms.iter().enumerate() {
        case.check(&format!("output.z{m}"), term)?;
    }
    let bound = Bound::new(head.as_ref(), &features, &labels, Reference::all())?;
    let value = bound.value()?;
    check_forms(case, &value, &labels, &bound.variable_losses()?)?;
    let joint = labels.pick(&head.scores(&features)?)?.mean_all()?;
    let log_n = modalities as f64 * (labels.len() as f64).ln();
    let constant = log_n + (labels.classes() as f64).ln();
    case.check("output.logsumexp", &((joint - &value)? + constant)?)?;
    if case.is_single() && is_extreme(case) {
        case.excuse("grad.");
        return Ok(());
    }
    let tensor = |name: &str| match name.strip_prefix('x') {
        Some(m) => features.get(m.parse::<usize>().ok()?).cloned(),
        None => match name.strip_prefix('z') {
            Some(m) => terms.get(m.parse::<usize>().ok()?).cloned(),
            None => {
                let found = params.trainable().find(|(own, _)| recorded_name(own) == name);
                found.map(|(_, var)| var.as_tensor().clone())
            }
        },
    };
    // Gradients of the terms are asked for as if they were given.
    let given = terms.iter().map(candle_core::Var::from_tensor);
    let given = given.collect::<candle_core::Result<Vec<_>>>()?;
    let inputs: Vec<Tensor> = given.iter().map(|var| var.as_tensor().clone()).collect();
    let critic = TermsCritic::new(modalities, labels.classes());
    let of_terms =
        Bound::new(&critic, &inputs, &labels, Reference::all())?.value()?.neg()?.backward()?;
    case.check_gradients("grad.z", &of_terms, gradient_tolerance(case), |m| {
        inputs.get(m.parse::<usize>().ok()?).cloned()
    })?;
    let gradients = value.neg()?.backward()?;
    for prefix in ["grad.x", "grad.fc"] {
        let short = prefix.trim_start_matches("grad.");
        let tolerance = gradient_tolerance(case);
        case.check_gradients(prefix, &gradients, tolerance, |rest| {
            tensor(&format!("{short}{rest}"))
        })?;
    }
    Ok(())
}

/// The bound and the three constants its negative is written with.
fn check_forms(case: &Case, bound: &Tensor, labels: &Labels, own: &[f64]) -> anyhow::Result<()> {
    case.check("output.bound", bound)?;
    let dv = bound.neg()?;
    case.check("output.loss_dv", &dv)?;
    let log_n = (labels.len() as f64).ln();
    let raw = (dv + (own.len() as f64 * log_n + (labels.classes() as f64).ln()))?;
    case.check("output.loss_raw", &raw)?;
    case.check("output.loss_ref", &(raw - log_n)?)?;
    for (m, own) in own.iter().enumerate() {
        case.check_value(&format!("output.loss_m{m}"), *own)?;
    }
    Ok(())
}
