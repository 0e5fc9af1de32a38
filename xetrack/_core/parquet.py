"""A table as a Parquet file, written with the standard library alone.

This is how a table is handed to DuckDB where it cannot read SQLite files. Parquet rather than CSV:
numbers, text and bytes go as they are, and no text must be told apart from a NULL. Of each column,
a piece of up to ``_ROWS`` rows is one uncompressed page of PLAIN values:
https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import os
import sys
from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from .names import quoted
from .values import BLOB, BOOLEAN, INTEGER, JSON, REAL, TEXT, affinity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from .table import Table

_ROWS = 10_000  # measured: the caches of the processor hold them
_PIECE_BYTES = 32 << 20
_MAGIC = b"PAR1"
_PHYSICAL = {
    INTEGER: 2,  # INT64
    BOOLEAN: 2,
    REAL: 5,  # DOUBLE
    TEXT: 6,  # BYTE_ARRAY
    JSON: 6,
    BLOB: 6,
}
_ARRAYS = {INTEGER: "q", BOOLEAN: "q", REAL: "d"}
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12  # of Thrift's compact protocol


class _Piece(NamedTuple):
    """Where the pages of some rows begin, how long they are, and how many rows."""

    offsets: list[int]
    sizes: list[int]
    rows: int


class _MisfitError(Exception):
    """A column holds what its declared type has no place for: another program wrote it."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def write_table(db: sqlite3.Connection, table: Table, path: str) -> list[str]:
    """Write a table to a new file; of which kind each column is in it.

    A column with cells that are not of its declared type becomes one of text.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    kinds = [affinity(declared) for declared in table.columns.values()]
    listed = [f"{table.sql}.{quoted(name)}" for name in table.columns]
    factory, db.text_factory = db.text_factory, bytes  # UTF-8, as Parquet wants it
    try:
        while True:
            rows = db.execute(f"SELECT {', '.join(listed)} FROM {table.sql}")
            try:
                _write(path, rows, kinds)
            except _MisfitError as misfit:
                column = listed[misfit.position]
                kinds[misfit.position] = TEXT
                listed[misfit.position] = (
                    f"CASE typeof({column}) WHEN 'blob' THEN quote({column}) "
                    f"ELSE CAST({column} AS TEXT) END"
                )
            else:
                return kinds
    finally:
        db.text_factory = factory


def _write(path: str, cursor: sqlite3.Cursor, kinds: Sequence[str]) -> None:
    pieces = []
    rows = 16  # until it is known how many make a good piece
    with open(path, "wb") as file:
        file.write(_MAGIC)
        while True:
            cells = cursor.fetchmany(rows)
            if not cells:
                break
            began = file.tell()
            offsets, sizes = [], []
            for position, (kind, column) in enumerate(zip(kinds, zip(*cells))):
                try:
                    page = _page(kind, column)
                except (TypeError, OverflowError):
                    raise _MisfitError(position) from None
                offsets.append(file.tell())
                sizes.append(file.write(page))
            pieces.append(_Piece(offsets, sizes, len(cells)))
            size = (file.tell() - began) // len(cells) + 1
            rows = max(1, min(_ROWS, _PIECE_BYTES // size))
        footer = _footer(kinds, pieces)
        file.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)


def _page(kind: str, cells: Sequence[Any]) -> bytes:
    """A header, which rows have a value, and the values."""
    present = _varint(len(cells) << 1) + b"\1"  # one run of ones
    held = cells
    if None in cells:
        held = [cell for cell in cells if cell is not None]
        present = _bits(cells)
    body = len(present).to_bytes(4, "little") + present + _values(kind, held)
    counts = _struct((1, _I32, len(cells)), (2, _I32, 0), (3, _I32, 3), (4, _I32, 3))
    size = len(body)
    return _struct((1, _I32, 0), (2, _I32, size), (3, _I32, size), (5, _STRUCT, counts)) + body


def _bits(cells: Sequence[Any]) -> bytes:
    """One bit for each cell, set where it has a value, the first one lowest."""
    groups = -(-len(cells) // 8)
    digits = "".join(["0" if cell is None else "1" for cell in reversed(cells)])
    return _varint(groups << 1 | 1) + int(digits, 2).to_bytes(groups, "little")


def _values(kind: str, cells: Sequence[Any]) -> bytes:
    if kind in _ARRAYS:
        numbers = array(_ARRAYS[kind], cells)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()
    if kind != BLOB:
        try:
            b"\n".join(cells).decode()
        except UnicodeDecodeError:  # another program wrote it
            cells = [cell.decode("utf-8", "replace").encode() for cell in cells]
    return b"".join(chain.from_iterable(zip(map(_LENGTHS.__getitem__, map(len, cells)), cells)))


class _Lengths(dict[int, bytes]):
    """A length as Parquet writes it before text; most texts have one of a few lengths."""

    def __missing__(self, length: int) -> bytes:
        return length.to_bytes(4, "little")


_LENGTHS = _Lengths({length: length.to_bytes(4, "little") for length in range(256)})


def _footer(kinds: Sequence[str], pieces: Sequence[_Piece]) -> bytes:
    root = _struct((4, _BINARY, b"schema"), (5, _I32, len(kinds)))
    schema = [root, *(_column_schema(position, kind) for position, kind in enumerate(kinds))]
    groups = [
        _struct(
            (1, _LIST, (_STRUCT, list(_chunks(kinds, piece)))),
            (2, _I64, sum(piece.sizes)),
            (3, _I64, piece.rows),
        )
        for piece in pieces
    ]
    total = sum(piece.rows for piece in pieces)
    return _struct(
        (1, _I32, 1), (2, _LIST, (_STRUCT, schema)), (3, _I64, total), (4, _LIST, (_STRUCT, groups))
    )


def _column_schema(position: int, kind: str) -> bytes:
    fields = [(1, _I32, _PHYSICAL[kind]), (3, _I32, 1), (4, _BINARY, b"c%d" % position)]
    return _struct(*fields, *([(6, _I32, 0)] if kind in (TEXT, JSON) else []))


def _chunks(kinds: Sequence[str], piece: _Piece) -> Iterator[bytes]:
    for position, (kind, offset, size) in enumerate(zip(kinds, piece.offsets, piece.sizes)):
        about = _struct(
            (1, _I32, _PHYSICAL[kind]),
            (2, _LIST, (_I32, [_zigzag(0), _zigzag(3)])),
            (3, _LIST, (_BINARY, [_binary(b"c%d" % position)])),
            (4, _I32, 0),
            (5, _I64, piece.rows),
            (6, _I64, size),
            (7, _I64, size),
            (9, _I64, offset),
        )
        yield _struct((2, _I64, offset), (3, _STRUCT, about))


def _struct(*fields: tuple[int, int, Any]) -> bytes:
    """A Thrift structure of (number, type, value), the numbers rising."""
    parts, last = [], 0
    for number, kind, value in fields:
        parts.append(bytes([(number - last) << 4 | kind]))
        parts.append(_ENCODE[kind](value))
        last = number
    return b"".join(parts) + b"\0"


def _list(value: tuple[int, Sequence[bytes]]) -> bytes:
    kind, items = value
    return bytes([0xF0 | kind]) + _varint(len(items)) + b"".join(items)


def _binary(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _zigzag(number: int) -> bytes:
    return _varint(number << 1)  # none of ours is negative


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >> 7:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


_ENCODE: dict[int, Callable[[Any], bytes]] = {
    _I32: _zigzag,
    _I64: _zigzag,
    _BINARY: _binary,
    _LIST: _list,
    _STRUCT: bytes,
}
