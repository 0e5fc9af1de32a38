"""How a path is opened by SQLite, also where nothing beside it can be written."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress

from .errors import MissingFileError, StorageError
from .patience import is_busy

# SQLite itself waits this long for a lock before we are asked again, so that Ctrl-C is heard.
SLICE_S = 1.0


def connect(location: str) -> sqlite3.Connection:
    """A connection on an SQLite URI, in autocommit, usable by any thread."""
    return sqlite3.connect(  # noqa: TID251  # here it is
        location, timeout=SLICE_S, isolation_level=None, check_same_thread=False, uri=True
    )


def uri(path: str, mode: str) -> str:
    """*path* as an SQLite URI; *mode* is "ro", "rw" or "rwc" (create)."""
    if os.sep == "\\":
        path = "/" + path.replace("\\", "/")
    for special, escape in (("%", "%25"), ("?", "%3f"), ("#", "%23")):
        path = path.replace(special, escape)
    return f"file:{path}?mode={mode}"


def inode_of(path: str) -> int:
    """The number of the file that *path* leads to, 0 where there is none."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def remove_if(path: str, inode: int) -> None:
    """Remove the file at *path* if it is the one of this number."""
    if inode and inode_of(path) == inode:
        with suppress(OSError):
            os.unlink(path)


def tidy_uri(path: str) -> str:
    """A URI to read the file at *path*, if it can be, in a way that leaves no ``-wal`` behind.

    SQLite clears it away with the last connection, unless that one was opened to read only.

    Raises:
        MissingFileError: there is no such file.
        StorageError: it cannot be opened.
    """
    _require_file(path)
    folder = os.path.dirname(os.path.realpath(path))
    return uri(path, "rw") if _is_writable(path) and _is_writable(folder) else readable_uri(path)


def readable_uri(path: str) -> str:
    """A URI that can only be read, even if the folder is read-only.

    Raises:
        MissingFileError: there is no such file.
        StorageError: it cannot be opened.
    """
    _require_file(path)
    location = uri(path, "ro")
    try:
        with closing(connect(location)) as db:
            db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return location
        return _frozen_uri(path)
    except sqlite3.DatabaseError:
        pass  # not a database: the caller's own look at the file says so best
    return location


def _is_writable(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _require_file(path: str) -> None:
    if not os.path.exists(path):
        raise MissingFileError(path)
    if os.path.isdir(path):
        raise StorageError(path, "is a folder; give the path of a file in it")


def _frozen_uri(path: str) -> str:
    """For a file in WAL mode beside which SQLite cannot make the shared memory that WAL needs."""
    try:
        waiting = os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0
        if not waiting:
            return uri(path, "ro") + "&immutable=1"
        # Under immutable=1 the rows that wait in the -wal would be missing.
        return uri(_private_copy(path), "rw")
    except OSError as error:
        raise StorageError(path, f"cannot be read ({error.strerror or error})") from error


_copies: dict[str, tuple[tuple[int, ...], str]] = {}


def _private_copy(path: str) -> str:
    """A copy of the file and its ``-wal`` in a temporary folder that goes with this process.

    The one place where bytes of a database are read past SQLite. It drops the locks that this
    process holds on the file, and it holds none: whoever gets here could not open it.
    """
    import atexit
    import shutil
    from tempfile import mkdtemp

    known, copy = _copies.get(path, ((), ""))
    state = _state(path)
    while state != known:
        folder = mkdtemp(prefix="xetrack-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        copy = os.path.join(folder, "copy.db")
        for ending in ("", "-wal"):
            shutil.copyfile(path + ending, copy + ending)
        known, state = state, _state(path)  # once more, if somebody wrote meanwhile
        _copies[path] = (known, copy)
    return copy


def _state(path: str) -> tuple[int, ...]:
    states = (os.stat(path), os.stat(path + "-wal"))
    return tuple(number for state in states for number in (state.st_mtime_ns, state.st_size))
