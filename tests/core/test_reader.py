"""A reader shows and edits every run of a file, whoever writes it meanwhile; JSON lines follow."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import (
    ForeignFileError,
    KeyNameError,
    LaterFormatError,
    MissingFileError,
    NotADatabaseError,
    Reader,
    StorageError,
    StorageWarning,
    TableNameError,
    Tracker,
    UnknownColumnError,
    UnknownRunError,
    UnknownTableError,
)

if TYPE_CHECKING:
    import subprocess

RUNS = ("zebra", "apple", "mango")


@pytest.fixture
def filled(db: str) -> str:
    """Three runs of three epochs, started one after the other, and written in turns."""
    trackers = [Tracker(db, track_id=name) for name in RUNS]
    for epoch in range(3):
        for tracker in trackers[:: 1 if epoch == 0 else -1]:
            tracker.log({"epoch": epoch, "model": f"{tracker.track_id} net"})
    for tracker in trackers:
        tracker.close()
    return db


def written(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["track_id"], row["epoch"]) for row in rows]


ARRIVAL = [
    ("zebra", 0),
    ("apple", 0),
    ("mango", 0),
    ("mango", 1),
    ("apple", 1),
    ("zebra", 1),
    ("mango", 2),
    ("apple", 2),
    ("zebra", 2),
]


# -- rows ----------------------------------------------------------------------------------------


def test_rows_come_in_the_order_of_arrival(filled: str) -> None:
    assert written(Reader(filled).rows()) == ARRIVAL
    assert len(Reader(filled)) == 9


@pytest.mark.parametrize("run", RUNS)
def test_rows_of_one_run_come_alone(filled: str, run: str) -> None:
    assert written(Reader(filled).rows(run)) == [(run, 0), (run, 1), (run, 2)]
    assert written(Reader(filled).rows(track_id=run)) == [(run, 0), (run, 1), (run, 2)]


@pytest.mark.parametrize("number", [0, 1, 4, 9, 100])
def test_the_head_and_the_tail_are_ends_of_the_same_order(filled: str, number: int) -> None:
    reader = Reader(filled)
    assert written(reader.rows(head=number)) == ARRIVAL[:number]
    assert written(reader.rows(tail=number)) == ARRIVAL[max(0, 9 - number) :]


def test_the_head_and_the_tail_of_one_run_are_its_own(filled: str) -> None:
    reader = Reader(filled)
    assert written(reader.rows("apple", head=2)) == [("apple", 0), ("apple", 1)]
    assert written(reader.rows("apple", tail=2)) == [("apple", 1), ("apple", 2)]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"head": 1, "tail": 1}, "give head= or tail=, not both"),
        ({"head": -1}, "head=-1 is negative; give a number of rows"),
        ({"tail": -1}, "tail=-1 is negative; give a number of rows"),
    ],
    ids=["both", "negative head", "negative tail"],
)
def test_a_slice_that_makes_no_sense_is_an_error(
    filled: str, asked: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Reader(filled).rows(**asked)  # type: ignore[arg-type]


def test_every_row_has_every_column(db: str) -> None:
    with Tracker(db) as tracker:
        first = tracker.log({"a": 1})
        second = tracker.log({"b": "x", "rowid": 5})
    assert Reader(db).rows() == [{**first, "b": None}, {**second, "a": None}]
    assert [list(row) for row in Reader(db).rows()] == [
        ["timestamp", "track_id", "a", "b"],
        ["timestamp", "track_id", "a", "b", "rowid"],
    ]


def test_the_latest_rows_are_those_of_the_run_that_started_last(filled: str) -> None:
    assert written(Reader(filled).latest_rows()) == [("mango", 0), ("mango", 1), ("mango", 2)]


def test_a_run_starts_with_its_first_row_and_not_with_its_tracker(db: str) -> None:
    early, late = Tracker(db, track_id="early"), Tracker(db, track_id="late")
    late.log({"epoch": 0})
    assert Reader(db).track_ids() == ["late"]
    early.log({"epoch": 0})
    assert Reader(db).track_ids() == ["late", "early"]
    assert written(Reader(db).latest_rows()) == [("early", 0)]
    early.close()
    late.close()


def test_runs_come_in_the_order_in_which_they_started(filled: str) -> None:
    assert Reader(filled).track_ids() == list(RUNS)
    with Tracker(filled, track_id="zebra") as tracker:
        tracker.log({"epoch": 3})
    assert Reader(filled).track_ids() == list(RUNS)
    assert {row["track_id"] for row in Reader(filled).latest_rows()} == {"mango"}


@pytest.mark.parametrize("ask", ["rows", "column", "set_value", "set_where", "delete_run"])
def test_a_run_that_is_not_there_is_an_error_that_lists_those_that_are(
    filled: str, ask: str
) -> None:
    calls: dict[str, Callable[[Reader], object]] = {
        "rows": lambda reader: reader.rows("tiger"),
        "column": lambda reader: reader.column("epoch", "tiger"),
        "set_value": lambda reader: reader.set_value("epoch", 5, "tiger"),
        "set_where": lambda reader: reader.set_where("epoch", 5, "epoch", 0, "tiger"),
        "delete_run": lambda reader: reader.delete_run("tiger"),
    }
    with pytest.raises(UnknownRunError) as caught:
        calls[ask](Reader(filled))
    assert caught.value.args == ("tiger", filled, ("mango", "apple", "zebra"))
    assert written(Reader(filled).rows()) == ARRIVAL


# -- columns and tables --------------------------------------------------------------------------


def test_a_column_is_a_list_of_its_values(filled: str) -> None:
    assert Reader(filled).column("epoch") == [epoch for _, epoch in ARRIVAL]
    assert Reader(filled).column("epoch", track_id="apple") == [0, 1, 2]
    assert Reader(filled).column("track_id") == [run for run, _ in ARRIVAL]


def test_a_column_has_none_where_a_row_has_no_value(db: str) -> None:
    with Tracker(db) as tracker:
        tracker.log({"loss": 0.5})
        tracker.log({"epoch": 1})
        tracker.log({"loss": math.inf, "rowid": "x"})
        tracker.log({"loss": "diverged"})
    assert Reader(db).column("loss") == [0.5, None, math.inf, "diverged"]
    assert Reader(db).column("rowid") == [None, None, "x", None]


@pytest.mark.parametrize("name", ["nothing", "Epoch", "_overflow", "", "rowid"])
def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(
    filled: str, name: str
) -> None:
    with pytest.raises(UnknownColumnError) as caught:
        Reader(filled).column(name)
    assert caught.value.args == (name, filled, ("timestamp", "track_id", "epoch", "model"))


def test_columns_have_the_types_that_they_declare(db: str) -> None:
    with Tracker(db) as tracker:
        tracker.log({"i": 1, "f": 0.5, "b": True, "t": "x", "x": b"x", "j": [1], "n": None})
        tracker.log({"i": 0.5, "b": 2, "f": 7, "nan": math.nan, "n": "decided now"})
    assert Reader(db).columns == {
        "timestamp": "TEXT",
        "track_id": "TEXT",
        "i": "REAL",
        "f": "REAL",
        "b": "INTEGER",
        "t": "TEXT",
        "x": "BLOB",
        "j": "JSON",
        "nan": "REAL",
        "n": "TEXT",
    }


def test_tables_come_in_the_order_in_which_they_were_made(filled: str) -> None:
    for table in ("validation", "a table", "Ärger"):
        with Tracker(filled, table=table, track_id="mango") as tracker:
            tracker.log({"epoch": 7})
    assert Reader(filled).tables() == ["events", "validation", "a table", "Ärger"]
    assert written(Reader(filled, "a table").rows()) == [("mango", 7)]
    assert written(Reader(filled, table="Ärger").latest_rows()) == [("mango", 7)]
    assert len(Reader(filled, "validation")) == 1
    assert len(Reader(filled)) == 9


@pytest.mark.parametrize("table", ["nothing", "Events ", 'ev"ents'])
def test_a_table_that_is_not_there_is_an_error_that_lists_those_that_are(
    filled: str, table: str
) -> None:
    with pytest.raises(UnknownTableError) as caught:
        Reader(filled, table)
    assert caught.value.args == (table, filled, ("events",))


@pytest.mark.parametrize("table", ["", "runs", "assets", "sqlite_x", "a\0b", None])
def test_what_is_no_table_name_is_refused(filled: str, table: Any) -> None:
    with pytest.raises(TableNameError) as caught:
        Reader(filled, table)
    assert caught.value.table == table


def test_a_file_in_which_nothing_was_logged_has_nothing(db: str) -> None:
    Tracker(db).close()
    reader = Reader(db)
    assert (reader.rows(), reader.latest_rows(), reader.track_ids()) == ([], [], [])
    assert (reader.tables(), reader.columns, len(reader)) == ([], {}, 0)
    assert bool(reader)
    assert reader.set_value("epoch", 1) == 0


@pytest.mark.parametrize("track_id", [None, "named"])
def test_a_tracker_that_has_logged_nothing_has_nothing(db: str, track_id: str | None) -> None:
    with Tracker(db, track_id=track_id) as tracker:
        assert (tracker.rows(), tracker.latest, len(tracker)) == ([], {}, 0)
        assert tracker.get("model") is None
        assert Reader(db).rows() == []


# -- files ---------------------------------------------------------------------------------------


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "missing.db"
    with pytest.raises(MissingFileError) as caught:
        Reader(path)
    assert caught.value.path == str(path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database " * 100)
    with pytest.raises(NotADatabaseError) as caught:
        Reader(path)
    assert caught.value.path == str(path)
    assert path.read_text() == "not a database " * 100


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE events (timestamp TEXT, track_id TEXT)")
    with pytest.raises(ForeignFileError):
        Reader(path)


def test_a_file_of_a_later_format_is_refused(filled: str) -> None:
    with closing(sqlite3.connect(filled)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(LaterFormatError):
        Reader(filled)


@pytest.mark.parametrize("name", ["a b%20?x#y.db", "naïve.db", "it's.db", "%s.db"])
def test_a_path_may_have_any_character(tmp_path: Path, name: str) -> None:
    with Tracker(tmp_path / name) as tracker:
        row = tracker.log({"epoch": 1})
    assert Reader(tmp_path / name).rows() == [row]
    assert name in {path.name for path in tmp_path.iterdir()}


def test_a_file_can_be_read_and_written_through_a_symlink(filled: str, tmp_path: Path) -> None:
    link = tmp_path / "folder" / "link.db"
    link.parent.mkdir()
    link.symlink_to(filled)
    with Tracker(link, track_id="zebra") as tracker:
        row = tracker.log({"epoch": 3})
        tracker.log({"epoch": 4, "new": "x"})
    assert Reader(link).set_value("new", "y") == 11
    assert Reader(filled).rows() == Reader(link).rows()
    assert Reader(filled).rows(tail=2)[0] == {**row, "model": None, "new": "y"}


def test_a_reader_is_used_on_after_it_was_closed(filled: str) -> None:
    with Reader(filled) as reader:
        assert len(reader) == 9
    assert len(reader) == 9
    assert reader.db == filled


def test_the_connection_shows_the_file_as_db_and_cannot_write(filled: str) -> None:
    reader = Reader(filled)
    count = "SELECT count(*) FROM db.events"
    assert reader.conn.execute(count).fetchone() == (9,)
    with Tracker(filled, track_id="zebra") as tracker:
        tracker.log({"epoch": 3})
    assert reader.conn.execute(count).fetchone() == (10,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.conn.execute("DELETE FROM db.events")
    reader.close()


WRITER = """
import sys
with xetrack.Tracker(sys.argv[1], track_id="writer") as tracker:
    for step in range(300):
        tracker.log({"step": step, f"key{step // 30}": step})
        if step % 50 == 0:
            print(step, flush=True)
            sys.stdin.readline()
