"""Estimates from arrays, frames and tensors."""

import math
import signal
import threading
import time

import numpy as np
import pytest
import tcmax


def gaussian(rows=4000, correlation=0.8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return x, correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=rows)


TRUTH = -0.5 * math.log(1 - 0.8**2)


@pytest.mark.parametrize("estimator, tolerance", [("gaussian", 0.03), ("ksg", 0.05)])
def test_direct_estimates_are_near_the_truth(estimator, tolerance):
    found = tcmax.estimate(*gaussian(), estimator=estimator)
    assert found.value == pytest.approx(TRUTH, abs=tolerance)
    assert float(found) == found.value and found.bits == pytest.approx(found.value / math.log(2))
    assert found.quantity == "I(x; y)" and found.rows == 4000
    assert found.interval is None and found.best_guess is None and found.fits == [] and not found.is_lower_bound


def test_fits_have_intervals_curves_and_comparisons():
    found = tcmax.estimate(*gaussian(1500), seed=[0, 1], steps=200)
    low, high = found.interval
    assert low <= found.value <= high and low - 0.1 < TRUTH < high + 0.1
    assert low <= found.best_guess <= high and abs(found.best_guess - TRUTH) < 0.1
    assert len(found.fits) == 2 and len(found.seed_values) == 2 and found.spread is not None
    fit = found.fits[0]
    assert fit.steps[0] == 0 and math.isnan(fit.training[0]) and len(fit.steps) == len(fit.validation)
    assert fit.best_step in fit.steps and sum(fit.examples) == 1500
    assert {other.estimator for other in found.comparisons} == {"ksg", "gaussian copula"}
    again = tcmax.estimate(*gaussian(1500), seed=[0, 1], steps=200)
    assert again.value == found.value
    assert tcmax.estimate(*gaussian(1500), seed=2, steps=200).value != found.value


def test_curves_are_a_frame():
    pytest.importorskip("pandas", reason="pandas is not installed: frames are not tested")
    curves = tcmax.estimate(*gaussian(500), steps=100, seed=[3, 4]).curves()
    assert list(curves.columns) == ["fit", "step", "training", "validation"]
    assert set(curves["fit"]) == {0, 1}


def test_p_values_and_values_of_rows():
    x, y = gaussian(300)
    found = tcmax.estimate(x, y, estimator="ksg", permutations=99, pointwise=True)
    assert found.p_value == pytest.approx(0.01) and found.test.permutations == 99
    assert np.nanmean(found.pointwise) == pytest.approx(found.value)
    unrelated = np.random.default_rng(5).normal(size=300)
    assert tcmax.estimate(x, unrelated, estimator="ksg", permutations=99).p_value > 0.05


def test_labels_of_any_kind_are_the_same_classes():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=600)
    x = codes + 0.5 * rng.normal(size=600)
    words = np.array(["a", "b", "c"])[codes]
    wanted = tcmax.estimate(x, codes, estimator="ksg")
    assert wanted.variables[1].kind == "classes" and wanted.variables[1].classes == 3
    assert tcmax.estimate(x, words, estimator="ksg").value == wanted.value
    assert tcmax.estimate(x, words.astype(object), estimator="ksg").value == wanted.value
    assert tcmax.estimate(x, list(words), estimator="ksg").value == wanted.value
    floats = tcmax.estimate(x, codes.astype(float), estimator="ksg", classes=["y"])
    assert floats.value == wanted.value
    two = tcmax.estimate(x, codes > 0, estimator="ksg")
    assert two.variables[1].classes == 2
    # Many different whole numbers are numbers, unless the caller insists.
    many = rng.integers(1000, size=600)
    assert tcmax.estimate(x, many, estimator="ksg").variables[1].kind == "numbers"
    numbers = tcmax.estimate(x, codes, estimator="ksg", numbers=["y"])
    assert numbers.variables[1].kind == "numbers"


