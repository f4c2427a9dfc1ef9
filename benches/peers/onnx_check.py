"""Exported models in onnxruntime: FOLDER... TOLERANCE.

Each folder is one that `tcmax export` wrote, with `check.safetensors`: an array `input.NAME` for each input and the
logits `expected` that the program itself computes. Prints the largest difference in logits, relative to the largest
logit, and fails beyond the tolerance, or where the files do not fit each other.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file


def check(folder):
    """The largest relative difference of the model in a folder."""
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    for entry in config["modalities"]:
        prefix = entry["prefix"] + "."
        assert any(name.startswith(prefix) for name in weights), f"no weights {prefix}*"
    arrays = load_file(folder / "check.safetensors")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    names = [value.name for value in session.get_inputs()]
    assert names == [entry["name"] for entry in config["modalities"]], names
    assert all(value.shape[0] == "batch" for value in session.get_inputs())
    inputs = {name: arrays["input." + name] for name in names}
    logits, probabilities = session.run(["logits", "probabilities"], inputs)
    expected = arrays["expected"]
    assert logits.shape == expected.shape == (len(expected), len(config["classes"]))
    # Any number of examples.
    one = session.run(["logits"], {name: array[:1] for name, array in inputs.items()})[0]
    assert np.allclose(one, logits[:1], rtol=1e-4, atol=1e-5)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    assert np.allclose(probabilities, shifted / shifted.sum(1, keepdims=True), atol=1e-5)
    return np.abs(logits - expected).max() / np.abs(expected).max()


def main():
    *folders, tolerance = sys.argv[1:]
    failed = False
    for folder in map(Path, folders):
        difference = check(folder)
        failed |= not difference <= float(tolerance)
        print(f"{folder.name}: {difference:.2e}")
    sys.exit(failed)


main()
