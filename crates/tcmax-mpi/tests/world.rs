//! Processes that mpirun starts: this test program, started once more as each member.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tcmax_mpi::{join, launched};
use tcmax_parallel::{Error, Purpose};

/// What a member is to do.
const TASK: &str = "TCMAX_MPI_TEST_TASK";

/// Runs the test `member` in so many processes.
fn members(count: usize, task: &str) -> Output {
    Command::new("mpirun")
        .args(["--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1"])
        .args(["-n", &count.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "member", "--nocapture"])
        .env(TASK, task)
        .output()
        .expect("mpirun (Debian: openmpi-bin) has to be there for this feature's tests")
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// One of several processes, which says when it is done; without a task there is nothing to do.
#[test]
#[allow(clippy::print_stdout)]
fn member() {
    let Ok(task) = std::env::var(TASK) else { return };
    let world = join().unwrap().expect("mpirun started this");
    let launched = launched().unwrap();
    assert_eq!((world.rank(), world.size()), (launched.rank, launched.size));
    match task.as_str() {
        "exchange" => {
            let message = vec![world.rank() as u8; 3 * world.rank()];
            let all = world.all_gather(&message, Purpose::Control).unwrap();
            for (rank, message) in all.iter().enumerate() {
                assert_eq!(*message, vec![rank as u8; 3 * rank]);
            }
            let messages: Vec<Vec<u8>> =
                (0..world.size()).map(|to| vec![(10 * world.rank() + to) as u8; to]).collect();
            let all = world.all_to_all(&messages, Purpose::Features).unwrap();
            for (from, message) in all.iter().enumerate() {
                assert_eq!(*message, vec![(10 * from + world.rank()) as u8; world.rank()]);
            }
            let before = world.traffic();
            let mut sums = [1.0, 0.5 + world.rank() as f64];
            world.sum_f64(&mut sums, Purpose::Gradients).unwrap();
            let size = world.size() as f64;
            assert_eq!(sums, [size, size * 0.5 + size * (size - 1.0) / 2.0]);
            let given = if world.size() == 1 { 0 } else { 16 };
            assert_eq!(world.traffic().since(&before).of(Purpose::Gradients), given);
            assert!(matches!(join(), Err(tcmax_mpi::Error::Twice)));
        }
        "disagree" => {
            let purpose = [Purpose::Loss, Purpose::Features][world.rank() % 2];
            let error = world.all_gather(&[], purpose).unwrap_err();
            assert!(matches!(error, Error::Disagree { .. }), "{error}");
        }
        "abort" if world.rank() == 1 => world.abort("there is no data here"),
        "die" if world.rank() == 1 => std::process::abort(),
        _ => {
            let error = world.all_gather(&[], Purpose::Control);
            unreachable!("member 1 never comes: {error:?}");
        }
    }
    println!("member {} is done", world.rank());
}

#[test]
fn processes_exchange_messages_and_add() {
    for count in [1, 2, 3] {
        let output = members(count, "exchange");
        assert!(output.status.success(), "{}", text(&output));
        for rank in 0..count {
            assert!(text(&output).contains(&format!("member {rank} is done")), "{}", text(&output));
        }
    }
}

#[test]
fn processes_that_do_different_things_say_so() {
    let output = members(2, "disagree");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_process_that_gives_up_or_dies_ends_the_others() {
    for task in ["abort", "die"] {
        let start = Instant::now();
        let output = members(3, task);
        assert!(!output.status.success(), "{}", text(&output));
        assert!(start.elapsed() < Duration::from_secs(30), "{task}");
        if task == "abort" {
            let reason = "rank 1 of 3 ends the job: there is no data here";
            assert!(text(&output).contains(reason), "{}", text(&output));
        }
    }
}
