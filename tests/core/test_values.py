"""What becomes of each kind of value: its column's type, what SQL sees of it, what comes back."""

from __future__ import annotations

import enum
import json
import math
import re
from collections import OrderedDict, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from xetrack import Reader, Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

NAN, INF = float("nan"), float("inf")
BIG = 2**53 + 1  # no float is equal to it
HUGE = 2**63  # does not fit 64 bits
BEYOND_TEXT = -(10**5000)  # more digits than Python writes by itself


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db) as tracker:
        yield tracker


def declared(tracker: Tracker, key: str = "x") -> str | None:
    with Reader(tracker.db) as reader:
        return reader.columns.get(key)


def cells(tracker: Tracker, key: str = "x") -> list[tuple[object, str]]:
    """What SQL sees of a key: cells and their types."""
    query = f'SELECT db.events."{key}", typeof(db.events."{key}") FROM db.events ORDER BY rowid'
    return list(tracker.conn.execute(query).fetchall())


def overflow(tracker: Tracker) -> list[object]:
    """What stands in the overflow of each row."""
    query = "SELECT db.events._overflow FROM db.events ORDER BY rowid"
    return [text and json.loads(text) for (text,) in tracker.conn.execute(query)]


def typed(values: list[Any]) -> list[tuple[type, str]]:
    """Values with their types, NaN being equal to NaN."""
    return [(type(value), ascii(value)) for value in values]


