"""What is logged comes back equal and of the same type, and every cell fits its declared type."""

from __future__ import annotations

import math
import os
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from xetrack import Reader, Tracker, copy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = dict[str, Any]

TYPEOF = {
    "BOOLEAN": "integer",
    "INTEGER": "integer",
    "REAL": "real",
    "TEXT": "text",
    "JSON": "text",
    "BLOB": "blob",
}
WIDER_NUMBERS = {"INTEGER": (bool,), "REAL": (bool, int)}  # what may come back as the wider type
PYTHON_TYPE = {"INTEGER": int, "REAL": float}

COMMON_KEYS = ("loss", "Loss", "x")  # met by many rows, so that one column sees many types
ODD_KEYS = (
    "rowid",
    "ROWID",
    "oid",
    "_rowid_",
    "order",
    "Timestamp",
    "_OVERFLOW",
    "$",
    "$f",
    "$$f",
    "$s:",
    "$s:/x",
    'a"b',
    "'",
    "a\0b",
    "\ud800",
    "\ud83d\ude00",
    "$\udfff",
    "naïve",
    "NAÏVE",
    " ",
    "1",
    "?1",
    "events.loss",
    "k" * 300,
)
REFUSED_KEYS = {"timestamp", "track_id", "_overflow"}

# Surrogates are drawn too: a text of any code points, whether UTF-8 can hold it or not.
characters = st.characters() | st.sampled_from("\0\ud800\udfff\"'$")
misleading = st.sampled_from(["1e3", "12", "true", "null", "nan", "[1]", "0123456789abcdef"])
texts = st.text(characters, max_size=12) | misleading
floats = st.floats() | st.sampled_from([0.5, -0.0, 2.0**53, 1e300])
integers = st.integers() | st.sampled_from(
    [2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**400]
)
scalars = st.none() | st.booleans() | integers | floats | texts
nested: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts | st.sampled_from(ODD_KEYS), inner, max_size=4)
    ),
    max_leaves=8,
).filter(lambda value: isinstance(value, (list, dict)))
numbers = st.booleans() | integers | floats
values = numbers | scalars | st.binary(max_size=12) | nested
keys = (
    st.sampled_from(COMMON_KEYS)
    | st.sampled_from(ODD_KEYS)
    | texts.filter(lambda text: text not in REFUSED_KEYS and text != "")
)
rows = st.dictionaries(keys, values, max_size=6)
# Which of two trackers writes, in which way, which rows.
steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["log", "log_batch", "batch"]),
        st.lists(rows, min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def is_same(logged: object, read: object) -> bool:
    """Whether both are equal and of the same type, all the way down; NaN is equal to NaN."""
    if type(logged) is not type(read):
        return False
    if isinstance(logged, list) and isinstance(read, list):
        return len(logged) == len(read) and all(map(is_same, logged, read))
    if isinstance(logged, dict) and isinstance(read, dict):
        return logged.keys() == read.keys() and all(is_same(logged[k], read[k]) for k in logged)
    if isinstance(logged, float) and math.isnan(logged):
        return isinstance(read, float) and math.isnan(read)
    return logged == read


def comes_back(logged: object, read: object, declared: str) -> bool:
    """The same of a value in a column of a type, which may be wider than that of the value."""
    if type(logged) in WIDER_NUMBERS.get(declared, ()) and type(read) is PYTHON_TYPE[declared]:
        return logged == read
    return is_same(logged, read)


def check_rows(
    path: str, logged: Sequence[Row], earlier: Mapping[str, str] = MappingProxyType({})
) -> None:
    """All rows came back; *earlier* has the types of columns that they were in before a copy."""
    reader = Reader(path)
    columns = reader.columns
    read = reader.rows()
    assert len(read) == len(logged)
    for before, after in zip(logged, read):
        given = {key: value for key, value in before.items() if value is not None}
        found = {key: value for key, value in after.items() if value is not None}
        assert found.keys() == given.keys() | {"timestamp", "track_id"}
        for key, value in given.items():
            declared = [types.get(key, "") for types in (columns, earlier)]
            back = found[key]
            assert any(comes_back(value, back, kind) for kind in declared), (key, value, back)
    reader.close()


def check_cells(path: str) -> None:
    """Every cell of every column, the overflow's too, is of the type that the column declares."""
    reader = Reader(path)
    conn = reader.conn
    for name, declared in conn.execute("SELECT name, type FROM db.pragma_table_xinfo('events')"):
        column = 'db.events."' + name.replace('"', '""') + '"'
        query = f"SELECT DISTINCT typeof({column}) FROM db.events WHERE {column} IS NOT NULL"
        assert {kind for (kind,) in conn.execute(query)} <= {TYPEOF[declared]}, (name, declared)
    reader.close()


def write(tracker: Tracker, way: str, batch: Sequence[Mapping[str, Any]]) -> None:
    if way == "log_batch":
        assert tracker.log_batch(batch) == len(batch)
        return
    if way == "batch":
        with tracker.batch():
            returned = [tracker.log(row) for row in batch]
    else:
        returned = [tracker.log(row) for row in batch]
    for row, stored in zip(batch, returned):
        ours = {key: stored[key] for key in ("timestamp", "track_id")}
        assert is_same({**row, **ours}, stored)


@settings(max_examples=80, deadline=None)
@given(steps)
@example([(0, "log", [{"x": True}]), (1, "log", [{"x": 2**53 + 1}]), (0, "log", [{"x": 0.5}])])
@example([(0, "log_batch", [{"x": 1}, {"x": 2**53 + 1}, {"x": 0.5}, {"x": float("nan")}])])
@example([(0, "log", [{"Loss": 1, "loss": "a", "LOSS": None}, {"loss": b"", "rowid": 5}])])
@example([(0, "log", [{"x": "a"}, {"x": "\ud800"}]), (1, "log_batch", [{"x": "\ud800"}] * 2)])
@example([(0, "batch", [{"x": 1}]), (1, "batch", [{"x": 0.5}]), (0, "log", [{"x": 2**53 + 1}])])
def test_any_rows_come_back_and_every_cell_fits(
    steps: list[tuple[int, str, list[Row]]],
) -> None:
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "track.db")
        logged = []
        with Tracker(path) as one, Tracker(path) as other:
            for number, way, batch in steps:
                write((one, other)[number], way, batch)
                logged += batch
                check_cells(path)
            check_rows(path, logged)
        target = os.path.join(folder, "copy.db")
        assert copy(path, target) == len(logged)
        check_rows(target, logged)
        check_cells(target)
        assert copy(path, target) == 0
        check_rows(target, logged)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(COMMON_KEYS), values), min_size=2, max_size=6))
