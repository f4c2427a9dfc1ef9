//! `tcmax methods`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use tcmax_fusion::{HeadKind, HeadOptions};
use tcmax_losses::{MethodKind, MethodOptions};
use tcmax_train::Error;

use super::print;

/// Options of `tcmax methods`.
#[derive(Args)]
pub struct Methods {
    /// Tell about this method or head
    name: Option<String>,
}

impl Methods {
    /// Prints two tables, or what one method or head is and its options.
    pub fn run(self) -> anyhow::Result<()> {
        match self.name.as_deref() {
            None => print(&format!("{}\n\n{}\n\n{HINT}", methods()?, heads()))?,
            Some(name) => print(&one(name)?)?,
        }
        Ok(())
    }
}

const HINT: &str = "`tcmax methods NAME` lists the options of one; set them with \
                    `tcmax train --option METHOD.OPTION=VALUE` or `--option head.OPTION=VALUE`.";

fn table(header: [&str; 5]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn methods() -> anyhow::Result<Table> {
    let mut table = table(["method", "what it does", "modalities", "head", "source"]);
    for kind in MethodKind::ALL {
        table.add_row([
            kind.name().to_owned(),
            kind.description().to_owned(),
            kind.modalities().to_string(),
            kind.usual_head().name().to_owned(),
            kind.source().to_owned(),
        ]);
    }
    Ok(table)
}

fn heads() -> Table {
    let mut table = table(["head", "what it does", "modalities", "additive", ""]);
    for kind in HeadKind::ALL {
        let (modalities, additive) = if kind.is_additive() { ("any", "yes") } else { ("2", "no") };
        table.add_row([kind.name(), kind.description(), modalities, additive, ""]);
    }
    table
}

fn one(name: &str) -> anyhow::Result<String> {
    if let Ok(head) = name.parse::<HeadKind>() {
        let HeadOptions { hidden, temperature } = HeadOptions::default();
        let hidden =
            hidden.map_or("the width of the widest modality".to_owned(), |n| n.to_string());
        let options: String = head_options(head)
            .iter()
            .map(|option| match *option {
                "hidden" => format!("\nhidden = {hidden}"),
                _ => format!("\n{option} = {temperature}"),
            })
            .collect();
        let options = match options.as_str() {
            "" => "No options.".to_owned(),
            options => format!("Options and their defaults:\n[head-options]{options}"),
        };
        return Ok(format!("{head}: {}\n\n{options}", head.description()));
    }
    let Ok(method) = name.parse::<MethodKind>() else {
        let problem = format!(
            "no method or head '{name}'; methods are {}, heads are {}",
            MethodKind::names().join(", "),
            HeadKind::names().join(", ")
        );
        return Err(Error::setting("NAME", problem).into());
    };
    let table = toml::Table::try_from(MethodOptions::default())?;
    let group = option_group(method);
    let options = match table.get(group) {
        Some(options) => {
            format!("Options and their defaults:\n[method-options.{group}]\n{options}")
        }
        None => "No options.".to_owned(),
    };
    let source = match method.source() {
        "" => String::new(),
        source => format!(" ({source})"),
    };
    Ok(format!(
        "{method}: {}{source}\nModalities: {}. Usual head: {}.\n\n{options}",
        method.description(),
        method.modalities(),
        method.usual_head()
    ))
}

/// The name under which a method's options are set: OGM-GE has those of OGM.
pub(super) fn option_group(method: MethodKind) -> &'static str {
    if method == MethodKind::OgmGe { "ogm" } else { method.name() }
}

/// The options that a head has.
pub(super) fn head_options(head: HeadKind) -> &'static [&'static str] {
    match head {
        HeadKind::Clip => &["temperature"],
        HeadKind::Gated | HeadKind::GatedReversed | HeadKind::BiGated => &["hidden"],
        HeadKind::Concat
        | HeadKind::Sum
        | HeadKind::Shared
        | HeadKind::Specific
        | HeadKind::Film
        | HeadKind::FilmReversed => &[],
    }
}
