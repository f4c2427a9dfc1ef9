//! The device that a model is on.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;
use candle_core::Device;
use candle_core::utils::{cuda_is_available, metal_is_available};
use clap::Args;
use tcmax_train::Error;

/// Where a model is trained or used.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceOption {
    /// Where to compute: cpu, cuda, cuda:1 (the second GPU), metal [default: what the program was built for]; several
    /// for training by shards, or for several runs at a time, such as cuda:0,cuda:1
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',', help_heading = "Running")]
    device: Vec<Named>,
    /// Let a CUDA device round what it multiplies to the 10 binary digits of TF32, for speed
    #[arg(long, help_heading = "Running")]
    tf32: bool,
}

/// A device by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
    Metal,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("cpu", _) => Ok(Self::Cpu),
            ("metal", _) => Ok(Self::Metal),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Self::Cuda(number)),
            _ => Err(format!("there is no device '{text}'; it is cpu, cuda, cuda:N or metal")),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl Named {
    /// What the program was built for.
    fn usual() -> Self {
        match (cuda_is_available(), metal_is_available()) {
            (true, _) => Self::Cuda(0),
            (_, true) => Self::Metal,
            _ => Self::Cpu,
        }
    }

    fn is_built_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda(_) => cuda_is_available(),
            Self::Metal => metal_is_available(),
        }
    }
}

impl Named {
    /// # Errors
    /// When the program was built without it, or it cannot be opened.
    fn open(self) -> anyhow::Result<Device> {
        let device = self;
        if !device.is_built_in() {
            let name = device.to_string();
            let feature = name.split(':').next().unwrap_or_default();
            let problem = format!(
                "this program was built without {feature}; build it with `--features {feature}`, or leave --device out"
            );
            return Err(Error::setting("--device", problem).into());
        }
        let opened = match device {
            Named::Cpu => Ok(Device::Cpu),
            Named::Cuda(number) => Device::new_cuda(number),
            Named::Metal => Device::new_metal(0),
        };
        opened.with_context(|| format!("--device: {device} cannot be opened"))
    }
}

impl DeviceOption {
    /// The devices, at least one.
    ///
    /// # Errors
    /// When the program was built without one, or one cannot be opened.
    pub fn open(&self) -> anyhow::Result<Vec<Device>> {
        tcmax_ops::allow_tf32(self.tf32);
        match &self.device[..] {
            [] => Ok(vec![Named::usual().open()?]),
            devices => devices.iter().map(|device| device.open()).collect(),
        }
    }

    /// The device of what one computes.
    ///
    /// # Errors
    /// As [`Self::open`], and when there are several.
    pub fn open_one(&self) -> anyhow::Result<Device> {
        let mut devices = self.open()?;
        match (devices.pop(), &devices[..]) {
            (Some(device), []) => Ok(device),
            _ => Err(Error::setting("--device", "give one: several are for training").into()),
        }
    }

    /// The arguments that ask for it.
    pub fn arguments(&self) -> Vec<String> {
        let names: Vec<String> = self.device.iter().map(Named::to_string).collect();
        let named = (!names.is_empty()).then(|| ["--device".to_owned(), names.join(",")]);
        let tf32 = self.tf32.then(|| "--tf32".to_owned());
        named.into_iter().flatten().chain(tf32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (text, device) in [
            ("cpu", Named::Cpu),
            ("cuda", Named::Cuda(0)),
            ("cuda:3", Named::Cuda(3)),
            ("metal", Named::Metal),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in ["gpu", "cuda:", "cuda:-1", "CPU", ""] {
            assert!(text.parse::<Named>().unwrap_err().contains("cuda:N"), "{text}");
        }
        assert_eq!(
            DeviceOption { device: vec![Named::Cuda(1), Named::Cpu], tf32: true }.arguments(),
            ["--device", "cuda:1,cpu", "--tf32"]
        );
        assert_eq!(DeviceOption::default().arguments(), [""; 0]);
    }
}