@example([{"x": 0.5}, {"x": 2**53 + 1}])
@example([{"x": 2**53 + 1}, {"x": 0.5}])
@example([{"x": "text"}, {"x": 2**63}, {"x": float("nan")}])
@example([{"loss": False}, {"Loss": False}, {"Loss": 0}])
def test_any_rows_of_two_files_come_back_from_their_union(logged: list[Row]) -> None:
    half = len(logged) // 2
    with TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "source.db"), os.path.join(folder, "target.db")
        with Tracker(target) as tracker:
            tracker.log_batch(logged[:half])
        with Tracker(source) as tracker:
            tracker.log_batch(logged[half:])
        assert copy(source, target) == len(logged) - half
        check_rows(target, logged, Reader(source).columns)
        check_cells(target)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4), keys, values)
@example([{"x": float("nan")}, {"x": "text"}, {"x": 1}], "x", 0.5)
@example([{"x": 2**53 + 1}, {"x": 1}], "x", 0.5)
@example([{"Loss": 1}], "loss", 2)
@example([{"x": 1}], "\ud800", "a")
@example([{"x": 1}], "x", "\ud800")
def test_any_value_that_is_set_in_all_rows_comes_back(
    logged: list[Row], key: str, value: object
) -> None:
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "track.db")
        with Tracker(path) as tracker:
            tracker.log_batch(logged)
            assert tracker.set_value(key, value) == len(logged)
        check_rows(path, [{**row, key: value} for row in logged])
        check_cells(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4))
def test_any_rows_come_back_from_json_lines(logged: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.jsonl")
        with Tracker(Tracker.SKIP_INSERT, jsonl=path) as tracker:
            stored = [tracker.log(row) for row in logged]
        assert is_same(stored, Reader.read_jsonl(path))


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4))
def test_any_rows_can_be_shown_and_exported(logged: list[Row]) -> None:
    with TemporaryDirectory() as folder, Tracker(Tracker.IN_MEMORY) as tracker:
        tracker.log_batch(logged)
        assert tracker.to_csv(os.path.join(folder, "rows.csv")) == len(logged)
        assert len(str(tracker).split("\n")) == len(logged) + 4  # head, rule, blank, count
