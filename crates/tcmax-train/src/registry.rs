//! What can be chosen by name: what is built in, and what a program adds.

use tcmax_datasets::{DataSpec, data};
use tcmax_encoders::{EncoderSpec, encoders};
use tcmax_estimators::{EstimatorSpec, estimators};
use tcmax_fusion::{HeadSpec, heads};
use tcmax_losses::MethodSpec;
use tcmax_losses::methods::methods;
use tcmax_ops::{OptimiserSpec, optimisers};
use tcmax_registry::Catalogue;

use crate::schedule::{ScheduleSpec, schedules};

/// Everything one chooses by name. It starts with what is built in:
///
/// ```
/// let registry = tcmax_train::Registry::default();
/// assert_eq!(registry.methods.get("tcmax")?.usual_head.name, "concat");
/// # Ok::<(), tcmax_registry::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    /// What there is to train by.
    pub methods: Catalogue<MethodSpec>,
    /// Classifiers on the features.
    pub heads: Catalogue<HeadSpec>,
    /// Networks from the inputs of a modality to its features.
    pub encoders: Catalogue<EncoderSpec>,
    /// What to train on.
    pub data: Catalogue<DataSpec>,
    /// What makes steps of gradients.
    pub optimisers: Catalogue<OptimiserSpec>,
    /// How the learning rate changes.
    pub schedules: Catalogue<ScheduleSpec>,
    /// What estimates the information that variables share.
    pub estimators: Catalogue<EstimatorSpec>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            methods: methods(),
            heads: heads(),
            encoders: encoders(),
            data: data(),
            optimisers: optimisers(),
            schedules: schedules(),
            estimators: estimators(),
        }
    }
}
