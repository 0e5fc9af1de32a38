"""A key is a column name exactly as written; what no column can be named lives in the overflow."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from xetrack import KeyNameError, Reader, TableNameError, Tracker, UnknownColumnError, copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db) as tracker:
        yield tracker


def keys_of(tracker: Tracker) -> list[str]:
    """The columns that users' keys made."""
    with Reader(tracker.db) as reader:
        return [name for name in reader.columns if name not in ("timestamp", "track_id")]


def values_of(row: dict[str, Any]) -> dict[str, Any]:
    """What a user logged of a row."""
    ours = ("timestamp", "track_id")
    return {key: value for key, value in row.items() if key not in ours and value is not None}


def shown(value: object) -> str:
    """A value as the id of a test."""
    return ascii(value)[:24]


SQL_TEXT = "x\"; DROP TABLE events; --'"

EXACT_KEYS = [
    "train/loss",
    "MAP@k",
    "order",
    "SELECT",
    "group by",
    "naïve",
    "表",
    "🙂",
    "a.b",
    "db.events.x",
    "events",
    'quo"te',
    '""',
    "quo'te",
    "`tick`",
    "[brackets]",
    "?1",
    ":name",
    "@name",
    "%s",
    "\\",
    "$f",
    "$",
    " ",
    " padded ",
    "tab\tline\nend",
    "1",
    "-",
    SQL_TEXT,
    "k" * 300,
    "x" * 5000,
]

UNNAMEABLE_KEYS = [
    "rowid",
    "oid",
    "_rowid_",
    "ROWID",
    "Timestamp",
    "TRACK_ID",
    "_Overflow",
    "a\0b",
    "\0",
    "\ud800",
    "$\udfff",
]


@pytest.mark.parametrize("key", EXACT_KEYS, ids=shown)
def test_a_key_is_a_column_exactly_as_written(tracker: Tracker, key: str) -> None:
    stored = tracker.log({key: 1})
    tracker.log({key: 2, "other": "text"})
    tracker.log_batch([{key: 3}, {key: 0.5}])
    assert keys_of(tracker) == [key, "other"]
    assert values_of(stored) == {key: 1}
    assert tracker.column(key) == [1.0, 2.0, 3.0, 0.5]
    assert [row[key] for row in tracker.rows()] == [1.0, 2.0, 3.0, 0.5]
    assert tracker.set_where("other", "found", key, 3) == 1
    assert tracker.set_value(key, float("inf")) == 4
    assert tracker.column(key) == [math.inf] * 4
    assert tracker.column("other") == [None, "text", "found", None]


@pytest.mark.parametrize("key", UNNAMEABLE_KEYS, ids=shown)
def test_a_key_that_sql_cannot_name_is_kept_in_the_overflow(tracker: Tracker, key: str) -> None:
    stored = tracker.log({key: 1})
    tracker.log({key: [2], "other": "text"})
    tracker.log_batch([{key: b"3"}, {"other": "alone"}])
    assert keys_of(tracker) == ["other"]
    assert values_of(stored) == {key: 1}
    assert tracker.column(key) == [1, [2], b"3", None]
    assert [values_of(row) for row in tracker.rows()] == [
        {key: 1},
        {key: [2], "other": "text"},
        {key: b"3"},
        {"other": "alone"},
    ]


@pytest.mark.parametrize("key", UNNAMEABLE_KEYS, ids=shown)
def test_a_key_that_sql_cannot_name_can_be_set_and_looked_for(tracker: Tracker, key: str) -> None:
    tracker.log_batch([{key: 1}, {key: 2}, {"other": 0}])
    assert tracker.set_where("found", "yes", key, 2) == 1
    assert tracker.set_where(key, 5, "other", 0) == 1
    assert tracker.column(key) == [1, 2, 5]
    assert tracker.column("found") == [None, "yes", None]
    assert tracker.set_value(key, None) == 3
    with pytest.raises(UnknownColumnError):
        tracker.column(key)


