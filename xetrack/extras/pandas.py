"""DataFrames of event tables, with the types that were logged."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._core.names import OVERFLOW
from .._core.overflow import from_text
from .._core.values import BOOLEAN, INTEGER, JSON, REAL, TEXT, affinity, decoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# A column without rows; with them, each makes an array of its own.
_EMPTY = {REAL: "float64", INTEGER: "int64", BOOLEAN: "bool", TEXT: "str"}


def frame(columns: Mapping[str, str], chunks: Iterable[Sequence[Sequence[Any]]]) -> pd.DataFrame:
    """A DataFrame of rows of cells, given in chunks.

    A column of integers or booleans that has gaps is ``Int64`` or ``boolean``, text is pandas' own
    string type, lists and bytes are objects. What the overflow holds is laid over.

    Args:
        columns: the columns of the table, each with its declared type.
        chunks: lists of rows, each with a cell for each column.
    """
    pieces: dict[str, list[Any]] = {name: [] for name in columns}
    kinds = {name: affinity(declared) for name, declared in columns.items()}
    with _collector_paused():
        for chunk in chunks:
            for name, cells in zip(columns, zip(*chunk)):
                piece = list(cells) if name == OVERFLOW else _array(kinds[name], cells)
                pieces[name].append(piece)
    overflows = [text for piece in pieces.pop(OVERFLOW, []) for text in piece]
    made = pd.DataFrame({name: _joined(kinds[name], piece) for name, piece in pieces.items()})
    return _overlaid(made, overflows) if any(overflows) else made


def frame_of_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A DataFrame of rows as dicts, each column of the type that all its values have."""
    made = pd.DataFrame(rows)
    return made if made.empty else made.convert_dtypes(dtype_backend="numpy_nullable")


def _array(kind: str, cells: Sequence[Any]) -> Any:
    gaps = None in cells
    if kind == REAL:
        return np.array(cells, dtype="float64")
    if kind == INTEGER:
        return pd.array(cells, dtype="Int64") if gaps else np.array(cells, dtype="int64")
    if kind == BOOLEAN:
        held = [cell if cell is None else bool(cell) for cell in cells]
        return pd.array(held, dtype="boolean") if gaps else np.array(held, dtype="bool")
    if kind == TEXT:
        return pd.array(cells, dtype="str")
    decode = decoder(JSON) if kind == JSON else None
    objects: Any = np.empty(len(cells), dtype=object)
    objects[:] = [decode(cell) for cell in cells] if decode else list(cells)
    return objects


def _joined(kind: str, arrays: list[Any]) -> pd.Series[Any]:
    if not arrays:
        return pd.Series([], dtype=_EMPTY.get(kind, "object"))
    masked = {INTEGER: "Int64", BOOLEAN: "boolean"}.get(kind)
    if masked and not all(isinstance(array, np.ndarray) for array in arrays):
        arrays = [pd.array(array, dtype=masked) for array in arrays]
    return pd.concat([pd.Series(array) for array in arrays], ignore_index=True)


def _overlaid(made: pd.DataFrame, overflows: list[Any]) -> pd.DataFrame:
    """The same with what the overflow holds; where a column has no place for it, as objects."""
    values: dict[str, dict[int, Any]] = {}
    for number, text in enumerate(overflows):
        for key, value in from_text(text).items() if text else ():
            values.setdefault(key, {})[number] = value
    for key, by_row in values.items():
        column = made[key] if key in made else pd.Series([None] * len(made), dtype=object)
        fits = column.dtype == "float64" and all(isinstance(v, float) for v in by_row.values())
        held = [None if cell is pd.NA else cell for cell in column]
        for number, value in by_row.items():
            held[number] = value
        made[key] = pd.Series(held, dtype="float64" if fits else object)
    return made


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from searching, over and over, the many tuples that SQLite hands out.

    They are never part of a cycle; measured to take a fifth off the reading of 300,000 rows.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
