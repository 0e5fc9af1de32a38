"""What measuring with psutil adds to a tracked call, to a plain row, and to nothing at all.

    python benchmarks/system.py [--rounds 9] [--rows 1000]

Each round does the same work with a tracker that measures and with one that does not, one after the
other, in files of their own. What is added is the median of the rounds' differences, so that a
machine whose speed drifts does not matter. Needs the extra ``system``.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import psutil

from xetrack import Tracker
from xetrack.extras.system import Meter

LIMIT_US = 1000.0  # what a tracked empty function may cost more
INTERVAL_S = 0.1
MEASURES: dict[str, Any] = {
    "log_system_params": True,
    "log_network_params": True,
    "measurement_interval": INTERVAL_S,
}
MEASURED = {"cpu", "p_memory_percent", "memory_percent", "disk_percent"}
MEASURED |= {"bytes_sent", "bytes_recv"}

Work = Callable[[Tracker, int], None]


def empty() -> None:
    """The function whose calls are tracked."""


def tracked(tracker: Tracker, number: int) -> None:
    """Track so many calls of an empty function."""
    for _ in range(number):
        tracker.track(empty)


def logged(tracker: Tracker, number: int) -> None:
    """Log so many rows."""
    for step in range(number):
        tracker.log({"step": step})


def microseconds(path: Path, work: Work, number: int, **arguments: Any) -> float:
    """Microseconds for each of *number* in a new file, the first ten left out."""
    with Tracker(path, **arguments) as tracker:
        work(tracker, 10)
        started = time.perf_counter()
        work(tracker, number)
        taken = time.perf_counter() - started
        if MEASURED & set(tracker.latest) != (MEASURED if arguments else set()):
            sys.exit(f"{path.name} does not have the values that it is to have")
    return taken / number * 1e6


def compare(title: str, work: Work, rounds: int, number: int) -> tuple[str, float]:
    """One line of the table, and the microseconds that measuring adds."""
    pairs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            without = microseconds(Path(folder, "without.db"), work, number)
            measuring = microseconds(Path(folder, "measuring.db"), work, number, **MEASURES)
            pairs.append((without, measuring))
    added = sorted(measuring - without for without, measuring in pairs)
    plain_us, our_us = (statistics.median(side) for side in zip(*pairs))
    added_us = statistics.median(added)
    spread = f"{added[0]:.0f} to {added[-1]:.0f} us"
    line = f"| {title} | {plain_us:.0f} us | {our_us:.0f} us | {added_us:.0f} us | {spread} |"
    return line, added_us


def idle_percent(seconds: float) -> float:
    """Per cent of one CPU that a meter takes while nothing is called."""
    meter = Meter(system=True, network=True, interval_s=INTERVAL_S)
    before = time.process_time()
    time.sleep(seconds)
    taken = time.process_time() - before
    meter.close()
    return 100 * taken / seconds


def main() -> int:
    """Print the table; 1 if a tracked call costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=1000)
    args = parser.parse_args()
    python = f"Python {platform.python_version()}, psutil {psutil.__version__}"
    print(f"{python}, {os.cpu_count()} CPUs, a look every {INTERVAL_S} s between the ends\n")
    print("| work | without | measuring | added | spread |")
    print("|---|---:|---:|---:|---|")
    line, added_us = compare("track an empty function", tracked, args.rounds, args.rows)
    print(line)
    print(compare("log a row of one key", logged, args.rounds, args.rows)[0])
    print(f"\nA meter that only waits takes {idle_percent(3.0):.2f} per cent of one CPU.")
    return 0 if added_us <= LIMIT_US else 1


if __name__ == "__main__":
    sys.exit(main())
