//! `cargo xtask dist`: what lies beside an installed `tcmax`: manual pages, and scripts that complete its commands.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::{Shell, generate};
use clap_mangen::generate_to;
use tcmax_cli::command_line;
use tcmax_cli::progress::say;

/// Where each shell looks for its scripts, under the prefix of an installation.
const SCRIPTS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions/tcmax"),
    (Shell::Zsh, "share/zsh/site-functions/_tcmax"),
    (Shell::Fish, "share/fish/vendor_completions.d/tcmax.fish"),
];
/// Where `man` looks for pages of commands.
const PAGES: &str = "share/man/man1";

#[derive(Args)]
pub struct Dist {
    /// Folder for the files, as under the prefix of an installation
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    out: PathBuf,
}

impl Dist {
    /// Writes the pages and the scripts.
    pub fn run(self) -> anyhow::Result<()> {
        write(&command_line(), &self.out)?;
        say(&format!(
            "wrote {}; `man -l {}` shows the first page",
            self.out.join("share").display(),
            self.out.join(PAGES).join("tcmax.1").display()
        ));
        Ok(())
    }
}

fn write(command: &Command, out: &Path) -> anyhow::Result<()> {
    let pages = out.join(PAGES);
    std::fs::create_dir_all(&pages).with_context(|| format!("--out {}", out.display()))?;
    generate_to(command.clone(), &pages).with_context(|| pages.display().to_string())?;
    for (shell, file) in SCRIPTS {
        let mut script = Vec::new();
        generate(shell, &mut command.clone(), command.get_name(), &mut script);
        let file = out.join(file);
        let folder = file.parent().context("a script has a folder")?;
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        std::fs::write(&file, script).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<String> {
        let line = command_line();
        let commands = line.get_subcommands().filter(|command| !command.is_hide_set());
        commands.map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let out = tempfile::tempdir().unwrap();
        write(&command_line(), out.path()).unwrap();
        let read = |file: &str| std::fs::read_to_string(out.path().join(file)).unwrap();
        let first = read("share/man/man1/tcmax.1");
        assert!(commands().len() > 10);
        for name in commands() {
            assert!(first.contains(&format!("tcmax\\-{name}")), "tcmax.1 does not name {name}");
            let page = read(&format!("share/man/man1/tcmax-{name}.1"));
            for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
                assert!(page.contains(section), "tcmax-{name}.1 has no {section}");
            }
            for (shell, file) in SCRIPTS {
                assert!(read(file).contains(&name), "{shell} does not complete {name}");
            }
        }
    }

    /// Every flag is on its command's page.
    #[test]
    fn pages_have_all_flags() {
        let out = tempfile::tempdir().unwrap();
        write(&command_line(), out.path()).unwrap();
        let mut seen = 0;
        for command in command_line().get_subcommands() {
            let page = out.path().join(PAGES).join(format!("tcmax-{}.1", command.get_name()));
            let page = std::fs::read_to_string(page).unwrap();
            for flag in command.get_arguments().filter_map(|argument| argument.get_long()) {
                let written = format!("\\-\\-{}", flag.replace('-', "\\-"));
                assert!(page.contains(&written), "tcmax-{}.1 has no --{flag}", command.get_name());
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }

    /// `man` says nothing of a page that is in order.
    #[test]
    fn man_renders_the_pages() {
        let out = tempfile::tempdir().unwrap();
        write(&command_line(), out.path()).unwrap();
        for name in commands() {
            let page = out.path().join(PAGES).join(format!("tcmax-{name}.1"));
            let man =
                std::process::Command::new("man").args(["--warnings", "-l"]).arg(page).output();
            // Not every machine has it.
            let Ok(man) = man else { return };
            let (text, problems) =
                (String::from_utf8_lossy(&man.stdout), String::from_utf8_lossy(&man.stderr));
            assert!(man.status.success() && problems.is_empty(), "{name}: {problems}");
            assert!(text.contains("SYNOPSIS"), "{name}: {text}");
        }
    }
}