def test_the_time_and_the_name_of_a_run_are_not_taken_by_keys_that_look_like_them(
    tracker: Tracker,
) -> None:
    stored = tracker.log({"Timestamp": "noon", "TRACK_ID": 7, "rowid": -1})
    (row,) = tracker.rows()
    assert row == stored
    assert row["track_id"] == tracker.track_id
    assert (row["Timestamp"], row["TRACK_ID"], row["rowid"]) == ("noon", 7, -1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", row["timestamp"])


def test_many_odd_keys_stand_in_one_row(tracker: Tracker) -> None:
    row = {key: number for number, key in enumerate(EXACT_KEYS + UNNAMEABLE_KEYS)}
    tracker.log(row)
    tracker.log(row)
    tracker.log_batch([row, row])
    assert [values_of(read) for read in tracker.rows()] == [row] * 4
    assert keys_of(tracker) == EXACT_KEYS


# -- case -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["Loss", "loss", "LOSS"])
def test_of_keys_that_differ_in_ascii_case_the_first_has_the_column(
    tracker: Tracker, first: str
) -> None:
    row = {first: 0, "Loss": 1, "loss": "two", "LOSS": float("inf")}
    tracker.log(row)
    tracker.log_batch([row, {"loss": 5}])
    assert keys_of(tracker) == [first]
    assert [values_of(read) for read in tracker.rows()] == [row, row, {"loss": 5}]
    assert tracker.column("loss") == ["two", "two", 5]
    assert tracker.column("LOSS") == [math.inf, math.inf, None]


def test_keys_that_differ_in_case_are_edited_apart(tracker: Tracker) -> None:
    tracker.log_batch([{"Loss": 1, "loss": 2}, {"Loss": 2, "loss": 1}])
    assert tracker.set_where("found", "yes", "loss", 2) == 1
    assert tracker.set_value("loss", 7) == 2
    assert tracker.column("Loss") == [1, 2]
    assert tracker.column("loss") == [7, 7]
    assert tracker.column("found") == ["yes", None]


@pytest.mark.parametrize("pair", ["Éé", "Шш", "\u0130i", "\u212ak", "\u017fs"], ids=shown)
def test_letters_that_sqlite_does_not_fold_make_columns_of_their_own(
    tracker: Tracker, pair: str
) -> None:
    row = {pair[0]: 1, pair[1]: "two"}
    tracker.log(row)
    assert keys_of(tracker) == list(pair)
    assert [values_of(read) for read in tracker.rows()] == [row]


# -- numbers as keys ------------------------------------------------------------------------------


class Number:
    """The stand-in for a NumPy number."""

    ndim = 0

    def item(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("key", "name"),
    [(1, "1"), (-2, "-2"), (0.5, "0.5"), (True, "True"), (Number(), "7"), (2**70, str(2**70))],
    ids=["int", "negative int", "float", "bool", "numpy int", "huge int"],
)
def test_a_number_as_a_key_becomes_its_text(tracker: Tracker, key: Any, name: str) -> None:
    assert values_of(tracker.log({key: "a"})) == {name: "a"}
    assert values_of(tracker.log({key: "b"})) == {name: "b"}
    tracker.log_batch([{key: "c"}, {name: "d"}])
    with tracker.batch():
        tracker.log({key: "e"})
    assert tracker.column(name) == ["a", "b", "c", "d", "e"]
    assert tracker.set_value(key, "f") == 5
    assert tracker.column(name) == ["f"] * 5


def test_a_number_as_a_key_names_a_param_and_wins_over_one(db: str) -> None:
    with Tracker(db, params={1: "param"}) as tracker:  # type: ignore[dict-item]
        assert tracker.params == {"1": "param"}
        assert values_of(tracker.log({})) == {"1": "param"}
        assert values_of(tracker.log({"1": "text"})) == {"1": "text"}
        assert values_of(tracker.log({1: "number"})) == {"1": "number"}  # type: ignore[dict-item]


def test_two_keys_that_mean_one_name_are_refused(tracker: Tracker) -> None:
    with pytest.raises(KeyNameError, match="1") as caught:
        tracker.log({1: "a", "1": "b", "new": 0})  # type: ignore[dict-item]
    assert caught.value.key == "1"
    assert values_of(tracker.log({"x": 1})) == {"x": 1}
    assert keys_of(tracker) == ["x"]
    assert len(tracker) == 1


# -- keys that are refused ------------------------------------------------------------------------

REFUSED: list[Any] = [
    "",
    None,
    b"bytes",
    ("a", "b"),
    frozenset(),
    "timestamp",
    "track_id",
    "_overflow",
]


def log_one(tracker: Tracker, key: Any) -> None:
    tracker.log({"new": 1, key: 2})


def log_one_with_known_keys(tracker: Tracker, key: Any) -> None:
    tracker.log({"first": 5, key: 2})


def log_one_after_others(tracker: Tracker, key: Any) -> None:
    tracker.log_batch([{"new": 1}, {"first": 2}, {key: 2, "first": 2}])


def log_in_a_batch(tracker: Tracker, key: Any) -> None:
    with tracker.batch():
        tracker.log({"new": 1})
        tracker.log({key: 2})


def set_a_param(tracker: Tracker, key: Any) -> None:
    tracker.set_param(key, 1)


def set_params(tracker: Tracker, key: Any) -> None:
    tracker.set_params({"new": 1, key: 2})


def set_a_value(tracker: Tracker, key: Any) -> None:
    tracker.set_value(key, 1)


def set_a_value_where(tracker: Tracker, key: Any) -> None:
    tracker.set_where(key, 1, "first", 0)


CALLS = [
    log_one,
    log_one_with_known_keys,
    log_one_after_others,
    log_in_a_batch,
    set_a_param,
    set_params,
    set_a_value,
    set_a_value_where,
]


@pytest.mark.parametrize("key", REFUSED, ids=repr)
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_key_is_shown_and_nothing_of_the_call_is_stored(
    tracker: Tracker, call: Any, key: object
) -> None:
    first = tracker.log({"first": 0})
    with pytest.raises(KeyNameError) as caught:
        call(tracker, key)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"key {key!r} ")
    assert isinstance(caught.value, ValueError)
    assert keys_of(tracker) == ["first"]
    second = tracker.log({"first": 1})
    assert values_of(second) == {"first": 1}
    assert tracker.rows() == [first, second]
    assert tracker.params == {}