class Dtype:
    """The stand-in for the type of a NumPy scalar."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Scalar:
    """The stand-in for a NumPy scalar, or for an array or tensor of no dimensions."""

    ndim = 0

    def __init__(self, value: object, kind: str = "f", text: str = "a scalar") -> None:
        self.value = value
        self.dtype = Dtype(kind)
        self.text = text

    def item(self) -> object:
        return self.value

    def __str__(self) -> str:
        return self.text


class LongDouble(Scalar):
    """One whose ``item()`` is itself, as that of ``numpy.longdouble`` is."""

    def item(self) -> object:
        return self

    def __float__(self) -> float:
        return 0.25


class Float64(float):
    """A float of its own class, as ``numpy.float64`` is."""


class NaT(datetime):
    """What pandas has for a missing time: a datetime of which only the text tells."""

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:  # noqa: ARG002
        return "NaT"


NAType = type("NAType", (), {"__module__": "pandas._libs.missing"})


class Colour(enum.Enum):
    RED = "red"
    SEVEN = 7


class Level(enum.IntEnum):
    HIGH = 3


class Mode(str, enum.Enum):
    FAST = "fast"


class Text(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")  # noqa: PYI024  # the untyped one is what users have

# logged, type of the column, type of the cell, cell, what comes back
EXACT_CELLS = {
    "true": (True, "BOOLEAN", "integer", 1, True),
    "false": (False, "BOOLEAN", "integer", 0, False),
    "int": (7, "INTEGER", "integer", 7, 7),
    "largest int": (2**63 - 1, "INTEGER", "integer", 2**63 - 1, 2**63 - 1),
    "smallest int": (-(2**63), "INTEGER", "integer", -(2**63), -(2**63)),
    "float": (0.5, "REAL", "real", 0.5, 0.5),
    "float of a whole number": (3.0, "REAL", "real", 3.0, 3.0),
    "infinity": (INF, "REAL", "real", INF, INF),
    "negative infinity": (-INF, "REAL", "real", -INF, -INF),
    "text": ("naïve 表 🙂", "TEXT", "text", "naïve 表 🙂", "naïve 表 🙂"),
    "empty text": ("", "TEXT", "text", "", ""),
    "text with a NUL": ("a\0b", "TEXT", "text", "a\0b", "a\0b"),
    "text like a number": ("1e3", "TEXT", "text", "1e3", "1e3"),
    "text like an asset": ("0123456789abcdef",) + ("TEXT", "text") + ("0123456789abcdef",) * 2,
    "bytes": (b"\0\xff", "BLOB", "blob", b"\0\xff", b"\0\xff"),
    "empty bytes": (b"", "BLOB", "blob", b"", b""),
    "bytearray": (bytearray(b"ab"), "BLOB", "blob", b"ab", b"ab"),
    "memoryview": (memoryview(b"abcd")[::2], "BLOB", "blob", b"ac", b"ac"),
    "list": ([1, "a", None, True], "JSON", "text", '[1, "a", null, true]', [1, "a", None, True]),
    "empty list": ([], "JSON", "text", "[]", []),
    "tuple": ((1, (2, 3)), "JSON", "text", "[1, [2, 3]]", [1, [2, 3]]),
    "namedtuple": (Point(1, 2), "JSON", "text", "[1, 2]", [1, 2]),
    "dict": ({"b": 1, "a": []}, "JSON", "text", '{"b": 1, "a": []}', {"b": 1, "a": []}),
    "empty dict": ({}, "JSON", "text", "{}", {}),
    "ordered dict": (OrderedDict(a=1), "JSON", "text", '{"a": 1}', {"a": 1}),
    "dict like a tag": ({"$f": "nan"}, "JSON", "text", '{"$f": "nan"}', {"$f": "nan"}),
    "list of what is text": (
        [date(2024, 2, 29), Decimal("1.50"), Colour.RED, Scalar(2)],
        "JSON",
        "text",
        '["2024-02-29", "1.50", "red", 2]',
        ["2024-02-29", "1.50", "red", 2],
    ),
    "scalar with a bool": (Scalar(True), "BOOLEAN", "integer", 1, True),
    "scalar with an int": (Scalar(7), "INTEGER", "integer", 7, 7),
    "scalar with a float": (Scalar(0.5), "REAL", "real", 0.5, 0.5),
    "scalar with text": (Scalar("a", "U"), "TEXT", "text", "a", "a"),
    "scalar with bytes": (Scalar(b"a", "S"), "BLOB", "blob", b"a", b"a"),
    "scalar with a decimal": (Scalar(Decimal("0.10"), "O"), "TEXT", "text", "0.10", "0.10"),
    "scalar with a time": (
        Scalar(1709164800000000000, "M", "2024-02-29T00:00:00.000000000"),
        "TEXT",
        "text",
        "2024-02-29T00:00:00.000000000",
        "2024-02-29T00:00:00.000000000",
    ),
    "scalar that is its own item": (LongDouble(None), "REAL", "real", 0.25, 0.25),
    "float of a class": (Float64(0.5), "REAL", "real", 0.5, 0.5),
    "text of a class": (Text("a"), "TEXT", "text", "a", "a"),
    "datetime": (datetime(2024, 2, 29, 1, 2, 3, 4), "TEXT", "text")  # noqa: DTZ001
    + ("2024-02-29T01:02:03.000004",) * 2,
    "aware datetime": (datetime(2024, 2, 29, tzinfo=timezone.utc), "TEXT", "text")
    + ("2024-02-29T00:00:00+00:00",) * 2,
    "date": (date(2024, 2, 29), "TEXT", "text", "2024-02-29", "2024-02-29"),
    "time": (time(1, 2, 3), "TEXT", "text", "01:02:03", "01:02:03"),
    "timedelta": (timedelta(days=1, hours=2, minutes=3, seconds=4.5), "TEXT", "text")
    + ("P1DT2H3M4.5S",) * 2,
    "negative timedelta": (timedelta(seconds=-90), "TEXT", "text") + ("-P0DT0H1M30S",) * 2,
    "no time at all": (timedelta(0), "TEXT", "text", "P0DT0H0M0S", "P0DT0H0M0S"),
    "path": (Path("runs") / "one", "TEXT", "text", str(Path("runs/one")), str(Path("runs/one"))),
    "pure path": (PurePosixPath("/a b"), "TEXT", "text", "/a b", "/a b"),
    "enum of text": (Colour.RED, "TEXT", "text", "red", "red"),
    "enum of a number": (Colour.SEVEN, "TEXT", "text", "7", "7"),
    "enum that is text": (Mode.FAST, "TEXT", "text", "fast", "fast"),
    "enum that is an int": (Level.HIGH, "INTEGER", "integer", 3, 3),
    "uuid": (UUID(int=1), "TEXT", "text") + ("00000000-0000-0000-0000-000000000001",) * 2,
    "decimal": (Decimal("1.50"), "TEXT", "text", "1.50", "1.50"),
}

# logged, type of the column, cell, what stands in the overflow
INEXACT_CELLS = {
    "nan": (NAN, "REAL", None, {"$f": "nan"}),
    "int beyond 64 bits": (HUGE, "INTEGER", None, {"$i": "0x8000000000000000"}),
    "negative int beyond 64 bits": (-HUGE - 1, "INTEGER", None, {"$i": "-0x8000000000000001"}),
    "int beyond text": (BEYOND_TEXT, "INTEGER", None, {"$i": hex(BEYOND_TEXT)}),
    "lone surrogate": ("a\ud800", "TEXT", "a?", {"$s": "Ye2ggA=="}),
    "list with nan": ([1.0, NAN], "JSON", "[1.0, null]", [1.0, {"$f": "nan"}]),
    "list with infinities": ([INF, -INF], "JSON", "[null, null]", [{"$f": "inf"}, {"$f": "-inf"}]),
    "dict like a tag, with nan": (
        {"$f": NAN, "$$": 1},
        "JSON",
        '{"$f": null, "$$": 1}',
        {"$$f": {"$f": "nan"}, "$$$": 1},
    ),
    "dict with a lone surrogate": (
        {"\ud800": "\ud800"},
        "JSON",
        '{"?": "?"}',
        {"$s:7aCA": {"$s": "7aCA"}},
    ),
    "list with an int beyond text": ([BEYOND_TEXT], "JSON", None, [{"$i": hex(BEYOND_TEXT)}]),
}


@pytest.mark.parametrize(
    ("logged", "kind", "typeof", "cell", "back"), EXACT_CELLS.values(), ids=EXACT_CELLS
)
def test_a_value_has_a_column_of_its_type_and_a_cell_that_is_exact(  # noqa: PLR0913, PLR0917
    tracker: Tracker, logged: object, kind: str, typeof: str, cell: object, back: object
) -> None:
    stored = tracker.log({"x": logged})
    assert typed([stored["x"]]) == typed([back])
    assert typed(tracker.column("x")) == typed([back])
    assert typed([tracker.rows()[0]["x"]]) == typed([back])
    assert declared(tracker) == kind
    assert cells(tracker) == [(cell, typeof)]
    assert declared(tracker, "_overflow") is None


@pytest.mark.parametrize(
    ("logged", "kind", "cell", "tagged"), INEXACT_CELLS.values(), ids=INEXACT_CELLS
)
def test_what_no_cell_holds_exactly_stands_in_the_overflow(
    tracker: Tracker, logged: object, kind: str, cell: object, tagged: object
) -> None:
    stored = tracker.log({"x": logged})
    assert same(stored["x"], logged)
    assert same(tracker.column("x")[0], logged)
    assert same(tracker.rows()[0]["x"], logged)
    assert declared(tracker) == kind
    assert cells(tracker) == [(cell, "null" if cell is None else "text")]
    assert overflow(tracker) == [{"x": tagged}]


def same(left: object, right: object) -> bool:
    """Equal and of the same type; by their text where that can be had, for NaN's sake."""
    if isinstance(left, int) or (isinstance(left, list) and isinstance(left[0], int)):
        return type(left) is type(right) and left == right
    return typed([left]) == typed([right])


