//! `cargo xtask check-cuda`: that everything compiles for NVIDIA's devices, on a machine that has neither such a device
//! nor its compiler.
//!
//! The compiler and its headers come as Python wheels into `target/cuda`; nothing is installed elsewhere. `nvcc` takes most
//! of the time, on one core.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use tcmax_cli::progress::say;

use crate::workspace::{Metadata, cargo, run};

/// Compiler, headers and the libraries that candle links, of one release.
const WHEELS: [&str; 7] = [
    "nvidia-cuda-nvcc==13.2.*",
    "nvidia-cuda-crt==13.2.*",
    "nvidia-nvvm==13.2.*",
    "nvidia-cuda-cccl==13.2.*",
    "nvidia-cuda-runtime==13.2.*",
    "nvidia-curand",
    "nvidia-cublas",
];

#[derive(Args)]
pub struct CheckCuda {
    /// A Python that makes the folder of the compiler
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Compute capability that is compiled for, times ten: 80 of an A100, 90 of an H100
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(50..=200))]
    capability: u16,
    /// Folder for the compiler
    #[arg(long, value_name = "DIR", default_value = "target/cuda")]
    out: PathBuf,
}

impl CheckCuda {
    /// Gets the compiler where it is not there yet, and checks the command with the feature `cuda`.
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64")),
            "the compiler comes as a wheel for Linux on x86-64; elsewhere install CUDA 13 and run \
             `cargo check --package tcmax-cli --features cuda`"
        );
        let root = self.toolkit()?;
        let mut path = OsString::from(root.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut cargo = cargo();
        cargo
            .args([
                "clippy",
                "--package",
                "tcmax-cli",
                "--features",
                "cuda,cudnn,nccl",
                "--",
                "-D",
                "warnings",
            ])
            .env("CUDA_COMPUTE_CAP", self.capability.to_string())
            .env("NVCC", root.join("bin/nvcc"))
            .env("PATH", path);
        for variable in ["CUDA_HOME", "CUDA_PATH", "CUDA_TOOLKIT_ROOT_DIR"] {
            cargo.env(variable, &root);
        }
        say("compiling with the features cuda, cudnn and nccl; several minutes the first time");
        run(&mut cargo)?;
        self.kernels(&root)?;
        say("it compiles; whether it computes, only a device can tell");
        Ok(())
    }

    /// Compiles the kernels that `tcmax` compiles while it runs.
    fn kernels(&self, root: &Path) -> anyhow::Result<()> {
        let mut compiler = Command::new(root.join("bin/nvcc"));
        compiler
            .arg(format!("-arch=compute_{}", self.capability))
            .args(["-ptx", "-o"])
            .arg(self.out.join("kernels.ptx"))
            .arg(Metadata::read()?.workspace_root.join("crates/tcmax-ops/src/cuda/kernels.cu"));
        run(&mut compiler)
    }

    /// The folder of the compiler.
    fn toolkit(&self) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("--out {}", self.out.display()))?;
        let out = std::path::absolute(&self.out)?;
        let environment = out.join("python");
        if let Some(root) = toolkit_in(&environment) {
            return Ok(root);
        }
        say("getting the compiler: about 700 MB");
        run(Command::new(&self.python).args(["-m", "venv"]).arg(&environment))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(environment.join("bin/python")).args(pip).args(WHEELS))?;
        let root = toolkit_in(&environment).context("the wheels have brought no bin/nvcc")?;
        // Build scripts look where an installer puts the libraries.
        let lib64 = root.join("lib64");
        if !lib64.exists() {
            #[cfg(unix)]
            std::os::unix::fs::symlink("lib", &lib64)
                .with_context(|| lib64.display().to_string())?;
        }
        Ok(root)
    }
}

/// Where the wheels in a Python environment have the compiler.
fn toolkit_in(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).ok()?;
    let mut roots =
        versions.flatten().map(|version| version.path().join("site-packages/nvidia/cu13"));
    roots.find(|root| root.join("bin/nvcc").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_found_where_wheels_put_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(toolkit_in(folder.path()), None);
        let root = folder.path().join("lib/python3.11/site-packages/nvidia/cu13");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        assert_eq!(toolkit_in(folder.path()), None);
        std::fs::write(root.join("bin/nvcc"), "").unwrap();
        assert_eq!(toolkit_in(folder.path()), Some(root));
    }
}
