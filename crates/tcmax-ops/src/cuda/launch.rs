//! Launching kernels on tensors.

use std::sync::OnceLock;

use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Error, InplaceOp3,
    Layout, Result, Shape, Tensor, bail,
};

use crate::cuda::plan::{Number, Plan};

const OP: &str = "kernel";
const KERNELS: &str = include_str!("kernels.cu");

/// Whether the kernels compute with a tensor: one of an NVIDIA device, of a type that they know.
pub(crate) fn takes(x: &Tensor) -> bool {
    x.device().is_cuda() && matches!(x.dtype(), DType::F32 | DType::F64 | DType::BF16)
}

/// The type that sums and statistics are computed in.
pub(crate) fn wide(of: DType) -> DType {
    if of == DType::F64 { DType::F64 } else { DType::F32 }
}

/// A kernel of up to three contiguous tensors that writes one more. The element type of the first is in the kernel's
/// name.
pub(crate) struct Launch {
    plan: Plan,
    shape: Shape,
    result: DType,
}

impl Launch {
    pub(crate) fn new(plan: Plan, shape: impl Into<Shape>, result: DType) -> Self {
        Self { plan, shape: shape.into(), result }
    }

    /// Of one tensor, outside candle's graph.
    pub(crate) fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.detach().contiguous()?.apply_op1_no_bwd(self)
    }

    /// Of two tensors, outside candle's graph.
    pub(crate) fn of_two(&self, [a, b]: [&Tensor; 2]) -> Result<Tensor> {
        a.detach().contiguous()?.apply_op2_no_bwd(&b.detach().contiguous()?, self)
    }

    /// Of three tensors, outside candle's graph.
    pub(crate) fn of_three(&self, [a, b, c]: [&Tensor; 3]) -> Result<Tensor> {
        let (b, c) = (b.detach().contiguous()?, c.detach().contiguous()?);
        a.detach().contiguous()?.apply_op3_no_bwd(&b, &c, self)
    }

    /// Of storages, as inside an operation.
    pub(crate) fn run(&self, inputs: &[(&CudaStorage, &Layout)]) -> Result<(CudaStorage, Shape)> {
        let Some((first, _)) = inputs.first() else { bail!("{OP}: it has no inputs") };
        let device = first.device.clone();
        let mut result = allocated(&device, self.result, self.shape.elem_count())?;
        if self.shape.elem_count() > 0 {
            let stream = device.cuda_stream();
            let mut pointers = Vec::with_capacity(inputs.len() + 1);
            for (storage, layout) in inputs {
                pointers.push(pointer(storage, layout, &stream)?);
            }
            pointers.push(written_pointer(&mut result, &stream)?);
            let function = function(&device, self.plan.kernel, first)?;
            launch(&stream, &function, &self.plan, &pointers)?;
        }
        Ok((result, self.shape.clone()))
    }

    fn on_a_cpu<R>() -> Result<R> {
        bail!("{OP}: it is for NVIDIA's devices")
    }
}

impl CustomOp1 for Launch {
    fn name(&self) -> &'static str {
        self.plan.kernel
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::on_a_cpu()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.run(&[(x, layout)])
    }
}

impl CustomOp2 for Launch {
    fn name(&self) -> &'static str {
        self.plan.kernel
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::on_a_cpu()
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.run(&[(a, a_layout), (b, b_layout)])
    }
}

impl CustomOp3 for Launch {
    fn name(&self) -> &'static str {
        self.plan.kernel
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::on_a_cpu()
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
        c: &CudaStorage,
        c_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.run(&[(a, a_layout), (b, b_layout), (c, c_layout)])
    }
}

/// Changes `x` by a kernel of f32 or f64 that reads two others.
pub(crate) fn update(plan: Plan, x: &Tensor, [a, b]: [&Tensor; 2]) -> Result<()> {
    x.inplace_op3(&a.contiguous()?, &b.contiguous()?, &Update(plan))
}

struct Update(Plan);

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        self.0.kernel
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        Launch::on_a_cpu()
    }

    fn cuda_fwd(
        &self,
        x: &mut CudaStorage,
        layout: &Layout,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        if layout.contiguous_offsets() != Some((0, layout.shape().elem_count())) {
            bail!("{OP}: what is changed in place is a part of another tensor");
        }
        if layout.shape().elem_count() == 0 {
            return Ok(());
        }
        let stream = x.device.cuda_stream();
        let function = function(&x.device, self.0.kernel, x)?;
        let pointers = [
            written_pointer(x, &stream)?,
            pointer(a, a_layout, &stream)?,
            pointer(b, b_layout, &stream)?,
        ];
        launch(&stream, &function, &self.0, &pointers)
    }
}

