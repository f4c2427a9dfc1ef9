//! `tcmax completions`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, write_out};

/// Options of `tcmax completions`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tcmax completions bash > ~/.local/share/bash-completion/completions/tcmax\n  \
                        tcmax completions zsh > \"${fpath[1]}/_tcmax\"\n  tcmax completions fish > \
                        ~/.config/fish/completions/tcmax.fish"
)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script that the shell reads.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "tcmax", &mut script);
        write_out(&script)
    }
}
