"""What was measured to bite (docs/architecture.md): each trap has a test that fails without the
measure against it.

An attached file starts at synchronous=FULL
    test_files.py: test_each_connection_syncs_as_the_durability_says
auto_vacuum must come before WAL
    test_files.py: test_a_new_file_says_whose_it_is_and_how_it_is_kept
incremental_vacuum frees one page per step on Python 3.11
    test_free_pages_are_given_back_many_at_a_time
    test_files.py: test_to_delete_a_run_shrinks_the_file_and_frees_its_assets
BEGIN IMMEDIATE locks every attached file
    test_copy_does_not_wait_for_a_writer_of_the_source
    test_a_writer_of_the_source_does_not_wait_for_a_copy
JSON and BOOLEAN have NUMERIC affinity
    test_text_like_a_number_stays_text
two SQLite libraries in one process undo each other's locks; so does any open() of the file
    test_nothing_but_sqlite3_opens_the_file
    test_replaced_files.py: test_no_row_is_lost_when_a_stranger_in_the_process_undoes_its_locks
a child of fork inherits the table of locks
    test_forks.py, all of it
the file, or its -wal, is deleted or replaced
    test_replaced_files.py, all of it
an unknown quoted name is a string
    test_a_key_that_is_not_there_matches_no_row
immutable=1 hides the rows of a -wal
    test_files.py: test_every_row_is_read_where_nothing_can_be_written
to rebuild a table in order to widen a column takes long
    test_a_column_is_widened_without_rewriting_the_table
integers beyond 2**53 have no float
    test_integers_that_no_float_equals_survive_the_widening
other connections know the table as it was
    test_open_connections_follow_a_widening
a DEFENSIVE build keeps sqlite_master to itself
    the tests of widening, run with such connections
what somebody added to the table by SQL
    test_what_somebody_added_by_sql_outlives_a_widening
    test_a_table_that_somebody_altered_keeps_values_exactly
DuckDB cannot count the rows of a WITHOUT ROWID table
    test_every_table_has_row_numbers
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import Reader, Tracker, UnknownColumnError, UnknownError, copy
from xetrack._core.database import Database
from xetrack._core.space import shrink

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


@pytest.fixture(params=["plain", "defensive"])
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A build of SQLite that lets its own table be written, or one that does not."""
    kind = str(request.param)
    if kind == "defensive":
        defensive = getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE", None)
        if defensive is None:
            pytest.skip("a connection can be made so from Python 3.12 on")

        class Defensive(sqlite3.Connection):
            def __init__(self, *args: Any, **named: Any) -> None:
                super().__init__(*args, **named)
                self.setconfig(defensive, True)  # type: ignore[attr-defined,unused-ignore]

        connect = functools.partial(sqlite3.connect, factory=Defensive)
        monkeypatch.setattr(sqlite3, "connect", connect)
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.execute("PRAGMA writable_schema = ON")
            with pytest.raises(sqlite3.DatabaseError):
                connection.execute("UPDATE sqlite_master SET sql = sql")
    return kind


@pytest.fixture
def sql(db: str) -> Iterator[sqlite3.Connection]:
    """Somebody's own connection to the file, opened when the test begins."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        yield connection


def integrity(db: str) -> list[tuple[str]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


# -- locks -----------------------------------------------------------------------------------


def test_copy_does_not_wait_for_a_writer_of_the_source(
    db: str, sql: sqlite3.Connection, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    Tracker(db).log_batch([{"x": x} for x in range(10)])
    sql.execute("BEGIN IMMEDIATE")
    sql.execute("UPDATE events SET x = -1")
    process = start_python("import sys\nprint(int(xetrack.copy(*sys.argv[1:])))", db, "copy.db")
    out, err = process.communicate(timeout=30)  # less than it would wait
    sql.execute("ROLLBACK")
    assert (out, err) == ("10\n", "")
    assert Reader("copy.db").column("x") == list(range(10))


def is_locked(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    connection.execute("ROLLBACK")
    return False


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process cannot be stopped here")
def test_a_writer_of_the_source_does_not_wait_for_a_copy(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    Tracker("copy.db", track_id="there").log({"x": -1})
    with Tracker(db, track_id="run") as tracker:
        tracker.log_batch([{"x": x} for x in range(30_000)])
        process = start_python("import sys\nprint(int(xetrack.copy(*sys.argv[1:])))", db, "copy.db")
        with closing(sqlite3.connect("copy.db", isolation_level=None, timeout=0)) as probe:
            while not is_locked(probe):
                assert process.poll() is None
            os.kill(process.pid, signal.SIGSTOP)
            assert is_locked(probe)  # it is in the midst of its transaction
            other = "import sys\nxetrack.Tracker(sys.argv[1]).log({'x': 30_000, 'new': 1})"
            writer = start_python(other, db)
            assert writer.communicate(timeout=30) == ("", "")
            assert (writer.returncode, is_locked(probe)) == (0, True)
            os.kill(process.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=30)
    assert (out in ("30000\n", "30001\n"), err) == (True, "")
    copy(db, "copy.db")
    assert Reader("copy.db").column("x") == [-1, *range(30_001)]


@pytest.mark.skipif(os.name == "nt", reason="paths are written in more than one way there")
def test_nothing_but_sqlite3_opens_the_file(db: str, run_python: Callable[..., str]) -> None:
    code = """
