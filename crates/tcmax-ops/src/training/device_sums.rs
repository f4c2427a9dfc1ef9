//! Sums over members of what lies on their devices, beside a group that exchanges bytes of the host.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use tcmax_parallel::{Counter, Group, Purpose, Traffic};

/// What adds tensors of all members where they lie.
pub trait DeviceSums: Send + Sync {
    /// The sum of every member's `x`, all of one shape, outside candle's graph. All members call it, in the same order.
    ///
    /// # Errors
    /// When the devices cannot exchange.
    fn sum(&self, x: &Tensor) -> Result<Tensor>;
}

/// A group whose members also add tensors on their devices.
pub struct DeviceGroup {
    group: Arc<dyn Group>,
    sums: Box<dyn DeviceSums>,
    counter: Counter,
}

impl DeviceGroup {
    /// The group with what adds on devices.
    pub fn new(group: Arc<dyn Group>, sums: impl DeviceSums + 'static) -> Self {
        Self { group, sums: Box::new(sums), counter: Counter::default() }
    }

    /// The group, if its members add on devices.
    pub fn of(group: &dyn Group) -> Option<&Self> {
        group.beside()?.downcast_ref()
    }

    /// The sum of every member's `x`.
    ///
    /// # Errors
    /// As [`DeviceSums::sum`].
    pub fn sum(&self, x: &Tensor, purpose: Purpose) -> Result<Tensor> {
        self.counter.add(purpose, x.elem_count() * x.dtype().size_in_bytes());
        self.sums.sum(x)
    }
}

impl fmt::Debug for DeviceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeviceGroup").field(&self.group).finish()
    }
}

impl Group for DeviceGroup {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn all_gather(&self, mine: &[u8], purpose: Purpose) -> tcmax_parallel::Result<Vec<Vec<u8>>> {
        self.group.all_gather(mine, purpose)
    }

    fn all_to_all(
        &self,
        messages: &[Vec<u8>],
        purpose: Purpose,
    ) -> tcmax_parallel::Result<Vec<Vec<u8>>> {
        self.group.all_to_all(messages, purpose)
    }

    fn sum_f32(&self, values: &mut [f32], purpose: Purpose) -> tcmax_parallel::Result<()> {
        self.group.sum_f32(values, purpose)
    }

    fn sum_f64(&self, values: &mut [f64], purpose: Purpose) -> tcmax_parallel::Result<()> {
        self.group.sum_f64(values, purpose)
    }

    fn traffic(&self) -> Traffic {
        self.group.traffic().and(&self.counter.traffic())
    }

    fn abort(&self, reason: &str) {
        self.group.abort(reason);
    }

    fn beside(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
