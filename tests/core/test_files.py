"""The file: what is in its header, which files are refused, where it may lie, how it shrinks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import (
    ForeignFileError,
    LaterFormatError,
    MissingFileError,
    NotADatabaseError,
    Reader,
    StorageError,
    StorageWarning,
    Tracker,
    copy,
)
from xetrack._core.database import Database

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

NOBODY = 65534
needs_posix = pytest.mark.skipif(os.name == "nt", reason="permissions are another thing there")


def pragma(db: str, *names: str) -> dict[str, object]:
    """The settings of a file as any SQLite client sees them."""
    with closing(sqlite3.connect(db)) as connection:
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


def test_a_new_file_says_whose_it_is_and_how_it_is_kept(db: str) -> None:
    Tracker(db).log({"x": 1})
    names = ("application_id", "user_version", "auto_vacuum", "journal_mode", "integrity_check")
    assert pragma(db, *names) == {
        "application_id": 0x58455452,
        "user_version": 1,
        "auto_vacuum": 2,
        "journal_mode": "wal",
        "integrity_check": "ok",
    }


@pytest.mark.parametrize(
    ("durability", "synchronous"), [("normal", 1), ("full", 2)], ids=["normal", "full"]
)
def test_each_connection_syncs_as_the_durability_says(
    db: str, durability: str, synchronous: int
) -> None:
    with Tracker(db, durability=durability) as tracker:
        tracker.log({"x": 1})
        assert tracker.conn.execute("PRAGMA db.synchronous").fetchone() == (synchronous,)
    database = Database(db, durability=durability)
    with database.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    with closing(database.open_view(write=True)) as view:
        assert view.execute("PRAGMA db.synchronous").fetchone() == (synchronous,)
        view.execute("UPDATE db.events SET x = 2")
    database.close()
    assert Reader(db).column("x") == [2]


# -- files that are refused ------------------------------------------------------------------


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all\n" * 1000)


def someone_elses(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE events (a); INSERT INTO events VALUES (1);")


def someone_elses_with_wal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE events (a);")


def someone_elses_without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA application_id = 1; PRAGMA user_version = 1;")


def later_format(path: Path) -> None:
    with Tracker(path, track_id="run") as tracker:
        tracker.log({"x": 1})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def damaged(path: Path) -> None:
    with Tracker(path, track_id="run") as tracker:
        tracker.log({"x": 1})
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 2000)


REFUSED = [
    pytest.param(no_database, NotADatabaseError, id="no database"),
    pytest.param(someone_elses, ForeignFileError, id="someone else's"),
    pytest.param(someone_elses_with_wal, ForeignFileError, id="someone else's with WAL"),
    pytest.param(someone_elses_without_tables, ForeignFileError, id="someone else's, empty"),
    pytest.param(later_format, LaterFormatError, id="a later format"),
    pytest.param(damaged, NotADatabaseError, id="damaged"),
]


@pytest.mark.parametrize(("make", "error"), REFUSED)
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(Tracker, id="Tracker"),
        pytest.param(lambda path: Tracker(path, track_id="run").log({"x": 1}), id="log"),
        pytest.param(lambda path: Tracker(path, track_id="run").rows(), id="rows"),
        pytest.param(lambda path: Tracker(path, track_id="run").conn, id="conn"),
        pytest.param(lambda path: Tracker(path, reset=True), id="reset"),
        pytest.param(Reader, id="Reader"),
        pytest.param(lambda path: copy(path, "target.db"), id="copy from it"),
        pytest.param(lambda path: copy("source.db", path), id="copy to it"),
        pytest.param(lambda path: Database(str(path)).open_view(write=True), id="sql --write"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_stays_as_it_is(
    tmp_path: Path,
    make: Callable[[Path], None],
    error: type[StorageError],
    use: Callable[[Path], Any],
) -> None:
    with Tracker("source.db") as source:
        source.log({"x": 1})
    path = tmp_path / "theirs.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(error) as caught:
        use(path)
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"{path}: ")
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder.db"
    folder.mkdir()
    for use in (Tracker, Reader):
        with pytest.raises(StorageError) as caught:
            use(folder)
        assert str(caught.value).startswith(f"{folder}: ")
    assert list(folder.iterdir()) == []


def test_reading_a_missing_file_creates_nothing(tmp_path: Path) -> None:
    for use in (
        lambda: Reader("missing.db"),
        lambda: copy("missing.db", "target.db"),
        lambda: Reader("missing/folder/track.db"),
    ):
        with pytest.raises(MissingFileError):
            use()
    assert [name for name in os.listdir(tmp_path) if not name.startswith("target.db")] == []


def test_an_empty_file_becomes_ours_and_has_no_rows_before(db: str) -> None:
    Path(db).touch()
    reader = Reader(db)
    assert (reader.rows(), reader.track_ids(), len(reader)) == ([], [], 0)
    assert os.path.getsize(db) == 0
    Tracker(db).log({"x": 1})
    assert reader.column("x") == [1]
    assert pragma(db, "auto_vacuum", "journal_mode") == {"auto_vacuum": 2, "journal_mode": "wal"}


# -- where a file may lie --------------------------------------------------------------------


def test_a_tracker_makes_the_folders_of_its_file(tmp_path: Path) -> None:
    Tracker("a/b/c.db").log({"x": 1})
    assert Reader(tmp_path / "a" / "b" / "c.db").column("x") == [1]


@pytest.mark.parametrize(
    "name",
    [
        "a b.db",
        "what?.db",
        "x?mode=ro&cache=shared.db",
        "a#b.db",
        "100%.db",
        "%41%2f%3f.db",
        "naïve-日本語-🙂.db",
        "'quoted' \"twice\".db",
        "semi;colon&and=more.db",
        "no ending",
        "file:x.db",
        "-dash.db",
        "folder with space/ünï?#%.db",
    ],
)
@needs_posix
def test_a_path_is_taken_as_it_is_written(tmp_path: Path, name: str) -> None:
    with Tracker(name, track_id="run") as tracker:
        tracker.log({"x": 1})
        assert tracker.db == str(tmp_path / name)
        assert tracker.conn.execute("SELECT x FROM db.events").fetchall() == [(1,)]
        assert Reader(name).column("x") == [1]
        assert (tmp_path / name).is_file()
        assert (tmp_path / (name + "-wal")).is_file()
    assert copy(name, "copy.db") == 1
    assert copy("copy.db", name) == 0
    assert Reader(name).delete_run("run") == 1
    top = {name.partition("/")[0], "copy.db"}
    assert {entry.partition("-wal")[0].partition("-shm")[0] for entry in os.listdir()} == top


def test_a_path_may_be_a_path_object_or_bytes(tmp_path: Path) -> None:
    path = tmp_path / "track.db"
    Tracker(path, track_id="run").log({"x": 1})
    Tracker(os.fsencode(path), track_id="run").log({"x": 2})  # type: ignore[arg-type]
    assert Reader(path).column("x") == [1, 2]
    assert copy(path, tmp_path / "copy.db") == 2


def test_a_relative_path_means_the_same_file_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker("track.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tracker.log({"x": 1})
    reader = Reader("../track.db")
    monkeypatch.chdir(tmp_path)
    tracker.close()
    tracker.log({"x": 2})
    assert tracker.column("x") == reader.column("x") == [1, 2]
    assert os.listdir("elsewhere") == []


@needs_posix
def test_a_link_leads_to_the_file(tmp_path: Path, run_python: Callable[..., str]) -> None:
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "folder" / "track.db", "link.db")
    with Tracker("link.db", track_id="run") as tracker:
        tracker.log({"x": 1})
        other = "import sys\nxetrack.Tracker(sys.argv[1], track_id='run').log({'x': 2})"
        run_python(other, tmp_path / "folder" / "track.db")
        tracker.log({"x": 3})
        assert Reader("link.db").column("x") == [1, 2, 3]
    assert Reader("folder/track.db").column("x") == [1, 2, 3]


# -- reading where nothing can be written -----------------------------------------------------

# Somebody who may only read. Whatever is imported late is imported first, as the user may not be
# able to read the folders of the interpreter.
READING = """
import os, sys
with xetrack.Tracker("warm.db") as tracker:
    tracker.log({"x": 1})
