//! Encoders compute neither padding nor vectors that nothing reads: features and gradients are the same without.

use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{
    Bert, BertOptions, CausalOptions, CausalText, ClipImage, ClipImageOptions, ClipText,
    ClipTextOptions, DistilBert, DistilBertOptions, Encoder, Roberta, RobertaOptions,
    SequenceTransformer, SequenceTransformerOptions, TextPooling, Tokens, Vit, VitOptions,
    VitPooling,
};
use tcmax_ops::{ParamBuilder, Seed, to_vec_f64};

const POOLINGS: [TextPooling; 3] = [TextPooling::Mean, TextPooling::Cls, TextPooling::Pooler];

fn builder() -> ParamBuilder {
    ParamBuilder::new(Seed::new(3), DType::F64, &Device::Cpu)
}

/// Gives all parameters values that no symmetry hides.
fn perturb(builder: &ParamBuilder) {
    for (number, (_, var)) in builder.params().trainable().enumerate() {
        let count = var.elem_count();
        let value = |at: usize| ((at * 37 + number * 11) % 101) as f64 / 101.0 - 0.5;
        let noise = Tensor::from_vec((0..count).map(value).collect(), var.shape(), &Device::Cpu);
        var.set(&(var.as_tensor() + noise.unwrap()).unwrap()).unwrap();
    }
}

/// Texts of 6, 2 and 4 tokens, one with a gap, and one without any.
fn texts() -> Vec<Vec<f32>> {
    vec![
        vec![5.0, 8.0, 2.0, 9.0, 4.0, 18.0],
        vec![7.0, 18.0, -1.0, -1.0, -1.0, -1.0],
        vec![3.0, 6.0, 1.0, 18.0, -1.0, -1.0],
        vec![3.0, -1.0, 1.0, 18.0, -1.0, -1.0],
        vec![-1.0; 6],
    ]
}

fn batch(texts: &[Vec<f32>]) -> Tensor {
    let numbers: Vec<f32> = texts.concat();
    Tensor::from_vec(numbers, (texts.len(), texts[0].len()), &Device::Cpu).unwrap()
}

fn assert_close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    for (a, b) in to_vec_f64(a).unwrap().iter().zip(to_vec_f64(b).unwrap()) {
        assert!((a - b).abs() < 1e-10, "{what}: {a} and {b}");
    }
}

/// That features `got` are `wanted`, and have the same gradients of all parameters.
fn check_same(got: &Tensor, wanted: &Tensor, builder: &ParamBuilder, what: &str) {
    assert_close(got, wanted, what);
    let of = |features: &Tensor| {
        tcmax_ops::backward(&features.sin().unwrap().sum_all().unwrap()).unwrap()
    };
    let (got, wanted) = (of(got), of(wanted));
    for (name, var) in builder.params().trainable() {
        let gradients = [&got, &wanted].map(|gradients| gradients.get(var.as_tensor()));
        let [Some(got), Some(wanted)] = gradients else { panic!("{what}: {name} has none") };
        assert_close(got, wanted, &format!("{what}, gradient of {name}"));
        assert!(to_vec_f64(got).unwrap().iter().any(|value| *value != 0.0), "{what}: {name}");
    }
}

/// That each text alone, without its padding, has the features it has in the batch.
fn check_alone(encoder: &dyn Encoder, texts: &[Vec<f32>], what: &str) {
    let all = encoder.encode(&batch(texts), false).unwrap();
    for (number, text) in texts.iter().enumerate() {
        let end = text.iter().rposition(|id| *id >= 0.0).map_or(1, |last| last + 1);
        let alone = encoder.encode(&batch(&[text[..end].to_vec()]), false).unwrap();
        let row = all.narrow(0, number, 1).unwrap();
        assert_close(&alone, &row, &format!("{what}, text {number}"));
    }
}

/// That the features of texts are `wanted`, those of the padded network, and those of each text alone.
fn check_texts(
    encoder: &dyn Encoder,
    texts: &[Vec<f32>],
    wanted: &Tensor,
    builder: &ParamBuilder,
    what: &str,
) {
    check_same(&encoder.encode(&batch(texts), false).unwrap(), wanted, builder, what);
    check_alone(encoder, texts, what);
}

/// A small BERT.
fn small_bert(pooling: TextPooling) -> BertOptions {
    BertOptions {
        width: 8,
        layers: 2,
        heads: 2,
        hidden: 12,
        vocabulary: 20,
        positions: 8,
        pooling,
        ..BertOptions::default()
    }
}

#[test]
fn distilbert() {
    for pooling in [TextPooling::Mean, TextPooling::Cls] {
        let builder = builder();
        let BertOptions { width, layers, heads, hidden, vocabulary, positions, .. } =
            small_bert(pooling);
        let options = DistilBertOptions {
            width,
            layers,
            heads,
            hidden,
            vocabulary,
            positions,
            pooling,
            ..DistilBertOptions::default()
        };
        let encoder = DistilBert::new(&options, &builder).unwrap();
        perturb(&builder);
        let input = batch(&texts());
        let tokens = Tokens::read("DistilBERT", &input, 0, 8).unwrap();
        let hidden = encoder.hidden(&tokens, false).unwrap();
        let wanted = encoder.pool(&hidden, &tokens, pooling).unwrap();
        check_texts(&encoder, &texts(), &wanted, &builder, &format!("{pooling:?}"));
    }
}

