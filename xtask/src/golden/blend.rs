//! Cases of the blend of TCMax and cross-entropy, and of its form within classes.

use candle_core::{Device, Tensor, Var};
use tcmax_estimators::bound::WithinClasses;
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::{Bound, Critic, Labels, Reference, Tuples};
use tcmax_fusion::{CONCAT, FILM, HeadSpec};
use tcmax_losses::cross_entropy;
use tcmax_ops::{Seed, to_scalar_f64};

use super::case::{Case, Tolerance};
use super::heads::Recorded;

/// Tuples at a time: fewer than any case has, so that chunks are joined.
const CHUNK: usize = 7;

/// More tuples than any case has.
const ALL: usize = 1 << 20;

/// Two layers on all features side by side.
struct Perceptron {
    widths: Vec<usize>,
    layers: [[Tensor; 2]; 2],
}

impl Critic for Perceptron {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.layers[1][1].elem_count()
    }

    fn parts(&self, x: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        Ok(x.to_vec())
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        let [[w1, b1], [w2, b2]] = &self.layers;
        let hidden = Tensor::cat(parts, 1)?.matmul(&w1.t()?)?.broadcast_add(b1)?.relu()?;
        Ok(hidden.matmul(&w2.t()?)?.broadcast_add(b2)?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().flatten().cloned().collect()
    }
}

/// A critic with recorded weights, its features, and every tensor that gradients are recorded of.
struct Given {
    critic: Box<dyn Critic>,
    features: Vec<Tensor>,
    named: Vec<(String, Tensor)>,
}

impl Given {
    fn new(case: &Case) -> anyhow::Result<Self> {
        let names: Vec<String> =
            (0..case.number("M")?).map(|m: usize| format!("input.z{m}")).collect();
        let features = names.iter().map(|name| case.variable(name));
        let features = features.collect::<anyhow::Result<Vec<_>>>()?;
        let mut named: Vec<(String, Tensor)> =
            features.iter().enumerate().map(|(m, z)| (format!("z{m}"), z.clone())).collect();
        let critic: Box<dyn Critic> = match case.text("fusion")? {
            "mlp" => {
                let layer = |name: &str| -> anyhow::Result<[Tensor; 2]> {
                    let part = |part: &str| case.variable(&format!("weight.{name}.{part}"));
                    Ok([part("weight")?, part("bias")?])
                };
                let layers = [layer("fc1")?, layer("fc_out")?];
                for (name, layer) in ["fc1", "fc_out"].iter().zip(&layers) {
                    for (part, tensor) in ["weight", "bias"].iter().zip(layer) {
                        named.push((format!("weight.{name}.{part}"), tensor.clone()));
                    }
                }
                let widths = features.iter().map(|z| z.dim(1));
                let widths = widths.collect::<candle_core::Result<_>>()?;
                Box::new(Perceptron { widths, layers })
            }
            fusion => {
                let kind: &'static HeadSpec = if fusion == "film" { &FILM } else { &CONCAT };
                let recorded = Recorded::of_kind(case, kind, features.clone())?;
                for (name, var) in recorded.params.trainable() {
                    named.push((format!("weight.{name}"), var.as_tensor().clone()));
                }
                Box::new(HeadCritic(recorded.head))
            }
        };
        Ok(Self { critic, features, named })
    }

    fn find(&self, name: &str) -> Option<Tensor> {
        self.named.iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor.clone())
    }
}

/// A head as nothing but a critic.
struct HeadCritic(Box<dyn tcmax_fusion::FusionHead>);

impl Critic for HeadCritic {
    fn widths(&self) -> &[usize] {
        self.0.widths()
    }

    fn outcomes(&self) -> usize {
        self.0.outcomes()
    }

    fn parts(&self, x: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.0.parts(x)
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        self.0.combine(parts)
    }

    fn is_additive(&self) -> bool {
        self.0.is_additive()
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.0.parameters()
    }
}

/// Single precision loses some where logits are large.
fn tolerance(case: &Case) -> Tolerance {
    match case.is_single() {
        true if case.text("logit_scale").is_ok_and(|scale| scale != "1") => Tolerance::new(1e-4),
        _ => case.usual(),
    }
}

