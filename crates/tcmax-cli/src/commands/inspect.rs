//! `tcmax inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use tcmax_data::shards::{Description, verify};
use tcmax_data::user_data::{Inspection, Layout};
use tcmax_data::{Problems, UserDataConfig, write_whole};
use tcmax_media::{PrepareProgress, check};
use tcmax_report::balance;
use tcmax_train::{Error, Task};

use super::{print, with_flags};
use crate::progress::{PrepareBar, say};

/// Options of `tcmax inspect`.
#[derive(Args)]
pub struct Inspect {
    /// A feature file, a folder of feature tables, a manifest, or prepared clips
    path: PathBuf,
    /// Column or array with the labels [default: label and its like]
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Column or array with groups [default: group and its like]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// What the labels are: classes, labels or regression [default: what a feature file shows, else classes]
    #[arg(long, value_name = "TASK")]
    task: Option<Task>,
    /// Do not decode the media of a manifest, nor read all of prepared clips to compare their checksums
    #[arg(long)]
    quick: bool,
    /// Draw the class balance into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Looks, prints, and fails when something is wrong with the data.
    pub fn run(self) -> anyhow::Result<()> {
        let config = UserDataConfig {
            label: self.label.clone(),
            group: self.group.clone(),
            task: self.task,
            ..UserDataConfig::at(&self.path)
        };
        let (mut found, manifest) = Inspection::of(&config).map_err(Error::from)?;
        if let Some((manifest, mut problems)) = manifest {
            if !self.quick {
                check(&manifest, &mut problems, &PrepareBar::new());
            }
            found.add(problems);
        } else if !self.quick
            && let Layout::Prepared(folder) = Layout::of(&self.path).map_err(Error::from)?
        {
            found.add(verify_shards(&folder)?);
        }
        if let Some(file) = &self.plot {
            if found.task == Task::Regression {
                let problem =
                    "draws the balance of classes or labels, and there are numbers to predict";
                return Err(Error::setting("--plot", problem).into());
            }
            let title = format!("{}: examples of each class", self.path.display());
            let svg = balance::svg(&title, &found.classes)
                .map_err(|problem| Error::bad_file(file, problem))?;
            write_whole(file, svg.as_bytes()).map_err(Error::from)?;
            say(&format!("wrote {}", file.display()));
        }
        if self.json {
            print(&serde_json::to_string_pretty(&found)?)?;
        } else {
            print(&describe(&found))?;
        }
        match found.problems.len() {
            0 => Ok(()),
            count => {
                let plural = if count == 1 { "" } else { "s" };
                let problem = format!("{count} problem{plural}, listed above");
                Err(Error::bad_file(&self.path, problem).into())
            }
        }
    }
}

/// Compares the checksums of prepared clips.
fn verify_shards(folder: &Path) -> Result<Problems, Error> {
    let (mut problems, bar) = (Problems::new(), PrepareBar::showing("checking", "shards"));
    bar.started(0, Description::read(folder)?.shards.len());
    let verified = verify(folder, &mut problems, &|| bar.clip());
    bar.finished();
    verified?;
    Ok(problems)
}

fn describe(found: &Inspection) -> String {
    let mut text = format!("{}\n{} examples\n\nModalities\n", found.layout, found.examples);
    for modality in &found.modalities {
        let shape = match modality.shape[..] {
            [] => String::new(),
            _ => format!(" {:?}", modality.shape),
        };
        text += &format!("  {}: {}{shape}", modality.name, modality.kind);
        if modality.missing > 0 {
            text += &format!(", missing in {} examples", modality.missing);
        }
        text.push('\n');
    }
    if let Some([train, validation, test]) = found.splits {
        text += &format!("\nSplit: {train} train, {validation} validation, {test} test\n");
    }
    if let Some(groups) = found.groups {
        text += &format!("Groups: {groups}\n");
    }
    if found.task == Task::Regression {
        text += &format!("\n{} {}\n", found.numbers.len(), found.task.outputs(found.numbers.len()));
        for (name, [least, mean, largest]) in &found.numbers {
            text += &format!("  {name}: {least:.6} to {largest:.6}, mean {mean:.6}\n");
        }
    } else {
        let outputs = found.task.outputs(found.classes.len());
        text += &format!("\n{} {outputs}\n{}", found.classes.len(), balance::text(&found.classes));
    }
    for note in &found.notes {
        text += &format!("\nnote: {note}");
    }
    for warning in &found.warnings {
        text += &format!("\nwarning: {warning}");
    }
    match (found.problems.len(), found.warnings.len()) {
        (0, 0) => text += "\nNothing is wrong.",
        (0, 1) => text += "\nNothing is broken; look at the warning above.",
        (0, count) => text += &format!("\nNothing is broken; look at the {count} warnings above."),
        _ => {}
    }
    for problem in &found.problems {
        text += &format!("\nproblem: {}", with_flags("inspect", problem));
    }
    text
}
