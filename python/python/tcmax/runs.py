"""Results of training as pandas frames: what ``tcmax train`` and ``tcmax compare`` leave behind."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from . import _tcmax
from ._tcmax import Error

__all__ = ["Runs", "read"]


@dataclass(frozen=True)
class Runs:
    """Finished runs.

    Attributes
    ----------
    runs : pandas.DataFrame
        One row per run: ``method``, ``seed``, ``fold``, ``best_epoch``, ``seconds``, ``parameters``, the numbers of the
        test split (``accuracy``, ``cross_entropy``, ``total_correlation``, ...) and those of each modality, such as
        ``modality_accuracy audio``. Accuracies are fractions, information is in nats.
    history : pandas.DataFrame
        One row per epoch of each run: ``method``, ``seed``, ``fold``, ``epoch``, ``train_loss``, ...,
        ``validation accuracy``, ...
    failed : pandas.DataFrame
        Runs that failed, with the reason.
    modalities : list of str
    raw : list of dict
        What was read, with everything that is in no frame: confusion matrices, scores of classes, ...
    """

    runs: Any
    history: Any = field(repr=False)
    failed: Any = field(repr=False)
    modalities: list[str]
    raw: list[dict] = field(repr=False)

    def summary(self, metric: str = "accuracy") -> Any:
        """Summarise a column of ``runs`` by method.

        Parameters
        ----------
        metric : str

        Returns
        -------
        pandas.DataFrame
            ``runs``, ``mean``, ``std`` (over the runs) and ``half_width`` of a 95 % t interval, by method.
        """
        if metric not in self.runs.columns:
            raise Error(f"metric: there is no '{metric}'; there are {', '.join(map(str, self.runs.columns))}")
        grouped = self.runs.groupby("method", sort=False)[metric]
        found = grouped.agg(["count", "mean", "std"]).rename(columns={"count": "runs"})
        widths = grouped.agg(lambda values: _tcmax.t_half_width([float(value) for value in values.dropna()]))
        return found.assign(half_width=widths.astype(float))


def read(folder: Union[str, os.PathLike]) -> Runs:
    """Read the results in a folder.

    Parameters
    ----------
    folder : path
        A folder of a comparison (``results.json``), of a run (``result.json``), or one with such folders in it.

    Returns
    -------
    Runs

    Raises
    ------
    tcmax.Error
        When there are no results, or a file is broken; it names the file.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("tcmax.runs needs pandas: pip install pandas") from error

    folder = Path(folder)
    suites = _suites(folder)
    runs: list[dict] = []
    history: list[dict] = []
    failed: list[dict] = []
    modalities: list[str] = []
    for suite in suites:
        names = suite.get("dataset", {}).get("modalities", [])
        modalities.extend(name for name in names if name not in modalities)
        for method in suite["methods"]:
            for run in method["runs"]:
                key = {"method": method["name"], "seed": run["seed"], "fold": run.get("fold")}
                if len({str(other.get("folder")) for other in suites}) > 1:
                    key["folder"] = suite["folder"]
                runs.append({**key, **_of_run(run, names)})
                history.extend({**key, **_of_epoch(epoch, names)} for epoch in run["history"])
            for run in method.get("failed", []):
                failed.append({"method": method["name"], **run})
    return Runs(
        pandas.DataFrame(runs),
        pandas.DataFrame(history),
        pandas.DataFrame(failed, columns=["method", "seed", "fold", "problem"]),
        modalities,
        suites,
    )


def _suites(folder: Path) -> list[dict]:
    if (folder / "results.json").is_file():
        return [{**_json(folder / "results.json"), "folder": str(folder)}]
    if (folder / "result.json").is_file():
        return [_single(folder, folder.parent.name)]
    if not folder.is_dir():
        raise Error(f"{folder} does not exist: name a folder that tcmax train or tcmax compare wrote")
    comparisons = sorted(folder.glob("**/results.json"))
    if comparisons:
        return [{**_json(path), "folder": str(path.parent)} for path in comparisons]
    single = sorted(folder.glob("**/result.json"))
    if not single:
        raise Error(f"{folder}: there is no results.json and no result.json in it; is the run finished?")
    return [_single(path.parent, path.parent.parent.name) for path in single]


def _single(folder: Path, method: str) -> dict:
    """A run as a comparison of one."""
    run = _json(folder / "result.json")
    return {"dataset": {}, "methods": [{"name": method, "runs": [run]}], "folder": str(folder.parent)}


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Error(f"{path}: {error}") from None


def _of_run(run: dict, names: list[str]) -> dict:
    found = {key: run.get(key) for key in ("best_epoch", "seconds", "parameters")}
    found.update(_of_evaluation(run["test"], names))
    summary = (run.get("metrics") or {}).get("summary") or {}
    found.update((key, _number(value)) for key, value in summary.items() if _is_number(value) and key not in found)
    found.update(_by_modality("contribution", run.get("contributions"), names))
    found.update(_by_modality("probe_accuracy", run.get("probe_accuracy"), names))
    absence = run.get("absence") or {}
    found.update(_by_modality("accuracy_without", absence.get("accuracy_without"), names))
    if "matching_auc" in absence:
        found["matching_auc"] = _number(absence["matching_auc"])
    found.update((f"chosen {key}", value) for key, value in run.get("chosen", {}).items())
    return found


def _of_epoch(epoch: dict, names: list[str]) -> dict:
    found = {
        key: _number(value)
        for key, value in epoch.items()
        if key not in ("metrics", "validation", "information") and (_is_number(value) or isinstance(value, bool))
    }
    found.update((key, _number(value)) for key, value in (epoch.get("metrics") or {}).items())
    for key, value in _of_evaluation(epoch.get("validation") or {}, names).items():
        found[f"validation {key}"] = value
    return found


def _of_evaluation(evaluation: dict, names: list[str]) -> dict:
    found = {key: _number(value) for key, value in evaluation.items() if _is_number(value)}
    found.update(_by_modality("modality_accuracy", evaluation.get("modality_accuracy"), names))
    targets = evaluation.get("targets") or {}
    found.update((key, _number(value)) for key, value in targets.items() if _is_number(value))
    return found


def _by_modality(what: str, values: Optional[list], names: list[str]) -> dict:
    values = values or []
    names = names if len(names) == len(values) else [str(m) for m in range(len(values))]
    return {f"{what} {name}": _number(value) for name, value in zip(names, values)}


# JSON has no infinity and no NaN; they are written as words.
_WORDS = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf}


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value in _WORDS
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _number(value: Any) -> Any:
    if value is None:
        return math.nan
    return _WORDS[value] if isinstance(value, str) else value