/// The blend of any critic, over chunks of tuples, and over the factors where it is additive.
pub fn blend(case: &Case) -> anyhow::Result<()> {
    let given = Given::new(case)?;
    let (critic, features) = (given.critic.as_ref(), &given.features);
    let labels = case.labels("input.label")?;
    let weight: f64 = case.number("lambda")?;
    let log_classes = (labels.classes() as f64).ln();
    let scores = critic.scores(features)?;
    let ce = cross_entropy(&scores, &labels)?;
    case.check("output.logits", &scores)?;
    case.check("output.ce", &ce)?;
    for reference in [Reference::all(), Reference::all().in_chunks_of(CHUNK)] {
        let bound = Bound::new(critic, features, &labels, reference)?;
        // Ours is shifted, so that it is minus a bound at weight 1.
        let loss = (bound.blended(weight)?.neg()? + weight * log_classes)?;
        case.check_within("output.loss", &loss, tolerance(case))?;
        let whole = (bound.value()?.neg()? + log_classes)?;
        case.check_within("output.R", &(&whole - &ce)?, tolerance(case))?;
        if case.has("output.tcmax_raw") {
            let log_rows = features.len() as f64 * (labels.len() as f64).ln();
            case.check_within("output.tcmax_raw", &(whole + log_rows)?, tolerance(case))?;
        }
        let gradients = loss.backward()?;
        for quantity in case.names() {
            let Some(name) = quantity.strip_prefix("grad.") else { continue };
            if name.starts_with('o') {
                continue;
            }
            let tensor = given.find(name).ok_or_else(|| anyhow::anyhow!("no {name}"))?;
            // Parameters that cancel have no gradient, such as a bias without cross-entropy.
            let gradient = gradients.get(&tensor).cloned();
            let gradient = gradient.map_or_else(|| tensor.zeros_like(), Ok)?;
            case.check_within(quantity, &gradient, tolerance(case))?;
        }
    }
    if case.has("output.o0") {
        terms(case, critic, &given.features, &labels, weight)?;
    }
    Ok(())
}

/// The same of the modalities' terms.
fn terms(
    case: &Case,
    critic: &dyn Critic,
    features: &[Tensor],
    labels: &Labels,
    weight: f64,
) -> anyhow::Result<()> {
    let terms = critic.parts(features)?;
    for (m, term) in terms.iter().enumerate() {
        case.check(&format!("output.o{m}"), term)?;
    }
    let leaves = terms.iter().map(|term| Var::from_tensor(&term.detach()));
    let leaves = leaves.collect::<candle_core::Result<Vec<_>>>()?;
    let leaves: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
    let critic = TermsCritic::new(leaves.len(), labels.classes());
    let bound = Bound::new(&critic, &leaves, labels, Reference::all())?;
    let gradients = bound.blended(weight)?.neg()?.backward()?;
    case.check_gradients("grad.o", &gradients, tolerance(case), |m| {
        leaves.get(m.parse::<usize>().ok()?).cloned()
    })
}

/// The form within classes, at weight 1.
pub fn within_classes(case: &Case) -> anyhow::Result<()> {
    let given = Given::new(case)?;
    let (critic, features) = (given.critic.as_ref(), &given.features);
    let labels = case.labels("input.label")?;
    case.check("output.logits", &critic.scores(features)?)?;
    let bound = Bound::new(critic, features, &labels, Reference::all())?;
    let which = WithinClasses { most: ALL, seed: Seed::new(0) };
    let loss_dv = bound.blended_within_classes(1.0, which)?.neg()?;
    let loss = (&loss_dv + (labels.classes() as f64).ln())?;
    let log_rows = features.len() as f64 * (labels.len() as f64).ln();
    case.check_within("output.loss_dv", &loss_dv, tolerance(case))?;
    case.check_within("output.loss", &loss, tolerance(case))?;
    case.check_within("output.loss_raw", &(&loss + log_rows)?, tolerance(case))?;
    let uniform =
        to_scalar_f64(&loss)? + weighted_mean(case, &given, which)? - uniform_mean(case, &given)?;
    let uniform = Tensor::new(uniform, &Device::Cpu)?;
    case.check_within("output.loss_uniform", &uniform, tolerance(case))?;
    case.check_gradients("grad.", &loss.backward()?, tolerance(case), |name| given.find(name))
}

/// The mean score of the labels within classes, as the loss has it: from the difference to the joint examples.
fn weighted_mean(case: &Case, given: &Given, which: WithinClasses) -> anyhow::Result<f64> {
    let labels = case.labels("input.label")?;
    let (critic, features) = (given.critic.as_ref(), &given.features);
    let bound = Bound::new(critic, features, &labels, Reference::all())?;
    let within = to_scalar_f64(&bound.blended_within_classes(1.0, which)?)?;
    let joint = to_scalar_f64(&labels.mean(&labels.expected(&critic.scores(features)?)?)?)?;
    Ok(within - to_scalar_f64(&bound.value()?)? + joint)
}

/// The same with one weight for every tuple.
fn uniform_mean(case: &Case, given: &Given) -> anyhow::Result<f64> {
    let truth = case.whole("input.label")?;
    let all = Tuples::all(truth.len(), given.features.len())?;
    let parts = given.critic.parts(&given.features)?;
    let scores = given.critic.combine(&all.gather(&parts)?)?.to_dtype(candle_core::DType::F64)?;
    let scores = scores.to_vec2::<f64>()?;
    let (mut sum, mut count) = (0.0, 0.0);
    for (tuple, scores) in all.iter().zip(scores) {
        let class = truth[tuple[0] as usize];
        if tuple.iter().all(|&row| truth[row as usize] == class) {
            sum += scores[class as usize];
            count += 1.0;
        }
    }
    Ok(sum / count)
}
