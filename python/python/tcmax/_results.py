"""What estimates return."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np


@dataclass(frozen=True)
class Variable:
    """One variable, as it was understood.

    Attributes
    ----------
    name : str
    columns : int
    kind : str
        ``"numbers"`` or ``"classes"``.
    classes : int or None
        How many classes it has.
    """

    name: str
    columns: int
    kind: str
    classes: Optional[int]


@dataclass(frozen=True)
class Fit:
    """One fit of a critic; information in nats.

    Attributes
    ----------
    value, held_out : float
        The bound on the test split, cut off at 0 and as it is.
    standard_error : float
        Bootstrap standard deviation of ``held_out`` over the test rows.
    cap : float
        About the most that the test split can show.
    start : str
        Where training set out from: ``"constant"``, ``"gaussian-copula"`` or ``"random"``.
    best_step : int
        The step whose critic was kept.
    steps, training, validation : ndarray
        The curve of training: steps made, the mean of the objective since the point before (NaN at step 0), and the
        bound on the validation split.
    examples : tuple of int
        Rows that trained, validated and tested.
    warnings : list of str
        What casts doubt on the value.
    """

    value: float
    held_out: float
    standard_error: float
    cap: float
    start: str
    best_step: int
    steps: np.ndarray = field(repr=False)
    training: np.ndarray = field(repr=False)
    validation: np.ndarray = field(repr=False)
    examples: tuple[int, int, int]
    warnings: list[str]


@dataclass(frozen=True)
class Comparison:
    """The estimate of another estimator, nats."""

    estimator: str
    value: float
    standard_error: float


@dataclass(frozen=True)
class PermutationTest:
    """A permutation test of independence; information in nats.

    Attributes
    ----------
    p_value : float
        The probability that independent variables show as much as the data.
    statistic : float
        The value of the data.
    permutations, at_least : int
        How many permutations there were, and how many of them had a value at least as large.
    null_mean, null_standard_deviation : float
        The values of the permutations.
    """

    p_value: float
    statistic: float
    permutations: int
    at_least: int
    null_mean: float
    null_standard_deviation: float


class _Value:
    """A number of nats that can be used as one."""

    value: float

    @property
    def bits(self) -> float:
        """The value in bits."""
        return self.value / math.log(2.0)

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True)
class Estimate(_Value):
    """What variables share, in nats.

    Attributes
    ----------
    quantity : str
        What is estimated, such as ``I(x; y)`` or ``TC(a, b, c)``.
    value : float
        The estimate. Of estimators that train critics the mean of the seeds' held-out bounds, or 0 where that is
        negative; of others it may be negative. Infinite where one variable determines another (``relation``).
    is_lower_bound : bool
        Whether the truth is at least the value, on average.
    interval : tuple of float or None
        95 % interval: from the bound on held-out rows, less its error, to that on training rows (or to
        ``neighbours``, if they are more), and the error. The truth lies above it only where no such critic is right. None
        without training.
    best_guess : float or None
        Midway between the bounds on held-out and on training rows: nearer to the truth than the value, but no bound.
        Of two columns of numbers what nearest neighbours show. None without training.
    neighbours : float or None
        What nearest neighbours show of two columns of numbers, beside a fit; it may be negative.
    standard_error, spread : float or None
        Standard error of one seed's held-out bound; standard deviation between seeds.
    cap : float or None
        About the most that the test split can show.
    seed_values : list of float
        The held-out bound of each seed; may be negative.
    fits : list of Fit
        The fits of the first seed, then those of the second, ...
    warnings : list of str
        What casts doubt on the value, a sentence each.
    test : PermutationTest or None
        If permutations were asked for.
    pointwise : ndarray or None
        What every row contributes to the estimate, if that was asked for: about the logarithm of the joint density
        over the product of the marginals. NaN for rows without a value: with fits those in no seed's test split.
    pointwise_seeds : ndarray or None
        How many seeds had the row in their test split.
    relation : str or None
        How one variable follows from another, where one does.
    comparisons : list of Comparison
        Estimates of other estimators beside a fit.
    estimator : str
    variables : list of Variable
        The variables as they were understood.
    rows, rows_left_out : int
        Rows that were used, and rows that lack a value.
    """

    quantity: str
    value: float
    is_lower_bound: bool
    interval: Optional[tuple[float, float]]
    best_guess: Optional[float]
    neighbours: Optional[float]
    standard_error: Optional[float]
    spread: Optional[float]
    cap: Optional[float]
    seed_values: list[float]
    fits: list[Fit] = field(repr=False)
    warnings: list[str]
    test: Optional[PermutationTest]
    pointwise: Optional[np.ndarray] = field(repr=False)
    pointwise_seeds: Optional[np.ndarray] = field(repr=False)
    relation: Optional[str]
    comparisons: list[Comparison] = field(repr=False)
    estimator: str
    variables: list[Variable] = field(repr=False)
    rows: int
    rows_left_out: int

    @property
    def p_value(self) -> Optional[float]:
        """The p value of the permutation test, if there was one."""
        return None if self.test is None else self.test.p_value

    def curves(self) -> Any:
        """The curves of training as a pandas frame.

        Returns
        -------
        pandas.DataFrame
            Columns ``fit``, ``step``, ``training`` and ``validation``, one row per validation of each fit, nats.
        """
        import pandas

        columns: dict[str, list] = {"fit": [], "step": [], "training": [], "validation": []}
        for number, fit in enumerate(self.fits):
            columns["fit"].extend([number] * len(fit.steps))
            columns["step"].extend(fit.steps.tolist())
            columns["training"].extend(fit.training.tolist())
            columns["validation"].extend(fit.validation.tolist())
        return pandas.DataFrame(columns)


@dataclass(frozen=True)
class Term(_Value):
    """One mutual information in the sum of a measure: its weight, its groups of variables and its estimate, nats."""

    weight: float
    groups: list[str]
    value: float


@dataclass(frozen=True)
class Measured(_Value):
    """A measure of several variables: a sum of mutual informations of groups of them, in nats.

    Attributes
    ----------
    quantity, measure : str
        Such as ``I(a; b | c)`` and ``conditional information``.
    value : float
        The sum of the terms; may be negative.
    is_lower_bound : bool
        A difference of lower bounds is none.
    interval : tuple of float or None
        The value +- 1.96 standard errors, the errors of the terms being added; none without training.
    standard_error, spread : float or None
    seed_values : list of float
    terms : list of Term
    warnings : list of str
    estimator : str
    variables : list of Variable
    rows, rows_left_out : int
    """

    quantity: str
    measure: str
    value: float
    is_lower_bound: bool
    interval: Optional[tuple[float, float]]
    standard_error: Optional[float]
    spread: Optional[float]
    seed_values: list[float]
    terms: list[Term]
    warnings: list[str]
    estimator: str
    variables: list[Variable] = field(repr=False)
    rows: int
    rows_left_out: int


@dataclass(frozen=True)
class PartialInformation(_Value):
    """What two sources tell of a target, from the frequencies of classes, in nats.

    Attributes
    ----------
    quantity : str
    redundant : float
        Told by both.
    unique : tuple of float
        Told by the first alone, and by the second alone.
    synergistic : float
        Told by both together only.
    gap : float
        How far from its optimum the decomposition may be.
    """

    quantity: str
    redundant: float
    unique: tuple[float, float]
    synergistic: float
    gap: float

    @property
    def value(self) -> float:  # type: ignore[override]
        """The mutual information of the target and both sources."""
        return self.redundant + sum(self.unique) + self.synergistic


@dataclass(frozen=True)
class Pairs:
    """The mutual information of all pairs of variables, in nats.

    Attributes
    ----------
    names : list of str
    values : ndarray
        Symmetric (V, V); NaN on the diagonal and where a pair could not be estimated.
    estimates : dict
        The `Estimate` of every pair (i, j) with i < j that has one.
    refusals : dict
        Why a pair has none.
    p_values, holm, benjamini_hochberg : ndarray or None
        (V, V), if permutations were asked for: p values of independence, as they are and corrected for the number of
        pairs.
    """

    names: list[str]
    values: np.ndarray
    estimates: dict[tuple[int, int], Estimate] = field(repr=False)
    refusals: dict[tuple[int, int], str]
    p_values: Optional[np.ndarray] = None
    holm: Optional[np.ndarray] = None
    benjamini_hochberg: Optional[np.ndarray] = None

    def frame(self) -> Any:
        """The values as a pandas frame, with the names of the variables."""
        import pandas

        return pandas.DataFrame(self.values, index=self.names, columns=self.names)


def estimate_of(found: dict, rows_left_out: int, rows: Optional[np.ndarray]) -> Estimate:
    """An estimate from the dictionary that the compiled part returns."""
    found = dict(found)
    pointwise = found.pop("pointwise")
    seeds = found.pop("pointwise_seeds")
    if pointwise is not None:
        pointwise, seeds = _of_all(pointwise, seeds, rows, found["rows"] + rows_left_out)
    test = found.pop("test")
    return Estimate(
        fits=[_fit(fit) for fit in found.pop("fits")],
        test=None if test is None else PermutationTest(**test),
        pointwise=pointwise,
        pointwise_seeds=seeds,
        comparisons=[Comparison(**other) for other in found.pop("comparisons")],
        variables=[Variable(**seen) for seen in found.pop("variables")],
        rows_left_out=rows_left_out,
        **found,
    )


def measured_of(found: dict, rows_left_out: int) -> Measured:
    """A measure from the dictionary that the compiled part returns."""
    found = dict(found)
    return Measured(
        terms=[Term(**term) for term in found.pop("terms")],
        variables=[Variable(**seen) for seen in found.pop("variables")],
        rows_left_out=rows_left_out,
        **found,
    )


def _fit(found: dict) -> Fit:
    found = dict(found)
    training = [math.nan if value is None else value for value in found.pop("training")]
    return Fit(
        steps=np.array(found.pop("steps")),
        training=np.array(training),
        validation=np.array(found.pop("validation")),
        **found,
    )


def _of_all(pointwise, seeds, rows, count):
    """Values of the rows that were used, among all rows."""
    values = np.full(count, math.nan)
    of_rows = np.zeros(count, dtype=np.int64)
    used = np.arange(count) if rows is None else rows
    values[used] = [math.nan if value is None else value for value in pointwise]
    of_rows[used] = seeds
    return values, of_rows
