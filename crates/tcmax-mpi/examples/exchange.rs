//! How fast processes exchange: seconds of an empty exchange, and bytes a second of sums.
//!
//! ```text
//! mpirun -n 2 target/release/examples/exchange
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::time::Instant;

use tcmax_parallel::{Group, Purpose};

/// Times of each measurement, of which the middle one counts.
const TIMES: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(world) = tcmax_mpi::join()? else {
        return Err("start it with mpirun: mpirun -n 2 exchange".into());
    };
    let world = world.as_ref();
    let latency = middle(world, |world| world.all_gather(&[0; 8], Purpose::Control).map(drop))?;
    let mut values = vec![1f32; 1 << 22];
    let seconds = middle(world, |world| {
        values.fill(1.0);
        world.sum_f32(&mut values, Purpose::Gradients)
    })?;
    // What a sum gives and gets back, of every member.
    let members = world.size() as f64;
    let bytes = 2.0 * (members - 1.0) / members * size_of_val(&values[..]) as f64;
    if world.rank() == 0 {
        let rate = bytes / seconds;
        println!("{{\"members\":{members},\"latency\":{latency:e},\"bytes_per_second\":{rate:e}}}");
    }
    Ok(())
}

/// The middle one of several times of an exchange, seconds.
fn middle(
    world: &dyn Group,
    mut exchange: impl FnMut(&dyn Group) -> tcmax_parallel::Result<()>,
) -> tcmax_parallel::Result<f64> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        // All begin together.
        world.all_gather(&[], Purpose::Control)?;
        let start = Instant::now();
        exchange(world)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TIMES / 2])
}
