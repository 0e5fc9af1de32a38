"""One event table of one file: each operation on it, in a transaction of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, TypeVar

from . import adapters, assets, events
from .clock import Clock
from .errors import UnknownTableError
from .names import OVERFLOW, key_text
from .packing import Packed
from .plans import is_asset_id
from .prepare import plain_or_packed
from .space import shrink
from .table import Table, event_tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from .database import Database
    from .events import Slice
    from .values import Plain


T = TypeVar("T")


class Store:
    """What can be asked of an event table, and edited in it, whichever run wrote the rows.

    Args:
        database: the file.
        name: the table.
        must_exist: whether a table that is not there is an error (for who reads), or has no rows
            yet (for who is about to write them).
        engine: "sqlite" or "duckdb": what ``conn`` is.
    """

    def __init__(
        self, database: Database, name: str, *, must_exist: bool, engine: str = "sqlite"
    ) -> None:
        self.database = database
        self.name = name
        self._must_exist = must_exist
        self._snapshots = None
        if engine == "duckdb":
            self._snapshots = adapters.load("duckdb", 'engine="duckdb"').Snapshots(database)

    @property
    def conn(self) -> Any:
        """A connection that can only read, of SQLite or of DuckDB, on which the file is ``db``."""
        return self.database.view if self._snapshots is None else self._snapshots.conn

    def close(self) -> None:
        """Close what is open; a later call opens it again."""
        if self._snapshots is not None:
            self._snapshots.close()
        self.database.close()

    def make(self) -> None:
        """Make the file if it is not there, and see whether it can be written.

        Raises:
            StorageError: it cannot, or is not one of ours.
        """
        with self.database.lock:
            self.database.connection()

    def rows(self, which: Slice) -> list[dict[str, Any]]:
        """The rows in order of arrival, each with every column of the table."""
        which = which.checked()
        with self.database.reading() as db:
            table = self._table(db)
            return list(events.rows(db, table, which)) if table else []

    def cells(self, which: Slice, make: Callable[[dict[str, str], Iterable[Any]], T]) -> T:
        """What *make* makes of the columns (name to type) and the rows of cells, in chunks."""
        which = which.checked()
        with self.database.reading() as db:
            table = self._table(db)
            if table is None:
                return make({}, [])
            return make(table.columns, events.chunks(db, table, which))

    def column(self, key: str, track_id: str | None) -> list[Any]:
        """The values of *key* in order of arrival."""
        with self.database.reading() as db:
            table = self._table(db)
            return events.column(db, table, key, track_id) if table else []

    def columns(self) -> dict[str, str]:
        """The columns with their declared types."""
        with self.database.reading() as db:
            table = self._table(db)
            columns = table.columns if table else {}
            return {name: kind for name, kind in columns.items() if name != OVERFLOW}

    def count(self, track_id: str | None) -> int:
        """How many rows there are."""
        with self.database.reading() as db:
            table = self._table(db)
            return events.count(db, table, track_id) if table else 0

    def tables(self) -> list[str]:
        """The event tables of the file."""
        with self.database.reading() as db:
            return event_tables(db)

    def track_ids(self) -> list[str]:
        """The runs, by the time at which they started."""
        with self.database.reading() as db:
            table = self._table(db)
            return events.track_ids(db, table.name) if table else []

    def latest_run(self) -> str | None:
        """The run that started last."""
        with self.database.reading() as db:
            table = self._table(db)
            return events.latest_run(db, table.name) if table else None

    def require_run(self, track_id: str | None) -> None:
        """Raise UnknownRunError if the table has no such run."""
        if track_id is not None:
            with self.database.reading() as db:
                table = self._table(db)
                name = table.name if table else self.name
                events.require_run(db, self.database.path, name, track_id)

    def set_value(
        self,
        key: object,
        value: object,
        track_id: str | None,
        where: tuple[object, object] | None = None,
    ) -> int:
        """Set *key* of the rows of a run, or of all, where *where* holds; how many rows.

        Raises:
            KeyNameError: a key cannot name a value.
            UnknownColumnError: the key of *where* is not there.
        """
        name = key_text(key)
        held = plain_or_packed(value)
        condition = None if where is None else (str(where[0]), plain_or_packed(where[1]))
        with self.database.transaction() as db:
            table = self._table(db)
            if table is None:
                return 0
            rowids = events.matching(db, table, track_id, _by_id(db, condition))
            stamp = Clock().tick()
            if isinstance(held, Packed):
                held = assets.keep(db, held, stamp) if rowids else None
            if isinstance(held, str) and is_asset_id(held) and assets.by_id(db, held):
                for run in events.runs_of(db, table, rowids):
                    assets.refer(db, assets.Reference(table.name, run, name), held, stamp)
            return events.set_value(db, table, name, held, rowids)

    def delete_run(self, track_id: str) -> int:
        """Delete a run, and give its pages back to the disk; how many rows.

        Raises:
            UnknownRunError: the table has no such run.
        """
        with self.database.transaction() as db:
            table = self._table(db)
            events.require_run(db, self.database.path, table.name if table else "", track_id)
            deleted = events.delete_run(db, table, track_id) if table else 0
        shrink(self.database)
        return deleted

    def delete_all(self) -> None:
        """Delete the table with its runs and the assets that only they used."""
        with self.database.transaction() as db:
            table = Table.load(db, self.name)
            if table is not None:
                events.delete_table(db, table)
        shrink(self.database)

    def _table(self, db: sqlite3.Connection) -> Table | None:
        table = Table.load(db, self.name)
        if table is None and self._must_exist:
            known = event_tables(db)
            if known:
                raise UnknownTableError(self.name, self.database.path, tuple(known))
        return table


def _by_id(
    db: sqlite3.Connection, where: tuple[str, Plain | Packed] | None
) -> tuple[str, Plain] | None:
    """The same condition, in which the id of an asset stands for the object."""
    if where is None:
        return None
    key, wanted = where
    if isinstance(wanted, Packed):
        return key, assets.id_of(db, wanted.sha256) or wanted.sha256
    return key, wanted
