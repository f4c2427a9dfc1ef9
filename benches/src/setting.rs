//! What the measurements of a process are made on: a device, in a precision.

use std::sync::OnceLock;

use candle_core::Device;

static SETTING: OnceLock<Setting> = OnceLock::new();

struct Setting {
    device: Device,
    half: bool,
}

/// Makes all measurements of this process on a device, with encoders in half precision if asked for. Without it they are
/// on the CPU, in f32.
///
/// # Errors
/// When it was said, or measured, before.
pub fn measure_on(device: Device, half: bool) -> candle_core::Result<()> {
    match SETTING.set(Setting { device, half }) {
        Ok(()) => Ok(()),
        Err(_) => candle_core::bail!("what to measure on was said already"),
    }
}

fn setting() -> &'static Setting {
    SETTING.get_or_init(|| Setting { device: Device::Cpu, half: false })
}

pub(crate) fn device() -> &'static Device {
    &setting().device
}

/// What `encode` returns, in the precision that is measured.
pub(crate) fn in_precision<T>(encode: impl FnOnce() -> T) -> T {
    if setting().half { tcmax_ops::in_half_precision(encode) } else { encode() }
}

/// Waits until a device has computed all that it was given.
pub(crate) fn wait() -> candle_core::Result<()> {
    device().synchronize()
}
