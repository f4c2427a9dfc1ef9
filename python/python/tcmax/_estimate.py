"""Estimates of information."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

import numpy as np

from . import _tcmax
from ._results import Estimate, Measured, Pairs, PartialInformation, estimate_of, measured_of
from ._tcmax import Error
from ._variables import Part, Raw, checked, filled, name_of, named, raw, to_numpy

Seeds = Union[int, Sequence[int]]

_SETTINGS = """
    estimator : str
        Such as ``"tcne"`` (trains critics, a lower bound), ``"ksg"`` (nearest neighbours), ``"counts"`` or
        ``"gaussian"``; `tcmax.estimators` lists them.
    options : dict, optional
        Options of the estimator, such as ``{"neighbours": 5}``.
    seed : int or sequence of int
        Each seed is a fit with a split and a start of its own; with several the spread is known, too.
    classes, numbers : sequence of str
        Names of variables that are classes, and of ones that are numbers. Otherwise words, booleans and categories
        are classes, and so is a column of whole numbers with at most 64 distinct ones that has ten rows for each.
    missing : {"refuse", "drop"}
        What is done with rows that lack a value (NaN, None): they are an error, or left out.
    critic : {"concat", "separable", "bilinear", "latent"}
        Form of the critic.
    scaling : {"rank", "zscore"}
        How numbers are scaled before a critic sees them.
    gaussian_start : bool
        Start the critic at the best one for a Gaussian copula where that helps.
    steps, batch_size, learning_rate, hidden, folds : optional
        How critics are fitted; by default 2000, 512, 0.005, (64, 64) and 1.
