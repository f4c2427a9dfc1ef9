//! Groups of threads, also of threads in several processes, for which threads stand.

use std::sync::{Arc, Mutex};

use tcmax_parallel::{Alone, Error, Group, Purpose, Threads, run, share};

fn alone() -> Arc<dyn Group> {
    Arc::new(Alone)
}

/// Runs members in `processes` groups of `threads`, joined into one; results in the order of ranks.
fn joined<T: Send>(
    processes: usize,
    threads: usize,
    work: impl Fn(Arc<dyn Group>) -> Result<T, Error> + Sync,
) -> Vec<Result<T, Error>> {
    let outer = Threads::members(processes, &alone()).unwrap();
    let results = run(outer, |process| {
        let members = Threads::members(threads, &process).unwrap();
        Ok::<_, Error>(run(members, &work))
    });
    results.into_iter().flat_map(Result::unwrap).collect()
}

fn vector(rank: usize, length: usize) -> Vec<f32> {
    (0..length).map(|i| ((rank * 7919 + i * 104_729) % 1000) as f32 / 7.0).collect()
}

#[test]
fn messages_come_in_the_order_of_ranks() {
    for (processes, threads) in [(1, 1), (1, 4), (2, 2), (3, 2), (4, 1)] {
        let results = joined(processes, threads, |member| {
            let (rank, size) = (member.rank(), member.size());
            // Several rounds, so that a fast member meets slow ones.
            for round in 0..20 {
                let mine = vec![rank as u8; rank + round];
                let all = member.all_gather(&mine, Purpose::Features)?;
                let wanted: Vec<Vec<u8>> = (0..size).map(|r| vec![r as u8; r + round]).collect();
                assert_eq!(all, wanted);
                let messages: Vec<Vec<u8>> =
                    (0..size).map(|to| vec![rank as u8, to as u8, round as u8]).collect();
                let received = member.all_to_all(&messages, Purpose::Control)?;
                let wanted: Vec<Vec<u8>> =
                    (0..size).map(|from| vec![from as u8, rank as u8, round as u8]).collect();
                assert_eq!(received, wanted);
            }
            Ok(rank)
        });
        let ranks: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(ranks, (0..processes * threads).collect::<Vec<_>>());
    }
}

/// The sum of ranks in the documented order.
fn tree(vectors: &[Vec<f32>]) -> Vec<f32> {
    match vectors {
        [one] => one.clone(),
        _ => {
            let (first, second) = vectors.split_at(vectors.len() / 2);
            tree(first).iter().zip(tree(second)).map(|(x, y)| x + y).collect()
        }
    }
}

#[test]
fn sums_have_the_same_bits_for_every_number_of_processes() {
    for members in [1, 2, 4, 6, 12] {
        for length in [0, 1, 5, 1003] {
            let wanted = tree(&(0..members).map(|r| vector(r, length)).collect::<Vec<_>>());
            for processes in (1..=members).filter(|p| members % p == 0) {
                let results = joined(processes, members / processes, |member| {
                    let mut values = vector(member.rank(), length);
                    member.sum_f32(&mut values, Purpose::Gradients)?;
                    let mut one = [member.rank() as f64];
                    member.sum_f64(&mut one, Purpose::Loss)?;
                    assert_eq!(one, [(members * (members - 1) / 2) as f64]);
                    let traffic = member.traffic();
                    assert_eq!(traffic.of(Purpose::Gradients), 4 * length as u64);
                    assert_eq!(traffic.total(), 4 * length as u64 + 8);
                    Ok(values)
                });
                for values in results {
                    assert_eq!(values.unwrap(), wanted, "{processes} of {members}, {length}");
                }
            }
        }
    }
}

#[test]
fn whoever_waits_for_a_member_that_failed_hears_why() {
    for (processes, threads) in [(1, 3), (3, 1), (2, 2)] {
        let failed = processes * threads - 1;
        let results = joined(processes, threads, |member| {
            if member.rank() == failed {
                member.abort("no data here");
                return Err(Error::Transport("no data here".to_owned()));
            }
            member.sum_f32(&mut [1.0], Purpose::Gradients)?;
            Ok(())
        });
        for (rank, result) in results.into_iter().enumerate() {
            let text = result.unwrap_err().to_string();
            assert!(text.ends_with("no data here"), "{rank}: {text}");
        }
    }
}

#[test]
fn a_panic_ends_the_others_and_goes_on() {
    let seen = Mutex::new(Vec::new());
    let members = Threads::members(3, &alone()).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(members, |member| {
            assert!(member.rank() != 1, "out of paper");
            let result = member.all_gather(b"", Purpose::Control).map(|_| ());
            seen.lock().unwrap().push(result.clone().unwrap_err());
            result
        })
    }));
    assert!(panic.is_err());
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 2);
    for error in seen {
        assert!(error.is_of_another());
        assert_eq!(error.to_string(), "member 1 has ended: it panicked: out of paper");
    }
}

#[test]
fn members_that_want_different_things_do_not_wait_for_ever() {
    let members = Threads::members(2, &alone()).unwrap();
    let results = run(members, |member| match member.rank() {
        0 => member.sum_f32(&mut [1.0, 2.0], Purpose::Gradients),
        _ => member.sum_f32(&mut [1.0], Purpose::Gradients),
    });
    for result in results {
        let text = result.unwrap_err().to_string();
        assert!(text.starts_with("members disagree: member 1 gives"), "{text}");
    }
    // One that has finished does not come any more either.
    let members = Threads::members(2, &alone()).unwrap();
    let results = run(members, |member| match member.rank() {
        0 => member.all_gather(b"", Purpose::Control).map(|_| ()),
        _ => Ok(()),
    });
    assert_eq!(results[0].clone().unwrap_err().to_string(), "member 1 has ended: it has finished");
}

#[test]
fn shares_cover_everything_once() {
    for total in 0..20 {
        for members in 1..7 {
            let shares: Vec<_> = (0..members).map(|rank| share(total, rank, members)).collect();
            assert_eq!(
                shares.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..total).collect::<Vec<_>>()
            );
            let lengths = shares.iter().map(ExactSizeIterator::len);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }
}

#[test]
fn a_group_has_members() {
    assert_eq!(Threads::members(0, &alone()).unwrap_err(), Error::Nobody);
    assert!(Alone.all_to_all(&[], Purpose::Control).is_err());
}
