//! What a step of several ranks takes: a model of communication.
//!
//! Every rank computes its share and then exchanges; nothing overlaps. A message costs a latency, and its bytes at the
//! rate of the link:
//!
//! ```text
//! gather of n bytes from each of R     2 a log2 R + n (R - 1) / b
//! sum of n bytes over R                a (R - 1 + 5 log2 R) + 2 n (R - 1) / (R b)
//! ```
//!
//! with latency a and rate b: an announcement of lengths goes before the bytes, a sum goes to each rank in a message of
//! its own and is gathered. Additions are not counted.

/// What carries messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) name: &'static str,
    /// Seconds of a message without bytes.
    pub(super) latency: f64,
    /// Bytes a second.
    pub(super) rate: f64,
}

impl Link {
    /// Seconds of a gather of `bytes` of each of `ranks`.
    pub(super) fn gather(&self, bytes: f64, ranks: f64) -> f64 {
        2.0 * self.latency * ranks.log2() + bytes * (ranks - 1.0) / self.rate
    }

    /// Seconds of a sum of `bytes` over `ranks`.
    pub(super) fn sum(&self, bytes: f64, ranks: f64) -> f64 {
        if ranks == 1.0 {
            return 0.0;
        }
        self.latency * (ranks - 1.0 + 5.0 * ranks.log2())
            + 2.0 * bytes * (ranks - 1.0) / (ranks * self.rate)
    }
}

/// A model of several encoders, trained by TCMax with an additive head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) name: &'static str,
    /// Trainable numbers, all encoders together.
    pub(super) parameters: f64,
    /// Channels of each batch normalisation, all encoders together, and how many there are.
    pub(super) norms: (f64, f64),
    pub(super) modalities: f64,
    pub(super) classes: f64,
    /// Columns of all features.
    pub(super) features: f64,
}

/// Bytes of the numbers that are exchanged: f32 of gradients and losses, f64 of statistics.
const SINGLE: f64 = 4.0;
const DOUBLE: f64 = 8.0;

impl Network {
    /// Bytes that each rank gives in a step: gradients, batch statistics and their gradients, the loss.
    pub(super) fn bytes(&self) -> [f64; 3] {
        let (channels, layers) = self.norms;
        let statistics = DOUBLE * (2.0 * channels + layers) + DOUBLE * 2.0 * channels;
        [SINGLE * self.parameters, statistics, self.loss_bytes()]
    }

    /// Bytes of TCMax's loss that each rank gives: a maximum and a sum of each modality and class.
    pub(super) fn loss_bytes(&self) -> f64 {
        SINGLE * 2.0 * self.modalities * self.classes
    }

    /// Seconds of the exchanges of one step: gradients, batch statistics, the loss, and what is agreed on.
    pub(super) fn exchanges(&self, link: &Link, ranks: f64) -> [f64; 4] {
        if ranks == 1.0 {
            return [0.0; 4];
        }
        let (channels, layers) = self.norms;
        let layer = channels / layers.max(1.0);
        let norm = link.gather(DOUBLE * (2.0 * layer + 1.0), ranks)
            + link.sum(DOUBLE * 2.0 * layer, ranks);
        [
            link.sum(SINGLE * self.parameters, ranks),
            layers * norm,
            link.gather(self.loss_bytes(), ranks),
            3.0 * link.gather(DOUBLE, ranks),
        ]
    }

    /// Seconds that a loss of pairs takes to gather the features of `examples` examples of all ranks.
    pub(super) fn feature_gather(&self, link: &Link, ranks: f64, examples: f64) -> f64 {
        link.gather(SINGLE * self.features * examples / ranks, ranks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { name: "test", latency: 1.0, rate: 10.0 };

    #[test]
    fn one_rank_exchanges_nothing_and_two_exchange_once() {
        assert_eq!((LINK.gather(100.0, 1.0), LINK.sum(100.0, 1.0)), (0.0, 0.0));
        assert_eq!(LINK.gather(100.0, 2.0), 2.0 + 10.0);
        assert_eq!(LINK.sum(100.0, 2.0), 6.0 + 10.0);
    }

    #[test]
    fn the_loss_is_two_numbers_of_each_modality_and_class() {
        let network = Network {
            name: "test",
            parameters: 1000.0,
            norms: (20.0, 2.0),
            modalities: 2.0,
            classes: 10.0,
            features: 64.0,
        };
        assert_eq!(network.bytes(), [4000.0, 8.0 * 42.0 + 8.0 * 40.0, 160.0]);
        // Features of a whole batch grow with it, and the loss does not.
        let gathered = |examples| network.feature_gather(&LINK, 4.0, examples);
        assert!(gathered(65_536.0) > 200.0 * gathered(256.0));
    }
}
