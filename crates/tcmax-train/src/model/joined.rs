//! Encoders that are joined between their stages.

use candle_core::{DType, Device, Tensor};
use tcmax_data::{Batch, Modality};
use tcmax_encoders::{Encoder, FeatureMaps, Staged};
use tcmax_fusion::StageFusion;
use tcmax_losses::{MethodSpec, Presence};
use tcmax_ops::{ParamBuilder, Seed};

use super::Model;
use super::parts::{new_encoder, used_modalities};
use super::passing::Passing;
use crate::config::{CheckedConfig, EncoderChoice};
use crate::{Error, Result};

impl Model {
    /// As [`Model::features`], of encoders that run stage by stage, whose maps are multiplied in between.
    pub(super) fn joined_features(
        &self,
        fusion: &dyn StageFusion,
        batch: &Batch,
        (present, passing): (&Presence, &[Passing]),
        train: bool,
    ) -> Result<Vec<Tensor>> {
        let staged: Vec<&dyn Staged> =
            self.encoders.iter().filter_map(|encoder| encoder.staged()).collect();
        let flags: Vec<&[bool]> = (0..self.used.len()).map(|m| present.of(m)).collect();
        let channels: Vec<Vec<usize>> = staged.iter().map(|encoder| encoder.channels()).collect();
        let mut maps: Vec<Option<FeatureMaps>> = Vec::with_capacity(staged.len());
        for (position, (encoder, passing)) in staged.iter().zip(passing).enumerate() {
            let input = passing.inputs(self.input(batch, position)?)?;
            let begin = |input: Tensor| -> Result<FeatureMaps> {
                let input = self.scaled(position, input)?;
                let begin = || encoder.begin(&input, passing.train);
                Ok(self.in_precision(|| passing.run(&self.members, begin))?)
            };
            maps.push(input.map(begin).transpose()?);
        }
        // Whatever has rows: the element type and device of the model.
        let like = self.input(batch, 0)?;
        let stages = channels.iter().map(Vec::len).max().unwrap_or(0);
        for stage in 0..stages {
            let mut means = Vec::with_capacity(staged.len());
            for (m, (encoder, passing)) in staged.iter().zip(passing).enumerate() {
                // One of fewer stages than others has ended before.
                let width = channels[m].get(stage);
                if let Some(before) = maps[m].take_if(|_| width.is_some()) {
                    let run = || encoder.stage(stage, before, passing.train);
                    maps[m] = Some(self.in_precision(|| passing.run(&self.members, run))?);
                }
                means.push(match &maps[m] {
                    Some(maps) => passing.back(&maps.means()?)?,
                    None => {
                        let width = width.or(channels[m].last()).copied().unwrap_or(0);
                        passing.nothing(width, like)?
                    }
                });
            }
            let Some(factors) = fusion.factors(stage, &means, &flags, train)? else { continue };
            for ((maps, passing), factors) in maps.iter_mut().zip(passing).zip(&factors) {
                if let Some(own) = maps {
                    *own = own.scaled(&passing.rows_of(factors)?)?;
                }
            }
        }
        let mut features = Vec::with_capacity(staged.len());
        for ((encoder, passing), maps) in staged.iter().zip(passing).zip(&maps) {
            features.push(match maps {
                Some(maps) => passing.back(&self.features_in_f32(&encoder.end(maps)?)?)?,
                None => passing.nothing(encoder.channels().last().copied().unwrap_or(0), like)?,
            });
        }
        Ok(features)
    }

    /// Whether the encoders are joined between their stages, so that a modality's features depend on all modalities.
    pub fn is_joined(&self) -> bool {
        self.fusion.is_some()
    }
}

/// Checks that the settings' encoders have stages, where their method needs them, and that nothing is asked for that
/// joined encoders cannot have. The data have these modalities.
///
/// # Errors
/// When they have not, with the encoder; and those of making the encoders.
pub fn check_stages(config: &CheckedConfig, modalities: &[Modality]) -> Result<()> {
    if !config.method().needs_stages {
        return Ok(());
    }
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    for m in used_modalities(&config.config().train.modalities, modalities)? {
        let name = &modalities[m].name;
        let (encoder, choice) = new_encoder(config, &modalities[m], &builder.pp(name))?;
        check_staged(config.method(), name, encoder.as_ref(), &choice)?;
    }
    Ok(())
}

/// Checks one encoder for a method that needs stages.
pub(super) fn check_staged(
    method: &MethodSpec,
    modality: &str,
    encoder: &dyn Encoder,
    choice: &EncoderChoice,
) -> Result<()> {
    if !method.needs_stages {
        return Ok(());
    }
    let name = choice.spec.name;
    if encoder.staged().is_none() {
        let what = format!("'{name}' of '{modality}'");
        return Err(tcmax_losses::Error::NeedsStages { method: method.name, what }.into());
    }
    if choice.training.frozen_epochs > 0 {
        let problem = format!(
            "must be 0: the method '{method}' joins the encoders between their stages, and features of a frozen one would \
             still change with the other's"
        );
        return Err(Error::setting(format!("encoder.{modality}.frozen-epochs"), problem));
    }
    Ok(())
}
