//! With the true log-density ratio for a critic, averaging a modality out gives the true posterior.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Critic;
use tcmax_fusion::{FusionHead, HeadKind, HeadOptions};
use tcmax_losses::{Stand, matching_score};
use tcmax_ops::{ParamBuilder, Seed, State};

/// y fair in 0..2; x_1 shows it with probability 0.9, x_2 with 0.7; both are one-hot vectors.
const SHOWS: [f64; 2] = [0.9, 0.7];

/// The sum head f = sum_m log p(x_m | y) - log p(x_m), with p(x_m) = 1/2.
fn true_ratio() -> Box<dyn FusionHead> {
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let head = HeadKind::Sum.build(&[2, 2], 2, HeadOptions::default(), &builder).unwrap();
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

#[test]
fn averaging_the_second_modality_out_leaves_the_posterior_of_the_first() {
    let head = true_ratio();
    let stand = Stand::new(head.as_ref(), &[both(), both()], Seed::new(0)).unwrap();
    let examples = Stand::Examples(vec![both(), both()]);
    for (m, p) in SHOWS.into_iter().enumerate() {
        let mut there = [None, None];
        there[m] = Some(both());
        for stand in [&stand, &examples] {
            let got = posterior(&stand.scores(head.as_ref(), &there).unwrap());
            for (row, wanted) in got.iter().zip([[p, 1.0 - p], [1.0 - p, p]]) {
                for (got, wanted) in row.iter().zip(wanted) {
                    assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
                }
            }
        }
    }
    assert!(stand.scores(head.as_ref(), &[None, None]).is_err(), "nothing to predict from");
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
fn stand_ins_are_saved_and_come_back() {
    let names = ["sound".to_owned(), "sight".to_owned()];
    let head = true_ratio();
    let stand = Stand::new(head.as_ref(), &[both(), both()], Seed::new(0)).unwrap();
    for stand in [stand, Stand::Examples(vec![both(), both()])] {
        let again = Stand::from_state(&stand.state(&names), &names).unwrap();
        let there = [Some(both()), None];
        let scores =
            |stand: &Stand| stand.scores(head.as_ref(), &there).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(scores(&stand), scores(&again));
    }
    assert!(Stand::from_state(&State::new(), &names).is_err());
}
