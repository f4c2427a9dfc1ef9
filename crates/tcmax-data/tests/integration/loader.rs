//! The loader gives the same batches whatever its workers do, and says what is wrong with data.

use std::sync::Arc;

use candle_core::Device;
use tcmax_data::{
    Column, Dataset, Error, Loader, LoaderOptions, Modality, ModalityKind, Result, TableDataset,
};
use tcmax_ops::Seed;

const PLAIN: LoaderOptions = LoaderOptions { shuffle: true, ..LoaderOptions::in_order(7) };

/// Everything in an epoch's batches.
fn contents(
    data: &Arc<dyn Dataset>,
    options: LoaderOptions,
    seed: u64,
) -> Vec<(Vec<usize>, Vec<f32>)> {
    let loader = Loader::new(data.clone(), options, &Device::Cpu).unwrap();
    let read = |batch: Result<tcmax_data::Batch>| {
        let batch = batch.unwrap();
        let values =
            batch.inputs.iter().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        (batch.indices, values.collect())
    };
    loader.epoch(Seed::new(seed)).map(read).collect()
}

/// 23 examples of two modalities.
fn examples() -> Arc<dyn Dataset> {
    Arc::new(table())
}

fn table() -> TableDataset {
    let modality = |name: &str, shape: &[usize]| Modality {
        name: name.to_owned(),
        kind: ModalityKind::Features,
        shape: shape.to_vec(),
    };
    let column = |length: usize| {
        let items: Vec<f32> = (0..23 * length).map(|n| (n as f32).sin()).collect();
        Column { items: Arc::new(items), rows: (0..23).collect(), blanks: None }
    };
    TableDataset {
        modalities: Arc::new(vec![modality("sight", &[2, 3]), modality("touch", &[5])]),
        classes: Arc::new((0..3).map(|class| format!("class {class}")).collect()),
        labels: (0..23).map(|example| example % 3).collect(),
        columns: vec![column(6), column(5)],
        identities: None,
    }
}

#[test]
fn balanced_batches_have_as_many_of_each_class() {
    // 20 examples of one class, 2 and 1 of the others.
    let data: Arc<dyn Dataset> = Arc::new(TableDataset {
        labels: (0..23).map(|row| [1, 2, 2].get(row).copied().unwrap_or(0)).collect(),
        ..table()
    });
    let options = LoaderOptions { balanced: true, ..PLAIN };
    let rows = |seed| contents(&data, options, seed).into_iter().flat_map(|(rows, _)| rows);
    for seed in 0..5 {
        let mut counts = [0; 3];
        let mut seen = [0; 23];
        for row in rows(seed) {
            counts[data.label(row) as usize] += 1;
            seen[row] += 1;
        }
        assert_eq!(counts.iter().sum::<usize>(), 23);
        assert!(counts.iter().all(|count| (7..=8).contains(count)), "{counts:?}");
        assert!(i32::abs(seen[1] - seen[2]) <= 1, "rows of a class take turns: {seen:?}");
    }
    assert_ne!(rows(0).collect::<Vec<_>>(), rows(1).collect::<Vec<_>>());
    assert_eq!(
        contents(&data, LoaderOptions { workers: 3, ..options }, 4),
        contents(&data, options, 4)
    );
}

#[test]
fn workers_do_not_change_batches() {
    let data = examples();
    let alone = contents(&data, PLAIN, 5);
    for (workers, prefetch) in [(1, 1), (2, 3), (5, 1), (40, 2)] {
        assert_eq!(alone, contents(&data, LoaderOptions { workers, prefetch, ..PLAIN }, 5));
    }
    assert_ne!(alone, contents(&data, PLAIN, 6), "another seed, another order");
}

#[test]
fn every_example_comes_once_and_the_last_batch_is_an_option() {
    let data = examples();
    let seen = |options| -> Vec<usize> {
        contents(&data, options, 1).into_iter().flat_map(|(indices, _)| indices).collect()
    };
    let mut all = seen(PLAIN);
    assert_ne!(all, (0..23).collect::<Vec<_>>());
    all.sort_unstable();
    assert_eq!(all, (0..23).collect::<Vec<_>>());
    assert_eq!(seen(LoaderOptions { drop_last: true, ..PLAIN }).len(), 21);
    assert_eq!(seen(LoaderOptions { shuffle: false, ..PLAIN }), (0..23).collect::<Vec<_>>());
}

#[test]
fn dropping_an_epoch_early_ends_its_workers() {
    let options = LoaderOptions { workers: 3, prefetch: 1, batch_size: 1, ..PLAIN };
    let loader = Loader::new(examples(), options, &Device::Cpu).unwrap();
    for _ in 0..20 {
        let mut epoch = loader.epoch(Seed::new(0));
        epoch.next().unwrap().unwrap();
        // The drop joins the workers: it would hang here if they did not end.
    }
}

/// Ten rows of which one is bad.
struct Faulty {
    modalities: Vec<Modality>,
    classes: Vec<String>,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    NotANumber,
    Label,
    Panic,
}

