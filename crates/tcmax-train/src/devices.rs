//! Where a run's members compute.

use candle_core::Device;

/// The devices of a run, at least one: its members take them in turn.
///
/// ```
/// use candle_core::Device;
/// use tcmax_train::Devices;
///
/// let both = [Device::Cpu, Device::Cpu];
/// assert_eq!(Devices::of(&both).unwrap().count(), 2);
/// assert_eq!(Devices::from(&Device::Cpu).count(), 1);
/// assert!(Devices::of(&[]).is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Devices<'a> {
    first: &'a Device,
    others: &'a [Device],
}

impl<'a> Devices<'a> {
    /// These; none where there is none.
    pub fn of(devices: &'a [Device]) -> Option<Self> {
        devices.split_first().map(|(first, others)| Self { first, others })
    }

    /// That of the first member.
    pub fn first(self) -> &'a Device {
        self.first
    }

    /// That of a member of this process, counted from 0.
    pub fn of_member(self, index: usize) -> &'a Device {
        match index % self.count() {
            0 => self.first,
            number => &self.others[number - 1],
        }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        1 + self.others.len()
    }

    /// Whether all are CPUs.
    pub fn are_cpus(self) -> bool {
        self.first.is_cpu() && self.others.iter().all(Device::is_cpu)
    }
}

impl<'a> From<&'a Device> for Devices<'a> {
    fn from(first: &'a Device) -> Self {
        Self { first, others: &[] }
    }
}
