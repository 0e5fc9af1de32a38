"""Python values and cells: what is kept as what, and how a column's declared type widens.

A *plain* value is one that a row can hold: None, bool, int, float, str, bytes, or lists and
dicts of JSON-able things. ``plain`` makes one of what a user logged; ``fit`` makes a cell of a
plain value and says whether the cell holds it exactly; ``decoder`` goes the way back.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date, datetime, time, timedelta
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, Union

from .names import is_encodable

if TYPE_CHECKING:
    from collections.abc import Callable

Plain = Union[None, bool, int, float, str, bytes, "list[Any]", "dict[str, Any]"]
Cell = Union[None, int, float, str, bytes]

BOOLEAN = "BOOLEAN"
INTEGER = "INTEGER"
REAL = "REAL"
TEXT = "TEXT"
BLOB = "BLOB"
JSON = "JSON"

NUMBERS = (BOOLEAN, INTEGER, REAL)  # each fits into the next
_EXACT_TYPES = frozenset({type(None), bool, int, float, str, bytes})

# Every integer up to here has a float that is equal to it.
EXACT_FLOAT_INT = 2**53
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class NotPlainError(TypeError):
    """A value that no cell can hold: it becomes an asset. Never leaves the core."""


def plain(value: object) -> Plain:
    """*value* as what a row holds of it.

    Raises:
        NotPlainError: it has no such form.
    """
    if type(value) in _EXACT_TYPES:
        return value  # type: ignore[return-value]  # the set above is the proof
    if isinstance(value, (list, tuple, dict)):
        try:
            held: Plain = _json_able(value)
        except RecursionError:
            raise NotPlainError from None
        return held
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return _scalar(value)


def _scalar(value: object) -> Plain:
    text = _text_form(value)
    if text is not None:
        return None if text == "NaT" else text
    if isinstance(value, (int, float, str, bytes)):
        return _unsubclassed(value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return _item(value)
    if type(value).__name__ == "NAType" and type(value).__module__.startswith("pandas"):
        return None
    raise NotPlainError


def _unsubclassed(value: float | str | bytes) -> Plain:
    """The int, float, str or bytes inside a subclass (``numpy.float64``, ``IntEnum``)."""
    if isinstance(value, int):
        return int.__pos__(value)
    if isinstance(value, float):
        return float.__pos__(value)
    return str.__str__(value) if isinstance(value, str) else bytes(value)


def _item(value: Any) -> Plain:
    """The Python value of a NumPy scalar or of an array or tensor of no dimensions."""
    if getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):
        text = str(value)  # .item() of nanoseconds is a bare number
        return None if text == "NaT" else text
    item = value.item()
    if type(item) in _EXACT_TYPES:
        return item  # type: ignore[no-any-return]
    if type(item) is type(value):  # numpy.longdouble gives itself
        return float(item)
    return plain(item)


def _text_form(value: object) -> str | None:
    """The text of a date, duration, path, enumeration, UUID or decimal; None of all else."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _iso_duration(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    # Whoever made such a value has imported its module; we need not.
    if _is_instance(value, "enum", "Enum") and not isinstance(value, int):
        return str(value.value)  # type: ignore[attr-defined]
    if _is_instance(value, "uuid", "UUID") or _is_instance(value, "decimal", "Decimal"):
        return str(value)
    return None


