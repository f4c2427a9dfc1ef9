//! `cargo xtask golden`: every recorded case of a directory, in double and in single precision.

mod audio;
mod blend;
mod case;
mod causal_text;
mod checkpoints;
mod encoders;
mod estimators;
mod heads;
mod methods;
mod methods_modulated;
mod methods_own;
mod methods_planned;
mod methods_speed;
mod methods_taught;
mod metrics;
mod network;
mod optimisers;
mod schedules;
mod sequences;
mod stepped;
mod text;
mod tokenizers;
mod total_correlation;
mod training;
mod transformers;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use candle_core::DType;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};

use case::Case;

/// Options of `cargo xtask golden`.
#[derive(Args)]
pub struct Golden {
    /// Directory of case files (*.safetensors with a header that says what they are)
    #[arg(long)]
    dir: PathBuf,
    /// Print every quantity, not only the worst of each case
    #[arg(long)]
    quantities: bool,
    /// Only cases whose name begins with this
    #[arg(long, default_value = "")]
    only: String,
}

type Check = fn(&Case) -> anyhow::Result<()>;

/// What the beginning of a case's name tells of its kind; the longest match counts.
const KINDS: &[(&str, Check)] = &[
    ("agm_", methods::agm),
    ("arl_", methods_speed::arl),
    ("amco_", methods_own::amco),
    ("aug_", methods_own::aug),
    ("aug_ratio", methods_own::aug_ratio),
    ("bert", transformers::bert),
    ("blend_", blend::blend),
    ("blend_lw_", blend::within_classes),
    ("cggm_", methods_own::cggm),
    ("cggm_coeff_", methods_own::cggm_coefficients),
    ("causal_", causal_text::causal_text),
    ("ce_unimodal", heads::given_logits),
    ("clip_", transformers::clip),
    ("cml_", methods_speed::cml),
    ("dgl_", methods_modulated::dgl),
    ("dimml_", methods_taught::di_mml),
    ("distilbert", transformers::distilbert),
    ("dr_", methods_taught::diagnose_relearn),
    ("encoder_", sequences::transformer),
    ("fbank_", audio::filter_bank),
    ("fusion_", heads::fusion),
    ("g2d_", methods_taught::g2d),
    ("gaussian_tc", estimators::gaussian),
    ("gru_", sequences::recurrent),
    ("inforeg_", methods_speed::info_reg_epochs),
    ("inforeg_table", methods_speed::info_reg_table),
    ("iprm_", methods_own::iprm),
    ("iprm_slerp", methods_own::iprm_on_sphere),
    ("lstm_", sequences::recurrent),
    ("mbsd_", methods_speed::mbsd),
    ("lfm_", methods_taught::lfm),
    ("mcr_", methods_taught::mcr),
    ("metrics_", metrics::classification),
    ("metrics_multilabel", metrics::multi_label),
    ("mi_bounds", estimators::bounds),
    ("minnorm", methods::min_norm),
    ("mla_projection", methods::mla_projection),
    ("mla_train", training::mla),
    ("mlb_", methods_speed::mlb),
    ("mmpareto_", training::mm_pareto),
    ("mslr_", methods_speed::mslr),
    ("ogm_", methods::ogm),
    ("opm_", methods::opm),
    ("optim_", optimisers::steps),
    ("pdf_", methods_own::pdf),
    ("pmr_", methods::pmr),
    ("pmr_prototypes", methods::pmr_prototypes),
    ("predictions", methods::predictions),
    ("qmf_loss", methods::qmf),
    ("reconboost_", methods_planned::reconboost),
    ("remix_", methods_planned::remix),
    ("resnet18_", encoders::resnet),
    ("resnet34_", encoders::resnet),
    ("resnet50_", encoders::resnet),
    ("roberta", transformers::roberta),
    ("resnet18_full_state", encoders::state_only),
    ("schedules", schedules::schedules),
    ("spec", audio::spectrogram),
    ("tcn_", sequences::convolution),
    ("train_bert_", transformers::training),
    ("tcmax_", total_correlation::heads),
    ("tcmax_m", total_correlation::many_modalities),
    ("tcmax_sample_", total_correlation::sampled),
    ("tcne_", estimators::tcne),
    ("train_step_", training::train_step),
    ("umt_", methods_taught::umt),
    ("unimodal_", heads::unimodal_loss),
    ("valuation_", methods_planned::valuation),
    ("vit_hf", transformers::vit),
    ("vit_tv", transformers::vit_torchvision),
];