@pytest.mark.parametrize("key", REFUSED, ids=repr)
def test_a_refused_key_may_be_in_the_first_row_of_a_file(tracker: Tracker, key: Any) -> None:
    with pytest.raises(KeyNameError):
        tracker.log({"new": 1, key: 2})
    assert (tracker.rows(), keys_of(tracker)) == ([], [])
    stored = tracker.log({"x": 1})
    assert tracker.rows() == [stored]
    assert keys_of(tracker) == ["x"]


@pytest.mark.parametrize("key", REFUSED, ids=repr)
def test_a_tracker_is_not_made_with_params_of_a_refused_key(db: str, key: Any) -> None:
    with pytest.raises(KeyNameError) as caught:
        Tracker(db, params={"a": 1, key: 2})
    assert caught.value.key == key


def test_a_refused_key_in_a_batch_that_goes_on_costs_only_its_row(tracker: Tracker) -> None:
    with tracker.batch():
        tracker.log({"x": 1})
        with pytest.raises(KeyNameError):
            tracker.log({"": 2})
        tracker.log({"x": 3})
    assert tracker.column("x") == [1, 3]
    assert keys_of(tracker) == ["x"]


# -- more keys than SQLite has columns ------------------------------------------------------------


def test_a_row_of_more_keys_than_sqlite_has_columns_comes_back(
    tracker: Tracker, tmp_path: Path
) -> None:
    row = {f"key {number}": number for number in range(2100)}
    tracker.log(row)
    tracker.log(row)
    tracker.log_batch([row, {**row, "key 2099": float("inf")}])
    expected = [row, row, row, {**row, "key 2099": float("inf")}]
    assert [values_of(read) for read in tracker.rows()] == expected
    assert tracker.column("key 2099") == [2099, 2099, 2099, math.inf]
    assert tracker.conn.execute("PRAGMA db.integrity_check").fetchall() == [("ok",)]
    target = tmp_path / "copy.db"
    assert copy(tracker.db, target) == 4
    assert copy(tracker.db, target) == 0
    assert Reader(target).rows() == tracker.rows()


def test_a_table_grows_beyond_what_sqlite_has_columns_for(tracker: Tracker) -> None:
    expected: list[dict[str, Any]] = [{f"first {number}": number for number in range(1980)}]
    expected += [{f"{row} {number}": number for number in range(30)} for row in range(5)]
    for row in expected:
        tracker.log(row)
    assert [values_of(read) for read in tracker.rows()] == expected
    # The table is full, and these still need what it has no exact place for.
    more: list[dict[str, Any]] = [
        {"first 0": "text", "first 1": 0.5},
        {"after all": b"bytes", "4 29": [1]},
    ]
    tracker.log_batch(more)
    expected[0]["first 1"] = 1.0
    assert [values_of(read) for read in tracker.rows()] == [*expected, *more]


def test_a_key_that_has_no_column_left_can_be_set_and_looked_for(tracker: Tracker) -> None:
    tracker.log({f"key {number}": number for number in range(2000)})
    tracker.log({"late": 1})
    tracker.log({"late": 2})
    assert tracker.set_where("found", "yes", "late", 2) == 1
    assert tracker.set_value("late", 3) == 3
    assert tracker.column("late") == [3, 3, 3]
    assert tracker.column("found") == [None, None, "yes"]
    with Reader(tracker.db) as reader:
        assert not {"late", "found"} & reader.columns.keys()


# -- names of tables ------------------------------------------------------------------------------

