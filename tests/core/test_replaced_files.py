"""The file is replaced, removed or moved under an open tracker: the work goes on.

Every row that is logged after that is in the file that the path leads to.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import (
    ForeignFileError,
    LaterFormatError,
    NotADatabaseError,
    Reader,
    StorageError,
    Tracker,
    copy,
)

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved there")

ALL_OF_IT = ("", "-wal", "-shm")

# A process that logs each number that it is told, and tells how that went.
LOGGING = """
import faulthandler, sys
faulthandler.dump_traceback_later(60, exit=True)
tracker = xetrack.Tracker(sys.argv[1], track_id=sys.argv[2])
for line in sys.stdin:
    try:
        tracker.log({"x": int(line)})
        print("logged", flush=True)
    except BaseException as error:
        print(repr(error), flush=True)
"""


@pytest.fixture
def column_x(run_python: Callable[..., str]) -> Callable[[str], list[Any]]:
    """Read the values of x with a process that has nothing to do with those that wrote them."""

    def read(path: str) -> list[Any]:
        code = "import sys\nprint(xetrack.Reader(sys.argv[1]).column('x'))"
        values = eval(run_python(code, path))
        assert isinstance(values, list)
        return values

    return read


def integrity(db: str) -> list[tuple[str]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


def other_file(tmp_path: Path, *values: int) -> str:
    """Another file of ours, with one row for each value, closed and without a -wal."""
    path = str(tmp_path / "other.db")
    with Tracker(path, track_id="other") as tracker:
        tracker.log_batch([{"x": value} for value in values])
    return path


def tell(process: subprocess.Popen[str], value: int) -> str:
    """Let a LOGGING process log *value*; what it says of that."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{value}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize("endings", [("",), ALL_OF_IT], ids=["file alone", "with -wal and -shm"])
@pytest.mark.parametrize("way", ["replaced", "deleted", "moved"])
def test_rows_logged_after_the_file_went_are_in_the_file_at_the_path(
    db: str,
    tmp_path: Path,
    column_x: Callable[[str], list[Any]],
    way: str,
    endings: tuple[str, ...],
) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": 1})
        other = other_file(tmp_path, 10, 11)
        for ending in endings:
            if way == "moved":
                os.rename(db + ending, str(tmp_path / "moved.db") + ending)
            elif way == "deleted" or ending:
                os.remove(db + ending)
        if way == "replaced":
            os.replace(other, db)
        there = [10, 11] if way == "replaced" else []
        tracker.log({"x": 2})
        assert column_x(db) == [*there, 2]
        tracker.log({"x": 3, "new": "column"})
        with tracker.batch():
            tracker.log({"x": 4})
        assert column_x(db) == [*there, 2, 3, 4]
        assert tracker.column("x") == [2, 3, 4]
        assert tracker.conn.execute("SELECT x FROM db.events").fetchall() == [
            (x,) for x in [*there, 2, 3, 4]
        ]
    assert column_x(db) == [*there, 2, 3, 4]
    assert integrity(db) == [("ok",)]


@pytest.mark.parametrize("endings", [("",), ALL_OF_IT], ids=["file alone", "with -wal and -shm"])
def test_a_file_that_was_moved_away_keeps_the_rows_logged_before(
    db: str, tmp_path: Path, column_x: Callable[[str], list[Any]], endings: tuple[str, ...]
) -> None:
    moved = str(tmp_path / "moved.db")
    with Tracker(db) as tracker:
        tracker.log({"x": 1})
        for ending in endings:
            os.rename(db + ending, moved + ending)
        tracker.log({"x": 2})
    assert column_x(moved) == [1]
    assert integrity(moved) == [("ok",)]


