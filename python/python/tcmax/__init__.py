"""Total correlation: estimators of information, the TCMax loss for PyTorch, multimodal data.

===============================  =====================================================================
``estimate``, ``all_pairs``      what variables share, with intervals, p values and training curves
``mutual_info``                  one score per column, for scikit-learn's feature selection
``total_correlation``, ...       measures of several variables
``tcmax.torch``                  the TCMax loss and bound, additive heads (needs PyTorch)
``tcmax.data``, ``prepare``      prepared clips and feature files as data sets
``tcmax.runs``                   results of training as pandas frames (needs pandas)
===============================  =====================================================================

All information is in nats.
"""

from importlib import import_module as _import_module

from ._estimate import (
    all_pairs,
    conditional_mutual_info,
    dual_total_correlation,
    estimate,
    estimators,
    interaction_information,
    mutual_info,
    o_information,
    partial_information,
    set_threads,
    total_correlation,
)
from ._prepare import Prepared, prepare
from ._results import Estimate, Fit, Measured, Pairs, PartialInformation, PermutationTest
from ._tcmax import Error

__all__ = [
    "Error",
    "Estimate",
    "Fit",
    "Measured",
    "Pairs",
    "PartialInformation",
    "PermutationTest",
    "Prepared",
    "all_pairs",
    "conditional_mutual_info",
    "dual_total_correlation",
    "estimate",
    "estimators",
    "interaction_information",
    "mutual_info",
    "o_information",
    "partial_information",
    "prepare",
    "set_threads",
    "total_correlation",
]

_LAZY = ("data", "runs", "torch")


def __getattr__(name):
    # Modules that need other packages are imported when they are asked for.
    if name in _LAZY:
        return _import_module("." + name, __name__)
    raise AttributeError(f"module 'tcmax' has no attribute '{name}'")


def __dir__():
    return sorted([*__all__, *_LAZY])
