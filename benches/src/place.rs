//! Where a measurement is made: one place in a process.

use std::sync::OnceLock;

use candle_core::Device;

static PLACE: OnceLock<Place> = OnceLock::new();

struct Place {
    device: Device,
    half: bool,
}

/// Makes all measurements of this process on a device, with encoders in half precision if asked for. Without it they are
/// on the CPU, in f32.
///
/// # Errors
/// When the place was set, or used, before.
pub fn set_place(device: Device, half: bool) -> candle_core::Result<()> {
    match PLACE.set(Place { device, half }) {
        Ok(()) => Ok(()),
        Err(_) => candle_core::bail!("the place of measurements is set already"),
    }
}

fn place() -> &'static Place {
    PLACE.get_or_init(|| Place { device: Device::Cpu, half: false })
}

pub(crate) fn device() -> &'static Device {
    &place().device
}

/// What `encode` returns, in the precision of the place.
pub(crate) fn in_precision<T>(encode: impl FnOnce() -> T) -> T {
    if place().half { tcmax_ops::in_half_precision(encode) } else { encode() }
}

/// Waits until a device has computed all that it was given.
pub(crate) fn wait() -> candle_core::Result<()> {
    device().synchronize()
}
