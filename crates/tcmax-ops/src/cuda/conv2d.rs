//! Convolution by cuDNN, channels last.
//!
//! Filters are (out, height, width, in) here. The gradients are computed by the algorithms whose results have the
//! same bits each time, where cuDNN has them for the shape.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::cuda_backend::cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as DataAlgorithm,
    cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm, cudnnConvolutionMode_t as Mode,
    cudnnMathType_t as Math, cudnnTensorFormat_t as Format,
};
use candle_core::cuda_backend::cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType,
    FilterDescriptor, TensorDescriptor,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr, ValidAsZeroBits};
use candle_core::cuda_backend::{CudaDType, CudaStorageSlice, DeviceId};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail,
};
use half::bf16;

use crate::geometry::ConvShape;

const OP: &str = "conv2d";

/// Whether convolutions of f32 may round their inputs to TF32.
static TF32: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Handles belong to the thread that made them.
    static HANDLES: RefCell<HashMap<DeviceId, Arc<Cudnn>>> = RefCell::default();
}

/// Lets convolutions of f32 round their inputs to the 10 binary digits of TF32, or not.
pub(crate) fn allow_tf32(allowed: bool) {
    TF32.store(allowed, Ordering::Relaxed);
}

/// Convolves `x` (B, H, W, C) with `filters` (K_h, K_w, C, O).
pub(crate) fn conv2d(x: &Tensor, filters: &Tensor, shape: &ConvShape) -> Result<Tensor> {
    let filters = filters.permute((3, 0, 1, 2))?.contiguous()?;
    x.contiguous()?.apply_op2(&filters, Convolution { shape: *shape, pass: Pass::Forward })
}

/// What is computed from what.
#[derive(Clone, Copy)]
enum Pass {
    /// The output from input and filters.
    Forward,
    /// The input's gradient from filters and the output's gradient.
    Input,
    /// The filters' gradient from input and the output's gradient.
    Filters,
}

