//! Every schedule agrees with recorded rates of PyTorch and transformers, for the options that the file's header
//! describes; and what all schedules have in common.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use tcmax_ops::to_vec_f64;
use tcmax_registry::Table;
use tcmax_train::StepDecay;
use tcmax_train::schedule::{Position, Schedule, ScheduleConfig, schedules};

/// The learning rate of most of the recorded schedules.
const BASE: f64 = 0.1;

/// A schedule from a configuration file.
fn schedule(text: &str, base: f64) -> Box<dyn Schedule> {
    let config: ScheduleConfig = toml::from_str(text).unwrap();
    config.build(&schedules(), base).unwrap()
}

/// What was recorded as `name` for t = 0, 1, ...
fn recorded(name: &str) -> Vec<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(folder.join("schedules.safetensors"), &Device::Cpu).unwrap();
    to_vec_f64(&tensors[name]).unwrap()
}

/// Step t of a run of `steps` steps, one in each epoch.
fn at(t: usize, steps: usize) -> Position {
    Position { step: t, steps, steps_per_epoch: 1 }
}

fn assert_close(name: &str, t: usize, got: f64, wanted: f64) {
    assert!((got - wanted).abs() <= 1e-12 * wanted.abs().max(1.0), "{name}, {t}: {got} {wanted}");
}

#[test]
fn rates_are_those_of_pytorch_and_transformers() {
    let hf = "from-start = true";
    for (column, text, steps) in [
        ("step", "name = 'step'\nstep-size = 7".to_owned(), 30),
        (
            "multistep",
            "name = 'multi-step'\nmilestones = [4, 10, 10, 22]\ngamma = 0.5".to_owned(),
            30,
        ),
        ("exponential", "name = 'exponential'\ngamma = 0.93".to_owned(), 30),
        ("cosine", "name = 'cosine'\ntotal = 12\nmin-rate = 0.002".to_owned(), 30),
        (
            "cosine_restarts",
            "name = 'cosine-restarts'\nfirst-period = 5\nmin-rate = 0.001".to_owned(),
            30,
        ),
        (
            "linear_then_cosine",
            format!(
                "name = 'cosine'\nmin-rate = 0.001\nwarm-up = {{ length = 5, start = 0.1, {hf} }}"
            ),
            30,
        ),
        ("lambda_warmup_cosine", "name = 'cosine'\nwarm-up = { length = 5 }".to_owned(), 30),
        ("hf_cosine_warmup", format!("name = 'cosine'\nwarm-up = {{ length = 5, {hf} }}"), 30),
        ("hf_linear_warmup", format!("name = 'linear'\nwarm-up = {{ length = 5, {hf} }}"), 26),
    ] {
        let schedule = schedule(&text, BASE);
        let wanted = recorded(&format!("output.{column}"));
        assert_eq!(wanted.len(), 30);
        for (t, wanted) in wanted.into_iter().enumerate() {
            assert_close(column, t, schedule.rate(at(t, steps)), wanted);
            assert_eq!(schedule.momentum(at(t, steps)), None);
        }
    }
}

#[test]
fn one_cycle_is_that_of_pytorch_and_changes_the_momentum_too() {
    for (column, base, text) in [
        ("onecycle_cos", 0.5, ""),
        (
            "onecycle_linear3",
            0.4,
            "pct-start = 0.25\nanneal = 'linear'\nthree-phase = true\ndiv-factor = 10.0\n\
             final-div-factor = 100.0",
        ),
    ] {
        let schedule = schedule(&format!("name = 'one-cycle'\n{text}"), base);
        let momenta = recorded(&format!("output.{column}.momentum"));
        let rates = recorded(&format!("output.{column}"));
        for (t, (rate, momentum)) in rates.into_iter().zip(momenta).enumerate() {
            assert_close(column, t, schedule.rate(at(t, 31)), rate);
            assert_close(column, t, schedule.momentum(at(t, 31)).unwrap(), momentum);
        }
        let lowest = schedule.rate(at(30, 31));
        assert_eq!(schedule.rate(at(50, 31)), lowest);
        assert!(lowest > 0.0 && lowest < base / 1000.0 + 1e-12);
    }
}

const PLATEAUS: [(&str, &str); 3] = [
    (
        "plateau_abs",
        "factor = 0.3\npatience = 1\nthreshold = 1e-4\nthreshold-mode = 'abs'\nmin-rate = 0.001",
    ),
    ("plateau_max", "mode = 'max'\nfactor = 0.5\npatience = 3"),
    ("plateau_rel", "factor = 0.5\npatience = 2\nthreshold = 0.01\ncooldown = 1"),
];