"""


def _documented(function):
    if function.__doc__ is not None:
        function.__doc__ = function.__doc__.replace("    {settings}\n", _SETTINGS.lstrip("\n"))
    return function


def _settings(
    estimator: str = "tcne",
    options: Optional[dict] = None,
    seed: Seeds = 0,
    critic: str = "concat",
    scaling: str = "rank",
    gaussian_start: bool = True,
    steps: Optional[int] = None,
    batch_size: Optional[int] = None,
    learning_rate: Optional[float] = None,
    hidden: Optional[Sequence[int]] = None,
    folds: Optional[int] = None,
) -> _tcmax.Settings:
    seeds = [seed] if isinstance(seed, (int, np.integer)) else list(seed)
    if len(set(seeds)) < len(seeds):
        raise Error("seed: one is named twice")
    if any(seed < 0 for seed in seeds):
        raise Error("seed: they are whole numbers from 0")
    return _tcmax.Settings(
        estimator,
        json.dumps(options or {}),
        [int(seed) for seed in seeds],
        critic=critic,
        scaling=scaling,
        gaussian_start=gaussian_start,
        hidden=None if hidden is None else list(hidden),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        folds=folds,
    )


@_documented
def estimate(
    *variables: Any,
    given: Any = None,
    measure: Optional[str] = None,
    names: Optional[Sequence[str]] = None,
    classes: Sequence[str] = (),
    numbers: Sequence[str] = (),
    missing: str = "refuse",
    permutations: int = 0,
    retrain: bool = False,
    pointwise: bool = False,
    **settings: Any,
) -> Union[Estimate, Measured, PartialInformation]:
    """Estimate what variables share: of two their mutual information, of more their total correlation, in nats.

    Most estimators that train critics give lower bounds, so the truth is *at least* the estimate, and the interval is
    that of the bound. Where one variable determines another the information is infinite (or the entropy of classes),
    which is reported without a fit.

    Parameters
    ----------
    *variables : array_like
        Variables of N rows each: NumPy arrays (N,) or (N, D), pandas series or frames, PyTorch tensors, whatever has
        ``__dlpack__`` or ``__array__``, or lists. A single frame, dict or array (N, V) has a variable in each column
        or entry.
    given : array_like or sequence of array_like, optional
        What is known: the measure is conditional on it.
    measure : str, optional
        ``"total-correlation"`` (the default), ``"dual"``, ``"o-information"``, ``"interaction"``, ``"conditional"``;
        ``"pid"`` and ``"pid-min"`` decompose what two sources tell of a target, in this order.
    names : sequence of str, optional
        Names of the variables; by default those of series and columns, or x, y, z and w.
    permutations : int
        Permutations of rows for a p value of independence: 19 or more for a level of 0.05.
    retrain : bool
        Train a critic for every permutation; otherwise the critic of the first seed judges its permuted test rows.
    pointwise : bool
        Also return what every row contributes to the estimate.
    {settings}

    Returns
    -------
    Estimate, Measured or PartialInformation
        ``float(result)`` is the value in nats.

    Raises
    ------
    tcmax.Error
        When variables have different numbers of rows, too few rows, a value that is missing or not finite, or a
        constant column; it names the variable, row and column.
    KeyboardInterrupt
        Ctrl-C ends the computation within a step of training or a permutation.

    Examples
    --------
    >>> import numpy as np, tcmax
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> y = x + rng.normal(size=2000)
    >>> round(tcmax.estimate(x, y, estimator="ksg").value, 1)  # the truth is log(2) / 2
    0.3
    """
    found = named(variables, names, ["x", "y", "z", "w"])
    known = _known(given, "z" if len(found) == 2 else "given")
    names_of_all = [name for name, _ in found + known]
    for name in [*classes, *numbers]:
        if name not in names_of_all:
            raise Error(f"classes, numbers: '{name}' is none of the variables; they are {', '.join(names_of_all)}")
    made = [raw(name, data, name in classes, name in numbers) for name, data in found + known]
    if len(made) < 2:
        raise Error(f"at least 2 variables are needed; got {len(made)}")
    checked_variables, left_out, rows = checked(made, missing)
    if known and measure is None:
        measure = "conditional"
    if measure in (None, "total-correlation") and not known:
        of = _settings(**settings)
        values = _tcmax.estimate(checked_variables, of, permutations=permutations, retrain=retrain, pointwise=pointwise)
        return estimate_of(values, left_out, rows)
    if permutations or retrain:
        raise Error(
            "permutations: permuting rows tests independence, which is what mutual information and total correlation "
            "measure; other measures can differ from 0 without it"
        )
    if pointwise:
        raise Error("pointwise: only mutual information and total correlation have values of rows")
    assert measure is not None
    if measure in ("pid", "pid-min"):
        return PartialInformation(**_tcmax.partial_information(checked_variables, measure == "pid-min"))
    of = _settings(**settings)
    return measured_of(_tcmax.estimate_measure(checked_variables, len(known), measure, of), left_out)


def _known(given: Any, default: str) -> list[tuple[str, Any]]:
    if given is None:
        return []
    if isinstance(given, (list, tuple)) and len(given) and not np.isscalar(given[0]):
        return [(name_of(data, f"{default}{i}"), data) for i, data in enumerate(given)]
    return [(name_of(given, default), given)]


@_documented
def total_correlation(variables: Iterable[Any], **settings: Any) -> Estimate:
    """Estimate the total correlation of several variables, in nats: all that they share.

    Parameters
    ----------
    variables : sequence of array_like, dict or frame
        See `estimate`, whose other arguments this takes, too.
    {settings}

    Returns
    -------
    Estimate
    """
    return estimate(variables, **settings)


@_documented
def dual_total_correlation(variables: Iterable[Any], **settings: Any) -> Measured:
    """Estimate the dual total correlation, in nats: what two variables or more have in common, counted once.

    Parameters
    ----------
    variables : sequence of array_like, dict or frame
        See `estimate`, whose other arguments this takes, too.
    {settings}

    Returns
    -------
    Measured
    """
    return estimate(variables, measure="dual", **settings)


@_documented
def o_information(variables: Iterable[Any], **settings: Any) -> Measured:
    """Estimate the O-information of three variables or more, in nats: below 0 where synergy prevails.

    Parameters
    ----------
    variables : sequence of array_like, dict or frame
        See `estimate`, whose other arguments this takes, too.
    {settings}

    Returns
    -------
    Measured
    """
    return estimate(variables, measure="o-information", **settings)


@_documented
def interaction_information(*variables: Any, **settings: Any) -> Measured:
    """Estimate the interaction information of three variables or more, in nats.

    Of three it is I(x; y) - I(x; y | z): positive where they repeat each other, negative where only all together show
    something.

    Parameters
    ----------
    *variables : array_like
        See `estimate`, whose other arguments this takes, too.
    {settings}

    Returns
    -------
    Measured
    """
    return estimate(*variables, measure="interaction", **settings)


@_documented
def conditional_mutual_info(x: Any, y: Any, z: Any, **settings: Any) -> Measured:
    """Estimate the conditional mutual information I(x; y | z), in nats.

    Parameters
    ----------
    x, y, z : array_like
        See `estimate`, whose other arguments this takes, too. z may be a list of several arrays.
    {settings}

    Returns
    -------
    Measured
    """
    return estimate(x, y, given=z, measure="conditional", **settings)


def partial_information(a: Any, b: Any, target: Any, *, definition: str = "broja") -> PartialInformation:
    """Decompose what two sources of classes tell of a target, in nats.

    Parameters
    ----------
    a, b, target : array_like
        Classes, (N,) each: whole numbers, words, booleans or categories.
    definition : {"broja", "i-min"}
        Of the redundant part: Bertschinger et al. (2014), or I_min of Williams and Beer (2010).

    Returns
    -------
    PartialInformation
    """
    if definition not in ("broja", "i-min"):
        raise Error(f"definition: there is no '{definition}'; it is 'broja' or 'i-min'")
    defaults = ["a", "b", "target"]
    found = named((a, b, target), None, defaults)
    made = [raw(name, data, classes=True) for name, data in found]
    variables, _, _ = checked(made, "refuse")
    return PartialInformation(**_tcmax.partial_information(variables, definition == "i-min"))


@_documented
def all_pairs(
    *variables: Any,
    names: Optional[Sequence[str]] = None,
    classes: Sequence[str] = (),
    numbers: Sequence[str] = (),
    permutations: int = 0,
    **settings: Any,
) -> Pairs:
    """Estimate the mutual information of every pair of variables, in nats.

    Pairs that cannot be estimated are in ``refusals`` with their reason, and the others go on. With ``missing="drop"``
    each pair has the rows that have a value of both.

    Parameters
    ----------
    *variables : array_like
        See `estimate`: several arrays, or a frame, dict or array whose columns are the variables.
    names : sequence of str, optional
    permutations : int
        Permutations for p values: 19 or more times the number of pairs for a level of 0.05 after correction.
    {settings}

    Returns
    -------
    Pairs
    """
    missing = settings.pop("missing", "refuse")
    found = named(variables, names, ["x", "y", "z", "w"])
    made = [raw(name, data, name in classes, name in numbers) for name, data in found]
    if len(made) < 2:
        raise Error(f"at least 2 variables are needed; got {len(made)}")
    present = None
    if missing == "drop":
        checked_variables, present = filled(made)
    else:
        checked_variables, _, _ = checked(made, missing)
    of = _settings(**settings)
    all_found = _tcmax.estimate_pairs(checked_variables, of, permutations=permutations, present=present)
    count = len(made)
    values = np.full((count, count), np.nan)
    tests = [values.copy() for _ in range(3)]
    estimates: dict[tuple[int, int], Estimate] = {}
    refusals: dict[tuple[int, int], str] = {}
    for pair in all_found:
        at = (pair["first"], pair["second"])
        if pair["found"] is None:
            refusals[at] = pair["refusal"] or ""
            continue
        estimates[at] = estimate_of(pair["found"], pair["left_out"], None)
        for i, j in (at, at[::-1]):
            values[i, j] = estimates[at].value
            if estimates[at].test is not None:
                p_values = (estimates[at].p_value, pair["holm"], pair["benjamini_hochberg"])
                for table, p in zip(tests, p_values):
                    table[i, j] = p
    of_tests = tests if permutations else [None] * 3
    return Pairs([name for name, _ in found], values, estimates, refusals, *of_tests)


@_documented
def mutual_info(
    X: Any,
    y: Any,
    *,
    discrete_features: Union[str, bool, Sequence] = "auto",
    discrete_target: Union[str, bool] = "auto",
    estimator: str = "ksg",
    **settings: Any,
) -> np.ndarray:
    """Estimate the mutual information of every column with a target, in nats.

    A score function for scikit-learn's feature selection, such as ``SelectKBest(tcmax.mutual_info, k=10)``.

    Parameters
    ----------
    X : array_like or frame of shape (N, D)
        Columns; a constant one scores 0, as it shares nothing.
    y : array_like of shape (N,)
        The target. Whole numbers, words, booleans and categories are labels, whatever their number.
    discrete_features : {"auto"}, bool, or sequence of bool, int or str
        Which columns are classes, as a mask, indices or names. ``"auto"``: words, booleans and categories.
    discrete_target : {"auto"} or bool
        Whether the target is classes.
    estimator : str
        ``"ksg"`` by default; see `estimate` for what there is and for the settings below.
    {settings}

    Returns
    -------
    ndarray of shape (D,)
        Scores; negative estimates are 0.
    """
    for name in ("classes", "numbers", "missing"):
        if name in settings:
            raise Error(f"{name}: mutual_info has discrete_features and discrete_target in its place")
    columns = _columns(X)
    discrete = _discrete(discrete_features, [name for name, _ in columns])
    made = []
    for (name, data), is_class in zip(columns, discrete):
        # Numbers are numbers here, as in scikit-learn, unless the caller says otherwise.
        part = raw(name, data, classes=is_class is True, numbers=is_class is not True and _is_numeric(data))
        made.append(part)
    target = _target(y, discrete_target)
    variables, scores = [], np.zeros(len(made))
    scored = []
    for i, column in enumerate(made):
        if _is_constant(column.parts[0]):
            # But its rows belong to the target's.
            if column.rows != target.rows:
                checked([target, column], "refuse")
            continue
        (of_target, variable), _, _ = checked([target, column], "refuse")
        variables.append(variable)
        scored.append(i)
    if scored:
        of = _settings(estimator=estimator, **settings)
        scores[scored] = _tcmax.estimate_columns(variables, of_target, of)
    return np.maximum(scores, 0.0)


def _columns(X: Any) -> list[tuple[str, Any]]:
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return [(str(name), X.iloc[:, i]) for i, name in enumerate(X.columns)]
    if hasattr(X, "tocsc"):
        raise Error("X is a sparse matrix; give a dense one, such as X.toarray()")
    array = to_numpy(X, "X")
    if array.ndim != 2:
        raise Error(f"X has shape {array.shape}; give rows by columns, such as x.reshape(-1, 1)")
    return [(f"X[:, {i}]", array[:, i]) for i in range(array.shape[1])]


def _discrete(wanted: Any, names: list[str]) -> list[Optional[bool]]:
    count = len(names)
    if isinstance(wanted, str):
        if wanted != "auto":
            raise Error(f"discrete_features: there is no '{wanted}'; it is 'auto', a bool, a mask, indices or names")
        return [None] * count
    if isinstance(wanted, (bool, np.bool_)):
        return [bool(wanted)] * count
    wanted = list(wanted)
    if wanted and all(isinstance(one, str) for one in wanted):
        unknown = [one for one in wanted if one not in names]
        if unknown:
            raise Error(f"discrete_features: '{unknown[0]}' is no column")
        return [name in wanted for name in names]
    array = np.asarray(wanted)
    if array.dtype.kind == "b":
        if array.shape != (count,):
            raise Error(f"discrete_features: a mask of {count} is needed; got {array.size}")
        return [bool(one) for one in array]
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= count):
        raise Error(f"discrete_features: columns are numbered from 0 to {count - 1}")
    return [i in set(array.tolist()) for i in range(count)]


def _is_numeric(data: Any) -> bool:
    dtype = getattr(data, "dtype", None)
    return getattr(dtype, "kind", "O") in "iuf"


def _is_constant(part: Part) -> bool:
    values = part.values
    return part.missing is None and bool(np.all(values == values[:1])) if len(values) else False


def _target(y: Any, discrete: Union[str, bool]) -> Raw:
    if discrete not in ("auto", True, False):
        raise Error(f"discrete_target: there is no {discrete!r}; it is 'auto' or a bool")
    name = name_of(y, "y")
    array = None if hasattr(y, "cat") else to_numpy(y, name)
    if array is not None and array.ndim == 2 and array.shape[1] == 1:
        y = array = array[:, 0]
    if array is not None and array.ndim != 1:
        raise Error(f"y has shape {array.shape}; one target is (N,)")
    is_whole = array is not None and array.dtype.kind in "iu"
    if discrete == "auto":
        return raw(name, y, classes=is_whole)
    return raw(name, y, classes=bool(discrete), numbers=not discrete)


def estimators() -> list[dict]:
    """List the estimators.

    Returns
    -------
    list of dict
        ``name``, ``description``, ``source``, ``lower_bound`` (whether the truth is at least the estimate on average),
        ``pairs_only`` (defined for two variables alone), ``trains`` (critics) and ``options`` (name, default, text).
    """
    return _tcmax.estimators()


def set_threads(count: int) -> None:
    """Set the number of threads of everything that tcmax computes; by default all cores.

    It never changes results. To be called before anything else of tcmax has run.

    Parameters
    ----------
    count : int

    Raises
    ------
    tcmax.Error
        When threads are running already.
    """
    _tcmax.set_threads(count)
