"""The rows of an event table as a file of another kind."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from . import adapters
from .errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .events import Slice
    from .store import Store


def write_csv(store: Store, which: Slice, path: str | os.PathLike[str] | None) -> int:
    """Write rows as CSV to the file at *path*, or to stdout where it is None; how many.

    Raises:
        StorageError: the file cannot be written, or is the database itself.
    """
    from . import render  # it imports csv and html, which takes 3 ms

    rows = store.rows(which)
    columns = render.columns_of(rows, store.columns())
    if path is None:
        return render.write_csv(rows, columns, sys.stdout)
    store.database.require_other(os.fspath(path))
    with _opened_to_write(path) as file:
        return render.write_csv(rows, columns, file)


def write_parquet(store: Store, track_id: str | None, path: str | os.PathLike[str]) -> int:
    """Write the rows of a run, or of all, as a Parquet file (extra ``duckdb``); how many.

    Raises:
        MissingExtraError: DuckDB is not installed.
        UnknownTableError: nothing was logged yet.
        StorageError: the file cannot be written, or is the database itself.
    """
    adapter = adapters.load("duckdb", "to_parquet()")
    return int(adapter.to_parquet(store.database, store.name, track_id, path))


@contextmanager
def _opened_to_write(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
    except OSError as error:
        raise StorageError(str(path), f"cannot be written ({error.strerror})") from error
