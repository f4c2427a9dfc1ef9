//! The folder of a run: who may write it, what is kept, and what is refused.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;

use candle_core::Device;
use tcmax_datasets::{SyntheticConfig, synthetic};
use tcmax_ops::State;
use tcmax_train::checkpoint::{ModelCard, Progress, load, save};
use tcmax_train::results::{EpochRecord, RunResult, StepRecord, SuiteResult};
use tcmax_train::{
    Choice, Existing, FolderLock, RunLabel, RunOptions, Silent, Suite, TrainConfig,
    TrainingOptions, Variant, train,
};

use crate::common;

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks the exit code and returns the messages.
fn code(output: &Output, code: i32) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// A folder, its settings and a finished run of two epochs in `run`.
fn finished() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    common::train(&settings, &["--out", out.to_str().unwrap()]).assert().success();
    (folder, settings, out)
}

#[test]
fn a_run_is_replaced_only_when_asked() {
    let (folder, settings, out) = finished();
    let model = out.join("seed-0/model.safetensors");
    let before = bytes(&model);
    let again = |more: &[&str]| {
        let arguments = [&["--out", out.to_str().unwrap(), "--lr", "0.01"], more].concat();
        common::train(&settings, &arguments).output().unwrap()
    };
    let message = code(&again(&[]), 2);
    assert!(message.contains("--resume") && message.contains("--force"), "{message}");
    // Another seed would replace the report of this one.
    code(&again(&["--seeds", "1"]), 2);
    assert_eq!(bytes(&model), before);
    let message = code(&again(&["--resume"]), 2);
    assert!(message.contains("learning-rate: then 0.05, now 0.01"), "{message}");
    assert_eq!(bytes(&model), before);
    code(&again(&["--force"]), 0);
    assert_ne!(bytes(&model), before);
    drop(folder);
}

