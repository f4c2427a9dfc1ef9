//! Cases of fusion heads, and of the losses on their logits.

use candle_core::Tensor;
use tcmax_fusion::{
    BI_GATED, CLIP, CONCAT, ClipOptions, FILM, FILM_REVERSED, FusionHead, GATED, GATED_REVERSED,
    HeadSpec, SHARED, SPECIFIC, SUM,
};
use tcmax_losses::{cross_entropy, unimodal};
use tcmax_ops::{ParamBuilder, Params, Seed, State};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};

/// A head with the weights of a case.
pub struct Recorded {
    pub head: Box<dyn FusionHead>,
    pub params: Params,
    pub features: Vec<Tensor>,
}

impl Recorded {
    /// The head that the header names, on the features `names`.
    pub fn new(case: &Case, names: &[&str]) -> anyhow::Result<Self> {
        let kind: &'static HeadSpec = match case.text("fusion")? {
            "CLIP" => &CLIP,
            "bigated" => &BI_GATED,
            "concat" => &CONCAT,
            "concat_msh" => &SPECIFIC,
            "film" => &FILM,
            "film_y" => &FILM_REVERSED,
            "gated" => &GATED,
            "gated_y" => &GATED_REVERSED,
            "share_head" => &SHARED,
            "sum" => &SUM,
            other => anyhow::bail!("no head is called '{other}'"),
        };
        let features = names.iter().map(|name| case.variable(name));
        Self::of_kind(case, kind, features.collect::<anyhow::Result<_>>()?)
    }

    /// A head of the given kind with the weights of the case.
    pub fn of_kind(
        case: &Case,
        kind: &'static HeadSpec,
        features: Vec<Tensor>,
    ) -> anyhow::Result<Self> {
        let widths = features.iter().map(|z| z.dim(1)).collect::<candle_core::Result<Vec<_>>>()?;
        let mut options = Table::new();
        if *kind == CLIP {
            let temperature = case.number("temp").unwrap_or(ClipOptions::default().temperature);
            options.insert("temperature".to_owned(), temperature.into());
        }
        let has_hidden = kind.options.documentation().iter().any(|option| option.name == "hidden");
        if let Some(hidden) = case.number::<u32>("H").ok().filter(|_| has_hidden) {
            options.insert("hidden".to_owned(), hidden.into());
        }
        let builder = ParamBuilder::new(Seed::new(0), case.dtype, features[0].device());
        let head = kind.build(&options, &widths, case.number("C")?, &builder)?;
        let params = builder.params();
        params.load(&weights(case)?)?;
        Ok(Self { head, params, features })
    }

    /// The tensor of a short name: a weight, or `a` and `v` for the features.
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        match name {
            "a" => self.features.first().cloned(),
            "v" => self.features.get(1).cloned(),
            _ => {
                let found = self.params.trainable().find(|(own, _)| *own == name);
                found.map(|(_, var)| var.as_tensor().clone())
            }
        }
    }
}

/// Everything under `weight.`.
fn weights(case: &Case) -> anyhow::Result<State> {
    let mut state = State::new();
    for name in case.names() {
        if let Some(weight) = name.strip_prefix("weight.") {
            state.insert(weight.to_owned(), case.tensor(name)?);
        }
    }
    Ok(state)
}

/// The tolerance of gradients: single precision loses some where logits are large.
pub fn gradient_tolerance(case: &Case) -> Tolerance {
    if case.is_single() && case.name.contains("large") {
        return Tolerance::new(1e-4);
    }
    case.usual()
}

/// Forward and backward of a head, fused and by modality.
pub fn fusion(case: &Case) -> anyhow::Result<()> {
    let recorded = Recorded::new(case, &["input.a", "input.v"])?;
    let own = recorded.head.modality_logits(&recorded.features)?;
    let outputs = [
        ("output.logits", recorded.head.logits(&recorded.features)?, "input.cotangent", "grad."),
        ("output.forward_a", own[0].clone(), "input.cotangent_a", "grad_a."),
        ("output.forward_v", own[1].clone(), "input.cotangent_v", "grad_v."),
    ];
    for (quantity, logits, cotangent, prefix) in outputs {
        case.check(quantity, &logits)?;
        let gradients = (logits * case.tensor(cotangent)?)?.sum_all()?.backward()?;
        case.check_gradients(prefix, &gradients, case.usual(), |name| recorded.tensor(name))?;
    }
    Ok(())
}

/// Cross-entropy of the fused logits and of each modality's own, of a head.
pub fn unimodal_loss(case: &Case) -> anyhow::Result<()> {
    let recorded = Recorded::new(case, &["input.a", "input.v"])?;
    let labels = case.labels("input.label")?;
    let own = recorded.head.modality_logits(&recorded.features)?;
    let joint = cross_entropy(&recorded.head.logits(&recorded.features)?, &labels)?;
    let loss = unimodal(&own, &labels)?;
    case.check("output.ce", &joint)?;
    case.check("output.loss", &loss)?;
    case.check("output.loss_a", &cross_entropy(&own[0], &labels)?)?;
    case.check("output.loss_v", &cross_entropy(&own[1], &labels)?)?;
    let tensor = |name: &str| recorded.tensor(name);
    case.check_gradients("grad.", &loss.backward()?, case.usual(), tensor)?;
    case.check_gradients("grad_ce.", &joint.backward()?, case.usual(), tensor)
}

/// The same losses of given logits.
pub fn given_logits(case: &Case) -> anyhow::Result<()> {
    let labels = case.labels("input.label")?;
    let logits = case.variable("input.logits")?;
    let own = [case.variable("input.logits_a")?, case.variable("input.logits_v")?];
    let (joint, loss) = (cross_entropy(&logits, &labels)?, unimodal(&own, &labels)?);
    case.check("output.ce", &joint)?;
    case.check("output.loss", &loss)?;
    case.check("output.loss_a", &cross_entropy(&own[0], &labels)?)?;
    case.check("output.loss_v", &cross_entropy(&own[1], &labels)?)?;
    let gradients = (joint + loss)?.backward()?;
    let tensor = |name: &str| case.variable(&format!("input.{name}")).ok();
    case.check_gradients("grad.", &gradients, case.usual(), tensor)
}