import os, pickle, sys
db = os.path.realpath(sys.argv[1])
opened = []
def hook(event, args):
    if event in ("open", "os.truncate", "shutil.copyfile", "shutil.move") and args:
        for name in args[:2]:
            if isinstance(name, (str, bytes)):
                path = os.path.realpath(os.fsdecode(name))
                if path.startswith(db) and not path.endswith((".jsonl", ".csv", ".bin")):
                    opened.append(event)
sys.addaudithook(hook)
class Thing:
    pass
with xetrack.Tracker(db, {"model": "m"}, jsonl=db + ".jsonl", track_id="run") as tracker:
    for x in range(5):
        tracker.log({"x": x, "thing": Thing(), f"new/{x}": [x]})
    tracker.log_batch([{"x": 0.5, "big": 2**70}, {"x": float("nan")}])
    with tracker.batch():
        tracker.log({"x": 1})
    tracker.track(len, [1, 2])
    tracker.set_value("y", 1)
    tracker.set_where("y", 2, "x", 1)
    tracker.rows(), tracker.column("x"), len(tracker), str(tracker), tracker.latest
    tracker.conn.execute("SELECT * FROM db.events").fetchall()
    tracker.get("thing"), tracker.assets.list(), tracker.to_csv(db + ".csv")
    tracker.assets.export("thing", db + ".bin")
    tracker.remove_asset("thing")
    pid = os.fork()
    if not pid:
        tracker.log({"x": 2})
        os._exit(len(opened))
    assert os.waitpid(pid, 0)[1] == 0
    tracker.log({"x": 3})
    pickle.loads(pickle.dumps(tracker)).log({"x": 4})
    xetrack.copy(db, db + ".copy.jsonl")
    xetrack.copy(db + ".copy.jsonl", db)
with xetrack.Reader(db) as reader:
    reader.rows(), reader.columns, reader.tables(), reader.track_ids(), reader.latest_rows()
    reader.conn.execute("SELECT * FROM db.events").fetchall()
    reader.set_value("z", 1)
    reader.delete_run("run")
with xetrack.Tracker(db, reset=True) as tracker:
    tracker.log({"x": 1})
