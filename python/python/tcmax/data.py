"""Data sets of several modalities: prepared clips, feature files, tables, and the ones that tcmax knows by name.

Examples are ``torch.utils.data.Dataset``s where PyTorch is installed, whose inputs are tensors; without it they have
the same methods, and inputs are arrays. They can be handed to a ``DataLoader`` with any number of workers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from . import _tcmax
from ._tcmax import Error

try:
    import torch
    from torch.utils.data import Dataset as _Base
except ImportError:
    torch = None  # type: ignore[assignment]
    _Base = object  # type: ignore[assignment,misc]

__all__ = ["Examples", "Modality", "Source", "Splits", "data_sets", "open"]


@dataclass(frozen=True)
class Modality:
    """One modality.

    Attributes
    ----------
    name : str
        Such as ``audio``.
    kind : str
        ``"spectrogram"`` (channels, frequencies, times), ``"image"`` (channels, height, width, or with frames after
        the channels), ``"features"``, ``"sequence"`` (steps, features and a flag whether the step is there) or
        ``"tokens"`` (numbers, -1 where the text is shorter).
    shape : tuple of int
        That of one example's input.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


class Splits(NamedTuple):
    """The three splits of a data set."""

    train: "Examples"
    validation: "Examples"
    test: "Examples"


def open(
    source: Union[str, os.PathLike], *, data_dir: Union[str, os.PathLike, None] = None, **options: Any
) -> "Source":
    """Open data: user data at a path, or a data set by name.

    Parameters
    ----------
    source : str or path
        A folder of prepared clips, a feature file (``.safetensors``, ``.npz``), a folder of feature tables, a manifest
        of media (whose clips are prepared in the user's cache), or a name of `data_sets`.
    data_dir : path, optional
        The folder with the files of a named data set; by default they are downloaded into the user's cache.
    **options
        Options of the data set (see `data_sets`), with underscores for hyphens, such as ``train_size=300``; of data
        at a path ``label``, ``group``, ``task``, ``split``, ``folds``, ``test_fraction``, ``val_fraction``, ...

    Returns
    -------
    Source

    Raises
    ------
    tcmax.Error
        Everything that is wrong with the data, at once, with file and row.

    Examples
    --------
    >>> source = open("regimes")
    >>> train, validation, test = source.splits(seed=0)
    >>> inputs, label = train[0]
    """
    given = {name.replace("_", "-"): _plain(value) for name, value in options.items() if value is not None}
    name = os.fspath(source)
    known = {spec["name"] for spec in data_sets()} - {"files"}
    if name in known and not Path(name).exists():
        recipe = _Recipe(name, json.dumps(given), None if data_dir is None else os.fspath(data_dir))
    else:
        if data_dir is not None:
            raise Error("data_dir: it is for data sets that have a name; give the path alone")
        recipe = _Recipe("files", json.dumps({"path": name, **given}), None)
    return Source(recipe)


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def data_sets() -> list[dict]:
    """List the data sets that have a name, each with ``name``, ``description``, ``options`` (name, default, text)."""
    return [
        {"name": name, "description": description, "options": options}
        for name, description, options in _tcmax.data_sets()
    ]


@dataclass(frozen=True)
class _Recipe:
    """How data are opened again, in another process."""

    name: str
    options: str
    data_dir: Optional[str]

    def open(self) -> _tcmax.Source:
        return _tcmax.open_data(self.name, self.options, self.data_dir)


class Source:
    """Opened data, from which the splits of any seed are made.

    Attributes
    ----------
    title, description : str
    notes : list of str
        What a reader should know, such as speakers in several splits.
    warnings : list of str
        What makes results doubtful, such as copies of training examples in the test split.
    folds : int or None
        The number of folds, if the options ask for a cross-validation.
    """

    def __init__(self, recipe: _Recipe) -> None:
        self._recipe = recipe
        self._native = recipe.open()
        self.title = self._native.title
        self.description = self._native.description
        self.notes = self._native.notes
        self.warnings = self._native.warnings
        self.folds = self._native.folds

    def splits(self, seed: int = 0, fold: Optional[int] = None, presence: bool = False) -> Splits:
        """Split the examples.

        Parameters
        ----------
        seed : int
            Draws the splits that do not come with the data.
        fold : int, optional
            The fold to test on, from 0.
        presence : bool
            Items have a third part: which modalities the example has.

        Returns
        -------
        Splits
            ``train``, ``validation`` and ``test``. Those of training are cropped and flipped at random, if the clips
            were prepared for that.
        """
        native = self._native.splits(seed, fold)
        return Splits(*(Examples(self._recipe, (seed, fold), i, one, presence) for i, one in enumerate(native)))

    def examples(self, presence: bool = False) -> "Examples":
        """Return every example once, as it is tested."""
        native = self._native.examples()
        if native is None:
            raise Error(f"{self.title} has no examples beside those of its splits")
        return Examples(self._recipe, None, 0, native, presence)

    def __repr__(self) -> str:
        return f"Source({self.title!r})"


