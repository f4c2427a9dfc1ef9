//! The ONNX graph of a [`ResNet`](super::ResNet).

use tcmax_onnx::{Graph, Result, Value};
use tcmax_ops::BatchNormConfig;

use super::block::layout;
use super::config::{BlockKind, POOL, ResNetConfig, stride_of};

/// Features (B, D) of images (B, C, H, W).
pub(super) fn features(config: &ResNetConfig, graph: &mut Graph, images: &Value) -> Result<Value> {
    let (size, stride) = config.stem.size_and_stride();
    let x = unit(graph, ["conv1", "bn1"], images, size, stride)?;
    let x = graph.relu(&x);
    let mut x = graph.max_pool(&x, POOL.kernel, POOL.stride, POOL.padding);
    let mut channels = config.widths[0];
    for (stage, (&width, &blocks)) in config.widths.iter().zip(&config.blocks).enumerate() {
        for number in 0..blocks {
            let stride = stride_of(stage, number);
            let to = width * config.kind.expansion();
            let downsample = stride != 1 || channels != to;
            let name = format!("layer{}.{number}", stage + 1);
            x = graph.within(&name, |graph| block(graph, config.kind, &x, stride, downsample))?;
            channels = to;
        }
    }
    Ok(graph.global_average_pool(&x))
}

/// relu(bn(conv(... relu(bn(conv(x))))) + shortcut(x)).
fn block(
    graph: &mut Graph,
    kind: BlockKind,
    x: &Value,
    stride: usize,
    downsample: bool,
) -> Result<Value> {
    let shortcut = match downsample {
        true => unit(graph, ["downsample.0", "downsample.1"], x, 1, stride)?,
        false => x.clone(),
    };
    let mut hidden = x.clone();
    for (number, &(size, strided)) in layout(kind).iter().enumerate() {
        if number > 0 {
            hidden = graph.relu(&hidden);
        }
        let names = [format!("conv{}", number + 1), format!("bn{}", number + 1)];
        let stride = if strided { stride } else { 1 };
        hidden = unit(graph, names.each_ref().map(String::as_str), &hidden, size, stride)?;
    }
    let sum = graph.add(&hidden, &shortcut);
    Ok(graph.relu(&sum))
}

/// A convolution, padded to keep the size at stride 1, and its batch norm.
fn unit(
    graph: &mut Graph,
    [conv, norm]: [&str; 2],
    x: &Value,
    size: usize,
    stride: usize,
) -> Result<Value> {
    let convolved = graph.conv(conv, x, (stride, stride), (size / 2, size / 2))?;
    graph.batch_norm(norm, &convolved, BatchNormConfig::default().eps)
}
