//! The blocks of a [`ResNet`](super::ResNet).

use tcmax_ops::{BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Hidden, Init, ParamBuilder};

use super::config::BlockKind;
use crate::error::Result;

/// A convolution without bias, padded to keep the size at stride 1, and its batch norm.
pub(super) fn unit(
    [from, to]: [usize; 2],
    size: usize,
    stride: usize,
    [conv, norm]: [ParamBuilder; 2],
) -> Result<ConvUnit> {
    let filters = conv.filters("weight", [to, from, size, size], Init::KaimingNormalFanOut)?;
    let config = Conv2dConfig { stride: (stride, stride), padding: (size / 2, size / 2) };
    let weight_init = Init::Normal { mean: 1.0, std: 0.02 };
    let norm_config = BatchNormConfig { weight_init, ..BatchNormConfig::default() };
    let norm = BatchNorm2d::new(&norm, to, norm_config)?;
    Ok(ConvUnit::new(filters, config, norm)?)
}

/// The convolutions of a block: the size of each, and whether it has the block's stride.
pub(super) fn layout(kind: BlockKind) -> &'static [(usize, bool)] {
    match kind {
        BlockKind::Basic => &[(3, true), (3, false)],
        BlockKind::Bottleneck => &[(1, false), (3, true), (1, false)],
    }
}

/// relu(bn(conv(... relu(bn(conv(x))))) + shortcut(x)).
#[derive(Clone, Debug)]
pub(super) struct Block {
    units: Vec<ConvUnit>,
    downsample: Option<ConvUnit>,
}

impl Block {
    /// A block of a width, from so many channels.
    pub(super) fn new(
        kind: BlockKind,
        [from, width]: [usize; 2],
        stride: usize,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let to = width * kind.expansion();
        let downsample = if stride != 1 || from != to {
            let shortcut = builder.pp("downsample");
            let names = [shortcut.pp(0), shortcut.pp(1)];
            Some(unit([from, to], 1, stride, names)?)
        } else {
            None
        };
        let layout = layout(kind);
        let mut channels = from;
        let mut units = Vec::with_capacity(layout.len());
        for (number, &(size, strided)) in layout.iter().enumerate() {
            let is_last = number + 1 == layout.len();
            let names = [format!("conv{}", number + 1), format!("bn{}", number + 1)];
            let names = names.map(|name| builder.pp(name));
            let outputs = if is_last { to } else { width };
            units.push(unit([channels, outputs], size, if strided { stride } else { 1 }, names)?);
            channels = outputs;
        }
        Ok(Self { units, downsample })
    }

    pub(super) fn forward(&self, x: &Hidden, train: bool) -> Result<Hidden> {
        let shortcut = match &self.downsample {
            Some(unit) => x.conv_unit(unit, None, false, train)?,
            None => x.clone(),
        };
        let mut hidden = x.clone();
        for (number, unit) in self.units.iter().enumerate() {
            let residual = (number + 1 == self.units.len()).then_some(&shortcut);
            hidden = hidden.conv_unit(unit, residual, true, train)?;
        }
        Ok(hidden)
    }
}
