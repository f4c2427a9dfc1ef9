//! With the true log-density ratio for a critic, averaging a modality out gives the true posterior.

use candle_core::{DType, Device, Tensor};
use tcmax_fusion::{FusionHead, SUM};
use tcmax_losses::{Marginals, Presence, matching_score};
use tcmax_ops::{ParamBuilder, Seed, State};
use tcmax_registry::Table;

use crate::wrapped::Wrapped;

/// y fair in 0..2; x_1 shows it with probability 0.9, x_2 with 0.7; both are one-hot vectors.
const SHOWS: [f64; 2] = [0.9, 0.7];

/// The sum head f = sum_m log p(x_m | y) - log p(x_m), with p(x_m) = 1/2.
fn true_ratio() -> Box<dyn FusionHead> {
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let head = SUM.build(&Table::new(), &[2, 2], 2, &builder).unwrap();
    let mut state = State::new();
    for (name, p) in ["fc_x", "fc_y"].iter().zip(SHOWS) {
        let weight = [[p, 1.0 - p], [1.0 - p, p]].map(|row| row.map(|q| (q / 0.5).ln()));
        state.insert(format!("{name}.weight"), Tensor::new(&weight, &Device::Cpu).unwrap());
        state.insert(format!("{name}.bias"), Tensor::zeros(2, DType::F64, &Device::Cpu).unwrap());
    }
    builder.params().load(&state).unwrap();
    head
}

/// Both states of a modality, equally often.
fn both() -> Tensor {
    Tensor::new(&[[1f64, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap()
}

fn posterior(scores: &Tensor) -> Vec<Vec<f64>> {
    candle_nn::ops::softmax(scores, 1).unwrap().to_vec2().unwrap()
}

fn marginals_of(head: &dyn FusionHead, features: &[Tensor]) -> Marginals {
    let present = Presence::complete(2, features[0].dim(0).unwrap());
    Marginals::new(head, features, &present, Seed::new(0)).unwrap()
}

/// What absent modalities are averaged out with are then examples.
impl FusionHead for Wrapped<Box<dyn FusionHead>> {
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.0.modality_logits(features)
    }
}

fn heads() -> [Box<dyn FusionHead>; 2] {
    [true_ratio(), Box::new(Wrapped(true_ratio()))]
}

#[test]
fn averaging_a_modality_out_leaves_the_posterior_of_the_other() {
    for head in heads() {
        let head = head.as_ref();
        let marginals = marginals_of(head, &[both(), both()]);
        let complete = Presence::complete(2, 2);
        for (m, p) in SHOWS.into_iter().enumerate() {
            let scores =
                marginals.scores(head, &[both(), both()], &complete.without(1 - m)).unwrap();
            for (row, wanted) in posterior(&scores).iter().zip([[p, 1.0 - p], [1.0 - p, p]]) {
                for (got, wanted) in row.iter().zip(wanted) {
                    assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
                }
            }
        }
        // Nothing is there: the prior.
        let nothing = complete.without(0).without(1);
        let scores = marginals.scores(head, &[both(), both()], &nothing).unwrap();
        assert!(posterior(&scores).iter().flatten().all(|p| (p - 0.5).abs() < 1e-12));
    }
}

#[test]
fn every_example_is_predicted_from_what_it_has() {
    let present = Presence::new(vec![vec![true, true], vec![true, false]]).unwrap();
    for head in heads() {
        let head = head.as_ref();
        let marginals = marginals_of(head, &[both(), both()]);
        let whole = head.scores(&[both(), both()]).unwrap().to_vec2::<f64>().unwrap();
        // Whatever is where nothing is present does not matter.
        let nonsense = Tensor::new(&[[1f64, 0.0], [7e7, -3.0]], &Device::Cpu).unwrap();
        let scores = marginals.scores(head, &[both(), nonsense], &present).unwrap();
        let got = scores.to_vec2::<f64>().unwrap();
        assert_eq!(got[0], whole[0]);
        let alone = posterior(&scores)[1][1];
        assert!((alone - SHOWS[0]).abs() < 1e-12, "{alone}");
    }
}

#[test]
fn absent_training_examples_are_no_part_of_the_average() {
    // Of four training examples the last two lack the second modality; zeros are no draw of it.
    let zeros = Tensor::zeros((2, 2), DType::F64, &Device::Cpu).unwrap();
    let first = Tensor::cat(&[both(), both()], 0).unwrap();
    let second = Tensor::cat(&[both(), zeros], 0).unwrap();
    let flags = vec![vec![true; 4], vec![true, true, false, false]];
    let present = Presence::new(flags).unwrap();
    for head in heads() {
        let head = head.as_ref();
        let own = |marginals: &Marginals| {
            let present = Presence::complete(2, 2).without(1);
            let scores = marginals.scores(head, &[both(), both()], &present).unwrap();
            scores.to_vec2::<f64>().unwrap()
        };
        let features = [first.clone(), second.clone()];
        let with_gaps = Marginals::new(head, &features, &present, Seed::new(0)).unwrap();
        let whole = marginals_of(head, &[both(), both()]);
        for (got, wanted) in own(&with_gaps).iter().flatten().zip(own(&whole).iter().flatten()) {
            assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let head = true_ratio();
    let present = Presence::complete(2, 3);
    let made = Marginals::new(head.as_ref(), &[both(), both()], &present, Seed::new(0));
    assert!(made.unwrap_err().to_string().contains("3 entries, and 2 are needed"));
    let marginals = marginals_of(head.as_ref(), &[both(), both()]);
    let one = Presence::complete(1, 2);
    assert!(marginals.scores(head.as_ref(), &[both(), both()], &one).is_err());
    assert!(Presence::new(vec![vec![true], vec![]]).is_err());
    // Vectors of another number of classes, as a damaged checkpoint has them.
    let names = ["sound".to_owned(), "sight".to_owned()];
    let mut state = marginals.state(&names);
    let wrong = Tensor::zeros(5, DType::F64, &Device::Cpu).unwrap();
    state.insert("class-vector.sight".to_owned(), wrong);
    assert!(Marginals::from_state(head.as_ref(), &state, &names).is_err());
}

#[test]
fn the_matching_score_is_the_log_density_ratio() {
    let head = true_ratio();
    let [agree, differ] = [[0u32, 1], [1, 0]].map(|rows| {
        let second = both().index_select(&Tensor::new(&rows, &Device::Cpu).unwrap(), 0).unwrap();
        matching_score(&head.scores(&[both(), second]).unwrap()).unwrap().to_vec1::<f64>().unwrap()
    });
    let [a, b] = SHOWS;
    let same = a * b + (1.0 - a) * (1.0 - b);
    for (scores, ratio) in [(agree, same / 0.5), (differ, (1.0 - same) / 0.5)] {
        for score in scores {
            assert!((score - ratio.ln()).abs() < 1e-12, "{score} is not {}", ratio.ln());
        }
    }
}

#[test]
fn what_absent_modalities_are_averaged_with_is_saved_and_comes_back() {
    let names = ["sound".to_owned(), "sight".to_owned()];
    for head in heads() {
        let head = head.as_ref();
        let marginals = marginals_of(head, &[both(), both()]);
        let again = Marginals::from_state(head, &marginals.state(&names), &names).unwrap();
        let present = Presence::complete(2, 2).without(1);
        let scores = |marginals: &Marginals| {
            let scores = marginals.scores(head, &[both(), both()], &present).unwrap();
            scores.to_vec2::<f64>().unwrap()
        };
        assert_eq!(scores(&marginals), scores(&again));
        assert!(Marginals::from_state(head, &State::new(), &names).is_err());
    }
}