/// The address of a tensor's first value; it is in use until the other part is dropped.
type Pointer<'a> = (u64, SyncOnDrop<'a>);

fn launch(
    stream: &CudaStream,
    function: &CudaFunction,
    plan: &Plan,
    pointers: &[Pointer<'_>],
) -> Result<()> {
    let size = |number: usize| u32::try_from(number).map_err(Error::wrap);
    let [blocks, threads] = [plan.blocks, plan.threads];
    let config = LaunchConfig {
        grid_dim: (size(blocks[0])?, size(blocks[1])?, 1),
        block_dim: (size(threads[0])?, size(threads[1])?, 1),
        shared_mem_bytes: 0,
    };
    let sizes: Vec<u64> = plan.numbers.iter().map(|number| number.as_size()).collect();
    let reals: Vec<f64> = plan.numbers.iter().map(|number| number.as_real()).collect();
    let mut arguments = stream.launch_builder(function);
    for (address, _) in pointers {
        arguments.arg(address);
    }
    for (at, number) in plan.numbers.iter().enumerate() {
        match number {
            Number::Size(_) => arguments.arg(&sizes[at]),
            Number::Real(_) => arguments.arg(&reals[at]),
        };
    }
    // SAFETY: the plan's kernel takes these pointers and numbers; it reads and writes as many values as the tensors'
    // shapes, which its plan was made of, say.
    unsafe { arguments.launch(config) }.map_err(Error::wrap)?;
    Ok(())
}

/// A kernel for tensors of the type of `like`.
fn function(device: &CudaDevice, kernel: &str, like: &CudaStorage) -> Result<CudaFunction> {
    let of = match like.slice {
        CudaStorageSlice::F32(_) => "f32",
        CudaStorageSlice::F64(_) => "f64",
        CudaStorageSlice::BF16(_) => "bf16",
        _ => bail!("{OP}: f32, f64 and bf16 are supported"),
    };
    let name = format!("{kernel}_{of}");
    Ok(device.get_or_load_custom_func(&name, "tcmax", compiled()?)?.into_cuda_function())
}

/// The kernels in the assembler of NVIDIA's devices, which the driver translates for the one that is there.
fn compiled() -> Result<&'static str> {
    static COMPILED: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compile = || compile_ptx(KERNELS).map(|ptx| ptx.to_src()).map_err(|e| format!("{e:?}"));
    match COMPILED.get_or_init(compile) {
        Ok(assembler) => Ok(assembler),
        Err(problem) => bail!("{OP}: the kernels do not compile: {problem}"),
    }
}

fn allocated(device: &CudaDevice, of: DType, count: usize) -> Result<CudaStorage> {
    // SAFETY: the kernel writes every value.
    let slice = unsafe {
        match of {
            DType::F32 => CudaStorageSlice::F32(device.alloc(count)?),
            DType::F64 => CudaStorageSlice::F64(device.alloc(count)?),
            DType::BF16 => CudaStorageSlice::BF16(device.alloc(count)?),
            other => bail!("{OP}: element type {other:?}; f32, f64 and bf16 are supported"),
        }
    };
    Ok(CudaStorage { slice, device: device.clone() })
}

fn pointer<'a>(
    storage: &'a CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<Pointer<'a>> {
    let Some((start, _)) = layout.contiguous_offsets() else {
        bail!("{OP}: a tensor of shape {:?} is not contiguous", layout.shape());
    };
    let ((address, guard), size) = match &storage.slice {
        CudaStorageSlice::F32(slice) => (slice.device_ptr(stream), 4),
        CudaStorageSlice::F64(slice) => (slice.device_ptr(stream), 8),
        CudaStorageSlice::BF16(slice) => (slice.device_ptr(stream), 2),
        _ => bail!("{OP}: f32, f64 and bf16 are supported"),
    };
    Ok((address + size * start as u64, guard))
}

fn written_pointer<'a>(
    storage: &'a mut CudaStorage,
    stream: &'a CudaStream,
) -> Result<Pointer<'a>> {
    Ok(match &mut storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::F64(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::BF16(slice) => slice.device_ptr_mut(stream),
        _ => bail!("{OP}: f32, f64 and bf16 are supported"),
    })
}