impl Dataset for Faulty {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn len(&self) -> usize {
        10
    }
    fn label(&self, index: usize) -> u32 {
        if index == 6 && self.fault == Fault::Label { 2 } else { 1 }
    }
    fn read(&self, index: usize, _: usize, _: Seed, out: &mut [f32]) -> Result<()> {
        assert!(index != 6 || self.fault != Fault::Panic, "a data set of another crate fails");
        out.fill(if index == 6 && self.fault == Fault::NotANumber { f32::NAN } else { 0.5 });
        Ok(())
    }
}

fn faulty(fault: Fault) -> Arc<dyn Dataset> {
    let touch = Modality { name: "touch".to_owned(), kind: ModalityKind::Features, shape: vec![3] };
    let classes = vec!["a".to_owned(), "b".to_owned()];
    Arc::new(Faulty { modalities: vec![touch], classes, fault })
}

#[test]
fn bad_rows_are_named() {
    for workers in [0, 2] {
        let options = LoaderOptions { workers, shuffle: false, batch_size: 2, ..PLAIN };
        let loader = Loader::new(faulty(Fault::NotANumber), options, &Device::Cpu).unwrap();
        let batches: Vec<_> = loader.epoch(Seed::new(0)).collect();
        assert_eq!(batches.iter().filter(|batch| batch.is_err()).count(), 1);
        let error = batches[3].as_ref().unwrap_err().to_string();
        assert!(error.contains("row 6") && error.contains("'touch'"), "{error}");
    }
    let label = Loader::new(faulty(Fault::Label), PLAIN, &Device::Cpu).err().unwrap();
    assert!(matches!(label, Error::LabelOutOfRange { row: 6, label: 2, classes: 2 }));
    let none = LoaderOptions { batch_size: 0, ..PLAIN };
    assert!(Loader::new(examples(), none, &Device::Cpu).is_err());
}

#[test]
fn a_worker_that_panics_is_an_error_and_not_a_hang() {
    let options = LoaderOptions { workers: 2, shuffle: false, batch_size: 2, ..PLAIN };
    let loader = Loader::new(faulty(Fault::Panic), options, &Device::Cpu).unwrap();
    let results: Vec<bool> = loader.epoch(Seed::new(0)).map(|batch| batch.is_ok()).collect();
    assert_eq!(results, [true, true, true, false, true]);
}

#[test]
fn the_shares_of_members_are_the_batch_and_say_what_it_is() {
    let loader = Loader::new(examples(), PLAIN, &Device::Cpu).unwrap();
    let whole: Vec<_> = loader.epoch(Seed::new(4)).map(Result::unwrap).collect();
    for members in [1, 2, 3] {
        let shares = (0..members).map(|rank| {
            let batches = loader.epoch_of_member(Seed::new(4), rank, members);
            batches.map(Result::unwrap).collect::<Vec<_>>()
        });
        let shares: Vec<Vec<_>> = shares.collect();
        for (number, batch) in whole.iter().enumerate() {
            let own = || shares.iter().map(|batches| &batches[number]);
            let indices: Vec<usize> = own().flat_map(|share| share.indices.clone()).collect();
            assert_eq!(indices, batch.indices);
            for m in 0..2 {
                let values = |batch: &tcmax_data::Batch| {
                    batch.inputs[m].flatten_all().unwrap().to_vec1::<f32>().unwrap()
                };
                assert_eq!(own().flat_map(values).collect::<Vec<_>>(), values(batch));
            }
            for share in own() {
                assert_eq!(share.whole.is_some(), members > 1);
                let of_all = share.whole.as_ref().map_or(&batch.indices, |whole| &whole.indices);
                assert_eq!(of_all, &batch.indices);
            }
        }
    }
    let every: Vec<usize> = loader
        .epoch_of_every(Seed::new(4), 1, 2)
        .flat_map(|batch| batch.unwrap().indices)
        .collect();
    assert_eq!(every, [&whole[1].indices[..], &whole[3].indices].concat());
    let all = loader.without_inputs().unwrap();
    assert_eq!((all.indices, all.inputs.len()), ((0..23).collect(), 0));
}

#[test]
fn too_few_examples_at_the_end_join_the_batch_before() {
    // 23 in batches of 7 leave two over.
    for (least, last, joined) in [(0, 2, 0), (2, 2, 0), (3, 9, 2), (8, 9, 2)] {
        let loader = Loader::new(examples(), PLAIN, &Device::Cpu).unwrap();
        let loader = loader.joining_fewer_than(least);
        let batches: Vec<_> = loader.epoch(Seed::new(1)).map(Result::unwrap).collect();
        assert_eq!(batches.len(), loader.num_batches());
        assert_eq!(
            (batches.last().unwrap().indices.len(), loader.joined_examples()),
            (last, joined)
        );
        let mut all: Vec<usize> = batches.into_iter().flat_map(|batch| batch.indices).collect();
        all.sort_unstable();
        assert_eq!(all, (0..23).collect::<Vec<_>>());
    }
}
