"""A tracker lives on after a fork, in the parent and in the children: every row is there after.

A child inherits SQLite's table of the locks that the parent holds, and then takes none: without a
measure against it, rows that were logged without an error are not in the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any, Callable

import pytest

from xetrack import Reader

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# The script that forks is a process of its own, and each of its processes ends in bounded time.
FORKING = """
import faulthandler, os, signal, sys, threading, traceback
faulthandler.enable()
faulthandler.dump_traceback_later(60, exit=True)
faulthandler.register(signal.SIGALRM, chain=True)

def fork(work):
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(10)
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)

def wait(*pids):
    for pid in pids:
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status

class Gate:
    def __init__(self):
        self.out, self.into = os.pipe()
    def open(self, visitors):
        os.write(self.into, b"." * visitors)
    def enter(self):
        assert os.read(self.out, 1) == b"."

db = sys.argv[1]
tracker = xetrack.Tracker(db, track_id="run")
"""


def whole(db: str, expected: Counter[Any], key: str = "x") -> None:
    """Assert that the file has exactly the expected values of *key*, and is sound."""
    assert Counter(Reader(db).column(key)) == expected
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("bystander", [False, True], ids=["alone", "with another process"])
@pytest.mark.parametrize("first", ["parent", "children", "nobody"])
def test_a_tracker_is_used_on_after_a_fork_whoever_closes_it_first(
    db: str,
    run_python: Callable[..., str],
    start_python: Callable[..., Any],
    first: str,
    *,
    bystander: bool,
) -> None:
    code = """
first = sys.argv[2]
closed = Gate()
tracker.log({"x": "before"})
def child(name):
    def work():
        if first == "parent":
            closed.enter()
        for i in range(100):
            tracker.log({"x": f"{name} {i}", name: i})
        if first == "children":
            tracker.close()
        assert len(tracker) >= 101
    return work
children = [fork(child("a")), fork(child("b"))]
if first == "parent":
    tracker.log({"x": "after"})
    tracker.close()
    closed.open(2)
elif first == "nobody":
    tracker.log({"x": "after"})
wait(*children)
for i in range(100):
    tracker.log({"x": f"parent {i}"})
if first == "children":
    tracker.log({"x": "after"})
"""
    other = start_python(
        "import sys\ntracker = xetrack.Tracker(sys.argv[1], track_id='other')\n"
        "for line in sys.stdin: tracker.log({'x': line.strip()})",
        db,
    )
    if bystander:  # it keeps the file open, and is not its last user either
        other.stdin.write("early\n")
        other.stdin.flush()
    run_python(FORKING + code, db, first)
    expected = Counter([f"{name} {i}" for name in ("a", "b", "parent") for i in range(100)])
    expected.update(["before", "after"])
    if bystander:
        other.communicate("late\n", timeout=60)
        assert other.returncode == 0
        expected.update(["early", "late"])
    whole(db, expected)


@pytest.mark.slow
def test_no_row_is_lost_while_another_process_opens_and_closes_the_file_after_a_fork(
    db: str, run_python: Callable[..., str], start_python: Callable[..., Any]
) -> None:
    # As long as the children held no locks, it would take itself for the last user of the file
    # each time, and delete the -wal to which they write.
    other = """
import sys
i = 0
print("ready", flush=True)
while i < 150:
    with xetrack.Tracker(sys.argv[1], track_id="other") as tracker:
        tracker.log({"x": f"other {i}"})
    i += 1
"""
    code = """
tracker.log({"x": "before"})
def child(name):
    def work():
        for i in range(500):
            tracker.log({"x": f"{name} {i}", f"{name}/{i // 100}": i})
    return work
children = [fork(child("a")), fork(child("b"))]
for i in range(500):
    tracker.log({"x": f"parent {i}"})
wait(*children)
"""
    process = start_python(other, db)
    assert process.stdout.readline() == "ready\n"
    run_python(FORKING + code, db)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    expected = Counter([f"{name} {i}" for name in ("a", "b", "parent") for i in range(500)])
    expected.update(["before", *[f"other {i}" for i in range(150)]])
    whole(db, expected)


@pytest.mark.slow
def test_a_fork_while_other_threads_log_loses_no_row(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
def log_on(name):
    for i in range(200):
        tracker.log({"x": f"{name} {i}", f"{name}/{i // 20}": i})
threads = [threading.Thread(target=log_on, args=(f"thread{n}",)) for n in range(2)]
for thread in threads:
    thread.start()
def child(name):
    def work():
        for i in range(20):
            tracker.log({"x": f"{name} {i}", name: i})
    return work
for n in range(8):
    wait(fork(child(f"child{n}")))
for thread in threads:
    thread.join(50)
"""
    run_python(FORKING + code, db)
    threads = [f"thread{n} {i}" for n in range(2) for i in range(200)]
    whole(db, Counter([*threads, *[f"child{n} {i}" for n in range(8) for i in range(20)]]))


