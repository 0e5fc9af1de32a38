"""What makes an SQLite file one of ours: its header, its own tables, how formats follow each other.

See docs/file-format.md for what each table means.
"""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import ForeignFileError, LaterFormatError, NotADatabaseError, StorageWarning
from .patience import patiently, roll_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPLICATION_ID = 0x58455452  # "XETR"
SYNCHRONOUS = {"normal": "NORMAL", "full": "FULL"}  # by durability

# A row that is committed alone rewrites the last page of the table and one of the index. With half
# of SQLite's usual page that takes a quarter less time; the file grows by 3 %, and to scan it takes
# a quarter more (docs/benchmarks.md).
_PAGE_BYTES = 2048

_FORMAT_1 = (
    # The runs of each table, with the timestamp of the first row. An ordinary rowid table, like
    # all others here: DuckDB cannot count the rows of a WITHOUT ROWID table.
    """CREATE TABLE {schema}.runs (
        track_id TEXT NOT NULL, "table" TEXT NOT NULL, started TEXT NOT NULL,
        PRIMARY KEY (track_id, "table"))""",
    """CREATE TABLE {schema}.assets (
        id TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
        type TEXT NOT NULL, size INTEGER NOT NULL, created TEXT NOT NULL)""",
    """CREATE TABLE {schema}.asset_chunks (
        asset TEXT NOT NULL, position INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (asset, position))""",
    """CREATE TABLE {schema}.asset_refs (
        "table" TEXT NOT NULL, track_id TEXT NOT NULL, key TEXT NOT NULL, asset TEXT NOT NULL,
        timestamp TEXT NOT NULL, PRIMARY KEY ("table", track_id, key, asset))""",
    "CREATE INDEX {schema}.asset_refs_by_asset ON asset_refs (asset)",
    # Columns that ever held an integer with no equal float: to be looked through when one of them
    # becomes REAL, so that all others need not be.
    """CREATE TABLE {schema}.big_integers (
        "table" TEXT NOT NULL, "column" TEXT NOT NULL, PRIMARY KEY ("table", "column"))""",
)


def _create(db: sqlite3.Connection, schema: str) -> None:
    db.execute(f"PRAGMA {schema}.application_id = {APPLICATION_ID}")
    for statement in _FORMAT_1:
        db.execute(statement.format(schema=schema))


# The step at index N makes format N + 1 of format N; format 0 is an empty file.
MIGRATIONS: tuple[Callable[[sqlite3.Connection, str], None], ...] = (_create,)
FORMAT = len(MIGRATIONS)


def file_format(db: sqlite3.Connection, path: str, schema: str = "main") -> int:
    """The format of the open file, 0 where it is still empty.

    Raises:
        NotADatabaseError: SQLite cannot read it.
        ForeignFileError: something else made it.
        LaterFormatError: a later xetrack wrote it.
    """
    try:
        made_by, version, tables = _header(db, schema)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise NotADatabaseError(path, f"is not a readable SQLite database ({error})") from error
    if made_by == 0 and version == 0 and tables == 0:
        return 0
    if made_by != APPLICATION_ID:
        raise ForeignFileError(
            path, f"is an SQLite database that xetrack did not make (application_id {made_by})"
        )
    if version > FORMAT:
        reason = f"has format {version}, this xetrack reads up to {FORMAT}; upgrade xetrack"
        raise LaterFormatError(path, reason)
    return int(version)


def _header(db: sqlite3.Connection, schema: str) -> tuple[int, int, int]:
    """application_id, user_version and the number of tables, all as of one moment."""
    alone = not db.in_transaction
    if alone:
        db.execute("BEGIN")
    try:
        (made_by,) = db.execute(f"PRAGMA {schema}.application_id").fetchone()
        (version,) = db.execute(f"PRAGMA {schema}.user_version").fetchone()
        (tables,) = db.execute(f"SELECT count(*) FROM {schema}.sqlite_master").fetchone()
    finally:
        if alone:
            db.execute("COMMIT")
    return made_by, version, tables


def migrate(db: sqlite3.Connection, path: str, schema: str = "main") -> None:
    """Bring the open file to the present format, inside the caller's transaction."""
    for version in range(file_format(db, path, schema), FORMAT):
        MIGRATIONS[version](db, schema)
        db.execute(f"PRAGMA {schema}.user_version = {version + 1}")


class NoLogError(Exception):
    """A write-ahead log cannot be had; the file must be opened anew. Never leaves the core."""


def prepare(
    db: sqlite3.Connection, path: str, durability: str, timeout_s: float, *, try_log: bool
) -> bool:
    """Make the open file one of ours if it is new; tell whether it has a write-ahead log.

    Raises:
        NoLogError: it was asked for one, and cannot be written with it: see ``drop_log``.
    """
    is_new = file_format(db, path) == 0
    if is_new:
        # In this order, and before WAL writes the first page.
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if try_log:
            _begin_log(db, path, timeout_s)
    (mode,) = patiently(lambda: db.execute("PRAGMA journal_mode"), path, timeout_s).fetchone()
    has_log = mode == "wal"
    db.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability] if has_log else 'FULL'}")
    if file_format(db, path) < FORMAT:
        with _transaction(db, path, timeout_s):
            migrate(db, path)
    if mode not in ("wal", "memory"):
        warnings.warn(
            f"{path}: has no write-ahead log, its journal mode is {mode!r}: nothing is lost, but "
            "each row takes longer, and readers and writers wait for each other",
            StorageWarning,
            stacklevel=2,
        )
    return bool(has_log)


def drop_log(db: sqlite3.Connection, path: str, timeout_s: float) -> None:
    """Take back that the file has a write-ahead log, on a connection that has not used it yet.

    Without shared memory only one that has the file for itself can read a log at all.
    """
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    patiently(lambda: db.execute("PRAGMA journal_mode = DELETE").fetchone(), path, timeout_s)


def _begin_log(db: sqlite3.Connection, path: str, timeout_s: float) -> None:
    """Give a new file a write-ahead log, and see whether it can be written with it.

    Only a new one: to try it on another would take the file from under those who write it.
    """
    try:
        patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone(), path, timeout_s)
        with _transaction(db, path, timeout_s):
            pass
    except sqlite3.OperationalError as error:
        raise NoLogError from error


@contextmanager
def _transaction(db: sqlite3.Connection, path: str, timeout_s: float) -> Iterator[None]:
    patiently(lambda: db.execute("BEGIN IMMEDIATE"), path, timeout_s)
    try:
        yield
        patiently(lambda: db.execute("COMMIT"), path, timeout_s)
    finally:
        roll_back(db)
