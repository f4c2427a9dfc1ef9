//! Averages of weights are their definition, are swapped in and out, and go on from a saved state.

use candle_core::{DType, Device, Tensor, Var};
use tcmax_ops::{
    AverageOptions, Error, Init, ParamBuilder, Params, Seed, WeightAverage, to_vec_f64,
};

/// Filters of a convolution, a matrix and a buffer.
fn params(dtype: DType) -> Params {
    let builder = ParamBuilder::new(Seed::new(0), dtype, &Device::Cpu);
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    builder.filters("filters", [2, 3, 1, 2], unit).unwrap();
    builder.param("matrix", (2, 2), Init::Const(1.0)).unwrap();
    builder.buffer("running_mean", 2, 3.0).unwrap();
    builder.params()
}

/// Parameters after some step.
fn advance(params: &Params, step: usize) {
    for (_, var) in params.trainable() {
        var.set(&var.affine(0.7, step as f64).unwrap()).unwrap();
    }
}

fn var<'a>(params: &'a Params, name: &str) -> &'a Var {
    params.trainable().find(|(own, _)| *own == name).unwrap().1
}

fn values(tensor: &Tensor) -> Vec<f64> {
    to_vec_f64(tensor).unwrap()
}

#[test]
fn averages_are_their_definition_with_and_without_warm_up() {
    for warm_up in [false, true] {
        let params = params(DType::F64);
        let mut average =
            WeightAverage::new(&params, AverageOptions { decay: 0.3, warm_up }).unwrap();
        let mut wanted = 1.0;
        for step in 0..8 {
            advance(&params, step);
            average.update().unwrap();
            let early = (1.0 + step as f64) / (10.0 + step as f64);
            let decay = if warm_up { early.min(0.3) } else { 0.3 };
            wanted = decay * wanted + (1.0 - decay) * values(var(&params, "matrix"))[0];
            let got = values(&average.weights().unwrap()["matrix"]);
            assert!(got.iter().all(|got| (got - wanted).abs() < 1e-12), "{got:?} {wanted}");
        }
    }
}

#[test]
fn an_evaluation_sees_the_averages_and_training_goes_on_as_it_was() {
    let params = params(DType::F32);
    let mut average = WeightAverage::new(&params, AverageOptions::default()).unwrap();
    advance(&params, 1);
    average.update().unwrap();
    let live = params.snapshot().unwrap();
    let weights = average.weights().unwrap();
    let seen = average.swapped_in(|| params.snapshot()).unwrap();
    for (name, tensor) in params.snapshot().unwrap() {
        assert_eq!(values(&tensor), values(&live[&name]), "{name}");
        assert_eq!(values(&seen[&name]), values(&weights[&name]), "{name}");
        // The buffers are not averaged, the others are.
        assert_eq!(values(&seen[&name]) == values(&tensor), name == "running_mean", "{name}");
    }
    // They come back after a failure, too.
    let failed = average.swapped_in(|| Err::<(), _>(Error::NoChannels));
    assert!(matches!(failed, Err(Error::NoChannels)));
    assert_eq!(values(var(&params, "matrix")), values(&live["matrix"]));
    params.load(&weights).unwrap();
}

#[test]
fn a_state_goes_on_with_the_same_bits() {
    for dtype in [DType::F32, DType::F64] {
        let ends = [false, true].map(|reload| {
            let params = params(dtype);
            let mut average = WeightAverage::new(&params, AverageOptions::default()).unwrap();
            for step in 0..6 {
                advance(&params, step);
                average.update().unwrap();
                if reload && step == 3 {
                    let state = average.state().unwrap();
                    assert_eq!(state["average.filters"].dims(), [2, 3, 1, 2]);
                    average = WeightAverage::new(&params, AverageOptions::default()).unwrap();
                    average.load_state(&state).unwrap();
                }
            }
            let bits = |tensor: &Tensor| values(tensor).into_iter().map(f64::to_bits).collect();
            average.weights().unwrap().values().map(bits).collect::<Vec<Vec<u64>>>()
        });
        assert_eq!(ends[0], ends[1]);
    }
}

#[test]
fn a_wrong_state_or_decay_is_refused_by_name() {
    let params = params(DType::F64);
    for decay in [1.0, -0.1, f64::NAN] {
        let options = AverageOptions { decay, warm_up: true };
        let error = WeightAverage::new(&params, options).unwrap_err().to_string();
        assert!(error.starts_with("decay: must be"), "{error}");
    }
    let mut average = WeightAverage::new(&params, AverageOptions::default()).unwrap();
    let whole = average.state().unwrap();
    for name in whole.keys() {
        let mut state = whole.clone();
        let tensor = state.remove(name).unwrap();
        let error = average.load_state(&state).unwrap_err().to_string();
        assert!(error.contains(&format!("'{name}'")), "{error}");
        state.insert(name.clone(), Tensor::stack(&[&tensor; 2], 0).unwrap());
        assert!(matches!(average.load_state(&state), Err(Error::WrongShape { .. })));
    }
    let mut state = whole.clone();
    state.insert("average.other".to_owned(), state["average.matrix"].clone());
    assert!(matches!(average.load_state(&state), Err(Error::UnknownTensor { .. })));
    state.insert("steps".to_owned(), Tensor::new(0.5, &Device::Cpu).unwrap());
    assert!(matches!(average.load_state(&state), Err(Error::WrongSteps { .. })));
}
