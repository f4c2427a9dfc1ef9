//! Vision transformers: images, or clips whose frames are encoded one by one and averaged.

mod clip;
pub(crate) mod frames;
mod patches;
mod positions;
mod torchvision;
mod vit;

pub use clip::{CLIP_IMAGE, ClipImage, ClipImageOptions};
pub use torchvision::VIT_TORCHVISION;
pub use vit::{VIT, Vit, VitOptions, VitPooling};
