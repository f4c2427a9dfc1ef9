#![doc = include_str!("../README.md")]

mod encoder;
mod error;
mod image;
mod list;
mod mlp;
mod pretrained;
mod resnet;
mod sequence;
mod spec;
mod staged;
mod text;
mod transformer;

pub use encoder::Encoder;
pub use error::{Error, Result};
pub use image::{
    CLIP_IMAGE, ClipImage, ClipImageOptions, VIT, VIT_TORCHVISION, Vit, VitOptions, VitPooling,
};
pub use list::{ENCODERS, encoders};
pub use mlp::{MLP, Mlp, MlpConfig, MlpOptions};
pub use pretrained::{Pretrained, UpstreamName};
pub use resnet::{
    BlockKind, RESNET_SLIM, RESNET18, RESNET34, RESNET50, ResNet, ResNetConfig, SlimOptions, Stem,
};
pub use sequence::{
    CONVOLUTION, Convolution, ConvolutionBlock, ConvolutionOptions, GRU, LSTM, MEAN, Mean, Outputs,
    Recurrent, RecurrentOptions, RecurrentPooling, SEQUENCE_TRANSFORMER, SequenceTransformer,
    SequenceTransformerOptions, Steps, TransformerStack,
};
pub use spec::{EncoderSpec, Input, InputKind};
pub use staged::{FeatureMaps, Staged};
pub use text::{
    BERT, Bert, BertOptions, CAUSAL_TEXT, CLIP_TEXT, CausalOptions, CausalText, ClipText,
    ClipTextOptions, DISTILBERT, DistilBert, DistilBertOptions, ROBERTA, Roberta, RobertaOptions,
    TextPooling, Tokens,
};
pub use transformer::HiddenActivation;
