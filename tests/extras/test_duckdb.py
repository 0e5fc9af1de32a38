"""DuckDB on a snapshot: all that is committed, types as logged, and never a lock of the file lost.

Each test runs with DuckDB's extension for SQLite files, where it is installed, and without.
"""

from __future__ import annotations

import gc
import math
import os
import pickle
import sqlite3
import sys
import tempfile
import threading
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xetrack import QueryError, Reader, StorageError, Tracker, UnknownTableError
from xetrack import __name__ as package_name
from xetrack._core.database import Database
from xetrack.extras.duckdb import Snapshots, sql, to_parquet

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    Conn = duckdb.DuckDBPyConnection
    Open = Callable[[str], Snapshots]

PACKAGE = "duckdb_extension_sqlite_scanner"
SCANNER, HANDED_OVER = "scanner", "handed over"


def can_scan() -> bool:
    """Whether the extension that is installed is that of this DuckDB."""
    found = find_spec(PACKAGE)
    folders = (found and found.submodule_search_locations) or []
    return any(Path(folder, "extensions", f"v{duckdb.__version__}").exists() for folder in folders)


@pytest.fixture(autouse=True, params=[SCANNER, HANDED_OVER] if can_scan() else [HANDED_OVER])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How DuckDB gets at the snapshot."""
    if request.param == HANDED_OVER:
        monkeypatch.setitem(sys.modules, PACKAGE, None)  # not to be found, installed or not
    return str(request.param)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def opened(temporary: Path) -> Iterator[Open]:
    """Open a file as DuckDB sees it."""
    made: list[tuple[Database, Snapshots]] = []

    def open_it(path: str) -> Snapshots:
        database = Database(path)
        made.append((database, Snapshots(database)))
        return made[-1][1]

    yield open_it
    for database, snapshots in made:
        snapshots.close()
        database.close()
    gc.collect()
    assert os.listdir(temporary) == []


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db, params={"model": "resnet18"}, track_id="run") as made:
        yield made


def rows(snapshots: Snapshots, query: str) -> list[tuple[Any, ...]]:
    return snapshots.conn.execute(query).fetchall()


def code(way: str, text: str) -> str:
    """A program for another process that has DuckDB in the same way."""
    block = f"import sys; sys.modules[{PACKAGE!r}] = None\n" if way == HANDED_OVER else ""
    names = f"{package_name}._core.database import Database"
    seam = f"{package_name}.extras.duckdb import Snapshots"
    return f"{block}from {names}\nfrom {seam}\n{text}"


# -- queries ---------------------------------------------------------------------------------


def test_the_file_is_db(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch([{"accuracy": number / 10, "epoch": number} for number in range(10)])
    file = opened(db)
    assert rows(file, "SELECT count(*) FROM db.events") == [(10,)]
    assert rows(file, "SELECT epoch FROM db.events WHERE accuracy > 0.75 AND epoch < 9") == [(8,)]
    assert rows(file, "SELECT model, max(accuracy) FROM db.events GROUP BY model") == [
        ("resnet18", 0.9)
    ]
    summary = rows(file, "SUMMARIZE db.events")
    assert [row[0] for row in summary] == ["timestamp", "track_id", "model", "accuracy", "epoch"]
    assert summary[4][:4] == ("epoch", "BIGINT", "0", "9")


def test_tables_of_the_file_can_be_joined(tracker: Tracker, opened: Open, db: str) -> None:
    first = tracker.log({"loss": 0.5})
    query = """SELECT e.loss, r.started FROM db.events AS e
        JOIN db.runs AS r ON r.track_id = e.track_id AND r."table" = 'events'"""
    assert rows(opened(db), query) == [(0.5, first["timestamp"])]


ODD_NAMES = ["train/loss", "MAP@k", "order", "naïve", 'a "quoted" one', "it's", "a.b", "ß" * 300]


def test_columns_are_called_what_the_keys_were(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log({name: number for number, name in enumerate(ODD_NAMES)})
    conn = opened(db).conn.execute("SELECT * FROM db.events")
    names = [column[0] for column in conn.description]
    assert names == ["timestamp", "track_id", "model", *ODD_NAMES]
    assert conn.fetchall()[0][3:] == tuple(range(len(ODD_NAMES)))
    assert rows(opened(db), 'SELECT "train/loss", "a ""quoted"" one" FROM db.events') == [(0, 4)]


@pytest.mark.parametrize("table", ["select", 'with "quotes"', "it's", "a.b c", "naïve"])
def test_tables_may_have_odd_names(db: str, opened: Open, table: str) -> None:
    with Tracker(db, table=table) as tracker:
        tracker.log({"loss": 0.5})
    name = '"' + table.replace('"', '""') + '"'
    assert rows(opened(db), f"SELECT loss FROM db.{name}") == [(0.5,)]


def test_a_file_without_rows_can_be_asked(db: str, opened: Open) -> None:
    Tracker(db).close()
    assert rows(opened(db), "SELECT count(*), max(started) FROM db.runs") == [(0, None)]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE db.events SET loss = 1", "DELETE FROM db.events", "DROP TABLE db.events"],
    ids=["update", "delete", "drop"],
)
def test_a_change_is_refused(tracker: Tracker, opened: Open, db: str, statement: str) -> None:
    tracker.log({"loss": 0.5})
    file = opened(db)
    with pytest.raises(duckdb.Error):
        file.conn.execute(statement)
    assert rows(file, "SELECT loss FROM db.events") == [(0.5,)]


# -- values ----------------------------------------------------------------------------------

VALUES: list[dict[str, Any]] = [
    {"b": True, "i": 2**63 - 1, "f": math.inf, "t": "", "x": b"", "j": [1, {"k": None}]},
    {"b": False, "i": -(2**63), "f": -math.inf, "t": "q\"u,o't\\e", "x": bytes(range(256))},
    {"i": 0, "f": 5e-324, "t": "two\nlines\r\n\ttab", "x": b"\0", "j": {}},
    {"b": True, "f": 0.1 + 0.2, "t": "NULL"},
    {"i": 2**53 + 1, "t": "naïve 雪 🎉", "x": b"'; DROP", "j": []},
    {"b": None, "f": 1e-7, "t": "nan"},
    {"f": 1.7976931348623157e308, "t": " spaces "},
]
CELLS = [
    (True, 2**63 - 1, math.inf, "", b"", '[1, {"k": null}]'),
    (False, -(2**63), -math.inf, "q\"u,o't\\e", bytes(range(256)), None),
    (None, 0, 5e-324, "two\nlines\r\n\ttab", b"\0", "{}"),
    (True, None, 0.1 + 0.2, "NULL", None, None),
    (None, 2**53 + 1, None, "naïve 雪 🎉", b"'; DROP", "[]"),
    (None, None, 1e-7, "nan", None, None),
    (None, None, 1.7976931348623157e308, " spaces ", None, None),
]


def test_values_are_exact(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch(VALUES)
    assert rows(opened(db), "SELECT b, i, f, t, x, j FROM db.events") == CELLS


def test_text_may_have_a_nul(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch([{"t": "a\0b"}, {"t": "\0"}])
    assert rows(opened(db), "SELECT t FROM db.events") == [("a\0b",), ("\0",)]


def test_types_are_kept(tracker: Tracker, opened: Open, db: str, way: str) -> None:
    tracker.log_batch(VALUES)
    described = {row[0]: row[1] for row in rows(opened(db), "DESCRIBE db.events")}
    assert described == {
        "timestamp": "VARCHAR",
        "track_id": "VARCHAR",
        "model": "VARCHAR",
        "b": "BIGINT" if way == SCANNER else "BOOLEAN",  # the extension knows no booleans
        "i": "BIGINT",
        "f": "DOUBLE",
        "t": "VARCHAR",
        "x": "BLOB",
        "j": "VARCHAR",
    }


def test_a_boolean_is_asked_for_in_the_same_words(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch([{"ok": True, "n": 1}, {"ok": False, "n": 2}, {"n": 3}])
    file = opened(db)
    assert rows(file, "SELECT n FROM db.events WHERE ok") == [(1,)]
    assert rows(file, "SELECT n FROM db.events WHERE NOT ok") == [(2,)]
    assert rows(file, "SELECT sum(CAST(ok AS INTEGER)), count(ok) FROM db.events") == [(1, 2)]


def test_a_column_that_widened_has_its_new_type(tracker: Tracker, opened: Open, db: str) -> None:
    file = opened(db)
    tracker.log({"n": True})
    assert rows(file, "SELECT n FROM db.events") == [(True,)]
    tracker.log({"n": 7})
    assert rows(file, "SELECT n FROM db.events") == [(1,), (7,)]
    tracker.log({"n": 0.5})
    assert rows(file, "SELECT n, typeof(n) FROM db.events") == [
        (1.0, "DOUBLE"),
        (7.0, "DOUBLE"),
        (0.5, "DOUBLE"),
    ]


def test_the_overflow_can_be_seen(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch([{"loss": 0.5}, {"loss": math.nan}])
    query = "SELECT loss, json_extract_string(_overflow, '/loss/$f') FROM db.events"
    assert rows(opened(db), query) == [(0.5, None), (None, "nan")]


def test_many_rows_keep_their_order(tracker: Tracker, opened: Open, db: str) -> None:
    number = 150_000
    tracker.log_batch([{"n": i, "gap": i if i % 7 else None} for i in range(number)])
    found = rows(opened(db), "SELECT n, gap FROM db.events")
    assert found == [(i, i if i % 7 else None) for i in range(number)]


def test_many_columns_are_handed_over(tracker: Tracker, opened: Open, db: str) -> None:
    row = {f"metric {number}": number / 3 for number in range(400)}
    tracker.log(row)
    found = rows(opened(db), "SELECT * EXCLUDE (timestamp, track_id, model) FROM db.events")
    assert found == [tuple(row.values())]


def test_rows_of_megabytes_are_handed_over(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch([{"x": bytes([number]) * 3_000_000} for number in range(20)])
    query = "SELECT octet_length(x), x[1:1] FROM db.events"
    expected = [(3_000_000, bytes([number])) for number in range(20)]
    assert rows(opened(db), query) == expected


PLAIN = {
    "b": st.none() | st.booleans(),
    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
    "f": st.none() | st.floats(allow_nan=False),
    "t": st.none() | st.text(st.characters(codec="utf-8")),
    "x": st.none() | st.binary(),
}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.fixed_dictionaries(PLAIN), min_size=1, max_size=40))
def test_every_plain_row_arrives(
    tmp_path: Path, temporary: Path, logged: list[dict[str, Any]]
) -> None:
    assert temporary.exists()
    first = {"b": True, "i": 1, "f": 0.5, "t": "", "x": b""}  # which decides the types
    path = tmp_path / "every.db"
    with Tracker(path, reset=True) as tracker:
        tracker.log_batch([first, *logged])
    with closing(Database(str(path))) as database:
        _, found = sql(database, "SELECT b, i, f, t, x FROM db.events")
    assert found == [tuple(row[key] for key in "biftx") for row in [first, *logged]]


def test_a_column_that_another_program_mixed_is_text(
    tracker: Tracker, opened: Open, db: str, way: str
) -> None:
    tracker.log_batch([{"n": 1, "f": 0.5, "t": "a"}, {"n": 2, "f": 1.5, "t": "b"}])
    with closing(sqlite3.connect(db)) as other:
        other.execute("UPDATE events SET n = 'two' WHERE n = 2")
        other.execute("UPDATE events SET f = x'00ff' WHERE f = 1.5")
        other.execute("UPDATE events SET t = CAST(x'61ff' AS TEXT) WHERE t = 'b'")
        other.commit()
    file = opened(db)
    assert rows(file, "SELECT count(*) FROM db.events") == [(2,)]
    if way == SCANNER:
        with pytest.raises(duckdb.Error):
            rows(file, "SELECT n FROM db.events")
    else:
        expected = [("1", "0.5", "a"), ("two", "X'00FF'", "a\ufffd")]
        assert rows(file, "SELECT n, f, t FROM db.events") == expected


# -- every access sees what was committed before it ------------------------------------------


def test_conn_follows_this_process(tracker: Tracker, opened: Open, db: str) -> None:
    file = opened(db)
    for number in range(5):
        tracker.log({"n": number, f"new {number}": number})
        assert rows(file, f'SELECT count(*), max("new {number}") FROM db.events') == [
            (number + 1, number)
        ]
    tracker.set_value("n", 9)
    assert rows(file, "SELECT DISTINCT n FROM db.events") == [(9,)]
    Reader(db).delete_run("run")
    assert rows(file, "SELECT count(*) FROM db.events") == [(0,)]


def test_conn_follows_other_processes(
    tracker: Tracker, opened: Open, db: str, run_python: Callable[..., str]
) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    assert rows(file, "SELECT count(*) FROM db.events") == [(1,)]
    write = "import sys; xetrack.Tracker(sys.argv[1]).log({'n': 2, 'theirs': 'new'})"
    for number in range(2, 5):
        run_python(write, db)
        query = "SELECT count(*), count(theirs) FROM db.events"
        assert rows(file, query) == [(number, number - 1)]


def test_conn_is_the_same_as_long_as_nothing_changes(
    tracker: Tracker, opened: Open, db: str
) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    first = file.conn
    first.execute("CREATE TEMP TABLE mine AS SELECT n FROM db.events")
    assert file.conn is first
    assert rows(file, "SELECT n FROM mine") == [(1,)]
    tracker.log({"n": 2})
    assert file.conn is not first


def test_a_conn_that_is_kept_stays_as_it_was(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    kept = file.conn
    tracker.log({"n": 2, "new": 1})
    assert rows(file, "SELECT count(*) FROM db.events") == [(2,)]
    assert kept.execute("SELECT * EXCLUDE (timestamp, track_id) FROM db.events").fetchall() == [
        ("resnet18", 1)
    ]


@pytest.mark.skipif(
    tuple(map(int, duckdb.__version__.split(".")[:2])) < (1, 5),
    reason="before DuckDB 1.5 a relation does not keep its connection",
)
def test_a_result_that_is_kept_can_still_be_read(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    relation = file.conn.sql("SELECT n FROM db.events")
    tracker.log({"n": 2})
    assert rows(file, "SELECT count(*) FROM db.events") == [(2,)]
    gc.collect()
    assert relation.fetchall() == [(1,)]


def test_a_conn_that_was_closed_is_replaced(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    with file.conn as conn:
        assert conn.execute("SELECT n FROM db.events").fetchall() == [(1,)]
    assert rows(file, "SELECT n FROM db.events") == [(1,)]


def test_conn_follows_a_file_that_was_replaced(opened: Open, db: str, tmp_path: Path) -> None:
    other = str(tmp_path / "other.db")
    for path, number in ((db, 1), (other, 2)):
        with Tracker(path) as tracker:
            tracker.log({"n": number})
    file = opened(db)
    assert rows(file, "SELECT n FROM db.events") == [(1,)]
    os.replace(other, db)
    assert rows(file, "SELECT n FROM db.events") == [(2,)]


def test_a_file_that_is_not_there_is_told(opened: Open, db: str) -> None:
    file = opened(db)
    with pytest.raises(StorageError, match="no such file"):
        _ = file.conn
    assert not os.path.exists(db)


def test_memory_can_be_asked_too(temporary: Path) -> None:
    with Tracker(Tracker.IN_MEMORY) as tracker:
        file = Snapshots(tracker._store.database)
        for number in range(1, 4):
            tracker.log({"n": number, f"new {number}": "text"})
            assert rows(file, "SELECT count(*), sum(n) FROM db.events") == [
                (number, sum(range(number + 1)))
            ]
        kept = file.conn
        assert file.conn is kept
        tracker.log({"n": "text"})
        assert len(tracker.rows()) == 4
        file.close()
    assert os.listdir(temporary) == []


def test_threads_have_connections_of_their_own(tracker: Tracker, opened: Open, db: str) -> None:
    tracker.log_batch([{"n": number} for number in range(1000)])
    file = opened(db)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(5):
            conn = file.conn
            conn.execute(f"SELECT {number}, count(*) FROM db.events WHERE n >= 0")
            found = conn.fetchall()
            if found[0][0] != number or found[0][1] < 1000:
                wrong.append(found)
            tracker.log({"n": -1})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert rows(file, "SELECT count(*) FROM db.events") == [(1020,)]


# -- the files -------------------------------------------------------------------------------


def folders(temporary: Path) -> list[Path]:
    gc.collect()
    return sorted(temporary.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_files_are_private(tracker: Tracker, opened: Open, db: str, temporary: Path) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    assert rows(file, "SELECT n FROM db.events") == [(1,)]
    (folder,) = folders(temporary)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}


def test_old_files_go_with_the_last_connection_to_them(
    tracker: Tracker, opened: Open, db: str, temporary: Path
) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    kept = file.conn
    (old,) = folders(temporary)
    tracker.log({"n": 2})
    assert rows(file, "SELECT count(*) FROM db.events") == [(2,)]
    assert len(folders(temporary)) == 2
    assert kept.execute("SELECT n FROM db.events").fetchall() == [(1,)]
    del kept
    assert len(folders(temporary)) == 1
    assert not old.exists()


def test_close_closes_what_was_handed_out_and_removes_its_files(
    tracker: Tracker, opened: Open, db: str, temporary: Path
) -> None:
    tracker.log({"n": 1})
    file = opened(db)
    kept = file.conn
    tracker.log({"n": 2})
    newer = file.conn
    file.close()
    assert folders(temporary) == []
    for conn in (kept, newer):
        with pytest.raises(duckdb.ConnectionException):
            conn.execute("SELECT 1")
    assert rows(file, "SELECT count(*) FROM db.events") == [(2,)]


def test_nothing_is_left_when_nobody_holds_it(tracker: Tracker, temporary: Path) -> None:
    tracker.log({"n": 1})
    file = Snapshots(tracker._store.database)
    assert rows(file, "SELECT n FROM db.events") == [(1,)]
    assert len(folders(temporary)) == 1
    del file
    assert folders(temporary) == []


def test_nothing_is_left_at_exit(
    tracker: Tracker, db: str, temporary: Path, way: str, run_python: Callable[..., str]
) -> None:
    tracker.log({"n": 1})
    text = """