with xetrack.Reader("warm.db") as reader:
    reader.rows()
import shutil, tempfile, warnings
tempfile.gettempdir()
warnings.simplefilter("error")
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others can look into; they cannot look into those of the test."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def lay_down(folder: Path, run_python: Callable[..., str], wal: str) -> str:
    """A file with ten rows, all of which or five of which are in the -wal; nobody has it open."""
    db = str(folder / "track.db")
    with Tracker(db, track_id="run") as tracker:
        tracker.log_batch([{"x": x} for x in range(10 if wal in ("none", "empty") else 5)])
    if wal == "empty":
        Path(db + "-wal").touch()
    elif wal == "waiting":
        code = """
import os, sys
tracker = xetrack.Tracker(sys.argv[1], track_id="run")
for x in range(5, 10):
    tracker.log({"x": x})
os._exit(0)
"""
        run_python(code, db)
        assert os.path.getsize(db + "-wal") > 0
        os.remove(db + "-shm")
    return db


@needs_posix
@pytest.mark.parametrize("wal", ["none", "empty", "waiting"])
@pytest.mark.parametrize("closed", ["file", "folder"])
def test_every_row_is_read_where_nothing_can_be_written(
    folder: Path,
    start_python: Callable[..., Any],
    run_python: Callable[..., str],
    closed: str,
    wal: str,
) -> None:
    db = lay_down(folder, run_python, wal)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o777 if closed == "file" else 0o555)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code = """
reader = xetrack.Reader(sys.argv[1])
print(reader.column("x"))
print([x for (x,) in reader.conn.execute("SELECT x FROM db.events")])
print(len(reader), [row["x"] for row in reader.rows(tail=2)], reader.latest_rows()[-1]["x"])
reader.close()
try:
    reader.set_value("x", 0)
except xetrack.StorageError as error:
    print("refused")
"""
    process = start_python(READING + code, db)
    out, err = process.communicate(timeout=60)
    ten = str(list(range(10)))
    assert (out, err) == (f"{ten}\n{ten}\n10 [8, 9] 9\nrefused\n", "")
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before}
    assert after == before


