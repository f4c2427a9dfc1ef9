//! Every encoder that PyTorch has too, with its default options: forward and backward of a batch of eight.

use candle_core::Tensor;
use tcmax_encoders::{Encoder, Input, InputKind, encoders};
use tcmax_registry::Table;

use crate::{Case, Kind, Work, builder, random};

/// Examples of a batch.
const BATCH: usize = 8;
/// Steps of a sequence, each of 64 features and the flag that it is there.
const STEPS: [usize; 2] = [100, 65];
const IMAGE: [usize; 3] = [3, 224, 224];
/// The id that ends texts of CLIP, the largest of its vocabulary.
const END: usize = 49_407;

/// One case per encoder, called `encoder-` and its name.
pub const CASES: &[Case] = &[
    case("encoder-resnet-slim", InputKind::Image, &IMAGE),
    case("encoder-resnet18", InputKind::Image, &IMAGE),
    case("encoder-resnet34", InputKind::Image, &IMAGE),
    case("encoder-resnet50", InputKind::Image, &IMAGE),
    case("encoder-vit", InputKind::Image, &IMAGE),
    case("encoder-vit-torchvision", InputKind::Image, &IMAGE),
    case("encoder-clip-image", InputKind::Image, &IMAGE),
    case("encoder-mlp", InputKind::Vector, &[64]),
    case("encoder-gru", InputKind::Sequence, &STEPS),
    case("encoder-lstm", InputKind::Sequence, &STEPS),
    case("encoder-temporal-convolution", InputKind::Sequence, &STEPS),
    case("encoder-transformer", InputKind::Sequence, &STEPS),
    case("encoder-bert", InputKind::Tokens, &[128]),
    case("encoder-distilbert", InputKind::Tokens, &[128]),
    case("encoder-roberta", InputKind::Tokens, &[128]),
    case("encoder-clip-text", InputKind::Tokens, &[77]),
    case("encoder-causal-text", InputKind::Tokens, &[77]),
];

const fn case(name: &'static str, kind: InputKind, shape: &'static [usize]) -> Case {
    let title = match kind {
        InputKind::Image | InputKind::Spectrogram => "forward and backward, 8 images of 224 x 224",
        InputKind::Vector => "forward and backward, 8 vectors of 64",
        InputKind::Sequence => "forward and backward, 8 sequences of 100 steps of 64",
        InputKind::Tokens => "forward and backward, 8 texts",
    };
    Case { name, title, kind: Kind::Encoder { kind, shape } }
}

/// One pass of the encoder that a case is called after, without dropout.
pub(crate) fn work(case: &str, kind: InputKind, shape: &[usize]) -> tcmax_encoders::Result<Work> {
    let name = case.strip_prefix("encoder-").unwrap_or(case);
    let catalogue = encoders();
    let spec = catalogue.get(name)?;
    let has_dropout = spec.options.documentation().iter().any(|option| option.name == "dropout");
    let without = has_dropout.then(|| ("dropout".to_owned(), 0.0.into()));
    let options = spec.options.complete(&Table::from_iter(without))?;
    let encoder: Box<dyn Encoder> = spec.build(&options, Input { kind, shape }, &builder())?;
    let input = batch(kind, shape)?;
    Ok(Box::new(move || {
        let features = encoder.encode(&input, true)?;
        tcmax_ops::backward(&features.sum_all()?)?;
        Ok(())
    }))
}

/// Eight inputs; sequences and texts have all their steps and tokens.
fn batch(kind: InputKind, shape: &[usize]) -> tcmax_encoders::Result<Tensor> {
    let full: Vec<usize> = [&[BATCH], shape].concat();
    match kind {
        InputKind::Tokens => {
            let length = shape[0];
            let id = |at: usize| if at % length == length - 1 { END } else { at * 37 % 30_000 };
            // Other vocabularies than CLIP's are smaller.
            let most = if length == 77 { END } else { 29_999 };
            let ids = (0..BATCH * length).map(|at| id(at).min(most) as f32).collect::<Vec<_>>();
            Ok(Tensor::from_vec(ids, full, crate::device())?)
        }
        InputKind::Sequence => {
            let [steps, columns] = [shape[0], shape[1]];
            let x = random("input", &[BATCH, steps, columns - 1])?.as_detached_tensor();
            Ok(Tensor::cat(&[x.clone(), x.narrow(2, 0, 1)?.ones_like()?], 2)?)
        }
        _ => Ok(random("input", &full)?.as_detached_tensor()),
    }
}