@pytest.mark.parametrize(
    "missing",
    [None, NaT(2024, 1, 1), NAType(), Scalar(None, "O"), Scalar(None, "M", "NaT")],
    ids=["None", "pandas.NaT", "pandas.NA", "scalar with None", "numpy NaT"],
)
def test_a_missing_value_decides_no_type(tracker: Tracker, missing: object) -> None:
    stored = tracker.log({"x": missing})
    assert stored["x"] is None
    assert declared(tracker) is None
    tracker.log({"x": "text"})
    tracker.log({"x": missing})
    tracker.log({"y": 1})
    assert declared(tracker) == "TEXT"
    assert tracker.column("x") == [None, "text", None, None]
    assert declared(tracker, "_overflow") is None


def test_every_row_has_every_column_with_none_where_it_has_no_value(tracker: Tracker) -> None:
    first = tracker.log({"a": 1})
    second = tracker.log({"b": "text", "a": None})
    assert tracker.rows() == [{**first, "b": None}, second]


@pytest.mark.parametrize(
    "value",
    [{1, 2}, complex(1, 2), {1: "a"}, [b"bytes"], {"a": {1}}, range(3)],
    ids=["set", "complex", "dict with a number as key", "list of bytes", "dict of set", "range"],
)
def test_anything_else_is_an_asset_and_its_cell_holds_the_id(
    tracker: Tracker, value: object
) -> None:
    stored = tracker.log({"x": value})
    assert re.fullmatch("[0-9a-f]{16}", stored["x"])
    assert declared(tracker) == "TEXT"
    assert cells(tracker) == [(stored["x"], "text")]
    assert tracker.get(stored["x"]) == value