def test_frames_and_series_give_names():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: frames are not tested")
    x, y = gaussian(400)
    frame = pandas.DataFrame({"height": x, "weight": y, "sex": pandas.Categorical(np.where(x > 0, "f", "m"))})
    found = tcmax.estimate(frame["height"], frame["weight"], estimator="gaussian")
    assert found.quantity == "I(height; weight)"
    assert tcmax.estimate(frame[["height", "weight"]], estimator="gaussian").value == found.value
    of_all = tcmax.total_correlation(frame, estimator="ksg")
    assert of_all.quantity == "TC(height, weight, sex)" and of_all.variables[2].kind == "classes"
    joined = tcmax.estimate(frame[["height", "sex"]], frame["weight"], estimator="ksg")
    # A number, and a column for each class.
    assert joined.quantity == "I(x; weight)" and joined.variables[0].columns == 3
    nullable = frame["height"].astype("Float64")
    assert tcmax.estimate(nullable, frame["weight"], estimator="gaussian").value == found.value
    strings = pandas.Series(np.where(x > 0, "f", "m"), name="sex", dtype="string")
    assert tcmax.estimate(strings, frame["weight"], estimator="ksg").variables[0].classes == 2


def test_tensors_share_their_memory():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: tensors are not tested")
    from tcmax._variables import to_numpy

    x, y = gaussian(400)
    wanted = tcmax.estimate(x, y, estimator="ksg").value
    tensors = [torch.from_numpy(values) for values in (x, y)]
    assert to_numpy(tensors[0], "x").ctypes.data == tensors[0].data_ptr()
    assert tcmax.estimate(*tensors, estimator="ksg").value == wanted
    assert tcmax.estimate(tensors[0].requires_grad_(), y, estimator="ksg").value == wanted
    single = tcmax.estimate(tensors[0].detach().float(), tensors[1].float(), estimator="ksg")
    assert single.value == pytest.approx(wanted, abs=1e-3)
    assert tcmax.estimate(tensors[0].half(), tensors[1].bfloat16(), estimator="gaussian").rows == 400


def test_what_speaks_dlpack_alone_is_read():
    class OnlyDlpack:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **arguments):
            return self.array.__dlpack__(**arguments)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x, y = gaussian(400)
    wanted = tcmax.estimate(x, y, estimator="ksg").value
    assert tcmax.estimate(OnlyDlpack(x), OnlyDlpack(y), estimator="ksg").value == wanted


def test_measures_of_three_bits():
    rng = np.random.default_rng(0)
    a, b = rng.integers(2, size=(2, 4000))
    settings = {"estimator": "counts"}
    differ = a ^ b
    assert tcmax.interaction_information(a, b, differ, **settings).value == pytest.approx(-math.log(2), abs=0.01)
    assert tcmax.conditional_mutual_info(a, b, differ, **settings).value == pytest.approx(math.log(2), abs=0.01)
    assert tcmax.estimate(a, b, given=differ, **settings).quantity == "I(x; y | z)"
    assert tcmax.total_correlation([a, b, differ], **settings).value == pytest.approx(math.log(2), abs=0.01)
    assert tcmax.dual_total_correlation([a, b, differ], **settings).value == pytest.approx(2 * math.log(2), abs=0.01)
    o_information = tcmax.o_information({"a": a, "b": b, "c": differ}, **settings)
    assert o_information.value == pytest.approx(-math.log(2), abs=0.01)
    assert sum(term.weight * term.value for term in o_information.terms) == pytest.approx(o_information.value)
    parts = tcmax.partial_information(a, b, differ)
    assert parts.synergistic == pytest.approx(math.log(2), abs=0.01) and parts.redundant < 0.01
    assert parts.value == pytest.approx(math.log(2), abs=0.01)


def test_all_pairs_have_a_matrix_with_corrected_p_values():
    x, y = gaussian(300)
    z = np.random.default_rng(9).normal(size=300)
    found = tcmax.all_pairs({"x": x, "y": y, "z": z}, estimator="ksg", permutations=59)
    assert found.names == ["x", "y", "z"] and found.refusals == {}
    assert found.values[0, 1] == found.values[1, 0] > 0.3 and math.isnan(found.values[0, 0])
    assert found.holm[0, 1] == pytest.approx(3 / 60) and found.holm[0, 2] > 0.05
    assert found.p_values[1, 0] == pytest.approx(1 / 60)


