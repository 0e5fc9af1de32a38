"""Appends the rows of one run to one event table.

There is a fast way for rows like those stored before, and a careful way for all that is new.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING

from . import assets
from .clock import Clock
from .errors import AssetError, XetrackError
from .names import TIMESTAMP, TRACK_ID
from .packing import Packed
from .plans import Plan, is_asset_id
from .prepare import Alike, alike, alone, independent, prepared
from .table import Table, schema_version
from .values import TEXT, declared_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .database import Database
    from .prepare import Row
    from .values import Plain

_ADD_RUN = 'INSERT OR IGNORE INTO runs (track_id, "table", started) VALUES (?, ?, ?)'
_MOST_PLANS = 256


class RunWriter:
    """Writes rows of the run *track_id*; threads may share it."""

    def __init__(self, database: Database, table: str, track_id: str) -> None:
        self.track_id = track_id
        self.latest: Row = {}  # the row that was stored last
        self._database = database
        self._table_name = table
        self._clock = Clock()
        self._is_busy = False  # a signal handler may come in between, and log
        self._interposed: list[tuple[list[Alike], Sequence[str]]] = []
        # On which all that follows was learnt; another one may be of another file.
        self._connection: sqlite3.Connection | None = None
        self._table: Table | None = None
        self._plans: dict[tuple[str, ...], Plan] = {}
        # The asset that each key referred to last: to log it once more needs no new reference.
        self._settled: dict[str, str] = {}

    def append(self, row: Row) -> Row:
        """Store *row*, and return it as stored.

        Raises:
            KeyNameError: a key cannot name a value.
            UnpicklableError: a value can neither be a cell nor be pickled.
            StorageError: the file cannot take it.
        """
        stored = self._append_fast(row)
        if stored is None:
            row = prepared(row)
            stored = self._append_fast(row)
        if stored is not None:
            self.latest = stored
            return stored.copy()
        (stored,) = self._append_groups([alone(row)])
        return independent(stored)

    def append_all(self, rows: Iterable[Row], stamps: Sequence[str] = ()) -> Iterator[Row]:
        """Store *rows* in one transaction, all or none; an iterator over them as stored.

        Args:
            rows: the rows.
            stamps: a timestamp for each, from ``stamp``; by default they are taken now.
        """
        groups = list(alike(rows))
        return self._append_groups(groups, stamps) if groups else iter(())

    def _append_groups(self, groups: list[Alike], stamps: Sequence[str] = ()) -> Iterator[Row]:
        with self._database.lock:
            if self._is_busy:
                return self._interpose(groups, stamps)
            self._is_busy = True
            try:
                return self._store_groups(groups, stamps)
            finally:
                self._is_busy = False
                self._append_interposed()

    def _interpose(self, groups: list[Alike], stamps: Sequence[str]) -> Iterator[Row]:
        """Let rows of a signal handler wait for the call of its own thread that it came into."""
        rows = [row for group in groups for row in group.rows]
        stamps = stamps or self._clock.ticks(len(rows))
        self._interposed.append((groups, stamps))
        return iter([self._stamped(row, stamp) for row, stamp in zip(rows, stamps)])

    def _append_interposed(self) -> None:
        while self._interposed:
            self._append_groups(*self._interposed.pop(0))

    def _store_groups(self, groups: list[Alike], stamps: Sequence[str] = ()) -> Iterator[Row]:
        try:
            with self._database.transaction() as db:
                self._enter(db, groups[0].rows[0])
                stamps = self._free_stamps(db, sum(len(group.rows) for group in groups), stamps)
                first = 0
                for group in groups:
                    last = first + len(group.rows)
                    self._insert_group(db, group, stamps[first:last])
                    first = last
        except BaseException:
            self._connection = None  # what is known of the file was rolled back
            raise
        self.latest = self._stamped(groups[-1].rows[-1], stamps[-1])
        return map(self._stamped, (row for group in groups for row in group.rows), stamps)

    def stamp(self) -> str:
        """The timestamp for a row that will be stored later."""
        with self._database.lock:
            return self._clock.tick()

    def _append_fast(self, row: Row) -> Row | None:
        """Store *row* by a plan that suits it, in a statement of its own, if there is one."""
        with self._database.lock:
            plan = self._plans.get(tuple(row))
            if plan is None or self._is_busy or not plan.suits(row, self._settled):
                return None
            stamp = self._clock.tick()
            track_id = self.track_id
            cells = (stamp, track_id, *row.values(), self._table_name)
            self._is_busy = True
            try:
                cursor = self._database.cursor()
                if cursor.connection is not self._connection:
                    return None  # another file may be behind it, of which nothing is known
                if cursor.execute(plan.one, cells).rowcount != 1:
                    return None
            except (sqlite3.Error, OSError, UnicodeEncodeError, XetrackError):
                return None  # the careful way finds out what it was
            finally:
                self._is_busy = False
                if self._interposed:
                    self._append_interposed()
        return self._stamped(row, stamp)

    def _enter(self, db: sqlite3.Connection, first: Row) -> None:
        """Bring what is known of the table up to date; make it if it is not there."""
        if db is not self._connection:
            self._connection, self._table = db, None
            self._settled.clear()
        if self._table is None or self._table.version != schema_version(db):
            self._plans.clear()
            self._table = Table.load(db, self._table_name)
            self._table_name = self._table.name if self._table else self._table_name
        if self._table is None:
            wanted = {key: _column_type(v) for key, v in first.items() if v is not None}
            self._table = Table.create(db, self._table_name, wanted)

    def _free_stamps(
        self, db: sqlite3.Connection, count: int, stamps: Sequence[str]
    ) -> Sequence[str]:
        """Timestamps that the run does not have yet, and the run listed from the first of them."""
        table = self._known_table
        newest = table.newest(db, self.track_id)
        if newest is not None:
            self._clock.pass_by(newest)
        if not stamps:
            stamps = self._clock.ticks(count)
        elif newest is not None and newest >= stamps[0]:
            taken = table.stamps_since(db, self.track_id, stamps[0])
            stamps = [self._clock.tick() if stamp in taken else stamp for stamp in stamps]
        listed = db.execute(_ADD_RUN, (self.track_id, self._table_name, stamps[0]))
        if listed.rowcount:
            self._settled.clear()
        return stamps

    def _insert_group(self, db: sqlite3.Connection, group: Alike, stamps: Sequence[str]) -> None:
        rows, plan = group.rows, self._plans.get(group.keys)
        if plan is None:
            plan = self._insert(db, rows[0], stamps[0])
            rows, stamps = rows[1:], stamps[1:]
        columns = group.columns
        if plan is not None and plan.suits_all(columns):
            done = len(group.rows) - len(rows)
            columns = [column[done:] for column in columns]
            db.executemany(plan.many, zip(stamps, repeat(self.track_id), *columns))
            return
        for row, stamp in zip(rows, stamps):
            if plan is not None and plan.suits(row, self._settled):
                with suppress(UnicodeEncodeError):
                    db.execute(plan.many, (stamp, self.track_id, *row.values()))
                    continue
            plan = self._insert(db, row, stamp)

    def _insert(self, db: sqlite3.Connection, row: Row, stamp: str) -> Plan | None:
        """Insert a row of any kind; return the plan for the next one with these keys."""
        table = self._known_table
        for key, value in row.items():
            if isinstance(value, Packed):
                row[key] = assets.keep(db, value, stamp)
                self._settle(db, key, row[key], stamp)
            elif isinstance(value, str) and is_asset_id(value):
                self._settle(db, key, value, stamp)
        cells = table.cells(db, row)
        db.execute(table.insert(cells), (stamp, self.track_id, *cells.values()))
        return self._plan(table, tuple(row))

    def _settle(self, db: sqlite3.Connection, key: str, text: str, stamp: str) -> None:
        """Record a reference where *text* names an asset."""
        if assets.by_id(db, text) is not None:
            assets.refer(db, self._reference(key), text, stamp)
            self._settled[key] = text

    def _reference(self, key: str) -> assets.Reference:
        return assets.Reference(self._table_name, self.track_id, key)

    def _plan(self, table: Table, keys: tuple[str, ...]) -> Plan | None:
        if not all(key in table.columns for key in keys):
            return None
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = self._plans[keys] = Plan(table, keys)
        return plan

    def _stamped(self, row: Row, stamp: str) -> Row:
        return {**row, TIMESTAMP: stamp, TRACK_ID: self.track_id}

    @property
    def _known_table(self) -> Table:
        assert self._table is not None  # noqa: S101  # _enter made it
        return self._table


class Unkept:
    """Takes the place of a writer where no row is to be stored: rows go to the sinks alone."""

    def __init__(self, track_id: str) -> None:
        self.track_id = track_id
        self.latest: Row = {}
        self._clock = Clock()

    def append(self, row: Row) -> Row:
        """*row* as it would be stored.

        Raises:
            KeyNameError: a key cannot name a value.
            AssetError: a value would be an asset, for which there is no place.
        """
        row = prepared(row)
        for key, value in row.items():
            if isinstance(value, Packed):
                raise AssetError(
                    f"{key!r} is a {value.type_name}, which is stored as an asset, and this "
                    "tracker keeps nothing (SKIP_INSERT); log a number or text, or give it a file"
                )
        self.latest = {**row, TIMESTAMP: self.stamp(), TRACK_ID: self.track_id}
        return independent(self.latest)

    def append_all(self, rows: Iterable[Row], stamps: Sequence[str] = ()) -> Iterator[Row]:
        """*rows* as they would be stored; all are looked at before the first is given."""
        made = [self.append(row) for row in rows]
        return iter([{**row, TIMESTAMP: stamp} for row, stamp in zip(made, stamps)] or made)

    def stamp(self) -> str:
        """The timestamp for a row that comes later."""
        return self._clock.tick()


def _column_type(value: Plain | Packed) -> str:
    return TEXT if isinstance(value, Packed) else declared_type(value)