# -- columns that have a type already -------------------------------------------------------------

FIRST = {
    "BOOLEAN": True,
    "INTEGER": 1,
    "REAL": 0.5,
    "TEXT": "text",
    "BLOB": b"blob",
    "JSON": [1],
}

# type of the column, logged, its type then, cell, whether the cell is exact
SECOND = [
    ("BOOLEAN", False, "BOOLEAN", 0, True),
    ("BOOLEAN", 1, "INTEGER", 1, True),
    ("BOOLEAN", 0.25, "REAL", 0.25, True),
    ("BOOLEAN", INF, "REAL", INF, True),
    ("BOOLEAN", NAN, "BOOLEAN", None, False),
    ("BOOLEAN", HUGE, "BOOLEAN", None, False),
    ("BOOLEAN", BIG, "INTEGER", BIG, True),
    ("BOOLEAN", "1e3", "BOOLEAN", None, False),
    ("BOOLEAN", b"1", "BOOLEAN", None, False),
    ("BOOLEAN", [1], "BOOLEAN", None, False),
    ("INTEGER", 2, "INTEGER", 2, True),
    ("INTEGER", 0.25, "REAL", 0.25, True),
    ("INTEGER", NAN, "INTEGER", None, False),
    ("INTEGER", HUGE, "INTEGER", None, False),
    ("INTEGER", "12", "INTEGER", None, False),
    ("INTEGER", b"12", "INTEGER", None, False),
    ("INTEGER", {"a": 1}, "INTEGER", None, False),
    ("REAL", 0.25, "REAL", 0.25, True),
    ("REAL", NAN, "REAL", None, False),
    ("REAL", BIG, "REAL", 2.0**53, False),
    ("REAL", 10**400, "REAL", None, False),
    ("REAL", "1e3", "REAL", None, False),
    ("REAL", b"1e3", "REAL", None, False),
    ("REAL", [0.5], "REAL", None, False),
    ("TEXT", "1e3", "TEXT", "1e3", True),
    ("TEXT", "a\0b", "TEXT", "a\0b", True),
    ("TEXT", "a\ud800", "TEXT", "a?", False),
    ("TEXT", True, "TEXT", "True", False),
    ("TEXT", 12, "TEXT", "12", False),
    ("TEXT", HUGE, "TEXT", "9223372036854775808", False),
    ("TEXT", 0.5, "TEXT", "0.5", False),
    ("TEXT", NAN, "TEXT", "nan", False),
    ("TEXT", b"blob", "TEXT", None, False),
    ("TEXT", [1, "a"], "TEXT", '[1, "a"]', False),
    ("BLOB", b"\0", "BLOB", b"\0", True),
    ("BLOB", True, "BLOB", None, False),
    ("BLOB", 12, "BLOB", None, False),
    ("BLOB", 0.5, "BLOB", None, False),
    ("BLOB", "text", "BLOB", None, False),
    ("BLOB", [1], "BLOB", None, False),
    ("JSON", {"a": "1e3"}, "JSON", '{"a": "1e3"}', True),
    ("JSON", ["\ud800"], "JSON", '["?"]', False),
    ("JSON", [NAN], "JSON", "[null]", False),
    ("JSON", True, "JSON", None, False),
    ("JSON", 12, "JSON", None, False),
    ("JSON", 0.5, "JSON", None, False),
    ("JSON", "1e3", "JSON", None, False),
    ("JSON", "text", "JSON", None, False),
    ("JSON", b"[1]", "JSON", None, False),
]
SECOND_IDS = [f"{repr(value)[:24]} in {kind}" for kind, value, *_ in SECOND]


