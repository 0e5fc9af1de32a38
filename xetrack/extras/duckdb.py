"""DuckDB: ``conn`` as a DuckDB connection, queries, Parquet files, all on a snapshot of the file.

DuckDB carries an SQLite of its own, and two of them in one process undo each other's locks: DuckDB
is given a private copy, never the file itself.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import weakref
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import duckdb

from .._core import forks
from .._core.errors import QueryError, StorageError, UnknownTableError
from .._core.names import INTERNAL_TABLES, OVERFLOW, TRACK_ID, fold, quoted
from .._core.opening import connect, uri
from .._core.parquet import write_table
from .._core.table import Table
from .._core.values import BLOB, BOOLEAN, INTEGER, JSON, REAL, TEXT, affinity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._core.database import Database

_SCANNER_PACKAGE = "duckdb_extension_sqlite_scanner"
# Views and virtual tables have no page; what begins so is SQLite's own.
_TABLES = "SELECT name FROM sqlite_master WHERE rootpage > 0 AND type = 'table' ORDER BY rowid"
_DUCKDB_TYPES = {
    BOOLEAN: "BOOLEAN",
    INTEGER: "BIGINT",
    REAL: "DOUBLE",
    TEXT: "VARCHAR",
    JSON: "VARCHAR",
    BLOB: "BLOB",
}

# The connections that were handed out, each with the snapshot that it reads: the snapshot's files
# go when the last of them is gone. From DuckDB 1.5 on, a relation keeps its connection.
_handed: weakref.WeakKeyDictionary[duckdb.DuckDBPyConnection, _Snapshot]
_handed = weakref.WeakKeyDictionary()


class Snapshots:
    """What ``conn`` is with ``engine="duckdb"``; may be shared by threads.

    Each thread has a DuckDB connection of its own, in which the file is ``db``, as of the last
    access of ``conn`` and read-only. A connection that is kept stays as it is; so it is the
    connection that must be kept, not only a ``cursor()`` of it, or a relation before DuckDB 1.5.

    Args:
        database: the file, or the memory, to be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._is_forked = False
        self._state: tuple[object, ...] = ()
        self._snapshot: _Snapshot | None = None
        self._threads = threading.local()
        self._living: weakref.WeakSet[_Snapshot] = weakref.WeakSet()
        forks.survive(self)

    @property
    def conn(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection that sees all that was committed before this access.

        Raises:
            StorageError: the file is not there, or cannot be read.
        """
        with self._lock:
            state = self._present_state()
            if self._snapshot is None or state != self._state:
                if self._is_forked:
                    self._is_forked = False
                    # That of the module, which DuckDB 1 makes when it is imported.
                    _keep_for_ever(duckdb.connect(":default:"))
                self._snapshot = _Snapshot(self._database)
                self._living.add(self._snapshot)
                self._state = state
                self._threads = threading.local()
            conn: duckdb.DuckDBPyConnection | None = getattr(self._threads, "conn", None)
            if conn is None or _is_closed(conn):
                conn = self._threads.conn = self._snapshot.duck.cursor()
                _handed[conn] = self._snapshot
            return conn

    def close(self) -> None:
        """Close every connection handed out and remove its files; ``conn`` makes new ones."""
        with self._lock:
            for snapshot in list(self._living):
                snapshot.close()
            self._forget()

    def hold(self) -> None:
        """Before a fork: nothing, since the database closes what is open on the file."""

    def leave(self) -> None:
        """When the interpreter ends: nothing, the snapshots see to their files themselves."""

    def release(self) -> None:
        """After a fork, in the parent: nothing, all goes on."""

    def renew(self) -> None:
        """After a fork, in the child: what is there is the parent's; begin anew.

        A DuckDB whose threads did not come along crashes the process when it is closed, be it by
        the end of the process. So those that came along stay, whoever drops them.
        """
        for snapshot in list(self._living):
            _keep_for_ever(snapshot.duck)
        for conn, snapshot in list(_handed.items()):
            if snapshot in self._living:
                _keep_for_ever(conn)
        self._lock = threading.RLock()
        self._living = weakref.WeakSet()
        self._is_forked = True
        self._forget()

    def _forget(self) -> None:
        self._snapshot = None
        self._threads = threading.local()

    def _present_state(self) -> tuple[object, ...]:
        """What is another whenever somebody, of this or another process, has committed since.

        SQLite's ``data_version`` tells it in some microseconds, but one connection alone can
        compare two of them. So the connection is part of the state: where a fork, ``close`` or
        another file at this path made the database open a new one, a new snapshot is made too.
        What the directory says is there for a file that SQLite opens as never to change.
        """
        database = self._database
        with database.lock:
            if database.in_memory:
                memory = database.connection()
                return memory, memory.total_changes
            view = database.view
            try:
                (version,) = view.execute("PRAGMA db.data_version").fetchone()
            except sqlite3.Error as error:
                raise database.explained(error) from error
            log = os.path.realpath(database.path) + "-wal"
            return view, version, _look(database.path), _look(log)


def sql(database: Database, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows that *query* gives, in DuckDB's SQL, where the file is ``db``.

    Raises:
        QueryError: DuckDB refused it.
        StorageError: the file cannot be read.
    """
    with closing(Snapshots(database)) as snapshots:
        conn = snapshots.conn
        try:
            conn.execute(query)
            return [column[0] for column in conn.description or ()], conn.fetchall()
        except duckdb.Error as error:
            reason = str(error).partition("\n\nLINE")[0].replace("\n", " ")
            raise QueryError(query, reason) from error


def to_parquet(
    database: Database, table_name: str, where_track_id: str | None, path: str | os.PathLike[str]
) -> int:
    """Write the rows of a table, or of one run of it, as a Parquet file; how many.

    Columns have the types that were logged, and a NaN is a NaN again. What a column has no place
    for (an integer beyond 64 bits, a key that SQL has no name for) stays in the text column
    ``_overflow``, as docs/file-format.md tells.

    Raises:
        UnknownTableError: there is no such table.
        StorageError: the file cannot be read, or *path* not be written.
    """
    target = os.path.abspath(os.fspath(path))
    database.require_other(target)
    with closing(_Snapshot(database, only=table_name)) as snapshot:
        known = {fold(name): name for name in snapshot.columns}
        if fold(table_name) not in known:
            events = tuple(name for name in snapshot.columns if name not in INTERNAL_TABLES)
            raise UnknownTableError(table_name, database.path, events)
        name = known[fold(table_name)]
        listed = ", ".join(_exported(snapshot.columns[name]))
        run = "" if where_track_id is None else f"WHERE {TRACK_ID} = {_literal(where_track_id)}"
        rows = f"SELECT {listed} FROM db.{quoted(name)} AS t {run}"  # noqa: S608  # all quoted
        try:
            written = snapshot.duck.execute(f"COPY ({rows}) TO {_literal(target)} (FORMAT parquet)")
        except duckdb.IOException as error:
            reason = str(error).partition("\n")[0]
            raise StorageError(target, f"cannot be written ({reason})") from error
        counted = written.fetchone()
        return int(counted[0]) if counted else 0


def _exported(columns: Mapping[str, str]) -> Iterator[str]:
    """Each column as an expression that gives the type and value that were logged."""
    for name, declared in columns.items():
        column = f"t.{quoted(name)}"
        if affinity(declared) == BOOLEAN:  # the scanner gives a BIGINT
            yield f"CAST({column} AS BOOLEAN) AS {quoted(name)}"
        elif affinity(declared) == REAL and OVERFLOW in columns:
            # JSON Pointer; overflow.py doubles a leading "$".
            key = "$" * name.startswith("$") + name.replace("~", "~0").replace("/", "~1")
            tag = f"json_extract_string(t.{OVERFLOW}, {_literal(f'/{key}/$f')})"
            is_nan = f"CASE WHEN json_valid(t.{OVERFLOW}) THEN {tag} = 'nan' END"
            yield f"CASE WHEN {is_nan} THEN 'nan'::DOUBLE ELSE {column} END AS {quoted(name)}"
        else:
            yield column


class _Snapshot:
    """A DuckDB in which the file, as it was at one moment, is ``db``, and the files it reads.

    Attributes:
        duck: its first connection; those of threads are made of it.
        columns: the declared type of each column, by table.
    """

    def __init__(self, database: Database, only: str | None = None) -> None:
        folder = tempfile.mkdtemp(prefix="xetrack-")  # of mode 0700
        # What DuckDB has no memory for, it would put into the working folder.
        self.duck = duckdb.connect(config={"temp_directory": os.path.join(folder, "spill")})
        self.columns: dict[str, dict[str, str]] = {}
        self.close = weakref.finalize(self, _discard, self.duck, folder, os.getpid())
        # A forked worker of multiprocessing ends without what others do at exit.
        workers = sys.modules.get("multiprocessing.util")
        if workers is not None:
            workers.Finalize(self, self.close, exitpriority=1)
        try:
            if _load_scanner(self.duck):
                self._attach_copy(database, os.path.join(folder, "snapshot.db"))
            else:
                self._hand_over(database, folder, only)
        except BaseException:
            self.close()
            raise

    def _attach_copy(self, database: Database, path: str) -> None:
        _make_private(path)
        with database.reading() as db, closing(connect(uri(path, "rw"))) as copy:
            self.columns = {table.name: table.columns for table in _tables(db)}
            copy.execute("PRAGMA synchronous = OFF")
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # so that it is one file
        self.duck.execute(f"ATTACH {_literal(path)} AS db (TYPE sqlite, READ_ONLY)")

    def _hand_over(self, database: Database, folder: str, only: str | None) -> None:
        """Give DuckDB each table as a Parquet file, below a view: a view refuses every change."""
        self.duck.execute("ATTACH ':memory:' AS db")
        views = []
        with database.reading() as db:
            for number, table in enumerate(_tables(db)):
                self.columns[table.name] = table.columns
                if only is None or fold(only) == fold(table.name):
                    path = os.path.join(folder, f"{number}.parquet")
                    views.append(_view(table, path, write_table(db, table, path)))
        for view in views:
            self.duck.execute(view)


def _load_scanner(duck: duckdb.DuckDBPyConnection) -> bool:
    """Whether DuckDB can read SQLite files: an extension that is installed, or that of PyPI.

    It is never installed from the internet: that may hang, and what is there tomorrow would decide
    what a program does. Who wants it says ``INSTALL sqlite`` in DuckDB once.
    """
    duck.execute("SET autoinstall_known_extensions = false")  # LOAD would go to the internet
    try:
        return any(_loads(duck, place) for place in ("sqlite", *_scanner_files(duck)))
    finally:
        duck.execute("RESET autoinstall_known_extensions")


def _loads(duck: duckdb.DuckDBPyConnection, place: str) -> bool:
    try:
        duck.execute(f"LOAD {_literal(place)}")
    except duckdb.Error:
        return False
    return True


def _scanner_files(duck: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The extension in its package, which is looked for and not imported."""
    found = find_spec(_SCANNER_PACKAGE)
    version = duck.execute("SELECT library_version FROM pragma_version()").fetchone()
    for folder in (found and found.submodule_search_locations) or ():
        file = "sqlite_scanner.duckdb_extension"
        path = os.path.join(folder, "extensions", str(version and version[0]), file)
        if os.path.exists(path):
            yield path


def _tables(db: sqlite3.Connection) -> Iterator[Table]:
    names = [name for (name,) in db.execute(_TABLES) if not fold(name).startswith("sqlite_")]
    for name in names:
        table = Table.load(db, name)
        if table is not None:
            yield table


def _discard(duck: duckdb.DuckDBPyConnection, folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child has the parent's finalizers too
        duck.close()
        shutil.rmtree(folder, ignore_errors=True)


def _keep_for_ever(thing: object) -> None:
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _is_closed(conn: duckdb.DuckDBPyConnection) -> bool:
    try:
        conn.cursor()
    except duckdb.ConnectionException:
        return True
    return False


def _look(path: str) -> tuple[int, int, int]:
    """The inode, time of change and size of a file; zeros where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


def _make_private(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _view(table: Table, path: str, kinds: Sequence[str]) -> str:
    """The statement that makes a table of the file at *path*."""
    columns = ", ".join(
        f"CAST(c{position} AS {_DUCKDB_TYPES[kind]}) AS {quoted(name)}"
        for position, (name, kind) in enumerate(zip(table.columns, kinds))
    )
    source = f"SELECT {columns} FROM read_parquet({_literal(path)})"  # noqa: S608  # all quoted
    return f"CREATE VIEW db.main.{quoted(table.name)} AS {source}"
