"""The form of a log line that holds a row, and the way back: the rows of log files.

A row is written as ``2023-12-14 21:46:55.290 | TRACKING | module:function:69!📁!{"a": 1, ...}``:
time, level and place, then the mark and strict JSON, which an EXPERIMENT has over several lines.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .errors import MissingFileError, StorageError
from .overflow import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .values import Plain

MARK = "!📁!"
MONITOR = "MONITOR"
TRACKING = "TRACKING"
EXPERIMENT = "EXPERIMENT"
ROW_LEVELS = (MONITOR, TRACKING, EXPERIMENT)

# A folder may hold a database beside the logs, and to open and close a database behind SQLite's
# back drops its locks. So of a folder only files are opened whose names say that they are logs.
LOG_ENDINGS = ("log", "txt", "out", "err", "json", "jsonl")

_HEAD = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S* *"
    rf"\| *(?:{'|'.join(ROW_LEVELS)}) *\| [^\n]*?{MARK}"
)


def row_text(row: Mapping[str, Plain]) -> str:
    """What stands after the place in the line of *row*."""
    return MARK + to_text(row)


def pretty_row_text(row: Mapping[str, Plain]) -> str:
    """The same over several lines, of which all but the first and the last are indented."""
    return MARK + json.dumps(json.loads(to_text(row)), ensure_ascii=False, indent=2)


def message_text(message: object) -> str:
    """What stands after the place in the line of a message, which is no row.

    Further lines of *message* are indented: none of them can be mistaken for a line of the log.
    """
    return " - " + str(message).replace("\n", "\n    ")


def is_log_name(name: str) -> bool:
    """Whether a file of this name is read as one of a folder: ``a.log``, ``a.log.1``, ``a.txt``."""
    return not set(name.lower().split(".")[1:]).isdisjoint(LOG_ENDINGS)


def read_log_rows(path: str | os.PathLike[str], limit: int | None = None) -> list[dict[str, Any]]:
    """The rows of a log file, or of the files of a folder, the one written last first.

    Reads what a tracker logged, and what loguru wrote of such rows with ``serialize=True``. The
    rows of a file are in the order in which they were logged. Lines that hold no row are passed
    over: those of other programs, messages, and a line that was cut off.

    Args:
        path: a file, or a folder, of which the files are read that are named as logs are.
        limit: stop after so many rows.

    Raises:
        MissingFileError: there is no such file or folder.
        StorageError: it cannot be read, or is a database.
        ValueError: *limit* is negative.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit={limit!r} is no number of rows; give 0 or more, or None for all")
    rows = chain.from_iterable(map(_rows_of_file, _files(os.fsdecode(path))))
    return list(islice(rows, limit))


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        if _is_live_database(path):
            raise StorageError(path, "is a database, not a log; read it with Reader(path).rows()")
        return [path]
    found: list[tuple[int, str]] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed since the folder was listed
                    if _is_log(entry):
                        found.append((entry.stat().st_mtime_ns, entry.path))
    except OSError as error:
        raise StorageError(path, f"cannot be read ({error.strerror})") from error
    return [file for _, file in sorted(found, reverse=True)]


def _is_log(entry: os.DirEntry[str]) -> bool:
    return is_log_name(entry.name) and entry.is_file() and not _is_live_database(entry.path)


def _is_live_database(path: str) -> bool:
    return os.path.exists(path + "-wal") or os.path.exists(path + "-journal")


def _rows_of_file(path: str) -> Iterator[dict[str, Any]]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
            for line in _whole(file):
                row = _serialized_row(line) if line.startswith("{") else _row(line)
                if row:
                    yield row
    except (FileNotFoundError, ValueError) as error:  # ValueError: no path can have a NUL
        raise MissingFileError(path) from error
    except OSError as error:
        raise StorageError(path, f"cannot be read ({error.strerror})") from error


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """The lines without their ends, where a row that was printed over several is one."""
    begun: list[str] = []
    for ended in lines:
        line = ended.rstrip("\r\n")
        if begun and not line.startswith((" ", "\t", "}")):
            yield "\n".join(begun)  # it was cut off
            begun = []
        if begun or line.endswith(MARK + "{"):
            begun.append(line)
        if not begun:
            yield line
        elif line.startswith("}"):
            yield "\n".join(begun)
            begun = []
    yield "\n".join(begun)


def _row(line: str) -> dict[str, Any] | None:
    """The row of a line, or of the line that follows on one that was cut off without an end."""
    head = _HEAD.match(line)
    while head:
        row = _parsed(line[head.end() :])
        if row:
            return row
        head = _HEAD.search(line, head.end())
    return None


def _serialized_row(line: str) -> dict[str, Any] | None:
    if '"record"' not in line:
        return None
    try:
        record = json.loads(line)["record"]
        is_row, text = record["level"]["name"] in ROW_LEVELS, record["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return _parsed(text) if is_row and isinstance(text, str) else None


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return from_text(text)
    except (ValueError, OverflowError):
        return None
