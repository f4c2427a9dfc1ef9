//! Tensors of a model are cast to f64 in one place, which knows the devices that have none.

use std::path::{Path, PathBuf};

/// Code that only ever sees tensors of the CPU: a test's tool, and fits of free-standing variables.
const CPU_ONLY: [&str; 2] = ["tcmax-ops/src/training/gradcheck.rs", "tcmax-estimators/src/fit/"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn f64_is_asked_of_the_cpu_alone() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for name in ["ops", "estimators", "fusion", "encoders", "losses", "train"] {
        sources(&crates.join(format!("tcmax-{name}/src")), &mut files);
    }
    assert!(files.len() > 80, "{} files", files.len());
    let mut casts = 0;
    for path in files {
        let name = path.strip_prefix(crates).unwrap().to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found = code.filter(|line| line.contains("to_dtype(DType::F64)")).count();
        if name == "tcmax-ops/src/wide.rs" {
            casts += found;
        } else if !CPU_ONLY.iter().any(|allowed| name.contains(allowed)) {
            assert_eq!(found, 0, "{name} casts to f64 on any device; see tcmax_ops::wide");
        }
    }
    assert!(casts > 0, "the one place is not where this test looks");
}
