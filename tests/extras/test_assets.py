"""What only one process has is stored whole and loads in another; arrays need no pickle."""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections import OrderedDict
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Callable

import pytest

pytest.importorskip("cloudpickle")

from xetrack import (
    MissingExtraError,
    PickleForbiddenError,
    Reader,
    Tracker,
    UnpicklableError,
)
from xetrack.extras import assets  # only where cloudpickle is

if TYPE_CHECKING:
    from pathlib import Path

# What a script defines and another process does not have.
DEFINITIONS = """
import enum
FACTOR = 3
class Base:
    bias = 1
class Model(Base):
    def __init__(self, weight):
        self.weight = weight
    def predict(self, x):
        return scaled(self.weight * x) + self.bias
class Colour(enum.Enum):
    RED = "r"
def scaled(x):
    return FACTOR * x
def adder(n):
    return lambda x: x + n
def local():
    class Local:
        value = 7
        def __eq__(self, other):
            return self.value == other.value
        __hash__ = None
    return Local
"""

# (what is stored, what is asked of it in the other process, the answer)
STORED = [
    pytest.param("lambda x: x + 1", "found(1)", 2, id="a lambda"),
    pytest.param("adder(5)", "found(1)", 6, id="a closure"),
    pytest.param("scaled", "found(2)", 6, id="a function of the script"),
    pytest.param("Model", "found(2).predict(5)", 31, id="a class of the script"),
    pytest.param("Model(2)", "found.predict(5)", 31, id="an instance of it"),
    pytest.param("Model(2).predict", "found(5)", 31, id="a bound method"),
    pytest.param("{1: Model(2)}", "found[1].predict(5)", 31, id="an instance in a dict"),
    pytest.param("Colour.RED.__class__", "found('r').name", "RED", id="an enumeration"),
    pytest.param("local()", "found.value", 7, id="a local class"),
    pytest.param("local()()", "found.value", 7, id="an instance of a local class"),
]

LOAD = """
import json, pickle, sys
assert not hasattr(sys.modules["__main__"], "FACTOR")
with open(sys.argv[1], "rb") as file:
    found = pickle.load(file)
print(json.dumps(eval(sys.argv[2])))
"""

GET = """
import json, sys
assert not hasattr(sys.modules["__main__"], "FACTOR")
found = xetrack.Reader(sys.argv[1]).get("object")
print(json.dumps(eval(sys.argv[2])))
"""


class OnlyWrites:
    """A file that can do nothing but take bytes, and remembers the largest piece."""

    def __init__(self) -> None:
        self.size_bytes = self.largest_bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.size_bytes += size
        self.largest_bytes = max(self.largest_bytes, size)
        return size


class Failing:
    """An object that cannot be stored."""

    def __reduce__(self) -> Any:
        raise OSError("not today")


def dumped(value: object) -> bytes:
    """The bytes that the adapter makes of *value*."""
    out = io.BytesIO()
    assets.dump(value, out)
    return out.getvalue()


# -- the adapter: pickles ------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "asked", "answer"), STORED)
def test_what_is_dumped_loads_in_a_process_without_its_code(
    run_python: Callable[..., str], stored: str, asked: str, answer: object
) -> None:
    code = f"""
from xetrack.extras.assets import dump
{DEFINITIONS}
with open("object.pickle", "wb") as file:
    dump({stored}, file)
"""
    run_python(code)
    assert json.loads(run_python(LOAD, "object.pickle", asked)) == answer


def test_what_stands_in_the_script_of_a_spawned_process_loads_elsewhere(
    run_python: Callable[..., str], tmp_path: Path, package: str
) -> None:
    script = f"""
import multiprocessing
from {package}.extras.assets import dump
{DEFINITIONS}
def store(path):
    with open(path, "wb") as file:
        dump(Model(2), file)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=store, args=["object.pickle"])
    process.start()
    process.join()
    assert process.exitcode == 0
"""
    (tmp_path / "script.py").write_text(script)
    start = (
        "import runpy, subprocess, sys; subprocess.run([sys.executable, 'script.py'], check=True)"
    )
    run_python(start)
    assert run_python(LOAD, "object.pickle", "found.predict(5)") == "31\n"


def test_what_needs_no_code_is_a_plain_pickle() -> None:
    value = OrderedDict(a=[1, 2.5, None, "text", b"bytes"], b={Fraction(1, 3), 1j})
    assert dumped(value) == pickle.dumps(value, protocol=5)


