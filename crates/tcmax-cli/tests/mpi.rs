//! The command as several processes that mpirun starts; built with the feature `mpi`.

mod binary;
mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Steps of 64 clips, 50 of them, in four shards.
const SHARDED: &str = r#"
[train]
epochs = 10
batch-size = 64
shards = 4
log-steps = 1

[encoder]
name = "resnet-slim"
width = 2

[data]
name = "synthetic"
classes = 3
train-size = 320
val-size = 24
test-size = 30
"#;

/// `tcmax train` in so many processes.
fn train(processes: usize, settings: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1"])
        .args(["-n", &processes.to_string()])
        .arg(assert_cmd::cargo::cargo_bin("tcmax"))
        .args(["train", "--threads", "1", "--config"])
        .arg(settings)
        .args(more);
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("mpirun (Debian: openmpi-bin) has to be there for this feature's tests")
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeds(command: Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{}", messages(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn settings(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, text).unwrap();
    (folder, settings)
}

/// What a run leaves that has the same bytes whenever it is trained.
fn results(out: &Path) -> [Vec<u8>; 2] {
    ["model.safetensors", "log.jsonl"].map(|name| {
        let path = out.join("seed-0").join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
}

#[test]
fn fifty_steps_of_one_two_and_four_processes_have_the_same_bytes() {
    let (folder, settings) = settings(SHARDED);
    for method in ["tcmax", "ogm-ge"] {
        let of = |processes: usize| {
            let out = folder.path().join(format!("{method}-{processes}"));
            let more = ["--method", method, "--out", out.to_str().unwrap()];
            let printed = succeeds(train(processes, &settings, &more));
            // One of them prints.
            assert_eq!(printed.matches("The fused accuracy of").count(), 1, "{printed}");
            results(&out)
        };
        let alone = of(1);
        let steps = String::from_utf8_lossy(&alone[1]).matches("\"step\"").count();
        assert!(steps >= 50, "{steps} steps");
        for processes in [2, 4] {
            assert!(of(processes) == alone, "{method} in {processes} processes");
        }
    }
}

#[test]
fn three_processes_train_one_model() {
    let (folder, settings) = settings(&SHARDED.replace("shards = 4", "shards = 3"));
    let of = |processes: usize| {
        let out = folder.path().join(format!("of-{processes}"));
        let more = ["--set", "train.epochs=2", "--out", out.to_str().unwrap()];
        succeeds(train(processes, &settings, &more));
        results(&out)
    };
    assert!(of(3) == of(1));
    let refused = output(train(2, &settings, &[]));
    assert!(!refused.status.success());
    let message = messages(&refused);
    assert!(message.contains("train.shards") && message.contains('3'), "{message}");
    assert_eq!(message.matches("must be a multiple").count(), 1, "{message}");
}

#[test]
fn a_killed_process_ends_the_job_and_the_run_goes_on_in_another_number() {
    let (folder, settings) = settings(SHARDED);
    let whole = folder.path().join("whole");
    succeeds(train(1, &settings, &["--out", whole.to_str().unwrap()]));
    let out = folder.path().join("killed");
    let more = ["--out", out.to_str().unwrap(), "--set", "train.epochs=10"];
    let mut job = train(2, &settings, &more);
    let job = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let last = out.join("seed-0/last.safetensors");
    let start = Instant::now();
    while !last.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no epoch was finished");
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_second(job.id());
    let killed = Instant::now();
    let output = job.wait_with_output().unwrap();
    assert!(killed.elapsed() < Duration::from_secs(30));
    assert!(!output.status.success());
    assert!(messages(&output).contains("signal 9"), "{}", messages(&output));
    // In four processes, from the last epoch that was finished.
    let more = [&more[..], &["--resume"]].concat();
    succeeds(train(4, &settings, &more));
    assert!(results(&out) == results(&whole));
}

/// Kills the process of rank 1 that a job of mpirun has started.
fn kill_second(mpirun: u32) {
    let children = format!("/proc/{mpirun}/task/{mpirun}/children");
    let children = std::fs::read_to_string(children).unwrap();
    let of_rank_one = |process: &&str| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == b"OMPI_COMM_WORLD_RANK=1")
    };
    let second =
        children.split_whitespace().find(of_rank_one).expect("rank 1 is a child of mpirun");
    common::signal(second.parse().unwrap(), "KILL");
}

#[test]
fn processes_with_other_settings_are_refused_by_name() {
    let (_folder, settings) = settings(SHARDED);
    let binary = assert_cmd::cargo::cargo_bin("tcmax");
    let mut job = Command::new("mpirun");
    job.args(["--allow-run-as-root", "--oversubscribe"]);
    for (number, seed) in ["0", "1"].into_iter().enumerate() {
        if number > 0 {
            job.arg(":");
        }
        job.args(["-n", "1"])
            .arg(&binary)
            .args(["train", "--seeds", seed, "--config"])
            .arg(&settings);
    }
    let output = output(job);
    assert!(!output.status.success());
    let message = messages(&output);
    assert!(message.contains("rank 1") || message.contains("member 1"), "{message}");
    assert!(message.contains("seed"), "{message}");
}