@pytest.mark.parametrize(("kind", "value", "then", "cell", "exact"), SECOND, ids=SECOND_IDS)
@pytest.mark.parametrize("way", ["log", "log_batch", "set_where"])
def test_a_value_in_a_column_of_another_type_comes_back_as_itself(  # noqa: PLR0913, PLR0917
    tracker: Tracker, way: str, kind: str, value: object, then: str, cell: object, exact: bool
) -> None:
    first = FIRST[kind]
    if way == "log":
        tracker.log({"x": first})
        tracker.log({"x": value})
    elif way == "log_batch":
        tracker.log_batch([{"x": first}, {"x": value}])
    else:
        tracker.log({"x": first, "number": 1})
        tracker.log({"number": 2})
        assert tracker.set_where("x", value, "number", 2) == 1
    before, after = tracker.column("x")
    assert typed([after]) == typed([value])
    assert before == first
    assert declared(tracker) == then
    assert [seen for seen, _ in cells(tracker)] == [before if kind != "JSON" else "[1]", cell]
    if not exact:
        assert [bool(text) for text in overflow(tracker)] == [False, True]
    elif declared(tracker, "_overflow"):
        assert overflow(tracker) == [None, None]


@pytest.mark.parametrize(
    ("values", "back", "kind"),
    [
        ([True, 5, False], [1, 5, 0], "INTEGER"),
        ([5, True], [5, 1], "INTEGER"),
        ([True, 0.5, False, 3], [1.0, 0.5, 0.0, 3.0], "REAL"),
        ([1, 0.5, 2], [1.0, 0.5, 2.0], "REAL"),
        ([True, 1, 0.5], [1.0, 1.0, 0.5], "REAL"),
        ([2**53, 0.5, -(2**53)], [2.0**53, 0.5, -(2.0**53)], "REAL"),
        ([1, 2**53 + 2, 0.5], [1.0, 2**53 + 2, 0.5], "REAL"),
        ([BIG, 0.5], [BIG, 0.5], "REAL"),
        ([0.5, BIG], [0.5, BIG], "REAL"),
        ([True, 2**63 - 1, -(2**63), 0.5], [1.0, 2**63 - 1, -(2**63), 0.5], "REAL"),
        ([HUGE, BIG, 0.5, 1], [HUGE, BIG, 0.5, 1.0], "REAL"),
        (["text", 1, 0.5, BIG, True], ["text", 1, 0.5, BIG, True], "TEXT"),
        ([1, "text", 0.5, "12"], [1.0, "text", 0.5, "12"], "REAL"),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["log", "log_batch", "batch", "two trackers"])
def test_numbers_widen_and_stay_numerically_equal(
    tracker: Tracker, way: str, values: list[object], back: list[object], kind: str
) -> None:
    rows = [{"x": value} for value in values]
    if way == "log_batch":
        tracker.log_batch(rows)
    elif way == "batch":
        with tracker.batch():
            for row in rows:
                tracker.log(row)
    else:
        other = Tracker(tracker.db) if way == "two trackers" else tracker
        for number, row in enumerate(rows):
            (tracker, other)[number % 2].log(row)
        other.close()
    assert typed([row["x"] for row in tracker.rows(all=True)]) == typed(back)
    assert declared(tracker) == kind
    typeofs = {typeof for _, typeof in cells(tracker)} - {"null"}
    assert typeofs == {{"INTEGER": "integer", "REAL": "real", "TEXT": "text"}[kind]}


def test_sql_sees_the_nearest_number_of_an_integer_that_no_float_is_equal_to(
    tracker: Tracker,
) -> None:
    tracker.log_batch([{"x": BIG}, {"x": 1}, {"x": 0.5}])
    tracker.log({"x": -BIG})
    nearest = [(2.0**53, "real"), (1.0, "real"), (0.5, "real"), (-(2.0**53), "real")]
    assert cells(tracker) == nearest
    assert overflow(tracker) == [{"x": BIG}, None, None, {"x": -BIG}]


def test_a_tracker_that_has_not_seen_a_column_widen_loses_nothing(tracker: Tracker) -> None:
    tracker.log({"x": 1, "y": True})
    tracker.log({"x": 2, "y": False})
    with Tracker(tracker.db) as other:
        other.log({"x": 0.5, "y": 7})
    tracker.log({"x": 2**53, "y": True})
    tracker.log({"x": BIG, "y": False})
    tracker.log({"x": "text", "y": 0.5})
    assert typed(tracker.column("x")) == typed([1.0, 2.0, 2.0**53, BIG, "text"])
    assert typed(tracker.column("y")) == typed([1.0, 0.0, 1.0, 0.0, 0.5])


def test_a_widened_column_keeps_its_place_and_the_others_their_values(tracker: Tracker) -> None:
    tracker.log({"a": "text", "x": 1, "b": [1]})
    tracker.log({"x": 0.5, "c": 1})
    tracker.log({"c": 0.5})
    with Reader(tracker.db) as reader:
        assert reader.columns == {
            "timestamp": "TEXT",
            "track_id": "TEXT",
            "a": "TEXT",
            "x": "REAL",
            "b": "JSON",
            "c": "REAL",
        }
    assert [row["b"] for row in tracker.rows()] == [[1], None, None]
    assert tracker.conn.execute("PRAGMA db.integrity_check").fetchall() == [("ok",)]


def test_sql_tells_diverged_from_missing(tracker: Tracker) -> None:
    tracker.log_batch([{"loss": 0.5}, {"loss": NAN}, {"step": 3}])
    query = "SELECT count(*) FROM db.events WHERE loss < 0.1"
    assert tracker.conn.execute(query).fetchone() == (0,)
    assert cells(tracker, "loss") == [(0.5, "real"), (None, "null"), (None, "null")]
    assert overflow(tracker) == [None, {"loss": {"$f": "nan"}}, None]
    read = tracker.column("loss")
    assert (read[0], math.isnan(read[1]), read[2]) == (0.5, True, None)


def test_the_overflow_is_strict_json_and_made_when_it_is_needed(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    assert declared(tracker, "_overflow") is None
    tracker.log({"x": "text", "y": NAN, "X": b"\0", "z": "\ud800", "n": HUGE, "l": [INF]})
    (text,) = tracker.conn.execute("SELECT max(_overflow) FROM db.events").fetchone()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "x": "text",
        "y": {"$f": "nan"},
        "X": {"$b": "AA=="},
        "z": {"$s": "7aCA"},
        "n": {"$i": "0x8000000000000000"},
        "l": [{"$f": "inf"}],
    }
    assert "_overflow" not in tracker.rows()[1]


def test_a_list_is_kept_as_it_was_when_it_was_logged(tracker: Tracker) -> None:
    losses = [0.5]
    with tracker.batch():
        returned = tracker.log({"losses": losses})
        losses.append(0.25)
        returned["losses"].append(0.125)
    stored = tracker.log({"losses": losses})
    losses.append(0)
    stored["losses"].append(1)
    assert tracker.column("losses") == [[0.5], [0.5, 0.25]]
    assert tracker.latest["losses"] == [0.5, 0.25]


UNSHOWABLE = {
    "lone surrogate": "\ud800",
    "dict with a lone surrogate": {"\ud800": NAN},
    "int beyond text": BEYOND_TEXT,
    "list with an int beyond text": [BEYOND_TEXT],
}


@pytest.mark.parametrize("value", UNSHOWABLE.values(), ids=UNSHOWABLE)
def test_what_utf8_or_python_cannot_write_is_exported_all_the_same(
    tracker: Tracker, tmp_path: Path, value: object
) -> None:
    tracker.log({"x": value})
    assert tracker.to_csv(tmp_path / "rows.csv") == 1
    head, row = (tmp_path / "rows.csv").read_text("utf-8").splitlines()
    assert head == "timestamp,track_id,x"
    assert row.count(",") >= 2


@pytest.mark.parametrize("value", UNSHOWABLE.values(), ids=UNSHOWABLE)
def test_what_utf8_or_python_cannot_write_is_shown_all_the_same(
    tracker: Tracker, value: object
) -> None:
    tracker.log({"x": value})
    assert str(tracker).encode().count(b"\n") == 4


def test_text_that_utf8_cannot_hold_can_be_set_and_looked_for(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    assert tracker.set_value("x", "\ud800") == 1
    assert tracker.set_value("\udfff", "a") == 1
    assert tracker.set_where("y", 2, "x", "\ud800") == 1
    assert tracker.set_where("z", 3, "\udfff", "a") == 1
    (row,) = tracker.rows()
    assert (row["x"], row["\udfff"], row["y"], row["z"]) == ("\ud800", "a", 2, 3)
    assert tracker.get("\ud800", "none") == "none"