def test_the_same_object_gives_the_same_bytes_again(run_python: Callable[..., str]) -> None:
    code = f"""
import io
from xetrack.extras.assets import dump
{DEFINITIONS}
def dumped(value):
    out = io.BytesIO()
    dump(value, out)
    return out.getvalue()
for value in (scaled, adder(5), Model, Model(2), Colour, local()):
    first = dumped(value)
    if callable(value) and value not in (Model, Colour):
        try:
            value(1)
        except TypeError:
            pass
    assert [dumped(value) for _ in range(3)] == [first] * 3, value
assert dumped(adder(5)) == dumped(adder(5)) != dumped(adder(6))
print("the same")
"""
    assert run_python(code) == "the same\n"


def test_a_large_object_is_written_in_pieces() -> None:
    out = OnlyWrites()
    assets.dump([Fraction(number, 7) for number in range(200_000)], out)
    assert out.size_bytes > 2_000_000
    assert out.largest_bytes < 200_000


def test_the_errors_of_an_object_are_passed_on() -> None:
    with pytest.raises(OSError, match="not today"):
        assets.dump([Failing()], OnlyWrites())


def test_a_pickle_is_of_a_kind_of_its_own() -> None:
    assert (assets.KIND, assets.ARRAY_KIND) == ("cloudpickle", "npy")


# -- the adapter: arrays -------------------------------------------------------------------------

ARRAYS = [
    "np.arange(5)",
    "np.zeros((0, 3))",
    "np.ones((3, 4), order='F')",
    "np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)",
    "np.arange(10)[::-2]",
    "np.array([True, False])",
    "np.array([1.5, float('nan')], dtype='float16')",
    "np.arange(3, dtype='>i4')",
    "np.array([1 + 2j])",
    "np.array(['a', 'naïve', ''])",
    "np.array([b'ab', b''])",
    "np.array(['2026-11-23', 'NaT'], dtype='M8[ns]')",
    "np.zeros(3, dtype=[('a', 'i4'), ('b', 'f8', (2, 2))])",
    "np.zeros(3, dtype=[('a', 'i4'), ('é', 'f8')])",
    "np.zeros(3, dtype=[('a', 'i4'), ('λ', 'f8')])",
]

NO_NPY = [
    "np.array([object()])",
    "np.array([None, 1])",
    "np.zeros(1, dtype=[('a', 'O')])",
    "np.ma.array([1])",
    "np.rec.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')])",
    "np.zeros(1, dtype=np.dtype('i4', metadata={'unit': 'm'}))",
    "np.zeros(1, dtype=[('a', np.dtype('i4', metadata={'unit': 'm'}))])",
    "np.zeros(1, dtype=np.dtype([('a', 'i1'), ('b', 'f8')], align=True))",
    "np.zeros(1, dtype={'names': ['a', 'b'], 'formats': ['i4', 'i4'], 'offsets': [4, 0]})",
    "np.zeros(1, dtype=[(f'field {number}', 'i4') for number in range(1000)])",
    "np.float64(1)",
    "[1.0]",
    "None",
]


def evaluated(expression: str) -> tuple[Any, Any]:
    """NumPy, and the value of an expression that uses it."""
    np = pytest.importorskip("numpy")
    return np, eval(expression, {"np": np})


@pytest.mark.parametrize("expression", ARRAYS)
def test_an_array_comes_back_as_it_was_from_a_file_as_numpy_saves_it(expression: str) -> None:
    np, array = evaluated(expression)
    out = io.BytesIO()
    assert assets.is_array(array)
    assets.dump_array(array, out)
    back = assets.load_array(io.BytesIO(out.getvalue()))
    assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    loaded = np.load(io.BytesIO(out.getvalue()), allow_pickle=False)
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("expression", ARRAYS[:-1])
def test_the_bytes_are_those_of_numpy_save(expression: str) -> None:
    np, array = evaluated(expression)
    saved, out = io.BytesIO(), io.BytesIO()
    np.save(saved, array, allow_pickle=False)
    assets.dump_array(array, out)
    assert out.getvalue() == saved.getvalue()


@pytest.mark.parametrize("expression", NO_NPY)
def test_what_npy_would_change_is_no_such_array(expression: str) -> None:
    _, value = evaluated(expression)
    assert not assets.is_array(value)


def test_a_type_of_another_package_that_npy_would_change_is_no_such_array() -> None:
    np = pytest.importorskip("numpy", minversion="2.0")
    assert not assets.is_array(np.array(["a"], dtype=np.dtypes.StringDType()))


