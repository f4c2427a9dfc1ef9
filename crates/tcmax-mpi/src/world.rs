//! The group of all processes of an MPI job.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;
use tcmax_parallel::{Counter, Error, Group, Purpose, Result, Traffic};

use crate::rounds::{Rounds, counted};

/// The exit code of a job that a member ended.
const ENDED: i32 = 1;

/// Bytes behind every buffer, so that it has an address: that of an empty vector is the number 1, by which
/// Open MPI means "in place".
const SPARE: usize = 1;

/// No bytes, at an address.
const NOTHING: &[u8] = NO_BYTES.split_at(0).0;
static NO_BYTES: [u8; SPARE] = [0];

/// All processes of the job.
pub(crate) struct World {
    /// MPI, which one thread uses at a time; dropped last, it ends.
    universe: Mutex<Universe>,
    rank: usize,
    size: usize,
    traffic: Counter,
}

impl World {
    pub(crate) fn new() -> crate::error::Result<Self> {
        if mpi::environment::is_initialized() {
            return Err(crate::error::Error::Twice);
        }
        let (universe, threading) = mpi::initialize_with_threading(Threading::Serialized)
            .ok_or(crate::error::Error::Twice)?;
        if threading < Threading::Serialized {
            return Err(crate::error::Error::Threads);
        }
        let world = universe.world();
        let number = |number: i32| usize::try_from(number).unwrap_or_default();
        let (rank, size) = (number(world.rank()), number(world.size()));
        Ok(Self { universe: Mutex::new(universe), rank, size, traffic: Counter::default() })
    }

    fn universe(&self) -> MutexGuard<'_, Universe> {
        self.universe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares what the members are about to do, and returns the length of each one's longest message.
    fn agree(&self, world: &SimpleCommunicator, kind: Kind, longest: usize) -> Result<Vec<usize>> {
        let mine = [kind.number(), longest as u64];
        let mut all = vec![0u64; mine.len() * self.size];
        world.all_gather_into(&mine[..], &mut all[..]);
        let members = || all.chunks_exact(mine.len());
        if let Some((other, theirs)) =
            members().enumerate().find(|(_, theirs)| theirs[0] != mine[0])
        {
            return Err(Error::Disagree {
                rank: self.rank,
                given: format!("{kind:?}"),
                other,
                wanted: Kind::named(theirs[0]),
            });
        }
        members().map(|theirs| length(theirs[1])).collect()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({} of {})", self.rank, self.size)
    }
}

impl Group for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, mine: &[u8], purpose: Purpose) -> Result<Vec<Vec<u8>>> {
        self.traffic.add(purpose, mine.len());
        let universe = self.universe();
        let world = universe.world();
        let lengths = self.agree(&world, Kind::Gather(purpose), mine.len())?;
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let rounds = Rounds::new(self.size, longest);
        let mut all: Vec<Vec<u8>> =
            lengths.iter().map(|&length| Vec::with_capacity(length)).collect();
        for round in 0..rounds.count() {
            let (counts, starts) =
                counted(lengths.iter().map(|&length| rounds.part(round, length).len()));
            let mut received = vec![0u8; total(&counts) + SPARE];
            let mut parts = PartitionMut::new(&mut received[..], &counts[..], &starts[..]);
            let part = &mine[rounds.part(round, mine.len())];
            world
                .all_gather_varcount_into(if part.is_empty() { NOTHING } else { part }, &mut parts);
            append(&mut all, &received, &counts);
        }
        Ok(all)
    }

    fn all_to_all(&self, messages: &[Vec<u8>], purpose: Purpose) -> Result<Vec<Vec<u8>>> {
        if messages.len() != self.size {
            return Err(Error::Messages { got: messages.len(), members: self.size });
        }
        let others = messages.iter().enumerate().filter(|(rank, _)| *rank != self.rank);
        self.traffic.add(purpose, others.map(|(_, message)| message.len()).sum());
        let universe = self.universe();
        let world = universe.world();
        let own_longest = messages.iter().map(Vec::len).max().unwrap_or_default();
        let longest = self.agree(&world, Kind::Exchange(purpose), own_longest)?;
        let sent: Vec<u64> = messages.iter().map(|message| message.len() as u64).collect();
        let mut announced = vec![0u64; self.size];
        world.all_to_all_into(&sent[..], &mut announced[..]);
        let lengths: Vec<usize> = announced.into_iter().map(length).collect::<Result<_>>()?;
        let rounds = Rounds::new(self.size, longest.into_iter().max().unwrap_or_default());
        let mut all: Vec<Vec<u8>> =
            lengths.iter().map(|&length| Vec::with_capacity(length)).collect();
        for round in 0..rounds.count() {
            let parts = messages.iter().map(|message| &message[rounds.part(round, message.len())]);
            let (counts, starts) = counted(parts.clone().map(<[u8]>::len));
            let mut outgoing = Vec::with_capacity(total(&counts) + SPARE);
            parts.for_each(|part| outgoing.extend_from_slice(part));
            outgoing.extend([0; SPARE]);
            let parts = Partition::new(&outgoing[..], &counts[..], &starts[..]);
            let (counts, starts) =
                counted(lengths.iter().map(|&length| rounds.part(round, length).len()));
            let mut received = vec![0u8; total(&counts) + SPARE];
            let mut places = PartitionMut::new(&mut received[..], &counts[..], &starts[..]);
            world.all_to_all_varcount_into(&parts, &mut places);
            append(&mut all, &received, &counts);
        }
        Ok(all)
    }

    fn traffic(&self) -> Traffic {
        self.traffic.traffic()
    }

    /// Says why on stderr, and ends the processes of all members.
    #[allow(clippy::print_stderr)]
    fn abort(&self, reason: &str) {
        eprintln!("rank {} of {} ends the job: {reason}", self.rank, self.size);
        // Without waiting for MPI's turn: another thread of this process may be in an exchange that nobody
        // will finish.
        match self.universe.try_lock() {
            Ok(universe) => universe.world().abort(ENDED),
            Err(_) => std::process::exit(ENDED),
        }
    }
}

/// What the members of a group do together.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Gather(Purpose),
    Exchange(Purpose),
}

impl Kind {
    fn all() -> impl Iterator<Item = Self> {
        Purpose::ALL
            .into_iter()
            .flat_map(|purpose| [Self::Gather(purpose), Self::Exchange(purpose)])
    }

    fn number(self) -> u64 {
        match self {
            Self::Gather(purpose) => 2 * purpose as u64,
            Self::Exchange(purpose) => 2 * purpose as u64 + 1,
        }
    }

    fn named(number: u64) -> String {
        let found = Self::all().find(|kind| kind.number() == number);
        found.map_or_else(|| "something else".to_owned(), |kind| format!("{kind:?}"))
    }
}

fn length(bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|_| Error::Transport(format!("a message of {bytes} bytes")))
}

fn total(counts: &[i32]) -> usize {
    counts.iter().map(|&count| usize::try_from(count).unwrap_or_default()).sum()
}

/// Adds the parts of one round to what each member sent before.
fn append(all: &mut [Vec<u8>], mut received: &[u8], counts: &[i32]) {
    for (message, &count) in all.iter_mut().zip(counts) {
        let (part, rest) = received.split_at(usize::try_from(count).unwrap_or_default());
        message.extend_from_slice(part);
        received = rest;
    }
}
