"""How a writer waits for others, and how it ends what it cannot finish."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Callable, TypeVar

from .errors import BusyError

T = TypeVar("T")

_BUSY_CODES = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED: https://www.sqlite.org/rescode.html
_LONGEST_NAP_S = 0.02


def patiently(action: Callable[[], T], path: str, timeout_s: float) -> T:
    """What *action* gives, tried anew while another writer holds the file.

    The jitter between two tries keeps the turns fair.

    Raises:
        BusyError: another writer held the file for *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if time.monotonic() > deadline:
                raise BusyError(path, timeout_s) from error
        time.sleep(_LONGEST_NAP_S * os.urandom(1)[0] / 255)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether *error* says that another connection holds a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _BUSY_CODES
    return "locked" in str(error)  # before Python 3.11 the text is all there is


def roll_back(db: sqlite3.Connection) -> None:
    """End what is still open; after some errors SQLite has rolled back already."""
    if db.in_transaction:
        db.execute("ROLLBACK")