def test_a_large_array_is_written_in_pieces() -> None:
    np = pytest.importorskip("numpy")
    out = OnlyWrites()
    assets.dump_array(np.zeros(10_000_000), out)
    assert out.size_bytes == 80_000_000 + 128
    assert out.largest_bytes <= 17_000_000


def test_an_array_of_objects_is_not_loaded() -> None:
    np = pytest.importorskip("numpy")
    out = io.BytesIO()
    np.save(out, np.array([Fraction(1, 3)]), allow_pickle=True)
    out.seek(0)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        assets.load_array(out)


def test_a_file_that_was_cut_is_not_loaded() -> None:
    np = pytest.importorskip("numpy")
    out = io.BytesIO()
    assets.dump_array(np.arange(1000), out)
    with pytest.raises(ValueError, match="array data"):
        assets.load_array(io.BytesIO(out.getvalue()[:-1]))


def test_to_look_at_an_object_loads_no_package(run_python: Callable[..., str]) -> None:
    code = """
import sys
from xetrack.extras.assets import is_array
print(is_array([1, 2]), {"numpy", "cloudpickle"} & set(sys.modules))
"""
    assert run_python(code) == "False set()\n"


# -- through a tracker ---------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "asked", "answer"), STORED)
def test_what_is_logged_comes_back_in_a_process_without_its_code(
    db: str, run_python: Callable[..., str], stored: str, asked: str, answer: object
) -> None:
    code = f"""
import sys
{DEFINITIONS}
with xetrack.Tracker(sys.argv[1]) as tracker:
    value = {stored}
    rows = [tracker.log({{"object": value}}) for _ in range(2)]
    asset = tracker.assets.add(value)
    assert {{row["object"] for row in rows}} == {{asset}}, "stored once"
"""
    run_python(code, db)
    assert [asset["kind"] for asset in Reader(db).assets.list()] == ["cloudpickle"]
    assert json.loads(run_python(GET, db, asked)) == answer


def test_xt_get_writes_what_cloudpickle_loads(
    db: str, run_python: Callable[..., str], xt: Callable[..., Any]
) -> None:
    code = f"""
import sys
{DEFINITIONS}
with xetrack.Tracker(sys.argv[1]) as tracker:
    print(tracker.log({{"object": Model(2)}})["object"])
"""
    asset = run_python(code, db).strip()
    assert xt("get", db, asset, "model.cloudpickle").code == 0
    load = """
import cloudpickle, sys
with open(sys.argv[1], "rb") as file:
    print(cloudpickle.load(file).predict(5))
"""
    assert run_python(load, "model.cloudpickle") == "31\n"


def test_a_model_of_scikit_learn_goes_the_way_of_the_readme(
    db: str, run_python: Callable[..., str], xt: Callable[..., Any]
) -> None:
    pytest.importorskip("sklearn")
    fit = """
import sys
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
lr = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
with xetrack.Tracker(sys.argv[1], params={"model": "logistic regression"}) as tracker:
    row = tracker.log({"accuracy": float(lr.score(X[1::2], y[1::2])), "lr": lr})
    assert tracker.get(row["lr"]).score(X[1::2], y[1::2]) == row["accuracy"]
    assert tracker.log({"lr": lr})["lr"] == row["lr"]
    print(row["lr"], row["accuracy"])
"""
    asset, accuracy = run_python(fit, db).split()
    assert xt("get", db, asset, "model.cloudpickle").code == 0
    load = """
import cloudpickle, sys
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True)
with open("model.cloudpickle", "rb") as file:
    from_file = cloudpickle.load(file)
from_db = xetrack.Reader(sys.argv[1]).get(sys.argv[2])
print(from_file.score(X[1::2], y[1::2]), from_db.score(X[1::2], y[1::2]))
"""
    assert run_python(load, db, asset).split() == [accuracy, accuracy]
    assert float(accuracy) > 0.9


def test_a_model_of_scikit_learn_is_dumped_and_loaded_elsewhere(
    run_python: Callable[..., str],
) -> None:
    pytest.importorskip("sklearn")
    fit = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from xetrack.extras.assets import dump
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=1000).fit(X, y)
with open("model.cloudpickle", "wb") as file:
    dump(model, file)
print(model.score(X, y))
"""
    load = """
import cloudpickle
from sklearn.datasets import load_iris
with open("model.cloudpickle", "rb") as file:
    print(cloudpickle.load(file).score(*load_iris(return_X_y=True)))
