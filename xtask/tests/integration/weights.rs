//! The real command on a Python that has torchvision and transformers.

use assert_cmd::Command;

#[test]
fn weights_are_exchanged_with_torchvision_and_transformers() {
    let Some(python) = std::env::var_os("TCMAX_TORCH_PYTHON") else {
        eprintln!(
            "SKIPPED: name a Python that has torch, torchvision and transformers in TCMAX_TORCH_PYTHON"
        );
        return;
    };
    let mut command = Command::cargo_bin("xtask").unwrap();
    command.arg("check-weights").arg("--python").arg(python).assert().success();
}