impl Golden {
    /// Runs every case; fails if one does, or is of an unknown kind.
    pub fn run(self) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["case", "type", "quantity", "largest relative error", "limit", "result"]);
        let (mut cases, mut failed) = (0, 0);
        for path in case_files(&self.dir)? {
            for dtype in [DType::F64, DType::F32] {
                let case = Case::read(&path, dtype).with_context(|| path.display().to_string());
                let case = match case {
                    Ok(case) if case.name.starts_with(&self.only) => case,
                    Ok(_) => continue,
                    Err(error) => {
                        failed += 1;
                        table.add_row([
                            &path.display().to_string(),
                            "",
                            "",
                            "",
                            "",
                            &format!("FAIL: {error:#}"),
                        ]);
                        continue;
                    }
                };
                cases += 1;
                failed += usize::from(!self.add(&case, &mut table));
            }
        }
        for (name, quantity, result) in self.lists()? {
            cases += 1;
            failed += usize::from(result != "pass");
            table.add_row([&name, "", &quantity, "", "", &result]);
        }
        for column in [3, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut out = std::io::stdout();
        writeln!(out, "{table}")?;
        if cases == 0 {
            bail!("{} has no case whose name begins with '{}'", self.dir.display(), self.only);
        }
        writeln!(out, "{} of {cases} pass (each case counts once a type)", cases - failed)?;
        if failed > 0 {
            bail!("{failed} of {cases} fail");
        }
        Ok(())
    }

    /// What has no numbers to round, tokens and names of tensors: what it is, what was compared, and the result.
    fn lists(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let mut checked: Vec<(String, anyhow::Result<String>)> = Vec::new();
        for folder in tokenizers::folders(&self.dir)? {
            let name = tokenizers::name(&folder);
            if name.starts_with(&self.only) {
                let rows = tokenizers::check(&folder);
                checked.push((name, rows.map(|rows| format!("{rows} rows of tokens"))));
            }
        }
        for (model, tensors) in checkpoints::models(&self.dir)? {
            if model.starts_with(&self.only) {
                let compared = checkpoints::check(&model, &tensors);
                checked.push((model, compared));
            }
        }
        let row = |(name, compared): (String, anyhow::Result<String>)| match compared {
            Ok(quantity) => (name, quantity, "pass".to_owned()),
            Err(error) => (name, String::new(), format!("FAIL: {error:#}")),
        };
        Ok(checked.into_iter().map(row).collect())
    }

    /// Runs one case and adds its rows; whether it passes.
    fn add(&self, case: &Case, table: &mut Table) -> bool {
        let dtype = if case.is_single() { "f32" } else { "f64" };
        let mut row = |quantity: &str, error: String, limit: String, result: &str| {
            table.add_row([&case.name, dtype, quantity, &error, &limit, result]);
        };
        let Some(check) = kind_of(&case.name) else {
            row("", String::new(), String::new(), "FAIL: unknown kind of case");
            return false;
        };
        let failure = check(case).err();
        let (compared, left) = case.outcome();
        let mut worst: Option<(&String, &case::Compared)> = None;
        let mut passes = failure.is_none();
        for (quantity, comparison) in &compared {
            passes &= comparison.passes();
            if self.quantities || !comparison.passes() {
                let result = if comparison.passes() { "pass" } else { "FAIL" };
                let (error, limit) = shown(comparison);
                row(quantity, error, limit, result);
            }
            let ratio = |c: &case::Compared| c.error / c.tolerance;
            if worst.is_none_or(|(_, other)| ratio(comparison).total_cmp(&ratio(other)).is_gt()) {
                worst = Some((quantity, comparison));
            }
        }
        for quantity in &left {
            passes = false;
            row(quantity, String::new(), String::new(), "FAIL: not compared");
        }
        if let Some(failure) = failure {
            row("", String::new(), String::new(), &format!("FAIL: {failure:#}"));
        }
        if compared.is_empty() && passes && !is_support(&case.name) {
            row("", String::new(), String::new(), "FAIL: nothing to compare");
            return false;
        }
        if passes && !self.quantities {
            let (quantity, error, limit) = match worst {
                Some((quantity, comparison)) => {
                    let (error, limit) = shown(comparison);
                    (format!("{} quantities, worst: {quantity}", compared.len()), error, limit)
                }
                None => ("weights that other cases use".to_owned(), String::new(), String::new()),
            };
            row(&quantity, error, limit, "pass");
        }
        passes
    }
}

fn shown(comparison: &case::Compared) -> (String, String) {
    (format!("{:.1e}", comparison.error), format!("{:.0e}", comparison.tolerance))
}

/// Whether a file only holds what other cases need.
fn is_support(name: &str) -> bool {
    name == "resnet18_full_state"
}

fn kind_of(name: &str) -> Option<Check> {
    let matching = KINDS.iter().filter(|(prefix, _)| name.starts_with(prefix));
    matching.max_by_key(|(prefix, _)| prefix.len()).map(|(_, check)| *check)
}

fn case_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
