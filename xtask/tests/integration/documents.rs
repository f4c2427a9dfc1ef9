//! What the book in `docs`, the README and the change log say can be followed: links lead somewhere, commands and
//! experiments are accepted.

use std::path::Path;

use clap::error::ErrorKind;
use tcmax_cli::{command_line, parse_assignment};
use tcmax_registry::Choice;
use tcmax_train::{Experiment, Registry, variants};

use crate::markdown::{anchors, blocks, commands, inline_code, links, pages, read, root, words};

/// The pages of the book, and what lies beside it.
fn documents() -> Vec<String> {
    let mut all = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    all.extend(pages());
    all
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let mut seen = 0;
    for document in documents() {
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for link in links(&read(&document)) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                _ => folder.join(file).to_str().unwrap().to_owned(),
            };
            assert!(root().join(&target).exists(), "{document}: there is no {file}");
            let has = |anchor: &str| anchors(&read(&target)).iter().any(|other| other == anchor);
            assert!(anchor.is_empty() || has(anchor), "{document}: {file} has no #{anchor}");
            // Other files are not in the book that is made of these pages.
            let stays = !document.starts_with("docs/") || !file.contains('/');
            assert!(stays, "{document}: {file} is outside of the book; name its path");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn files_of_the_repository_are_where_it_is_said() {
    let folders =
        ["crates/", "experiments/", "benches/", "xtask/", "datasets/", "examples/own-method"];
    let mut seen = 0;
    for document in documents() {
        for code in inline_code(&read(&document)) {
            if !code.contains(' ') && folders.iter().any(|folder| code.starts_with(folder)) {
                assert!(root().join(&code).exists(), "{document}: there is no {code}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_page_is_in_the_summary_once() {
    let mut linked = links(&read("docs/src/SUMMARY.md"));
    linked.sort();
    let names = pages().into_iter().filter_map(|page| Some(page.rsplit_once('/')?.1.to_owned()));
    let own: Vec<String> = names.filter(|name| name != "SUMMARY.md").collect();
    assert!(own.len() > 10);
    assert_eq!(linked, own, "left: the summary; right: the pages");
}

/// The experiment that a command line of `train`, `compare` or `config` makes.
fn experiment(matches: &clap::ArgMatches) -> Result<Experiment, Box<dyn std::error::Error>> {
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let path = matches.get_one::<std::path::PathBuf>("config").map(|path| root().join(path));
    let mut experiment = match path.filter(|path| path.exists()) {
        Some(path) => Experiment::from_toml(&std::fs::read_to_string(path)?)?,
        None => Experiment::default(),
    };
    if let Some(data) = text("dataset") {
        let is_named = Registry::default().data.get(&data).is_ok();
        let files = Choice::named("files").with("path", data.clone());
        experiment.config.data = if is_named { Choice::named(&data) } else { files };
    }
    if let Some(method) = text("method") {
        experiment.config = experiment.config.by_method(&method);
    }
    for (flag, key) in [("head", "head.name"), ("encoder", "encoder.name")] {
        if let Some(name) = text(flag) {
            experiment.set(key, name.into())?;
        }
    }
    for assignment in matches.get_many::<String>("set").into_iter().flatten() {
        let (key, value) = parse_assignment(assignment)?;
        experiment.set(&key, value)?;
    }
    if let Some(methods) = matches.try_get_many::<String>("methods").ok().flatten() {
        experiment.compare.methods = methods.cloned().collect();
    }
    Ok(experiment)
}

/// Names of modalities for an experiment: those it has settings for, and so many more that there are two.
fn modalities(experiment: &Experiment) -> Vec<String> {
    let options = experiment.config.encoder.options.iter();
    let tables = options.filter(|(_, value)| value.is_table()).map(|(name, _)| name.clone());
    let mut names: Vec<String> = tables.collect();
    let more = ["audio", "visual"].map(str::to_owned).into_iter();
    let more: Vec<String> = more.filter(|name| !names.contains(name)).collect();
    names.extend(more.into_iter().take(2usize.saturating_sub(names.len())));
    names
}

/// Checks an experiment as far as is possible without its data: the run of one method, or what is compared.
fn check(mut experiment: Experiment, is_compared: bool) -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::default();
    if experiment.config.data.name == "files" {
        experiment.set("data.path", "clips".into())?;
    }
    if is_compared {
        variants(&experiment, &registry, &modalities(&experiment))?;
    } else {
        experiment.config.check_with(&registry)?;
    }
    Ok(())
}

#[test]
fn every_command_of_tcmax_is_accepted() {
    let mut seen = 0;
    for document in documents() {
        for command in commands(&read(&document), "tcmax") {
            let line = command.join(" ");
            let matches = command_line().try_get_matches_from(&command).unwrap_or_else(|error| {
                // Printing help is what some are for.
                assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{document}: {line}: {error}");
                clap::ArgMatches::default()
            });
            if let Some((name @ ("train" | "compare" | "config"), matches)) = matches.subcommand() {
                let made = experiment(matches);
                let checked = made.and_then(|experiment| check(experiment, name == "compare"));
                checked.unwrap_or_else(|error| panic!("{document}: {line}: {error}"));
            }
            seen += 1;
        }
        // In a sentence a command may lack its arguments, but has none that are wrong. A method with an option, such
        // as `tcmax weight=0.1`, is no command.
        for code in inline_code(&read(&document)) {
            if !code.starts_with("tcmax ") || words(&code)[1].contains('=') {
                continue;
            }
            let outcome = command_line().try_get_matches_from(words(&code));
            let lacks = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::DisplayHelp,
                ErrorKind::DisplayVersion,
            ];
            let kind = outcome.as_ref().err().map(clap::Error::kind);
            let fits = kind.is_none_or(|kind| lacks.contains(&kind));
            assert!(fits, "{document}: `{code}`: {}", outcome.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn every_command_of_xtask_is_accepted() {
    let mut seen = 0;
    for document in documents() {
        for command in commands(&read(&document), "cargo xtask") {
            // With --help a command is read and not done.
            let mut xtask = assert_cmd::Command::cargo_bin("xtask").unwrap();
            let output = xtask.args(&command[2..]).arg("--help").output().unwrap();
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{document}: {}: {message}", command.join(" "));
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn every_experiment_is_accepted() {
    let mut seen = 0;
    for document in documents() {
        let text = read(&document);
        for block in blocks(&text).0.iter().filter(|block| block.language == "toml") {
            let text = block.lines.join("\n");
            let is_compared = text.contains("[compare");
            let read = Experiment::from_toml(&text).map_err(Into::into);
            let checked = read.and_then(|experiment| check(experiment, is_compared));
            checked.unwrap_or_else(|error| panic!("{document}: {error}\n{text}"));
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}

/// A test that cannot fail would be none.
#[test]
fn what_is_wrong_is_found() {
    let parsed = |line: &str| command_line().try_get_matches_from(words(line));
    assert!(parsed("tcmax train --epocs 3").is_err());
    let checked = |line: &str| {
        let matches = parsed(line).unwrap();
        let (name, matches) = matches.subcommand().unwrap();
        experiment(matches).and_then(|experiment| check(experiment, name == "compare"))
    };
    assert!(checked("tcmax train --method ogm --set method.alpha=0.3   a comment").is_ok());
    for wrong in [
        "tcmax train --method ogm --set method.alfa=0.3",
        "tcmax train --set train.epoch=3",
        "tcmax compare --methods joint,tcmacks --out DIR",
    ] {
        assert!(checked(wrong).is_err(), "{wrong}");
    }
    let found = anchors("# A b-c: `d`, e\n## A b-c: `d`, e\n");
    assert_eq!(found, ["a-b-c-d-e", "a-b-c-d-e-1"]);
    assert_eq!(links("[a](b.md#c) `[x](y)` ![d](e.svg)"), ["b.md#c", "e.svg"]);
    assert_eq!(
        words("tcmax compare --methods 'mla a=b',tcmax > x"),
        ["tcmax", "compare", "--methods", "mla a=b,tcmax"]
    );
}

#[test]
fn every_method_and_estimator_has_a_line() {
    let registry = Registry::default();
    let rows = |page: &str| -> Vec<String> {
        let text = read(page);
        let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        cells.map(str::to_owned).collect()
    };
    let found = rows("docs/src/methods.md");
    for name in registry.methods.names() {
        assert_eq!(found.iter().filter(|row| **row == name).count(), 1, "method {name}");
    }
    let found = rows("docs/src/estimators.md");
    for name in registry.estimators.names() {
        assert!(found.iter().any(|row| **row == *name), "estimator {name}");
    }
}
