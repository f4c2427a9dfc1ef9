//! Which examples have which modalities.

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// Which of N examples have which of M modalities.
///
/// ```
/// use tcmax_losses::Presence;
///
/// let present = Presence::new(vec![vec![true, true, false], vec![true; 3]])?;
/// assert!(!present.is_complete());
/// assert_eq!(present.rows_with(0), [0, 1]);
/// assert_eq!(present.complete_rows(), [0, 1]);
/// assert!(present.without(1).complete_rows().is_empty());
/// # Ok::<(), tcmax_losses::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// flags\[m\]\[row\].
    flags: Vec<Vec<bool>>,
    examples: usize,
}

impl Presence {
    /// Every example has every modality.
    pub fn complete(modalities: usize, examples: usize) -> Self {
        Self { flags: vec![vec![true; examples]; modalities], examples }
    }

    /// From one list per modality, with one flag per example.
    ///
    /// # Errors
    /// When the lists differ in length.
    pub fn new(flags: Vec<Vec<bool>>) -> Result<Self> {
        let wanted = flags.first().map_or(0, Vec::len);
        if let Some(list) = flags.iter().find(|list| list.len() != wanted) {
            let (what, got) = ("flags of a modality", list.len());
            return Err(Error::WrongLength { what, got, wanted });
        }
        Ok(Self { flags, examples: wanted })
    }

    /// The number of examples N.
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// The number of modalities M.
    pub fn modalities(&self) -> usize {
        self.flags.len()
    }

    /// The flags of modality `modality`, one per example; none when there is no such modality.
    pub fn of(&self, modality: usize) -> &[bool] {
        self.flags.get(modality).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is absent.
    pub fn is_complete(&self) -> bool {
        self.flags.iter().flatten().all(|&flag| flag)
    }

    /// The same with modality `modality` absent from every example.
    #[must_use]
    pub fn without(&self, modality: usize) -> Self {
        let mut other = self.clone();
        if let Some(flags) = other.flags.get_mut(modality) {
            flags.fill(false);
        }
        other
    }

    /// The examples of `other` after those of this.
    ///
    /// # Errors
    /// When the numbers of modalities differ.
    pub fn extend(&mut self, other: &Self) -> Result<()> {
        if other.modalities() != self.modalities() {
            let (got, wanted) = (other.modalities(), self.modalities());
            return Err(Error::WrongLength { what: "modalities", got, wanted });
        }
        for (flags, more) in self.flags.iter_mut().zip(&other.flags) {
            flags.extend(more);
        }
        self.examples += other.examples;
        Ok(())
    }

    /// The examples that have modality `modality`, in order.
    pub fn rows_with(&self, modality: usize) -> Vec<u32> {
        rows(self.of(modality).iter().copied())
    }

    /// The examples that have every modality, in order.
    pub fn complete_rows(&self) -> Vec<u32> {
        rows((0..self.examples).map(|row| self.flags.iter().all(|flags| flags[row])))
    }

    /// 1 where an example has the modality, 0 elsewhere: (N, 1), u8.
    pub(crate) fn mask(&self, modality: usize, device: &Device) -> Result<Tensor> {
        mask(self.of(modality).iter().copied(), device)
    }
}

fn rows(flags: impl Iterator<Item = bool>) -> Vec<u32> {
    (0..).zip(flags).filter(|(_, flag)| *flag).map(|(row, _)| row).collect()
}

/// 1 or 0 of each flag: (N, 1), u8.
pub(crate) fn mask(flags: impl Iterator<Item = bool>, device: &Device) -> Result<Tensor> {
    let values: Vec<u8> = flags.map(u8::from).collect();
    let count = values.len();
    Ok(Tensor::from_vec(values, (count, 1), device)?)
}

/// Rows of `one` where the mask (N, 1) is 1, and of `other` elsewhere; both (N, C).
pub(crate) fn select_rows(mask: &Tensor, one: &Tensor, other: &Tensor) -> Result<Tensor> {
    let mask = mask.broadcast_as(one.shape())?.contiguous()?;
    Ok(mask.where_cond(&one.contiguous()?, &other.contiguous()?)?)
}
