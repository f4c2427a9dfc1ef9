use candle_core::{D, DType, Device, Tensor};
use std::time::Instant;
use tcmax_encoders::{Encoder, ResNet, ResNetConfig, Stem};
use tcmax_ops::{Init, ParamBuilder, Seed, Sgd, SgdConfig};

fn main() {
    let mut args = std::env::args().skip(1);
    let which = args.next().unwrap();
    let threads: usize = args.next().unwrap().parse().unwrap();
    let n: usize = args.next().unwrap().parse().unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    let (cfg, shape) = match which.as_str() {
        "224" => (ResNetConfig::resnet18(3, Stem::Conv7x7), vec![8, 3, 224, 224]),
        "32" => (ResNetConfig::resnet18(3, Stem::Conv7x7), vec![32, 3, 32, 32]),
        "audio" => (ResNetConfig::resnet18(1, Stem::Conv7x7), vec![8, 1, 257, 188]),
        "slim" => (ResNetConfig::slim(1, Stem::Conv7x7, 8), vec![32, 1, 129, 51]),
        _ => (ResNetConfig::slim(1, Stem::Conv3x3, 8), vec![32, 1, 28, 28]),
    };
    let b = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let enc = ResNet::new(&cfg, &b).unwrap();
    let w = b.param("fc", (cfg.widths[3], 100), Init::XavierNormal).unwrap();
    let mut sgd =
        Sgd::new(&b.params(), SgdConfig { learning_rate: 1e-3, momentum: 0.9, weight_decay: 1e-4 })
            .unwrap();
    let x = Tensor::randn(0f32, 1.0, shape.clone(), &Device::Cpu).unwrap();
    let y =
        Tensor::from_vec((0..shape[0] as u32).collect::<Vec<_>>(), shape[0], &Device::Cpu).unwrap();
    let mut t = vec![];
    let mut parts = [0.0f64; 3];
    for i in 0..n {
        let t0 = Instant::now();
        let f = enc.encode(&x, true).unwrap();
        let l = f.matmul(&w).unwrap();
        let lse = tcmax_ops::log_sum_exp(&l, 1).unwrap();
        let loss = (lse
            - l.gather(&y.unsqueeze(1).unwrap(), D::Minus1).unwrap().squeeze(1).unwrap())
        .unwrap()
        .mean_all()
        .unwrap();
        let t1 = Instant::now();
        let g = tcmax_ops::backward(&loss).unwrap();
        let t2 = Instant::now();
        sgd.step(&g).unwrap();
        let t3 = Instant::now();
        if i > 1 {
            t.push((t3 - t0).as_secs_f64() * 1e3);
            parts[0] += (t1 - t0).as_secs_f64();
            parts[1] += (t2 - t1).as_secs_f64();
            parts[2] += (t3 - t2).as_secs_f64();
        }
    }
    t.sort_by(|a, b| a.partial_cmp(b).unwrap());
    println!(
        "{which} {threads} threads: median {:.2} ms min {:.2}; fwd {:.2} bwd {:.2} sgd {:.2}",
        t[t.len() / 2],
        t[0],
        parts[0] * 1e3 / t.len() as f64,
        parts[1] * 1e3 / t.len() as f64,
        parts[2] * 1e3 / t.len() as f64
    );
}
