"""Data sets and prepared clips."""

import os
import pickle
import wave
from pathlib import Path

import numpy as np
import pytest
import tcmax
from tcmax import data


def feature_file(folder, rows=60):
    rng = np.random.default_rng(0)
    arrays = {
        "audio": rng.normal(size=(rows, 4)).astype(np.float32),
        "image": rng.normal(size=(rows, 1, 3, 3)).astype(np.float32),
        "label": np.arange(rows) % 3,
        "split": np.repeat(["train", "val", "test"], rows // 3),
    }
    path = folder / "features.npz"
    np.savez(path, **arrays)
    return path, arrays


def array(values):
    return np.asarray(values)


def test_a_feature_file_is_read_as_it_was_written(tmp_path):
    path, arrays = feature_file(tmp_path)
    source = data.open(path)
    train, validation, test = source.splits()
    assert [len(split) for split in (train, validation, test)] == [20, 20, 20]
    assert [(m.name, m.shape) for m in train.modalities] == [("audio", (4,)), ("image", (1, 3, 3))]
    assert train.classes == ["0", "1", "2"] and train.task == "classes"
    inputs, label = validation[5]
    np.testing.assert_array_equal(array(inputs["audio"]), arrays["audio"][25])
    np.testing.assert_array_equal(array(inputs["image"]), arrays["image"][25])
    assert label == 25 % 3 == array(validation.labels)[5]
    whole = test.arrays()
    np.testing.assert_array_equal(array(whole["audio"]), arrays["audio"][40:])
    np.testing.assert_array_equal(array(whole["label"]), arrays["label"][40:])
    np.testing.assert_array_equal(array(test.arrays([3, 1])["image"]), arrays["image"][[43, 41]])
    assert len(source.examples()) == 60 and source.examples().present().all()


def test_examples_end_and_count_backwards(tmp_path):
    train = data.open(feature_file(tmp_path)[0]).splits().train
    np.testing.assert_array_equal(array(train[-1][0]["audio"]), array(train[19][0]["audio"]))
    with pytest.raises(IndexError, match="there is no example 20; there are 20, numbered from 0"):
        train[20]
    # Python's own loop over what has numbered items ends there.
    assert sum(1 for _ in train) == 20


def test_what_is_missing_reads_as_zeros_and_is_said(tmp_path):
    path, arrays = feature_file(tmp_path)
    present = np.arange(60) % 4 != 0
    np.savez(path, **arrays, **{"audio.present": present})
    train = data.open(path).splits(presence=True).train
    inputs, _, there = train[0]
    assert array(there).tolist() == [False, True] and not array(inputs["audio"]).any()
    assert train.present()[:, 0].tolist() == present[:20].tolist()


def test_examples_are_opened_again_in_another_process(tmp_path):
    test = data.open(feature_file(tmp_path)[0]).splits(seed=3).test
    again = pickle.loads(pickle.dumps(test))
    np.testing.assert_array_equal(array(again[7][0]["image"]), array(test[7][0]["image"]))


def test_a_loader_with_workers_makes_batches(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: loaders are not tested")
    train = data.open(feature_file(tmp_path)[0]).splits().train
    assert isinstance(train, torch.utils.data.Dataset)
    loader = torch.utils.data.DataLoader(train, batch_size=8, num_workers=2)
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [8, 8, 4]
    inputs, labels = batches[0]
    assert inputs["image"].shape == (8, 1, 3, 3) and inputs["image"].dtype == torch.float32
    assert torch.equal(torch.cat([labels for _, labels in batches]), train.labels)


def test_labels_and_numbers_are_targets(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "numbers.npz"
    target = rng.normal(size=(50, 2)).astype(np.float32)
    np.savez(path, x=rng.normal(size=(50, 3)), target=target)
    examples = data.open(path).examples()
    assert examples.task == "regression" and len(examples.classes) == 2
    np.testing.assert_array_equal(array(examples[4][1]), target[4])
    np.testing.assert_array_equal(array(examples.arrays()["target"]), target)


def test_generated_data_have_a_name_and_options():
    names = {spec["name"] for spec in data.data_sets()}
    assert {"synthetic", "regimes", "av-digits", "files"} <= names
    source = data.open("regimes")
    first, again, other = source.splits(0).train, source.splits(0).train, source.splits(1).train
    one = lambda examples: array(next(iter(examples[0][0].values())))  # noqa: E731
    np.testing.assert_array_equal(one(first), one(again))
    assert (one(first) != one(other)).any()
    with pytest.raises(tcmax.Error, match="no-such-option"):
        data.open("regimes", no_such_option=1)


def test_errors_name_file_and_row(tmp_path):
    with pytest.raises(tcmax.Error, match="nowhere.npz"):
        data.open(tmp_path / "nowhere.npz")
    path, arrays = feature_file(tmp_path)
    arrays["audio"][3, 1] = np.nan
    np.savez(path, **arrays)
    with pytest.raises(tcmax.Error, match="features.npz.*"):
        data.open(path)
    with pytest.raises(tcmax.Error, match="data_dir: it is for data sets that have a name"):
        data.open(path, data_dir=tmp_path)


def manifest(folder, rows=12):
    """Tones as WAV files, words, and two classes."""
    lines = ["sound,words,label,split"]
    for row in range(rows):
        name = f"tone{row}.wav"
        pitch = 440 if row % 2 else 880
        samples = (8000 * np.sin(2 * np.pi * pitch * np.arange(8000) / 8000)).astype("<i2")
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        split = ("train", "val", "test")[row // 2 % 3]
        lines.append(f"{name},a {'low' if row % 2 else 'high'} tone,{'low' if row % 2 else 'high'},{split}")
    path = folder / "tones.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_media_become_clips_once(tmp_path):
    path, out = manifest(tmp_path), tmp_path / "clips"
    told = []
    made = tcmax.prepare(path, out, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (made.clips, made.clips)
    assert made.folder == out and made.clips == 12 and made.left_out == 0 and made.resumed_shards == 0
    again = tcmax.prepare(path, out)
    assert again.resumed_shards == again.shards
    train, _, test = data.open(out).splits()
    assert (len(train), len(test)) == (4, 4)
    assert train.classes == ["high", "low"]
    kinds = {modality.name: modality.kind for modality in train.modalities}
    assert kinds["sound"] == "spectrogram"
    whole = train.arrays()
    assert np.isfinite(array(whole["sound"])).all()
    # Two tones of one pitch are the same, two of different pitches are not.
    sounds, labels = array(whole["sound"]), array(whole["label"])
    same = [np.abs(sounds[i] - sounds[j]).max() < 1e-6 for i in range(4) for j in range(i)]
    assert same == [labels[i] == labels[j] for i in range(4) for j in range(i)]


def test_what_cannot_be_prepared_is_named(tmp_path):
    path = manifest(tmp_path)
    with pytest.raises(ZeroDivisionError):
        tcmax.prepare(path, tmp_path / "given up", progress=lambda done, total: done / 0)
    (tmp_path / "tone3.wav").write_bytes(b"RIFFnothing")
    with pytest.raises(tcmax.Error, match="tones.csv, line 5, 'sound': not a complete WAV file"):
        tcmax.prepare(path, tmp_path / "clips")
    made = tcmax.prepare(path, tmp_path / "others", skip_broken=True)
    assert made.clips == 11 and made.left_out == 1 and sum(made.reasons.values()) == 1
    with pytest.raises(tcmax.Error, match="root: give the folder with the media of 'crema-d'"):
        tcmax.prepare("crema-d")
    with pytest.raises(tcmax.Error, match="modalities: is for published data sets"):
        tcmax.prepare(path, modalities=["sound"])


def test_the_digits_are_there():
    folder = os.environ.get("TCMAX_DATA_DIR")
    if not folder or not Path(folder, "t10k-images-idx3-ubyte.gz").exists():
        pytest.skip("TCMAX_DATA_DIR names no folder with the digits: the real data set is not read")
    train, validation, test = data.open("av-digits", data_dir=folder, train_size=50).splits(seed=0)
    assert (len(train), len(validation), len(test)) == (50, 200, 1500)
    inputs, label = train[0]
    assert array(inputs["audio"]).shape == (1, 129, 51) and array(inputs["visual"]).shape == (1, 28, 28)
    assert 0 <= label < 10
