"""Reading and editing the rows of an event table, whichever run wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import assets
from .errors import UnknownColumnError, UnknownRunError
from .names import OVERFLOW, is_encodable, quoted
from .overflow import from_text, to_text
from .values import INT64_MAX, decoder, same

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from .table import Table
    from .values import Plain

_RUNS = 'SELECT track_id FROM runs WHERE "table" = ? ORDER BY started, rowid'
_LATEST = 'SELECT track_id FROM runs WHERE "table" = ? ORDER BY started DESC, rowid DESC LIMIT 1'
_HAS_RUN = 'SELECT 1 FROM runs WHERE "table" = ? AND track_id = ?'
_IS_TAKEN = "SELECT 1 FROM runs WHERE track_id = ?"
_DROP_RUN = 'DELETE FROM runs WHERE "table" = ? AND track_id = ?'
_DROP_RUNS = 'DELETE FROM runs WHERE "table" = ?'
_DROP_BIG = 'DELETE FROM big_integers WHERE "table" = ?'


_CHUNK_ROWS = 2000


class Slice(NamedTuple):
    """Which rows: of one run or of all, from the head, from the tail, or all of them."""

    track_id: str | None = None
    head: int | None = None
    tail: int | None = None

    def checked(self) -> Slice:
        """Itself, if it makes sense.

        Raises:
            ValueError: a negative number of rows, or both ends at once.
        """
        if self.head is not None and self.tail is not None:
            raise ValueError("give head= or tail=, not both")
        for name in ("head", "tail"):
            number = getattr(self, name)
            if number is not None and number < 0:
                raise ValueError(f"{name}={number} is negative; give a number of rows")
        return self

    def condition(self, table: Table) -> tuple[str, list[object]]:
        """The WHERE clause that picks the rows, and what is bound in it."""
        run = "" if self.track_id is None else "WHERE track_id = ?"
        bound: list[object] = [] if self.track_id is None else [self.track_id]
        if self.head is None and self.tail is None:
            return run, bound
        direction, number = ("ASC", self.head) if self.tail is None else ("DESC", self.tail)
        # Picked by number first: to sort whole rows would read all that a long run ever logged.
        picked = f"SELECT rowid FROM {table.sql} {run} ORDER BY rowid {direction} LIMIT ?"
        return f"WHERE rowid IN ({picked})", [*bound, min(number or 0, INT64_MAX)]


def rows(db: sqlite3.Connection, table: Table, which: Slice) -> Iterator[dict[str, Any]]:
    """The rows in order of arrival, each with every column of the table."""
    where, bound = which.checked().condition(table)
    query = f"SELECT {table.listed()} FROM {table.sql} {where} ORDER BY rowid"
    return decoded(db.execute(query, bound), table)


def chunks(db: sqlite3.Connection, table: Table, which: Slice) -> Iterator[list[tuple[Any, ...]]]:
    """The same rows as lists of cells, many at a time, for who makes columns of them."""
    where, bound = which.checked().condition(table)
    query = f"SELECT {table.listed()} FROM {table.sql} {where} ORDER BY rowid"
    cursor = db.execute(query, bound)
    return iter(lambda: cursor.fetchmany(_CHUNK_ROWS), [])


def decoded(cells: Iterable[Sequence[Any]], table: Table) -> Iterator[dict[str, Any]]:
    """Rows of cells, one for each column, as rows of values, the overflow laid over them."""
    names = list(table.columns)
    decoders = [(name, decoder(table.columns[name])) for name in names]
    needed = [(name, decode) for name, decode in decoders if decode and name != OVERFLOW]
    for row_cells in cells:
        row = dict(zip(names, row_cells))
        for name, decode in needed:
            row[name] = decode(row[name])
        text = row.pop(OVERFLOW, None)
        if text is not None:
            row.update(_overflow(text))
        yield row


def count(db: sqlite3.Connection, table: Table, track_id: str | None) -> int:
    """How many rows there are, of one run or of all."""
    where, bound = Slice(track_id).condition(table)
    return int(db.execute(f"SELECT count(*) FROM {table.sql} {where}", bound).fetchone()[0])


def column(db: sqlite3.Connection, table: Table, key: str, track_id: str | None) -> list[Any]:
    """The values of *key* in order of arrival, None where a row has none.

    Raises:
        UnknownColumnError: no row has it.
    """
    values = [value for _, value in _values(db, table, key, track_id)]
    if key not in table.columns and all(value is None for value in values):
        raise _unknown_column(db, table, key)
    return values


def set_value(
    db: sqlite3.Connection,
    table: Table,
    key: str,
    value: Plain,
    rowids: Sequence[int],
) -> int:
    """Set *key* of the rows of these numbers; how many rows."""
    if not rowids:
        return 0
    if value is not None:
        cells = table.cells(db, {key: value})
    elif key in table.columns:
        cells = {key: None}
    else:
        cells = {}
    exact = OVERFLOW not in cells
    if key in cells:
        column_sql = quoted(key)
        db.executemany(
            f"UPDATE {table.sql} SET {column_sql} = ? WHERE rowid = ?",
            ((cells[key], rowid) for rowid in rowids),
        )
    if OVERFLOW in table.columns:
        _set_overflow(db, table, key, None if exact else value, rowids)
    return len(rowids)


def track_ids(db: sqlite3.Connection, table: str) -> list[str]:
    """The runs of a table, by the time at which they started."""
    return [track_id for (track_id,) in db.execute(_RUNS, (table,))]


def latest_run(db: sqlite3.Connection, table: str) -> str | None:
    """The run of a table that started last."""
    row = db.execute(_LATEST, (table,)).fetchone()
    return row[0] if row else None


def is_taken(db: sqlite3.Connection, track_id: str) -> bool:
    """Whether a run of any table bears this name."""
    return db.execute(_IS_TAKEN, (track_id,)).fetchone() is not None


def require_run(db: sqlite3.Connection, path: str, table: str, track_id: str) -> None:
    """Do nothing if the table has the run.

    Raises:
        UnknownRunError: it has not.
    """
    if not is_encodable(track_id) or not db.execute(_HAS_RUN, (table, track_id)).fetchone():
        raise UnknownRunError(track_id, path, tuple(reversed(track_ids(db, table))))


def delete_run(db: sqlite3.Connection, table: Table, track_id: str) -> int:
    """Delete a run with its references, and the assets that only it used; how many rows."""
    deleted = db.execute(f"DELETE FROM {table.sql} WHERE track_id = ?", (track_id,)).rowcount
    db.execute(_DROP_RUN, (table.name, track_id))
    assets.forget_run(db, table.name, track_id)
    return deleted


def delete_table(db: sqlite3.Connection, table: Table) -> None:
    """Delete an event table with its runs, and the assets that only they used."""
    for track_id in track_ids(db, table.name):
        assets.forget_run(db, table.name, track_id)
    db.execute(_DROP_RUNS, (table.name,))
    db.execute(_DROP_BIG, (table.name,))
    db.execute(f"DROP TABLE {table.sql}")


def _values(
    db: sqlite3.Connection, table: Table, key: str, track_id: str | None
) -> Iterator[tuple[int, Any]]:
    """(rowid, value of *key*) of each row, in order of arrival."""
    names = [name for name in (key, OVERFLOW) if name in table.columns]
    listed = ", ".join(["rowid", *(f"{table.sql}.{quoted(name)}" for name in names)])
    where, bound = Slice(track_id).condition(table)
    cursor = db.execute(f"SELECT {listed} FROM {table.sql} {where} ORDER BY rowid", bound)
    decode = decoder(table.columns.get(key, ""))
    overflowing = OVERFLOW in names
    keyed = key in names
    for row in cursor:
        value = row[1] if keyed else None
        if decode:
            value = decode(value)
        if overflowing and row[-1] is not None:
            value = _overflow(row[-1]).get(key, value)
        yield row[0], value


def matching(
    db: sqlite3.Connection, table: Table, track_id: str | None, where: tuple[str, Plain] | None
) -> list[int]:
    """The numbers of the rows of a run, or of all, in which *where* (a key and a value) holds.

    Raises:
        UnknownColumnError: no row has the key.
    """
    if where is None:
        bounds, bound = Slice(track_id).condition(table)
        return [rowid for (rowid,) in db.execute(f"SELECT rowid FROM {table.sql} {bounds}", bound)]
    key, wanted = where
    pairs = list(_values(db, table, key, track_id))
    if key not in table.columns and all(value is None for _, value in pairs):
        raise _unknown_column(db, table, key)
    return [rowid for rowid, value in pairs if same(value, wanted)]


def runs_of(db: sqlite3.Connection, table: Table, rowids: Sequence[int]) -> set[str]:
    """The runs of the rows of these numbers."""
    query = f"SELECT track_id FROM {table.sql} WHERE rowid = ?"
    return {db.execute(query, (rowid,)).fetchone()[0] for rowid in rowids}


def _set_overflow(
    db: sqlite3.Connection, table: Table, key: str, value: Plain, chosen: Sequence[int]
) -> None:
    """Put *value* under *key* into the overflow of the chosen rows, or with None, out of it."""
    picked = set(chosen)
    query = f"SELECT rowid, {OVERFLOW} FROM {table.sql} WHERE {OVERFLOW} IS NOT NULL OR ?"
    changed = []
    for rowid, text in db.execute(query, (value is not None,)):
        if rowid in picked:
            rest = _overflow(text) if text is not None else {}
            rest.pop(key, None)
            if value is not None:
                rest[key] = value
            changed.append((to_text(rest) if rest else None, rowid))
    db.executemany(f"UPDATE {table.sql} SET {OVERFLOW} = ? WHERE rowid = ?", changed)


def _overflow(text: str) -> dict[str, Any]:
    try:
        return from_text(text)
    except ValueError:  # somebody's own SQL wrote it
        return {}


def _unknown_column(db: sqlite3.Connection, table: Table, key: str) -> UnknownColumnError:
    path = db.execute("PRAGMA database_list").fetchone()[2]
    known = tuple(name for name in table.columns if name != OVERFLOW)
    return UnknownColumnError(key, path or "this database", known)