RESERVED_TABLES = [
    "runs",
    "assets",
    "asset_chunks",
    "asset_refs",
    "big_integers",
    "RUNS",
    "Assets",
    "sqlite_master",
    "sqlite_sequence",
    "SQLite_mine",
    "",
    None,
    5,
    b"events",
    "a\0b",
    "\ud800",
]

ODD_TABLES = [
    "my table",
    'quo"te',
    "quo'te",
    "x'; DROP TABLE runs; --",
    'x"; DROP TABLE runs; --',
    "select",
    "main",
    "db",
    "temp",
    "events.v2",
    "表",
    "[brackets]",
    "%s",
    "1",
    "rowid",
    "timestamp",
    "t" * 300,
]


@pytest.mark.parametrize("table", RESERVED_TABLES, ids=shown)
def test_a_reserved_table_name_is_refused_and_makes_no_file(
    db: str, tmp_path: Path, table: Any
) -> None:
    with pytest.raises(TableNameError) as caught:
        Tracker(db, table=table)
    assert caught.value.table == table
    assert str(caught.value).startswith(f"table {table!r} ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("table", ODD_TABLES, ids=shown)
def test_an_odd_table_name_is_a_table_like_any_other(db: str, tmp_path: Path, table: str) -> None:
    with Tracker(db, table=table) as tracker, Tracker(db) as other:
        other.log({"y": 1})
        tracker.log({"x": 1})
        tracker.log({"x": 0.5, "y": "text"})
        tracker.log_batch([{"x": "text"}, {"z": 2}])
        assert tracker.set_where("z", 3, "x", 1) == 1
        assert [values_of(row) for row in tracker.rows()] == [
            {"x": 1.0, "z": 3},
            {"x": 0.5, "y": "text"},
            {"x": "text"},
            {"z": 2},
        ]
        quoted = table.replace('"', '""')
        assert tracker.conn.execute(f'SELECT count(*) FROM db."{quoted}"').fetchone() == (4,)
    copy(db, tmp_path / "copy.db")
    reader = Reader(tmp_path / "copy.db", table=table)
    assert reader.tables() == Reader(db).tables() == ["events", table]
    assert reader.rows() == Reader(db, table=table).rows()
    assert reader.delete_run(tracker.track_id) == 4
    assert len(Reader(tmp_path / "copy.db")) == 1


def test_table_names_that_differ_in_ascii_case_are_one_table(db: str) -> None:
    with Tracker(db, table="events") as first:
        first.log({"x": 1})
    with Tracker(db, table="EVENTS") as second:
        second.log({"x": 2})
        second.log({"x": 0.5})
    for table in ("events", "EVENTS"):
        reader = Reader(db, table=table)
        assert reader.column("x") == [1.0, 2.0, 0.5]
        assert reader.track_ids() == [first.track_id, second.track_id]
        assert [row["x"] for row in reader.latest_rows()] == [2.0, 0.5]


# -- names of runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "track_id",
    [SQL_TEXT, "' OR '1'='1", "%", "a b", "naïve 表", "run/1", "1", "x" * 300, "--reset"],
    ids=shown,
)
def test_a_run_may_have_any_name_of_one_line(db: str, track_id: str) -> None:
    with Tracker(db) as other:
        other.log({"x": "other"})
    with Tracker(db, track_id=track_id) as tracker:
        stored = tracker.log({"x": 1})
        tracker.log({"x": 2})
        assert tracker.set_value("y", 3) == 2
        assert [row["track_id"] for row in tracker.rows()] == [track_id] * 2
        assert tracker.rows()[0] == {**stored, "y": 3}
        assert (len(tracker), len(tracker.rows(all=True))) == (2, 3)
    reader = Reader(db)
    assert reader.track_ids() == [other.track_id, track_id]
    assert reader.delete_run(track_id) == 2
    assert reader.column("x") == ["other"]


@pytest.mark.parametrize(
    "track_id", ["", "two\nlines", "a\0b", "\ud800", 5, b"run", ["run"]], ids=shown
)
def test_what_cannot_name_a_run_is_refused(db: str, track_id: Any) -> None:
    with pytest.raises(KeyNameError) as caught:
        Tracker(db, track_id=track_id)
    assert caught.value.key == track_id


def test_a_name_that_sqlite_would_take_for_a_string_is_no_column(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    with pytest.raises(UnknownColumnError, match="nokey") as caught:
        tracker.set_where("x", 2, "nokey", "nokey")
    assert caught.value.known == ("timestamp", "track_id", "x")
    with pytest.raises(UnknownColumnError, match="nokey"):
        tracker.column("nokey")
    assert tracker.column("x") == [1]