print(opened)
open(db, "rb").close()
print(opened)
"""
    assert run_python(code, db) == "[]\n['open']\n"


def test_free_pages_are_given_back_many_at_a_time(db: str, sql: sqlite3.Connection) -> None:
    with Tracker(db) as tracker:
        tracker.log_batch([{"text": "x" * 1500} for _ in range(3000)])
        sql.execute("DELETE FROM events")
        (free,) = sql.execute("PRAGMA freelist_count").fetchone()
        assert free > 3000
    database = Database(db)
    statements: list[str] = []
    with database.lock:
        database.connection().set_trace_callback(statements.append)
    shrink(database)
    database.close()
    assert sql.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert 1 <= sum("incremental_vacuum" in statement for statement in statements) < 20


# -- names and types -------------------------------------------------------------------------


def test_a_key_that_is_not_there_matches_no_row(db: str) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": "nokey", "asset": object})
        reader, before = Reader(db), tracker.rows()
        for key in ("nokey", "X", "x ", "main", "events", "rowid", "_rowid_", "true", "NULL"):
            for value in (key, "nokey", 1, None):
                with pytest.raises(UnknownColumnError):
                    tracker.set_where("x", "changed", key, value)
                with pytest.raises(UnknownColumnError):
                    reader.set_where("x", "changed", key, value)
            with pytest.raises(UnknownColumnError):
                tracker.column(key)
            with pytest.raises(UnknownError):
                tracker.remove_asset(key)
        assert tracker.remove_asset("asset", column="nokey") == 0
        assert tracker.rows() == before


TEXTS = ["1e3", "007", "1", "0", "1.0", " 5 ", "0x10", "-0", "1e999", "nan", "true", "", "null"]


@pytest.mark.parametrize("first", [True, [1], 1, 0.5, b"1", "text"], ids=repr)
def test_text_like_a_number_stays_text(db: str, first: object) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": first})
        for text in TEXTS:
            tracker.log({"x": text})
        tracker.log_batch([{"x": text} for text in TEXTS])
        values = tracker.column("x")
        assert [(type(value), value) for value in values] == [
            (type(value), value) for value in [first, *TEXTS, *TEXTS]
        ]
        assert tracker.set_value("x", "1e3") == 1 + 2 * len(TEXTS)
        assert set(tracker.column("x")) == {"1e3"}
    copy(db, "copy.db")
    assert set(Reader("copy.db").column("x")) == {"1e3"}


@pytest.mark.parametrize("value", [5, 1.5, True, "5", b"5"], ids=repr)
def test_a_number_in_a_column_of_lists_comes_back_as_it_was(db: str, value: object) -> None:
    with Tracker(db) as tracker:
        tracker.log_batch([{"x": [1]}, {"x": value}, {"x": {"a": "1e3"}}])
        back = tracker.column("x")
        assert [(type(x), x) for x in back] == [
            (list, [1]),
            (type(value), value),
            (dict, {"a": "1e3"}),
        ]
        types = tracker.conn.execute("SELECT DISTINCT typeof(x) FROM db.events").fetchall()
        assert set(types) <= {("text",), ("null",)}


def test_every_table_has_row_numbers(db: str) -> None:
    with Tracker(db) as tracker:
        tracker.log({"x": 1, "asset": object})
        master = "SELECT name FROM db.sqlite_master WHERE type = 'table'"
        for (name,) in tracker.conn.execute(master).fetchall():
            query = f'SELECT count(t.rowid) = count(*) FROM db."{name}" AS t'
            assert tracker.conn.execute(query).fetchone() == (1,)


# -- widening --------------------------------------------------------------------------------


def test_a_column_is_widened_without_rewriting_the_table(db: str) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log_batch([{"flag": True, "x": x, "text": "x" * 60} for x in range(20_000)])
    size = os.path.getsize(db)
    assert size > 2_000_000
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"flag": 7, "x": 0.5})
        tracker.log({"flag": 0.25})
        # The log of what was written since the file was opened.
        assert 0 < os.path.getsize(db + "-wal") < 100_000
        assert tracker.column("x")[-4:] == [19_998, 19_999, 0.5, None]
        assert tracker.column("flag")[-3:] == [1, 7, 0.25]
        assert Reader(db).columns["x"] == Reader(db).columns["flag"] == "REAL"
    assert integrity(db) == [("ok",)]


@pytest.mark.usefixtures("build")
def test_integers_that_no_float_equals_survive_the_widening(db: str) -> None:
    whole = [2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0, 7, None, 10**15]
    with Tracker(db, track_id="run") as tracker:
        for x in whole:
            tracker.log({"x": x, "flag": True})
        tracker.log({"x": 0.5, "flag": 2**62 + 1})
        tracker.log({"x": 2**53 + 3, "flag": 0.25})
        assert tracker.column("x") == [*whole, 0.5, 2**53 + 3]
        assert tracker.column("flag") == [1] * len(whole) + [2**62 + 1, 0.25]
        types = tracker.conn.execute("SELECT DISTINCT typeof(x) FROM db.events").fetchall()
        assert set(types) == {("real",), ("null",)}
        assert tracker.conn.execute("SELECT typeof(flag) FROM db.events").fetchall() == [
            ("real",)
        ] * (len(whole) + 2)
    assert Reader(db).columns["x"] == Reader(db).columns["flag"] == "REAL"
    assert integrity(db) == [("ok",)]


@pytest.mark.usefixtures("build")
def test_open_connections_follow_a_widening(db: str, sql: sqlite3.Connection) -> None:
    with Tracker(db, track_id="run") as first, Tracker(db, track_id="run") as second:
        first.log({"x": True})
        second.log({"x": False})
        query = "SELECT x, typeof(x) FROM events ORDER BY rowid"
        assert sql.execute(query).fetchall() == [(1, "integer"), (0, "integer")]
        view = first.conn
        assert view.execute(query).fetchall() == [(1, "integer"), (0, "integer")]
        second.log({"x": 7})
        first.log({"x": True})
        second.log({"x": 0.5})
        first.log({"x": 3})
        first.log({"x": False})
        there = [(x, "real") for x in (1.0, 0.0, 7.0, 1.0, 0.5, 3.0, 0.0)]
        assert sql.execute(query).fetchall() == there
        assert view.execute(query).fetchall() == there
        assert second.column("x") == [1, 0, 7, 1, 0.5, 3, 0]
    assert integrity(db) == [("ok",)]


@pytest.mark.parametrize("batched", [False, True], ids=["log", "log_batch"])
@pytest.mark.usefixtures("build")
def test_what_somebody_added_by_sql_outlives_a_widening(
    db: str, sql: sqlite3.Connection, *, batched: bool
) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log_batch([{"x": x} for x in range(100)])
        sql.execute("CREATE INDEX theirs ON events (x)")
        sql.execute("CREATE VIEW viewed AS SELECT x FROM events WHERE x > 97 ORDER BY x")
        sql.execute("CREATE TABLE counted (x)")
        trigger = "AFTER INSERT ON events BEGIN INSERT INTO counted VALUES (new.x); END"
        sql.execute(f"CREATE TRIGGER counting {trigger}")
        rows = [{"x": x} for x in (0.5, 97.5, 100)]
        if batched:
            tracker.log_batch(rows)
        else:
            for row in rows:
                tracker.log(row)
        assert tracker.column("x") == [*range(100), 0.5, 97.5, 100]
    assert sql.execute("SELECT x FROM viewed").fetchall() == [
        (97.5,),
        (98,),
        (99,),
        (100,),
    ]
    assert sql.execute("SELECT x FROM counted").fetchall() == [(0.5,), (97.5,), (100,)]
    found = sql.execute("SELECT x FROM events INDEXED BY theirs WHERE x BETWEEN 0 AND 1 ORDER BY x")
    assert found.fetchall() == [(0,), (0.5,), (1,)]
    assert integrity(db) == [("ok",)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param(
            "ALTER TABLE events ADD COLUMN theirs INTEGER GENERATED ALWAYS AS (x * 2)",
            [0, 2, 4, None, None, None],
            id="generated column",
        ),
        pytest.param(
            "ALTER TABLE events ADD COLUMN theirs TEXT DEFAULT 'none'", ["none"] * 6, id="default"
        ),
        pytest.param(
            "ALTER TABLE events ADD COLUMN theirs INTEGER CHECK (theirs > 3)",
            [None] * 6,
            id="check",
        ),
    ],
)
@pytest.mark.usefixtures("build")
def test_a_table_that_somebody_altered_keeps_values_exactly(
    db: str, sql: sqlite3.Connection, statement: str, expected: list[object]
) -> None:
    if "GENERATED" in statement and sqlite3.sqlite_version_info < (3, 31):
        pytest.skip("SQLite has generated columns from 3.31 on")
    with Tracker(db, track_id="run") as tracker:
        tracker.log_batch([{"x": x} for x in range(3)])
        sql.execute(statement)
        tracker.log({"x": 0.5, "new": 1})
        tracker.log_batch([{"x": 1.5}, {"x": float("nan")}])
        values = tracker.column("x")
        assert values[:5] == [0, 1, 2, 0.5, 1.5]
        assert values[5] != values[5]
        assert [type(value) for value in values] == [int, int, int, float, float, float]
        if "GENERATED" not in statement:
            assert tracker.column("theirs") == expected
        assert tracker.set_where("y", 1, "x", 0.5) == 1
        assert tracker.column("y") == [None] * 3 + [1, None, None]
    assert Reader(db).columns["x"] == "INTEGER"
    assert copy(db, "copy.db") == 6
    assert Reader("copy.db").column("x")[:5] == [0, 1, 2, 0.5, 1.5]
    assert sql.execute("SELECT theirs FROM events ORDER BY rowid").fetchall() == [
        (value,) for value in expected
    ]
    assert integrity(db) == [("ok",)]
