//! Gating: a sigmoid of one modality lets features of the other through.
//!
//! ```text
//! h_m = W_m z_m + b_m,      f = V (sigmoid(h_1) * h_2) + d
//! ```
//!
//! with z_1 the modality that gates. Two modalities, not additive. Logits of one modality alone are
//! those beside zeros.
//!
//! Source: Kiela, Grave, Joulin, Mikolov, "Efficient Large-Scale Multi-Modal Classification"
//! (AAAI 2018), section "gated". PyTorch names: `fc_x.*`, `fc_y.*`, `fc_out.*`.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{Linear, ParamBuilder};
use tcmax_registry::{OptionSet, Options, Table, read, require};

use crate::affine::beside_zeros;
use crate::head::{Conditioning, two_widths};
use crate::{FusionHead, HeadSpec, Modalities, Result};

/// The specification of [`GatedHead`] in which the first modality gates the second.
pub static GATED: HeadSpec = HeadSpec {
    name: "gated",
    description: "a sigmoid of the first modality gates the second",
    source: "Kiela et al., AAAI 2018",
    modalities: Modalities::Two,
    additive: false,
    options: Options::of::<GatedOptions>(),
    make: |options, widths, classes, builder| {
        gated(Conditioning::ByFirst, options, widths, classes, builder)
    },
};

/// The specification of [`GatedHead`] in which the second modality gates the first.
pub static GATED_REVERSED: HeadSpec = HeadSpec {
    name: "gated-reversed",
    description: "a sigmoid of the second modality gates the first",
    source: "Kiela et al., AAAI 2018",
    modalities: Modalities::Two,
    additive: false,
    options: Options::of::<GatedOptions>(),
    make: |options, widths, classes, builder| {
        gated(Conditioning::BySecond, options, widths, classes, builder)
    },
};

fn gated(
    conditioning: Conditioning,
    options: &Table,
    widths: &[usize],
    classes: usize,
    builder: &ParamBuilder,
) -> Result<Box<dyn FusionHead>> {
    let hidden = read::<GatedOptions>(options)?.units(widths);
    Ok(Box::new(GatedHead::new(widths, hidden, classes, conditioning, builder)?))
}

/// Options of the gated heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GatedOptions {
    /// Hidden units to gate, 1 to 16384; the width of the widest modality if not given.
    pub hidden: Option<usize>,
}

/// Most hidden units.
const MOST_UNITS: usize = 16_384;

impl OptionSet for GatedOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.hidden.is_none_or(|hidden| (1..=MOST_UNITS).contains(&hidden));
        require(fits, "hidden", &format!("must be 1 to {MOST_UNITS}"))
    }
}

impl GatedOptions {
    /// The hidden units for features of these widths.
    pub(crate) fn units(self, widths: &[usize]) -> usize {
        self.hidden.unwrap_or_else(|| widths.iter().copied().max().unwrap_or(0))
    }
}

/// The gated head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::{Conditioning, GatedHead};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let head = GatedHead::new(&[3, 5], 16, 2, Conditioning::ByFirst, &builder)?;
/// let a = Tensor::ones((8, 3), DType::F64, &Device::Cpu)?;
/// let v = Tensor::ones((8, 5), DType::F64, &Device::Cpu)?;
/// assert_eq!(head.scores(&[a, v])?.dims(), [8, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GatedHead {
    widths: [usize; 2],
    conditioning: Conditioning,
    layers: [Linear; 2],
    out: Linear,
}

/// Names of the three layers.
const NAMES: [&str; 3] = ["fc_x", "fc_y", "fc_out"];

impl GatedHead {
    /// A new head for features of two widths, with `hidden` units to gate.
    ///
    /// # Errors
    /// When there are not two modalities, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: usize,
        classes: usize,
        conditioning: Conditioning,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let widths = two_widths(widths, "gated")?;
        Self::named(widths, [hidden, classes], conditioning, NAMES, builder)
    }

    pub(crate) fn named(
        widths: [usize; 2],
        [hidden, classes]: [usize; 2],
        conditioning: Conditioning,
        [x, y, out]: [&str; 3],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let layers = [
            Linear::new(widths[0], hidden, &builder.pp(x))?,
            Linear::new(widths[1], hidden, &builder.pp(y))?,
        ];
        let out = Linear::new(hidden, classes, &builder.pp(out))?;
        Ok(Self { widths, conditioning, layers, out })
    }

    /// The ONNX graph of a head whose layers have these names.
    pub(crate) fn named_to_onnx(
        &self,
        graph: &mut Graph,
        z: &[Value],
        [x, y, out]: [&str; 3],
    ) -> tcmax_onnx::Result<Value> {
        let parts = [graph.linear(x, &z[0])?, graph.linear(y, &z[1])?];
        let [gate, gated] = self.conditioning.order(parts);
        let gate = graph.sigmoid(&gate);
        let gated = graph.mul(&gate, &gated);
        graph.linear(out, &gated)
    }
}

impl Critic for GatedHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.out.outputs()
    }

    /// h_m = W_m z_m + b_m of both modalities.
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        Ok(vec![self.layers[0].forward(&z[0])?, self.layers[1].forward(&z[1])?])
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        let [gate, gated] = self.conditioning.order([&parts[0], &parts[1]]);
        Ok(self.out.forward(&(candle_nn::ops::sigmoid(gate)? * gated)?)?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().chain([&self.out]).flat_map(Linear::parameters).collect()
    }
}

impl FusionHead for GatedHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        self.named_to_onnx(graph, z, NAMES)
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        (0..2).map(|m| self.scores(&beside_zeros(z, m)?)).collect()
    }
}