def _is_instance(value: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _iso_duration(value: timedelta) -> str:
    """ISO 8601, such as ``P1DT2H3M4.5S``; a negative duration has a leading minus."""
    if value < timedelta(0):
        return "-" + _iso_duration(-value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    return f"P{value.days}DT{hours}H{minutes}M{seconds}{fraction}S"


def _json_able(value: object) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise NotPlainError
        return {str.__str__(key): _json_able(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_able(inner) for inner in value]
    inner = plain(value)
    if isinstance(inner, bytes):
        raise NotPlainError
    return inner


def declared_type(value: Plain) -> str:
    """The type that a column declares whose first value is *value*, which is not None."""
    if isinstance(value, bool):
        return BOOLEAN
    for kind, declared in ((int, INTEGER), (float, REAL), (str, TEXT), (bytes, BLOB)):
        if isinstance(value, kind):
            return declared
    return JSON


def is_nan(value: object) -> bool:
    """Whether *value* is the float that is no number."""
    return isinstance(value, float) and isnan(value)


def affinity(declared: str) -> str:
    """The one of our six types that a column declared as *declared* behaves like.

    The rules for names that are not ours: https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    """
    name = declared.upper()
    if name in (BOOLEAN, INTEGER, REAL, TEXT, BLOB, JSON):
        return name
    for part, kind in (
        ("INT", INTEGER),
        ("CHAR", TEXT),
        ("CLOB", TEXT),
        ("TEXT", TEXT),
        ("BLOB", BLOB),
    ):
        if part in name:
            return kind
    return REAL if name else BLOB


def widened(declared: str, value: Plain) -> str:
    """The type that a column of numbers must have for *value* to fit, or *declared* as it is."""
    if declared not in NUMBERS or not isinstance(value, (bool, int, float)):
        return declared
    if is_nan(value) or (isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX):
        return declared  # no column of numbers holds these
    return max(declared, declared_type(value), key=NUMBERS.index)


def fit(value: Plain, declared: str) -> tuple[Cell, bool]:
    """The cell for *value* in a column declared as *declared*, and whether it is exact.

    An inexact cell is the nearest value of that type, or None; the value itself belongs into the
    overflow then.
    """
    if value is None:
        return None, True
    return _FITS[affinity(declared)](value)


def _fit_boolean(value: Plain) -> tuple[Cell, bool]:
    return (int(value), True) if isinstance(value, bool) else (None, False)


def _fit_integer(value: Plain) -> tuple[Cell, bool]:
    if isinstance(value, int) and INT64_MIN <= value <= INT64_MAX:
        return int(value), True
    return None, False


def _fit_real(value: Plain) -> tuple[Cell, bool]:
    if isinstance(value, float):
        return (None, False) if is_nan(value) else (value, True)
    if not isinstance(value, int):
        return None, False
    try:
        return float(value), -EXACT_FLOAT_INT <= value <= EXACT_FLOAT_INT
    except OverflowError:
        return None, False


def _fit_text(value: Plain) -> tuple[Cell, bool]:
    if isinstance(value, str):
        return (value, True) if is_encodable(value) else (_readable(value), False)
    if isinstance(value, bytes):
        return None, False
    if isinstance(value, (list, dict)):
        return _fit_json(value)[0], False
    return number_text(value), False


def number_text(value: object) -> str:
    """A number as text; hexadecimal where it has more digits than Python likes to write."""
    try:
        return str(value)
    except ValueError:  # beyond sys.get_int_max_str_digits
        return hex(value)  # type: ignore[arg-type]  # only an int has so many digits


def _fit_blob(value: Plain) -> tuple[Cell, bool]:
    return (value, True) if isinstance(value, bytes) else (None, False)


def _fit_json(value: Plain) -> tuple[Cell, bool]:
    # A JSON number would be stored as a number and a column mix types (JSON has NUMERIC affinity).
    if not isinstance(value, (list, dict)):
        return None, False
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):  # NaN, an infinity, a huge int, a lone surrogate
        return _nearest_json(value), False
    return text, True


def _nearest_json(value: Plain) -> Cell:
    try:
        return json.dumps(_strict(value), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None


def _strict(value: Any) -> Any:
    """*value* with null for what JSON has no number for, and text that UTF-8 can hold."""
    if isinstance(value, dict):
        return {_readable(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_strict(inner) for inner in value]
    if isinstance(value, str):
        return _readable(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


_FITS: dict[str, Callable[[Plain], tuple[Cell, bool]]] = {
    BOOLEAN: _fit_boolean,
    INTEGER: _fit_integer,
    REAL: _fit_real,
    TEXT: _fit_text,
    BLOB: _fit_blob,
    JSON: _fit_json,
}


def decoder(declared: str) -> Callable[[Any], Any] | None:
    """What makes the Python value of a cell, or None where the cell is the value."""
    return {BOOLEAN: _to_bool, JSON: _to_json}.get(declared.upper())


def _to_bool(cell: Cell) -> object:
    return bool(cell) if isinstance(cell, int) else cell


def _to_json(cell: Cell) -> object:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):  # somebody's own SQL wrote it
        return cell


def same(left: object, right: object) -> bool:
    """Whether two plain values are equal, a NaN being equal to a NaN."""
    if is_nan(left) and is_nan(right):
        return True
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right
