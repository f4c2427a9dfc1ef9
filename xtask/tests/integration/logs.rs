//! The real command on a Python that has TensorBoard.

use assert_cmd::Command;

#[test]
fn tensorboard_reads_the_curves_of_an_interrupted_run() {
    let Some(python) = std::env::var_os("TCMAX_TENSORBOARD_PYTHON") else {
        eprintln!(
            "SKIPPED: name a Python that has TensorBoard (pip install tensorboard) in TCMAX_TENSORBOARD_PYTHON"
        );
        return;
    };
    let mut command = Command::cargo_bin("xtask").unwrap();
    command.arg("check-logs").arg("--python").arg(python).assert().success();
}
