"""Results as frames."""

import json
import math
import os
import shutil
import subprocess

import pytest
import tcmax

pytest.importorskip("pandas", reason="pandas is not installed: tcmax.runs is not tested")

from tcmax import runs


def run(seed, accuracy):
    evaluation = {
        "examples": 10,
        "accuracy": accuracy,
        "modality_accuracy": [0.5, None],
        "cross_entropy": "NaN",
        "total_correlation": None,
        "confusion": [[1]],
    }
    epochs = [
        {
            "epoch": epoch,
            "learning_rate": 0.1,
            "train_loss": 1.0 / epoch,
            "metrics": {"rate": 2.0},
            "validation": evaluation,
        }
        for epoch in (1, 2)
    ]
    return {
        "seed": seed,
        "best_epoch": 2,
        "seconds": 1.5,
        "test": evaluation,
        "history": epochs,
        "contributions": [0.3, None],
        "metrics": {"summary": {"ece": 0.1}, "top_k": [1.0]},
    }


def comparison(folder):
    folder.mkdir(parents=True)
    result = {
        "suite": "s",
        "dataset": {"modalities": ["audio", "visual"]},
        "methods": [
            {"name": "joint", "runs": [run(0, 0.8), run(1, 0.9)]},
            {"name": "tcmax", "runs": [run(0, 0.95)], "failed": [{"seed": 1, "problem": "step 3: the loss is NaN"}]},
        ],
    }
    (folder / "results.json").write_text(json.dumps(result))


def test_a_comparison_is_three_frames(tmp_path):
    comparison(tmp_path / "study")
    found = runs.read(tmp_path / "study")
    assert found.runs[["method", "seed", "accuracy"]].values.tolist() == [
        ["joint", 0, 0.8],
        ["joint", 1, 0.9],
        ["tcmax", 0, 0.95],
    ]
    first = found.runs.iloc[0]
    assert first["modality_accuracy audio"] == 0.5 and math.isnan(first["modality_accuracy visual"])
    assert math.isnan(first["cross_entropy"]) and first["ece"] == 0.1 and first["contribution audio"] == 0.3
    assert len(found.history) == 6
    assert found.history.iloc[1][["epoch", "train_loss", "rate", "validation accuracy"]].tolist() == [2, 0.5, 2.0, 0.8]
    assert found.failed["problem"].tolist() == ["step 3: the loss is NaN"]
    assert found.modalities == ["audio", "visual"]
    summary = found.summary()
    assert summary.loc["joint", "mean"] == pytest.approx(0.85)
    # The quantile of Student's law with one degree of freedom.
    assert summary.loc["joint", "half_width"] == pytest.approx(12.7062 * 0.05, rel=1e-4)
    assert math.isnan(summary.loc["tcmax", "half_width"])
    with pytest.raises(tcmax.Error, match="metric: there is no 'speed'"):
        found.summary("speed")


def test_folders_of_runs_and_of_comparisons(tmp_path):
    for seed in (0, 1):
        folder = tmp_path / "runs" / "joint" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(run(seed, 0.7)))
    found = runs.read(tmp_path / "runs")
    assert found.runs["method"].tolist() == ["joint", "joint"] and found.runs["seed"].tolist() == [0, 1]
    assert found.runs["modality_accuracy 0"].tolist() == [0.5, 0.5]
    assert len(runs.read(tmp_path / "runs" / "joint" / "seed-1").runs) == 1
    for name in ("a", "b"):
        comparison(tmp_path / "studies" / name)
    both = runs.read(tmp_path / "studies")
    assert both.runs.groupby("folder").size().tolist() == [3, 3]


def test_errors_name_the_folder_or_file(tmp_path):
    with pytest.raises(tcmax.Error, match="does not exist"):
        runs.read(tmp_path / "nowhere")
    with pytest.raises(tcmax.Error, match="is the run finished"):
        runs.read(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(tcmax.Error, match="result.json: Expecting"):
        runs.read(tmp_path)


def test_what_the_command_writes(tmp_path):
    command = os.environ.get("TCMAX") or shutil.which("tcmax")
    if command is None:
        pytest.skip("the command tcmax is not installed, and TCMAX does not name it: its results are not read")
    arguments = ["train", "--dataset", "regimes", "--method", "tcmax", "--epochs", "2", "--out", str(tmp_path / "run")]
    subprocess.run([command, *arguments], check=True, capture_output=True)
    found = runs.read(tmp_path / "run")
    assert len(found.runs) == 1 and 0 <= found.runs["accuracy"].item() <= 1
    assert found.history["epoch"].tolist() == [1, 2]
