"""Tracker: records the rows of one run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import batches, events
from .calls import Recorder
from .checks import choice, path_text
from .database import IN_MEMORY, Database
from .errors import KeyNameError
from .events import Slice
from .names import TIMESTAMP, TRACK_ID, checked_track_id, new_track_id, table_name
from .outlets import logs_of, measured_by, sinks_for
from .packing import Packed
from .prepare import independent, prepared, records
from .run import Run
from .store import Store
from .writer import RunWriter, Unkept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from .prepare import Frame

F = TypeVar("F")
SKIP_INSERT = "SKIP_INSERT"
_NOT_IN_PICKLES = {"self", "params", "__class__"}


class Tracker(Run):
    """Writes one run: rows that share a ``track_id``, in one table of one SQLite file.

    Each row is committed when the call that logged it returns, and survives the death of the
    process. Threads may share a tracker, processes may share a file and even a run, and a tracker
    lives on after ``fork`` and in a pickle.

    >>> with Tracker(Tracker.IN_MEMORY, params={"model": "resnet18"}) as tracker:
    ...     row = tracker.log({"accuracy": 0.9, "epoch": 1})
    ...     tracker.column("accuracy")
    [0.9]

    Args:
        db: the file, made if it is not there with its folders; ``Tracker.IN_MEMORY`` for none;
            ``Tracker.SKIP_INSERT`` to keep nothing and feed only ``jsonl`` and the logs.
        params: values added to every row from now on.
        reset: delete the table's rows, runs, and assets that only they used, first.
        track_id: continue this run, or start one of this name; by default a new name.
        table: the event table.
        raise_on_error: whether ``track`` and ``wrap`` raise the exceptions that they record.
        jsonl: a file to which each row is appended as one JSON line too.
        durability: "normal" (a row survives the process), or "full" (a power cut as well).
        on_storage_error: what happens to a row that the file cannot take: "spool", or "raise".
        allow_pickle: whether ``get`` may unpickle.
        engine: "sqlite", or "duckdb": what ``conn`` is.
        log_system_params: add what psutil says of CPU, memory and disk.
        log_network_params: add what psutil says of the network.
        measurement_interval: seconds between two looks of psutil.
        logs_path: a folder for log files (loguru).
        logs_file_format: the name of a log file, in loguru's form.
        logs_stdout: print each row as a log line (loguru).

    Raises:
        StorageError: the file cannot be opened, or is not one of ours.
        TableNameError, KeyNameError, ValueError: an argument makes no sense; it says which.
        MissingExtraError: a parameter needs an extra that is not installed.
    """

    IN_MEMORY = IN_MEMORY
    SKIP_INSERT = SKIP_INSERT

    def __init__(  # noqa: PLR0913  # the parameters are the seed's; each goes to one small object
        self,
        db: str | os.PathLike[str] = "track.db",
        params: Mapping[str, object] | None = None,
        *,
        reset: bool = False,
        track_id: str | None = None,
        table: str = "events",
        raise_on_error: bool = True,
        jsonl: str | os.PathLike[str] | None = None,
        durability: str = "normal",
        on_storage_error: str = "spool",
        allow_pickle: bool = True,
        engine: str = "sqlite",
        log_system_params: bool = False,
        log_network_params: bool = False,
        measurement_interval: float = 1.0,
        logs_path: str | os.PathLike[str] | None = None,
        logs_file_format: str | None = None,
        logs_stdout: bool = False,
    ) -> None:
        given = locals()
        self._arguments = {name: given[name] for name in given.keys() - _NOT_IN_PICKLES}
        choice("durability", durability, ("normal", "full"))
        choice("on_storage_error", on_storage_error, ("spool", "raise"))
        choice("engine", engine, ("sqlite", "duckdb"))
        path, name = path_text(db), None if track_id is None else checked_track_id(track_id)
        table_name(table)
        made = prepared(params or {})
        self._meter = measured_by(
            system=log_system_params, network=log_network_params, interval_s=measurement_interval
        )
        logs = logs_of(logs_path, logs_file_format, to_stdout=logs_stdout)
        keeps = path != SKIP_INSERT
        database = Database(path if keeps else IN_MEMORY, create=True, durability=durability)
        store = Store(database, table, must_exist=False, engine=engine)
        if jsonl is not None:
            database.require_other(os.fspath(jsonl))
        # All that may be wrong with the arguments is told by now: what follows changes files.
        store.make()
        if reset:
            store.delete_all()
        name = name or _free_name(database)
        super().__init__(store, name, allow_pickle=allow_pickle)
        self._writer = RunWriter(database, table, name) if keeps else Unkept(name)
        self._logger = logs(name) if logs is not None else None
        self._sinks = sinks_for(jsonl, self._logger)
        measure = None if self._meter is None else self._meter.during
        self._recorder = Recorder(self._log, raise_on_error=raise_on_error, measure=measure)
        self._open_batches = 0
        self._params: dict[str, Any] = {}
        self._add_params(made)

    # -- writing -----------------------------------------------------------------------------

    def log(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Store *data* and the params as one row, and return the row as stored.

        A key of *data* wins over a param of the same name. What no cell can hold (a model, an
        array) is stored as an asset, and the row has its id.

        Raises:
            KeyNameError: a key is empty, no text, or one that xetrack writes itself.
            UnpicklableError: a value can neither be a cell nor be pickled.
            StorageError: the file cannot take the row. Nothing of it is stored then.
        """
        if self._meter is not None:
            data = {**self._meter.since_last(), **self._params, **data}
        return self._log(data)

    def _log(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if self._open_batches:
            waiting = batches.waiting_for(self)
            if waiting is not None:
                return self._wait(data, waiting)
        try:
            row = self._writer.append({**self._params, **data})
        except KeyNameError:
            row = self._writer.append(self._merged(data))
        if self._sinks is not None:
            self._sinks.write(row)
        return row

    def log_batch(self, rows: Iterable[Mapping[str, Any]] | Frame) -> int:
        """Store many rows in one transaction, all or none; how many. Far faster than ``log``.

        A pandas DataFrame will do: what it takes for missing is not stored.

        Raises:
            The same as ``log``; nothing is stored then.
        """
        params, listed = self._params, records(rows)
        try:
            return self._append_all([{**params, **row} for row in listed])
        except KeyNameError:
            return self._append_all(list(map(self._merged, listed)))

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Let the ``log`` calls of this thread or task wait, and store them in one transaction.

        They are stored when the block ends, and none of them when it raises. Until then nobody
        sees them, and nobody who writes the file has to wait.

        >>> with Tracker(Tracker.IN_MEMORY) as tracker:
        ...     with tracker.batch():
        ...         for step in range(1000):
        ...             row = tracker.log({"step": step})
        ...     len(tracker)
        1000
        """
        outer = batches.waiting_for(self)
        waiting, token = batches.begin(self)
        self._count_batches(1)
        try:
            yield
        finally:
            self._count_batches(-1)
            batches.end(token)
            is_ours = waiting.end()
        if outer is not None and outer.is_open():
            outer.rows += waiting.rows
            outer.stamps += waiting.stamps
        elif is_ours:
            self._append_all(waiting.rows, waiting.stamps)

    @property
    def latest(self) -> dict[str, Any]:
        """The row that this tracker logged last; before that, the run's last in the file."""
        if self._writer.latest:
            return independent(self._writer.latest)
        rows = self._store.rows(Slice(self.track_id, tail=1))
        return {key: value for row in rows for key, value in row.items() if value is not None}

    @property
    def params(self) -> dict[str, Any]:
        """A copy of the values that are added to every row."""
        return self._params.copy()

    def set_param(self, key: str, value: object) -> dict[str, Any]:
        """Add *value* to every future row; return the params. See ``set_value`` for past rows."""
        return self.set_params({key: value})

    def set_params(self, params: Mapping[str, object]) -> dict[str, Any]:
        """Add values to every future row; return the params.

        Raises:
            KeyNameError: a key cannot name a value; no param changes then.
        """
        self._add_params(prepared(params))
        return self.params

    def set_value(self, key: str, value: object) -> int:
        """Set *key* of every row that the run has so far, back in time; how many rows.

        Raises:
            KeyNameError: *key* cannot name a value.
            StorageError: the file cannot be written; nothing was changed.
        """
        changed = self._store.set_value(key, value, self.track_id)
        self._writer.latest = {}  # to be read again, as it is now
        return changed

    def set_where(self, key: str, value: object, where_key: str, where_value: object) -> int:
        """Set *key* of those rows of the run whose *where_key* is *where_value*; how many rows.

        Raises:
            UnknownColumnError: no row has *where_key*.
        """
        changed = self._store.set_value(key, value, self.track_id, (where_key, where_value))
        self._writer.latest = {}  # to be read again, as it is now
        return changed

    @property
    def logger(self) -> Any:
        """Writes lines to the tracker's logs (extra ``logs``).

        It has ``monitor``, ``experiment``, ``track``, ``info``, ``warning``, ``error``, ``debug``.

        Raises:
            ValueError: the tracker was made without logs.
        """
        if self._logger is None:
            raise ValueError("this tracker has no logs; give it logs_path= or logs_stdout=True")
        return self._logger

    # -- calls -------------------------------------------------------------------------------

    def track(self, function: Callable[..., Any], /, *positional: Any, **named: Any) -> Any:
        """Call *function*, record the call as a row, and return what it returned.

        Both ``track(f, 1, b=2)`` and ``track(f, args=[1], kwargs={"b": 2}, params={...})``; as
        ``args``, ``kwargs`` and ``params`` are the tracker's words, a function that has a parameter
        of such a name is called in the second way. See docs/guide.md for the columns.

        Raises:
            Whatever *function* raises, unless the tracker has ``raise_on_error=False``.
        """
        args = (*positional, *(named.pop("args", None) or ()))
        kwargs = named.pop("kwargs", None) or {}
        params = named.pop("params", None)
        return self._recorder.run(function, args, {**named, **kwargs}, params)

    @overload
    def wrap(self, function: F, *, params: Mapping[str, object] | None = None) -> F: ...

    @overload
    def wrap(self, *, params: Mapping[str, object] | None = None) -> Callable[[F], F]: ...

    def wrap(
        self,
        function: Any = None,
        *,
        params: Mapping[str, object] | None = None,
    ) -> Any:
        """Decorate a function, so that each of its calls is recorded as by ``track``.

        Used as ``@tracker.wrap`` or ``@tracker.wrap(params={...})``, on functions, methods,
        coroutines and generators.
        """
        if function is None:
            return lambda later: self._recorder.wrap(later, params)
        return self._recorder.wrap(function, params)

    # -- life --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """How the tracker was made, without a look at the file."""
        return f"Tracker({self._arguments['db']!r}, track_id={self.track_id!r})"

    def close(self) -> None:
        """Close the file and the sinks. A later call opens them again; memory is gone."""
        if self._sinks is not None:
            self._sinks.close()
        if self._meter is not None:
            self._meter.close()
        self._store.close()

    def __enter__(self) -> Tracker:  # noqa: PYI034  # typing has no Self before Python 3.11
        """The tracker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """As a pickle: the same run of the same file."""
        if self._store.database.in_memory:
            raise TypeError("a tracker in memory cannot be pickled; give it a file")
        arguments = {**self._arguments, "db": self.db, "track_id": self.track_id, "reset": False}
        return _reopened, (type(self), arguments, self._params)

    def _append_all(self, rows: list[dict[str, Any]], stamps: Sequence[str] = ()) -> int:
        stored = self._writer.append_all(rows, stamps)
        if self._sinks is not None:
            for row in stored:
                self._sinks.write(row)
        return len(rows)

    def _add_params(self, made: dict[str, Any]) -> None:
        """Add prepared params; an object is stored once, and its id stands for it from now on."""
        for key, value in made.items():
            if isinstance(value, Packed):
                made[key] = self.assets.keep(value)
        self._params = {**self._params, **made}

    def _count_batches(self, change: int) -> None:
        with self._store.database.lock:
            self._open_batches += change

    def _merged(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        """Params and data, where a number as a key may mean a param of that name."""
        return {**self._params, **prepared(data)}

    def _wait(self, data: Mapping[Any, Any], waiting: batches.Waiting) -> dict[str, Any]:
        row = self._merged(data)
        stamp = self._writer.stamp()
        waiting.rows.append(row)
        waiting.stamps.append(stamp)
        shown = {k: v.sha256[:16] if isinstance(v, Packed) else v for k, v in row.items()}
        return {**independent(shown), TIMESTAMP: stamp, TRACK_ID: self.track_id}


def _free_name(database: Database) -> str:
    with database.lock:
        db = database.connection()
        return new_track_id(lambda name: events.is_taken(db, name))


def _reopened(
    cls: type[Tracker], arguments: dict[str, Any], params: Mapping[str, object]
) -> Tracker:
    return cls(params=params, **arguments)
