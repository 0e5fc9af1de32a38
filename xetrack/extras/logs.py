"""Log lines written by loguru: the rows of a tracker, monitored data, experiments and messages."""

from __future__ import annotations

import os
import string
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from datetime import timezone
from typing import TYPE_CHECKING, Any

import loguru

from .._core import loglines
from .._core.clock import Clock
from .._core.errors import (
    AssetError,
    KeyNameError,
    MissingExtraError,
    StorageError,
    StorageWarning,
)
from .._core.names import TIMESTAMP, TRACK_ID
from .._core.packing import Packed
from .._core.prepare import prepared, records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime

    from loguru import Logger, Message

    Row = dict[str, Any]

FILE_FORMAT = "{time:YYYY-MM-DD}.log"

_FORM = "{time:YYYY-MM-DD HH:mm:ss.SSS!UTC} | {level} | {name}:{function}:{line}{message}"
_LEVELS = {loglines.MONITOR: 21, loglines.TRACKING: 22, loglines.EXPERIMENT: 23}  # above INFO
_PACKAGE = __name__[: -len(".extras.logs")]


class TrackerLogger:
    """Writes log lines of one run to a folder of files, a new one each day, and to stdout.

    It has a loguru of its own: the handlers, levels and messages of the application stay apart
    from its own. Any number of threads may share it, any number of processes a folder. Days and
    times are those of UTC. A line that cannot be written is told once, by a ``StorageWarning``.

    Args:
        path: the folder, made if it is not there; None for no files.
        stdout: whether the lines are printed too.
        file_format: what a file is called, in loguru's form, such as ``{time:YYYY-MM-DD}.log``.
            Without a time in it, the day is put before the ending.
        track_id: the name of the run, which each row is given.

    Raises:
        ValueError: *file_format* is not of that form, or there is nowhere to write to.
        StorageError: the folder cannot be written.
        MissingExtraError: this loguru cannot have two loggers side by side.
    """

    def __init__(
        self, *, path: str | None, stdout: bool, file_format: str | None, track_id: str
    ) -> None:
        pattern = checked_format(file_format, path)
        if path is None and not stdout:
            raise ValueError("a logger without a place to write to; give logs_path or logs_stdout")
        self._track_id = track_id
        self._clocks = _Clocks()
        self._is_told = False
        self._files = None if path is None else DayFiles(path, pattern)
        outlets = [] if self._files is None else [self._files.write]
        self._logger = _separate_logger()
        _connect(self._logger, _Outlets([*outlets, _print] if stdout else outlets))

    def monitor(self, data: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> None:
        """Log what a model sees or says: a dict, several dicts, or a DataFrame, a line each row.

        The lines of one call have the same keys in the same order; a row without one has null.

        Raises:
            TypeError: *data* is none of these.
            KeyNameError: a key cannot name a value. Nothing is logged then.
            AssetError: a value would be an asset, for which a log has no place.
        """
        for row in self._stamped(_same_keys(_rows_in(data))):
            self._tell(loglines.MONITOR, loglines.row_text(row))

    def experiment(self, data: Mapping[str, Any]) -> None:
        """Log the params and results of an experiment, as JSON that is easy on the eye.

        Raises:
            The same as ``monitor``.
        """
        (row,) = self._stamped([_checked(data)])
        self._tell(loglines.EXPERIMENT, loglines.pretty_row_text(row))

    def track(self, data: Mapping[str, Any]) -> None:
        """Log *data* as ``Tracker.log`` does, without a row in the database.

        Raises:
            The same as ``monitor``.
        """
        (row,) = self._stamped([_checked(data)])
        self._tell(loglines.TRACKING, loglines.row_text(row))

    def debug(self, message: object) -> None:
        """Log a message, taken as it is."""
        self._tell("DEBUG", loglines.message_text(message))

    def info(self, message: object) -> None:
        """Log a message, taken as it is."""
        self._tell("INFO", loglines.message_text(message))

    def warning(self, message: object) -> None:
        """Log a message, taken as it is."""
        self._tell("WARNING", loglines.message_text(message))

    def error(self, message: object) -> None:
        """Log a message, taken as it is."""
        self._tell("ERROR", loglines.message_text(message))

    def write(self, level: str, text: str) -> None:
        """Log *text*, which follows on the place of the line: the caller outside this package.

        Raises:
            StorageError: the line did not come to each place where it was to be written.
        """
        try:
            self._logger.opt(depth=_frames_of_ours()).log(level, text)
        except RuntimeError as error:  # loguru would deadlock: a signal came amid another line
            reason = f"cannot be written while it is being written ({error})"
            raise StorageError("the log", reason) from error

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._files is not None:
            self._files.close()

    def _tell(self, level: str, text: str) -> None:
        try:
            self.write(level, text)
        except StorageError as error:
            if not self._is_told:
                self._is_told = True
                message = f"{error}; the line is lost there, and the work goes on"
                warnings.warn(message, StorageWarning, stacklevel=3)

    def _stamped(self, rows: Sequence[Row]) -> list[Row]:
        stamps = self._clocks.clock.ticks(len(rows))
        return [
            {**row, TIMESTAMP: stamp, TRACK_ID: self._track_id} for row, stamp in zip(rows, stamps)
        ]


class LogSink:
    """Logs each row that a tracker stores.

    Args:
        logger: what the lines are written with; it is closed with the sink.
    """

    def __init__(self, logger: TrackerLogger) -> None:
        self._logger = logger

    def write(self, row: Mapping[str, Any]) -> None:
        """Log *row*, which has ``timestamp`` and ``track_id``.

        Raises:
            StorageError: the line cannot be written.
        """
        self._logger.write(loglines.TRACKING, loglines.row_text(row))

    def close(self) -> None:
        """Close the files of the log."""
        self._logger.close()


def checked_format(file_format: str | None, path: str | None) -> str:
    """The pattern for the names of files in the folder *path*, with a time in it.

    Raises:
        ValueError: *file_format* is no such pattern, or there is no folder for it.
    """
    if file_format is None:
        return FILE_FORMAT
    said = f"logs_file_format={file_format!r}"
    if path is None:
        raise ValueError(f"{said} names the files of a folder; give logs_path too")
    if set(file_format) & {"/", "\0", os.sep, os.altsep}:
        raise ValueError(f"{said} is more than the name of a file; put folders in logs_path")
    fields = _fields(file_format, said)
    if not loglines.is_log_name("".join(text + "0" * (name is not None) for text, name in fields)):
        endings = ", ".join("." + ending for ending in loglines.LOG_ENDINGS)
        raise ValueError(f"{said} does not end as logs do; let it end in one of {endings}")
    if all(name is None for _, name in fields):
        root, ending = os.path.splitext(file_format)
        return f"{root}.{{time:YYYY-MM-DD}}{ending}"
    # Loguru's file names differ from its other times in this: a bare time has no colons.
    return file_format.replace("{time}", "{time:YYYY-MM-DD_HH-mm-ss_SSSSSS}")


def _fields(file_format: str, said: str) -> list[tuple[str, str | None]]:
    """The pieces of text, each with the name in the braces behind it."""
    try:
        fields = [(text, name) for text, name, _, _ in string.Formatter().parse(file_format)]
    except ValueError as error:
        raise ValueError(f"{said} cannot be understood: {error}") from error
    if not {name for _, name in fields} <= {"time", None}:
        raise ValueError(f"{said} has braces around more than time; write it like {FILE_FORMAT!r}")
    return fields


# -- what is logged --------------------------------------------------------------------------


def _rows_in(data: object) -> list[Row]:
    if isinstance(data, Mapping):
        return [_checked(data)]
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes)):
        raise TypeError(
            f"what is monitored is a dict, a list of dicts or a DataFrame, not {data!r}"
        )
    _check_columns(data)
    return [_checked(row) for row in records(data)]


