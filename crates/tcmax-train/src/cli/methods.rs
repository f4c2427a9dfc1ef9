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
                    `tcmax train --option NAME.OPTION=VALUE`.";

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
        let options = toml::to_string(&HeadOptions::default())?;
        return Ok(format!(
            "{head}: {}\n\nOptions of heads (head.*):\n{options}",
            head.description()
        ));
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
    // OGM-GE has the options of OGM.
    let group = if method == MethodKind::OgmGe { "ogm" } else { method.name() };
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
