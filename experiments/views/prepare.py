"""Six small real data sets in views, as feature files for `tcmax`: one .npz each.

    python3 -m venv target/venv-views
    target/venv-views/bin/pip install numpy scikit-learn aeon
    target/venv-views/bin/python experiments/views/prepare.py target/views

All data are inside the packages; nothing else is downloaded. A view is a modality. Rows are in the packages' order,
and have no split: every seed of `tcmax` draws its own.
"""

import sys
from pathlib import Path

import numpy as np
from aeon.datasets import load_basic_motions, load_japanese_vowels
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

# Which of wine's 13 columns are in which view.
WINE = {
    "minerals": ["malic_acid", "ash", "alcalinity_of_ash", "magnesium"],
    "phenols": ["total_phenols", "flavanoids", "nonflavanoid_phenols", "proanthocyanins"],
    "others": ["alcohol", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"],
}


def digits_quadrants():
    """Handwritten digits of 8 x 8 pixels, cut into quarters."""
    digits = load_digits()
    views = {
        f"{row}-{column}": digits.images[:, rows, columns]
        for row, rows in [("top", slice(4)), ("bottom", slice(4, 8))]
        for column, columns in [("left", slice(4)), ("right", slice(4, 8))]
    }
    return views, digits.target


def digits_halves():
    """The same digits, cut into an upper and a lower half."""
    digits = load_digits()
    return {"top": digits.images[:, :4], "bottom": digits.images[:, 4:]}, digits.target


def breast_cancer():
    """Ten measures of cell nuclei: their means, standard errors and worst values."""
    data = load_breast_cancer()
    views = {"mean": data.data[:, :10], "error": data.data[:, 10:20], "worst": data.data[:, 20:]}
    return views, data.target_names[data.target]


def wine():
    """Chemical measures of wines from three growers."""
    data = load_wine()
    views = {
        name: data.data[:, [data.feature_names.index(column) for column in columns]]
        for name, columns in WINE.items()
    }
    return views, data.target_names[data.target]


def basic_motions():
    """Four activities by a watch: 100 steps of three accelerometer and three gyroscope channels."""
    series, labels = load_basic_motions()
    return {"accelerometer": series[:, :3], "gyroscope": series[:, 3:]}, labels


def japanese_vowels():
    """Nine speakers by two vowels: twelve cepstral coefficients, their means over each third of an utterance."""
    series, labels = load_japanese_vowels()
    thirds = np.stack(
        [np.stack([third.mean(axis=1) for third in np.array_split(one, 3, axis=1)]) for one in series]
    )
    return {"low": thirds[:, :, :6], "high": thirds[:, :, 6:]}, labels


SETS = {
    "digits-quadrants": digits_quadrants,
    "digits-halves": digits_halves,
    "breast-cancer": breast_cancer,
    "wine": wine,
    "basic-motions": basic_motions,
    "japanese-vowels": japanese_vowels,
}


def main():
    folder = Path(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in SETS.items():
        views, labels = load()
        # As vectors, so that a perceptron reads them.
        arrays = {view: np.float32(values).reshape(len(labels), -1) for view, values in views.items()}
        np.savez(folder / f"{name}.npz", label=labels, **arrays)
        widths = ", ".join(f"{view} {values.shape[1]}" for view, values in arrays.items())
        print(f"{name}.npz: {len(labels)} rows, {len(set(labels))} classes; {widths}")


if __name__ == "__main__":
    main()