import sys, tempfile
tempfile.tempdir = sys.argv[2]
file = Snapshots(Database(sys.argv[1]))
kept = file.conn
print(kept.execute("SELECT n FROM db.events").fetchall())
"""
    assert run_python(code(way, text), db, temporary) == "[(1,)]\n"
    assert folders(temporary) == []


def test_nothing_is_asked_of_the_internet(
    tracker: Tracker, opened: Open, db: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker.log({"n": 1})
    assert rows(opened(db), "SELECT n FROM db.events") == [(1,)]
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / ".duckdb").exists()  # where an extension would be installed
    setting = "SELECT current_setting('autoinstall_known_extensions')"
    with closing(duckdb.connect()) as other:
        theirs = other.execute(setting).fetchall()
    assert rows(opened(db), setting) == theirs


# -- forks, and other processes --------------------------------------------------------------

FORK = """
import os, sys, tempfile
tempfile.tempdir = sys.argv[2]
tracker = xetrack.Tracker(sys.argv[1])
tracker.log_batch([{"n": 1}] * 50_000)
file = Snapshots(tracker._store.database)
count = "SELECT count(*) FROM db.events"
before = file.conn
print(before.execute(count).fetchall(), flush=True)
child = os.fork()
tracker.log({"n": 2})
if child == 0:
    print(file.conn.execute("SELECT count(*) > 50000 FROM db.events").fetchall(), flush=True)
    file.close()
    sys.exit(0)