"""


def test_a_reader_works_while_another_process_writes(
    start_python: Callable[..., subprocess.Popen[str]], db: str
) -> None:
    writer = start_python(WRITER, db)
    assert writer.stdin is not None
    assert writer.stdout is not None
    seen = []
    for step in range(0, 300, 50):
        assert writer.stdout.readline() == f"{step}\n"
        reader = Reader(db)
        seen.append(len(reader))
        assert reader.column("step") == list(range(step + 1))
        assert reader.set_value("seen", step) == step + 1
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert writer.wait(timeout=60) == 0
    assert seen == [1, 51, 101, 151, 201, 251]
    assert Reader(db).column("step") == list(range(300))


def test_a_reader_sees_whole_rows_while_threads_write(db: str) -> None:
    errors: list[Exception] = []

    def write(number: int) -> None:
        try:
            with Tracker(db, track_id=f"writer-{number}") as tracker:
                for step in range(100):
                    tracker.log({"a": step, "b": -step, f"key{step}": number})
        except Exception as error:  # noqa: BLE001  # told in the main thread
            errors.append(error)

    Tracker(db).close()
    threads = [threading.Thread(target=write, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        rows = Reader(db).rows(tail=20)
        assert [row["a"] + row["b"] for row in rows] == [0] * len(rows)
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(Reader(db)) == 200


# -- edits ---------------------------------------------------------------------------------------


def test_a_value_is_set_in_every_run_or_in_one(filled: str) -> None:
    reader = Reader(filled)
    assert reader.set_value("dataset", "cifar10") == 9
    assert reader.column("dataset") == ["cifar10"] * 9
    assert reader.set_value("dataset", "mnist", track_id="apple") == 3
    assert reader.column("dataset", "apple") == ["mnist"] * 3
    assert reader.column("dataset", "zebra") == ["cifar10"] * 3


def test_a_value_is_set_where_another_key_has_a_value(filled: str) -> None:
    reader = Reader(filled)
    assert reader.set_where("best", True, "epoch", 2) == 3
    assert reader.set_where("best", False, "epoch", 2, track_id="apple") == 1
    assert [row["track_id"] for row in reader.rows() if row["best"]] == ["mango", "zebra"]
    assert reader.column("best", "apple") == [None, None, False]
    assert reader.set_where("best", True, "epoch", 77) == 0


@pytest.mark.parametrize("value", [math.nan, 2**70, [math.nan], b"\x00", 0.5, None, "x"], ids=str)
def test_a_value_of_any_kind_is_found_again(db: str, value: object) -> None:
    with Tracker(db) as tracker:
        tracker.log({"x": 1, "y": 0})
        tracker.log({"x": value, "y": 0})
        assert Reader(db).set_where("y", 5, "x", value) == 1
        assert tracker.column("y") == [0, 5]


def test_a_value_set_takes_the_place_of_what_was_in_the_overflow(db: str) -> None:
    with Tracker(db) as tracker:
        tracker.log({"loss": 0.5, "rowid": 1})
        tracker.log({"loss": math.nan, "rowid": 2})
    reader = Reader(db)
    reader.set_value("loss", 0.25)
    assert reader.column("loss") == [0.25, 0.25]
    assert reader.column("rowid") == [1, 2]
    reader.set_value("rowid", None)
    with pytest.raises(UnknownColumnError):
        reader.column("rowid")


def test_a_value_that_does_not_fit_its_column_is_set_exactly(filled: str) -> None:
    reader = Reader(filled)
    for value in ("many", 2**70, [1, 2], b"\x00", 0.5):
        assert reader.set_value("epoch", value, "apple") == 3
        assert reader.column("epoch", "apple") == [value] * 3
        assert reader.column("epoch", "zebra") == [0, 1, 2]
    assert reader.columns["epoch"] == "REAL"


@pytest.mark.parametrize("key", ["", "timestamp", "track_id", "_overflow", None])
def test_a_key_that_cannot_be_set_is_refused(filled: str, key: Any) -> None:
    before = Reader(filled).rows()
    with pytest.raises(KeyNameError) as caught:
        Reader(filled).set_value(key, 5)
    assert caught.value.key == key
    assert Reader(filled).rows() == before


def test_to_set_where_a_key_that_is_not_there_has_a_value_is_an_error(filled: str) -> None:
    before = Reader(filled).rows()
    for key in ("nokey", "nokey' OR 1=1 --", "Epoch"):
        with pytest.raises(UnknownColumnError):
            Reader(filled).set_where("epoch", 99, key, key)
    assert Reader(filled).rows() == before


def test_an_edit_is_of_one_table(filled: str) -> None:
    with Tracker(filled, table="other", track_id="apple") as tracker:
        tracker.log({"epoch": 7})
    assert Reader(filled, "other").set_value("epoch", 8) == 1
    assert Reader(filled).column("epoch") == [epoch for _, epoch in ARRIVAL]


def test_a_deleted_run_is_gone_and_counted(filled: str) -> None:
    reader = Reader(filled)
    assert reader.delete_run("apple") == 3
    assert written(reader.rows()) == [pair for pair in ARRIVAL if pair[0] != "apple"]
    assert reader.track_ids() == ["zebra", "mango"]
    with pytest.raises(UnknownRunError):
        reader.delete_run("apple")


def test_the_name_of_a_deleted_run_is_free_again(filled: str) -> None:
    Reader(filled).delete_run("zebra")
    with Tracker(filled, track_id="zebra") as tracker:
        assert tracker.rows() == []
        tracker.log({"epoch": 0})
    assert Reader(filled).track_ids() == ["apple", "mango", "zebra"]
    assert written(Reader(filled).latest_rows()) == [("zebra", 0)]


def test_the_same_run_of_another_table_stays(filled: str) -> None:
    with Tracker(filled, table="other", track_id="apple") as tracker:
        tracker.log({"epoch": 7})
    Reader(filled).delete_run("apple")
    assert written(Reader(filled, "other").rows()) == [("apple", 7)]
    assert Reader(filled, "other").track_ids() == ["apple"]


def test_the_file_shrinks_when_a_run_goes(filled: str) -> None:
    Reader(filled).set_value("epoch", 0)
    before = os.path.getsize(filled)
    with Tracker(filled, track_id="large") as tracker:
        tracker.log_batch([{"text": "x" * 1000}] * 1000)
    assert os.path.getsize(filled) > 1_000_000
    assert Reader(filled).delete_run("large") == 1000
    assert os.path.getsize(filled) < before + 100_000
    assert os.path.getsize(filled) > 0
    assert len(Reader(filled)) == 9


def test_a_tracker_goes_on_after_its_run_was_deleted(db: str) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"epoch": 0})
        Reader(db).delete_run("run")
        assert tracker.rows() == []
        row = tracker.log({"epoch": 1})
        tracker.log_batch([{"epoch": 2}])
        assert tracker.column("epoch") == [1, 2]
    assert Reader(db).track_ids() == ["run"]
    assert Reader(db).rows(head=1) == [row]


# -- JSON lines ----------------------------------------------------------------------------------

EXACT: dict[str, Any] = {
    "bool": True,
    "int": 5,
    "huge": 2**70,
    "negative": -(2**64),
    "float": 0.1,
    "infinity": math.inf,
    "text": "naïve \u2028 \ud800",
    "bytes": b"\x00\xff",
    "list": [1, [math.inf, {"a": None}]],
    "dict": {"$f": "nan", "$b": 1, "b": "\ud801"},
    "$f": "a key of ours",
    "none": None,
}


def test_json_lines_have_exactly_what_was_logged(db: str) -> None:
    with Tracker(db, jsonl="rows.jsonl", params={"model": "m"}) as tracker:
        row = tracker.log(EXACT)
        tracker.log_batch([{"nan": math.nan}, {"epoch": 2}])
        with tracker.batch():
            last = tracker.log({"epoch": 3})
    first, nan, _, third = Reader.read_jsonl("rows.jsonl")
    assert first == row == {**row, **EXACT, "model": "m"}
    assert {key: type(value) for key, value in first.items()} == {
        key: type(value) for key, value in row.items()
    }
    assert math.isnan(nan["nan"])
    assert third == last
    assert len(Reader.read_jsonl(Path("rows.jsonl"))) == 4


def test_json_lines_are_strict_json_one_row_a_line(db: str) -> None:
    with Tracker(db, jsonl="rows.jsonl", track_id="run") as tracker:
        row = tracker.log({"loss": math.nan, "text": "a\nb\u2028", "x": b"\x00"})
    (line,) = Path("rows.jsonl").read_text(encoding="utf-8").split("\n")[:-1]

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert json.loads(line, parse_constant=refuse) == {
        "loss": {"$f": "nan"},
        "text": "a\nb\u2028",
        "x": {"$b": "AA=="},
        "timestamp": row["timestamp"],
        "track_id": "run",
    }


def test_a_row_that_was_refused_is_in_no_line(db: str) -> None:
    with Tracker(db, jsonl="rows.jsonl") as tracker:
        with pytest.raises(KeyNameError):
            tracker.log({"": 1})
        with pytest.raises(KeyNameError):
            tracker.log_batch([{"epoch": 1}, {"timestamp": 1}])
        tracker.log({"epoch": 2})
    assert [row["epoch"] for row in Reader.read_jsonl("rows.jsonl")] == [2]


def test_json_lines_of_several_trackers_follow_each_other(db: str, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "rows.jsonl"
    for number in range(2):
        with Tracker(db, jsonl=path) as tracker:
            tracker.log({"number": number})
    assert [row["number"] for row in Reader.read_jsonl(path)] == [0, 1]


def test_a_tracker_that_keeps_nothing_still_writes_json_lines(tmp_path: Path) -> None:
    with Tracker(Tracker.SKIP_INSERT, jsonl="rows.jsonl") as tracker:
        rows = [tracker.log({"epoch": epoch}) for epoch in range(2)]
        tracker.log_batch([{"epoch": 2}])
        assert tracker.rows() == []
    assert Reader.read_jsonl("rows.jsonl")[:2] == rows
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_line_that_was_cut_is_passed_over_and_the_next_is_whole(db: str) -> None:
    path = Path("rows.jsonl")
    path.write_text('{"epoch": 0}\n{"epoch": 1, "mod', encoding="utf-8")
    assert Reader.read_jsonl(path) == [{"epoch": 0}]
    with Tracker(db, jsonl=path) as tracker:
        tracker.log({"epoch": 2})
    assert [row["epoch"] for row in Reader.read_jsonl(path)] == [0, 2]


def test_a_last_line_without_its_end_does_not_count(db: str) -> None:
    path = Path("rows.jsonl")
    with Tracker(db, jsonl=path) as tracker:
        tracker.log({"epoch": 0})
        tracker.log({"epoch": 1})
    path.write_bytes(path.read_bytes()[:-1])
    assert [row["epoch"] for row in Reader.read_jsonl(path)] == [0]


def test_lines_that_are_no_rows_are_passed_over() -> None:
    Path("rows.jsonl").write_bytes(
        b'{"epoch": 0}\n'
        b"\n"
        b"a log line of something else\n"
        b"[1, 2]\n"
        b"5\n"
        b"null\n"
        b'{"epoch": {"$i": "no number"}}\n'
        b'{"epoch": {"$b": 5}}\n'
        b'{"epoch": \xff}\n' + b"[" * 100_000 + b"\n"
        b'{"epoch": 1}\r\n'
    )
    assert Reader.read_jsonl("rows.jsonl") == [{"epoch": 0}, {"epoch": 1}]


def test_a_missing_file_of_lines_is_an_error() -> None:
    with pytest.raises(MissingFileError) as caught:
        Reader.read_jsonl("rows.jsonl")
    assert caught.value.path == "rows.jsonl"


def test_a_folder_is_no_file_of_lines(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Reader.read_jsonl(tmp_path)


APPENDER = """
import sys
with xetrack.Tracker(xetrack.Tracker.SKIP_INSERT, jsonl="rows.jsonl") as tracker:
    for step in range(200):
        tracker.log({"writer": sys.argv[1], "step": step, "text": "x" * (step * 20)})
