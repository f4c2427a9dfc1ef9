//! Options as the command line calls them.
//!
//! Libraries name options as a configuration does: `` `data-dir` `` in a sentence, or `train-size: ` before
//! what is wrong with it. Here they become the flags of the command that was given, where it has such flags.

use clap::CommandFactory;

use super::Arguments;
use super::experiment::FLAGS;

/// A message with the options in it as flags of the command `name`.
pub fn with_flags(name: &str, message: &str) -> String {
    let arguments = Arguments::command();
    let Some(command) = arguments.find_subcommand(name) else { return message.to_owned() };
    let mut message = message.to_owned();
    // What stands in a file is named as it stands there.
    let of_file = message.contains("(line ");
    for (key, flag) in FLAGS {
        let has = command.get_arguments().any(|a| a.get_long() == flag.strip_prefix("--"));
        if let Some(rest) = message.strip_prefix(&format!("{key}: ")).filter(|_| has && !of_file) {
            message = format!("{flag}: {rest}");
        }
    }
    for argument in command.get_arguments() {
        let Some(option) = argument.get_long() else { continue };
        if message.starts_with(&format!("{option}: ")) {
            message.insert_str(0, "--");
        }
        let flag = match argument.get_env() {
            Some(variable) => format!("--{option} or {}", variable.display()),
            None => format!("--{option}"),
        };
        message = message.replace(&format!("`{option}`"), &flag);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags_of_the_command_that_has_them() {
        let message = "data.split: 'group' needs groups; name them in the option `group`, see `tcmax inspect`";
        assert_eq!(
            with_flags("train", message),
            "data.split: 'group' needs groups; name them in the option --group, see `tcmax inspect`"
        );
        assert_eq!(with_flags("methods", message), message);
        let message = "train.epochs: must be at least 1";
        assert_eq!(with_flags("train", message), "--epochs: must be at least 1");
        let message = "train.epochs: must be at least 1 (line 3, column 1)";
        assert_eq!(with_flags("train", message), message);
        assert_eq!(
            with_flags("train", "the folder `data-dir`, not `root`"),
            "the folder --data-dir or TCMAX_DATA_DIR, not `root`"
        );
    }
}
