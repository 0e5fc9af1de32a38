"""Where a finished row goes besides the database: a file of JSON lines."""

from __future__ import annotations

import os
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from .errors import MissingFileError, StorageError, StorageWarning
from .overflow import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Sink(Protocol):
    """Something that takes each row once it is stored."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Take *row*, which has ``timestamp`` and ``track_id``."""

    def close(self) -> None:
        """Let go of what it holds."""


class JsonLines:
    """Appends each row to a file as one line of strict JSON, in one write.

    Any number of threads and processes may append to one file. Where the last line was cut, by a
    full disk or a power cut, the next begins on a line of its own.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        self._descriptor: int | None = None
        self._closing: weakref.finalize[[int], JsonLines] | None = None
        self._open()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append *row*.

        Raises:
            StorageError: the file cannot be written.
        """
        line = (to_text(row) + "\n").encode()
        try:
            written = os.write(self._open(), line)
        except OSError as error:
            raise StorageError(self.path, f"cannot be written ({error.strerror})") from error
        if written != len(line):
            self.close()  # the next write begins with a look at how the file ends
            raise StorageError(self.path, "took only a part of a line; is the disk full?")

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._closing is not None:
            self._closing()
            self._descriptor = self._closing = None

    def _open(self) -> int:
        if self._descriptor is None:
            try:
                os.makedirs(os.path.dirname(self.path), exist_ok=True)
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(self.path, flags, 0o666)
                self._closing = weakref.finalize(self, os.close, self._descriptor)
                if _is_cut(self._descriptor):
                    os.write(self._descriptor, b"\n")
            except OSError as error:
                reason = f"cannot be written ({error.strerror})"
                raise StorageError(self.path, reason) from error
        return self._descriptor


class Sinks:
    """The sinks of one tracker. A row that reaches them is stored, so none of them may stop it."""

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks
        self._told: set[int] = set()

    def write(self, row: Mapping[str, Any]) -> None:
        """Give *row* to every sink; of one that fails, a warning tells once."""
        for number, sink in enumerate(self._sinks):
            try:
                sink.write(row)
            except StorageError as error:
                if number not in self._told:
                    self._told.add(number)
                    message = f"{error}; the row is in the database, and the work goes on"
                    warnings.warn(message, StorageWarning, stacklevel=4)

    def close(self) -> None:
        """Close every sink."""
        for sink in self._sinks:
            sink.close()


def read_json_lines(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file that ``JsonLines`` wrote; lines that are no rows are passed over.

    Raises:
        MissingFileError: there is no such file.
        StorageError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                row = _row(line)
                if row is not None:
                    yield row
    except FileNotFoundError as error:
        raise MissingFileError(os.fspath(path)) from error
    except OSError as error:
        raise StorageError(os.fspath(path), f"cannot be read ({error.strerror})") from error


def _row(line: str) -> dict[str, Any] | None:
    if not line.endswith("\n"):
        return None  # cut off while it was written
    try:
        return from_text(line)
    except ValueError:
        return None


def _is_cut(descriptor: int) -> bool:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size == 0:
        return False
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) != b"\n"
