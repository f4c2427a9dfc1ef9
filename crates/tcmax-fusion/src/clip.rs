//! CLIP-style head: cosines between features and learned class vectors.
//!
//! ```text
//! g_m(z_m)[c] = cos(z_m, v_m^c) / tau,      f = sum_m g_m(z_m),      tau = 0.07
//! ```
//!
//! A feature of length zero has cosine 0 with every class (the paper's code gives NaN there).
//!
//! PyTorch names: `category_features_x`, `category_features_y`, then `category_features_2`, ...

use candle_core::{D, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{Init, ParamBuilder, sum_of};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::affine::layer_name;
use crate::{FusionHead, HeadSpec, Modalities, Result};

/// The specification of [`ClipHead`].
pub static CLIP: HeadSpec = HeadSpec {
    name: "clip",
    description: "cosines with learned class vectors, over a temperature",
    source: "",
    modalities: Modalities::Any,
    additive: true,
    options: Options::of::<ClipOptions>(),
    make: |options, widths, classes, builder| {
        let ClipOptions { temperature } = read(options)?;
        Ok(Box::new(ClipHead::new(widths, classes, temperature, builder)?))
    },
};

/// Options of the CLIP-style head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClipOptions {
    /// Temperature tau that cosines are divided by, above 0.
    pub temperature: f64,
}

impl Default for ClipOptions {
    fn default() -> Self {
        Self { temperature: 0.07 }
    }
}

impl OptionSet for ClipOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let positive = self.temperature.is_finite() && self.temperature > 0.0;
        require(positive, "temperature", "must be a positive number")
    }
}

/// Added to the squared length: keeps zero vectors finite, and is lost in rounding beside any other.
const TINY: f64 = 1e-24;

/// The CLIP-style head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::ClipHead;
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let head = ClipHead::new(&[3], 2, 0.07, &builder)?;
/// // Only directions matter.
/// let z = Tensor::new(&[[1f64, 2.0, 3.0]], &Device::Cpu)?;
/// let (near, far) = (head.scores(&[z.clone()])?, head.scores(&[(z * 100.0)?])?);
/// assert!((near - far)?.abs()?.max_all()?.to_scalar::<f64>()? < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClipHead {
    widths: Vec<usize>,
    /// Class vectors of each modality, (C, D_m).
    vectors: Vec<Tensor>,
    temperature: f64,
}

impl ClipHead {
    /// A new head with class vectors drawn uniformly over directions.
    ///
    /// # Errors
    /// When the temperature is not a positive number, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        classes: usize,
        temperature: f64,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        ClipOptions { temperature }.check()?;
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let vectors = widths.iter().enumerate().map(|(m, &width)| {
            builder.param(&layer_name("category_features", m), (classes, width), unit)
        });
        let vectors = vectors.collect::<tcmax_ops::Result<_>>()?;
        Ok(Self { widths: widths.to_vec(), vectors, temperature })
    }
}

/// Rows of length one.
pub fn normalised(rows: &Tensor) -> candle_core::Result<Tensor> {
    let length = (rows.sqr()?.sum_keepdim(D::Minus1)? + TINY)?.sqrt()?;
    rows.broadcast_div(&length)
}

impl Critic for ClipHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.vectors.first().and_then(|first| first.dims().first().copied()).unwrap_or(0)
    }

    /// g_m(z_m), each (N, C).
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        let cosines = |(z, vectors): (&Tensor, &Tensor)| {
            Ok((normalised(z)?.matmul(&normalised(vectors)?.t()?)? / self.temperature)?)
        };
        z.iter().zip(&self.vectors).map(cosines).collect()
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok(sum_of(parts)?)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.vectors.clone()
    }
}

impl FusionHead for ClipHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let mut terms = Vec::with_capacity(z.len());
        for (m, z) in z.iter().enumerate() {
            // The vectors stay as they are: what is done to them is done here once.
            let name = layer_name("category_features", m);
            let vectors = normalised(&graph.tensor(&name)?)?.t()?;
            let vectors = graph.add_weight(&format!("{name}.normalised"), &vectors)?;
            let z = graph.normalised(z, TINY as f32);
            terms.push(graph.matmul(&z, &vectors));
        }
        let sum = graph.sum(&terms);
        let temperature = graph.number(self.temperature as f32);
        Ok(graph.div(&sum, &temperature))
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.parts(z)
    }

    fn all_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<(Tensor, Vec<Tensor>)> {
        let own = self.parts(z)?;
        Ok((self.combine(&own)?, own))
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(Some(self.vectors.clone()))
    }
}
