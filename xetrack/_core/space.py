"""Give what a deletion left free back to the disk."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .database import Database

_SLICE_PAGES = 1000


def shrink(database: Database) -> None:
    """Free all pages that can be freed, in slices between which others may write.

    Raises:
        StorageError: the file cannot be written.
    """
    with database.lock:
        db = database.connection()
        try:
            while _free_some(database, db):
                pass
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise database.explained(error) from error


def _free_some(database: Database, db: sqlite3.Connection) -> bool:
    """Free a slice; False where none is free, or the file was made without auto_vacuum."""
    (before,) = db.execute("PRAGMA freelist_count").fetchone()
    # execute() steps a statement without columns once, which frees one page; a script, to its end.
    database.patiently(lambda: db.executescript(f"PRAGMA incremental_vacuum({_SLICE_PAGES})"))
    (after,) = db.execute("PRAGMA freelist_count").fetchone()
    return bool(after < before)
