//! Batches of a data set, read ahead by worker threads.
//!
//! Worker w of W reads batches w, w + W, ... into a bounded queue of its own, and the batches are
//! taken from the queues in turn. So they come in order, memory is bounded, and what is in them
//! depends on the seed alone, never on the number of workers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use candle_core::Device;
use rand::Rng;
use rand::seq::SliceRandom;
use tcmax_ops::Seed;
use tcmax_registry::Task;

use crate::batch::{Batch, Reader};
use crate::dataset::Dataset;
use crate::error::{Error, Result};

/// How a [`Loader`] makes batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Examples in a batch, at least 1.
    pub batch_size: usize,
    /// A new order each epoch.
    pub shuffle: bool,
    /// Draw as many examples of each class as of every other, instead of each example once: an epoch has as
    /// many examples as before, those of small classes more than once. Needs `shuffle`.
    pub balanced: bool,
    /// Leave out the last batch when it is not full.
    pub drop_last: bool,
    /// Threads that read ahead; 0 reads in the caller's thread.
    pub workers: usize,
    /// Batches each worker may have ready.
    pub prefetch: usize,
}

impl LoaderOptions {
    /// Every example in its order, read in the caller's thread.
    pub const fn in_order(batch_size: usize) -> Self {
        Self {
            batch_size,
            shuffle: false,
            balanced: false,
            drop_last: false,
            workers: 0,
            prefetch: 2,
        }
    }
}

/// Makes batches of a data set, epoch after epoch.
pub struct Loader {
    reader: Arc<Reader>,
    options: LoaderOptions,
    /// A last batch of fewer examples is joined to the one before.
    least: usize,
}

/// Which part of an epoch is read.
#[derive(Clone, Copy)]
enum Part {
    /// All of it.
    Whole,
    /// One member's share of every batch.
    Share { rank: usize, members: usize },
    /// Every so many batches, from one on.
    Every { first: usize, step: usize },
}

impl Loader {
    /// A loader; tensors go to `device`.
    ///
    /// # Errors
    /// When the batch size is 0, a label is not a class, or classes are to be balanced and there are none.
    pub fn new(dataset: Arc<dyn Dataset>, options: LoaderOptions, device: &Device) -> Result<Self> {
        if options.batch_size == 0 {
            return Err(Error::option("batch-size", "must be at least 1"));
        }
        let (classes, has_classes) = (dataset.classes().len(), dataset.task() == Task::Classes);
        if options.balanced && !has_classes {
            let problem = format!("needs classes, and the task is '{}'", dataset.task());
            return Err(Error::option("balanced-sampling", problem));
        }
        for row in (0..dataset.len()).filter(|_| has_classes && dataset.is_labelled()) {
            let label = dataset.label(row);
            if label as usize >= classes {
                return Err(Error::LabelOutOfRange { row, label, classes });
            }
        }
        let reader = Arc::new(Reader { dataset, device: device.clone() });
        Ok(Self { reader, options, least: 0 })
    }

    /// Joins a last batch of fewer than `least` examples, such as a single one, which has no batch statistics, to
    /// the batch before it, which is then larger than the others.
    #[must_use]
    pub fn joining_fewer_than(mut self, least: usize) -> Self {
        self.least = least;
        self
    }

    /// The examples of a last batch that is joined to the one before; 0 where none is.
    pub fn joined_examples(&self) -> usize {
        let (examples, size) = (self.reader.dataset.len(), self.options.batch_size);
        let left = examples % size;
        if !self.options.drop_last && examples > size && left < self.least { left } else { 0 }
    }

    /// Examples in a batch, but for the last.
    pub fn batch_size(&self) -> usize {
        self.options.batch_size
    }

    /// Examples of the data set.
    pub fn examples(&self) -> usize {
        self.reader.dataset.len()
    }

    /// Batches in an epoch.
    pub fn num_batches(&self) -> usize {
        let (examples, size) = (self.reader.dataset.len(), self.options.batch_size);
        let joined = usize::from(self.joined_examples() > 0);
        if self.options.drop_last { examples / size } else { examples.div_ceil(size) - joined }
    }

    /// The batches of one epoch; `seed` fixes their order and the augmentation. Dropping the
    /// iterator early stops the workers.
    pub fn epoch(&self, seed: Seed) -> Epoch {
        self.start(seed, Part::Whole)
    }

    /// The share of one member in every batch of an epoch: contiguous examples, in order of the members, whose
    /// shares differ by at most one ([`tcmax_parallel::share`]). Examples are read as by [`Loader::epoch`], with the same
    /// augmentation, and each batch says of which [`whole`](Batch::whole) it is a share.
    pub fn epoch_of_member(&self, seed: Seed, rank: usize, members: usize) -> Epoch {
        self.start(seed, Part::Share { rank, members })
    }

