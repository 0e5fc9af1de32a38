"""Run: the rows of one run, as they can be read."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from .events import Slice
from .shelf import Assets

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from .store import Store

_ENDS = 5  # rows at each end of a long run that print() shows


class Run:
    """The reading half of a Tracker.

    Attributes:
        track_id: the name of the run.
        assets: the assets of its file.
    """

    def __init__(self, store: Store, track_id: str, *, allow_pickle: bool) -> None:
        self.track_id = track_id
        self.assets = Assets(store.database, store.name, track_id, allow_pickle=allow_pickle)
        self._store = store

    @property
    def db(self) -> str:
        """The path of the file, or ``Tracker.IN_MEMORY``."""
        return self._store.database.path

    def rows(
        self,
        all: bool = False,  # noqa: A002  # the seed's word, for to_df(all=True)
        head: int | None = None,
        tail: int | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of the run as dicts, in order of arrival; with *all*, of every run.

        Each has every column of the table, with None where it has no value.
        """
        return self._store.rows(Slice(None if all else self.track_id, head, tail))

    def column(self, name: str) -> list[Any]:
        """The values of one key in the rows of the run, None where a row has none.

        Raises:
            UnknownColumnError: no row of the run has it.
        """
        return self._store.column(name, self.track_id)

    def __len__(self) -> int:
        """How many rows the run has."""
        return self._store.count(self.track_id)

    def __bool__(self) -> bool:
        """True: a tracker without rows is a tracker all the same."""
        return True

    @property
    def conn(self) -> sqlite3.Connection:
        """An SQL connection that can only read, on which the file is attached as ``db``.

        It follows what is committed (of an in-memory tracker it is a copy as of this access) and
        is closed by a fork: ask for it where you need it, rather than to keep it.
        """
        return self._store.database.view

    def get(self, name: str, default: Any = None) -> Any:
        """An asset by its id, the key this run logged it under last, or a unique prefix.

        See ``Assets.get`` for what it raises.
        """
        return self.assets.get(name, default)

    def remove_asset(self, name: str, column: str | None = None) -> int:
        """Delete an asset, and set to NULL the cells that name it; how many cells."""
        return self.assets.remove(name, column)

    def to_csv(
        self,
        path: str | os.PathLike[str] | None = None,
        all: bool = False,  # noqa: A002
    ) -> int:
        """Write the rows of the run, or of all runs, as CSV to a file or to stdout; how many."""
        from . import render

        rows = self.rows(all=all)
        columns = render.columns_of(rows, self._store.columns())
        if path is None:
            return render.write_csv(rows, columns, sys.stdout)
        self._store.database.require_other(os.fspath(path))
        with _opened_to_write(path) as file:
            return render.write_csv(rows, columns, file)

    def __str__(self) -> str:
        """The rows of the run as a table; of a long run, both ends."""
        from . import render

        total = len(self)
        ends = total > 2 * _ENDS
        rows = self.rows(head=_ENDS) + self.rows(tail=_ENDS) if ends else self.rows()
        return render.shortened(rows, total, render.columns_of(rows, self._store.columns()))


@contextmanager
def _opened_to_write(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    from .errors import StorageError

    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
    except OSError as error:
        raise StorageError(str(path), f"cannot be written ({error.strerror})") from error
