//! The real binary.

use assert_cmd::Command;

/// The binary, with nothing of the caller's environment that would change what it does.
pub fn tcmax() -> Command {
    let mut command = Command::cargo_bin("tcmax").unwrap();
    command.env_remove("TCMAX_DATA_DIR").env("RUST_BACKTRACE", "0");
    command
}
