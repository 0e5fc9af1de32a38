"""What a tracker is given beside its file: sinks, logs and a meter, those of the extras too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable

from . import adapters
from .sinks import JsonLines, Sinks

if TYPE_CHECKING:
    from .sinks import Sink


def measured_by(*, system: bool, network: bool, interval_s: float) -> Any:
    """What measures the machine (extra ``system``), or None where nothing is to be measured.

    Raises:
        MissingExtraError: psutil is not installed.
        ValueError: *interval_s* is no time between two looks.
    """
    if not (system or network):
        return None
    module = adapters.load("system", "log_system_params= and log_network_params=")
    return module.Meter(system=system, network=network, interval_s=interval_s)


def logs_of(
    path: str | os.PathLike[str] | None, file_format: str | None, *, to_stdout: bool
) -> Callable[[str], Any] | None:
    """What makes the logger of a run of that name (extra ``logs``), or None.

    Raises:
        MissingExtraError: loguru is not installed.
        ValueError: *file_format* makes no sense.
    """
    if path is None and not to_stdout and file_format is None:
        return None
    module = adapters.load("logs", "logs_path= and logs_stdout=")
    folder = None if path is None else os.path.abspath(path)
    module.checked_format(file_format, folder)

    def logger(track_id: str) -> Any:
        return module.TrackerLogger(
            path=folder, stdout=to_stdout, file_format=file_format, track_id=track_id
        )

    return logger


def sinks_for(jsonl: str | os.PathLike[str] | None, logger: Any) -> Sinks | None:
    """Where each stored row goes too, or None where it goes nowhere else."""
    sinks: list[Sink] = []
    if jsonl is not None:
        sinks.append(JsonLines(jsonl))
    if logger is not None:
        module = adapters.load("logs", "logs_path= and logs_stdout=")
        sinks.append(module.LogSink(logger))
    return Sinks(sinks) if sinks else None
