"""Rows on their way to the writer: keys checked, values made plain, objects packed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .errors import KeyNameError
from .names import key_text
from .packing import Packed, pack
from .values import NotPlainError, is_nan, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .values import Plain

Row = dict[str, Any]

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_MOST_ALIKE = 1000  # rows, of which one that needs care sends the others the careful way too


class Frame(Protocol):
    """What of a pandas DataFrame is asked for."""

    @property
    def columns(self) -> Any:
        """The names of its columns."""

    @property
    def iloc(self) -> Any:
        """Its cells by number."""


def prepared(row: Mapping[Any, Any]) -> Row:
    """*row* with its keys as text and its values plain, or packed where no cell can hold them.

    Raises:
        TypeError: *row* is no mapping.
        KeyNameError: a key cannot name a value, or two keys are the same name.
        UnpicklableError: pickle cannot store a value.
    """
    made: Row = {}
    if not isinstance(row, Mapping):
        raise TypeError(f"a row is a dict of keys and values, not {row!r}")
    for key, value in row.items():
        name = key_text(key)
        if name in made:
            raise KeyNameError(key, f"means the same column as another key of the row, {name!r}")
        made[name] = plain_or_packed(value)
    return made


def records(rows: Iterable[Mapping[Any, Any]] | Frame) -> list[Mapping[Any, Any]]:
    """*rows* as a list; a pandas DataFrame, which need not be installed, row by row.

    What pandas takes for missing, NaN in a column of floats too, is None then.
    """
    if not (hasattr(rows, "iloc") and hasattr(rows, "columns")):
        return list(rows)
    names = list(rows.columns)
    columns = [rows.iloc[:, number].tolist() for number in range(len(names))]
    return [
        {name: None if is_nan(value) else value for name, value in zip(names, values)}
        for values in zip(*columns)
    ]


def independent(row: Row) -> Row:
    """A copy of a prepared row that shares no list or dict with it."""
    return {k: plain(v) if isinstance(v, (list, dict)) else v for k, v in row.items()}


def plain_or_packed(value: object) -> Plain | Packed:
    """*value* as a cell holds it, or as an asset."""
    if isinstance(value, Packed):
        return value
    try:
        return plain(value)
    except NotPlainError:
        return pack(value)


class Alike(NamedTuple):
    """Rows that follow each other and have the same keys, and the values of each key."""

    keys: tuple[str, ...]
    rows: list[Row]
    columns: list[tuple[Any, ...]]


def alike(rows: Iterable[Row]) -> Iterator[Alike]:
    """The rows, prepared, in groups of the same keys."""
    keys: tuple[str, ...] = ()
    group: list[Row] = []
    for row in rows:
        if tuple(row) != keys or len(group) == _MOST_ALIKE:
            yield from _prepared_group(keys, group)
            keys, group = tuple(row), []
        group.append(row)
    yield from _prepared_group(keys, group)


def _prepared_group(keys: tuple[str, ...], rows: list[Row]) -> Iterator[Alike]:
    """Rows of the same keys, looked at one by one only if some have more than scalars."""
    if not rows:
        return
    columns = list(zip(*map(dict.values, rows)))
    kinds = set(chain.from_iterable(map(type, column) for column in columns))
    if kinds <= _SCALARS and tuple(prepared(rows[0])) == keys:
        yield Alike(keys, rows, columns)
        return
    yield from map(alone, map(prepared, rows))


def alone(row: Row) -> Alike:
    return Alike(tuple(row), [row], [(value,) for value in row.values()])