#[test]
fn a_second_trainer_in_a_folder_is_refused() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let lock = FolderLock::take(&out).unwrap();
    let run = || common::train(&settings, &["--out", out.to_str().unwrap()]).output().unwrap();
    let message = code(&run(), 1);
    assert!(message.contains("another process is training"), "{message}");
    assert!(!out.join("seed-0").exists());
    drop(lock);
    code(&run(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_for_results_and_none_for_messages() {
    let (folder, settings, out) = finished();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let model = out.join("seed-0");
    let binary = assert_cmd::cargo::cargo_bin("tcmax");
    let predict = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command.arg("predict").arg(&model).args(arguments);
        command
    };
    let message = code(&predict(&[]).stdout(full()).output().unwrap(), 1);
    assert!(message.contains("standard output"), "{message}");
    // Every write under this name fails as on a full disk.
    let table = folder.path().join("p.csv");
    let part = folder.path().join("p.csv.part");
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let message = code(&predict(&["--file", table.to_str().unwrap()]).output().unwrap(), 1);
    assert_eq!(message.matches("os error 28").count(), 1, "{message}");
    assert!(message.contains("p.csv: "), "{message}");
    assert!(part.symlink_metadata().is_err() && !table.exists());
    // Nobody reads the messages, and training goes on.
    let arguments = ["train", "--config", settings.to_str().unwrap(), "--json"];
    let trained =
        std::process::Command::new(&binary).args(arguments).stderr(full()).output().unwrap();
    assert!(trained.status.success());
    serde_json::from_slice::<SuiteResult>(&trained.stdout).unwrap();
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let (_folder, settings, out) = finished();
    let run = out.join("seed-0");
    let resume = || {
        let arguments = ["--out", out.to_str().unwrap(), "--resume"];
        common::train(&settings, &arguments).output().unwrap()
    };
    let eval = || common::tcmax().arg("eval").arg(&run).output().unwrap();
    let commands: [(&str, &dyn Fn() -> Output); 2] =
        [("last.safetensors", &resume), ("model.safetensors", &eval)];
    for (name, command) in commands {
        let path = run.join(name);
        let whole = bytes(&path);
        // In the digest, in the settings, among the tensors.
        for place in [50, 200, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            let message = code(&command(), 1);
            assert!(message.contains(name), "byte {place}: {message}");
        }
        std::fs::write(&path, whole).unwrap();
        code(&command(), 0);
    }
}

#[test]
fn a_checkpoint_that_contradicts_itself_is_refused() {
    let (_folder, settings, out) = finished();
    let path = out.join("seed-0/last.safetensors");
    let (tensors, progress): (State, Progress) = load(&path, &Device::Cpu).unwrap();
    let refused = |change: &dyn Fn(&mut State, &mut Progress)| {
        let (mut tensors, mut progress) = (tensors.clone(), progress.clone());
        change(&mut tensors, &mut progress);
        save(&path, &tensors, &progress).unwrap();
        let arguments = ["--out", out.to_str().unwrap(), "--resume"];
        let message = code(&common::train(&settings, &arguments).output().unwrap(), 1);
        assert!(message.contains("last.safetensors"), "{message}");
        message
    };
    refused(&|_, progress| progress.best_epoch = 99);
    refused(&|_, progress| progress.best_epoch = 0);
    refused(&|_, progress| progress.best_epoch = 3 - progress.best_epoch);
    refused(&|_, progress| {
        progress.history = vec![progress.history[0].clone(); 40];
    });
    refused(&|_, progress| progress.history.clear());
    let message = refused(&|tensors, _| {
        let name = tensors.keys().find(|name| name.starts_with("model.")).unwrap().clone();
        let wrong = tensors[&name].flatten_all().unwrap().narrow(0, 0, 1).unwrap();
        tensors.insert(name, wrong.contiguous().unwrap());
    });
    assert!(message.contains("shape"), "{message}");
    refused(&|tensors, _| tensors.retain(|name, _| !name.starts_with("best.")));
}

#[test]
fn a_card_that_claims_more_than_the_file_holds_is_refused_before_anything_is_made() {
    let (_folder, _, out) = finished();
    let path = out.join("seed-0/model.safetensors");
    let (tensors, card): (State, ModelCard) = load(&path, &Device::Cpu).unwrap();
    let eval = |change: &dyn Fn(&mut ModelCard)| {
        let mut card = card.clone();
        change(&mut card);
        save(&path, &tensors, &card).unwrap();
        let message = code(&common::tcmax().arg("eval").arg(&path).output().unwrap(), 1);
        assert!(message.contains("model.safetensors"), "{message}");
        message
    };
    let slim = |width: i64| Choice::named("resnet-slim").with("width", width);
    let message = eval(&|card| card.config.encoder = slim(2_000));
    assert!(message.contains("would make the model larger than"), "{message}");
    eval(&|card| card.config.encoder = slim(3_000_000));
    eval(&|card| card.modalities[0].shape = vec![1, usize::MAX, 2]);
    eval(&|card| card.classes = (0..1_000_000).map(|class| class.to_string()).collect());
    eval(&|card| card.epoch = 0);
}

#[test]
fn a_header_does_not_grow_with_the_classes_and_little_with_the_epochs() {
    let (_folder, _, out) = finished();
    let path = out.join("seed-0/last.safetensors");
    let (_, progress): (State, Progress) = load(&path, &Device::Cpu).unwrap();
    assert!(
        progress.history.iter().all(|record| record
            .validation
            .as_ref()
            .unwrap()
            .confusion
            .is_empty())
    );
    let result: RunResult =
        serde_json::from_slice(&bytes(&out.join("seed-0/result.json"))).unwrap();
    assert_eq!(result.test.confusion.len(), 3);
    let epochs: Vec<EpochRecord> = progress.history.iter().cycle().take(400).cloned().collect();
    let size = serde_json::to_string(&epochs).unwrap().len();
    assert!(size < 400_000, "{size} bytes for 400 epochs");
}

#[test]
fn more_epochs_go_on_with_the_schedule_of_the_first() {
    let (folder, settings, out) = finished();
    let run = |out: &Path, more: &[&str]| {
        let arguments = [&["--out", out.to_str().unwrap()], more].concat();
        common::train(&settings, &arguments).output().unwrap()
    };
    // What the schedule of the first run was made for.
    let whole = folder.path().join("whole");
    code(&run(&whole, &["--epochs", "5", "--set", "schedule.length=2"]), 0);
    code(&run(&out, &["--epochs", "5", "--resume"]), 0);
    for name in ["model.safetensors", "last.safetensors"] {
        let of = |out: &Path| bytes(&out.join("seed-0").join(name));
        assert_eq!(of(&whole), of(&out), "{name}");
    }
    code(&run(&out, &["--epochs", "5", "--resume"]), 0);
    let message = code(&run(&out, &["--epochs", "3", "--resume"]), 2);
    assert!(message.contains("--epochs: must be at least 5"), "{message}");
    let message =
        code(&run(&out, &["--epochs", "6", "--set", "schedule.step-size=3", "--resume"]), 2);
    assert!(
        message.contains("schedule: then step") && message.contains("step-size 3"),
        "{message}"
    );
}

#[test]
fn the_time_of_a_run_is_that_of_all_its_processes() {
    let (_folder, settings, out) = finished();
    let seconds = out.join("seed-0/seconds.json");
    std::fs::write(&seconds, r#"{"epochs":[400.0,500.0],"total":1000.0}"#).unwrap();
    let arguments = ["--out", out.to_str().unwrap(), "--resume"];
    common::train(&settings, &arguments).assert().success();
    let result: RunResult =
        serde_json::from_slice(&bytes(&out.join("seed-0/result.json"))).unwrap();
    assert!((1_000.0..2_000.0).contains(&result.seconds), "{}", result.seconds);
    assert_eq!(result.history[1].seconds, 500.0);
}

#[test]
fn a_damaged_run_does_not_cost_the_others() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let run = |seeds: &str, more: &[&str]| {
        let arguments = [&["--out", out.to_str().unwrap(), "--seeds", seeds], more].concat();
        common::train(&settings, &arguments).output().unwrap()
    };
    code(&run("0,1", &[]), 0);
    std::fs::write(out.join("seed-1/last.safetensors"), b"nonsense").unwrap();
    let message = code(&run("0,1,2", &["--resume"]), 1);
    assert!(message.contains("1 of 3 runs failed: tcmax seed 1: "), "{message}");
    let result: SuiteResult = serde_json::from_slice(&bytes(&out.join("results.json"))).unwrap();
    let seeds: Vec<u64> = result.methods[0].runs.iter().map(|run| run.seed).collect();
    assert_eq!(seeds, [0, 2]);
    assert_eq!(result.methods[0].failed[0].seed, 1);
}

fn small() -> SyntheticConfig {
    SyntheticConfig {
        classes: 2,
        train_size: 16,
        val_size: 8,
        test_size: 8,
        ..SyntheticConfig::default()
    }
}

fn variant(name: &str, learning_rate: f64) -> Variant {
    let config = TrainConfig {
        data: Choice::of("synthetic", &small()).unwrap(),
        encoder: Choice::named("resnet-slim").with("width", 1),
        optimiser: Choice::named("sgd").with("learning-rate", learning_rate),
        train: TrainingOptions { epochs: 2, batch_size: 8, workers: 0, ..Default::default() },
        ..TrainConfig::default()
    };
    Variant { name: name.to_owned(), description: String::new(), config: config.check().unwrap() }
}

#[test]
fn a_diverging_method_of_a_comparison_is_reported_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = small();
    let suite = |variants, existing| Suite {
        name: "test".to_owned(),
        title: String::new(),
        dataset: &data,
        variants,
        seeds: vec![0, 1],
        settings: Vec::new(),
        folder: Some(folder.path().to_owned()),
        existing,
        baseline: None,
        published: Default::default(),
        group: None,
    };
    let both = || vec![variant("a, wild", 1e30), variant("calm", 0.01)];
    let compared =
        suite(both(), Existing::Refuse).run(2, (&Device::Cpu).into(), &Silent, None).unwrap();
    assert_eq!(compared.methods[0].failed.len(), 2);
    assert_eq!(compared.methods[1].runs.len(), 2);
    let error = compared.complete().unwrap_err();
    assert!(error.to_string().starts_with("2 of 4 runs failed: a, wild seed 0: epoch"), "{error}");
    assert_eq!(tcmax_cli::process::exit_code(&error.into()), 1);
    // Reports show what is there.
    let page = tcmax_report::html(&compared);
    assert!(page.contains("calm"));
    assert!(tcmax_report::table::comparison(&compared).contains("calm"));
    // Finished runs are there, and need not be made again.
    assert!(folder.path().join("calm/seed-1/result.json").exists());
    assert!(!folder.path().join("a-wild/seed-0/result.json").exists());
    let again =
        suite(both(), Existing::Resume).run(1, (&Device::Cpu).into(), &Silent, None).unwrap();
    assert_eq!(again.methods[1].runs[0].test, compared.methods[1].runs[0].test);
    // Where nothing is finished, there is nothing to report.
    let wild = suite(vec![variant("wild", 1e30)], Existing::Replace);
    let error = wild.run(1, (&Device::Cpu).into(), &Silent, None).unwrap_err();
    assert_eq!(tcmax_cli::process::exit_code(&error.into()), 1);
}

