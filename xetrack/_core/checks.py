"""Checks of arguments that Tracker, Reader and copy have in common."""

from __future__ import annotations

import os


def choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Do nothing if *value* is one of *choices*.

    Raises:
        ValueError: it is not; says what *name* may be.
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r} is none of {', '.join(map(repr, choices))}")


def path_text(db: object) -> str:
    """The path of a database as text.

    Raises:
        TypeError: *db* is no path.
        ValueError: it is empty, or has a NUL.
    """
    if not isinstance(db, (str, bytes, os.PathLike)):
        raise TypeError(f"db={db!r} is no path; give the path of a file")
    path = os.fsdecode(db)
    if not path or "\0" in path:
        raise ValueError(f"db={db!r} names no file; give the path of a file")
    return path
