//! Arithmetic on the gradients of groups of parameters, and their sums over members.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use tcmax_fusion::Owned;
use tcmax_ops::{DeviceGroup, placed_like, to_scalar_f64, wide};
use tcmax_parallel::{Group, Purpose};

use crate::{Result, Step};

/// Replaces the gradients of `vars`, which are the same on every member, by their sums over the members.
///
/// All numbers go in one flat vector, parameter by parameter, with a 1 for every parameter that has a gradient
/// here: one that has none on any member gets none, and one that has none on some members counts as zeros there.
pub(crate) fn add_up(gradients: &mut GradStore, vars: &[&Var], group: &dyn Group) -> Result<()> {
    if let Some(group) = DeviceGroup::of(group) {
        return add_up_on_devices(gradients, vars, group);
    }
    let has = |gradients: &GradStore, var: &Var| gradients.get(var.as_tensor()).is_some();
    let flags = vars.iter().map(|var| f64::from(u8::from(has(gradients, var))));
    let flags: Vec<f64> = flags.collect();
    if vars.iter().any(|var| var.dtype() == DType::F64) {
        let mut values = flat::<f64>(gradients, vars, flags)?;
        group.sum_f64(&mut values, Purpose::Gradients)?;
        take_apart(gradients, vars, &values)
    } else {
        let flags = flags.into_iter().map(|flag| flag as f32).collect();
        let mut values = flat::<f32>(gradients, vars, flags)?;
        group.sum_f32(&mut values, Purpose::Gradients)?;
        take_apart(gradients, vars, &values)
    }
}

/// The same where the gradients lie; which there are goes through the host, which knows it.
fn add_up_on_devices(gradients: &mut GradStore, vars: &[&Var], group: &DeviceGroup) -> Result<()> {
    let flag = |var: &&Var| f32::from(u8::from(gradients.get(var.as_tensor()).is_some()));
    let mut present: Vec<f32> = vars.iter().map(flag).collect();
    group.sum_f32(&mut present, Purpose::Gradients)?;
    let wanted = vars.iter().zip(&present).filter(|(_, present)| **present > 0.0);
    let wanted: Vec<&Var> = wanted.map(|(var, _)| *var).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let own = |var: &&Var| match gradients.get(var.as_tensor()) {
        Some(gradient) => gradient.detach().flatten_all(),
        None => Tensor::zeros(var.elem_count(), var.dtype(), var.device()),
    };
    let flat: Vec<Tensor> = wanted.iter().map(own).collect::<candle_core::Result<_>>()?;
    let sums = group.sum(&Tensor::cat(&flat, 0)?, Purpose::Gradients)?;
    let mut start = 0;
    for var in wanted {
        let sum = sums.narrow(0, start, var.elem_count())?.reshape(var.shape())?;
        gradients.insert(var.as_tensor(), sum);
        start += var.elem_count();
    }
    Ok(())
}

/// Puts summed numbers, after a flag for every parameter, in the place of the gradients. Each gets a vector of its own:
/// a view, and also candle's copy of one, would hold the numbers of all.
fn take_apart<T: candle_core::WithDType>(
    gradients: &mut GradStore,
    vars: &[&Var],
    summed: &[T],
) -> Result<()> {
    let (present, mut rest) = summed.split_at(vars.len());
    for (var, present) in vars.iter().zip(present) {
        let (own, others) = rest.split_at(var.elem_count());
        rest = others;
        if present.to_f64() > 0.0 {
            let sum = Tensor::from_slice(own, var.shape(), &Device::Cpu)?;
            let sum = sum.to_dtype(var.dtype())?.to_device(var.device())?;
            gradients.insert(var.as_tensor(), sum);
        }
    }
    Ok(())
}

/// The numbers of the gradients after others, zeros where there is none.
fn flat<T: candle_core::WithDType>(
    gradients: &GradStore,
    vars: &[&Var],
    mut values: Vec<T>,
) -> Result<Vec<T>> {
    for var in vars {
        match gradients.get(var.as_tensor()) {
            Some(gradient) => {
                let gradient = gradient.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?;
                values.extend(gradient.flatten_all()?.to_vec1::<T>()?);
            }
            None => values.resize(values.len() + var.elem_count(), T::from_f64(0.0)),
        }
    }
    Ok(values)
}

/// Multiplies the gradients of `vars` by `factor`.
pub(crate) fn scale(gradients: &mut GradStore, vars: &[Var], factor: f64) -> Result<()> {
    for var in vars {
        if let Some(gradient) = gradients.remove(var.as_tensor()) {
            gradients.insert(var.as_tensor(), (gradient * factor)?);
        }
    }
    Ok(())
}

/// Multiplies the gradients of what modality `m` alone has to do with: its encoder, and its parameters or columns of
/// the head.
pub(crate) fn scale_modality<Y>(
    gradients: &mut GradStore,
    step: &Step<'_, Y>,
    m: usize,
    factor: f64,
) -> Result<()> {
    if let Some(encoder) = step.groups.encoders.get(m) {
        scale(gradients, encoder, factor)?;
    }
    for Owned { parameter, columns } in step.head.owned_by(m) {
        let Some(gradient) = gradients.remove(&parameter) else { continue };
        let scaled = match columns {
            None => (gradient * factor)?,
            Some(columns) => {
                let of = |column| if columns.contains(&column) { factor } else { 1.0 };
                let factors: Vec<f64> = (0..gradient.dim(1)?).map(of).collect();
                let factors = Tensor::new(factors, &Device::Cpu)?;
                gradient.broadcast_mul(&placed_like(&factors, &gradient)?)?
            }
        };
        gradients.insert(&parameter, scaled);
    }
    Ok(())
}

