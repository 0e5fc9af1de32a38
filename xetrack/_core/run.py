"""Run: the rows of one run, as they can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import adapters
from .events import Slice
from .export import write_csv, write_parquet
from .shelf import Assets

if TYPE_CHECKING:
    import os

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
    def conn(self) -> Any:
        """An SQL connection that can only read, on which the file is attached as ``db``.

        A ``sqlite3.Connection``, or with ``engine="duckdb"`` a ``duckdb.DuckDBPyConnection``, which
        is as of this access.
        It follows what is committed (of an in-memory tracker it is a copy as of this access) and
        is closed by a fork: ask for it where you need it, rather than to keep it.
        """
        return self._store.conn

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
        return write_csv(self._store, Slice(None if all else self.track_id), path)

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        all: bool = False,  # noqa: A002
    ) -> int:
        """Write the rows of the run, or of all runs, as Parquet (extra ``duckdb``); how many."""
        return write_parquet(self._store, None if all else self.track_id, path)

    def to_df(self, all: bool = False) -> Any:  # noqa: A002
        """A pandas DataFrame of the rows of the run, or of all runs (extra ``pandas``)."""
        return self._frame("to_df()", Slice(None if all else self.track_id))

    def head(self, n: int = 5) -> Any:
        """A DataFrame of the first *n* rows of the run (extra ``pandas``)."""
        return self._frame("head()", Slice(self.track_id, head=n))

    def tail(self, n: int = 5) -> Any:
        """A DataFrame of the last *n* rows of the run (extra ``pandas``)."""
        return self._frame("tail()", Slice(self.track_id, tail=n))

    def __getitem__(self, name: str) -> Any:
        """The pandas Series of one key in the rows of the run (extra ``pandas``).

        Raises:
            UnknownColumnError: no row has it.
        """
        self.column(name)
        return self._frame("tracker[...]", Slice(self.track_id))[name]

    def _frame(self, asked: str, which: Slice) -> Any:
        return self._store.cells(which, adapters.load("pandas", asked).frame)

    def _repr_html_(self) -> str:
        """The rows as a table in a notebook, both ends of a long run."""
        from . import render

        rows, total = self._ends()
        return render.html(rows, total, render.columns_of(rows, self._store.columns()))

    def __str__(self) -> str:
        """The rows of the run as a table; of a long run, both ends."""
        from . import render

        rows, total = self._ends()
        return render.shortened(rows, total, render.columns_of(rows, self._store.columns()))

    def _ends(self) -> tuple[list[dict[str, Any]], int]:
        """The rows, of a long run those at its two ends, and how many there are."""
        total = len(self)
        if total <= 2 * _ENDS:
            return self.rows(), total
        return self.rows(head=_ENDS) + self.rows(tail=_ENDS), total
