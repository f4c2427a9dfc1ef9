//! Job arrays of Slurm: what `compare --emit slurm` writes, run by bash as Slurm's tasks are.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tcmax_train::results::SuiteResult;

use crate::common;

/// A folder whose name has everything that scripts must quote, with data of two classes in it.
struct Study {
    _temporary: tempfile::TempDir,
    folder: PathBuf,
}

impl Study {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("it's a \"study\" of $HOME & 100 %a");
        std::fs::create_dir(&folder).unwrap();
        let tables = folder.join("my data");
        std::fs::create_dir(&tables).unwrap();
        for (name, distance) in [("left", 6), ("right", 3)] {
            let mut text = String::new();
            for row in 0..60 {
                let class = row * 7 % 10 / 5;
                let value = |column: usize| distance * class + (row * (11 + 2 * column)) % 9;
                writeln!(text, "{},{},{class}", value(1), value(2)).unwrap();
            }
            std::fs::write(tables.join(format!("{name}.csv")), text).unwrap();
        }
        Self { _temporary: temporary, folder }
    }

    fn compare(&self, arguments: &[&str]) -> Output {
        let mut command = common::tcmax();
        command.current_dir(&self.folder).args([
            "compare",
            "--dataset",
            "my data",
            "--epochs",
            "2",
        ]);
        command.args(["--set", "encoder.left.widths=[4]", "--set", "train.tensorboard=true"]);
        command.args(arguments).output().unwrap()
    }

    /// Starts a task of the array in `out`, as Slurm does: a copy of the script, from where it was submitted.
    fn task(&self, out: &str, task: usize) -> Child {
        let slurm = self.folder.join(out).join("slurm");
        let script = self.folder.join(format!("spooled-{out}-{task}"));
        std::fs::copy(slurm.join("runs.sbatch"), &script).unwrap();
        let mut command = Command::new("bash");
        command.arg(script).current_dir(slurm).env("SLURM_ARRAY_TASK_ID", task.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The results in a folder but for the times; as JSON, in which undefined metrics equal each other.
    fn results(&self, out: &str) -> serde_json::Value {
        let text = std::fs::read(self.folder.join(out).join("results.json")).unwrap();
        serde_json::to_value(timeless(serde_json::from_slice(&text).unwrap())).unwrap()
    }
}

/// The same without the times, which differ.
fn timeless(mut result: SuiteResult) -> SuiteResult {
    result.seconds = 0.0;
    for run in result.methods.iter_mut().flat_map(|method| &mut method.runs) {
        run.seconds = 0.0;
        run.history.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    }
    result
}

fn succeeded(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    message
}

fn finished(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

/// Modification times of the files of a run.
fn times(run: &Path) -> BTreeMap<PathBuf, std::time::SystemTime> {
    let entries = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
}

#[test]
fn tasks_side_by_side_leave_the_report_of_a_comparison_in_one_process() {
    let study = Study::new();
    let plan = [
        "--methods",
        "joint,tcmax head=film",
        "--seeds",
        "3,4",
        "--set",
        "data.folds=2",
        "--set",
        "compare.grid.optimiser.learning-rate=[0.01,0.05]",
    ];
    succeeded(&study.compare(&[&plan[..], &["--out", "local"]].concat()));
    let emitted =
        study.compare(&[&plan[..], &["--out", "array", "--emit", "slurm", "--jobs", "3"]].concat());
    succeeded(&emitted);
    let text = String::from_utf8_lossy(&emitted.stdout).into_owned();
    assert!(text.contains("16 tasks") && text.contains("submit.sh"), "{text}");
    let slurm = study.folder.join("array/slurm");
    assert!(!study.folder.join("array/runs").exists(), "nothing is trained");
    for name in ["runs.sbatch", "report.sbatch", "submit.sh"] {
        succeeded(&Command::new("bash").arg("-n").arg(slurm.join(name)).output().unwrap());
    }
    let script = std::fs::read_to_string(slurm.join("runs.sbatch")).unwrap();
    assert!(script.contains("\n#SBATCH --array=0-15%3\n"), "{script}");
    // As sbatch reads it: quotes with a backslash, and a doubled % for one.
    assert!(
        script.contains("it's a \\\"study\\\" of $HOME & 100 %%a/array/slurm/logs/%A_%a.log\"\n"),
        "{script}"
    );

    // A report before the end names what is missing.
    let report = || Command::new("bash").arg(slurm.join("report.sbatch")).output().unwrap();
    let early = report();
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&early.stderr).contains("not finished: 0 of 2 epochs"));

    let early = common::tcmax().current_dir(&study.folder).args(["compare", "array"]).output();
    let message = String::from_utf8(early.unwrap().stderr).unwrap();
    assert!(message.contains("the option --report writes"), "{message}");

    // Four at a time, the first of them twice: the second waits for nothing and damages nothing.
    for tasks in (0..16).collect::<Vec<_>>().chunks(4) {
        let twice = (tasks[0] == 0).then(|| study.task("array", 0));
        let children: Vec<Child> = tasks.iter().map(|&task| study.task("array", task)).collect();
        let outputs: Vec<Output> = children.into_iter().map(finished).collect();
        outputs[1..].iter().for_each(|output| drop(succeeded(output)));
        match twice.map(finished) {
            None => drop(succeeded(&outputs[0])),
            Some(other) => {
                let both = [&other, &outputs[0]];
                assert!(both.iter().any(|output| output.status.success()));
                for output in both.iter().filter(|output| !output.status.success()) {
                    let message = String::from_utf8_lossy(&output.stderr);
                    assert!(message.contains("another process is training"), "{message}");
                }
            }
        }
    }
    let outside = finished(study.task("array", 16));
    assert_eq!(outside.status.code(), Some(2));

    // A finished run is left as it is.
    let run = study.folder.join("array/runs/joint-learning-rate-0.01/seed-3-fold-0");
    assert!(run.join("result.json").is_file());
    let before = times(&run);
    let message = succeeded(&finished(study.task("array", 0)));
    assert!(message.contains("the run is finished"), "{message}");
    assert_eq!(times(&run), before);

    succeeded(&report());
    assert_eq!(study.results("array"), study.results("local"));
    let model = |out: &str| {
        let run = study.folder.join(out).join("runs/tcmax-film-learning-rate-0.05/seed-4-fold-1");
        std::fs::read(run.join("model.safetensors")).unwrap()
    };
    assert_eq!(model("array"), model("local"));
    for name in ["results.csv", "results.md", "report.html"] {
        assert!(study.folder.join("array").join(name).is_file(), "{name}");
    }
    // The comparison in one process takes the runs of the array for its own.
    succeeded(&study.compare(&[&plan[..], &["--out", "array", "--resume"]].concat()));
    assert_eq!(study.results("array"), study.results("local"));
    // What is there is not emitted over by mistake.
    let refused = study.compare(&[&plan[..], &["--out", "array", "--emit", "slurm"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    succeeded(
        &study.compare(&[&plan[..], &["--out", "array", "--emit", "slurm", "--resume"]].concat()),
    );
}

#[test]
fn a_killed_task_goes_on_and_one_that_fails_says_why_in_the_report() {
    let study = Study::new();
    let rates = "compare.grid.optimiser.learning-rate=[0.01,1e30]";
    let plan = ["--methods", "joint", "--seeds", "0", "--set", rates, "--out"];
    let local = study.compare(&[&plan[..], &["local"]].concat());
    assert_eq!(local.status.code(), Some(1));
    succeeded(&study.compare(&[&plan[..], &["array", "--emit", "slurm"]].concat()));

    // Killed without notice wherever it happens to be, and requeued.
    let mut first = study.task("array", 0);
    std::thread::sleep(std::time::Duration::from_millis(400));
    first.kill().unwrap();
    first.wait().unwrap();
    succeeded(&finished(study.task("array", 0)));
    let failed = finished(study.task("array", 1));
    assert_eq!(failed.status.code(), Some(1));

    let report = study.folder.join("array/slurm/report.sbatch");
    let report = Command::new("bash").arg(report).output().unwrap();
    assert_eq!(report.status.code(), Some(1));
    assert_eq!(study.results("array"), study.results("local"));
}

#[test]
fn options_of_slurm_and_ranks_reach_the_script() {
    let study = Study::new();
    let file = study.folder.join("an experiment.toml");
    let text = "[data]\nname = \"files\"\npath = \"my data\"\n[train]\nworkers = 2\n[compare]\nmethods = \
                [\"joint\"]\njobs = 2\n[compare.slurm]\npartition = \"gpu\"\ntime = \"02:00:00\"\nexclusive = \
                true\nrequeue = false\nmail-user = \"a b\"\n";
    std::fs::write(&file, text).unwrap();
    let emit = |more: &[&str]| {
        let mut command = common::tcmax();
        command.current_dir(&study.folder).args(["compare", "--config", "an experiment.toml"]);
        command
            .args(["--out", "array", "--emit", "slurm", "--seeds", "0,1,2"])
            .args(more)
            .output()
            .unwrap()
    };
    let options =
        ["--set", "compare.slurm.time=1-00:00:00", "--set", "compare.slurm.cpus-per-task=4"];
    succeeded(&emit(&[&options[..], &["--ranks", "2"]].concat()));
    let script = std::fs::read_to_string(study.folder.join("array/slurm/runs.sbatch")).unwrap();
    for line in [
        "#SBATCH --array=0-2%2",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=1-00:00:00",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --exclusive",
        "#SBATCH --mail-user=\"a b\"",
        "#SBATCH --ntasks=2",
    ] {
        assert!(script.lines().any(|other| other == line), "{line} is not in\n{script}");
    }
    assert!(script.contains("srun --ntasks=2") && script.contains("mpirun -n 2"), "{script}");
    assert!(script.contains("--set train.workers=2"), "{script}");
    assert!(!script.contains("--requeue"), "{script}");
    succeeded(
        &Command::new("bash")
            .arg("-n")
            .arg(study.folder.join("array/slurm/runs.sbatch"))
            .output()
            .unwrap(),
    );
    // Results do not depend on where they were computed, and do not keep it.
    let kept = std::fs::read_to_string(study.folder.join("array/experiment.toml")).unwrap();
    assert!(!kept.contains("gpu"), "{kept}");

    for (more, words) in [
        (&["--set", "compare.slurm.array=1-2"][..], "'array' is set by"),
        (&["--set", "compare.slurm.Time=1"], "long name"),
        (&["--ranks", "0"], "--ranks: must be at least 1"),
        (&["--force"], "cannot be used with"),
    ] {
        let output = emit(more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
    }
    let output = study.compare(&["--out", "array", "--only", "joint/seed-9"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--only: no run 'joint/seed-9'"), "{message}");
}
