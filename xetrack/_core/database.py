"""One SQLite file and this process's connections to it: opening, transactions, forks, replacement.

Nothing opens the file but ``sqlite3``: POSIX locks belong to the process, and closing any other
descriptor of the file would drop those that SQLite holds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import warnings
import weakref
from collections import deque
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from . import forks
from .errors import BusyError, MissingFileError, NotADatabaseError, StorageError, StorageWarning
from .layout import FORMAT, file_format, migrate
from .opening import connect, is_busy, readable_uri, uri

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = ":memory:"
OLDEST_SQLITE = (3, 26, 0)

# A row that is committed alone rewrites the last page of the table and one of the index. With half
# of SQLite's usual page that takes a quarter less time; the file grows by 3 %, and to scan it takes
# a quarter more (docs/benchmarks.md).
_PAGE_BYTES = 2048
_LONGEST_NAP_S = 0.02
_stat = os.stat


class Database:
    """The connections of one process to one file; may be shared by threads.

    A connection is opened when first needed and kept, closed before a fork, and opened anew when
    the path leads to another file than at its opening.
    """

    def __init__(
        self,
        path: str,
        *,
        create: bool = False,
        durability: str = "normal",
        busy_timeout_s: float = 60.0,
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            reason = f"needs SQLite 3.26 or later, this Python brings {sqlite3.sqlite_version}"
            raise StorageError(path, reason)
        self.in_memory = path == IN_MEMORY
        self.path = path if self.in_memory else os.path.abspath(path)
        self.durability = durability
        self.busy_timeout_s = busy_timeout_s
        self.lock = threading.RLock()
        self._reading = threading.RLock()
        self._create = create
        self._writer: sqlite3.Cursor | None = None
        # What was opened: the inodes of the file and of its -wal, 0 for what there is not.
        self._log_path = self.path + "-wal"
        self._inode = self._log_inode = 0
        self._view: sqlite3.Connection | None = None
        self._viewed_changes = 0
        # In the order in which they are to be closed: one that only reads leaves the -wal behind.
        self._connections: deque[sqlite3.Connection] = deque()
        weakref.finalize(self, _close_all, self._connections)
        forks.survive(self)

    def cursor(self) -> sqlite3.Cursor:
        """The cursor to write with, on the file that the path leads to now; hold ``lock``.

        Two looks at the directory, a microsecond and a half, tell whether somebody replaced or
        removed the file or its ``-wal``: what is written to those is lost without an error.
        """
        writer = self._writer
        try:
            if (
                writer is None
                or (self._inode and _stat(self.path).st_ino != self._inode)
                or (self._log_inode and _stat(self._log_path).st_ino != self._log_inode)
            ):
                return self._open_writer()
        except OSError:
            return self._open_writer()
        return writer

    def connection(self) -> sqlite3.Connection:
        """The connection to write with; hold ``lock``.

        Raises:
            StorageError: the file cannot be opened for writing.
        """
        try:
            return self.cursor().connection
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, StorageError):
                raise
            raise self.explained(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection inside BEGIN IMMEDIATE ... COMMIT; nothing is kept when the block raises.

        Raises:
            BusyError: another writer held the file for ``busy_timeout_s``.
            StorageError: SQLite could not write.
        """
        with self.lock:
            db = self.connection()
            if db.in_transaction:  # a signal handler that logs, in the midst of a log
                yield db
                return
            try:
                self.patiently(db, "BEGIN IMMEDIATE")
                yield db
                self.patiently(db, "COMMIT")
            except sqlite3.Error as error:
                raise self.explained(error) from error
            finally:
                _roll_back(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees what is committed and keeps no writer waiting.

        Raises:
            StorageError: the file is not there, not ours, or cannot be read.
        """
        if self.in_memory:
            with self.lock:
                yield self.connection()
            return
        with self._reading:
            db = self._connected(readable_uri(self.path))
            try:
                if file_format(db, self.path) == 0:  # somebody is just making it
                    self._disconnect(db)
                    db = self._connected(IN_MEMORY)
                    migrate(db, self.path)
                db.execute("PRAGMA query_only = 1")
                db.execute("BEGIN")
                yield db
            except sqlite3.Error as error:
                raise self.explained(error) from error
            finally:
                self._disconnect(db)

    @property
    def view(self) -> sqlite3.Connection:
        """A connection that cannot write, on which the file is attached as ``db``.

        It follows what is committed. That of an in-memory database is a copy as of this access:
        on memory that is shared, a query half read would keep the writer from new columns.
        """
        with self.lock:
            changes = self.connection().total_changes if self.in_memory else 0
            if self._view is None or changes != self._viewed_changes:
                self._view = self.open_view()
                self._viewed_changes = changes
            return self._view

    def open_view(self, *, write: bool = False) -> sqlite3.Connection:
        """A new connection on which the file is attached as ``db``; writes only if asked to.

        Raises:
            StorageError: the file cannot be opened.
        """
        with self.lock:
            db = self._connected(":memory:")
            try:
                if self.in_memory:
                    self._attach_copy(db)
                else:
                    location = uri(self.path, "rw") if write else readable_uri(self.path)
                    db.execute("ATTACH ? AS db", (location,))
                    file_format(db, self.path, "db")
                # An attached file starts at FULL, and the pragma without "db." does not reach it.
                db.execute(f"PRAGMA db.synchronous = {self._synchronous()}")
                db.execute(f"PRAGMA busy_timeout = {int(self.busy_timeout_s * 1000)}")
                db.execute(f"PRAGMA query_only = {int(not write)}")
            except sqlite3.Error as error:
                raise self.explained(error) from error
            return db

    def _attach_copy(self, db: sqlite3.Connection) -> None:
        location = f"file:xetrack-{time.time_ns()}-{id(db)}?mode=memory&cache=shared"
        with closing(connect(location)) as copy:
            self.connection().backup(copy)
            db.execute("ATTACH ? AS db", (location,))

    def require_other(self, path: str) -> None:
        """Do nothing if *path* is none of the files of this database.

        Raises:
            StorageError: it is; to write there would destroy it.
        """
        for ending in () if self.in_memory else ("", "-wal", "-shm", "-journal"):
            if os.path.realpath(path) == os.path.realpath(self.path) + ending:
                raise StorageError(path, "belongs to the database itself; write to another file")

    def close(self) -> None:
        """Close every connection; a later call that needs one opens it again."""
        with self.lock, self._reading:
            self.forget(keep_memory=False)

    def forget(self, *, keep_memory: bool) -> None:
        """Close the connections to a file; those to memory only if told so."""
        if keep_memory and self.in_memory:
            return
        self._writer = self._view = None
        self._inode = self._log_inode = 0
        _close_all(self._connections)

    def hold(self) -> None:
        """Before a fork: let running calls end, and let go of the file.

        A child inherits SQLite's table of the locks that this process holds and then takes none.
        """
        self.lock.acquire()
        self._reading.acquire()
        self.forget(keep_memory=True)

    def release(self) -> None:
        """After a fork, in the parent."""
        self._reading.release()
        self.lock.release()

    def renew(self) -> None:
        """After a fork, in the child: the locks of threads that are not here any more."""
        self.lock, self._reading = threading.RLock(), threading.RLock()

    def _connected(self, location: str, *, writes: bool = False) -> sqlite3.Connection:
        db = connect(location)
        if writes:
            self._connections.append(db)
        else:
            self._connections.appendleft(db)
        return db

    def _disconnect(self, db: sqlite3.Connection) -> None:
        with suppress(ValueError):  # a fork has closed it
            self._connections.remove(db)
        db.close()

    def _open_writer(self) -> sqlite3.Cursor:
        if self._writer is not None:
            db, self._writer = self._writer.connection, None
            self._disconnect(db)
        mode = "rwc" if self._create else "rw"
        location = IN_MEMORY if self.in_memory else uri(self.path, mode)
        db = self._connected(location, writes=True)
        try:
            wal = self._prepare(db)
            self._inode = 0 if self.in_memory else os.stat(self.path).st_ino
            self._log_path = os.path.realpath(self.path) + "-wal"  # where SQLite puts it
            self._log_inode = os.stat(self._log_path).st_ino if wal else 0
        except BaseException:
            self._disconnect(db)
            raise
        self._writer = db.cursor()
        return self._writer

    def _prepare(self, db: sqlite3.Connection) -> bool:
        """Make the file one of ours if it is new; tell whether it has a write-ahead log."""
        if file_format(db, self.path) == 0:
            # In this order, and before WAL writes the first page.
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        wal = not self.in_memory and self._write_ahead(db)
        db.execute(f"PRAGMA synchronous = {self._synchronous() if wal else 'FULL'}")
        if file_format(db, self.path) < FORMAT:
            self.patiently(db, "BEGIN IMMEDIATE")
            try:
                migrate(db, self.path)
                self.patiently(db, "COMMIT")
            finally:
                _roll_back(db)
        return wal

    def _write_ahead(self, db: sqlite3.Connection) -> bool:
        try:
            (mode,) = self.patiently(db, "PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            (mode,) = self.patiently(db, "PRAGMA journal_mode = DELETE").fetchone()
        if mode != "wal":
            warnings.warn(
                f"{self.path}: no write-ahead log can be had here, journal mode {mode!r} is used: "
                "nothing is lost, but each row takes longer and readers wait for writers",
                StorageWarning,
                stacklevel=2,
            )
        return bool(mode == "wal")

    def _synchronous(self) -> str:
        return "FULL" if self.durability == "full" else "NORMAL"

    def patiently(self, db: sqlite3.Connection, statement: str) -> sqlite3.Cursor:
        """Execute *statement*, waiting for other writers with a jitter that keeps turns fair."""
        deadline = time.monotonic() + self.busy_timeout_s
        while True:
            try:
                return db.execute(statement)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if time.monotonic() > deadline:
                    raise BusyError(self.path, self.busy_timeout_s) from error
            time.sleep(_LONGEST_NAP_S * os.urandom(1)[0] / 255)

    def explained(self, error: Exception) -> StorageError:
        """What to raise in place of an error of SQLite or of the operating system."""
        if isinstance(error, StorageError):
            return error
        if not (self.in_memory or self._create or os.path.exists(self.path)):
            return MissingFileError(self.path)
        if isinstance(error, sqlite3.OperationalError) and is_busy(error):
            return BusyError(self.path, self.busy_timeout_s)
        if type(error) is sqlite3.DatabaseError:
            return NotADatabaseError(self.path, f"is not a readable SQLite database ({error})")
        return StorageError(self.path, f"{error}; nothing was stored")


def _roll_back(db: sqlite3.Connection) -> None:
    """End what is still open; after some errors SQLite has rolled back already."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _close_all(connections: deque[sqlite3.Connection]) -> None:
    while connections:
        connections.popleft().close()
