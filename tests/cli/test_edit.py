"""The commands that change a file: set, delete, copy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from typing import Any, Callable

import pytest

from xetrack import Reader, Tracker

Xt = Callable[..., Any]

ONE_OF_EACH = {"i": 1, "r": 0.5, "b": True, "t": "x", "j": [1], "raw": b"abc"}


def two_runs(db: str) -> None:
    for track_id in ("first", "second"):
        with Tracker(db, track_id=track_id) as tracker:
            tracker.log({"epoch": 1, "model": "a", **ONE_OF_EACH})
            tracker.log({"epoch": 2, "model": "b"})


def edited(source: str, target: str) -> None:
    """Two files of the same three rows, one of which was edited in the second."""
    with Tracker(source, track_id="run") as tracker:
        tracker.log_batch({"epoch": epoch, "loss": 0.5} for epoch in range(3))
    shutil.copyfile(source, target)
    Reader(target).set_where("loss", 0.25, "epoch", 1)


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("i", "7", 7),
        ("i", "-7", -7),
        ("i", "99999999999999999999", 99999999999999999999),
        ("i", "null", None),
        ("i", "NULL", None),
        ("r", "0.25", 0.25),
        ("r", "7", 7.0),
        ("r", "1e3", 1000.0),
        ("r", "inf", float("inf")),
        ("b", "true", True),
        ("b", "False", False),
        ("b", "yes", True),
        ("b", "0", False),
        ("t", "hello", "hello"),
        ("t", "7", "7"),
        ("t", "true", "true"),
        ("t", "", ""),
        ("j", '{"a": [1, null]}', {"a": [1, None]}),
        ("j", "[]", []),
        ("raw", "00ff", b"\x00\xff"),
        ("raw", "", b""),
        ("new", "7", 7),
        ("new", "0.5", 0.5),
        ("new", "true", True),
        ("new", "hello world", "hello world"),
        ("new", "[1", "[1"),
        ("a/b c", "x", "x"),
    ],
)
def test_a_value_is_read_by_the_type_of_its_column(
    db: str, xt: Xt, key: str, typed: str, value: object
) -> None:
    with Tracker(db) as tracker:
        tracker.log(ONE_OF_EACH)
    assert xt("set", db, key, typed) == (0, "1 rows set\n", "")
    (stored,) = Reader(db).column(key)
    assert (type(stored), stored) == (type(value), value)


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ([], [9, 9, 9, 9]),
        (["--track-id", "second"], [1, 2, 9, 9]),
        (["--where-key", "model", "--where-value", "a"], [9, 2, 9, 2]),
        (["--where-key", "epoch", "--where-value", "2"], [1, 9, 1, 9]),
        (["--where-key", "b", "--where-value", "true"], [9, 2, 9, 2]),
        (["--where-key", "b", "--where-value", "null"], [1, 9, 1, 9]),
        (["--where-key", "j", "--where-value", "[1]"], [9, 2, 9, 2]),
        (["--where-key", "model", "--where-value", "z"], [1, 2, 1, 2]),
        (["--track-id", "first", "--where-key", "model", "--where-value", "b"], [1, 9, 1, 2]),
    ],
    ids=["all", "run", "text", "number", "boolean", "null", "json", "none", "run-and-where"],
)
def test_set_reaches_the_rows_that_were_picked(
    db: str, xt: Xt, options: list[str], epochs: list[int]
) -> None:
    two_runs(db)
    said = xt("set", db, "epoch", "9", *options)
    assert said == (0, f"{epochs.count(9)} rows set\n", "")
    assert Reader(db).column("epoch") == epochs


def test_set_works_on_the_table_that_was_named(db: str, xt: Xt) -> None:
    two_runs(db)
    with Tracker(db, table="other") as tracker:
        tracker.log({"epoch": 1})
    assert xt("set", db, "epoch", "9", "--table", "other") == (0, "1 rows set\n", "")
    assert Reader(db).column("epoch") == [1, 2, 1, 2]
    assert Reader(db, "other").column("epoch") == [9]


def test_set_waits_for_another_writer_to_end(db: str, xt: Xt) -> None:
    two_runs(db)
    other = sqlite3.connect(db, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE events SET model = 'c'")
    end = threading.Timer(1.5, other.execute, ["COMMIT"])
    end.start()
    said = xt("set", db, "epoch", "9")
    end.join()
    other.close()
    assert said == (0, "4 rows set\n", "")
    assert (Reader(db).column("epoch"), Reader(db).column("model")) == ([9] * 4, ["c"] * 4)


def test_delete_takes_a_run_and_leaves_the_others(db: str, xt: Xt) -> None:
    two_runs(db)
    rest = Reader(db).rows("second")
    assert xt("delete", db, "first") == (0, "2 rows deleted, 0 bytes freed\n", "")
    assert Reader(db).rows() == rest
    assert Reader(db).track_ids() == ["second"]


def test_delete_says_by_how_much_the_file_has_shrunk(db: str, xt: Xt) -> None:
    with Tracker(db, track_id="big") as tracker:
        tracker.log_batch({"text": "x" * 500, "step": step} for step in range(2000))
    with Tracker(db, track_id="small") as tracker:
        tracker.log({"step": 1})
    before = os.path.getsize(db)
    said = xt("delete", db, "big")
    freed = before - os.path.getsize(db)
    assert freed > 900_000
    assert said == (0, f"2000 rows deleted, {freed} bytes freed\n", "")


def test_delete_takes_along_the_assets_that_only_the_run_used(db: str, xt: Xt) -> None:
    with Tracker(db, track_id="first") as tracker:
        tracker.log({"own": {1, 2}, "both": {3}})
    with Tracker(db, track_id="second") as tracker:
        tracker.log({"both": {3}})
    assert xt("delete", db, "first").code == 0
    assert [Reader(db).get(asset) for asset in Reader(db).assets] == [{3}]


def test_delete_works_on_the_table_that_was_named(db: str, xt: Xt) -> None:
    for table in ("events", "other"):
        with Tracker(db, track_id="run", table=table) as tracker:
            tracker.log({"epoch": 1})
    assert xt("delete", db, "run", "--table", "other").code == 0
    assert (len(Reader(db)), len(Reader(db, "other"))) == (1, 0)


def test_copy_adds_what_is_not_there_and_repeats_nothing(xt: Xt) -> None:
    two_runs("source.db")
    with Tracker("source.db", track_id="third") as tracker:
        tracker.log({"model": {1, 2}})
    said = xt("copy", "source.db", "target.db")
    assert said == (0, "5 rows and 1 assets added, 0 were there\n", "")
    assert Reader("target.db").rows() == Reader("source.db").rows()
    assert Reader("target.db").get("model") == {1, 2}
    said = xt("copy", "source.db", "target.db")
    assert said == (0, "0 rows and 0 assets added, 5 were there\n", "")


def test_copy_leaves_the_assets_behind_when_told_to(xt: Xt) -> None:
    with Tracker("source.db") as tracker:
        tracker.log({"model": {1, 2}})
    said = xt("copy", "source.db", "target.db", "--no-assets")
    assert said == (0, "1 rows and 0 assets added, 0 were there\n", "")
    assert Reader("target.db").rows() == Reader("source.db").rows()
    assert Reader("target.db").assets.list() == []


def test_copy_takes_only_the_tables_that_were_named(xt: Xt) -> None:
    for table in ("events", "more", "rest"):
        with Tracker("source.db", table=table) as tracker:
            tracker.log({"epoch": 1})
    said = xt("copy", "source.db", "target.db", "--table", "more", "--table", "rest")
    assert said == (0, "2 rows and 0 assets added, 0 were there\n", "")
    assert Reader("target.db", "more").tables() == ["more", "rest"]


@pytest.mark.parametrize(
    ("options", "out", "err", "losses"),
    [
        (
            [],
            "0 rows and 0 assets added, 2 were there\n",
            "1 rows differ in the two files: the target's was kept\n",
            [0.5, 0.25, 0.5],
        ),
        (
            ["--on-conflict", "source"],
            "0 rows and 0 assets added, 2 were there\n",
            "1 rows differ in the two files: the source's was taken\n",
            [0.5, 0.5, 0.5],
        ),
        (
            ["--on-conflict=both"],
            "1 rows and 0 assets added, 2 were there\n",
            "1 rows differ in the two files: both were kept\n",
            [0.5, 0.25, 0.5, 0.5],
        ),
    ],
    ids=["target", "source", "both"],
)
def test_copy_says_what_it_did_with_rows_that_differ(
    xt: Xt, options: list[str], out: str, err: str, losses: list[float]
) -> None:
    edited("source.db", "target.db")
    said = xt("copy", "source.db", "target.db", *options)
    assert said == (0, out, err)
    assert Reader("target.db").column("loss") == losses
