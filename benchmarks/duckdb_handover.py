"""What it takes until DuckDB sees a file, with its SQLite extension and without.

    python benchmarks/duckdb_handover.py [--rounds 5] [--rows 1000000]

A table of eight columns (three of text, two of floats with gaps in one, two of integers, one of
booleans) is logged, then each round takes a new snapshot and asks one question of all its columns.
Beside it stand two ways that need no package either: to fetch all rows with ``sqlite3``, which is
what any hand-over begins with, and a CSV file, which DuckDB reads. Run it with duckdb alone, and
with duckdb and duckdb-extension-sqlite-scanner.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Callable

import duckdb

from xetrack import Reader, Tracker

QUESTION = """SELECT count(*), max(timestamp), max(track_id), max(model), sum(loss),
    sum(accuracy), sum(epoch), sum(CAST(ok AS BIGINT)) FROM db.events"""
COLUMNS = {
    "timestamp": "VARCHAR",
    "track_id": "VARCHAR",
    "model": "VARCHAR",
    "loss": "DOUBLE",
    "accuracy": "DOUBLE",
    "epoch": "BIGINT",
    "step": "BIGINT",
    "ok": "BOOLEAN",
}

Way = Callable[[str, str], float]


def make(path: str, number: int) -> None:
    """Log *number* rows."""
    with Tracker(path, params={"model": "resnet18"}) as tracker:
        for start in range(0, number, 50_000):
            tracker.log_batch(
                [
                    {
                        "loss": 1 / (step + 1),
                        "accuracy": None if step % 10 == 9 else step / 3,
                        "epoch": step // 1000,
                        "step": step,
                        "ok": step % 2 == 0,
                    }
                    for step in range(start, min(start + 50_000, number))
                ]
            )


def snapshot(path: str, _folder: str) -> float:
    """Seconds until ``conn`` is there."""
    with Reader(path, engine="duckdb") as reader:
        started = time.perf_counter()
        _ = reader.conn
        return time.perf_counter() - started


def snapshot_and_question(path: str, _folder: str) -> float:
    """Seconds until a new ``conn`` has answered."""
    with Reader(path, engine="duckdb") as reader:
        started = time.perf_counter()
        reader.conn.execute(QUESTION).fetchall()
        return time.perf_counter() - started


def question(path: str, _folder: str) -> float:
    """Seconds for the answer alone."""
    with Reader(path, engine="duckdb") as reader:
        conn = reader.conn
        started = time.perf_counter()
        conn.execute(QUESTION).fetchall()
        return time.perf_counter() - started


def fetched(path: str, _folder: str) -> float:
    """Seconds to fetch all rows with ``sqlite3``, a thousand at a time."""
    with closing(sqlite3.connect(path)) as db:
        started = time.perf_counter()
        cursor = db.execute("SELECT * FROM events")
        while cursor.fetchmany(1000):
            pass
        return time.perf_counter() - started


def through_csv(path: str, folder: str) -> float:
    """Seconds to write a CSV file, have DuckDB read it, and get the answer."""
    file = str(Path(folder, "rows.csv"))
    with closing(sqlite3.connect(path)) as db, closing(duckdb.connect()) as duck:
        started = time.perf_counter()
        with open(file, "w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows(db.execute("SELECT * FROM events"))
        duck.execute("ATTACH ':memory:' AS db")
        source = f"read_csv('{file}', header = false, columns = {COLUMNS})"
        duck.execute(f"CREATE TABLE db.events AS FROM {source}")
        duck.execute(QUESTION).fetchall()
        return time.perf_counter() - started


def main() -> None:
    """Print the table of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    scanner = "with" if find_spec("duckdb_extension_sqlite_scanner") else "without"
    print(
        f"{platform.platform()}, Python {platform.python_version()}, DuckDB {duckdb.__version__} "
        f"{scanner} the scanner, {options.rounds} rounds, {options.rows} rows of 8 columns\n"
    )
    print("| what | median | rounds |\n| --- | ---: | --- |")
    ways: dict[str, Way] = {
        "`conn`: a new snapshot": snapshot,
        "`conn`, and an answer from all columns": snapshot_and_question,
        "the answer alone": question,
        "to compare: all rows fetched with `sqlite3`": fetched,
        "to compare: through CSV, and the answer": through_csv,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "track.db"))
        make(path, options.rows)
        times: dict[str, list[float]] = {title: [] for title in ways}
        for _ in range(options.rounds):
            for title, way in ways.items():
                times[title].append(way(path, folder))
    for title, taken in times.items():
        spread = f"{min(taken):.2f} to {max(taken):.2f}"
        print(f"| {title} | {statistics.median(taken):.2f} s | {spread} |")


if __name__ == "__main__":
    main()
