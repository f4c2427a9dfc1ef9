//! Cases of the causal text transformer: CLIP's text tower as first published.

use tcmax_encoders::{CAUSAL_TEXT, CausalOptions, CausalText, Encoder};

use super::case::Case;
use super::network::{Network, builder, config, inner, names_of};
use super::transformers::{check_loss, gradients, outputs};

/// The features of texts of several lengths, and every gradient.
pub fn causal_text(case: &Case) -> anyhow::Result<()> {
    let options: CausalOptions = serde_json::from_value(config(case)?)?;
    let builder = builder(case);
    let encoder = CausalText::new(&options, &builder)?;
    let network = Network::load(case, &builder, names_of(&CAUSAL_TEXT)?)?;
    let features = encoder.encode(&case.tensor("input.input_ids")?, true)?;
    case.check_within("output.features", &features, outputs(case))?;
    let loss = inner(&features, &case.tensor("input.cotangent")?)?;
    check_loss(case, &loss)?;
    network.check_gradients(case, "grad.", &loss, gradients(case))
}
