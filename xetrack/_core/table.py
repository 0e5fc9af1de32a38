"""What an event table looks like, and how it grows.

Columns come as keys appear, and the types of numbers widen.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from .names import (
    INTERNAL_TABLES,
    OVERFLOW,
    TIMESTAMP,
    TRACK_ID,
    can_be_column,
    fold,
    quoted,
)
from .overflow import from_text, to_text
from .values import (
    EXACT_FLOAT_INT,
    INTEGER,
    JSON,
    NUMBERS,
    REAL,
    TEXT,
    affinity,
    declared_type,
    fit,
    widened,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .values import Cell, Plain

# SQLite's own limits: columns of a table, and (before 3.32) values bound in one statement. Two are
# left for the overflow and for the row's number in a result.
MAX_COLUMNS = (2000 if sqlite3.sqlite_version_info >= (3, 32) else 999) - 2

_SCHEMA_VERSION = "PRAGMA main.schema_version"
_STATEMENT = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
_REWRITE = "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?"
_DEPENDENT = """SELECT sql FROM sqlite_master
    WHERE type IN ('index', 'trigger') AND tbl_name = ? AND sql IS NOT NULL"""
_NOTE_BIG = 'INSERT OR IGNORE INTO big_integers ("table", "column") VALUES (?, ?)'
_IS_BIG = 'SELECT 1 FROM big_integers WHERE "table" = ? AND "column" = ?'


class Table:
    """One event table: its columns in order, each with its declared type."""

    def __init__(
        self, name: str, columns: dict[str, str], version: int, schema: str = "main"
    ) -> None:
        self.name = name
        self.columns = columns
        self.version = version  # SQLite's schema_version when the columns were read
        self.sql = f"{schema}.{quoted(name)}"
        self._folded = {fold(column) for column in columns}
        self._big: set[str] = set()

    @classmethod
    def load(cls, db: sqlite3.Connection, name: str, schema: str = "main") -> Table | None:
        """The table as it is now, or None where there is none of that name.

        Its own name may differ in the case of letters, which SQLite does not tell apart.
        """
        query = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?"
        found = db.execute(query + " COLLATE NOCASE", (name,)).fetchone()
        if found is None:
            return None
        return cls(found[0], table_columns(db, schema, found[0]), schema_version(db), schema)

    @classmethod
    def create(cls, db: sqlite3.Connection, name: str, wanted: Mapping[str, str]) -> Table:
        """A new table with those of the *wanted* columns (name to type) that SQL can have."""
        table = cls(name, {TIMESTAMP: TEXT, TRACK_ID: TEXT}, 0)
        for key, declared in wanted.items():
            if table._can_add(key):
                table._note(key, declared)
        db.execute(create_statement(name, table.columns))
        table.version = schema_version(db)
        return table

    def join(self, db: sqlite3.Connection, key: str, declared: str) -> None:
        """Have a column for *key* that holds, where it can, what a column of *declared* holds."""
        if key not in self.columns:
            if self._can_add(key):
                self._add(db, key, declared)
            return
        ours, theirs = affinity(self.columns[key]), affinity(declared)
        if ours in NUMBERS and theirs in NUMBERS and NUMBERS.index(ours) < NUMBERS.index(theirs):
            self._widen(db, key, theirs)

    def place(self, db: sqlite3.Connection, key: str, value: Plain) -> str | None:
        """The declared type of the column for *key*, made or widened so that *value* fits.

        None where the key has no column and can have none: its value belongs into the overflow.
        """
        if key not in self.columns:
            if not self._can_add(key):
                return None
            self._add(db, key, declared_type(value))
        declared = affinity(self.columns[key])
        wider = widened(declared, value)
        if wider != declared and self._widen(db, key, wider):
            declared = wider
        if type(value) is int and not -EXACT_FLOAT_INT <= value <= EXACT_FLOAT_INT:
            self._note_big(db, key)
        return declared

    def cells(self, db: sqlite3.Connection, row: Mapping[str, Plain]) -> dict[str, Cell]:
        """The cell of each column that *row* needs; the table grows to hold it."""
        cells: dict[str, Cell] = {}
        rest: dict[str, Plain] = {}
        for key, value in row.items():
            if value is None:
                continue
            declared = self.place(db, key, value)
            exact = False
            if declared is not None:
                cells[key], exact = fit(value, declared)
            if not exact:
                rest[key] = value
        if rest:
            self.make_overflow(db)
            cells[OVERFLOW] = to_text(rest)
        return cells

    def insert(self, columns: Iterable[str], condition: str = "") -> str:
        """The statement that inserts timestamp, track_id and *columns*, if *condition* holds."""
        names = [TIMESTAMP, TRACK_ID, *columns]
        listed, marks = ", ".join(map(quoted, names)), ", ".join("?" * len(names))
        source = f"SELECT {marks} {condition}" if condition else f"VALUES ({marks})"
        return f"INSERT INTO {self.sql} ({listed}) {source}"

    def listed(self) -> str:
        """Every column, in order, for a SELECT.

        Qualified: an unknown name that is only quoted, SQLite takes for a string.
        """
        return ", ".join(f"{self.sql}.{quoted(column)}" for column in self.columns)

    def newest(self, db: sqlite3.Connection, track_id: str) -> str | None:
        """The latest timestamp of a run."""
        query = f"SELECT max(timestamp) FROM {self.sql} WHERE track_id = ?"
        (stamp,) = db.execute(query, (track_id,)).fetchone()
        return None if stamp is None else str(stamp)

    def stamps_since(self, db: sqlite3.Connection, track_id: str, first: str) -> set[str]:
        """The timestamps of a run from *first* on."""
        query = f"SELECT timestamp FROM {self.sql} WHERE track_id = ? AND timestamp >= ?"
        return {stamp for (stamp,) in db.execute(query, (track_id, first))}

    def make_overflow(self, db: sqlite3.Connection) -> None:
        """See to it that the overflow column is there."""
        if OVERFLOW not in self.columns:
            self._add(db, OVERFLOW, JSON)

    def _can_add(self, key: str) -> bool:
        room = len(self.columns) < MAX_COLUMNS
        return room and can_be_column(key) and fold(key) not in self._folded

    def _note(self, key: str, declared: str) -> None:
        self.columns[key] = declared
        self._folded.add(fold(key))

    def _add(self, db: sqlite3.Connection, key: str, declared: str) -> None:
        db.execute(f"ALTER TABLE {self.sql} ADD COLUMN {quoted(key)} {declared}")
        self._note(key, declared)
        self.version = schema_version(db)

    def _note_big(self, db: sqlite3.Connection, key: str) -> None:
        if key not in self._big:
            db.execute(_NOTE_BIG, (self.name, key))
            self._big.add(key)

    def _widen(self, db: sqlite3.Connection, key: str, declared: str) -> bool:
        """Change the declared type of *key*; False where the table is not as we made it."""
        (statement,) = db.execute(_STATEMENT, (self.name,)).fetchone()
        if _bare(statement) != _bare(create_statement(self.name, self.columns)):
            return False  # somebody gave it a default, a check, a generated column: theirs to keep
        if declared == REAL:
            self._save_big_integers(db, key)
        columns = {**self.columns, key: declared}
        db.execute("SAVEPOINT widening")
        try:
            self._rewrite(db, create_statement(self.name, columns))
        except sqlite3.DatabaseError:  # a DEFENSIVE build keeps sqlite_master to itself
            db.execute("ROLLBACK TO widening")
            self._rebuild(db, columns)
        db.execute("RELEASE widening")
        self.columns = columns
        self.version = schema_version(db)
        return True

    def _rewrite(self, db: sqlite3.Connection, statement: str) -> None:
        """Change the declaration alone: SQLite reads the integers of a REAL column as floats.

        A higher schema_version tells this and every other connection to read it anew, see
        https://www.sqlite.org/pragma.html#pragma_writable_schema
        """
        db.execute("PRAGMA writable_schema = ON")
        try:
            db.execute(_REWRITE, (statement, self.name))
            db.execute(f"PRAGMA main.schema_version = {schema_version(db) + 1}")
        finally:
            db.execute("PRAGMA writable_schema = OFF")

    def _rebuild(self, db: sqlite3.Connection, columns: dict[str, str]) -> None:
        others = db.execute(_DEPENDENT, (self.name,)).fetchall()
        names = ", ".join(["rowid", *map(quoted, columns)])
        anew = quoted(self.name + " widened by xetrack")
        db.execute(create_statement(self.name + " widened by xetrack", columns))
        db.execute(f"INSERT INTO {anew} ({names}) SELECT {names} FROM {self.sql}")
        db.execute("PRAGMA legacy_alter_table = ON")  # else a view of the table forbids it
        db.execute(f"DROP TABLE {self.sql}")
        db.execute(f"ALTER TABLE {anew} RENAME TO {quoted(self.name)}")
        db.execute("PRAGMA legacy_alter_table = OFF")
        for (statement,) in others:
            db.execute(statement)

    def _save_big_integers(self, db: sqlite3.Connection, key: str) -> None:
        """Put the integers of *key* that have no equal float into the overflow."""
        if affinity(self.columns[key]) != INTEGER or not is_big(db, self.name, key):
            return
        self.make_overflow(db)
        column = f"{quoted(self.name)}.{quoted(key)}"
        big = db.execute(
            f"SELECT rowid, {column}, {OVERFLOW} FROM {self.sql} "
            f"WHERE {column} NOT BETWEEN {-EXACT_FLOAT_INT} AND {EXACT_FLOAT_INT}"
        ).fetchall()
        db.executemany(
            f"UPDATE {self.sql} SET {OVERFLOW} = ? WHERE rowid = ?",
            ((to_text({key: cell, **from_text(rest or "{}")}), row) for row, cell, rest in big),
        )


def create_statement(name: str, columns: Mapping[str, str]) -> str:
    """The statement that makes an event table; ``_widen`` compares others with it."""
    declared = ", ".join(
        f"{quoted(column)} {kind}" + " NOT NULL" * (column in (TIMESTAMP, TRACK_ID))
        for column, kind in columns.items()
    )
    unique = f"UNIQUE ({quoted(TRACK_ID)}, {quoted(TIMESTAMP)})"
    return f"CREATE TABLE {quoted(name)} ({declared}, {unique})"


def table_columns(db: sqlite3.Connection, schema: str, name: str) -> dict[str, str]:
    """The columns of a table with their declared types; empty where there is no such table.

    ``table_xinfo`` rather than ``table_info``: it shows generated columns too.
    """
    rows = db.execute(f"PRAGMA {schema}.table_xinfo({quoted(name)})").fetchall()
    return {row[1]: row[2] for row in rows}


def event_tables(db: sqlite3.Connection, schema: str = "main") -> list[str]:
    """The tables that hold events, in the order in which they were made."""
    query = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' ORDER BY rowid"
    names = [name for (name,) in db.execute(query) if name not in INTERNAL_TABLES]
    ours = {TIMESTAMP, TRACK_ID}
    return [name for name in names if ours <= table_columns(db, schema, name).keys()]


def is_big(db: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether the column ever held an integer that no float is equal to."""
    return db.execute(_IS_BIG, (table, column)).fetchone() is not None


def schema_version(db: sqlite3.Connection) -> int:
    """A number that changes with every change of any table."""
    return int(db.execute(_SCHEMA_VERSION).fetchone()[0])


def _bare(statement: str) -> str:
    return "".join(statement.split())
