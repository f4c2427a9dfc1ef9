"""Metrics and tests by scikit-learn and scipy on random data: ROUNDS SEED, a line of JSON per case out."""

import json
import sys
import warnings

import numpy as np
from scipy import special, stats
from sklearn import metrics


def classification(rng):
    """Logits of some classes, on a coarse grid half the time, so that there are ties."""
    rows, classes = int(rng.integers(5, 300)), int(rng.integers(2, 8))
    logits = rng.normal(scale=2, size=(rows, classes))
    if rng.random() < 0.5:
        logits = np.round(logits * 2) / 2
    # Probabilities are what both sides get: a last digit would break ties.
    p = special.softmax(logits, axis=1)
    label = rng.integers(classes, size=rows)
    guess, names = p.argmax(1), np.arange(classes)
    one_hot = label[:, None] == names
    out = {
        "accuracy": metrics.accuracy_score(label, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(label, guess),
        "kappa": metrics.cohen_kappa_score(label, guess),
        "matthews": metrics.matthews_corrcoef(label, guess),
        "log_loss": metrics.log_loss(label, p, labels=names),
        "brier": ((p - one_hot) ** 2).sum(1).mean(),
        "confusion": metrics.confusion_matrix(label, guess, labels=names).ravel(),
    }
    for average in ("macro", "micro", "weighted"):
        scores = metrics.precision_recall_fscore_support(
            label, guess, labels=names, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), scores):
            out[f"{name}_{average}"] = value
    if classes > 2:
        top_k = [metrics.top_k_accuracy_score(label, p, k=k, labels=names) for k in (1, 2)]
        out["top_k"] = top_k
    both = [0 < one_hot[:, c].sum() < rows for c in names]
    auroc = [metrics.roc_auc_score(one_hot[:, c], p[:, c]) if both[c] else np.nan for c in names]
    any_row = one_hot.any(0)
    out["auroc"] = auroc
    out["average_precision"] = [
        metrics.average_precision_score(one_hot[:, c], p[:, c]) if any_row[c] else np.nan
        for c in names
    ]
    return {"probabilities": p.ravel(), "labels": label, "classes": classes}, out


def multi_label(rng):
    """Scores with ties, of labels of which some rows have none."""
    # scikit-learn takes a single label for binary classification.
    rows, labels = int(rng.integers(3, 60)), int(rng.integers(2, 6))
    score = np.round(rng.random((rows, labels)), 1)
    has = rng.random((rows, labels)) < 0.4
    has[0], has[1] = True, False
    guess = score >= 0.5
    f1 = lambda average: metrics.f1_score(has, guess, average=average, zero_division=0)
    out = {f"f1_{average}": f1(average) for average in ("macro", "micro", "samples")}
    out["map"] = metrics.average_precision_score(has, score, average="macro")
    out["map_micro"] = metrics.average_precision_score(has.ravel(), score.ravel())
    out["auroc"] = metrics.roc_auc_score(has, score, average="macro")
    out["hamming"] = metrics.hamming_loss(has, guess)
    out["lrap"] = metrics.label_ranking_average_precision_score(has, score)
    return {"scores": score.ravel(), "has": has.ravel(), "labels": labels}, out


def regression(rng):
    rows, outputs = int(rng.integers(2, 50)), int(rng.integers(1, 4))
    target = rng.normal(size=(rows, outputs))
    guess = target + rng.normal(size=(rows, outputs))
    out = {
        "mse": metrics.mean_squared_error(target, guess),
        "mae": metrics.mean_absolute_error(target, guess),
        "r2": metrics.r2_score(target, guess),
    }
    return {"predictions": guess.ravel(), "targets": target.ravel(), "outputs": outputs}, out


def comparison(rng):
    """Two methods over seeds, several over data sets."""
    seeds, methods = int(rng.integers(3, 30)), int(rng.integers(3, 7))
    scores = rng.normal(size=(seeds, methods)) + np.linspace(0, 1, methods)
    one, other = scores[:, 0], scores[:, 1]
    test = stats.ttest_rel(one, other)
    interval = test.confidence_interval(0.95)
    above = int((one > other).sum())
    friedman = stats.friedmanchisquare(*scores.T)
    out = {
        "t_test": test.pvalue,
        "interval": [interval.low, interval.high],
        "signed_rank": stats.wilcoxon(one, other, method="exact").pvalue,
        "sign_test": stats.binomtest(above, seeds).pvalue,
        "benjamini_hochberg": stats.false_discovery_control(special.expit(one)),
        "friedman": [friedman.statistic, friedman.pvalue],
        "critical_difference": stats.studentized_range.ppf(0.95, methods, np.inf)
        * np.sqrt(methods * (methods + 1) / (12 * seeds)),
    }
    return {"scores": scores.ravel(), "methods": methods, "p": special.expit(one)}, out


def main():
    rounds, seed = map(int, sys.argv[1:])
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        for kind in (classification, multi_label, regression, comparison):
            given, wanted = kind(rng)
            # Undefined values are NaN in numpy and null in JSON.
            plain = lambda x: [None if v != v else v for v in np.atleast_1d(x).tolist()]
            wanted = {name: plain(value) for name, value in wanted.items()}
            given = {n: v.tolist() if hasattr(v, "tolist") else v for n, v in given.items()}
            print(json.dumps({"kind": kind.__name__, "given": given, "wanted": wanted}))


main()