#[test]
fn a_plateau_is_that_of_pytorch_and_goes_on_from_its_state() {
    for (column, text) in PLATEAUS {
        let text = format!("name = 'plateau'\n{text}");
        let metrics = recorded(&format!("input.metric.{column}"));
        let rates = recorded(&format!("output.{column}"));
        for reloaded in 0..metrics.len() {
            let mut plateau = schedule(&text, BASE);
            for (t, (&metric, &rate)) in metrics.iter().zip(&rates).enumerate() {
                if t == reloaded {
                    let state = plateau.state().unwrap();
                    plateau = schedule(&text, 7.0);
                    plateau.load_state(&state).unwrap();
                }
                assert_close(column, t, plateau.rate(at(t, 30)), rate);
                plateau.observe(metric);
            }
        }
    }
}

#[test]
fn a_metric_that_is_nan_is_not_better() {
    let mut plateau = schedule("name = 'plateau'\npatience = 0", BASE);
    plateau.observe(f64::NAN);
    assert_close("plateau", 0, plateau.rate(at(0, 30)), 0.01);
}

#[test]
fn a_step_counts_epochs_unless_it_is_told_to_count_steps() {
    for epoch in 0..40 {
        let decay = StepDecay { step: 30, gamma: 0.1 };
        let usual = schedule("name = 'step'", 0.05);
        for step in [0, 6] {
            let at = Position::new(epoch, step, 40, 7);
            assert_eq!(usual.rate(at), decay.learning_rate(0.05, epoch));
        }
    }
    let steps = schedule("name = 'step'\nunit = 'step'\nstep-size = 3\ngamma = 0.5", 1.0);
    let rates = [0, 2, 3, 6].map(|step| steps.rate(Position::new(1, step, 2, 7)));
    // Steps 7, 9, 10 and 13 of the run.
    assert_eq!(rates, [0.25, 0.125, 0.125, 0.0625]);
}

#[test]
fn a_warm_up_of_epochs_rises_with_every_step_and_goes_before_any_schedule() {
    let text = "name = 'step'\nstep-size = 2\nwarm-up = { length = 2, unit = 'epoch' }";
    let schedule = schedule(text, 1.0);
    let rate = |epoch, step| schedule.rate(Position::new(epoch, step, 8, 5));
    assert_eq!([rate(0, 0), rate(0, 4), rate(1, 4)], [0.1, 0.5, 1.0]);
    assert_eq!([rate(2, 0), rate(3, 4)], [1.0, 1.0]);
    assert!((rate(4, 0) - 0.1).abs() < 1e-15);
}

#[test]
fn every_schedule_is_finite_at_any_position_and_in_any_run() {
    for spec in schedules().iter() {
        for warm_up in ["{}", "{ length = 3, unit = 'epoch' }", "{ length = 1000 }"] {
            let text = format!("name = '{}'\nwarm-up = {warm_up}", spec.name);
            let schedule = schedule(&text, 0.1);
            for (steps, steps_per_epoch) in [(0, 0), (1, 1), (2, 1), (3, 3), (40, 7)] {
                for step in 0..50 {
                    let at = Position { step, steps, steps_per_epoch };
                    let rate = schedule.rate(at);
                    assert!((0.0..=0.1 + 1e-12).contains(&rate), "{text} {at:?}: {rate}");
                    let momentum = schedule.momentum(at).unwrap_or(0.9);
                    assert!((0.85 - 1e-12..=0.95 + 1e-12).contains(&momentum), "{text}");
                }
            }
        }
    }
}

#[test]
fn options_are_documented_and_wrong_ones_refused() {
    for spec in schedules().iter() {
        for option in spec.options.documentation() {
            assert!(!option.text.is_empty(), "{}: {}", spec.name, option.name);
        }
        assert!(spec.build(&Table::from_iter([("bass".to_owned(), 1.into())]), 0.1).is_err());
    }
    for (text, words) in [
        (
            "name = 'stepp'",
            "there is no schedule 'stepp'; did you mean 'step'? choose one of: constant",
        ),
        ("name = 'step'\nstep-size = 0", "step-size: must be"),
        ("name = 'one-cycle'\nthree-phase = true\npct-start = 0.6", "pct-start: must be"),
        ("name = 'plateau'\nfactor = 1.0", "factor: must be"),
        ("name = 'plateau'\nmode = 'least'", "unknown variant `least`"),
        ("name = 'cosine'\nwarm-up = { start = 2.0 }", "start: must be"),
    ] {
        let config: ScheduleConfig = toml::from_str(text).unwrap();
        let error = config.build(&schedules(), 0.1).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_state_of_something_else_is_refused() {
    let plateau = schedule("name = 'plateau'", 0.1).state().unwrap();
    assert!(schedule("name = 'step'", 0.1).load_state(&plateau).is_err());
    let mut other = schedule("name = 'plateau'", 0.1);
    assert!(other.load_state(&Default::default()).is_err());
    let mut wrong = plateau.clone();
    let tensor = wrong.remove("plateau").unwrap();
    wrong.insert("plateau".to_owned(), tensor.narrow(0, 0, 3).unwrap());
    assert!(other.load_state(&wrong).is_err());
    other.load_state(&plateau).unwrap();
}
