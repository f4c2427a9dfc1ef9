//! What features share with the class and with each other.

use serde::{Deserialize, Serialize};

/// Lower bounds on the information in the features z_m of one moment, nats, each cut off at 0. They are of examples that
/// have every modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureInformation {
    /// Training examples that critics were fitted to.
    pub train_examples: usize,
    /// Examples that bounds were measured on: of the validation split after an epoch, of the test split for the kept
    /// weights.
    pub held_out_examples: usize,
    /// H(y) of these examples, which no I(y; ...) exceeds.
    pub label_entropy: f64,
    /// I(y; z_m) of each modality; `None` for those that the model does not use.
    pub label: Vec<Option<InformationBound>>,
    /// I(y; z_1, ..., z_M).
    pub joint_label: InformationBound,
    /// Pairs of the modalities that the model uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairInformation>,
    /// I(z_1; ...; z_M), what the modalities share; `None` for a model of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<InformationBound>,
    /// TC(z_1, ..., z_M, y) by the chain rule: the larger of I(z_1; ...; z_M) + I(y; z_1, ..., z_M) and the sum of the
    /// I(y; z_m) and what two modalities share beyond the class.
    pub total_correlation: InformationBound,
    /// The bound that the model's own head gives on the same split, not cut off.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::any_number::option")]
    pub head_bound: Option<f64>,
    /// Whether the head is a sum of terms of one modality each. The bound of such a head never sees which features came
    /// with which: what it bounds is the sum of the I(y; z_m), and TC(z, y) can only be larger. That of any other head
    /// is on TC(z, y).
    pub head_is_additive: bool,
}

/// A lower bound, nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InformationBound {
    /// On examples that the network has not been trained on.
    pub held_out: f64,
    /// On examples that it has been trained on, and the critic has not. Far above the other, the features memorise.
    /// `None` where there are too few for two halves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<f64>,
}

/// Lower bounds of two modalities, nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairInformation {
    /// Which, among those of the data set.
    pub modalities: [usize; 2],
    /// I(z_a; z_b).
    pub shared: InformationBound,
    /// I(z_a; z_b | y): what they share beyond the class.
    pub given_label: InformationBound,
}