@pytest.mark.slow
def test_a_fork_while_other_threads_open_and_read_files_loses_no_row(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
done = threading.Event()
def open_and_close(name):
    i = 0
    while not done.is_set():
        other = xetrack.Tracker(f"{db}.{name}", track_id=name)
        other.log({"x": i})
        assert len(other) == i + 1
        i += 1
def read():
    while not done.is_set():
        xetrack.Reader(db).rows(tail=3)
tracker.log({"x": "before"})
threads = [threading.Thread(target=open_and_close, args=(name,)) for name in "ab"]
threads.append(threading.Thread(target=read))
for thread in threads:
    thread.start()
def child():
    tracker.log({"x": "child"})
    assert xetrack.Reader(db).column("x")[-1] == "child"
try:
    for n in range(40):
        wait(fork(child))
        tracker.log({"x": "parent"})
finally:
    done.set()
for thread in threads:
    thread.join(50)
print([len(xetrack.Reader(f"{db}.{name}")) > 0 for name in "ab"])
"""
    process_said = run_python(FORKING + code, db)
    assert process_said == "[True, True]\n"
    whole(db, Counter({"before": 1, "child": 40, "parent": 40}))


def test_threads_of_the_parent_may_fork_too(db: str, run_python: Callable[..., str]) -> None:
    code = """
failures = []
def child(name):
    def work():
        for i in range(10):
            tracker.log({"x": f"{name} {i}"})
    return work
def fork_some(name):
    try:
        for n in range(5):
            tracker.log({"x": f"{name} {n}"})
            wait(fork(child(f"{name} {n}")))
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=fork_some, args=(name,)) for name in "abc"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(50)
print(failures)
"""
    assert run_python(FORKING + code, db) == "[]\n"
    names = [f"{name} {n}" for name in "abc" for n in range(5)]
    whole(db, Counter([*names, *[f"{name} {i}" for name in names for i in range(10)]]))


def test_a_child_forked_inside_a_batch_stores_its_own_rows_and_not_those_that_wait(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
def child():
    tracker.log({"x": "child"})
with tracker.batch():
    tracker.log({"x": "before"})
    wait(fork(child))
    tracker.log({"x": "after"})
"""
    run_python(FORKING + code, db)
    whole(db, Counter(["before", "child", "after"]))


def test_rows_that_wait_at_a_fork_are_stored_once_if_the_child_leaves_the_batch_too(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
code = 1
try:
    with tracker.batch():
        tracker.log({"x": "before"})
        pid = os.fork()
        signal.alarm(10)
    tracker.log({"x": "parent" if pid else "child"})
    code = 0
finally:
    if not pid:
        os._exit(code)
wait(pid)
"""
    run_python(FORKING + code, db)
    whole(db, Counter(["before", "parent", "child"]))


def test_conn_and_readers_work_on_after_a_fork(db: str, run_python: Callable[..., str]) -> None:
    code = """
tracker.log({"x": 0})
reader = xetrack.Reader(db)
query = "SELECT x FROM db.events ORDER BY rowid"
rows = tracker.conn.execute(query)  # not read to its end
assert len(reader.conn.execute(query).fetchall()) == 1
def child():
    tracker.log({"x": 1})
    assert tracker.conn.execute(query).fetchall() == [(0,), (1,)]
    assert reader.conn.execute(query).fetchall() == [(0,), (1,)]
    assert reader.column("x") == tracker.column("x") == [0, 1]
wait(fork(child))
assert reader.column("x") == [0, 1]
tracker.log({"x": 2})
assert reader.conn.execute(query).fetchall() == [(0,), (1,), (2,)]
assert tracker.conn.execute(query).fetchall() == [(0,), (1,), (2,)]
"""
    run_python(FORKING + code, db)
    whole(db, Counter([0, 1, 2]))


def test_a_fork_of_a_fork_logs_as_well(db: str, run_python: Callable[..., str]) -> None:
    code = """
def log_all(name):
    for i in range(30):
        tracker.log({"x": f"{name} {i}", name: i})
def child():
    log_all("child")
    grandchild = fork(lambda: log_all("grandchild"))
    log_all("child again")
    wait(grandchild)
tracker.log({"x": "before"})
pid = fork(child)
log_all("parent")
wait(pid)
"""
    run_python(FORKING + code, db)
    names = ("child", "grandchild", "child again", "parent")
    whole(db, Counter(["before", *[f"{name} {i}" for name in names for i in range(30)]]))


def test_an_in_memory_tracker_keeps_its_rows_on_both_sides_of_a_fork(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
memory = xetrack.Tracker(xetrack.Tracker.IN_MEMORY)
memory.log({"x": 0})
conn = memory.conn
def child():
    memory.log({"x": 1, "only": "child"})
    assert memory.column("x") == [0, 1]
    assert memory.conn.execute("SELECT x FROM db.events").fetchall() == [(0,), (1,)]
    tracker.log({"x": len(memory)})
wait(fork(child))
assert conn.execute("SELECT x FROM db.events").fetchall() == [(0,)]
memory.log({"x": 2})
assert memory.column("x") == [0, 2]
"""
    run_python(FORKING + code, db)
    whole(db, Counter([2]))


def test_a_tracker_that_logged_nothing_yet_is_used_on_after_a_fork(
    db: str, run_python: Callable[..., str]
) -> None:
    code = """
children = [fork(lambda: tracker.log({"x": "child"})) for _ in range(4)]
tracker.log({"x": "parent"})
wait(*children)
"""
    run_python(FORKING + code, db)
    whole(db, Counter({"child": 4, "parent": 1}))


def test_sinks_get_every_row_after_a_fork(db: str, run_python: Callable[..., str]) -> None:
    code = """
both = xetrack.Tracker(db, track_id="both", jsonl=db + ".jsonl")
def log_all(name):
    for i in range(50):
        both.log({"x": f"{name} {i}"})
both.log({"x": "before"})
children = [fork(lambda name=name: log_all(name)) for name in "ab"]
log_all("parent")
both.close()
wait(*children)
"""
    run_python(FORKING + code, db)
    expected = Counter(["before", *[f"{n} {i}" for n in ("a", "b", "parent") for i in range(50)]])
    whole(db, expected)
    assert Counter(row["x"] for row in Reader.read_jsonl(db + ".jsonl")) == expected
