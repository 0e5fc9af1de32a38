"""One SQLite file and this process's connections to it: opening, transactions, forks, replacement.

Nothing opens the file but ``sqlite3``: POSIX locks belong to the process, and closing any other
descriptor of the file would drop those that SQLite holds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Callable, TypeVar

from . import forks
from .errors import BusyError, MissingFileError, NotADatabaseError, StorageError
from .layout import SYNCHRONOUS, NoLogError, drop_log, file_format, migrate, prepare
from .opening import connect, inode_of, readable_uri, remove_if, tidy_uri, uri
from .patience import is_busy, patiently, roll_back

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = ":memory:"
OLDEST_SQLITE = (3, 26, 0)

T = TypeVar("T")
_LAST_WAIT_S = 1.0
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
        self._inode = self._log_inode = self._shared_inode = 0
        self._view: sqlite3.Connection | None = None
        self._view_mark = 0  # what the view shows: changes of memory, or the file's inode
        # In the order in which they are to be closed: one that only reads leaves the -wal behind.
        self._connections: deque[sqlite3.Connection] = deque()
        # At exit it is ``leave`` that closes them: a daemon thread may be using one.
        closing_all = weakref.finalize(self, _close_all, self._connections)
        closing_all.atexit = False  # type: ignore[misc]  # it is a property, says the documentation
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
                self.patiently(lambda: db.execute("BEGIN IMMEDIATE"))
                yield db
                self.patiently(lambda: db.execute("COMMIT"))
            except sqlite3.Error as error:
                raise self.explained(error) from error
            finally:
                roll_back(db)

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
        if self._writer is not None:
            with self.lock:
                self.connection()  # if another file took the place of ours, nothing of it is left
        with self._reading:
            db = self._connected(tidy_uri(self.path))
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
            if self.in_memory:
                mark = self.connection().total_changes
            else:
                if self._writer is not None:
                    self.connection()  # if another file took the place, nothing of ours is left
                mark = inode_of(self.path)
            if self._view is None or mark != self._view_mark:
                self._view = self.open_view()
                self._view_mark = mark
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
                db.execute(f"PRAGMA db.synchronous = {SYNCHRONOUS[self.durability]}")
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
            viewed = self._view is not None
            self.forget(keep_memory=False)
            if viewed and not self.in_memory:
                with suppress(StorageError), self.reading():
                    pass  # what a view leaves beside the file goes with this connection

    def forget(self, *, keep_memory: bool) -> None:
        """Close the connections to a file; those to memory only if told so."""
        if keep_memory and self.in_memory:
            return
        self._writer = self._view = None
        self._inode = self._log_inode = self._shared_inode = 0
        _close_all(self._connections)

    def hold(self) -> None:
        """Before a fork: let running calls end, and let go of the file.

        A child inherits SQLite's table of the locks that this process holds and then takes none.
        """
        self.lock.acquire()
        self._reading.acquire()
        self.forget(keep_memory=True)

    def leave(self) -> None:
        """When the interpreter ends: let go of the file, and keep daemon threads from it."""
        if self.lock.acquire(timeout=_LAST_WAIT_S) and self._reading.acquire(timeout=_LAST_WAIT_S):
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
        self._leave_writer()
        if self._create and not self.in_memory:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
        try:
            db, wal = self._prepared(try_log=True)
        except NoLogError:
            db, wal = self._prepared(try_log=False)
        try:
            self._inode = 0 if self.in_memory else os.stat(self.path).st_ino
            self._log_path = os.path.realpath(self.path) + "-wal"  # where SQLite puts it
            self._log_inode = os.stat(self._log_path).st_ino if wal else 0
            self._shared_inode = os.stat(self._log_path[:-3] + "shm").st_ino if wal else 0
        except BaseException:
            self._disconnect(db)
            raise
        self._writer = db.cursor()
        return self._writer

    def _prepared(self, *, try_log: bool) -> tuple[sqlite3.Connection, bool]:
        """A new connection to write, and whether the file has a write-ahead log."""
        mode = "rwc" if self._create else "rw"
        location = IN_MEMORY if self.in_memory else uri(self.path, mode)
        if not try_log:
            with closing(connect(location)) as alone:
                drop_log(alone, self.path, self.busy_timeout_s)
        db = self._connected(location, writes=True)
        try:
            terms = (self.path, self.durability, self.busy_timeout_s)
            return db, prepare(db, *terms, try_log=try_log)
        except BaseException:
            self._disconnect(db)
            raise

    def _leave_writer(self) -> None:
        """Close what is open to write and to view, and leave nothing of a file that went.

        Where another file took its place, the ``-wal`` that stands there is still that of the file
        that was, and SQLite would lay it over the new one.
        """
        if self._writer is None:
            return
        db, self._writer = self._writer.connection, None
        if self._view is not None:
            self._disconnect(self._view)
            self._view = None
        went = bool(self._inode) and inode_of(self.path) != self._inode
        if went:
            with suppress(sqlite3.Error):  # what the file that was moved away does not have yet
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._disconnect(db)
        if went:
            remove_if(self._log_path, self._log_inode)
            remove_if(self._log_path[:-3] + "shm", self._shared_inode)

    def patiently(self, action: Callable[[], T]) -> T:
        """What *action* gives, which waits for other writers.

        Raises:
            BusyError: one of them held the file for ``busy_timeout_s``.
        """
        return patiently(action, self.path, self.busy_timeout_s)

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


def _close_all(connections: deque[sqlite3.Connection]) -> None:
    while connections:
        connections.popleft().close()