class Examples(_Base):
    """Labelled examples of several modalities.

    Item i is ``(inputs, label)``: inputs by modality, each a float32 tensor of the modality's shape (zeros where the
    example lacks it), and the class as an int; of other tasks a float32 tensor with a number for each of ``classes``.
    With ``presence`` a boolean tensor (M,) comes third. Random crops and flips are drawn from PyTorch's generator, so
    that ``torch.manual_seed`` and a ``DataLoader``'s workers decide over them.

    Attributes
    ----------
    modalities : list of Modality
    classes : list of str
        Names of the classes, of the labels, or of the numbers to predict.
    task : str
        ``"classes"``, ``"labels"`` or ``"regression"``.
    """

    def __init__(self, recipe: _Recipe, split: Optional[tuple], index: int, native: _tcmax.Examples, presence: bool):
        self._recipe, self._split, self._index, self._presence = recipe, split, index, presence
        self._set(native)

    def _set(self, native: _tcmax.Examples) -> None:
        self._native = native
        self.modalities = [Modality(name, kind, tuple(shape)) for name, kind, shape in native.modalities]
        self.classes = native.classes
        self.task = native.task
        self._labels = native.labels()

    # Another process, such as a DataLoader's worker, opens the data again.
    def __getstate__(self) -> tuple:
        return (self._recipe, self._split, self._index, self._presence)

    def __setstate__(self, state: tuple) -> None:
        self._recipe, self._split, self._index, self._presence = state
        source = self._recipe.open()
        native = source.examples() if self._split is None else source.splits(*self._split)[self._index]
        assert native is not None, "there were examples when this was made"
        self._set(native)

    def __len__(self) -> int:
        return len(self._native)

    def __getitem__(self, index: int) -> tuple:
        index = int(index)
        if index < 0:
            index += len(self)
        seed = self._seed()
        inputs = {
            modality.name: self._wrap(self._native.read([index], m, [seed]).reshape(modality.shape))
            for m, modality in enumerate(self.modalities)
        }
        target = int(self._labels[index]) if self.task == "classes" else self._wrap(self._native.target(index))
        if not self._presence:
            return inputs, target
        return inputs, target, self._wrap(np.array(self._native.present(index)))

    @property
    def labels(self) -> Any:
        """The class of every example, int64 of shape (N,)."""
        return self._wrap(self._labels)

    def id(self, index: int) -> str:
        """Return what an example is called where it comes from."""
        return self._native.id(int(index))

    def arrays(self, indices: Optional[Sequence[int]] = None) -> dict:
        """Read examples at once.

        Parameters
        ----------
        indices : sequence of int, optional
            Which; by default all.

        Returns
        -------
        dict
            Of each modality a tensor (N, ...), and ``label`` (N,), or ``target`` (N, C) of other tasks.
        """
        indices = list(range(len(self))) if indices is None else [int(index) for index in indices]
        seeds = [self._seed() for _ in indices]
        found = {
            modality.name: self._wrap(self._native.read(indices, m, seeds).reshape(-1, *modality.shape))
            for m, modality in enumerate(self.modalities)
        }
        if self.task == "classes":
            found["label"] = self._wrap(self._labels[indices])
        else:
            found["target"] = self._wrap(np.stack([self._native.target(index) for index in indices]))
        return found

    def present(self) -> np.ndarray:
        """Return which examples have which modality, booleans of shape (N, M)."""
        return np.array([self._native.present(index) for index in range(len(self))])

    def _seed(self) -> int:
        if torch is None:
            return int(np.random.randint(2**31))
        return int(torch.randint(2**62, ()))

    @staticmethod
    def _wrap(array: np.ndarray) -> Any:
        return array if torch is None else torch.from_numpy(array)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{modality.name} {modality.shape}" for modality in self.modalities)
        return f"Examples({len(self)}: {shapes})"
