//! How a model predicts, as far as a graph of it has to know.

use candle_core::{DType, Tensor};
use serde::Serialize;
use tcmax_ops::{Init, Seed};

use crate::checkpoint::SavedModel;
use crate::{Result, Task};

/// What the predictions are made of: softmax of it for classes, sigmoids for labels, itself for numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    /// The head's logits.
    Logits,
    /// The head's scores as a critic.
    Scores,
    /// Something that the method makes of them.
    Own,
}

/// Examples of random features.
const EXAMPLES: usize = 16;

impl Rule {
    /// The rule of a model's method, found by comparing predictions of random features: methods of others
    /// need not say it, and cannot say it wrong.
    pub(super) fn of(saved: &SavedModel) -> Result<Self> {
        let (head, device) = (saved.model.head(), saved.model.device());
        let method = saved.model.method(&saved.config, 0)?;
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let features = head.widths().iter().enumerate().map(|(m, &width)| {
            let seed = Seed::new(0).stream("rule").index(m as u64);
            unit.tensor(&(EXAMPLES, width).into(), seed, DType::F32, device)
        });
        let features = features.collect::<tcmax_ops::Result<Vec<Tensor>>>()?;
        let values = |tensor: &Tensor| tensor.detach().to_vec2::<f32>();
        let predicted = match saved.card.task {
            Task::Regression => method.predict_numbers(head, &features)?,
            Task::Classes | Task::Labels => method.predict(head, &features)?,
        };
        let predicted = values(&predicted)?;
        // The same operations give the same bits.
        Ok(if predicted == values(&head.logits(&features)?)? {
            Self::Logits
        } else if predicted == values(&head.scores(&features)?)? {
            Self::Scores
        } else {
            Self::Own
        })
    }
}