/// The inner product of two gradients of the same parameters; what has none counts as zero.
pub(crate) fn inner(one: &GradStore, other: &GradStore, vars: &[Var]) -> Result<f64> {
    let mut sum = 0.0;
    for var in vars {
        let (Some(x), Some(y)) = (one.get(var.as_tensor()), other.get(var.as_tensor())) else {
            continue;
        };
        sum += to_scalar_f64(&wide(&(x * y)?)?.sum_all()?)?;
    }
    Ok(sum)
}

/// The sum of `weight * gradient` over several gradients of one parameter; `None` if none has one.
pub(crate) fn weighted(parts: &[(f64, &GradStore)], var: &Var) -> Result<Option<Tensor>> {
    let mut sum: Option<Tensor> = None;
    for (weight, gradients) in parts {
        let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
        let term = (gradient * *weight)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{Result, Storage};
    use tcmax_ops::DeviceSums;
    use tcmax_parallel::{Alone, Threads, run};

    use super::*;

    /// The gradients of this member's share of a loss of two parameters, the second of which the first member
    /// does not use.
    fn gradients_of(member: &dyn Group, vars: &[&Var]) -> Result<GradStore> {
        let mut loss = (vars[0].as_tensor().sum_all()? * (1.0 + member.rank() as f64))?;
        if member.rank() > 0 {
            loss = (loss + vars[1].as_tensor().sqr()?.sum_all()?)?;
        }
        loss.backward()
    }

    /// Sums of tensors by the group itself, in place of a device's.
    struct ByHost(Arc<dyn Group>);

    impl DeviceSums for ByHost {
        fn sum(&self, x: &Tensor) -> Result<Tensor> {
            let mut values = x.to_vec1::<f32>()?;
            self.0.sum_f32(&mut values, Purpose::Loss).map_err(candle_core::Error::wrap)?;
            Tensor::from_vec(values, x.shape(), x.device())
        }
    }

    #[test]
    fn sums_on_devices_are_those_of_the_host_in_one_exchange() {
        let alone: Arc<dyn Group> = Arc::new(Alone);
        let sums = run(Threads::members(3, &alone).unwrap(), |host| {
            let group = DeviceGroup::new(host.clone(), ByHost(host.clone()));
            let var = |values: &[f32]| Var::new(values, &Device::Cpu).unwrap();
            let (one, other, unused) = (var(&[5.0; 3]), var(&[2.0; 7]), var(&[1.0; 2]));
            let vars = [&one, &other, &unused];
            let sums_by = |group: &dyn Group| {
                let mut gradients = gradients_of(group, &vars).unwrap();
                add_up(&mut gradients, &vars, group).map_err(|error| error.to_string())?;
                let sum = |var: &Var| gradients.get(var.as_tensor()).map(Tensor::to_vec1::<f32>);
                let sums = vars.map(|var| sum(var).transpose().unwrap());
                Ok::<_, String>(sums)
            };
            let of_devices = sums_by(&group)?;
            assert_eq!(of_devices, sums_by(host.as_ref())?);
            // 10 numbers of parameters with a gradient on some member.
            assert_eq!(host.traffic().of(Purpose::Loss), 40);
            assert_eq!(group.traffic().since(&host.traffic()).of(Purpose::Gradients), 40);
            assert_eq!([group.rank(), group.size()], [host.rank(), host.size()]);
            Ok::<_, String>(of_devices)
        });
        for sum in sums {
            assert_eq!(sum.unwrap(), [Some(vec![6.0; 3]), Some(vec![8.0; 7]), None]);
        }
    }

    #[test]
    fn sums_are_those_of_all_members_and_hold_no_numbers_of_other_parameters() {
        let alone: Arc<dyn Group> = Arc::new(Alone);
        let sums = run(Threads::members(2, &alone).unwrap(), |member| {
            let var = |values: &[f32]| Var::new(values, &Device::Cpu).unwrap();
            let (one, other, unused) = (var(&[5.0; 3]), var(&[2.0; 7]), var(&[1.0; 2]));
            let vars = [&one, &other, &unused];
            let mut gradients = gradients_of(member.as_ref(), &vars).unwrap();
            add_up(&mut gradients, &vars, member.as_ref()).map_err(|error| error.to_string())?;
            assert!(gradients.get(unused.as_tensor()).is_none());
            for var in [&one, &other] {
                let (storage, _) = gradients.get(var.as_tensor()).unwrap().storage_and_layout();
                let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
                assert_eq!(storage.as_slice::<f32>().unwrap().len(), var.elem_count());
            }
            let sum = |var: &Var| gradients.get(var.as_tensor()).unwrap().to_vec1::<f32>().unwrap();
            Ok::<_, String>((sum(&one), sum(&other)))
        });
        for sum in sums {
            assert_eq!(sum.unwrap(), (vec![3.0; 3], vec![4.0; 7]));
        }
    }
}