#[derive(Clone, Copy)]
struct Convolution {
    shape: ConvShape,
    pass: Pass,
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: cuDNN is for NVIDIA's devices")
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let inputs = [(a, a_layout), (b, b_layout)];
        let storage = match a.slice {
            CudaStorageSlice::F32(_) => self.computed::<f32, f32>(inputs)?,
            CudaStorageSlice::F64(_) => self.computed::<f64, f64>(inputs)?,
            CudaStorageSlice::BF16(_) => self.computed::<bf16, f32>(inputs)?,
            _ => bail!("{OP}: f32, f64 and bf16 are supported"),
        };
        Ok((storage, self.result()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        filters: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let of = |pass: Pass| Self { pass, ..*self };
        let dx = x.track_op().then(|| filters.apply_op2_no_bwd(&grad, &of(Pass::Input)));
        let dw = filters.track_op().then(|| x.apply_op2_no_bwd(&grad, &of(Pass::Filters)));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

impl Convolution {
    fn result(&self) -> Shape {
        let ConvShape { batch, from, to, window } = self.shape;
        let (image, kernel) = (window.image, window.kernel);
        match self.pass {
            Pass::Forward => self.shape.out_dims(),
            Pass::Input => Shape::from((batch, image.0, image.1, from)),
            Pass::Filters => Shape::from((to, kernel.0, kernel.1, from)),
        }
    }

    /// The result in type T, with sums in C.
    fn computed<T, C>(&self, inputs: [(&CudaStorage, &Layout); 2]) -> Result<CudaStorage>
    where
        T: CudnnDataType + CudaDType + WithDType + DeviceRepr + ValidAsZeroBits,
        C: CudnnDataType,
    {
        let device = inputs[0].0.device.clone();
        let [a, b] = inputs.map(|(storage, layout)| view::<T>(storage, layout));
        let (a, b) = (a?, b?);
        // Zeros, so that nothing is left unwritten where there is nothing to convolve.
        let mut result = device.alloc_zeros::<T>(self.result().elem_count())?;
        if !self.shape.is_empty() {
            Descriptors::<T, C>::new(&device, &self.shape)?.run(
                self.pass,
                [&a, &b],
                &mut result,
            )?;
        }
        Ok(CudaStorage::wrap_cuda_slice(result, device))
    }
}

fn view<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => bail!("{OP}: a tensor of shape {:?} is not contiguous", layout.shape()),
    }
}

fn handle(device: &CudaDevice) -> Result<Arc<Cudnn>> {
    HANDLES.with_borrow_mut(|handles| {
        if let Some(handle) = handles.get(&device.id()) {
            return Ok(handle.clone());
        }
        let handle = Cudnn::new(device.cuda_stream())?;
        handles.insert(device.id(), handle.clone());
        Ok(handle)
    })
}

/// What cuDNN knows of a convolution.
struct Descriptors<T, C> {
    device: CudaDevice,
    x: TensorDescriptor<T>,
    filters: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
    conv: ConvDescriptor<C>,
}

impl<T, C> Descriptors<T, C>
where
    T: CudnnDataType + WithDType,
    C: CudnnDataType,
{
    fn new(device: &CudaDevice, shape: &ConvShape) -> Result<Self> {
        let cudnn = handle(device)?;
        let ConvShape { batch, from, to, window } = *shape;
        let sizes = |sizes: [usize; 4]| -> Result<[i32; 4]> {
            let [a, b, c, d] =
                sizes.map(|size| i32::try_from(size).map_err(candle_core::Error::wrap));
            Ok([a?, b?, c?, d?])
        };
        let [stride_height, stride_width, padding_height, padding_width] =
            sizes([window.stride.0, window.stride.1, window.padding.0, window.padding.1])?;
        let format = Format::CUDNN_TENSOR_NHWC;
        let mut conv = cudnn.create_conv2d::<C>(
            [padding_height, padding_width],
            [stride_height, stride_width],
            [1, 1],
            Mode::CUDNN_CROSS_CORRELATION,
        )?;
        conv.set_math_type(match (T::DTYPE, TF32.load(Ordering::Relaxed)) {
            (candle_core::DType::F32, false) => Math::CUDNN_FMA_MATH,
            (candle_core::DType::BF16, _) => Math::CUDNN_TENSOR_OP_MATH,
            _ => Math::CUDNN_DEFAULT_MATH,
        })?;
        // Sizes are in the order of channels first whatever the format.
        let image = sizes([batch, from, window.image.0, window.image.1])?;
        let kernel = sizes([to, from, window.kernel.0, window.kernel.1])?;
        let out = sizes([batch, to, window.out.0, window.out.1])?;
        Ok(Self {
            device: device.clone(),
            x: cudnn.create_4d_tensor(format, image)?,
            filters: cudnn.create_4d_filter(format, kernel)?,
            y: cudnn.create_4d_tensor(format, out)?,
            conv,
        })
    }

    fn workspace(&self, bytes: usize) -> Result<CudaSlice<u8>> {
        // SAFETY: cuDNN reads nothing of it that it has not written.
        unsafe { self.device.alloc::<u8>(bytes.max(1)) }
    }

    fn run(
        &self,
        pass: Pass,
        [a, b]: [&CudaView<'_, T>; 2],
        result: &mut CudaSlice<T>,
    ) -> Result<()> {
        let Self { x, filters, y, conv, .. } = self;
        let scales = (T::one(), T::zero());
        match pass {
            Pass::Forward => {
                let pass = ConvForward { conv, x, w: filters, y };
                let algorithm = pass.pick_algorithm()?;
                let mut space = self.workspace(pass.get_workspace_size(algorithm)?)?;
                // SAFETY: the tensors are as the descriptors say.
                unsafe { pass.launch(algorithm, Some(&mut space), scales, a, b, result) }?;
            }
            Pass::Input => {
                let pass = ConvBackwardData { conv, dx: x, w: filters, dy: y };
                let same_bits = DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
                let algorithm = match pass.get_workspace_size(same_bits) {
                    Ok(_) => same_bits,
                    Err(_) => pass.pick_algorithm()?,
                };
                let mut space = self.workspace(pass.get_workspace_size(algorithm)?)?;
                // SAFETY: as above.
                unsafe { pass.launch(algorithm, Some(&mut space), scales, result, a, b) }?;
            }
            Pass::Filters => {
                let pass = ConvBackwardFilter { conv, x, dw: filters, dy: y };
                let same_bits = FilterAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
                let algorithm = match pass.get_workspace_size(same_bits) {
                    Ok(_) => same_bits,
                    Err(_) => pass.pick_algorithm()?,
                };
                let mut space = self.workspace(pass.get_workspace_size(algorithm)?)?;
                // SAFETY: as above.
                unsafe { pass.launch(algorithm, Some(&mut space), scales, a, result, b) }?;
            }
        }
        Ok(())
    }
}