def test_all_pairs_have_the_rows_that_have_both():
    x, y = gaussian(300)
    z = np.array(["one", "two", "three"] * 100, dtype=object)
    holes = {"x": x.copy(), "y": y.copy(), "z": z.copy()}
    holes["x"][:40] = np.nan
    holes["y"][30:50] = np.nan
    holes["z"][299] = None
    with pytest.raises(tcmax.Error, match="'x', row 0"):
        tcmax.all_pairs(holes, estimator="ksg")
    found = tcmax.all_pairs(holes, estimator="ksg", missing="drop")
    for (i, j), kept in {(0, 1): slice(50, 300), (0, 2): slice(40, 299), (1, 2): None}.items():
        rows = np.r_[0:30, 50:299] if kept is None else np.arange(300)[kept]
        names = list(holes)
        alone = tcmax.estimate(*({"x": x, "y": y, "z": z}[names[k]][rows] for k in (i, j)), estimator="ksg")
        assert found.values[i, j] == alone.value
        assert found.estimates[i, j].rows == len(rows) and found.estimates[i, j].rows_left_out == 300 - len(rows)
    # Two that are never there together are refused, and the others go on.
    never = {"x": x, "y": np.where(np.arange(300) < 150, y, np.nan), "w": np.where(np.arange(300) < 150, np.nan, x)}
    found = tcmax.all_pairs(never, estimator="ksg", missing="drop")
    assert list(found.refusals) == [(1, 2)] and found.values[0, 1] > 0.2


def test_what_determines_another_shares_without_end():
    x = np.random.default_rng(0).normal(size=200)
    found = tcmax.estimate(x, x**3)
    assert math.isinf(found.value) and "increases with 'x'" in found.relation and found.fits == []


def test_mutual_info_scores_columns():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=900)
    good = y + 0.7 * rng.normal(size=900)
    X = np.column_stack([rng.normal(size=900), good, np.ones(900), 2 * good + 3 * rng.normal(size=900)])
    scores = tcmax.mutual_info(X, y)
    assert scores.shape == (4,) and scores[2] == 0 and scores[1] > scores[3] > scores[0]
    assert scores[1] == pytest.approx(tcmax.estimate(good, y, estimator="ksg").value)
    # A number as the target.
    assert tcmax.mutual_info(X[:, :2], good + 0.1 * rng.normal(size=900))[1] > 0.5
    coded = np.column_stack([(good > 1).astype(int), rng.integers(4, size=900)])
    discrete = tcmax.mutual_info(coded, y, discrete_features=True)
    assert discrete[0] == pytest.approx(tcmax.estimate(good > 1, y, estimator="ksg").value)
    assert tcmax.mutual_info(coded, y, discrete_features=[0, 1]).tolist() == discrete.tolist()


def test_select_k_best_and_a_pipeline():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: feature selection is not tested")
    from sklearn.datasets import load_iris
    from sklearn.feature_selection import SelectKBest, mutual_info_classif
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    X, y = load_iris(return_X_y=True)
    selected = SelectKBest(tcmax.mutual_info, k=2).fit(X, y)
    assert selected.get_support().tolist() == [False, False, True, True]
    # Another implementation of the same estimator.
    np.testing.assert_allclose(selected.scores_, mutual_info_classif(X, y, random_state=0), atol=0.1)
    pipeline = make_pipeline(SelectKBest(tcmax.mutual_info, k=2), LogisticRegression(max_iter=500))
    assert pipeline.fit(X, y).score(X, y) > 0.93


def test_mutual_info_of_a_frame_with_words():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: frames are not tested")
    rng = np.random.default_rng(0)
    y = np.array(["no", "yes"])[rng.integers(2, size=400)]
    colour = np.where(rng.random(400) < 0.8, y, "no")
    frame = pandas.DataFrame({"colour": colour, "size": rng.normal(size=400)})
    scores = tcmax.mutual_info(frame, pandas.Series(y, name="answer"))
    assert scores[0] > 0.1 > scores[1]
    with pytest.raises(tcmax.Error, match="'shape' is no column"):
        tcmax.mutual_info(frame, y, discrete_features=["shape"])