def test_a_folder_that_was_moved_away_is_made_anew(
    tmp_path: Path, column_x: Callable[[str], list[Any]]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with Tracker(folder / "track.db") as tracker:
        tracker.log({"x": 1})
        folder.rename(tmp_path / "moved")
        tracker.log({"x": 2})
    assert column_x(str(tmp_path / "moved" / "track.db")) == [1]
    assert column_x(str(folder / "track.db")) == [2]


@pytest.mark.parametrize("way", ["replaced", "deleted"])
@pytest.mark.parametrize("endings", [("",), ALL_OF_IT], ids=["file alone", "with -wal and -shm"])
def test_two_processes_go_on_after_their_file_went(
    db: str,
    tmp_path: Path,
    start_python: Callable[..., subprocess.Popen[str]],
    way: str,
    endings: tuple[str, ...],
) -> None:
    first, second = start_python(LOGGING, db, "first"), start_python(LOGGING, db, "second")
    assert [tell(first, 1), tell(second, 2)] == ["logged"] * 2
    other = other_file(tmp_path, 10)
    for ending in endings:
        os.remove(db + ending)
    if way == "replaced":
        os.replace(other, db)
    there = [10] if way == "replaced" else []
    said = [tell(first, 3), tell(second, 4), tell(first, 5), tell(second, 6)]
    assert said == ["logged"] * 4
    assert Reader(db).column("x") == [*there, 3, 4, 5, 6]
    for process in (first, second):
        process.communicate(timeout=60)
    assert Reader(db).column("x") == [*there, 3, 4, 5, 6]
    assert integrity(db) == [("ok",)]


def test_two_trackers_of_one_process_go_on_after_their_file_was_replaced(
    db: str, tmp_path: Path, column_x: Callable[[str], list[Any]]
) -> None:
    with Tracker(db, track_id="first") as first, Tracker(db, track_id="second") as second:
        first.log({"x": 1})
        second.log({"x": 2})
        os.replace(other_file(tmp_path, 10), db)
        for value in range(3, 7):
            (first if value % 2 else second).log({"x": value})
        assert column_x(db) == [10, 3, 4, 5, 6]
    assert column_x(db) == [10, 3, 4, 5, 6]
    assert integrity(db) == [("ok",)]


def test_a_file_may_be_replaced_again_and_again(
    db: str, tmp_path: Path, column_x: Callable[[str], list[Any]]
) -> None:
    with Tracker(db) as tracker:
        for number in range(10):
            tracker.log({"x": -1})
            os.replace(other_file(tmp_path, number), db)
            tracker.log({"x": 100 + number, f"new/{number}": number})
            assert Reader(db).column("x") == [number, 100 + number]
    assert column_x(db) == [9, 109]
    assert integrity(db) == [("ok",)]


def test_edits_and_deletes_reach_the_file_that_took_the_place(db: str, tmp_path: Path) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": 1, "name": "a"})
        reader = Reader(db)
        assert reader.column("x") == [1]
        copy(db, tmp_path / "same run.db")
        with Tracker(tmp_path / "same run.db", track_id="other") as other:
            other.log({"x": 10})
        os.replace(tmp_path / "same run.db", db)
        assert tracker.set_value("y", 5) == 1
        assert tracker.set_where("z", 6, "name", "a") == 1
        assert reader.delete_run("other") == 1
        assert [(r["x"], r["y"], r["z"]) for r in reader.rows()] == [(1, 5, 6)]


def test_a_file_that_took_the_place_is_read_before_anything_is_logged(
    db: str, tmp_path: Path
) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": 1})
        reader = Reader(db)
        query = "SELECT x FROM db.events"
        assert tracker.conn.execute(query).fetchall() == [(1,)]
        assert reader.conn.execute(query).fetchall() == [(1,)]
        os.replace(other_file(tmp_path, 10, 11), db)
        assert [row["x"] for row in tracker.rows(all=True)] == [10, 11]
        assert tracker.conn.execute(query).fetchall() == [(10,), (11,)]
        assert reader.column("x") == [10, 11]
        assert reader.conn.execute(query).fetchall() == [(10,), (11,)]
    assert integrity(db) == [("ok",)]


def test_no_row_is_lost_when_a_stranger_in_the_process_undoes_its_locks(
    db: str,
    run_python: Callable[..., str],
    start_python: Callable[..., subprocess.Popen[str]],
    column_x: Callable[[str], list[Any]],
) -> None:
    # To close any descriptor of a file drops all POSIX locks that the process has on it. The next
    # process to close the file then takes itself for the last user, and deletes the -wal.
    stranger = """
log = tracker.log
log({"x": -1})
def log_after_a_stranger(row):
    open(sys.argv[1], "rb").close()
    print("strange", flush=True)
    assert sys.stdin.readline() == "go on\\n"
    return log(row)
tracker.log = log_after_a_stranger
"""
    code = LOGGING.replace("for line", f"{stranger}\nfor line", 1)
    process = start_python(code, db, "run")
    expected = [-1]
    for value in range(0, 10, 2):
        assert tell(process, value) == "strange"
        other = "import sys\nwith xetrack.Tracker(sys.argv[1]) as t: t.log({'x': int(sys.argv[2])})"
        run_python(other, db, value + 1)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "logged\n"
        expected += [value + 1, value]
        assert column_x(db) == expected
    process.communicate(timeout=60)
    assert column_x(db) == expected
    assert integrity(db) == [("ok",)]


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all\n" * 1000)


def someone_elses(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);")


def later_format(path: Path) -> None:
    with Tracker(path) as tracker:
        tracker.log({"x": 10})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")


@pytest.mark.parametrize("endings", [("",), ALL_OF_IT], ids=["file alone", "with -wal and -shm"])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(no_database, NotADatabaseError, id="no database"),
        pytest.param(someone_elses, ForeignFileError, id="someone else's database"),
        pytest.param(later_format, LaterFormatError, id="a later format"),
    ],
)
def test_a_foreign_file_that_took_the_place_is_refused_and_not_changed(
    db: str,
    tmp_path: Path,
    make: Callable[[Path], None],
    error: type[StorageError],
    endings: tuple[str, ...],
) -> None:
    foreign = tmp_path / "foreign.db"
    make(foreign)
    before = foreign.read_bytes()
    with Tracker(db, on_storage_error="raise") as tracker:
        tracker.log({"x": 1})
        for ending in endings[1:]:
            os.remove(db + ending)
        os.replace(foreign, db)
        for _ in range(2):
            with pytest.raises(error):
                tracker.log({"x": 2})
            with pytest.raises(error):
                tracker.log_batch([{"x": 3}])
        with pytest.raises(error):
            tracker.rows()
    assert Path(db).read_bytes() == before


