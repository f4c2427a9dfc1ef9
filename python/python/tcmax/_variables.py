"""From arrays, frames and tensors to checked variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from . import _tcmax
from ._tcmax import Error

# As the command has it: whole numbers are classes up to this many distinct ones, if each has ten rows on average.
MOST_CLASSES = 64


@dataclass
class Part:
    """Columns of one kind: numbers (N, D), or codes of classes (N,)."""

    name: str
    values: np.ndarray
    are_classes: bool
    # Rows that lack a value; none where no row does.
    missing: Optional[np.ndarray] = None
    # The number of different words, of which too many are no classes.
    words: Optional[int] = None


@dataclass
class Raw:
    """A variable before it is checked: parts side by side."""

    name: str
    parts: list[Part]

    @property
    def rows(self) -> int:
        return len(self.parts[0].values)

    @property
    def missing(self) -> Optional[np.ndarray]:
        masks = [part.missing for part in self.parts if part.missing is not None]
        return np.logical_or.reduce(masks) if masks else None


def name_of(data: Any, default: str) -> str:
    """The name that a series or a frame of one column has, or the default."""
    columns = getattr(data, "columns", None)
    if columns is not None and len(columns) == 1:
        return str(columns[0])
    name = getattr(data, "name", None)
    is_series = hasattr(data, "iloc") or hasattr(data, "to_numpy")
    return str(name) if is_series and name is not None else default


def named(variables: tuple, names: Any, defaults: list[str]) -> list[tuple[str, Any]]:
    """Variables with names: those given, those of series, or the defaults, each once."""
    if len(variables) == 1 and isinstance(variables[0], Mapping):
        found = [(str(name), data) for name, data in variables[0].items()]
    elif len(variables) == 1 and _is_frame(variables[0]):
        frame = variables[0]
        found = [(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    elif len(variables) == 1 and isinstance(variables[0], (list, tuple)):
        return named(tuple(variables[0]), names, defaults)
    elif len(variables) == 1:
        array = to_numpy(variables[0], "the array")
        if array.ndim != 2:
            raise Error(
                "at least 2 variables are needed; got 1: give several arrays, or a frame or array whose "
                "columns are the variables"
            )
        found = [(str(i), array[:, i]) for i in range(array.shape[1])]
    else:
        if len(variables) > len(defaults):
            defaults = [f"x{i}" for i in range(len(variables))]
        found = [(name_of(data, default), data) for data, default in zip(variables, defaults)]
        if len({name for name, _ in found}) < len(found):
            found = list(zip(defaults, variables))
    if names is not None:
        names = [str(name) for name in names]
        if len(names) != len(found):
            raise Error(f"names: there are {len(found)} variables; got {len(names)} names")
        if len(set(names)) < len(names):
            raise Error(f"names: two variables have the same name; got {', '.join(names)}")
        found = list(zip(names, (data for _, data in found)))
    return found


def raw(name: str, data: Any, classes: bool = False, numbers: bool = False) -> Raw:
    """The parts of a variable; ``classes`` and ``numbers`` insist on what it is."""
    if _is_frame(data):
        if data.shape[1] == 0:
            raise Error(f"variable '{name}' has no column")
        columns = [data.iloc[:, i] for i in range(data.shape[1])]
        if len(columns) > 1 and classes:
            raise Error(f"'{name}' has {len(columns)} columns; classes are one column")
        parts = [
            _column(name if len(columns) == 1 else str(column.name), column, classes, numbers) for column in columns
        ]
        if len(parts) > 1 and not any(part.are_classes for part in parts):
            parts = [_side_by_side(name, parts)]
        return Raw(name, parts)
    return Raw(name, [_column(name, data, classes, numbers)])


def checked(variables: list[Raw], missing: str) -> tuple[list[_tcmax.Variable], int, Optional[np.ndarray]]:
    """Variables of the rows that lack no value, the number of rows left out, and the rows if some were."""
    if missing not in ("refuse", "drop"):
        raise Error(f"missing: there is no '{missing}'; it is 'refuse' or 'drop'")
    _check_rows(variables)
    first = variables[0]
    masks = [variable.missing for variable in variables if variable.missing is not None]
    rows = None
    if masks and missing == "drop":
        rows = np.flatnonzero(~np.logical_or.reduce(masks))
        if len(rows) == 0:
            names = ", ".join(variable.name for variable in variables)
            raise Error(f"missing='drop': no row has a value of all of {names}")
    left_out = 0 if rows is None else first.rows - len(rows)
    return [_checked(variable, rows) for variable in variables], left_out, rows


def filled(variables: list[Raw]) -> tuple[list[_tcmax.Variable], list[Optional[np.ndarray]]]:
    """Variables of all rows, and which rows of each have a value, None where all have.

    A row that lacks one has that of another row, and is for nobody to look at.
    """
    _check_rows(variables)
    made = []
    present: list[Optional[np.ndarray]] = []
    for variable in variables:
        missing = variable.missing
        present.append(None if missing is None else ~missing)
        if missing is None:
            made.append(_checked(variable, None))
            continue
        complete = np.flatnonzero(~missing)
        if len(complete) == 0:
            raise Error(f"variable '{variable.name}': no row has a value")
        made.append(_checked(variable, np.where(missing, complete[0], np.arange(variable.rows))))
    return made, present


def _check_rows(variables: list[Raw]) -> None:
    first = variables[0]
    for other in variables:
        for part in other.parts:
            if len(part.values) != first.rows:
                raise Error(
                    f"variable '{other.name}' has {len(part.values)} rows, but '{first.name}' has {first.rows}; "
                    "rows belong together, so all need as many"
                )


def _checked(variable: Raw, rows: Optional[np.ndarray]) -> _tcmax.Variable:
    parts = [_checked_part(part, rows) for part in variable.parts]
    return parts[0] if len(parts) == 1 else _tcmax.Variable.joined(variable.name, parts)


def _checked_part(part: Part, rows: Optional[np.ndarray]) -> _tcmax.Variable:
    values = part.values
    if rows is not None:
        values = values[rows]
    elif part.missing is not None:
        row = int(np.flatnonzero(part.missing)[0])
        raise Error(
            f"variable '{part.name}', row {row} (from 0): the value is NaN, or missing; fix or remove the row, or "
            "leave out rows that lack a value with missing='drop'"
        )
    if part.words is not None and 2 * part.words > len(values):
        raise Error(
            f"'{part.name}' has {part.words} different words in {len(values)} rows, which is too many for classes; "
            f"leave it out, or insist on it with classes=['{part.name}']"
        )
    if part.are_classes:
        return _tcmax.Variable.classes(part.name, values)
    make = _tcmax.Variable.numbers_f32 if values.dtype == np.float32 else _tcmax.Variable.numbers
    return make(part.name, values)


def _column(name: str, data: Any, classes: bool, numbers: bool) -> Part:
    codes = _categories(data)
    if codes is not None:
        if numbers:
            raise Error(f"'{name}' is categorical; numbers are asked for")
        return _of_codes(name, codes)
    array = to_numpy(data, f"variable '{name}'")
    if array.ndim == 0:
        raise Error(f"variable '{name}' is a single value; give an array of one row per example")
    if array.ndim > 2:
        raise Error(f"variable '{name}' has shape {array.shape}; give rows by columns, such as x.reshape(len(x), -1)")
    if array.ndim == 2 and array.shape[1] == 0:
        raise Error(f"variable '{name}' has no column")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "T":
        array = array.astype(str)
    if array.dtype.kind == "O":
        found = _of_objects(name, array)
        if isinstance(found, Part):
            if numbers or found.values.ndim == 2:
                raise Error(f"'{name}' has words; give each column as a variable of its own")
            return found if not classes else Part(name, found.values, True, found.missing)
        array = found
    kind = array.dtype.kind
    if classes and array.ndim == 2:
        raise Error(f"'{name}' has {array.shape[1]} columns; classes are one column")
    if kind in "US":
        if array.ndim == 2:
            raise Error(f"variable '{name}' has {array.shape[1]} columns of words; give each as a variable")
        if numbers:
            raise Error(f"'{name}' has words; numbers are asked for")
        words, codes = np.unique(array, return_inverse=True)
        return Part(name, codes.astype(np.float64), True, words=None if classes else len(words))
    if kind not in "biuf":
        raise Error(
            f"variable '{name}' has dtype {array.dtype}; numbers, words, booleans and categories are understood"
        )
    values = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    absent = np.isnan(values) if kind == "f" else None
    missing = None
    if absent is not None and absent.any():
        missing = absent if absent.ndim == 1 else absent.any(axis=1)
    are_classes = classes or (not numbers and array.ndim == 1 and (kind == "b" or _are_classes(array, missing)))
    if are_classes:
        return Part(name, values.astype(np.float64), True, missing)
    return Part(name, values.reshape(len(values), -1), False, missing)


def _are_classes(array: np.ndarray, missing: Optional[np.ndarray]) -> bool:
    """Whole numbers of few distinct values; whole numbers with gaps are read as if they had a fraction."""
    if array.dtype.kind == "f":
        if missing is None:
            return False
        array = array[~missing]
        if np.any(array != np.floor(array)):
            return False
    distinct = len(np.unique(array))
    return distinct <= MOST_CLASSES and 10 * distinct <= len(array)


def _categories(data: Any) -> Optional[np.ndarray]:
    """The codes of a categorical series, -1 where there is no value."""
    accessor = getattr(data, "cat", None)
    if accessor is not None and hasattr(accessor, "codes"):
        return np.asarray(accessor.codes)
    if hasattr(data, "codes") and hasattr(data, "categories"):
        return np.asarray(data.codes)
    return None


def _of_codes(name: str, codes: np.ndarray) -> Part:
    missing = codes < 0
    return Part(name, codes.astype(np.float64), True, missing if missing.any() else None)


def _of_objects(name: str, array: np.ndarray) -> Union[np.ndarray, Part]:
    """Objects as numbers, as words, or as classes where words are missing."""
    flat = array.ravel()
    absent = np.array([_is_missing(value) for value in flat], dtype=bool)
    present = flat[~absent]
    numbers = (int, float, np.integer, np.floating)
    if all(isinstance(value, (bool, np.bool_)) for value in present) and len(present) and not absent.any():
        return array.astype(bool)
    if all(isinstance(value, numbers) for value in present):
        values = np.full(flat.shape, np.nan)
        values[~absent] = present.astype(np.float64)
        if not absent.any() and all(isinstance(value, (int, np.integer)) for value in present):
            return values.astype(np.int64).reshape(array.shape)
        return values.reshape(array.shape)
    strange = (value for value in present if not isinstance(value, (str, *numbers)))
    among_words = (value for value in present if not isinstance(value, str))
    wrong = next(strange, next(among_words, None))
    if wrong is not None:
        row = next(i for i, value in enumerate(flat) if value is wrong) // (flat.size // len(array))
        raise Error(
            f"variable '{name}', row {row} (from 0): {wrong!r} is a {type(wrong).__name__}; numbers, or words "
            "alone, are understood"
        )
    if absent.any():
        codes = np.full(flat.shape, -1.0)
        words, codes[~absent] = np.unique(present.astype(str), return_inverse=True)
        return Part(name, codes.reshape(array.shape), True, absent.reshape(array.shape), len(words))
    return array.astype(str)


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _side_by_side(name: str, parts: list[Part]) -> Part:
    lengths = {len(part.values) for part in parts}
    assert len(lengths) == 1, "columns of a frame"
    values = np.concatenate([part.values.astype(np.float64) for part in parts], axis=1)
    masks = [part.missing for part in parts if part.missing is not None]
    return Part(name, values, False, np.logical_or.reduce(masks) if masks else None)


def _is_frame(data: Any) -> bool:
    return hasattr(data, "iloc") and hasattr(data, "columns")


def to_numpy(data: Any, what: str) -> np.ndarray:
    """An array of anything like one; memory of tensors on the CPU is shared, not copied."""
    if isinstance(data, np.ma.MaskedArray):
        return np.ma.filled(data.astype(np.float64), np.nan)
    if isinstance(data, np.ndarray):
        return data
    if type(data).__module__.split(".")[0] == "torch":
        data = data.detach().cpu()
        if data.dtype.is_floating_point and data.element_size() < 4:
            data = data.float()
        return data.numpy()
    if hasattr(data, "iloc"):
        return _of_series(data)
    if hasattr(data, "__dlpack__") and not hasattr(data, "__array__"):
        return np.from_dlpack(data)
    try:
        return np.asarray(data)
    except ValueError as error:
        raise Error(f"{what} is no array: {error}") from None


def _of_series(series: Any) -> np.ndarray:
    array = series.to_numpy()
    if array.dtype.kind == "O" and hasattr(series.dtype, "numpy_dtype"):
        # Nullable numbers.
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return array
