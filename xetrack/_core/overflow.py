"""Strict JSON that brings back every plain value: the ``_overflow`` column and JSON lines.

What JSON has no word for is tagged: ``{"$f": "nan"}`` for a float that is no number,
``{"$i": "0x1..."}`` for an integer beyond 64 bits, ``{"$b": "..."}`` for bytes (base64) and
``{"$s": "..."}`` for text with lone surrogates (base64 of its UTF-8 form, surrogates included).
A user's own key that begins with ``$`` gets one more ``$``; a key that JSON cannot carry is
written as ``$s:`` and the same base64.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from math import isfinite
from typing import TYPE_CHECKING, Any

from .names import is_encodable
from .values import INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .values import Plain

_KEY_TAG = "$s:"


def to_text(value: Mapping[str, Plain] | list[Any]) -> str:
    """*value*, a row or a list, as one line of strict JSON."""
    return json.dumps(_tagged(value), ensure_ascii=False, allow_nan=False)


def from_text(text: str) -> dict[str, Any]:
    """The row that ``to_text`` wrote as *text*.

    Raises:
        ValueError: *text* is not such a line.
    """
    try:
        row = _untagged(json.loads(text))
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # the text is wrong, not its type
    return row


def _tagged(value: Any) -> Any:
    if isinstance(value, dict):
        return {_tagged_key(key): _tagged(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_tagged(inner) for inner in value]
    return _tagged_scalar(value)


def _tagged_scalar(value: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        return {"$f": repr(value)}
    if isinstance(value, str) and not is_encodable(value):
        return {"$s": _surrogates_to_base64(value)}
    if isinstance(value, bytes):
        return {"$b": _base64(value)}
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        return {"$i": hex(value)}
    return value


def _tagged_key(key: str) -> str:
    if not is_encodable(key):
        return _KEY_TAG + _surrogates_to_base64(key)
    return "$" + key if key.startswith("$") else key


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, inner),) = value.items()
        if tag in _UNTAG:
            return _UNTAG[tag](inner)
    return {_untagged_key(key): _untagged(inner) for key, inner in value.items()}


def _untagged_key(key: str) -> str:
    if key.startswith(_KEY_TAG):
        return _base64_to_surrogates(key[len(_KEY_TAG) :])
    return key[1:] if key.startswith("$$") else key


def _surrogates_to_base64(text: str) -> str:
    return _base64(text.encode("utf-8", "surrogatepass"))


def _base64_to_surrogates(text: str) -> str:
    return a2b_base64(text).decode("utf-8", "surrogatepass")


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "$f": float,
    "$i": lambda text: int(text, 16),
    "$b": a2b_base64,
    "$s": _base64_to_surrogates,
}
