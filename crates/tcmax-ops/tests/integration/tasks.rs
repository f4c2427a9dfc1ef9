//! Operations are cut into tasks enough for 64 cores, or as many as their work is worth.

use candle_core::{DType, Device, Result, Tensor, Var};
use tcmax_ops::{
    AttentionMask, BatchNorm2d, Conv2dConfig, Gelu, Linear, MaxPool2dConfig, ParamBuilder, Seed,
    Sgd, SgdOptions, Work, backward, measure_tasks,
};

/// Cores for which there is to be a task each.
const CORES: usize = 64;

/// Multiplications of one task, at least.
const PRODUCTS: usize = 3 << 19;

/// Values of one task, at least, where each is read and written once or twice.
const VALUES: usize = 1 << 15;

fn random(shape: &[usize]) -> Var {
    Var::randn(0f32, 1f32, shape, &Device::Cpu).unwrap()
}

/// The tasks of the fork that takes the most time, of three measurements the shortest time of each fork.
fn tasks_of_longest(compute: impl Fn() -> Result<()> + Send + Sync) -> usize {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let measure = || {
        let (done, work) = measure_tasks(&compute).unwrap();
        done.unwrap();
        work
    };
    let works: Vec<Work> = pool.install(|| (0..3).map(|_| measure()).collect());
    let shortest = |fork: usize| works.iter().map(|work| work.forks[fork].time).min();
    let longest = (0..works[0].forks.len()).max_by_key(|fork| shortest(*fork)).unwrap();
    assert!(works.iter().all(|work| work.forks[longest].tasks == works[0].forks[longest].tasks));
    works[0].forks[longest].tasks
}

/// Checks forward and backward each.
fn check(title: &str, wanted: usize, forward: impl Fn() -> Result<Tensor> + Send + Sync) {
    let y = forward().unwrap();
    let passes = [
        ("forward", tasks_of_longest(|| forward().map(drop))),
        ("backward", tasks_of_longest(|| backward(&y).map(drop))),
    ];
    let wanted = wanted.clamp(1, CORES);
    for (pass, tasks) in passes {
        assert!(
            tasks >= wanted,
            "{title}, {pass}: {tasks} tasks in its longest fork, not {wanted}"
        );
    }
}

#[test]
fn convolutions_of_large_and_small_images() {
    let cases: [([usize; 4], usize, usize, usize); 13] = [
        // ResNet-18 at 224, of the batch of 8.
        ([8, 224, 224, 3], 7, 64, 2),
        ([8, 56, 56, 64], 3, 64, 1),
        ([8, 28, 28, 128], 3, 128, 1),
        ([8, 14, 14, 256], 3, 256, 1),
        ([8, 7, 7, 512], 3, 512, 1),
        ([8, 56, 56, 64], 3, 128, 2),
        ([8, 14, 14, 256], 3, 512, 2),
        ([8, 56, 56, 64], 1, 128, 2),
        // Of 32 images of 32 x 32.
        ([32, 8, 8, 64], 3, 64, 1),
        ([32, 2, 2, 256], 3, 256, 1),
        ([32, 1, 1, 512], 3, 512, 1),
        // Of a slim network of spectrograms.
        ([32, 33, 13, 8], 3, 8, 1),
        // Patches of a transformer.
        ([8, 224, 224, 3], 16, 192, 16),
    ];
    for (shape, kernel, to, stride) in cases {
        let (x, w) = (random(&shape), random(&[kernel, kernel, shape[3], to]));
        let padding = if kernel == stride { 0 } else { kernel / 2 };
        let config = Conv2dConfig { stride: (stride, stride), padding: (padding, padding) };
        let forward = || tcmax_ops::conv2d(x.as_tensor(), w.as_tensor(), config);
        let products = forward().unwrap().elem_count() * kernel * kernel * shape[3];
        // Of Winograd's algorithm a quarter; of images of a pixel one tap in nine is inside.
        let done = match (kernel, stride, shape[1]) {
            (3, 1, 1) => products / 9,
            (3, 1, 2..) => products / 4,
            _ => products,
        };
        check(&format!("conv {kernel}x{kernel}/{stride} of {shape:?}"), done / PRODUCTS, forward);
    }
}

#[test]
fn layers_of_transformers_and_heads() {
    for [rows, from, to] in
        [[1024, 768, 768], [1024, 768, 3072], [1024, 3072, 768], [400, 768, 768], [2048, 512, 309]]
    {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let layer = Linear::new(from, to, &builder).unwrap();
        let x = random(&[rows, from]);
        let forward = || layer.forward(x.as_tensor());
        check(&format!("linear {rows} x {from} to {to}"), rows * from * to / PRODUCTS, forward);
    }
    let [q, k, v] = [(); 3].map(|()| random(&[8, 128, 768]));
    let attention = || {
        tcmax_ops::attention(
            q.as_tensor(),
            k.as_tensor(),
            v.as_tensor(),
            12,
            &AttentionMask::default(),
        )
    };
    check("attention", CORES, attention);
    let (x, w, b) = (random(&[1024, 768]), random(&[768]), random(&[768]));
    let values = 1024 * 768;
    let norm = || tcmax_ops::layer_norm(x.as_tensor(), w.as_tensor(), b.as_tensor(), 1e-5);
    // Bands of 64 rows.
    check("layer norm", 16, norm);
    check("GELU", values / VALUES, || tcmax_ops::gelu(x.as_tensor(), Gelu::Exact));
    check("softmax", 16, || tcmax_ops::softmax(x.as_tensor()));
}

#[test]
fn layers_between_convolutions() {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let norm = BatchNorm2d::new(&builder, 64, Default::default()).unwrap();
    let x = random(&[8, 56, 56, 64]);
    let values = x.elem_count();
    check("batch norm", values / VALUES, || norm.forward_relu(x.as_tensor(), true));
    let pool = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    check("max pool", values / VALUES, || tcmax_ops::max_pool2d(x.as_tensor(), pool));
}

#[test]
fn optimisers_of_large_parameters() {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let p = builder.param("p", 1 << 22, tcmax_ops::Init::Const(1.0)).unwrap();
    let gradients = backward(&p).unwrap();
    let sgd = Sgd::new(&builder.params(), SgdOptions::default()).unwrap();
    let sgd = std::sync::Mutex::new(sgd);
    assert!(
        tasks_of_longest(|| sgd.lock().unwrap().step(&gradients).map_err(candle_core::Error::wrap))
            >= CORES
    );
}
