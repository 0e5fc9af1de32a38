"""One SQL statement of the user's own, on a connection on which the file is ``db``."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from . import adapters
from .database import Database
from .errors import QueryError

if TYPE_CHECKING:
    import os


_STEPS = 100_000  # of SQLite's virtual machine: some milliseconds


class Result(NamedTuple):
    """What a statement gave: names and rows of a query, and how many rows it changed."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    changed: int


def run_in_duckdb(path: str | os.PathLike[str], statement: str) -> Result:
    """The same in DuckDB's SQL, which can only read (extra ``duckdb``).

    Raises:
        QueryError: DuckDB refused it.
        StorageError: the file cannot be read.
        MissingExtraError: DuckDB is not installed.
    """
    adapter = adapters.load("duckdb", "xt sql --engine duckdb")
    database = Database(str(path))
    try:
        columns, rows = adapter.sql(database, statement)
    finally:
        database.close()
    return Result(columns, rows, 0)


def run(path: str | os.PathLike[str], statement: str, *, write: bool = False) -> Result:
    """Execute one statement on the file at *path*, which is ``db`` in it.

    Raises:
        QueryError: SQLite refused it; without *write*, whatever would change the file.
        StorageError: the file cannot be opened.
    """
    database = Database(str(path))
    try:
        with closing(database.open_view(write=write) if write else database.view) as db:
            # A look at Python now and then, which is when Ctrl-C is heard.
            db.set_progress_handler(lambda: 0, _STEPS)
            cursor = db.execute(statement)
            columns = [column[0] for column in cursor.description or ()]
            return Result(columns, cursor.fetchall(), max(cursor.rowcount, 0))
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        reason = str(error)
        if reason == "interrupted":
            raise KeyboardInterrupt from None
        if "readonly" in reason or "query_only" in reason:
            reason += " (to change the file: xt sql --write)"
        raise QueryError(statement, reason) from error
    finally:
        database.close()