#[test]
fn bert() {
    for pooling in POOLINGS {
        let builder = builder();
        let encoder = Bert::new(&small_bert(pooling), &builder).unwrap();
        perturb(&builder);
        let input = batch(&texts());
        let tokens = Tokens::read("BERT", &input, 0, 8).unwrap();
        let hidden = encoder.hidden(&tokens, &tokens.positions().unwrap(), None, false).unwrap();
        let wanted = encoder.pool(&hidden, &tokens, pooling).unwrap();
        check_texts(&encoder, &texts(), &wanted, &builder, &format!("{pooling:?}"));
    }
}

#[test]
fn roberta() {
    for pooling in POOLINGS {
        let builder = builder();
        let options = RobertaOptions {
            width: 8,
            layers: 2,
            heads: 2,
            hidden: 12,
            vocabulary: 20,
            positions: 12,
            pooling,
            ..RobertaOptions::default()
        };
        let encoder = Roberta::new(&options, &builder).unwrap();
        perturb(&builder);
        let input = batch(&texts());
        let tokens = Tokens::read("RoBERTa", &input, options.padding, 8).unwrap();
        let hidden = encoder.hidden(&tokens, false).unwrap();
        let wanted = encoder.pool(&hidden, &tokens, pooling).unwrap();
        check_texts(&encoder, &texts(), &wanted, &builder, &format!("{pooling:?}"));
    }
}

#[test]
fn text_tower_of_clip() {
    // By the id that ends a text, and by the largest; of a text without either the first token is read.
    for end in [18, 2] {
        let builder = builder();
        let options = ClipTextOptions {
            width: 8,
            layers: 2,
            heads: 2,
            hidden: 12,
            vocabulary: 20,
            positions: 8,
            projection: 5,
            end,
            ..ClipTextOptions::default()
        };
        let encoder = ClipText::new(&options, &builder).unwrap();
        perturb(&builder);
        let mut texts = texts();
        // What follows an end is not read.
        texts[1] = vec![7.0, 18.0, 3.0, 4.0, -1.0, -1.0];
        let input = batch(&texts);
        let tokens = Tokens::read("CLIP", &input, 0, 8).unwrap();
        let pooled = encoder.pool(&encoder.hidden(&tokens).unwrap(), &tokens).unwrap();
        let wanted = encoder.project(&pooled).unwrap();
        check_texts(&encoder, &texts, &wanted, &builder, &format!("end {end}"));
    }
}

#[test]
fn causal_text() {
    let builder = builder();
    let options = CausalOptions {
        width: 8,
        layers: 2,
        heads: 2,
        vocabulary: 20,
        positions: 8,
        projection: 5,
    };
    let encoder = CausalText::new(&options, &builder).unwrap();
    perturb(&builder);
    check_alone(&encoder, &texts(), "causal text");
    // What follows the end changes nothing.
    let mut longer = texts();
    longer[1][2..].copy_from_slice(&[1.0, 4.0, 3.0, 2.0]);
    let features = [texts(), longer].map(|texts| encoder.encode(&batch(&texts), false).unwrap());
    assert_close(&features[0], &features[1], "after the end");
}

#[test]
fn images() {
    let images = Tensor::randn(0f64, 1.0, (3, 2, 12, 8), &Device::Cpu).unwrap();
    for pooling in [VitPooling::Cls, VitPooling::Mean, VitPooling::Pooler] {
        let builder = builder();
        let options = VitOptions {
            width: 8,
            layers: 2,
            heads: 2,
            hidden: 12,
            patch: 4,
            pooling,
            ..VitOptions::default()
        };
        let encoder = Vit::new(&options, 2, [12, 8], &builder).unwrap();
        perturb(&builder);
        let wanted = encoder.pool(&encoder.hidden(&images, false).unwrap()).unwrap();
        let got = encoder.encode(&images, false).unwrap();
        check_same(&got, &wanted, &builder, &format!("{pooling:?}"));
    }
    let builder = builder();
    let options = ClipImageOptions {
        width: 8,
        layers: 2,
        heads: 2,
        hidden: 12,
        patch: 4,
        projection: 5,
        ..ClipImageOptions::default()
    };
    let encoder = ClipImage::new(&options, 2, [12, 8], &builder).unwrap();
    perturb(&builder);
    let pooled = encoder.pool(&encoder.hidden(&images).unwrap()).unwrap();
    let got = encoder.encode(&images, false).unwrap();
    check_same(&got, &encoder.project(&pooled).unwrap(), &builder, "CLIP");
}

#[test]
fn steps() {
    let lengths = [6, 2, 4, 1];
    let x = Tensor::randn(0f64, 1.0, (4, 6, 3), &Device::Cpu).unwrap();
    let there: Vec<f64> = lengths
        .iter()
        .flat_map(|length| (0..6).map(move |step| f64::from(u8::from(step < *length))))
        .collect();
    let there = Tensor::from_vec(there, (4, 6, 1), &Device::Cpu).unwrap();
    let input = Tensor::cat(&[x, there], 2).unwrap();
    for norm_first in [false, true] {
        let builder = builder();
        let options = SequenceTransformerOptions {
            width: 8,
            heads: 2,
            hidden: 12,
            norm_first,
            ..SequenceTransformerOptions::default()
        };
        let encoder = SequenceTransformer::new(&options, [6, 3], &builder).unwrap();
        perturb(&builder);
        let all = encoder.encode(&input, false).unwrap();
        for (number, length) in lengths.into_iter().enumerate() {
            let own = input.narrow(0, number, 1).unwrap().narrow(1, 0, length).unwrap();
            let alone = encoder.encode(&own, false).unwrap();
            assert_close(&alone, &all.narrow(0, number, 1).unwrap(), &format!("{length} steps"));
        }
    }
}
