//! The group of one.

use crate::error::{Error, Result};
use crate::group::Group;
use crate::traffic::{Purpose, Traffic};

/// The group of one member, which exchanges nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Group for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, mine: &[u8], _: Purpose) -> Result<Vec<Vec<u8>>> {
        Ok(vec![mine.to_vec()])
    }

    fn all_to_all(&self, messages: &[Vec<u8>], _: Purpose) -> Result<Vec<Vec<u8>>> {
        match messages.len() {
            1 => Ok(messages.to_vec()),
            got => Err(Error::Messages { got, members: 1 }),
        }
    }

    fn sum_f32(&self, _: &mut [f32], _: Purpose) -> Result<()> {
        Ok(())
    }

    fn sum_f64(&self, _: &mut [f64], _: Purpose) -> Result<()> {
        Ok(())
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn abort(&self, _: &str) {}
}
