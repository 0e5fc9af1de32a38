"""Many processes, threads, tasks and signals write one file at once: every row is there after."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import MissingFileError, Reader, Tracker

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# Every process ends by itself if it ever hangs, and begins when it is told to.
CHILD = """
import faulthandler, sys
faulthandler.dump_traceback_later(90, exit=True)
def turn():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def let_begin(processes: list[subprocess.Popen[str]]) -> None:
    """Let every process go on at the same moment, once all of them are at that point."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def let_end(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for the end of every process, which must be a good one."""
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def content(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what the tracker adds, and without the keys that they do not have."""
    ours = ("timestamp", "track_id")
    return [{k: v for k, v in row.items() if v is not None and k not in ours} for row in rows]


def integrity(db: str) -> list[tuple[str]]:
    """What SQLite says of the file: [("ok",)]."""
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


def invented(name: str, count: int) -> list[dict[str, Any]]:
    """Rows of a writer that comes up with a new key every tenth row, some shared with others."""
    return [{"i": i, f"{name}/{i // 10}": i / 2, f"all/{i // 50}": i} for i in range(count)]


@pytest.mark.slow
def test_eight_processes_that_invent_columns_keep_every_row(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
db, name = sys.argv[1:]
tracker = xetrack.Tracker(db, track_id=name)
turn()
for i in range(400):
    tracker.log({"i": i, f"{name}/{i // 10}": i / 2, f"all/{i // 50}": i})
"""
    names = [f"writer-{number}" for number in range(8)]
    processes = [start_python(CHILD + code, db, name) for name in names]
    let_begin(processes)
    let_end(processes)
    reader = Reader(db)
    assert {name: content(reader.rows(name)) for name in names} == {
        name: invented(name, 400) for name in names
    }
    assert len(reader) == 8 * 400
    assert integrity(db) == [("ok",)]


@pytest.mark.slow
def test_eight_threads_that_share_a_tracker_and_invent_columns_keep_every_row(db: str) -> None:
    names = [f"writer-{number}" for number in range(8)]
    barrier = threading.Barrier(len(names), timeout=60)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            barrier.wait()
            for row in invented(name, 300):
                tracker.log({**row, "name": name})
        except BaseException as error:  # noqa: BLE001  # told below
            failures.append(error)

    with Tracker(db) as tracker:
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        rows = tracker.rows()
    assert failures == []
    for name in names:
        mine = content(row for row in rows if row["name"] == name)
        assert mine == [{**row, "name": name} for row in invented(name, 300)]
    assert len({row["timestamp"] for row in rows}) == len(rows) == 8 * 300
    assert integrity(db) == [("ok",)]


@pytest.mark.slow
def test_processes_may_open_one_new_file_at_the_same_moment(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
db, name = sys.argv[1:]
for number in range(10):
    turn()
    tracker = xetrack.Tracker(f"{db}{number}")
    tracker.log({"name": name, name: number})
"""
    names = [f"writer-{number}" for number in range(4)]
    processes = [start_python(CHILD + code, db, name) for name in names]
    for _ in range(10):
        let_begin(processes)
    let_end(processes)
    for number in range(10):
        path = f"{db}{number}"
        rows = content(Reader(path).rows())
        assert sorted(rows, key=lambda row: str(row["name"])) == [
            {"name": name, name: number} for name in names
        ]
        assert integrity(path) == [("ok",)]


@pytest.mark.slow
def test_a_file_that_is_just_being_made_can_be_read(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
for number in range(60):
    tracker = xetrack.Tracker(f"{sys.argv[1]}{number}")
    tracker.log({"number": number})
"""
    process = start_python(CHILD + code, db)
    deadline = time.monotonic() + 60
    for number in range(60):
        rows: list[dict[str, Any]] = []
        while not rows and time.monotonic() < deadline:
            try:
                rows = Reader(f"{db}{number}").rows()
            except MissingFileError:
                time.sleep(0)
        assert content(rows) == [{"number": number}]
    let_end([process])


@pytest.mark.slow
def test_a_reader_is_never_refused_while_others_write(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    Tracker(db, track_id="first").log({"i": -1})
    code = """
db, name = sys.argv[1:]
turn()
for i in range(150):
    with xetrack.Tracker(db, track_id=name) as tracker:  # opened and closed again and again
        tracker.log({"i": i, f"{name}/{i // 10}": i / 2})
"""
    names = ["writer-0", "writer-1", "writer-2"]
    processes = [start_python(CHILD + code, db, name) for name in names]
    reader, counts = Reader(db), [1]
    let_begin(processes)
    while any(process.poll() is None for process in processes):
        rows = reader.rows()
        counts.append(len(rows))
        seen = Counter(row["track_id"] for row in rows)
        assert {name: [r["i"] for r in rows if r["track_id"] == name] for name in seen} == {
            name: [-1] if name == "first" else list(range(seen[name])) for name in seen
        }
        assert Reader(db).rows(tail=1)[0]["i"] is not None
        assert len(reader.conn.execute("SELECT i FROM db.events").fetchall()) >= len(rows)
    let_end(processes)
    assert counts == sorted(counts)
    assert len(reader) == 1 + 3 * 150


@pytest.mark.slow
def test_processes_that_write_one_run_keep_every_row(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
db, name = sys.argv[1:]
tracker = xetrack.Tracker(db, track_id="together")
turn()
for i in range(0, 200, 2):
    tracker.log({"i": i, "name": name})
    tracker.log_batch([{"i": i + 1, "name": name}])
"""
    names = [f"writer-{number}" for number in range(4)]
    processes = [start_python(CHILD + code, db, name) for name in names]
    let_begin(processes)
    let_end(processes)
    rows = Reader(db).rows("together")
    assert {name: [row["i"] for row in rows if row["name"] == name] for name in names} == {
        name: list(range(200)) for name in names
    }
    assert len({row["timestamp"] for row in rows}) == len(rows) == 4 * 200
    assert Reader(db).track_ids() == ["together"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "logged", "declared"),
    [
        pytest.param(None, (1, 2), {"INTEGER"}, id="added with one type"),
        pytest.param(None, (1, "text"), {"INTEGER", "TEXT"}, id="added with two types"),
        pytest.param(True, (7, 0.5), {"REAL"}, id="widened to two types"),
        pytest.param(True, (2**62 + 1, 0.5), {"REAL"}, id="widened past what a float holds"),
    ],
)
def test_two_processes_may_change_one_column_at_the_same_moment(
    db: str,
    start_python: Callable[..., subprocess.Popen[str]],
    before: object,
    logged: tuple[object, object],
    declared: set[str],
) -> None:
    code = """
db, name, value = sys.argv[1], sys.argv[2], eval(sys.argv[3])
tracker = xetrack.Tracker(db, track_id=name)
tracker.log({"start": True})
for number in range(20):
    turn()
    tracker.log({f"key/{number}": value})
"""
    keys = [f"key/{number}" for number in range(20)]
    Tracker(db, track_id="before").log({"start": True, **dict.fromkeys(keys, before)})
    processes = [start_python(CHILD + code, db, f"run-{v!r}", repr(v)) for v in logged]
    for _ in keys:
        let_begin(processes)
    let_end(processes)
    reader = Reader(db)
    for key in keys:
        # Exactly what was logged: of two values at once, neither is lost nor rounded.
        assert Counter(reader.column(key)) == Counter([before, *logged, *[None] * (2 + 19 * 2)])
    assert {reader.columns[key] for key in keys} <= declared
    assert integrity(db) == [("ok",)]


def test_a_writer_waits_while_another_connection_holds_the_file(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    Tracker(db, track_id="first").log({"i": 0})
    code = """
tracker = xetrack.Tracker(sys.argv[1], track_id="second")
turn()
tracker.log({"i": 1})
tracker.log({"i": 2, "new": "column"})
"""
    process = start_python(CHILD + code, db)
    with closing(sqlite3.connect(db, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        let_begin([process])
        time.sleep(1.5)  # longer than SQLite itself waits before it gives up
        assert process.poll() is None
        holder.execute("ROLLBACK")
    let_end([process])
    assert Reader(db).column("i") == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("one_run", [True, False], ids=["one run", "many runs"])
def test_every_acknowledged_row_survives_a_kill(
    db: str, start_python: Callable[..., subprocess.Popen[str]], *, one_run: bool
) -> None:
    code = """
db, name = sys.argv[1:]
tracker = xetrack.Tracker(db, track_id=name)
for i in range(100_000):
    tracker.log({"i": i, f"key/{i // 20}": i / 2} if i < 1000 else {"i": i})
    print(i, flush=True)
"""
    dice = random.Random(int(one_run))
    acknowledged: dict[str, list[list[int]]] = {}
    for number in range(6):
        name = "run" if one_run else f"run-{number}"
        process = start_python(CHILD + code, db, name)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(dice.randrange(1, 150))]
        time.sleep(dice.random() / 50)
        process.kill()
        lines += process.stdout.readlines()
        done = [int(line) for line in lines if line.endswith("\n")]
        acknowledged.setdefault(name, []).append(done)
        assert integrity(db) == [("ok",)]
    reader = Reader(db)
    for name, parts in acknowledged.items():
        there = reader.column("i", name)
        for done in parts:
            assert there[: len(done)] == done == list(range(len(done)))
            # One more may have been stored whose number the process could not print any more.
            extra = 1 if there[len(done) : len(done) + 1] == [len(done)] else 0
            there = there[len(done) + extra :]
        assert there == []


@pytest.mark.slow
def test_a_batch_is_whole_or_not_there_after_a_kill(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
db, name = sys.argv[1:]
tracker = xetrack.Tracker(db, track_id=name)
for i in range(100_000):
    if i % 2:
        tracker.log_batch([{"i": i, f"key/{i}": j} for j in range(40)])
    else:
        with tracker.batch():
            for j in range(40):
                tracker.log({"i": i})
    print(i, flush=True)
"""
    dice = random.Random(3)
    for number in range(4):
        process = start_python(CHILD + code, db, f"run-{number}")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(dice.randrange(1, 20))]
        time.sleep(dice.random() / 50)
        process.kill()
        lines += process.stdout.readlines()
        done = sum(line.endswith("\n") for line in lines)
        there = Reader(db).column("i", f"run-{number}")
        batches = len(there) // 40
        assert batches in (done, done + 1)
        assert there == [i for i in range(batches) for _ in range(40)]
        assert integrity(db) == [("ok",)]


def test_tasks_of_one_loop_keep_every_row_and_their_batches_apart(db: str) -> None:
    async def log(name: str) -> None:
        for i in range(20):
            tracker.log({"name": name, "i": i, f"{name}/{i // 5}": i})
            await asyncio.sleep(0)

    async def log_in_batch(name: str, *, fails: bool) -> None:
        with tracker.batch():
            for i in range(20):
                tracker.log({"name": name, "i": i})
                await asyncio.sleep(0)
            if fails:
                raise RuntimeError(name)

    async def main() -> list[BaseException | None]:
        plain = [log(f"plain-{number}") for number in range(10)]
        batches = [log_in_batch(f"batch-{number}", fails=number == 1) for number in range(3)]
        return await asyncio.gather(*plain, *batches, return_exceptions=True)

    with Tracker(db) as tracker:
        results = asyncio.run(main())
        rows = tracker.rows()
    assert [str(result) for result in results if result is not None] == ["batch-1"]
    kept = [f"plain-{number}" for number in range(10)] + ["batch-0", "batch-2"]
    assert {row["name"] for row in rows} == set(kept)
    assert {name: [row["i"] for row in rows if row["name"] == name] for name in kept} == {
        name: list(range(20)) for name in kept
    }


def test_a_task_that_outlives_the_batch_in_which_it_was_started_keeps_its_row(db: str) -> None:
    async def log_late(ended: asyncio.Event) -> None:
        await ended.wait()
        tracker.log({"x": "late"})

    async def main() -> None:
        ended = asyncio.Event()
        with tracker.batch():
            tracker.log({"x": "first"})
            task = asyncio.create_task(log_late(ended))
        with tracker.batch():  # that another one is open now is nothing to the task
            tracker.log({"x": "second"})
            ended.set()
            await task

    with Tracker(db) as tracker:
        asyncio.run(main())
        assert Counter(tracker.column("x")) == Counter(["first", "second", "late"])


@pytest.mark.skipif(os.name == "nt", reason="this system has no timer signals")
@pytest.mark.parametrize("many", [False, True], ids=["log", "log_batch"])
def test_a_signal_handler_may_log_in_the_midst_of_a_log(
    db: str, run_python: Callable[..., str], *, many: bool
) -> None:
    code = """
import os, signal, traceback
db, many = sys.argv[1], sys.argv[2] == "True"
tracker = xetrack.Tracker(db, track_id="run")
handled = 0
def handle(*_):
    global handled
    try:
        tracker.log({"signal": handled, f"signal/{handled // 40}": handled})
    except BaseException:  # raised from here it would come up anywhere
        traceback.print_exc()
        os._exit(1)
    handled += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0007)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0007)
main = 0
while main < 1000 or handled < 100:
    rows = [{"main": j, f"main/{j // 40 % 50}": j} for j in range(main, main + 4)]
    if many:
        tracker.log_batch(rows)
    else:
        for row in rows:
            tracker.log(row)
    main += 4
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(main, handled)
"""
    main, handled = map(int, run_python(CHILD + code, db, many).split())
    rows = content(Reader(db).rows("run"))
    assert [row for row in rows if "main" in row] == [
        {"main": j, f"main/{j // 40 % 50}": j} for j in range(main)
    ]
    assert sorted((row for row in rows if "signal" in row), key=lambda row: row["signal"]) == [
        {"signal": n, f"signal/{n // 40}": n} for n in range(handled)
    ]
    assert len(rows) == main + handled
    assert integrity(db) == [("ok",)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["first", "next", "widening", "batch"])
def test_a_signal_handler_may_log_at_any_line_of_a_log(
    db: str, run_python: Callable[..., str], kind: str
) -> None:
    code = """
import os, signal
package = os.path.dirname(xetrack.__file__)
db, kind = sys.argv[1:]

class Interrupted:
    # Raises a signal before the line of that number that our code comes to.
    def __init__(self, number):
        self.left = number
    def __enter__(self):
        sys.settrace(self.trace)
        return self
    def __exit__(self, *_):
        sys.settrace(None)
    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event == "line":
            self.left -= 1
            if self.left == -1:
                signal.raise_signal(signal.SIGTERM)
        return self.trace

errors = []
def handle(*_):
    try:
        tracker.log({"x": -1, "from": "signal"})
    except BaseException as error:
        errors.append(repr(error))
signal.signal(signal.SIGTERM, handle)
failed = {}
for number in range(5000):
    tracker = xetrack.Tracker(db, table=f"t{number}", track_id="run")
    expected, errors = [-1], []
    if kind == "first":
        tracker.close()  # it opens the file and makes the table
    else:
        tracker.log_batch([{"x": 0}, {"x": 0}])
        expected += [0, 0]
    try:
        with Interrupted(number) as interrupted:
            if kind == "batch":
                tracker.log_batch([{"x": 1}, {"x": 1, "new": 2}, {"x": 1}])
            else:
                tracker.log({"x": 1.5 if kind == "widening" else 1})
        expected += {"batch": [1, 1, 1], "widening": [1.5]}.get(kind, [1])
    except Exception as error:
        errors.append(repr(error))
    if interrupted.left >= 0:
        break
    there = [row["x"] for row in tracker.rows()]
    if errors or sorted(there) != sorted(expected):
        failed[number] = errors, there
    tracker.close()
print(number > 10, len(failed), list(failed.items())[:3])
"""
    assert run_python(CHILD + code, db, kind) == "True 0 []\n"


def test_an_unclosed_tracker_is_collected_without_a_warning(
    db: str, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    code = """
import gc, os, warnings
warnings.simplefilter("always")
def use():
    tracker = xetrack.Tracker(sys.argv[1], jsonl=sys.argv[1] + ".jsonl")
    tracker.log({"x": 1})
    reader = xetrack.Reader(sys.argv[1])
    reader.rows()
    return tracker.conn.execute("SELECT x FROM db.events").fetchall(), reader.conn
print(use()[0])
gc.collect()
folder = "/proc/self/fd"
links = [f"{folder}/{number}" for number in os.listdir(folder)] if os.path.isdir(folder) else []
print([os.readlink(link) for link in links if "track.db" in os.path.realpath(link)])
kept = xetrack.Tracker(sys.argv[1])  # until the interpreter ends
kept.log({"x": 2})
"""
    process = start_python(CHILD + code, db)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "[(1,)]\n[]\n", "")
    assert Reader(db).column("x") == [1, 2]
    assert len(Reader.read_jsonl(db + ".jsonl")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("opens", [False, True], ids=["logs", "opens and logs"])
def test_an_interpreter_may_end_while_a_daemon_thread_logs(
    db: str, start_python: Callable[..., subprocess.Popen[str]], *, opens: bool
) -> None:
    code = """
import sys, threading
db, opens = sys.argv[1], sys.argv[2] == "True"
tracker = xetrack.Tracker(db, track_id="run")
logged = 0
enough = threading.Event()
def log_on():
    global tracker, logged
    while True:
        if opens:
            tracker = xetrack.Tracker(db, track_id="run")
        tracker.log({"x": logged})
        logged += 1
        if logged == 30:
            enough.set()
threading.Thread(target=log_on, daemon=True).start()
assert enough.wait(60)
"""
    for number in range(8):
        path = f"{db}{number}"
        process = start_python(code, path, opens)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
        there = Reader(path).column("x")
        assert there == list(range(len(there)))
        assert len(there) >= 30
        assert integrity(path) == [("ok",)]


@pytest.mark.slow
def test_a_tracker_given_to_spawned_processes_continues_its_run(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
tracker = xetrack.Tracker(sys.argv[1], {"model": "m"}, track_id="run", reset=True)
tracker.log({"i": -1})
with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
    rows = list(pool.map(tracker.log, [{"i": i} for i in range(20)]))
tracker.log({"i": 20})
print([(row["track_id"], row["i"]) for row in rows])
"""
    printed = run_python(CHILD + code, db)
    assert printed == f"{[('run', i) for i in range(20)]}\n"
    rows = Reader(db).rows("run")
    assert sorted(row["i"] for row in rows) == list(range(-1, 21))
    assert {row["model"] for row in rows} == {"m"}
    assert Reader(db).track_ids() == ["run"]


@needs_fork
def test_the_processes_of_a_forked_pool_may_use_the_tracker_that_they_inherit(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
from multiprocessing import get_context
tracker = xetrack.Tracker(sys.argv[1], track_id="run")
tracker.log({"i": -1})
def work(i):
    tracker.log({"i": i, f"key/{i // 10}": i})
    return len(tracker.rows(tail=1))
with get_context("fork").Pool(3) as pool:
    print(set(pool.map(work, range(60), chunksize=1)))
tracker.log({"i": 60})
"""
    assert run_python(CHILD + code, db) == "{1}\n"
    assert sorted(Reader(db).column("i", "run")) == list(range(-1, 61))
    assert integrity(db) == [("ok",)]
