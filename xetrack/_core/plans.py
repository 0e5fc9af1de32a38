"""Plans: statements that are ready for rows like those stored before, and when they suit a row."""

from __future__ import annotations

import re
from math import isnan
from typing import TYPE_CHECKING, Any

from .assets import SHORTEST_ID
from .names import is_encodable
from .values import BLOB, BOOLEAN, EXACT_FLOAT_INT, INTEGER, REAL, TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .table import Table

# A row goes in only while its run is listed: where somebody deleted the run, replaced the table or
# the file, nothing is inserted and the careful way makes anew what is missing.
_WHILE_LISTED = 'FROM runs WHERE runs.track_id = ?2 AND runs."table" = ?'

_AS_IT_IS = frozenset({(bool, BOOLEAN), (bytes, BLOB)})
_FOR_INT = frozenset({INTEGER, REAL})
_NONE = type(None)
# An id of more than 24 digits would take two assets that have as many in common; the digests that
# people log most, MD5 and SHA-1, have 32 and 40.
_ASSET_ID = re.compile(r"[0-9a-f]{16,24}")


class Plan:
    """How rows of certain keys, all of which have columns, are inserted."""

    def __init__(self, table: Table, keys: tuple[str, ...]) -> None:
        self.keys = keys
        self.declared = tuple(table.columns[key] for key in keys)
        self.one = table.insert(keys, _WHILE_LISTED)
        self.many = table.insert(keys)  # in a transaction, in which the run is listed

    # The innermost loop of logging: one pass, without a call for what is simple.
    def suits(self, row: Mapping[str, Any], settled: Mapping[str, str]) -> bool:  # noqa: C901
        """Whether the values of *row* can be bound as they are; lone surrogates SQLite tells."""
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
                if len(value) >= SHORTEST_ID and _may_refer(key, value, settled):
                    return False
            elif value is not None and (kind, declared) not in _AS_IT_IS:
                return False
        return True

    def suits_all(self, columns: Sequence[Sequence[Any]]) -> bool:
        """The same of the columns of many rows, each looked at as a whole."""
        return all(map(_suits_column, self.declared, columns))


def is_asset_id(text: str) -> bool:
    """Whether *text* has the form of an asset's id."""
    return _ASSET_ID.fullmatch(text) is not None


def _may_refer(key: str, text: str, settled: Mapping[str, str]) -> bool:
    """Whether *text* may be a reference to an asset that has not been looked up yet."""
    return is_asset_id(text) and settled.get(key) != text


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
        may_refer = max(map(len, column)) >= SHORTEST_ID and any(map(is_asset_id, column))
        return declared == TEXT and not may_refer and _encodable(column)
    return all((kind, declared) in _AS_IT_IS for kind in kinds)


def _encodable(column: Sequence[str]) -> bool:
    return all(map(str.isascii, column)) or all(map(is_encodable, column))
