"""copy(): the union of two files by the identity of a row, which is its run and its timestamp."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import assets, events
from .checks import choice, path_text
from .clock import after
from .database import Database
from .errors import StorageError, UnknownTableError
from .layout import file_format, migrate
from .names import OVERFLOW, TIMESTAMP, TRACK_ID, quoted
from .opening import readable_uri
from .table import Table, event_tables, is_big
from .values import BOOLEAN, INTEGER, NUMBERS, REAL, affinity, same

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

_PAGE_ROWS = 1000

_JOIN_RUNS = """INSERT INTO main.runs (track_id, "table", started)
    SELECT track_id, ?, started FROM src.runs WHERE "table" = ?
    ON CONFLICT (track_id, "table") DO UPDATE SET started = min(started, excluded.started)"""
_JOIN_BIG = """INSERT OR IGNORE INTO main.big_integers ("table", "column")
    SELECT ?, "column" FROM src.big_integers WHERE "table" = ?"""
_REFS = 'SELECT track_id, key, asset, timestamp FROM src.asset_refs WHERE "table" = ?'
_ASSETS = "SELECT id, sha256, kind, type, size, created FROM src.assets ORDER BY rowid"
_IS_IN_TABLES = 'SELECT "table" FROM src.asset_refs WHERE asset = ?'
_ADD_ASSET = """INSERT INTO main.assets (id, sha256, kind, type, size, created)
    VALUES (?, ?, ?, ?, ?, ?)"""
_ADD_CHUNKS = """INSERT INTO main.asset_chunks (asset, position, data)
    SELECT ?, position, data FROM src.asset_chunks WHERE asset = ? ORDER BY position"""


class CopyReport(int):
    """How many rows were added to the target; and what else happened.

    Attributes:
        present: rows that were there already, with the same content.
        conflicts: rows that were there with other content, and were treated as *on_conflict* says.
        assets: assets that were added.
    """

    present: int
    conflicts: int
    assets: int

    @classmethod
    def of(cls, added: int, present: int, conflicts: int, assets: int) -> CopyReport:
        """A report of these numbers."""
        report = cls(added)
        report.present, report.conflicts, report.assets = present, conflicts, assets
        return report


def copy(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    assets: bool = True,  # the seed's signature
    tables: Iterable[str] | None = None,
    *,
    on_conflict: str = "target",
) -> CopyReport:
    """Add to *target* the rows of *source* that it does not have, in one transaction.

    Columns and types are joined, assets stored once. To repeat it adds nothing.

    Args:
        source: a file, which is only read.
        target: a file, made if it is not there.
        assets: whether the assets come along; else their ids stay in the rows as text, and a later
            copy with assets makes them whole.
        tables: only these event tables.
        on_conflict: what to do with a row of which *target* has another version (the same run and
            timestamp, other content): keep the "target"'s, take the "source"'s, or keep "both",
            the source's at the run's next free microsecond.

    Returns:
        The number of rows added, with ``present``, ``conflicts`` and ``assets`` as attributes.

    Raises:
        MissingFileError: there is no *source*.
        StorageError: one of them cannot be opened or is not ours, or both are the same file.
        UnknownTableError: *source* has no such event table.
    """
    choice("on_conflict", on_conflict, ("target", "source", "both"))
    names = _tables(path_text(source), tables)  # whatever is wrong with the source is told first
    database = Database(path_text(target), create=True)
    try:
        with _source_attached(database, path_text(source)), database.transaction() as db:
            only_of = None if tables is None else names
            renamed, added = _join_assets(db, only_of) if assets else ({}, 0)
            unions = [_Union(db, name, on_conflict, renamed) for name in names]
            for union in unions:
                union.join()
                if assets:
                    union.join_references()
        return CopyReport.of(
            sum(union.added for union in unions),
            sum(union.present for union in unions),
            sum(union.conflicts for union in unions),
            added,
        )
    finally:
        database.close()


@contextmanager
def _source_attached(database: Database, source: str) -> Iterator[None]:
    """The source as ``src`` on the connection of the target, read-only.

    BEGIN IMMEDIATE locks every attached file: with ``mode=ro`` the source's writers go on.
    """
    with database.lock:
        db = database.connection()
        if os.path.samefile(source, database.path):
            raise StorageError(database.path, "is source and target of a copy; give two files")
        db.execute("ATTACH ? AS src", (readable_uri(os.path.abspath(source)),))
        try:
            if file_format(db, source, "src") == 0:  # somebody is just making it
                db.execute("DETACH src")
                db.execute("ATTACH ':memory:' AS src")
                migrate(db, source, "src")
            yield
        finally:
            db.execute("DETACH src")


def _tables(source: str, wanted: Iterable[str] | None) -> list[str]:
    with Database(source).reading() as db:
        known = event_tables(db)
    if wanted is None:
        return known
    names = list(dict.fromkeys([wanted] if isinstance(wanted, str) else wanted))
    for name in names:
        if name not in known:
            raise UnknownTableError(name, source, tuple(known))
    return names


class _Union:
    """One table of the target on its way to having all rows of the same table of the source."""

    def __init__(
        self, db: sqlite3.Connection, name: str, on_conflict: str, renamed: dict[str, str]
    ) -> None:
        self.name = name
        self.added = self.present = self.conflicts = 0
        self._db = db
        self._on_conflict = on_conflict
        self._renamed = renamed
        source = Table.load(db, name, "src")
        assert source is not None  # noqa: S101  # _tables found it
        self._source = source
        self._target = self._joined_table()
        db.execute(_JOIN_BIG, (self._target.name, name))
        self._alike = not renamed and all(map(self._is_alike, source.columns))
        columns = [column for column in source.columns if column not in (TIMESTAMP, TRACK_ID)]
        # timestamp and track_id are the first two columns of every table that we made; of those
        # that somebody else made, each row goes by its values.
        self._alike = self._alike and list(source.columns)[:2] == [TIMESTAMP, TRACK_ID]
        self._insert = self._target.insert(columns)

    def join(self) -> None:
        """Go through the source page by page."""
        query = f"SELECT rowid, {self._source.listed()} FROM {self._source.sql} ORDER BY rowid"
        cursor = self._db.execute(query)
        while True:
            page = list(islice(cursor, _PAGE_ROWS))
            if not page:
                break
            met = self._met(page[0][0], page[-1][0])
            self._add([row[1:] for row in page if row[0] not in met])
            for row in page:
                if row[0] in met:
                    self._meet(row[1:], is_equal=bool(met[row[0]]))
        self._db.execute(_JOIN_RUNS, (self._target.name, self.name))

    def join_references(self) -> None:
        """Let the target know which of the rows refer to which assets."""
        for track_id, key, asset, stamp in self._db.execute(_REFS, (self.name,)).fetchall():
            reference = assets.Reference(self._target.name, track_id, key)
            assets.refer(self._db, reference, self._renamed.get(asset, asset), stamp)

    def _joined_table(self) -> Table:
        columns = {
            key: affinity(declared)
            for key, declared in self._source.columns.items()
            if key not in (TIMESTAMP, TRACK_ID)
        }
        target = Table.load(self._db, self.name)
        if target is None:
            overflow = columns.pop(OVERFLOW, None)
            target = Table.create(self._db, self.name, columns)
            if overflow:
                target.make_overflow(self._db)
            return target
        for key, declared in columns.items():
            target.join(self._db, key, declared)
        if OVERFLOW in columns:
            target.make_overflow(self._db)
        return target

    def _is_alike(self, column: str) -> bool:
        """Whether cells of *column* mean in the target what they mean in the source."""
        ours = affinity(self._target.columns.get(column, ""))
        theirs = affinity(self._source.columns[column])
        if column not in self._target.columns:
            return False
        if ours == theirs:
            return True
        if ours == REAL and theirs == INTEGER:
            return not is_big(self._db, self._target.name, column)
        return ours in NUMBERS and theirs == BOOLEAN

    def _met(self, first: int, last: int) -> dict[int, int]:
        """The source rows of a page that the target has: by number, whether cell for cell."""
        equal = "0"
        if self._alike:
            theirs = [f"s.{quoted(column)}" for column in self._source.columns]
            ours = [f"t.{quoted(column)}" for column in self._source.columns]
            for column in self._target.columns.keys() - self._source.columns.keys():
                theirs.append("NULL")
                ours.append(f"t.{quoted(column)}")
            equal = f"({', '.join(theirs)}) IS ({', '.join(ours)})"
        query = (
            f"SELECT s.rowid, {equal} FROM {self._source.sql} s JOIN {self._target.sql} t "
            "ON t.track_id = s.track_id AND t.timestamp = s.timestamp "
            "WHERE s.rowid BETWEEN ? AND ?"
        )
        return dict(self._db.execute(query, (first, last)).fetchall())

    def _add(self, rows: list[tuple[Any, ...]]) -> None:
        self.added += len(rows)
        overflow = list(self._source.columns).index(OVERFLOW) if self._has_overflow() else None
        if self._alike and (overflow is None or all(row[overflow] is None for row in rows)):
            self._db.executemany(self._insert, rows)
            return
        for row in self._values(rows):
            self._store(row, row[TIMESTAMP])

    def _has_overflow(self) -> bool:
        return OVERFLOW in self._source.columns

    def _values(self, rows: Sequence[Sequence[Any]]) -> Iterator[dict[str, Any]]:
        """Source rows as values, with the ids that their assets have in the target."""
        for row in events.decoded(rows, self._source):
            for key, value in row.items() if self._renamed else ():
                if isinstance(value, str) and value in self._renamed:
                    row[key] = self._renamed[value]
            yield row

    def _store(self, row: dict[str, Any], stamp: str) -> None:
        cells = self._target.cells(self._db, _content(row))
        statement = self._target.insert(cells)
        self._db.execute(statement, (stamp, row[TRACK_ID], *cells.values()))

    def _meet(self, cells: Sequence[Any], *, is_equal: bool) -> None:
        """Do with a source row whose identity the target has what *on_conflict* says."""
        if is_equal:
            self.present += 1
            return
        (row,) = self._values([cells])
        track_id, stamp = row[TRACK_ID], row[TIMESTAMP]
        there = self._there(track_id, stamp)
        if there is None or _equal(row, there):
            self.present += 1
            return
        self.conflicts += 1
        if self._on_conflict == "source":
            self._replace(row)
        elif self._on_conflict == "both":
            while there is not None and not _equal(row, there):
                stamp = after(stamp)
                there = self._there(track_id, stamp)
            if there is None:
                self._store(row, stamp)
                self.added += 1

    def _there(self, track_id: str, stamp: str) -> dict[str, Any] | None:
        table = self._target
        query = f"SELECT {table.listed()} FROM {table.sql} WHERE track_id = ? AND timestamp = ?"
        found = self._db.execute(query, (track_id, stamp)).fetchall()
        return next(events.decoded(found, table), None)

    def _replace(self, row: dict[str, Any]) -> None:
        """Put the values of *row* in place of the target's; its place in the order stays."""
        identity = (row[TRACK_ID], row[TIMESTAMP])
        cells = self._target.cells(self._db, _content(row))
        changed = {key: cells.get(key) for key in self._target.columns}
        del changed[TIMESTAMP], changed[TRACK_ID]
        assignments = ", ".join(f"{quoted(key)} = ?" for key in changed)
        self._db.execute(
            f"UPDATE {self._target.sql} SET {assignments} WHERE track_id = ? AND timestamp = ?",
            (*changed.values(), *identity),
        )


def _content(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if v is not None and k not in (TIMESTAMP, TRACK_ID)}


def _equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return same(_content(left), _content(right))


def _join_assets(db: sqlite3.Connection, only_of: list[str] | None) -> tuple[dict[str, str], int]:
    """Add the source's assets; the ids that differ in the target, and how many were added."""
    renamed: dict[str, str] = {}
    added = 0
    for row in db.execute(_ASSETS).fetchall():
        theirs, sha256 = row[0], row[1]
        if only_of is not None:
            users = {table for (table,) in db.execute(_IS_IN_TABLES, (theirs,))}
            if not users.intersection(only_of):
                continue
        ours = assets.id_of(db, sha256)
        if ours is None:
            ours = assets.free_id(db, sha256)
            db.execute(_ADD_ASSET, (ours, *row[1:]))
            db.execute(_ADD_CHUNKS, (ours, theirs))
            added += 1
        if ours != theirs:
            renamed[theirs] = ours
    return renamed, added
