//! Where threads meet: each brings something, and all leave with what was made of it.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::traffic::Purpose;

/// What a member wants to do; all must want the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) purpose: Purpose,
    /// How long vectors are that are added; 0 where lengths may differ.
    pub(super) length: usize,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?}", self.operation, self.purpose)?;
        if self.length > 0 { write!(f, " ({} numbers)", self.length) } else { Ok(()) }
    }
}

type Thing = Box<dyn Any + Send>;
type Made = Arc<dyn Any + Send + Sync>;

/// The room of one process.
#[derive(Debug)]
pub(super) struct Room {
    state: Mutex<State>,
    changed: Condvar,
    /// The rank of the first member here.
    first: usize,
}

#[derive(Debug)]
struct State {
    /// What has been brought to the current meeting.
    brought: Vec<Option<(Call, Thing)>>,
    /// How many meetings are over.
    meetings: u64,
    /// What the last meeting made. Nobody can miss it: the next one ends only after all have come to it.
    made: Result<Made>,
    /// The first member that ended, with its reason.
    ended: Option<(usize, String)>,
}

impl Room {
    pub(super) fn new(members: usize, first: usize) -> Self {
        let state = State {
            brought: (0..members).map(|_| None).collect(),
            meetings: 0,
            made: Ok(Arc::new(())),
            ended: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), first }
    }

    /// A panic elsewhere leaves nothing half-done in the state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a thing, waits for those of the others, and returns what `make` makes of all of them, in the order
    /// of members. The last who comes makes it.
    pub(super) fn meet<T: Send + 'static, M: Send + Sync + 'static>(
        &self,
        index: usize,
        call: Call,
        thing: T,
        make: impl FnOnce(Vec<T>) -> Result<M>,
    ) -> Result<Arc<M>> {
        let mut state = self.lock();
        if let Some((rank, reason)) = &state.ended {
            return Err(Error::Ended { rank: *rank, reason: reason.clone() });
        }
        state.brought[index] = Some((call, Box::new(thing)));
        let made = if state.brought.iter().all(Option::is_some) {
            let brought: Vec<_> = state.brought.iter_mut().filter_map(Option::take).collect();
            drop(state);
            // Nobody else can change anything now: all wait.
            let made = self.agreed(brought).and_then(make).map(|made| Arc::new(made) as Made);
            let mut state = self.lock();
            state.made = made.clone();
            state.meetings += 1;
            self.changed.notify_all();
            made
        } else {
            self.wait(state)
        };
        made?.downcast::<M>().map_err(|_| Error::Transport("another meeting's result".to_owned()))
    }

    fn wait(&self, mut state: MutexGuard<'_, State>) -> Result<Made> {
        let meeting = state.meetings;
        loop {
            if state.meetings != meeting {
                return state.made.clone();
            }
            if let Some((rank, reason)) = &state.ended {
                return Err(Error::Ended { rank: *rank, reason: reason.clone() });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The things, if all members want the same.
    fn agreed<T: 'static>(&self, brought: Vec<(Call, Thing)>) -> Result<Vec<T>> {
        let wanted = brought[0].0;
        let things = brought.into_iter().enumerate().map(|(index, (call, thing))| {
            let disagree = || Error::Disagree {
                rank: self.first + index,
                given: call.to_string(),
                other: self.first,
                wanted: wanted.to_string(),
            };
            if call != wanted {
                return Err(disagree());
            }
            thing.downcast::<T>().map(|thing| *thing).map_err(|_| disagree())
        });
        things.collect()
    }

    /// A member comes no more. The first reason is the one that counts.
    pub(super) fn leave(&self, index: usize, reason: &str) {
        let mut state = self.lock();
        let rank = self.first + index;
        state.ended.get_or_insert_with(|| (rank, reason.to_owned()));
        self.changed.notify_all();
    }
}