    /// As [`Loader::epoch_of_member`], of given batches: examples may come several times, or not at all, and `seed` fixes
    /// the augmentation alone.
    ///
    /// # Errors
    /// When there is no such example, or a batch is empty.
    pub fn epoch_of_batches(
        &self,
        batches: Vec<Vec<usize>>,
        seed: Seed,
        (rank, members): (usize, usize),
    ) -> Result<Epoch> {
        let examples = self.reader.dataset.len();
        let fits =
            |batch: &Vec<usize>| !batch.is_empty() && batch.iter().all(|&row| row < examples);
        if let Some(number) = batches.iter().position(|batch| !fits(batch)) {
            let problem = format!(
                "batch {number} of the epoch is empty, or names an example beyond the {examples} there are"
            );
            return Err(Error::option("plan", problem));
        }
        let of_member = (members > 1).then_some((rank, members));
        let augment = seed.stream("augment");
        Ok(Epoch::start(self.reader.clone(), batches, of_member, (augment, self.options)))
    }

    /// Every `step`-th batch of an epoch, from number `first` on.
    pub fn epoch_of_every(&self, seed: Seed, first: usize, step: usize) -> Epoch {
        self.start(seed, Part::Every { first, step: step.max(1) })
    }

    /// All examples in their order, without inputs.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn without_inputs(&self) -> Result<Batch> {
        let all: Vec<usize> = (0..self.reader.dataset.len()).collect();
        self.reader.described(&all, Vec::new())
    }

    fn start(&self, seed: Seed, part: Part) -> Epoch {
        let mut order: Vec<usize> = (0..self.reader.dataset.len()).collect();
        let mut rng = seed.stream("shuffle").rng();
        if self.options.shuffle && self.options.balanced {
            order = balanced_order(self.reader.dataset.as_ref(), &mut rng);
        } else if self.options.shuffle {
            order.shuffle(&mut rng);
        }
        let mut batches: Vec<Vec<usize>> = order
            .chunks(self.options.batch_size)
            .take(self.num_batches())
            .map(<[usize]>::to_vec)
            .collect();
        let joined = self.joined_examples();
        if let Some(last) = batches.last_mut().filter(|_| joined > 0) {
            last.extend(&order[order.len() - joined..]);
        }
        if let Part::Every { first, step } = part {
            batches = batches.into_iter().skip(first).step_by(step).collect();
        }
        let of_member = match part {
            Part::Share { rank, members } if members > 1 => Some((rank, members)),
            _ => None,
        };
        let augment = seed.stream("augment");
        Epoch::start(self.reader.clone(), batches, of_member, (augment, self.options))
    }
}

/// As many places as there are examples, each class having as many as the others, but for one: classes take
/// turns, and the examples of a class come in random orders, one order after the other.
fn balanced_order(dataset: &dyn Dataset, rng: &mut impl Rng) -> Vec<usize> {
    let mut classes: Vec<Vec<usize>> = vec![Vec::new(); dataset.classes().len()];
    (0..dataset.len()).for_each(|row| classes[dataset.label(row) as usize].push(row));
    classes.retain(|rows| !rows.is_empty());
    // The class that the last, incomplete turn leaves out is another one each epoch.
    classes.shuffle(rng);
    let mut order = Vec::with_capacity(dataset.len());
    let mut turn = 0;
    while order.len() < dataset.len() {
        for rows in &mut classes {
            if turn % rows.len() == 0 {
                rows.shuffle(rng);
            }
            order.push(rows[turn % rows.len()]);
        }
        turn += 1;
    }
    order.truncate(dataset.len());
    order.shuffle(rng);
    order
}

/// The batches of one epoch, in order.
pub struct Epoch {
    reader: Arc<Reader>,
    batches: Arc<Vec<Vec<usize>>>,
    /// The member whose share of each batch is read, of how many.
    of_member: Option<(usize, usize)>,
    seed: Seed,
    next: usize,
    queues: Vec<Receiver<Result<Batch>>>,
    workers: Vec<JoinHandle<()>>,
}

impl Epoch {
    fn start(
        reader: Arc<Reader>,
        batches: Vec<Vec<usize>>,
        of_member: Option<(usize, usize)>,
        (seed, options): (Seed, LoaderOptions),
    ) -> Self {
        let workers = options.workers.min(batches.len());
        let batches = Arc::new(batches);
        let mut epoch = Self {
            reader,
            batches,
            of_member,
            seed,
            next: 0,
            queues: Vec::with_capacity(workers),
            workers: Vec::with_capacity(workers),
        };
        for worker in 0..workers {
            let (sender, queue) = sync_channel(options.prefetch.max(1));
            let (reader, batches) = (epoch.reader.clone(), epoch.batches.clone());
            epoch.queues.push(queue);
            epoch.workers.push(std::thread::spawn(move || {
                for indices in batches.iter().skip(worker).step_by(workers) {
                    // The other end is gone when the epoch was dropped early.
                    if sender.send(reader.batch(indices, of_member, seed)).is_err() {
                        return;
                    }
                }
            }));
        }
        epoch
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next;
        let indices = self.batches.get(batch)?;
        self.next += 1;
        if self.queues.is_empty() {
            return Some(self.reader.batch(indices, self.of_member, self.seed));
        }
        let received = self.queues[batch % self.queues.len()].recv();
        // A queue ends early only when its worker panicked.
        Some(received.unwrap_or(Err(Error::WorkerStopped { batch })))
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.queues.clear();
        for worker in self.workers.drain(..) {
            // A panic has been reported as an error already.
            let _ = worker.join();
        }
    }
}