def test_errors_name_what_is_wrong():
    x, y = gaussian(100)
    broken = x.copy()
    broken[7] = np.nan
    with pytest.raises(tcmax.Error, match=r"variable 'x', row 7 .*NaN.*missing='drop'"):
        tcmax.estimate(broken, y)
    broken[7] = np.inf
    with pytest.raises(tcmax.Error, match="variable 'x', row 7, column 0: the value is inf"):
        tcmax.estimate(broken, y)
    with pytest.raises(tcmax.Error, match="variable 'y' has 99 rows, but 'x' has 100"):
        tcmax.estimate(x, y[:-1])
    with pytest.raises(tcmax.Error, match="variable 'y', column 0: every value is 1"):
        tcmax.estimate(x, np.ones(100))
    with pytest.raises(tcmax.Error, match="examples are too few"):
        tcmax.estimate(x[:4], y[:4])
    with pytest.raises(tcmax.Error, match="dtype complex128"):
        tcmax.estimate(x.astype(complex), y)
    with pytest.raises(tcmax.Error, match=r"shape \(10, 5, 2\); give rows by columns"):
        tcmax.estimate(x.reshape(10, 5, 2), y[:10])
    with pytest.raises(tcmax.Error, match="100 different words in 100 rows"):
        tcmax.estimate(x, [f"word {i}" for i in range(100)])
    with pytest.raises(tcmax.Error, match="row 1 .*: {} is a dict"):
        tcmax.estimate(x[:2], np.array([1.0, {}], dtype=object))
    with pytest.raises(tcmax.Error, match="estimator.*tcnee"):
        tcmax.estimate(x, y, estimator="tcnee")
    with pytest.raises(tcmax.Error, match="neighbours"):
        tcmax.estimate(x, y, estimator="ksg", options={"neighbour": 3})
    with pytest.raises(tcmax.Error, match="classes, numbers: 'label' is none of the variables; they are x, y"):
        tcmax.estimate(x, y, classes=["label"])
    with pytest.raises(tcmax.Error, match="measure: there is no 'dul'"):
        tcmax.estimate(x, y, measure="dul")
    with pytest.raises(tcmax.Error, match="needs at least 3 variables; got 2"):
        tcmax.o_information([x, y])
    with pytest.raises(tcmax.Error, match="at least 2 variables"):
        tcmax.estimate(x)
    with pytest.raises(TypeError, match="step"):
        tcmax.estimate(x, y, step=3)
    assert issubclass(tcmax.Error, ValueError)


def test_rows_that_lack_a_value_can_be_left_out():
    x, y = gaussian(300)
    holes = x.copy()
    holes[::10] = np.nan
    found = tcmax.estimate(holes, y, estimator="ksg", missing="drop", pointwise=True)
    rest = np.arange(300) % 10 != 0
    assert found.rows_left_out == 30 and found.rows == 270
    assert found.value == tcmax.estimate(x[rest], y[rest], estimator="ksg").value
    assert np.isnan(found.pointwise[::10]).all() and np.isfinite(found.pointwise[rest]).all()
    words = np.where(x > 0, "f", "m").astype(object)
    words[3] = None
    assert tcmax.estimate(words, y, estimator="ksg", missing="drop").rows == 299
    with pytest.raises(tcmax.Error, match="variable 'x', row 3"):
        tcmax.estimate(words, y, estimator="ksg")


LONG = {
    "a fit": lambda x, y: tcmax.estimate(x, y, steps=1_000_000),
    "several fits": lambda x, y: tcmax.estimate(x, y, seed=range(4), steps=1_000_000),
    "permutations": lambda x, y: tcmax.estimate(x, y, estimator="ksg", permutations=100_000),
    "a measure": lambda x, y: tcmax.conditional_mutual_info(x, y, y[::-1], steps=1_000_000),
    "columns": lambda x, y: tcmax.mutual_info(np.tile(x, (600, 1)).T, y),
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here: interrupts are not tested")
@pytest.mark.parametrize("what", LONG)
def test_an_interrupt_ends_long_work(what):
    x, y = gaussian()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            LONG[what](x, y)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert time.monotonic() - start < 5
    # Nothing is left that would disturb what comes next.
    assert tcmax.estimate(x, y, estimator="gaussian").value == pytest.approx(TRUTH, abs=0.05)


def test_other_threads_run_meanwhile():
    counted = []
    done = threading.Event()

    def count():
        while not done.is_set():
            counted.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    tcmax.estimate(*gaussian(2000), steps=300)
    end = time.monotonic()
    done.set()
    thread.join()
    during = [at for at in counted if start < at < end]
    # With the interpreter held there would be none.
    assert len(during) > 20 * (end - start)


def test_estimators_are_listed():
    all_of_them = {spec["name"]: spec for spec in tcmax.estimators()}
    assert all_of_them["tcne"]["lower_bound"] and all_of_them["tcne"]["trains"]
    assert all_of_them["ksg"]["options"][0][0] == "neighbours"
