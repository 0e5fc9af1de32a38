"""Reader: reads and edits the rows of all runs of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import adapters
from .checks import choice, path_text
from .database import Database
from .events import Slice
from .export import write_csv, write_parquet
from .loglines import read_log_rows
from .names import table_name
from .shelf import Assets
from .sinks import read_json_lines
from .store import Store

if TYPE_CHECKING:
    import os
    from types import TracebackType


class Reader:
    """Reads one event table of a file, all its runs, while others may write it.

    Works on a read-only file and in a read-only folder too. Each call sees what was committed
    before it.

    Args:
        db: the file, which must exist.
        table: the event table.
        engine: "sqlite", or "duckdb": what ``conn`` is.
        allow_pickle: whether ``get`` may unpickle.

    Raises:
        MissingFileError: there is no such file; none is created.
        StorageError: it cannot be read, or is not one of ours.
        UnknownTableError: it has event tables, but none of this name.
    """

    def __init__(
        self,
        db: str | os.PathLike[str] = "track.db",
        table: str = "events",
        engine: str = "sqlite",
        *,
        allow_pickle: bool = True,
    ) -> None:
        choice("engine", engine, ("sqlite", "duckdb"))
        self._database = Database(path_text(db))
        self._store = Store(self._database, table_name(table), must_exist=True, engine=engine)
        self.assets = Assets(self._database, table, None, allow_pickle=allow_pickle)
        self._store.track_ids()  # whatever is wrong with the file is told now

    @property
    def db(self) -> str:
        """The path of the file."""
        return self._database.path

    def rows(
        self, track_id: str | None = None, head: int | None = None, tail: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows as dicts, in order of arrival: of one run or of all, the first or the last few.

        Each has every column of the table, with None where it has no value.

        Raises:
            UnknownRunError: there is no such run.
            ValueError: a negative number, or both *head* and *tail*.
        """
        self._store.require_run(track_id)
        return self._store.rows(Slice(track_id, head, tail))

    def latest_rows(self) -> list[dict[str, Any]]:
        """The rows of the run that started last."""
        latest = self._store.latest_run()
        return [] if latest is None else self._store.rows(Slice(latest))

    def column(self, name: str, track_id: str | None = None) -> list[Any]:
        """The values of one key, None where a row has none.

        Raises:
            UnknownColumnError: no row has it.
            UnknownRunError: there is no such run.
        """
        self._store.require_run(track_id)
        return self._store.column(name, track_id)

    def to_df(
        self, track_id: str | None = None, head: int | None = None, tail: int | None = None
    ) -> Any:
        """The same rows as ``rows`` as a pandas DataFrame (extra ``pandas``)."""
        self._store.require_run(track_id)
        return self._frame("to_df()", Slice(track_id, head, tail))

    def latest(self) -> Any:
        """A DataFrame of the run that started last (extra ``pandas``)."""
        latest = self._store.latest_run()
        return self._frame("latest()", Slice(latest) if latest else Slice(head=0))

    def to_csv(
        self, path: str | os.PathLike[str] | None = None, track_id: str | None = None
    ) -> int:
        """Write the rows of a run, or of all, as CSV to a file or to stdout; how many."""
        self._store.require_run(track_id)
        return write_csv(self._store, Slice(track_id), path)

    def to_parquet(self, path: str | os.PathLike[str], track_id: str | None = None) -> int:
        """Write the rows of a run, or of all, as Parquet (extra ``duckdb``); how many."""
        self._store.require_run(track_id)
        return write_parquet(self._store, track_id, path)

    def track_ids(self) -> list[str]:
        """The runs of the table, by the time at which they started."""
        return self._store.track_ids()

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the table, each with its declared type."""
        return self._store.columns()

    def tables(self) -> list[str]:
        """The event tables of the file."""
        return self._store.tables()

    def __len__(self) -> int:
        """How many rows the table has."""
        return self._store.count(None)

    def __bool__(self) -> bool:
        """True: a reader of an empty table is a reader all the same."""
        return True

    @property
    def conn(self) -> Any:
        """An SQL connection that can only read, on which the file is attached as ``db``.

        A ``sqlite3.Connection``, or with ``engine="duckdb"`` a ``duckdb.DuckDBPyConnection``, which
        is as of this access.
        """
        return self._store.conn

    def get(self, name: str, default: Any = None) -> Any:
        """An asset by its id, the key it was logged under last, or a unique prefix.

        See ``Assets.get`` for what it raises.
        """
        return self.assets.get(name, default)

    def set_value(self, key: str, value: object, track_id: str | None = None) -> int:
        """Set *key* of every row of a run, or of all runs; how many rows.

        Raises:
            UnknownRunError: there is no such run.
            KeyNameError: *key* cannot name a value.
            StorageError: the file cannot be written; nothing was changed.
        """
        self._store.require_run(track_id)
        return self._store.set_value(key, value, track_id)

    def set_where(
        self,
        key: str,
        value: object,
        where_key: str,
        where_value: object,
        track_id: str | None = None,
    ) -> int:
        """Set *key* of the rows whose *where_key* is *where_value*; how many rows.

        Raises:
            UnknownColumnError: no row has *where_key*.
            UnknownRunError: there is no such run.
        """
        self._store.require_run(track_id)
        return self._store.set_value(key, value, track_id, (where_key, where_value))

    def delete_run(self, track_id: str) -> int:
        """Delete a run and the assets that only it used; how many rows. The file shrinks.

        Raises:
            UnknownRunError: there is no such run.
        """
        return self._store.delete_run(track_id)

    @staticmethod
    def read_jsonl(path: str | os.PathLike[str], *, as_frame: bool = False) -> Any:
        """The rows that ``Tracker(jsonl=path)`` wrote; a line that is no row is passed over.

        Args:
            path: the file.
            as_frame: give a pandas DataFrame (extra ``pandas``) in place of a list of dicts.

        Raises:
            MissingFileError: there is no such file.
        """
        rows = list(read_json_lines(path))
        if not as_frame:
            return rows
        return adapters.load("pandas", "read_jsonl(as_frame=True)").frame_of_rows(rows)

    def _frame(self, asked: str, which: Slice) -> Any:
        return self._store.cells(which, adapters.load("pandas", asked).frame)

    @staticmethod
    def read_log_rows(
        path: str | os.PathLike[str], limit: int | None = None
    ) -> list[dict[str, Any]]:
        """The rows that trackers logged to a file, or to the files of a folder, newest file first.

        Lines of other programs are passed over, and so is a last line that was cut.

        Args:
            path: a log file, or the folder given as ``logs_path``.
            limit: at most so many rows.

        Raises:
            MissingFileError: there is no such file or folder.
        """
        return read_log_rows(path, limit)

    @staticmethod
    def read_logs(path: str | os.PathLike[str], limit: int | None = None) -> Any:
        """The same as a pandas DataFrame (extra ``pandas``)."""
        frames = adapters.load("pandas", "read_logs()")
        return frames.frame_of_rows(read_log_rows(path, limit))

    def __repr__(self) -> str:
        """How the reader was made, without a look at the file."""
        return f"Reader({self.db!r}, table={self._store.name!r})"

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._store.close()

    def __enter__(self) -> Reader:  # noqa: PYI034  # typing has no Self before Python 3.11
        """The reader itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
