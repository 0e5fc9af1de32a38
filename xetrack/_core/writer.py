"""Appends the rows of one run to one event table.

There is a fast way for rows like those stored before, and a careful way for all that is new.
"""

from __future__ import annotations

import re
import sqlite3
from itertools import chain, repeat
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from . import assets
from .clock import Clock
from .errors import AssetError, KeyNameError, XetrackError
from .names import TIMESTAMP, TRACK_ID, key_text
from .packing import Packed, pack
from .table import Table, schema_version
from .values import (
    BLOB,
    BOOLEAN,
    EXACT_FLOAT_INT,
    INTEGER,
    REAL,
    TEXT,
    NotPlainError,
    declared_type,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from .database import Database
    from .values import Plain

Row = dict[str, Any]

_ADD_RUN = 'INSERT OR IGNORE INTO runs (track_id, "table", started) VALUES (?, ?, ?)'
# A row goes in only while its run is listed: where somebody deleted the run, replaced the table or
# the file, nothing is inserted and the careful way makes anew what is missing.
_WHILE_LISTED = 'FROM runs WHERE runs.track_id = ?2 AND runs."table" = ?'

_AS_IT_IS = frozenset({(bool, BOOLEAN), (bytes, BLOB)})
_FOR_INT = frozenset({INTEGER, REAL})
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_ASSET_ID = re.compile(r"[0-9a-f]{16,64}")
_NONE = type(None)
_MOST_PLANS = 256
_MOST_ALIKE = 1000  # of which one that needs care sends the others the careful way too
_MOST_SETTLED = 4096


class Plan:
    """How rows of certain keys, all of which have columns, are inserted."""

    def __init__(self, table: Table, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.declared = tuple(table.columns[key] for key in keys)
        self.one = table.insert(keys, _WHILE_LISTED)
        self.many = table.insert(keys)  # in a transaction, in which the run is listed

    # The innermost loop of logging: one pass, without a call for what is simple.
    def suits(self, row: Row, settled: Container[tuple[str, str]]) -> bool:  # noqa: C901
        """Whether the values of *row* can be bound as they are."""
        for value, declared, key in zip(row.values(), self.declared, self.keys):
            kind = value.__class__
            if kind is float:
                if declared != REAL or value != value:  # noqa: PLR0124  # NaN
                    return False
            elif kind is int:
                # Another process may have made the column REAL: up to here that does not matter.
                if declared not in _FOR_INT or not -EXACT_FLOAT_INT <= value <= EXACT_FLOAT_INT:
                    return False
            elif kind is str:
                if declared != TEXT:
                    return False
                if len(value) >= assets.SHORTEST_ID and _may_refer(key, value, settled):
                    return False
            elif value is not None and (kind, declared) not in _AS_IT_IS:
                return False
        return True

    def suits_all(self, columns: Sequence[Sequence[Any]]) -> bool:
        """The same of the columns of many rows, each looked at as a whole."""
        return all(map(_suits_column, self.declared, columns))


def _suits_column(declared: str, column: Sequence[Any]) -> bool:
    kinds = set(map(type, column))
    if _NONE in kinds:
        kinds.discard(_NONE)
        column = [value for value in column if value is not None]
    if kinds == {float}:
        return declared == REAL and not any(map(isnan, column))
    if kinds == {int}:
        in_range = min(column) >= -EXACT_FLOAT_INT and max(column) <= EXACT_FLOAT_INT
        return declared in _FOR_INT and in_range
    if kinds == {str}:
        may_refer = max(map(len, column)) >= assets.SHORTEST_ID
        return declared == TEXT and not (may_refer and any(map(_ASSET_ID.fullmatch, column)))
    return all((kind, declared) in _AS_IT_IS for kind in kinds)


class RunWriter:
    """Writes rows of the run *track_id*; threads may share it."""

    def __init__(self, database: Database, table: str, track_id: str) -> None:
        self.track_id = track_id
        self._database = database
        self._table_name = table
        self._clock = Clock()
        self._table: Table | None = None
        self._plans: dict[tuple[str, ...], Plan] = {}
        # (key, text) pairs that look like a reference to an asset and have been looked up.
        self._settled: set[tuple[str, str]] = set()

    def append(self, row: Row) -> Row:
        """Store *row*, which is the writer's from now on; return it as stored.

        Raises:
            KeyNameError: a key cannot name a value.
            UnpicklableError: a value can neither be a cell nor be pickled.
            StorageError: the file cannot take it.
        """
        stored = self._append_fast(row)
        if stored is None:
            row = prepared(row)
            stored = self._append_fast(row)
        if stored is None:
            (stored,) = self._append_groups([_alone(row)])
        return stored

    def append_all(self, rows: Iterable[Row], stamps: Sequence[str] = ()) -> Iterator[Row]:
        """Store *rows* in one transaction, all or none; an iterator over them as stored.

        Args:
            rows: the rows.
            stamps: a timestamp for each, from ``stamp``; by default they are taken now.
        """
        groups = list(_alike(rows))
        return self._append_groups(groups, stamps) if groups else iter(())

    def _append_groups(self, groups: list[_Alike], stamps: Sequence[str] = ()) -> Iterator[Row]:
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
            self._table = None  # what it knows was rolled back
            self._plans.clear()
            self._settled.clear()
            raise
        return map(self._stamped, (row for group in groups for row in group.rows), stamps)

    def stamp(self) -> str:
        """The timestamp for a row that will be stored later."""
        with self._database.lock:
            return self._clock.tick()

    def _append_fast(self, row: Row) -> Row | None:
        """Store *row* by a plan that suits it, in a statement of its own, if there is one."""
        with self._database.lock:
            plan = self._plans.get(tuple(row))
            if plan is None or not plan.suits(row, self._settled):
                return None
            stamp = self._clock.tick()
            track_id = self.track_id
            cells = (stamp, track_id, *row.values(), self._table_name)
            try:
                if self._database.cursor().execute(plan.one, cells).rowcount != 1:
                    return None
            except (sqlite3.Error, OSError, UnicodeEncodeError, XetrackError):
                return None  # the careful way finds out what it was
        return self._stamped(row, stamp)

    def _enter(self, db: sqlite3.Connection, first: Row) -> None:
        """Bring what is known of the table up to date; make it if it is not there."""
        if self._table is None or self._table.version != schema_version(db):
            self._plans.clear()
            self._table = Table.load(db, self._table_name)
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

    def _insert_group(self, db: sqlite3.Connection, group: _Alike, stamps: Sequence[str]) -> None:
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
                db.execute(plan.many, (stamp, self.track_id, *row.values()))
            else:
                plan = self._insert(db, row, stamp)

    def _insert(self, db: sqlite3.Connection, row: Row, stamp: str) -> Plan | None:
        """Insert a row of any kind; return the plan for the next one with these keys."""
        table = self._known_table
        for key, value in row.items():
            if isinstance(value, Packed):
                row[key] = assets.keep(db, value, stamp)
                assets.refer(db, self._reference(key), row[key], stamp)
            elif isinstance(value, str) and _ASSET_ID.fullmatch(value):
                self._settle(db, key, value, stamp)
        cells = table.cells(db, row)
        db.execute(table.insert(cells), (stamp, self.track_id, *cells.values()))
        return self._plan(table, tuple(row))

    def _settle(self, db: sqlite3.Connection, key: str, text: str, stamp: str) -> None:
        """Record a reference where *text* names an asset; either way it needs no second look."""
        if assets.by_id(db, text) is not None:
            assets.refer(db, self._reference(key), text, stamp)
        if len(self._settled) >= _MOST_SETTLED:
            self._settled.clear()
        self._settled.add((key, text))

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


def _column_type(value: Plain | Packed) -> str:
    return TEXT if isinstance(value, Packed) else declared_type(value)


def _may_refer(key: str, text: str, settled: Container[tuple[str, str]]) -> bool:
    """Whether *text* has the form of an asset's id, and has not been looked up yet."""
    return _ASSET_ID.fullmatch(text) is not None and (key, text) not in settled


class _Alike(NamedTuple):
    """Rows that follow each other and have the same keys, and the values of each key."""

    keys: tuple[str, ...]
    rows: list[Row]
    columns: list[tuple[Any, ...]]


def _alike(rows: Iterable[Row]) -> Iterator[_Alike]:
    """The rows, prepared, in groups of the same keys."""
    keys: tuple[str, ...] = ()
    group: list[Row] = []
    for row in rows:
        if tuple(row) != keys or len(group) == _MOST_ALIKE:
            yield from _prepared_group(keys, group)
            keys, group = tuple(row), []
        group.append(row)
    yield from _prepared_group(keys, group)


def _prepared_group(keys: tuple[str, ...], rows: list[Row]) -> Iterator[_Alike]:
    """Rows of the same keys, looked at one by one only if some have more than scalars."""
    if not rows:
        return
    columns = list(zip(*map(dict.values, rows)))
    kinds = set(chain.from_iterable(map(type, column) for column in columns))
    if kinds <= _SCALARS and tuple(prepared(rows[0])) == keys:
        yield _Alike(keys, rows, columns)
        return
    yield from map(_alone, map(prepared, rows))


def _alone(row: Row) -> _Alike:
    return _Alike(tuple(row), [row], [(value,) for value in row.values()])


def prepared(row: Mapping[Any, Any]) -> Row:
    """*row* with its keys as text and its values plain, or packed where no cell can hold them.

    Raises:
        KeyNameError: a key cannot name a value, or two keys are the same name.
        UnpicklableError: pickle cannot store a value.
    """
    made: Row = {}
    for key, value in row.items():
        name = key_text(key)
        if name in made:
            raise KeyNameError(key, f"means the same column as another key of the row, {name!r}")
        made[name] = plain_or_packed(value)
    return made


class Unkept:
    """Takes the place of a writer where no row is to be stored: rows go to the sinks alone."""

    def __init__(self, track_id: str) -> None:
        self.track_id = track_id
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
        row[TIMESTAMP] = self.stamp()
        row[TRACK_ID] = self.track_id
        return row

    def append_all(self, rows: Iterable[Row], stamps: Sequence[str] = ()) -> Iterator[Row]:
        """*rows* as they would be stored; all are looked at before the first is given."""
        made = [self.append(row) for row in rows]
        return iter([{**row, TIMESTAMP: stamp} for row, stamp in zip(made, stamps)] or made)

    def stamp(self) -> str:
        """The timestamp for a row that comes later."""
        return self._clock.tick()


def plain_or_packed(value: object) -> Plain | Packed:
    """*value* as a cell holds it, or as an asset."""
    if isinstance(value, Packed):
        return value
    try:
        return plain(value)
    except NotPlainError:
        return pack(value)
