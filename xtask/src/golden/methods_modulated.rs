//! Cases of methods that change what encoders get.

use candle_core::Tensor;
use tcmax_fusion::CONCAT;
use tcmax_losses::Clock;
use tcmax_losses::methods::DGL;
use tcmax_losses::methods::padded::padded_logits;

use super::case::Case;
use super::stepped::{Form, Given, Stepped};

/// Where a single recorded step stands.
const START: Clock = Clock { epoch: 0, epochs: 1, batch: 0, batches: 1 };

/// Inputs `input.x0` and on.
fn inputs(case: &Case) -> anyhow::Result<Vec<Tensor>> {
    (0..case.number("M")?).map(|m: usize| case.tensor(&format!("input.x{m}"))).collect()
}

/// Feature widths, from the metadata's list.
fn widths(case: &Case) -> anyhow::Result<Vec<usize>> {
    Ok(serde_json::from_str(case.text("D")?)?)
}

/// DGL's two passes, before and after clipping.
pub fn dgl(case: &Case) -> anyhow::Result<()> {
    let alpha: f64 = case.number("alpha")?;
    let form = Form {
        method: &DGL,
        options: toml::toml! { alpha = alpha },
        head: &CONCAT,
        recorded: str::to_owned,
        rate: 0.0,
        epochs: 1,
        examples: 1,
    };
    let mut model = Stepped::new(case, form, &widths(case)?)?;
    let features = model.features(&inputs(case)?)?;
    let labels = case.labels("input.label")?;
    let (features, labels) = (&features[..], &labels);
    let given = Given { features, labels, clock: START, rows: &[], only: &[], taught: None };
    let output = model.step(given)?;
    case.check_value("output.loss", output.loss.value()?)?;
    case.check_value("output.loss_uni", output.metrics[0].1)?;
    case.check_value("output.loss_fused", output.metrics[1].1)?;
    for (m, u) in padded_logits(model.head.as_ref(), features)?.iter().enumerate() {
        case.check(&format!("output.u{m}"), u)?;
    }
    let handed = &model.handed[0];
    handed.check(case, "grad_preclip.", &handed.raw)?;
    handed.check(case, "grad.", &handed.clipped)?;
    let (norm, clip): (f64, f64) = (handed.norm.unwrap_or(f64::NAN), case.number("clip")?);
    case.check_value("output.norm", norm)?;
    case.check_value("output.clip_coeff", (clip / (norm + 1e-6)).min(1.0))
}
