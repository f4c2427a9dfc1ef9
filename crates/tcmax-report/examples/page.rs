//! Draws the HTML page of a results.json again; without a file, that of two made-up methods.
//!
//! ```text
//! cargo run -p tcmax-report --example page [-- results.json [page.html]]
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::path::PathBuf;

use serde_json::{Value, json};
use tcmax_report::{html, table};
use tcmax_train::results::SuiteResult;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let result: SuiteResult = match arguments.next() {
        Some(file) => serde_json::from_str(&std::fs::read_to_string(file)?)?,
        None => serde_json::from_value(made_up())?,
    };
    let page = arguments.next().map(PathBuf::from);
    let page = page.unwrap_or_else(|| std::env::temp_dir().join("page.html"));
    println!("{}", table::comparison(&result));
    std::fs::write(&page, html(&result))?;
    println!("wrote {}", page.display());
    Ok(())
}

/// Two methods from five seeds on 200 test examples, as `tcmax compare` writes them.
fn made_up() -> Value {
    let run = |seed: u32, right: u32| {
        let accuracy = f64::from(right) / 200.0;
        json!({
            "seed": seed, "best_epoch": 3, "history": [], "seconds": 20.0,
            "test": {
                "examples": 200, "accuracy": accuracy, "balanced_accuracy": accuracy,
                "majority_rate": 0.5, "modality_accuracy": [0.7, 0.8], "cross_entropy": 0.4,
                "total_correlation": 1.2, "confusion": [[right / 2, 100 - right / 2], [
                    100 - right.div_ceil(2), right.div_ceil(2)]],
            },
        })
    };
    let runs =
        |right: [u32; 5]| -> Vec<Value> { (0..).zip(right).map(|(n, r)| run(n, r)).collect() };
    json!({
        "suite": "compare", "title": "made-up results", "truth": null, "settings": [],
        "versions": [], "seconds": 200.0,
        "dataset": {
            "name": "pairs", "description": "Not measured.", "modalities": ["sound", "sight"],
            "classes": ["no", "yes"], "sizes": [600, 200, 200],
        },
        "methods": [
            {"name": "joint", "description": "cross-entropy", "runs": runs([162, 165, 160, 163, 166])},
            {"name": "tcmax", "description": "total correlation", "runs": runs([178, 180, 177, 181, 179])},
        ],
    })
}