"""
    assert run_python(fit) == run_python(load)


@pytest.mark.parametrize(
    "value", [Fraction(1, 3), {"__main__"}, frozenset({"_main__", 1})], ids=repr
)
def test_what_pickle_can_store_is_the_same_asset_without_cloudpickle(
    monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    with Tracker("with.db") as tracker:
        tracker.log({"object": value})
        stored = tracker.assets.list()
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with Tracker("without.db") as tracker:
        tracker.log({"object": value})
        stored_without = tracker.assets.list()
    facts = ("id", "sha256", "kind", "type", "size", "runs")
    assert [stored[0][fact] for fact in facts] == [stored_without[0][fact] for fact in facts]
    assert stored[0]["kind"] == "pickle"


def test_what_nothing_can_store_is_refused(db: str) -> None:
    with Tracker(db) as tracker:
        with pytest.raises(UnpicklableError) as caught:
            tracker.log({"object": (number for number in range(3))})
        assert caught.value.cause == "TypeError: cannot pickle 'generator' object"
        assert len(tracker) == 0


def test_without_cloudpickle_a_lambda_is_refused_and_says_what_to_install(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with Tracker(db) as tracker, pytest.raises(UnpicklableError, match=r"xetrack\[assets\]"):
        tracker.log({"object": lambda: 1})


def test_without_cloudpickle_what_it_stored_says_what_to_install(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tracker(db) as tracker:
        asset = tracker.log({"object": lambda: 1})["object"]
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
        with pytest.raises(MissingExtraError) as caught:
            tracker.get(asset)
    expected = (f"get({asset!r})", "cloudpickle", "assets")
    assert (caught.value.asked, caught.value.package, caught.value.extra) == expected


def test_what_cloudpickle_stored_is_a_pickle_that_may_be_forbidden(db: str) -> None:
    with Tracker(db) as tracker:
        asset = tracker.log({"object": lambda: 1})["object"]
    with pytest.raises(PickleForbiddenError):
        Reader(db, allow_pickle=False).get(asset)


@pytest.mark.parametrize("expression", ARRAYS)
def test_an_array_is_logged_as_npy_and_needs_no_pickle(
    db: str, tmp_path: Path, expression: str
) -> None:
    np, array = evaluated(expression)
    with Tracker(db, allow_pickle=False) as tracker:
        asset = tracker.log({"object": array})["object"]
        assert tracker.assets.add(array) == asset
        assert [stored["kind"] for stored in tracker.assets.list()] == ["npy"]
        back = tracker.get(asset)
        tracker.assets.export(asset, tmp_path / "array.npy")
    assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(np.load("array.npy", allow_pickle=False), array)


def test_a_large_array_comes_back(db: str) -> None:
    np = pytest.importorskip("numpy")
    array = np.arange(3_000_000)
    with Tracker(db, allow_pickle=False) as tracker:
        tracker.log({"object": array})
        np.testing.assert_array_equal(tracker.get("object"), array)


def test_an_array_of_objects_is_a_pickle(db: str) -> None:
    np = pytest.importorskip("numpy")
    array = np.array([Fraction(1, 3), None])
    with Tracker(db) as tracker:
        tracker.log({"object": array})
        assert [asset["kind"] for asset in tracker.assets.list()] == ["pickle"]
        assert tracker.get("object").tolist() == [Fraction(1, 3), None]


def test_an_array_is_the_same_asset_without_cloudpickle(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    np = pytest.importorskip("numpy")
    with Tracker(db) as tracker:
        asset = tracker.log({"object": np.arange(5)})["object"]
        monkeypatch.setitem(sys.modules, "cloudpickle", None)
        assert tracker.log({"object": np.arange(5)})["object"] == asset
        assert tracker.get(asset).tolist() == [0, 1, 2, 3, 4]


def test_without_numpy_an_array_says_what_to_install(
    db: str, run_python: Callable[..., str]
) -> None:
    np = pytest.importorskip("numpy")
    with Tracker(db) as tracker:
        asset = tracker.log({"object": np.arange(5)})["object"]
    code = """
import sys
sys.modules["numpy"] = None
try:
    xetrack.Reader(sys.argv[1]).get(sys.argv[2])
except xetrack.MissingExtraError as error:
    print(error)
"""
    assert run_python(code, db, asset) == (
        f"get({asset!r}) needs the package numpy, which is not installed: "
        "pip install 'xetrack[pandas]'\n"
    )