def test_a_folder_that_took_the_place_is_refused_until_it_is_gone(db: str) -> None:
    with Tracker(db, on_storage_error="raise") as tracker:
        tracker.log({"x": 1})
        for ending in ALL_OF_IT:
            os.remove(db + ending)
        os.mkdir(db)
        with pytest.raises(StorageError):
            tracker.log({"x": 2})
        with pytest.raises(StorageError):
            tracker.rows()
        os.rmdir(db)
        tracker.log({"x": 3})
    assert Reader(db).column("x") == [3]


def test_a_tracker_goes_on_once_a_foreign_file_has_left_the_place(db: str, tmp_path: Path) -> None:
    with Tracker(db, on_storage_error="raise") as tracker:
        tracker.log({"x": 1})
        someone_elses(tmp_path / "foreign.db")
        os.rename(db, tmp_path / "kept.db")
        os.replace(tmp_path / "foreign.db", db)
        with pytest.raises(ForeignFileError):
            tracker.log({"x": 2})
        os.replace(tmp_path / "kept.db", db)
        tracker.log({"x": 3})
    assert Reader(db).column("x") == [1, 3]
    assert integrity(db) == [("ok",)]


def test_a_link_that_leads_elsewhere_now_is_followed(db: str, tmp_path: Path) -> None:
    target = other_file(tmp_path, 10)
    shutil.copyfile(target, tmp_path / "second.db")
    os.symlink(target, db)
    with Tracker(db) as tracker:
        tracker.log({"x": 1})
        os.remove(db)
        os.symlink(tmp_path / "second.db", db)
        tracker.log({"x": 2})
    assert Reader(target).column("x") == [10, 1]
    assert Reader(tmp_path / "second.db").column("x") == [10, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_nothing_stays_open_on_a_file_that_was_replaced(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
import os, sys
tracker = xetrack.Tracker(sys.argv[1])
for number in range(5):
    tracker.log({"x": number})
    tracker.conn.execute("SELECT 1 FROM db.events").fetchall()
    with xetrack.Tracker("other.db") as other:
        other.log({"x": number})
    os.replace("other.db", sys.argv[1])
tracker.log({"x": 5})
tracker.conn.execute("SELECT 1 FROM db.events").fetchall()
numbers = os.listdir("/proc/self/fd")
links = [os.readlink(f"/proc/self/fd/{n}") for n in numbers if os.path.exists(f"/proc/self/fd/{n}")]
print([link for link in links if "(deleted)" in link])
"""
    assert run_python(code, db) == "[]\n"
