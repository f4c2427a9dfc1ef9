//! What can be chosen by name: the built-in methods, heads, encoders, optimisers and schedules, and those that a
//! program adds.

use tcmax_encoders::{EncoderSpec, encoders};
use tcmax_fusion::{HeadSpec, heads};
use tcmax_losses::MethodSpec;
use tcmax_losses::methods::methods;
use tcmax_ops::{OptimiserSpec, optimisers};
use tcmax_registry::Catalogue;

use crate::schedule::{ScheduleSpec, schedules};

/// Methods, fusion heads, encoders, optimisers and schedules by name. It starts with the built-in ones:
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
    /// What updates the parameters.
    pub optimisers: Catalogue<OptimiserSpec>,
    /// What the learning rate is at each step.
    pub schedules: Catalogue<ScheduleSpec>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            methods: methods(),
            heads: heads(),
            encoders: encoders(),
            optimisers: optimisers(),
            schedules: schedules(),
        }
    }
}
