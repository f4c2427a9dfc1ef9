//! The experiment files in the README are valid.

use std::path::Path;

use tcmax_train::{Experiment, Registry, variants};

#[test]
fn the_experiments_of_the_readme_can_be_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|after| after.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    let modalities = [["audio", "visual"], ["audio", "visual"], ["image", "text"]];
    for (block, modalities) in blocks.into_iter().zip(modalities) {
        let experiment = Experiment::from_toml(block).unwrap();
        let modalities = modalities.map(str::to_owned);
        let variants = variants(&experiment, &Registry::default(), &modalities).unwrap();
        assert!(variants.len() >= 3, "{block}");
    }
}
