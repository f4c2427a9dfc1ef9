//! What each regime shows in which modality.

use super::config::{Regime, RegimesConfig};

/// Classes: two bits.
pub(super) const CLASSES: usize = 4;
/// Entries of a latent vector.
pub(super) const LATENT: usize = 4;
/// Entries of what a random map shows.
const WIDTH: usize = 64;
/// Entries of the code.
const CODE_WIDTH: usize = 24;

/// One of a regime's modalities.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) shown: Shown,
    /// Entries of an input.
    pub(super) width: usize,
    /// Standard deviation of the noise on an input.
    pub(super) noise: f64,
}

/// What a modality shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shown {
    /// A latent vector through a random map.
    Latent(Latent),
    /// The class as a product of entries.
    Code,
}

/// The weights of a latent vector's parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latent {
    /// Which set of class means.
    pub(super) means: usize,
    /// The weight of the class mean.
    pub(super) signal: f64,
    /// The weight of what the modalities of an example share.
    pub(super) common: f64,
    /// The weight of the modality's own part.
    pub(super) own: f64,
}

/// The modalities of the regime.
pub(super) fn modalities(config: &RegimesConfig) -> Vec<Planned> {
    let usual = if config.regime == Regime::SharedNuisance { 0.3 } else { 0.5 };
    let noise = config.noise.unwrap_or(usual);
    let latent = |name: &str, means, signal, [common, own]: [f64; 2]| Planned {
        name: name.to_owned(),
        shown: Shown::Latent(Latent { means, signal, common, own }),
        width: WIDTH,
        noise,
    };
    let alone = [0.0, 1.0];
    match config.regime {
        Regime::Competition => vec![
            latent("easy", 0, 1.6, alone),
            Planned { name: "code".to_owned(), shown: Shown::Code, width: CODE_WIDTH, noise: 0.2 },
        ],
        Regime::SharedNuisance => {
            vec![latent("first", 0, 0.6, [1.5, 0.4]), latent("second", 1, 0.6, [1.5, 0.4])]
        }
        Regime::OneGoodFiveEmpty => {
            let empty = (1..=5).map(|n| latent(&format!("empty-{n}"), n, 0.1, alone));
            std::iter::once(latent("good", 0, 1.2, alone)).chain(empty).collect()
        }
        Regime::ThreeNoisy => {
            let names = ["first", "second", "third"];
            names.iter().enumerate().map(|(m, name)| latent(name, m, 0.8, alone)).collect()
        }
        Regime::FiveCopies => {
            let copies = (1..=5).map(|n| latent(&format!("copy-{n}"), 0, 0.9, [1.0, 0.3]));
            copies.chain([latent("independent", 1, 0.9, alone)]).collect()
        }
    }
}
