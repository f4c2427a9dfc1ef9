//! Every method on three modalities, interrupted runs, and predictions of the real binary.

mod common;
mod vectors;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use tcmax_data::ModalityKind;
use tcmax_datasets::{SyntheticConfig, SyntheticModality, synthetic};
use tcmax_fusion::{BI_GATED, CONCAT, FILM, GATED, HEADS, HeadSpec, Modalities};
use tcmax_losses::MethodSpec;
use tcmax_losses::methods::{G_BLEND, JOINT, METHODS, MLA, MM_COSINE, PMR, TCMAX};
use tcmax_ops::State;
use tcmax_train::checkpoint::{Progress, load, save};
use tcmax_train::{
    DatasetConfig, EncoderConfig, Existing, Observer, RunLabel, RunOptions, Silent, TrainConfig,
    train,
};

use vectors::vectors_apart;

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

fn config(method: &'static MethodSpec, dataset: SyntheticConfig) -> TrainConfig {
    TrainConfig {
        method: method.name.to_owned(),
        encoder: EncoderConfig::resnet_slim(2),
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
    let existing = if resume { Existing::Resume } else { Existing::Refuse };
    let options =
        RunOptions { device: &Device::Cpu, folder, existing, stop: None, observer, label: &label };
    train(&config.check()?, &splits, 1, options)
}

#[test]
fn three_modalities_train_by_every_method_that_is_defined_for_them() {
    for method in METHODS {
        let result = run(config(method, three()), None, false, &Silent);
        if method.modalities == Modalities::Two {
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
            assert!(absence.matching_auc.unwrap().is_finite());
        }
    }
}

#[test]
fn of_epochs_equal_in_accuracy_the_one_of_lowest_cross_entropy_is_kept() {
    // Classes so far apart that after two epochs no example is wrong, while cross-entropy still falls.
    let splits = vectors::splits(|rows, seed| vectors_apart(rows, seed, 12.0, 1.0, 0.0), 200);
    let config = TrainConfig {
        method: JOINT.name.to_owned(),
        mlp_widths: vec![8],
        epochs: 8,
        learning_rate: 0.02,
        workers: 0,
        ..TrainConfig::default()
    };
    let label = RunLabel { method: config.method.clone(), seed: 1 };
    let device = &Device::Cpu;
    let options = RunOptions {
        device,
        folder: None,
        existing: Existing::Refuse,
        stop: None,
        observer: &Silent,
        label: &label,
    };
    let result = train(&config.check().unwrap(), &splits, 1, options).unwrap();
    let tied: Vec<(usize, f64)> = result
        .history
        .iter()
        .filter(|record| record.validation.accuracy == 1.0)
        .map(|record| (record.epoch, record.validation.cross_entropy))
        .collect();
    assert!(tied.len() >= 4, "not the tie that was meant: {tied:?}");
    let lowest = tied.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    assert_eq!(result.best_epoch, lowest, "{tied:?}");
    assert_ne!(tied[0].0, lowest, "the first of equals is not the best: {tied:?}");
}

#[test]
fn heads_for_two_refuse_three_and_methods_refuse_heads_they_cannot_use() {
    let with_head = |method, head: &'static HeadSpec| {
        let config = TrainConfig { head: head.name.to_owned(), ..config(method, three()) };
        run(config, None, false, &Silent).unwrap_err()
    };
    let refused: [(&'static MethodSpec, &'static HeadSpec, &str); 4] = [
        (&TCMAX, &FILM, "two modalities"),
        (&JOINT, &BI_GATED, "two modalities"),
        (&MLA, &CONCAT, "the head 'shared' only"),
        (&MM_COSINE, &GATED, "linear in the features"),
    ];
    for (method, head, words) in refused {
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
    for method in METHODS {
        let settings = || {
            let mut settings = TrainConfig { epochs: 4, ..config(method, two()) };
            // With the defaults, what is remembered after two epochs would not be looked at again.
            let option =
                |name: &str, value: toml::Value| toml::Table::from_iter([(name.to_owned(), value)]);
            settings.method_options = BTreeMap::from([
                (G_BLEND.name.to_owned(), option("every", 1.into())),
                (PMR.name.to_owned(), option("momentum", 0.5.into())),
            ]);
            settings
        };
        let folder = tempfile::tempdir().unwrap();
        let [whole, broken, wiped] =
            ["whole", "broken", "wiped"].map(|name| folder.path().join(name));
        run(settings(), Some(&whole), false, &Silent).unwrap();
        let killed = std::panic::catch_unwind(|| run(settings(), Some(&broken), false, &Killer));
        assert!(killed.is_err() && !broken.join("result.json").exists());
        let remembers = wipe(&broken, &wiped);
        run(settings(), Some(&broken), true, &Silent).unwrap();
        let model = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(model(&whole), model(&broken), "{method}");
        // The comparison above would notice a loss of memory.
        if remembers && run(settings(), Some(&wiped), true, &Silent).is_ok() {
            assert_ne!(model(&whole), model(&wiped), "{method}: its memory does not matter");
        }
    }
}

/// Copies an interrupted run with zeros in place of all that its method remembers; whether that is
/// anything.
fn wipe(run: &Path, copy: &Path) -> bool {
    let (mut state, progress): (State, Progress) =
        load(&run.join("last.safetensors"), &Device::Cpu).unwrap();
    let mut any = false;
    for (name, tensor) in &mut state {
        if name.starts_with("method.") && !name.ends_with("begun") {
            *tensor = tensor.zeros_like().unwrap();
            any = true;
        }
    }
    std::fs::create_dir(copy).unwrap();
    save(&copy.join("last.safetensors"), &state, &progress).unwrap();
    any
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
    let methods = METHODS.iter().map(|method| method.name);
    for name in methods.chain(HEADS.iter().map(|head| head.name)) {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    let one = common::tcmax().args(["methods", "opm"]).output().unwrap();
    assert!(String::from_utf8(one.stdout).unwrap().contains("strength = 0.5"));
    for (head, options) in [
        ("film", "No options."),
        ("concat", "No options."),
        ("clip", "temperature = 0.07\n\nOr: --option head.temperature=VALUE"),
        ("gated", "# hidden =\n\nOr: --option head.hidden=VALUE"),
    ] {
        let output = common::tcmax().args(["methods", head]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with(&format!("{options}\n")), "{head}: {text}");
    }
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let arguments =
        ["--method", "mla", "--option", "mla.projection=none", "--out", out.to_str().unwrap()];
    common::train(&settings, &arguments).assert().success();
    let text = std::fs::read(out.join("seed-0/model.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&text).contains(r#"projection\":\"none"#));
    for (option, words) in [
        ("mla.projection=none", "--method mla"),
        ("ogm.beta=1", "its options are alpha, last-epoch"),
        ("ogm.last-epoch=never", "integer"),
        ("head.hidden=3", "the head 'concat' has no options"),
        ("magic.alpha=1", "no method 'magic'"),
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
