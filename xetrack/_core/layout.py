"""What makes an SQLite file one of ours: its header, its own tables, how formats follow each other.

See docs/file-format.md for what each table means.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from .errors import ForeignFileError, LaterFormatError, NotADatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID = 0x58455452  # "XETR"

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