def _check_columns(data: object) -> None:
    names = list(getattr(data, "columns", ()))
    for name in names:
        if names.count(name) > 1:
            raise KeyNameError(name, "is the name of two columns; give each its own")


def _checked(data: Mapping[Any, Any]) -> Row:
    row = prepared(data)
    for key, value in row.items():
        if isinstance(value, Packed):
            raise AssetError(
                f"{key!r} is a {value.type_name}, which is stored as an asset, and a log has no "
                "place for one; log a number, a text or a list (of an array: .tolist())"
            )
    return row


def _same_keys(rows: Sequence[Row]) -> list[Row]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in keys} for row in rows]


# -- where it goes ---------------------------------------------------------------------------


class _Clocks(threading.local):
    """A clock for each thread: no lock that a fork could leave locked."""

    def __init__(self) -> None:
        self.clock = Clock()


class _Outlets:
    """The places that a line goes to; one that fails keeps it from no other."""

    def __init__(self, outlets: Sequence[Callable[[Message], None]]) -> None:
        self._outlets = outlets

    def write(self, message: Message) -> None:
        failed = None
        for outlet in self._outlets:
            try:
                outlet(message)
            except StorageError as error:
                failed = failed or error
        if failed is not None:
            raise failed


class _Descriptor:
    """An open file. It is closed when nobody refers to it any more, so never amid a write."""

    number = -1

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self.number = os.open(path, flags, 0o666)
        self.path = path
        size = os.lseek(self.number, 0, os.SEEK_END)
        os.lseek(self.number, max(size - 1, 0), os.SEEK_SET)
        if os.read(self.number, 1) not in (b"", b"\n"):
            os.write(self.number, b"\n")  # what follows on a cut line has a line of its own

    def __del__(self) -> None:
        # No weakref.finalize, which would close it before the last lines of a program that ends.
        if self.number >= 0:
            os.close(self.number)

    def is_there(self) -> bool:
        """Whether the path still leads to it: others remove and rename logs."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.number))
        except FileNotFoundError:
            return False


class DayFiles:
    """Files of a folder, each named after the day of its lines.

    Loguru's own rotation renames a file whose name is not new; of two processes that do so at the
    same midnight, one can overwrite the day of the other. Here the name follows from the day, and
    each line is one append, which the system keeps apart from those of other processes.
    """

    def __init__(self, folder: str, pattern: str) -> None:
        self._folder = os.path.abspath(folder)
        self._pattern = pattern
        self._day: date | None = None
        self._path = self._folder
        self._file: _Descriptor | None = None
        try:
            os.makedirs(self._folder, exist_ok=True)
        except OSError as error:
            raise self._failure(error) from error
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise StorageError(self._folder, "cannot be written; give another logs_path")

    def write(self, message: Message) -> None:
        """Append *message* to the file of its day.

        Raises:
            StorageError: it cannot be written.
        """
        line = message.encode("utf-8", "backslashreplace")
        try:
            file = self._file_of(message.record["time"].astimezone(timezone.utc))
            written = os.write(file.number, line)
        except OSError as error:
            raise self._failure(error) from error
        if written != len(line):
            self.close()  # the next line begins with a look at how the file ends
            raise StorageError(self._path, "took only a part of a line; is the disk full?")

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        self._file = None

    def _file_of(self, moment: datetime) -> _Descriptor:
        if moment.date() != self._day:
            self._path = os.path.join(self._folder, self._pattern.format(time=moment))
            self._day, self._file = moment.date(), None
        file = self._file  # another thread may close it meanwhile
        if file is None or not file.is_there():
            os.makedirs(self._folder, exist_ok=True)
            self._file = file = _Descriptor(self._path)
        return file

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(self._path, f"cannot be written ({error.strerror})")


def _print(message: Message) -> None:
    stream = sys.stdout  # what it is now: notebooks, tests and redirections put another there
    if stream is None:  # a program without a console
        return
    try:
        try:
            stream.write(str(message))
        except UnicodeEncodeError:
            encoding = stream.encoding
            stream.write(message.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError) as error:  # ValueError: it was closed
        raise StorageError("stdout", f"cannot be written ({error})") from error


def _separate_logger() -> Logger:
    """A loguru logger that shares no handler and no level with the application's.

    All that loguru makes public leads to one core: a handler of ours would hear the application,
    which a filter could cure, but the application's handlers would hear us, which nothing cures
    without touching them; and to copy its logger deeply fails on handlers that cannot be pickled.
    So the logger is made as loguru makes its own in its ``__init__``, on another core.
    """
    try:
        inner = loguru._logger  # type: ignore[attr-defined]  # noqa: SLF001
        made: Logger = inner.Logger(
            core=inner.Core(),
            exception=None,
            depth=0,
            record=False,
            lazy=False,
            colors=False,
            raw=False,
            capture=True,
            patchers=[],
            extra={},
        )
    except (AttributeError, TypeError) as error:
        asked = "a logger apart from the application's"
        raise MissingExtraError(asked, "loguru>=0.7,<0.8", "logs") from error
    for name, number in _LEVELS.items():
        made.level(name, no=number)
    return made


def _connect(logger: Logger, outlets: _Outlets) -> None:
    # What is left out here, the environment would decide, by LOGURU_LEVEL and its like.
    logger.add(
        outlets.write,
        level=0,
        format=_FORM,
        filter=None,
        colorize=False,
        serialize=False,
        backtrace=False,
        diagnose=False,
        enqueue=False,
        catch=False,
    )


def _frames_of_ours() -> int:
    """How many frames lie between the call of this function and the code outside the package."""
    frame = sys._getframe(1)  # noqa: SLF001  # as inspect and loguru do
    depth = 0
    while frame.f_back and _is_ours(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
        depth += 1
    return depth


def _is_ours(module: str) -> bool:
    # contextlib: it stands between a block of the user's and our code that ends the block.
    return module == "contextlib" or f"{module}.".startswith(f"{_PACKAGE}.")
