"""The table of README.md, from the results.csv of finished comparisons.

    target/venv-views/bin/python experiments/views/table.py target/views

Of each method: test accuracy in points and log loss in nats less those of joint training from the same seed, means
over the seeds with 95 % t intervals. Bold: the interval has no zero in it.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t

SETS = ["digits-quadrants", "digits-halves", "breast-cancer", "wine", "basic-motions", "japanese-vowels"]
ACCURACY, LOG_LOSS = "test accuracy", "test cross-entropy (nats)"


def results(folder):
    """Accuracy in percent and log loss by method, one row per seed in the order of the seeds."""
    found = {}
    with open(folder / "results.csv", newline="") as file:
        for row in sorted(csv.DictReader(file), key=lambda row: int(row["seed"])):
            values = [100 * float(row[ACCURACY]), float(row[LOG_LOSS])]
            found.setdefault(row["method"], []).append(values)
    return {method: np.array(rows) for method, rows in found.items()}


def interval(differences, digits):
    mean, count = differences.mean(), len(differences)
    half = t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count)
    text = f"{mean:+.{digits}f} ± {half:.{digits}f}"
    return f"**{text}**" if abs(mean) > half else text


def cell(found, method):
    if method == "joint":
        accuracy, log_loss = found["joint"].mean(axis=0)
        return f"{accuracy:.1f} %; {log_loss:.3f}"
    accuracy, log_loss = (found[method] - found["joint"]).T
    return f"{interval(accuracy, 1)}; {interval(log_loss, 3)}"


def main():
    folder = Path(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
    found = {name: results(folder / name) for name in SETS}
    print("| | " + " | ".join(SETS) + " |")
    print("|---" * (len(SETS) + 1) + "|")
    for method in found[SETS[0]]:
        print(f"| {method} | " + " | ".join(cell(found[name], method) for name in SETS) + " |")


if __name__ == "__main__":
    main()
