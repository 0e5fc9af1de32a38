"""What the core costs over raw ``sqlite3``, an import, and a bare interpreter.

    python benchmarks/core.py [--rounds 9] [--rows 10000]

Each round measures both sides one after the other on the same work, in files of their own; the
ratio is the median of the rounds' ratios, so that a machine whose speed drifts does not matter.
Raw SQLite writes the same columns into a table of the same form with its index, in WAL mode with
``synchronous=NORMAL``, a commit for each row, with tuples that are ready made.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable

from xetrack import Tracker

ROW = {"model": "resnet18", "loss": 0.1, "accuracy": 0.5, "epoch": 1, "lr": 1e-3}
CREATE = """CREATE TABLE events (timestamp TEXT NOT NULL, track_id TEXT NOT NULL, model TEXT,
    loss REAL, accuracy REAL, epoch INTEGER, lr REAL, UNIQUE (track_id, timestamp))"""
INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"

Measure = Callable[[Path, int], float]


def raw_connection(path: Path, page_bytes: int = 4096) -> sqlite3.Connection:
    """A new file with the table."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA page_size = {page_bytes}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(CREATE)
    return db


def tuples(number: int) -> list[tuple[object, ...]]:
    """Rows as raw SQLite takes them."""
    run, model = "wisteria-turkey-4392", "resnet18"
    return [
        (f"2026-11-23 10:00:{i / 1e6:09.6f}", run, model, i * 0.1, 0.5, i, 1e-3)
        for i in range(number)
    ]


def dicts(number: int) -> list[dict[str, object]]:
    """The same rows as a user has them; the model is a param."""
    return [{"loss": i * 0.1, "accuracy": 0.5, "epoch": i, "lr": 1e-3} for i in range(number)]


def raw_log(path: Path, number: int, page_bytes: int = 4096) -> float:
    """Seconds for one INSERT and commit a row."""
    db = raw_connection(path, page_bytes)
    rows = tuples(number)
    started = time.perf_counter()
    for row in rows:
        db.execute(INSERT, row)
    seconds = time.perf_counter() - started
    db.close()
    return seconds


def our_log(path: Path, number: int) -> float:
    """Seconds for one ``log`` a row."""
    rows = dicts(number)
    with Tracker(path, params={"model": "resnet18"}) as tracker:
        started = time.perf_counter()
        for row in rows:
            tracker.log(row)
        return time.perf_counter() - started


def raw_batch(path: Path, number: int) -> float:
    """Seconds for one ``executemany``."""
    db = raw_connection(path)
    rows = tuples(number)
    started = time.perf_counter()
    db.execute("BEGIN IMMEDIATE")
    db.executemany(INSERT, rows)
    db.execute("COMMIT")
    seconds = time.perf_counter() - started
    db.close()
    return seconds


def our_batch(path: Path, number: int) -> float:
    """Seconds for one ``log_batch``."""
    rows = dicts(number)
    with Tracker(path, params={"model": "resnet18"}) as tracker:
        started = time.perf_counter()
        tracker.log_batch(rows)
        return time.perf_counter() - started


def python(*arguments: str) -> float:
    """Seconds for a whole process of this Python."""
    started = time.perf_counter()
    # An installed package is compiled; so is this one after the first run.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    return time.perf_counter() - started


def compare(title: str, theirs: Measure, ours: Measure, rounds: int, number: int) -> str:
    """One line of the table: both in microseconds a row, and the ratio."""
    pairs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            pairs.append(
                (theirs(Path(folder, "raw.db"), number), ours(Path(folder, "ours.db"), number))
            )
    raw_us, our_us = (statistics.median(side) / number * 1e6 for side in zip(*pairs))
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    ratio = statistics.median(ratios)
    return f"| {title} | {raw_us:.2f} us | {our_us:.2f} us | {ratio:.2f} | {spread} |"


def over_bare(title: str, rounds: int, *arguments: str) -> str:
    """One line of the table: what a process takes over a bare interpreter."""
    python(*arguments)
    pairs = [(python("-c", "pass"), python(*arguments)) for _ in range(rounds)]
    bare_ms, our_ms = (statistics.median(side) * 1e3 for side in zip(*pairs))
    over = statistics.median(ours - bare for bare, ours in pairs) * 1e3
    return f"| {title} | {bare_ms:.1f} ms | {our_ms:.1f} ms | {over:.1f} ms more | |"


def main() -> None:
    """Print the table of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    print(
        f"{platform.platform()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {options.rounds} rounds of {options.rows} rows\n"
    )
    print("| what | theirs | ours | ratio | rounds |")
    print("| --- | ---: | ---: | ---: | --- |")
    for title, theirs, ours in (
        ("`log` against INSERT and commit", raw_log, our_log),
        (
            "the same, raw SQLite on pages of 2,048 bytes too",
            partial(raw_log, page_bytes=2048),
            our_log,
        ),
        ("`log_batch` against `executemany`", raw_batch, our_batch),
    ):
        print(compare(title, theirs, ours, options.rounds, options.rows))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "track.db"))
        with Tracker(path) as tracker:
            tracker.log_batch(dicts(1000))
        print(over_bare("`import xetrack`", options.rounds * 3, "-c", "import xetrack"))
        print(over_bare("`xt head`", options.rounds * 3, "-m", "xetrack", "head", path))


if __name__ == "__main__":
    main()