@needs_posix
@pytest.mark.parametrize("wal", ["none", "waiting"])
def test_a_source_of_copy_may_lie_where_nothing_can_be_written(
    folder: Path, run_python: Callable[..., str], wal: str
) -> None:
    db = lay_down(folder, run_python, wal)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    code = """
target = os.path.join(tempfile.mkdtemp(), "copy.db")
print(int(xetrack.copy(sys.argv[1], target)), int(xetrack.copy(sys.argv[1], target)))
print(xetrack.Reader(target).column("x"))
shutil.rmtree(os.path.dirname(target))
"""
    warm = 'xetrack.copy("warm.db", "warm too.db")\nimport shutil, tempfile\n'
    code = READING.replace("import shutil, tempfile", warm + "import shutil, tempfile") + code
    assert run_python(code, db) == f"10 0\n{list(range(10))}\n"


@needs_posix
@pytest.mark.slow
def test_a_reader_of_a_read_only_folder_follows_what_others_write_there(
    folder: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    db = str(folder / "track.db")
    code = """
reader = xetrack.Reader(sys.argv[1])
for line in sys.stdin:
    print(reader.column("x"), flush=True)
"""
    with Tracker(db) as tracker:
        tracker.log({"x": 0})
        folder.chmod(0o555)
        process = start_python(READING + code, db)
        assert process.stdin is not None
        assert process.stdout is not None
        said = []
        for x in range(1, 4):
            process.stdin.write("read\n")
            process.stdin.flush()
            said.append(process.stdout.readline())
            tracker.log({"x": x})
        assert said == ["[0]\n", "[0, 1]\n", "[0, 1, 2]\n"]
        assert process.communicate(timeout=60) == ("", "")


@needs_posix
def test_a_folder_in_which_nothing_can_be_written_is_refused(
    folder: Path, run_python: Callable[..., str]
) -> None:
    folder.chmod(0o555)
    code = """
for path in (sys.argv[1] + "/track.db", sys.argv[1] + "/sub/track.db"):
    try:
        xetrack.Tracker(path, on_storage_error="raise").log({"x": 1})
    except xetrack.StorageError as error:
        print(str(error).startswith(path + ": "), error.path == path)
"""
    assert run_python(READING + code, folder) == "True True\nTrue True\n"
    assert list(folder.iterdir()) == []


def test_a_query_that_is_half_read_keeps_no_writer_waiting(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log_batch([{"x": x} for x in range(2000)])
        reader = Reader(db)
        cursors = [c.execute("SELECT x FROM db.events") for c in (tracker.conn, reader.conn)]
        assert [cursor.fetchone() for cursor in cursors] == [(0,), (0,)]
        code = """
import sys
with xetrack.Tracker(sys.argv[1], track_id="run") as tracker:
    for x in range(10):
        tracker.log({"x": x, f"new/{x}": x})
    tracker.log({"x": 0.5})
"""
        process = start_python(code, db)
        _, err = process.communicate(timeout=30)  # less than a writer would wait
        assert process.returncode == 0, err
        tracker.log({"x": 1})
        assert [len(cursor.fetchall()) for cursor in cursors] == [1999, 1999]
        assert len(tracker.conn.execute("SELECT x FROM db.events").fetchall()) == 2012


def test_conn_refuses_to_write(db: str) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": 1})
        reader = Reader(db)
        for connection in (tracker.conn, reader.conn):
            for statement in (
                "UPDATE db.events SET x = 2",
                "DELETE FROM db.events",
                "DROP TABLE db.events",
                "CREATE TABLE db.other (a)",
                "PRAGMA db.user_version = 5",
            ):
                with pytest.raises(sqlite3.OperationalError):
                    connection.execute(statement)
    assert Reader(db).column("x") == [1]
    assert pragma(db, "user_version") == {"user_version": 1}


# -- where there can be no write-ahead log ----------------------------------------------------


@needs_posix
@pytest.mark.parametrize("obstacle", ["folder", "endless link"])
def test_where_no_write_ahead_log_can_be_had_rows_are_kept_in_another_way(
    db: str, run_python: Callable[..., str], obstacle: str
) -> None:
    if obstacle == "folder":
        os.mkdir(db + "-shm")
    else:
        os.symlink(db + "-shm", db + "-shm")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with Tracker(db, track_id="run") as tracker:
            for x in range(5):
                tracker.log({"x": x, f"new/{x}": x})
            tracker.log_batch([{"x": 5.5}])
            assert tracker.column("x") == [0, 1, 2, 3, 4, 5.5]
            assert Reader(db).column("x") == [0, 1, 2, 3, 4, 5.5]
            assert len(tracker.conn.execute("SELECT x FROM db.events").fetchall()) == 6
    assert [warning.category for warning in warned] == [StorageWarning]
    code = """
import sys, warnings
warnings.simplefilter("ignore")
tracker = xetrack.Tracker(sys.argv[1], track_id="run")
tracker.log({"x": 6})
print(tracker.column("x"))
"""
    assert run_python(code, db) == "[0.0, 1.0, 2.0, 3.0, 4.0, 5.5, 6.0]\n"
    names = ("journal_mode", "auto_vacuum", "integrity_check")
    assert tuple(pragma(db, *names).values()) == ("delete", 2, "ok")


@needs_posix
def test_several_writers_share_a_file_without_a_write_ahead_log(db: str) -> None:
    os.mkdir(db + "-shm")
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with Tracker(db, track_id=name) as tracker:
                for x in range(20):
                    tracker.log({"x": x, name: x})
        except BaseException as error:  # noqa: BLE001  # told below
            failures.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Tracker(db, track_id="first") as first:
            first.log({"x": 0})
        threads = [threading.Thread(target=work, args=(f"run-{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
    reader = Reader(db)
    assert {name: reader.column("x", name) for name in reader.track_ids()} == {
        "first": [0],
        **{f"run-{n}": list(range(20)) for n in range(3)},
    }


# -- what is deleted goes from the disk -------------------------------------------------------


@pytest.mark.parametrize("reading", [False, True], ids=["alone", "while it is open elsewhere"])
def test_to_delete_a_run_shrinks_the_file_and_frees_its_assets(db: str, *, reading: bool) -> None:
    only, shared = os.urandom(700_000), os.urandom(200_000)
    with Tracker(db, track_id="kept") as kept:
        ours = kept.assets.add(shared)
        kept.log({"x": 1, "asset": ours})
    size = os.path.getsize(db)
    with Tracker(db, track_id="dropped") as dropped:
        dropped.log({"x": 2, "asset": ours, "only": dropped.assets.add(only)})
        dropped.log_batch([{"text": "x" * 500, "x": x} for x in range(3000)])
    assert os.path.getsize(db) > size + 2_000_000
    with Reader(db) as reader, Reader(db) as other:
        if reading:
            assert other.conn.execute("SELECT count(*) FROM db.events").fetchone() == (3002,)
        assert reader.delete_run("dropped") == 3001
        assert os.path.getsize(db) < size + 50_000
        assert list(reader.assets) == [ours]
        assert reader.get(ours) == shared
        assert reader.column("x") == [1]
    assert pragma(db, "freelist_count", "integrity_check") == {
        "freelist_count": 0,
        "integrity_check": "ok",
    }


def test_to_remove_an_asset_or_reset_a_table_shrinks_the_file(db: str) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"x": 1})
        tracker.close()
        size = os.path.getsize(db)
        tracker.log({"asset": tracker.assets.add(os.urandom(500_000))})
        assert tracker.remove_asset("asset") == 1
        assert os.path.getsize(db) < size + 50_000
        tracker.log_batch([{"text": "x" * 500} for _ in range(2000)])
    with Tracker(db, reset=True) as tracker:
        assert os.path.getsize(db) < size + 50_000
        tracker.log({"x": 2})
    assert Reader(db).column("x") == [2]
