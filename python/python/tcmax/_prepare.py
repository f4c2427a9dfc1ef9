"""Preparation of media."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from . import _tcmax

PathLike = Union[str, os.PathLike]


@dataclass(frozen=True)
class Prepared:
    """What was prepared.

    Attributes
    ----------
    folder : Path
        The clips, for `tcmax.data.open`.
    clips, shards : int
    resumed_shards : int
        Shards that an earlier run had made.
    left_out : int
        Clips that were left out; each with its reason in ``skipped.csv`` of the folder.
    reasons : dict
        Why clips were left out or kept in part, with their numbers.
    notes : list of str
        What a reader should know.
    """

    folder: Path
    clips: int
    shards: int
    resumed_shards: int
    left_out: int
    reasons: dict[str, int]
    notes: list[str]


def prepare(
    source: PathLike,
    out: Optional[PathLike] = None,
    *,
    root: Optional[PathLike] = None,
    lists: Optional[PathLike] = None,
    modalities: Sequence[str] = (),
    recipe: Optional[str] = None,
    label: Optional[str] = None,
    group: Optional[str] = None,
    keep_partial: bool = False,
    skip_broken: bool = False,
    shard_size: Optional[int] = None,
    progress: Optional[Callable[[int, int], object]] = None,
) -> Prepared:
    """Decode media into clips that load fast, as ``tcmax prepare`` does.

    An interrupted run goes on where it was when it is called again, and ends with the same bytes.

    Parameters
    ----------
    source : str or path
        A manifest (a .csv, .tsv or .parquet table of one row per example, columns of WAV, MP4, JPEG or npy files
        or text, and a label), or the name of a published data set such as ``crema-d``.
    out : path, optional
        Where the clips go: a folder that is new, empty, or of an interrupted run of the same; by default
        ``prepared/NAME``.
    root : path, optional
        Folder with the media; of a manifest the folder that its paths start from, by default its own.
    lists, modalities : optional
        Of a published data set: the folder with its split lists, and which modalities to prepare.
    recipe : str, optional
        Of a published data set the name of one of its recipes; of a manifest TOML text that says what to make of
        columns, a table for each.
    label, group : str, optional
        Of a manifest: columns with the labels and the groups.
    keep_partial : bool
        Keep clips that lack a modality, masked, instead of leaving them out.
    skip_broken : bool
        Leave out what a manifest names and cannot be decoded, instead of refusing.
    shard_size : int, optional
        Clips in a shard, 64 by default; memory holds one shard.
    progress : callable, optional
        Called now and then with the number of clips that are done and that of all; an exception ends the run.

    Returns
    -------
    Prepared

    Raises
    ------
    tcmax.Error
        Everything that is wrong with the manifest or the media, at once, with file and row.
    """
    found = _tcmax.prepare(
        os.fspath(source),
        None if out is None else os.fspath(out),
        root=None if root is None else os.fspath(root),
        lists=None if lists is None else os.fspath(lists),
        modalities=list(modalities),
        recipe=recipe,
        label=label,
        group=group,
        keep_partial=keep_partial,
        skip_broken=skip_broken,
        shard_size=shard_size,
        progress=progress,
    )
    return Prepared(**{**found, "folder": Path(found["folder"]), "reasons": dict(found["reasons"])})