#[test]
fn an_interruption_keeps_the_last_finished_epoch() {
    use tcmax_train::{Observer, Stop};
    /// Asks for the end in the second epoch.
    struct Asking(Stop);
    impl Observer for Asking {
        fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
        fn step(&self, _: &RunLabel, _: &StepRecord) {}
        fn epoch(&self, _: &RunLabel, record: &EpochRecord) {
            if record.epoch == 1 {
                self.0.ask(15);
            }
        }
        fn finished(&self, _: &RunLabel, _: &RunResult) {}
    }
    let folder = tempfile::tempdir().unwrap();
    let splits = synthetic::splits(&small(), 0).unwrap();
    let config = variant("x", 0.01).config;
    let label = RunLabel::new("x", 0);
    let asking = Asking(Stop::new());
    let run = |folder: Option<&Path>| {
        let options = RunOptions {
            devices: (&Device::Cpu).into(),
            folder,
            existing: Existing::Resume,
            stop: Some(&asking.0),
            observer: &asking,
            label: &label,
            group: None,
        };
        train(&config, &splits, 0, options).unwrap_err()
    };
    let error = run(Some(folder.path()));
    assert!(error.to_string().contains("kept up to epoch 1"), "{error}");
    assert!(error.to_string().contains("`resume`"), "{error}");
    assert_eq!(tcmax_cli::process::exit_code(&error.into()), 143);
    let (_, progress): (State, Progress) =
        load(&folder.path().join("last.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(progress.history.len(), 1);
    let error = run(None);
    assert!(error.to_string().contains("interrupted by SIGTERM; nothing is kept"), "{error}");
}

/// Sends a signal to a training of many epochs once the first is on disk; `prefix` is what a shell does
/// before.
#[cfg(unix)]
fn signalled(prefix: &str, name: &str, epochs: &str) -> (Output, tempfile::TempDir) {
    use std::process::{Command, Stdio};
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let binary = assert_cmd::cargo::cargo_bin("tcmax");
    let child = Command::new("sh")
        .args(["-c", &format!("{prefix} exec \"$0\" \"$@\"")])
        .arg(binary)
        .args(["train", "--epochs", epochs, "--config"])
        .arg(&settings)
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = std::time::Instant::now();
    while !out.join("seed-0/seconds.json").exists() && start.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    common::signal(child.id(), name);
    (child.wait_with_output().unwrap(), folder)
}

/// Whether this process, and so those that it starts, ignores a signal: under `nohup`, or in the
/// background of a script.
#[cfg(unix)]
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(unix)]
#[test]
fn a_signal_ends_training_with_its_code_and_says_how_to_go_on() {
    for (number, name) in [(2, "INT"), (1, "HUP"), (15, "TERM")] {
        if is_ignored(number) {
            eprintln!(
                "SKIPPED: SIG{name} is ignored here, try without nohup and in the foreground"
            );
            continue;
        }
        let (output, _folder) = signalled("", name, "300");
        let message = code(&output, 128 + number as i32);
        assert!(message.contains(&format!("interrupted by SIG{name}")), "{message}");
        assert!(message.contains("--resume"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_that_nohup_ignores_stays_ignored() {
    let (output, folder) = signalled("trap '' HUP;", "HUP", "4");
    code(&output, 0);
    assert!(folder.path().join("run/seed-0/result.json").exists());
}

#[test]
fn what_is_not_kept_is_said_at_the_beginning_and_at_the_end() {
    let (_folder, settings) = common::folder();
    let message = code(&common::train(&settings, &[]).output().unwrap(), 0);
    let lines: Vec<&str> = message.lines().collect();
    for line in [lines.first().unwrap(), lines.last().unwrap()] {
        assert!(line.starts_with("note: ") && line.contains("--out"), "{message}");
    }
}
