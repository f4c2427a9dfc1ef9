//! A comparison as Markdown.

use tcmax_train::results::SuiteResult;

use crate::table::{choices, rows_of, sections, warnings};

/// The tables of a comparison, with what their columns are, and the warnings.
pub fn comparison(result: &SuiteResult) -> String {
    let dataset = &result.dataset;
    let [train, validation, test] = dataset.sizes;
    let mut text = format!(
        "# {}\n\n{} {train} examples to train, {validation} to validate, {test} to test; {} {}; modalities: \
         {}.\n",
        plain(&result.title),
        plain(&dataset.description),
        dataset.classes.len(),
        dataset.task.outputs(dataset.classes.len()),
        plain(&dataset.modalities.join(", "))
    );
    for warning in warnings(result) {
        text += &format!("\n> Warning: {}\n", plain(&warning));
    }
    let choices = choices(result);
    if !choices.is_empty() {
        text += "\nChosen on the validation splits (in how many runs):\n\n";
        text.extend(choices.iter().map(|line| format!("- {}\n", plain(line))));
    }
    for section in sections(result) {
        text += &format!("\n## {}\n\n{}\n\n", plain(&section.title), plain(&section.note));
        let header = section.columns.iter().map(|column| plain(&column.heading));
        let header: Vec<String> =
            ["method".to_owned(), "runs".to_owned()].into_iter().chain(header).collect();
        text += &row(&header);
        text += &format!("|:--|{}\n", "--:|".repeat(header.len() - 1));
        for n in rows_of(result, &section.columns) {
            let method = &result.methods[n];
            let mut cells = vec![plain(&method.name), method.runs.len().to_string()];
            cells.extend(section.columns.iter().map(|column| plain(&column.text(n).join(" "))));
            text += &row(&cells);
        }
    }
    text
}

/// The cells as one line of a table.
pub(crate) fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Text without what Markdown takes for markup.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '>' | '#' | '[' | ']' | '\\') {
            plain.push('\\');
        }
        plain.push(if c == '\n' { ' ' } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(plain("a|b_c*\nd"), "a\\|b\\_c\\* d");
    }
}
