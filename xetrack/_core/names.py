"""Which keys can be columns, which names tables; how a name is quoted; new track ids."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from .errors import KeyNameError, TableNameError
from .words import ADJECTIVES, NOUNS

if TYPE_CHECKING:
    from collections.abc import Callable

TIMESTAMP = "timestamp"
TRACK_ID = "track_id"
OVERFLOW = "_overflow"

OURS = frozenset({TIMESTAMP, TRACK_ID, OVERFLOW})
# SQLite answers to these for the row's number, whatever the table says.
_ROWID_NAMES = frozenset({"rowid", "oid", "_rowid_"})
_TAKEN = OURS | _ROWID_NAMES

# The tables that the file itself is made of; see layout.py.
INTERNAL_TABLES = frozenset({"runs", "assets", "asset_chunks", "asset_refs", "big_integers"})

# SQLite and DuckDB fold the case of ASCII letters in identifiers, and of no others.
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_TRACK_ID_FORM = re.compile(r"[^\x00\n\r]+")


def fold(name: str) -> str:
    """*name* as SQLite compares it with other identifiers."""
    return name.translate(_ASCII_LOWER)


def quoted(name: str) -> str:
    """*name* as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def is_encodable(text: str) -> bool:
    """Whether *text* has a UTF-8 form; a lone surrogate has none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def key_text(key: object) -> str:
    """The name under which a value given as *key* is stored.

    Raises:
        KeyNameError: *key* is empty, neither text nor a number, or one of
            ``timestamp``, ``track_id``, ``_overflow``.
    """
    if isinstance(key, str):
        text = str.__str__(key)
    elif isinstance(key, (int, float)):
        text = str(key)
    elif getattr(key, "ndim", None) == 0 and hasattr(key, "item"):  # a NumPy number
        return key_text(key.item())
    else:
        raise KeyNameError(key, "is neither text nor a number; use a text that says what it is")
    if not text:
        raise KeyNameError(key, "is empty; give the value a name")
    if text in OURS:
        raise KeyNameError(key, "is written by xetrack itself; use another name")
    return text


def can_be_column(key: str) -> bool:
    """Whether SQL can name a column *key*; other keys live in the overflow."""
    return fold(key) not in _TAKEN and "\0" not in key and is_encodable(key)


def table_name(name: object) -> str:
    """*name*, if events can be kept under it.

    Raises:
        TableNameError: *name* is not text, empty, taken by the file format or by SQLite, or no
            SQL identifier.
    """
    if not isinstance(name, str) or not name:
        raise TableNameError(name, "is not a name; give a non-empty text, such as 'events'")
    if fold(name) in INTERNAL_TABLES:
        raise TableNameError(name, "is part of the file format; use another name")
    if fold(name).startswith("sqlite_"):
        raise TableNameError(name, "begins with 'sqlite_', which SQLite keeps for itself")
    if "\0" in name or not is_encodable(name):
        raise TableNameError(name, "has a character that no SQL identifier can hold")
    return name


def checked_track_id(track_id: object) -> str:
    """*track_id*, if it can name a run: one line of non-empty text.

    Raises:
        KeyNameError: it cannot.
    """
    good = isinstance(track_id, str) and _TRACK_ID_FORM.fullmatch(track_id)
    if not good or not is_encodable(str(track_id)):
        raise KeyNameError(track_id, "cannot be a track_id; use one line of text, or leave it out")
    return str(track_id)


def new_track_id(is_taken: Callable[[str], bool]) -> str:
    """Two words and four digits that name no run yet, such as ``wisteria-turkey-4392``.

    Drawn from the operating system: the ``random`` module is the user's, its seed must not
    decide our names, nor our draws disturb its sequence.
    """
    while True:
        number = int.from_bytes(os.urandom(8), "big")
        number, digits = divmod(number, 10_000)
        number, noun = divmod(number, len(NOUNS))
        track_id = f"{ADJECTIVES[number % len(ADJECTIVES)]}-{NOUNS[noun]}-{digits:04d}"
        if not is_taken(track_id):
            return track_id
