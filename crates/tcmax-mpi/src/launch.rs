//! Whether MPI started this process, by what launchers put into the environment.

/// What a launcher says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The rank of this process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
}

/// Rank and number of processes, as launchers call them: Open MPI's mpirun; those of MPICH, Intel MPI and
/// `srun --mpi=pmi2`; `srun --mpi=pmix`, of which only tasks of a step with PMIx count.
const NAMES: [[&str; 2]; 3] = [
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
    ["PMI_RANK", "PMI_SIZE"],
    ["PMIX_RANK", "SLURM_STEP_NUM_TASKS"],
];

/// What the launcher of this process says; `None` where no MPI started it.
pub fn launched() -> Option<Launched> {
    launched_by(|name| std::env::var(name).ok())
}

fn launched_by(value: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let number = |name| value(name)?.trim().parse().ok();
    NAMES.into_iter().find_map(|[rank, size]| {
        let launched = Launched { rank: number(rank)?, size: number(size)? };
        (launched.rank < launched.size).then_some(launched)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &'static [(&str, &str)]) -> Option<Launched> {
        launched_by(|name| {
            let found = variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        let third = Some(Launched { rank: 2, size: 4 });
        assert_eq!(with(&[("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "4")]), third);
        assert_eq!(with(&[("PMI_RANK", "2"), ("PMI_SIZE", "4")]), third);
        assert_eq!(with(&[("PMIX_RANK", "2"), ("SLURM_STEP_NUM_TASKS", "4")]), third);
    }

    #[test]
    fn what_says_nothing_is_no_launcher() {
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("SLURM_STEP_NUM_TASKS", "4")]), None, "srun of any program");
        assert_eq!(with(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]), None);
        assert_eq!(with(&[("PMI_RANK", "first"), ("PMI_SIZE", "4")]), None);
    }
}