"""


@pytest.mark.slow
def test_several_processes_append_whole_lines(
    start_python: Callable[..., subprocess.Popen[str]],
) -> None:
    writers = [start_python(APPENDER, number) for number in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    rows = Reader.read_jsonl("rows.jsonl")
    for number in range(4):
        steps = [row["step"] for row in rows if row["writer"] == str(number)]
        assert steps == list(range(200))
    assert len(rows) == 800


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_lines_that_cannot_be_written_are_told_once_and_the_rows_are_kept(db: str) -> None:
    with Tracker(db, jsonl="/dev/full") as tracker:
        with pytest.warns(StorageWarning, match="/dev/full: cannot be written") as caught:
            tracker.log({"epoch": 0})
        assert len(caught) == 1
        tracker.log({"epoch": 1})  # a second warning would be an error here
        tracker.log_batch([{"epoch": 2}])
        assert tracker.column("epoch") == [0, 1, 2]


def test_lines_that_can_never_be_written_are_told_at_once(db: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        Tracker(db, jsonl=tmp_path)
    assert caught.value.path == str(tmp_path)


def test_lines_into_the_database_itself_are_refused(db: str) -> None:
    with Tracker(db) as tracker:
        row = tracker.log({"epoch": 0})
    with pytest.raises(StorageError):
        Tracker(db, jsonl=db)
    assert Reader(db).rows() == [row]
