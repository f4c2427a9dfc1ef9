//! A comparison as a job array of Slurm: scripts whose tasks train one run each.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tcmax_registry::Table;
use tcmax_train::checkpoint::write_whole;
use tcmax_train::{Error, PlannedRun};

use crate::progress::say;

/// Tasks of an array that Slurm takes as it is installed (`MaxArraySize` less one).
const USUAL_MOST: usize = 1_000;

/// A job array to write.
pub struct Array<'a> {
    /// Options of sbatch by their long names.
    pub options: &'a Table,
    /// The most tasks at a time, if there is a limit.
    pub at_a_time: Option<usize>,
    /// Processes of each run, if they are several that know of each other.
    pub ranks: Option<usize>,
    /// Threads of each run; absent: as many as the task has cores.
    pub threads: Option<usize>,
    /// Arguments of every command beside the experiment file and the folder.
    pub arguments: Vec<String>,
    /// The runs, in the order of the tasks.
    pub runs: Vec<PlannedRun>,
}

/// Where everything is, as absolute paths: Slurm copies scripts before it starts them. None has a backslash, which
/// in the path of a log has a meaning to Slurm that nothing takes away.
struct Places {
    program: String,
    /// From where the paths of the experiment are.
    current: String,
    out: String,
    slurm: String,
}

impl Places {
    fn of(out: &Path) -> anyhow::Result<Self> {
        let text = |path: PathBuf| -> anyhow::Result<String> {
            let odd = |c: char| c.is_control() || c == '\\';
            let text = path.to_str().filter(|path| !path.contains(odd));
            let problem =
                "a path in a script has to be Unicode without line breaks and backslashes";
            Ok(text.with_context(|| format!("{}: {problem}", path.display()))?.to_owned())
        };
        let out = std::path::absolute(out).context("the current folder")?;
        Ok(Self {
            program: text(std::env::current_exe().context("the program's path")?)?,
            current: text(std::env::current_dir().context("the current folder")?)?,
            slurm: text(out.join("slurm"))?,
            out: text(out)?,
        })
    }
}

