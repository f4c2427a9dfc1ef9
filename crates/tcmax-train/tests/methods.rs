//! Every method on three modalities, interrupted runs, and predictions of the real binary.

mod common;

use std::path::Path;

use candle_core::Device;
use tcmax_data::{ModalityKind, SyntheticConfig, SyntheticModality, synthetic};
use tcmax_fusion::HeadKind;
use tcmax_losses::{MethodKind, Modalities};
use tcmax_train::{
    DatasetConfig, EncoderConfig, Observer, RunLabel, RunOptions, Silent, TrainConfig, train,
};

/// Three modalities that are quick to render and to learn.
fn three() -> SyntheticConfig {
    let modality = |name: &str, noise| SyntheticModality {
        name: name.to_owned(),
        kind: ModalityKind::Image,
        informativeness: 0.9,
        noise,
    };
    SyntheticConfig {
        classes: 3,
        nuisance_states: 2,
        modalities: vec![modality("left", 0.1), modality("right", 0.2), modality("above", 0.3)],
        train_size: 40,
        val_size: 20,
        test_size: 30,
        ..SyntheticConfig::default()
    }
}

fn config(method: MethodKind, dataset: SyntheticConfig) -> TrainConfig {
    TrainConfig {
        method: method.name().to_owned(),
        encoder: EncoderConfig::ResnetSlim { width: 2 },
        epochs: 2,
        batch_size: 8,
        workers: 0,
        dataset: DatasetConfig::Synthetic(dataset),
        ..TrainConfig::default()
    }
}

fn run(
    config: TrainConfig,
    folder: Option<&Path>,
    resume: bool,
    observer: &dyn Observer,
) -> tcmax_train::Result<tcmax_train::results::RunResult> {
    let DatasetConfig::Synthetic(dataset) = &config.dataset else { panic!("synthetic") };
    let splits = synthetic::splits(dataset, 1)?;
    let label = RunLabel { method: config.method.clone(), seed: 1 };
    let options = RunOptions { device: &Device::Cpu, folder, resume, observer, label: &label };
    train(&config.check()?, &splits, 1, options)
}

#[test]
fn three_modalities_train_by_every_method_that_is_defined_for_them() {
    for method in MethodKind::ALL {
        let result = run(config(method, three()), None, false, &Silent);
        if method.modalities() == Modalities::Two {
            let error = result.unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.contains("two modalities, and there are 3"), "{method}: {text}");
        } else {
            let result = result.unwrap_or_else(|error| panic!("{method}: {error}"));
            assert_eq!(result.test.modality_accuracy.len(), 3);
            assert!(result.probe_accuracy.iter().all(Option::is_some));
            let absence = result.absence.unwrap();
            assert!(absence.accuracy_without.iter().all(Option::is_some));
            assert!(absence.matching_auc.is_finite());
        }
    }
}

#[test]
fn of_epochs_equal_in_accuracy_the_one_of_lowest_cross_entropy_is_kept() {
    // So few that accuracies tie.
    let dataset = SyntheticConfig { val_size: 3, ..three() };
    let config = TrainConfig { epochs: 8, ..config(MethodKind::Joint, dataset) };
    let result = run(config, None, false, &Silent).unwrap();
    let of = |epoch: usize| &result.history[epoch - 1].validation;
    let best = of(result.best_epoch);
    let ties = (1..=8).filter(|&epoch| of(epoch).accuracy == best.accuracy);
    let ties: Vec<usize> = ties.collect();
    assert!(ties.len() > 1 && ties[0] != result.best_epoch, "nothing to choose from: {ties:?}");
    for epoch in 1..=8 {
        assert!(of(epoch).accuracy <= best.accuracy);
    }
    for epoch in ties {
        assert!(of(epoch).cross_entropy >= best.cross_entropy, "epoch {epoch}");
    }
}