print(os.waitpid(child, 0)[1], before.execute(count).fetchall(), flush=True)
print(file.conn.execute(count).fetchall(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_parent_and_child_of_a_fork_have_snapshots_of_their_own(
    db: str, temporary: Path, way: str, run_python: Callable[..., str]
) -> None:
    assert run_python(code(way, FORK), db, temporary).splitlines() == [
        "[(50000,)]",
        "[(True,)]",
        "0 [(50000,)]",
        "[(50002,)]",
    ]
    assert folders(temporary) == []


WORKER = """
import multiprocessing, sys, tempfile
tempfile.tempdir = sys.argv[2]
file = Snapshots(Database(sys.argv[1]))
ask = lambda: print(file.conn.execute("SELECT n FROM db.events").fetchall(), flush=True)
ask()
worker = multiprocessing.get_context("fork").Process(target=ask)
worker.start()
worker.join()
print(worker.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_worker_of_multiprocessing_leaves_nothing(
    tracker: Tracker, db: str, temporary: Path, way: str, run_python: Callable[..., str]
) -> None:
    tracker.log({"n": 1})
    assert run_python(code(way, WORKER), db, temporary) == "[(1,)]\n[(1,)]\n0\n"
    assert folders(temporary) == []


TRY_TO_WRITE = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
"""


def test_a_question_drops_none_of_the_locks_of_the_process(
    tracker: Tracker, db: str, run_python: Callable[..., str]
) -> None:
    tracker.log({"n": 1})
    database = tracker._store.database
    with database.transaction(), closing(Snapshots(database)) as file:
        assert rows(file, "SELECT n FROM db.events") == [(1,)]
        file.close()
        assert run_python(TRY_TO_WRITE, db) == "database is locked\n"


WRITER = """
import sys
tracker = xetrack.Tracker(sys.argv[1], params={"who": sys.argv[2]})
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    tracker.log({"n": number, f"column {number // 100} of {sys.argv[2]}": number})
tracker.close()
"""


def test_questions_between_logs_cost_no_row(
    db: str,
    opened: Open,
    start_python: Callable[..., subprocess.Popen[str]],
) -> None:
    each = 600
    with Tracker(db, params={"who": "me"}) as tracker:
        tracker.log({"n": -1})
        file = opened(db)
        writers = [start_python(WRITER, db, name, each) for name in ("one", "two")]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdin is not None
            assert writer.stdout.readline() == "ready\n"
            writer.stdin.write("go\n")
            writer.stdin.flush()
        asked = 0
        while asked < 30 or any(writer.poll() is None for writer in writers):
            tracker.log({"n": asked})
            asked += 1
            query = "SELECT count(*) FROM db.events WHERE who = 'me'"
            assert rows(file, query) == [(asked + 1,)]
        assert [writer.communicate()[1] for writer in writers] == ["", ""]
        count = "SELECT who, count(*), count(DISTINCT n) FROM db.events GROUP BY who ORDER BY who"
        expected = [("me", asked + 1, asked + 1), ("one", each, each), ("two", each, each)]
        assert rows(file, count) == expected
    with closing(sqlite3.connect(db)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute(count.replace("db.", "")).fetchall() == expected


# -- Tracker and Reader ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["track.db", Tracker.IN_MEMORY], ids=["file", "memory"])
def test_a_tracker_can_have_duckdb_as_its_conn(path: str, temporary: Path) -> None:
    with Tracker(path, engine="duckdb") as tracker:
        tracker.log({"n": 1})
        assert tracker.conn.execute("SELECT n FROM db.events").fetchall() == [(1,)]
        tracker.log({"n": 2, "new": True})
        assert tracker.conn.execute("SELECT n, new FROM db.events").fetchall() == [
            (1, None),
            (2, True),
        ]
        assert isinstance(tracker.conn, duckdb.DuckDBPyConnection)
    assert folders(temporary) == []


def test_a_pickled_tracker_has_duckdb_too(db: str, temporary: Path) -> None:
    with Tracker(db, engine="duckdb") as tracker:
        tracker.log({"n": 1})
        assert tracker.conn.execute("SELECT n FROM db.events").fetchall() == [(1,)]
        with pickle.loads(pickle.dumps(tracker)) as other:
            other.log({"n": 2})
            assert other.conn.execute("SELECT n FROM db.events").fetchall() == [(1,), (2,)]
    assert folders(temporary) == []


def test_a_reader_can_have_duckdb_as_its_conn(tracker: Tracker, db: str, temporary: Path) -> None:
    tracker.log({"n": 1})
    with Reader(db, engine="duckdb") as reader:
        assert reader.conn.execute("FROM db.events SELECT n").fetchall() == [(1,)]
        tracker.log({"n": 2})
        assert reader.conn.execute("FROM db.events SELECT n").fetchall() == [(1,), (2,)]
    assert folders(temporary) == []


# -- sql and Parquet -------------------------------------------------------------------------


def test_sql_gives_columns_and_rows(tracker: Tracker, db: str) -> None:
    tracker.log_batch([{"n": number} for number in range(3)])
    with closing(Database(db)) as database:
        found = sql(database, "SELECT n, n * 2 AS twice FROM db.events WHERE n > 0")
        assert found == (["n", "twice"], [(1, 2), (2, 4)])
        assert sql(database, "SELECT n FROM db.events WHERE n > 5") == (["n"], [])


def test_a_query_that_duckdb_refuses_is_told(tracker: Tracker, db: str) -> None:
    tracker.log({"n": 1})
    with closing(Database(db)) as database, pytest.raises(QueryError, match="nothere") as caught:
        sql(database, "SELECT nothere FROM db.events")
    assert caught.value.query == "SELECT nothere FROM db.events"
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_parquet_has_types_and_values(tracker: Tracker, db: str, tmp_path: Path) -> None:
    tracker.log_batch(VALUES)
    path = str(tmp_path / "it's a.parquet")
    with closing(Database(db)) as database:
        assert to_parquet(database, "events", None, path) == len(VALUES)
    with closing(duckdb.connect()) as duck:
        table = duck.read_parquet(path)
        assert dict(zip(table.columns[3:], map(str, table.types[3:]))) == {
            "b": "BOOLEAN",
            "i": "BIGINT",
            "f": "DOUBLE",
            "t": "VARCHAR",
            "x": "BLOB",
            "j": "VARCHAR",
        }
        assert table.project("b, i, f, t, x, j").fetchall() == CELLS


@pytest.mark.parametrize("key", ["loss", "train/loss", "a~b", "$f", "0", "q\"u'o", "naïve.x[1]"])
def test_a_nan_is_a_nan_in_parquet(tracker: Tracker, db: str, tmp_path: Path, key: str) -> None:
    tracker.log_batch([{key: 0.5}, {key: math.nan}, {"other": 2**70, key: None}, {key: math.inf}])
    path = str(tmp_path / "rows.parquet")
    with closing(Database(db)) as database:
        assert to_parquet(database, "events", None, path) == 4
    with closing(duckdb.connect()) as duck:
        name = '"' + key.replace('"', '""') + '"'
        found = duck.execute(f"SELECT {name} FROM read_parquet('{path}')").fetchall()
        rest = duck.read_parquet(path).project("other, _overflow").fetchall()
    assert [repr(value) for (value,) in found] == ["0.5", "nan", "None", "inf"]
    assert rest[2] == (None, '{"other": {"$i": "0x400000000000000000"}}')


def test_an_overflow_that_another_program_broke_stops_no_parquet(
    tracker: Tracker, db: str, tmp_path: Path
) -> None:
    tracker.log({"loss": math.nan})
    tracker.log({"loss": 0.5})
    with closing(sqlite3.connect(db)) as other:
        other.execute("UPDATE events SET _overflow = 'no {json' WHERE loss = 0.5")
        other.commit()
    path = str(tmp_path / "rows.parquet")
    with closing(Database(db)) as database:
        assert to_parquet(database, "events", None, path) == 2


def test_one_run_can_be_written_as_parquet(db: str, tmp_path: Path) -> None:
    for name in ("it's one", "two"):
        with Tracker(db, track_id=name) as tracker:
            tracker.log_batch([{"n": number, "of": name} for number in range(3)])
    path = tmp_path / "one.parquet"
    with closing(Database(db)) as database:
        assert to_parquet(database, "EVENTS", "it's one", path) == 3
    with closing(duckdb.connect()) as duck:
        found = duck.read_parquet(str(path)).project("n, of").fetchall()
    assert found == [(number, "it's one") for number in range(3)]


def test_parquet_of_what_is_not_there_is_told(
    tracker: Tracker, db: str, tmp_path: Path, temporary: Path
) -> None:
    tracker.log({"n": 1})
    with closing(Database(db)) as database:
        with pytest.raises(UnknownTableError, match="there are: events"):
            to_parquet(database, "others", None, tmp_path / "a.parquet")
        with pytest.raises(StorageError, match="cannot be written"):
            to_parquet(database, "events", None, tmp_path / "no folder" / "a.parquet")
        with pytest.raises(StorageError, match="belongs to the database"):
            to_parquet(database, "events", None, db)
    assert folders(temporary) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".parquet") == []


def test_rows_of_a_run_or_of_all_are_written_as_parquet(db: str, tmp_path: Path) -> None:
    with Tracker(db, track_id="run", engine="duckdb") as tracker, Tracker(db) as other:
        tracker.log({"x": 1, "loss": math.nan})
        other.log({"x": 2, "loss": 0.5})
        assert tracker.to_parquet(tmp_path / "run.parquet") == 1
        assert Reader(db).to_parquet(tmp_path / "all.parquet") == 2
        query = f"SELECT x, isnan(loss) FROM '{tmp_path}/all.parquet' ORDER BY x"
        assert tracker.conn.execute(query).fetchall() == [(1, True), (2, False)]


def test_the_command_line_speaks_duckdb(db: str, xt: Callable[..., Any]) -> None:
    with Tracker(db) as tracker:
        tracker.log_batch([{"x": 1}, {"x": 3}])
    query = "SELECT median(x) AS middle FROM db.events"
    assert xt("sql", db, query, "--engine", "duckdb", "--json") == (0, '[{"middle": 2.0}]\n', "")
    assert xt("sql", db, query, "--engine", "duckdb", "--write").code == 2