impl Array<'_> {
    /// Writes the scripts into the folder `slurm` of `out`; what to do with them is returned.
    pub fn write(&self, out: &Path) -> anyhow::Result<String> {
        if self.ranks == Some(0) {
            return Err(Error::setting("--ranks", "must be at least 1").into());
        }
        let places = Places::of(out)?;
        let folder = out.join("slurm");
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        for (name, text) in [
            ("runs.tsv", self.table()),
            ("runs.sbatch", self.runs_script(&places)),
            ("report.sbatch", self.report_script(&places)),
            ("submit.sh", submit_script(&places)),
        ] {
            write_whole(&folder.join(name), text.as_bytes())?;
        }
        let runs = self.runs.len();
        if runs > USUAL_MOST {
            say(&format!(
                "note: an array of {runs} tasks is more than Slurm takes unless its MaxArraySize was raised"
            ));
        }
        let submit = quoted(&format!("{}/submit.sh", places.slurm));
        Ok(format!(
            "Wrote {}: runs.sbatch (an array of {runs} tasks, one per run), runs.tsv (which is which), \
             report.sbatch (the report), logs.\nSubmit both:  bash {submit}\nThe report at any time:  {} --report",
            folder.display(),
            self.command(&places)
        ))
    }

    /// Task, folder, method, seed and fold of every run.
    fn table(&self) -> String {
        let mut text = "task\trun\tmethod\tseed\tfold\n".to_owned();
        for (task, PlannedRun { folder, label, .. }) in self.runs.iter().enumerate() {
            let method = label.method.replace(char::is_control, " ");
            let fold = label.fold.map_or_else(String::new, |fold| fold.to_string());
            let _ = writeln!(text, "{task}\t{folder}\t{method}\t{}\t{fold}", label.seed);
        }
        text
    }

    fn runs_script(&self, places: &Places) -> String {
        let last = self.runs.len().saturating_sub(1);
        let at_a_time = self.at_a_time.map_or_else(String::new, |jobs| format!("%{jobs}"));
        let array = format!("0-{last}{at_a_time}");
        let ranks = self.ranks.map(|ranks| ("ntasks", ranks.to_string()));
        let head = self.head(places, "tcmax", "%A_%a.log", Some(("array", array)), ranks);
        let threads = match self.threads {
            Some(threads) => threads.to_string(),
            None => "\"${SLURM_CPUS_PER_TASK:-1}\"".to_owned(),
        };
        let start = self.ranks.map_or_else(String::new, |ranks| {
            format!(
                "srun --ntasks={ranks} --cpus-per-task=\"${{SLURM_CPUS_PER_TASK:-1}}\" --kill-on-bad-exit=1 \\\n    "
            )
        });
        let about_ranks = self.ranks.map_or_else(String::new, |ranks| {
            format!(
                "# {ranks} processes train a run together, which takes a tcmax with the feature mpi. How srun starts \
                 MPI:\n# SLURM_MPI_TYPE (srun --mpi=list); where it does not, put `mpirun -n {ranks}` in its place.\n"
            )
        });
        format!(
            "{head}
# A task trains the run in its line of runs.tsv. Started again, it goes on after the last whole epoch; a finished
# run is left as it is, and one that another task trains at the moment is refused.
run=$(awk -F '\\t' -v task=\"$SLURM_ARRAY_TASK_ID\" '$1 == task {{ print $2 }}' {table})
if [ -z \"$run\" ]; then
    echo \"runs.tsv has no task $SLURM_ARRAY_TASK_ID\" >&2
    exit 2
fi
cd {current}
{about_ranks}exec {start}{command} \\\n    --only \"$run\" --threads {threads}
",
            table = quoted(&format!("{}/runs.tsv", places.slurm)),
            current = quoted(&places.current),
            command = self.command(places),
        )
    }

    fn report_script(&self, places: &Places) -> String {
        let head = self.head(places, "tcmax-report", "report_%j.log", None, None);
        let (current, command) = (quoted(&places.current), self.command(places));
        format!(
            "{head}
# Trains nothing: the report of the runs that are finished, and why others are not.
cd {current}
exec {command} \\\n    --report
"
        )
    }

    /// The first line of a script, what sbatch reads, and what bash is to do about errors. Options of the user
    /// take the place of ours.
    fn head(
        &self,
        places: &Places,
        name: &str,
        log: &str,
        array: Option<(&str, String)>,
        ranks: Option<(&str, String)>,
    ) -> String {
        let mut text = "#!/usr/bin/env bash\n".to_owned();
        // A % of a path is doubled: other than in the log's name it stands for nothing.
        let log = format!("{}/logs/{log}", places.slurm.replace('%', "%%"));
        let own = [("job-name", name), ("output", &log), ("open-mode", "append"), ("requeue", "")];
        let own = own.map(|(key, value)| (key, value.to_owned())).into_iter();
        for (key, value) in array.into_iter().chain(own).chain(ranks) {
            if !self.options.contains_key(key) {
                text += &directive(key, &value);
            }
        }
        for (key, value) in self.options {
            text += &match value {
                toml::Value::Boolean(true) => directive(key, ""),
                toml::Value::Boolean(false) => String::new(),
                toml::Value::String(value) => directive(key, value),
                value => directive(key, &value.to_string()),
            };
        }
        text + "\nset -euo pipefail\n"
    }

    /// The command that all scripts give, without what it is to do.
    fn command(&self, places: &Places) -> String {
        let config = format!("{}/experiment.toml", places.out);
        let own = [&places.program, "compare", "--config", &config, "--out", &places.out];
        let words = own.into_iter().chain(self.arguments.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

fn submit_script(places: &Places) -> String {
    let slurm = quoted(&places.slurm);
    format!(
        "#!/usr/bin/env bash
# Submits the runs, and the report for when all of them have ended, whether they succeeded or not.
set -euo pipefail
cd {slurm}
job=$(sbatch --parsable runs.sbatch)
job=${{job%%;*}} # the cluster's name follows where there are several
echo \"runs: job $job\"
sbatch --dependency=\"afterany:$job\" report.sbatch
"
    )
}

/// A line that sbatch reads, of an option with a value or without: it knows both kinds of quotes, and a backslash in front of any character.
fn directive(key: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@%,".contains(c);
    if value.is_empty() {
        return format!("#SBATCH --{key}\n");
    }
    if value.chars().all(plain) {
        return format!("#SBATCH --{key}={value}\n");
    }
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("#SBATCH --{key}=\"{value}\"\n")
}

/// A word as bash reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@%,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_bash_and_for_sbatch() {
        assert_eq!(quoted("/data/a-b_1.toml"), "/data/a-b_1.toml");
        assert_eq!(quoted("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(quoted(""), "''");
        assert_eq!(directive("time", "02:00:00"), "#SBATCH --time=02:00:00\n");
        assert_eq!(directive("output", "/a \"b\\'"), "#SBATCH --output=\"/a \\\"b\\\\'\"\n");
        assert_eq!(directive("constraint", "a&b"), "#SBATCH --constraint=\"a&b\"\n");
    }
}