#[test]
fn heads_for_two_refuse_three_and_methods_refuse_heads_they_cannot_use() {
    let with_head = |method, head: HeadKind| {
        let config = TrainConfig { head: head.name().to_owned(), ..config(method, three()) };
        run(config, None, false, &Silent).unwrap_err()
    };
    for (method, head, words) in [
        (MethodKind::Tcmax, HeadKind::Film, "two modalities"),
        (MethodKind::Joint, HeadKind::BiGated, "two modalities"),
        (MethodKind::Mla, HeadKind::Concat, "--head shared"),
        (MethodKind::MmCosine, HeadKind::Gated, "linear in the features"),
    ] {
        let error = with_head(method, head);
        assert!(error.to_string().contains(words), "{method}, {head}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

/// Ends the run after its first epoch, as a kill would: by unwinding out of it.
struct Killer;

impl Observer for Killer {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn batch(&self, _: &RunLabel) {}
    fn epoch(&self, _: &RunLabel, record: &tcmax_train::results::EpochRecord) {
        assert!(record.epoch < 2, "killed");
    }
    fn finished(&self, _: &RunLabel, _: &tcmax_train::results::RunResult) {}
}

#[test]
fn what_methods_remember_survives_an_interruption() {
    let two = || {
        let mut two = three();
        two.modalities.truncate(2);
        two
    };
    for method in MethodKind::ALL {
        let settings = || TrainConfig { epochs: 4, ..config(method, two()) };
        let folder = tempfile::tempdir().unwrap();
        let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
        run(settings(), Some(&whole), false, &Silent).unwrap();
        let killed = std::panic::catch_unwind(|| run(settings(), Some(&broken), false, &Killer));
        assert!(killed.is_err() && !broken.join("result.json").exists());
        run(settings(), Some(&broken), true, &Silent).unwrap();
        let model = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(model(&whole), model(&broken), "{method}");
    }
}

#[test]
fn predictions_are_a_table_with_and_without_a_modality() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    common::train(&settings, &["--out", out.to_str().unwrap()]).assert().success();
    let predict = |arguments: &[&str]| {
        let mut command = common::tcmax();
        command.arg("predict").arg(out.join("seed-0")).args(arguments);
        command.output().unwrap()
    };
    let whole = predict(&[]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let mut reader = csv::Reader::from_reader(&whole.stdout[..]);
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header[..3], ["row", "label", "prediction"]);
    assert_eq!(header.last().unwrap(), "matching");
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 30);
    for row in &rows {
        let sum: f64 = (3..6).map(|column| row[column].parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "probabilities sum to {sum}");
        assert!(row[header.len() - 1].parse::<f64>().unwrap().is_finite());
    }
    let right = rows.iter().filter(|row| row[1] == row[2]).count() as f64 / 30.0;
    let result: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("seed-0/result.json")).unwrap()).unwrap();
    assert!((right - result["test"]["accuracy"].as_f64().unwrap()).abs() < 1e-12);

    let file = folder.path().join("absent.csv");
    let absent = predict(&["--without", "audio", "--out", file.to_str().unwrap()]);
    assert!(absent.status.success());
    let mut reader = csv::Reader::from_path(&file).unwrap();
    assert!(
        !reader
            .headers()
            .unwrap()
            .iter()
            .any(|name| name == "matching" || name == "audio prediction")
    );
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let right = rows.iter().filter(|row| row[1] == row[2]).count() as f64 / 30.0;
    let recorded = result["absence"]["accuracy_without"][0].as_f64().unwrap();
    assert!((right - recorded).abs() < 1e-12, "{right} is not {recorded}");

    for (arguments, words) in [
        (["--without", "smell"], "no modality 'smell'"),
        (["--without", "audio,visual"], "every modality"),
    ] {
        let output = predict(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words));
    }
}

#[test]
fn methods_and_options_are_listed_set_and_refused() {
    let output = common::tcmax().arg("methods").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for name in MethodKind::names().into_iter().chain(HeadKind::names()) {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    let one = common::tcmax().args(["methods", "opm"]).output().unwrap();
    assert!(String::from_utf8(one.stdout).unwrap().contains("strength = 0.5"));
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let arguments =
        ["--method", "mla", "--option", "mla.projection=none", "--out", out.to_str().unwrap()];
    common::train(&settings, &arguments).assert().success();
    let text = std::fs::read(out.join("seed-0/model.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&text).contains(r#"projection\":\"none"#));
    for (option, words) in [
        ("mla.projection=sideways", "normalised"),
        ("ogm.beta=1", "beta"),
        ("magic.alpha=1", "'magic' has no options"),
        ("alpha", "KEY=VALUE"),
        ("alpha=1", "METHOD.OPTION"),
        ("ogm.alpha=-1", "ogm.alpha"),
    ] {
        let output =
            common::train(&settings, &["--method", "ogm", "--option", option]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{option}: {text}");
        assert!(text.contains(words), "{option}: {text}");
    }
}
