"""A tracker records the rows of one run, and reads and edits what it recorded."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import random
import re
import sqlite3
import threading
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import (
    AssetError,
    KeyNameError,
    Reader,
    StorageError,
    TableNameError,
    Tracker,
    UnknownColumnError,
    UnpicklableError,
)
from xetrack._core.database import Database  # no public way leads to what writes

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NAN = float("nan")
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
TRACK_ID = re.compile(r"[a-z]+-[a-z]+-\d{4}")


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db, track_id="run") as tracker:
        yield tracker


@pytest.fixture
def memory() -> Iterator[Tracker]:
    with Tracker(Tracker.IN_MEMORY) as tracker:
        yield tracker


def values_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a user logged of rows."""
    ours = ("timestamp", "track_id")
    return [{k: v for k, v in row.items() if k not in ours and v is not None} for row in rows]


def stamps_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["timestamp"] for row in rows]


def utc_of(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc)


def log_in_batch(tracker: Tracker, rows: Iterable[Any]) -> None:
    with tracker.batch():
        for row in rows:
            tracker.log(row)


def broken(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows, and then an exception."""
    yield from rows
    raise RuntimeError("broken")


# -- log ------------------------------------------------------------------------------------------


def test_log_returns_the_row_as_stored(tracker: Tracker) -> None:
    before = datetime.now(timezone.utc)
    stored = tracker.log({"accuracy": 0.9, "tags": ("a", "b")})
    after = datetime.now(timezone.utc)
    assert stored == {
        "accuracy": 0.9,
        "tags": ["a", "b"],
        "timestamp": stored["timestamp"],
        "track_id": "run",
    }
    assert before <= utc_of(stored["timestamp"]) <= after
    assert tracker.rows() == [stored]
    assert tracker.latest == stored


def test_a_row_is_there_for_others_when_log_returns(tracker: Tracker) -> None:
    for number in range(3):
        stored = tracker.log({"x": number})
        assert Reader(tracker.db).rows(tail=1) == [stored]


def test_log_leaves_what_it_is_given_alone(tracker: Tracker) -> None:
    data = {"x": 1, "inner": {"a": [1]}}
    tracker.set_param("p", 1)
    tracker.log(data)
    tracker.log_batch([data])
    with tracker.batch():
        tracker.log(data)
    assert data == {"x": 1, "inner": {"a": [1]}}


def test_a_row_may_have_no_keys_at_all(tracker: Tracker) -> None:
    first = tracker.log({})
    assert tracker.log_batch([{}, {}]) == 2
    assert len(tracker) == 3
    assert tracker.rows(head=1) == [first]
    assert first.keys() == {"timestamp", "track_id"}


@pytest.mark.parametrize("data", [None, 3, [1], "x", [("a", 1)]], ids=repr)
def test_what_is_no_mapping_is_refused_and_the_next_call_works(tracker: Tracker, data: Any) -> None:
    with pytest.raises(TypeError):
        tracker.log(data)
    with pytest.raises(TypeError):
        tracker.log_batch([{"x": 1}, data])
    with pytest.raises(TypeError):
        log_in_batch(tracker, [{"x": 1}, data])
    stored = tracker.log({"x": 2})
    assert tracker.rows() == [stored]


def test_rows_of_changing_keys_and_order_come_back_in_the_order_of_arrival(
    tracker: Tracker,
) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"c": "x"}, {"a": 2}]
    rows.append({"c": "y", "a": 3, "b": 4})
    for row in rows:
        tracker.log(row)
    tracker.log_batch(rows)
    assert values_of(tracker.rows()) == rows + rows


# -- latest ---------------------------------------------------------------------------------------


def test_latest_is_empty_before_the_first_row(tracker: Tracker) -> None:
    assert tracker.latest == {}


def test_latest_is_the_last_row_of_a_batch(tracker: Tracker) -> None:
    tracker.log_batch([{"x": 1}, {"x": 2}])
    assert tracker.latest == tracker.rows()[-1]
    with tracker.batch():
        tracker.log({"x": 3})
        stored = tracker.log({"x": 4})
    assert tracker.latest == stored


def test_latest_has_what_was_set_back_in_time(tracker: Tracker) -> None:
    stored = tracker.log({"x": 1})
    tracker.set_value("y", NAN)
    tracker.set_where("x", 2, "x", 1)
    latest = tracker.latest
    assert math.isnan(latest.pop("y"))
    assert latest == {**stored, "x": 2}


def test_latest_of_a_continued_run_is_its_last_row_in_the_file(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    stored = tracker.log({"y": 2})
    with Tracker(tracker.db, track_id="run") as again:
        assert again.latest == stored


def test_latest_is_a_copy(tracker: Tracker) -> None:
    stored = tracker.log({"x": 1})
    tracker.latest["x"] = 2
    assert tracker.latest == stored


# -- params ---------------------------------------------------------------------------------------


def test_params_are_in_every_future_row(db: str) -> None:
    with Tracker(db, {"model": "a"}) as tracker:
        tracker.log({"x": 1})
        assert tracker.set_param("lr", 0.5) == {"model": "a", "lr": 0.5}
        tracker.log_batch([{"x": 2}])
        assert tracker.set_params({"model": "b", "seed": 1}) == {
            "model": "b",
            "lr": 0.5,
            "seed": 1,
        }
        with tracker.batch():
            tracker.log({"x": 3})
        assert values_of(tracker.rows()) == [
            {"model": "a", "x": 1},
            {"model": "a", "lr": 0.5, "x": 2},
            {"model": "b", "lr": 0.5, "seed": 1, "x": 3},
        ]


def test_a_key_of_a_row_wins_over_a_param(tracker: Tracker) -> None:
    tracker.set_params({"a": 1, "b": 2})
    assert values_of([tracker.log({"a": 3})]) == [{"a": 3, "b": 2}]
    tracker.log_batch([{"b": 4}])
    assert values_of(tracker.rows()) == [{"a": 3, "b": 2}, {"a": 1, "b": 4}]
    assert tracker.params == {"a": 1, "b": 2}


def test_params_are_a_copy(tracker: Tracker) -> None:
    given = {"layers": [1]}
    tracker.set_params(given)
    given["layers"].append(2)
    tracker.params["other"] = 1
    assert tracker.params == {"layers": [1]}


def test_params_are_values_as_rows_hold_them(tracker: Tracker) -> None:
    assert tracker.set_params({"a": (1, 2), "b": bytearray(b"x")}) == {"a": [1, 2], "b": b"x"}
    assert values_of([tracker.log({})]) == [{"a": [1, 2], "b": b"x"}]


def test_no_param_changes_where_one_is_refused(tracker: Tracker) -> None:
    tracker.set_param("a", 1)
    with pytest.raises(KeyNameError):
        tracker.set_params({"a": 2, "": 3})
    with pytest.raises(UnpicklableError):
        tracker.set_params({"a": 2, "b": lambda: None})
    assert tracker.params == {"a": 1}


# -- log_batch ------------------------------------------------------------------------------------


def test_log_batch_stores_the_rows_of_any_iterable(tracker: Tracker) -> None:
    assert tracker.log_batch({"x": number} for number in range(5)) == 5
    assert tracker.log_batch(({"x": 5}, {"y": 6})) == 2
    assert tracker.log_batch([]) == 0
    rows: list[dict[str, Any]] = [{"x": number} for number in range(6)]
    assert values_of(tracker.rows()) == [*rows, {"y": 6}]


REFUSED_ROWS = {
    "key": ({"": 1}, KeyNameError),
    "value": ({"a": lambda: None}, UnpicklableError),
    "no mapping": (5, TypeError),
}


@pytest.mark.parametrize(("refused", "error"), REFUSED_ROWS.values(), ids=REFUSED_ROWS)
@pytest.mark.parametrize("place", [0, 2, 1500], ids=["first", "third", "far"])
def test_log_batch_stores_all_rows_or_none(
    tracker: Tracker, place: int, refused: Any, error: type[Exception]
) -> None:
    first = tracker.log({"first": 1})
    rows: list[Any] = [{"new": number} for number in range(1600)]
    rows[place] = refused
    with pytest.raises(error):
        tracker.log_batch(rows)
    assert tracker.rows() == [first]
    assert tracker.latest == first
    assert "new" not in Reader(tracker.db).columns
    second = tracker.log({"first": 2})
    assert tracker.rows() == [first, second]


def test_log_batch_stores_none_of_an_iterable_that_breaks(tracker: Tracker) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        tracker.log_batch(broken([{"x": 1}]))
    assert len(tracker) == 0


def test_others_see_a_batch_as_a_whole(tracker: Tracker) -> None:
    seen = []
    reader = Reader(tracker.db)

    def rows() -> Iterator[dict[str, int]]:
        for number in range(3):
            seen.append(len(reader))
            yield {"x": number}

    tracker.log_batch(rows())
    assert seen == [0, 0, 0]
    assert len(reader) == 3


# -- batch ----------------------------------------------------------------------------------------


def test_the_rows_of_a_batch_are_stored_when_it_ends(tracker: Tracker) -> None:
    with tracker.batch():
        returned = [tracker.log({"x": number, "t": (number,)}) for number in range(3)]
        assert (len(tracker), tracker.rows(), len(Reader(tracker.db))) == (0, [], 0)
    assert tracker.rows() == returned
    assert values_of(returned) == [{"x": number, "t": [number]} for number in range(3)]
    assert stamps_of(returned) == sorted(set(stamps_of(returned)))


def test_an_exception_drops_all_rows_of_a_batch(tracker: Tracker) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        log_in_batch(tracker, broken([{"x": 1}, {"x": 2}]))
    assert (len(tracker), tracker.latest) == (0, {})
    stored = tracker.log({"y": 1})
    assert tracker.rows() == [stored]
    assert list(Reader(tracker.db).columns) == ["timestamp", "track_id", "y"]


def test_an_empty_batch_stores_nothing(tracker: Tracker) -> None:
    with tracker.batch():
        pass
    assert len(tracker) == 0


def test_the_rows_of_nested_batches_are_stored_together(tracker: Tracker) -> None:
    with tracker.batch():
        tracker.log({"x": 1})
        with tracker.batch():
            tracker.log({"x": 2})
        assert len(tracker) == 0
        tracker.log({"x": 3})
    assert tracker.column("x") == [1, 2, 3]


def test_an_exception_through_nested_batches_drops_all_rows(tracker: Tracker) -> None:
    with suppress(RuntimeError), tracker.batch():
        tracker.log({"x": 1})
        log_in_batch(tracker, broken([{"x": 2}]))
    assert len(tracker) == 0


def test_an_inner_batch_that_fails_drops_its_own_rows(tracker: Tracker) -> None:
    with tracker.batch():
        tracker.log({"x": 1})
        with suppress(RuntimeError):
            log_in_batch(tracker, broken([{"x": 2}]))
        tracker.log({"x": 3})
    assert tracker.column("x") == [1, 3]


def test_the_batches_of_two_trackers_are_apart(tracker: Tracker) -> None:
    with Tracker(tracker.db, track_id="other") as other:
        with tracker.batch():
            tracker.log({"x": 1})
            other.log({"x": 2})
            with suppress(RuntimeError):
                log_in_batch(other, broken([{"x": 3}]))
        rows = Reader(tracker.db).rows()
    assert [(row["track_id"], row["x"]) for row in rows] == [("other", 2), ("run", 1)]


def test_a_thread_that_logs_during_the_batch_of_another_does_not_wait(tracker: Tracker) -> None:
    def log() -> None:
        tracker.log({"x": "thread"})

    with suppress(RuntimeError), tracker.batch():
        tracker.log({"x": "batch"})
        thread = threading.Thread(target=log)
        thread.start()
        thread.join(30)
        assert tracker.column("x") == ["thread"]
        raise RuntimeError
    assert tracker.column("x") == ["thread"]


def test_the_batches_of_threads_are_apart(tracker: Tracker) -> None:
    barrier = threading.Barrier(6, timeout=30)

    def work(name: int) -> None:
        with suppress(RuntimeError), tracker.batch():
            for step in range(20):
                tracker.log({"thread": name, "step": step})
            barrier.wait()
            if name % 2:
                raise RuntimeError

    threads = [threading.Thread(target=work, args=[name]) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = [(row["thread"], row["step"]) for row in tracker.rows()]
    assert sorted(found) == [(name, step) for name in (0, 2, 4) for step in range(20)]
    for name in (0, 2, 4):
        assert [step for thread_, step in found if thread_ == name] == list(range(20))


def test_the_batches_of_tasks_are_apart(tracker: Tracker) -> None:
    async def work(name: int) -> None:
        with suppress(RuntimeError), tracker.batch():
            for step in range(5):
                tracker.log({"task": name, "step": step})
                await asyncio.sleep(0)
            if name == 1:
                raise RuntimeError

    async def main() -> None:
        await asyncio.gather(*map(work, range(3)))

    asyncio.run(main())
    found = [(row["task"], row["step"]) for row in tracker.rows()]
    assert sorted(found) == [(name, step) for name in (0, 2) for step in range(5)]


def test_a_task_that_outlives_the_batch_in_which_it_began_loses_no_row(tracker: Tracker) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def late() -> None:
            await go_on.wait()
            tracker.log({"x": "late"})

        with tracker.batch():
            task = asyncio.ensure_future(late())
            await asyncio.sleep(0)
            tracker.log({"x": "first batch"})
        with tracker.batch():
            tracker.log({"x": "second batch"})
            go_on.set()
            await task

    asyncio.run(main())
    assert sorted(tracker.column("x")) == ["first batch", "late", "second batch"]


# -- set_value and set_where ----------------------------------------------------------------------


@pytest.fixture
def two_runs(tracker: Tracker) -> Tracker:
    """A run of three rows beside another of two."""
    tracker.log_batch([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}, {"x": 2, "y": "c"}])
    with Tracker(tracker.db, track_id="other") as other:
        other.log_batch([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}])
    return tracker


def test_set_value_sets_every_row_of_this_run_so_far(two_runs: Tracker) -> None:
    assert two_runs.set_value("x", 7) == 3
    assert two_runs.set_value("new", "value") == 3
    two_runs.log({"x": 8})
    assert two_runs.column("x") == [7, 7, 7, 8]
    assert two_runs.column("new") == ["value", "value", "value", None]
    reader = Reader(two_runs.db)
    assert reader.column("x", "other") == [1, 2]
    assert reader.column("new", "other") == [None, None]


def test_set_where_sets_those_rows_of_this_run_where_it_holds(two_runs: Tracker) -> None:
    assert two_runs.set_where("z", "found", "x", 2) == 2
    assert two_runs.set_where("x", 5, "y", "b") == 1
    assert two_runs.set_where("x", 6, "y", "nothing of it") == 0
    assert two_runs.column("z") == [None, "found", "found"]
    assert two_runs.column("x") == [1, 5, 2]
    assert values_of(Reader(two_runs.db).rows("other")) == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]


def test_set_where_finds_rows_by_their_time_and_by_what_they_lack(two_runs: Tracker) -> None:
    stamp = two_runs.rows()[1]["timestamp"]
    assert two_runs.set_where("z", 1, "timestamp", stamp) == 1
    assert two_runs.set_where("z", 0, "z", None) == 2
    assert two_runs.set_where("w", 1, "track_id", "other") == 0
    assert two_runs.column("z") == [0, 1, 0]


@pytest.mark.parametrize(
    "value",
    [NAN, 2**63, 2**53 + 1, "text", b"bytes", [1, NAN], {"a": 1}, True, 0.5],
    ids=repr,
)
def test_a_row_is_found_by_any_value_that_it_has(tracker: Tracker, value: object) -> None:
    tracker.log_batch([{"x": 0}, {"x": value}, {"y": 1}])
    assert tracker.set_where("found", "yes", "x", value) == 1
    assert tracker.column("found") == [None, "yes", None]


def test_a_row_is_found_by_an_object_that_it_names(tracker: Tracker) -> None:
    tracker.log_batch([{"x": complex(1, 2)}, {"x": complex(3, 4)}])
    assert tracker.set_where("found", "yes", "x", complex(3, 4)) == 1
    assert tracker.column("found") == [None, "yes"]


def test_a_value_that_is_set_takes_the_place_of_what_the_overflow_held(tracker: Tracker) -> None:
    tracker.log_batch([{"x": 0.5, "y": NAN}, {"x": NAN, "y": 2**70}, {"x": "text"}])
    assert tracker.set_where("x", 1.0, "x", NAN) == 1
    assert tracker.column("x") == [0.5, 1.0, "text"]
    assert tracker.set_value("x", 2) == 3
    assert tracker.column("x") == [2.0, 2.0, 2.0]
    assert math.isnan(tracker.column("y")[0])
    assert tracker.column("y")[1:] == [2**70, None]
    assert tracker.set_value("y", None) == 3
    texts = tracker.conn.execute("SELECT DISTINCT _overflow FROM db.events").fetchall()
    assert texts == [(None,)]


def test_a_column_that_is_not_there_is_an_error_and_changes_nothing(two_runs: Tracker) -> None:
    # SQLite takes an unknown quoted name for a string: "nokey" = 'nokey' holds in every row.
    before = two_runs.rows()
    with pytest.raises(UnknownColumnError, match="no column 'nokey'") as caught:
        two_runs.set_where("x", 9, "nokey", "nokey")
    assert isinstance(caught.value, LookupError)
    assert caught.value.known == ("timestamp", "track_id", "x", "y")
    with pytest.raises(UnknownColumnError):
        two_runs.set_where("x", 9, "nokey", None)
    with pytest.raises(UnknownColumnError):
        two_runs.column("nokey")
    assert two_runs.rows() == before


def test_edits_of_a_run_without_rows_change_none(tracker: Tracker) -> None:
    assert tracker.set_value("x", 1) == 0
    with Tracker(tracker.db, track_id="other") as other:
        other.log({"x": 1})
    assert tracker.set_value("x", 2) == 0
    assert tracker.set_where("x", 2, "x", 1) == 0
    assert Reader(tracker.db).column("x") == [1]


# -- reading --------------------------------------------------------------------------------------


def test_rows_are_those_of_this_run_unless_all_are_asked_for(two_runs: Tracker) -> None:
    assert [row["track_id"] for row in two_runs.rows()] == ["run"] * 3
    assert [row["track_id"] for row in two_runs.rows(all=True)] == ["run"] * 3 + ["other"] * 2
    assert two_runs.rows(all=True) == Reader(two_runs.db).rows()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"head": 2}, [0, 1]),
        ({"tail": 2}, [3, 4]),
        ({"head": 0}, []),
        ({"tail": 0}, []),
        ({"head": 9}, [0, 1, 2, 3, 4]),
        ({"tail": 9}, [0, 1, 2, 3, 4]),
        ({"all": True, "head": 1}, [-1]),
        ({"all": True, "tail": 2}, [4, -2]),
    ],
    ids=str,
)
def test_head_and_tail_are_the_ends_in_the_order_of_arrival(
    tracker: Tracker, asked: dict[str, Any], found: list[int]
) -> None:
    with Tracker(tracker.db) as other:
        other.log({"x": -1})
        tracker.log_batch([{"x": number} for number in range(5)])
        other.log({"x": -2})
    assert [row["x"] for row in tracker.rows(**asked)] == found


@pytest.mark.parametrize("asked", [{"head": -1}, {"tail": -1}, {"head": 1, "tail": 1}], ids=str)
def test_ends_that_make_no_sense_are_refused(tracker: Tracker, asked: dict[str, Any]) -> None:
    tracker.log({"x": 1})
    with pytest.raises(ValueError, match="tail" if "tail" in asked else "head"):
        tracker.rows(**asked)


def test_a_column_has_a_value_for_each_row_of_the_run(two_runs: Tracker) -> None:
    two_runs.log({"z": 1})
    assert two_runs.column("x") == [1, 2, 2, None]
    assert two_runs.column("z") == [None, None, None, 1]
    assert two_runs.column("track_id") == ["run"] * 4
    assert two_runs.column("timestamp") == stamps_of(two_runs.rows())


def test_a_tracker_without_rows_is_empty_and_true(tracker: Tracker) -> None:
    assert (len(tracker), tracker.rows(), tracker.rows(all=True)) == (0, [], [])
    assert bool(tracker) is True
    assert tracker.to_csv("rows.csv") == 0


def test_len_counts_the_rows_of_this_run(two_runs: Tracker) -> None:
    assert len(two_runs) == 3
    assert len(Reader(two_runs.db)) == 5


# -- print, repr and CSV --------------------------------------------------------------------------


def cells_of(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_print_shows_a_table(tracker: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tracker.log({"x": 1, "name": "a"}), tracker.log({"x": 22, "loss": 0.5})
    print(tracker)
    assert capsys.readouterr().out.splitlines() == [
        "|    | timestamp                  | track_id   |   x | name   |   loss |",
        "|---:|:---------------------------|:-----------|----:|:-------|-------:|",
        f"|  0 | {first['timestamp']} | run        |   1 | a      |        |",
        f"|  1 | {second['timestamp']} | run        |  22 |        |    0.5 |",
        "",
        "[2 rows x 5 columns]",
    ]


def test_print_shows_both_ends_of_a_long_run(memory: Tracker) -> None:
    memory.log_batch([{"x": number} for number in range(1000)])
    lines = str(memory).splitlines()
    shown = [cells_of(line)[3] for line in (*lines[2:7], *lines[8:13])]
    assert shown == ["0", "1", "2", "3", "4", "995", "996", "997", "998", "999"]
    assert lines[7] == "..."
    assert lines[-1] == "[1000 rows x 3 columns]"


def test_print_keeps_names_and_values_inside_their_cells(memory: Tracker) -> None:
    memory.log({"a|b": "c|d", "e\nf": "g\nh\x1b[31m"})
    head, _, row, *_ = str(memory).split("\n")
    assert cells_of(head)[3:] == [r"a\|b", r"e\nf"]
    assert cells_of(row)[3:] == [r"c\|d", r"g\nh\x1b[31m"]


def test_repr_says_how_the_tracker_was_made(tracker: Tracker) -> None:
    assert repr(tracker) == f"Tracker({tracker.db!r}, track_id='run')"


def test_to_csv_writes_the_rows_of_the_run(two_runs: Tracker, tmp_path: Path) -> None:
    two_runs.log({"x": None, "y": 'q"uo,te\nnew', "z": [1, "é"], "b": b"\0\1", "f": NAN, "t": True})
    assert two_runs.to_csv(tmp_path / "run.csv") == 4
    stamps = stamps_of(two_runs.rows())
    assert (tmp_path / "run.csv").read_text("utf-8").split("\n", 4) == [
        "timestamp,track_id,x,y,z,b,f,t",
        f"{stamps[0]},run,1,a,,,,",
        f"{stamps[1]},run,2,b,,,,",
        f"{stamps[2]},run,2,c,,,,",
        f'{stamps[3]},run,,"q""uo,te\nnew","[1, ""é""]",AAE=,nan,True\n',
    ]
    assert two_runs.to_csv(str(tmp_path / "all.csv"), all=True) == 6


def test_to_csv_without_a_path_writes_to_stdout(
    tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tracker.log({"x": 1})
    assert tracker.to_csv() == 1
    assert capsys.readouterr().out == f"timestamp,track_id,x\n{stored['timestamp']},run,1\n"


def test_to_csv_says_what_cannot_be_written(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no folder"):
        tracker.to_csv(tmp_path / "no folder" / "rows.csv")


# -- runs -----------------------------------------------------------------------------------------


def test_a_new_run_has_a_name_of_two_words_and_four_digits() -> None:
    names = {Tracker(Tracker.IN_MEMORY).track_id for _ in range(100)}
    assert all(map(TRACK_ID.fullmatch, names))
    assert len(names) == 100


def test_new_names_have_nothing_to_do_with_the_random_module(db: str) -> None:
    random.seed(7)
    expected = random.random()
    names = []
    for _ in range(3):
        random.seed(7)
        with Tracker(db) as tracker:
            tracker.log({"x": 1})
            names.append(tracker.track_id)
        assert random.random() == expected
    assert len(set(names)) == 3


def test_a_run_is_continued_by_its_name(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    with Tracker(tracker.db, track_id="run", params={"again": True}) as again:
        assert (again.track_id, len(again)) == ("run", 1)
        again.log({"x": 2})
    assert values_of(tracker.rows()) == [{"x": 1}, {"x": 2, "again": True}]
    assert Reader(tracker.db).track_ids() == ["run"]
    assert stamps_of(tracker.rows()) == sorted(set(stamps_of(tracker.rows())))


def test_two_trackers_may_write_one_run_at_the_same_time(tracker: Tracker) -> None:
    with Tracker(tracker.db, track_id="run") as other:
        for number in range(40):
            (tracker, other)[number % 2].log({"x": number})
            other.log_batch([{"x": number}])
        with tracker.batch():
            tracker.log({"x": "waits"})
            other.log({"x": "does not"})
    rows = tracker.rows()
    assert len(set(stamps_of(rows))) == len(rows) == 82


def test_reset_deletes_the_rows_and_runs_of_its_table_alone(db: str) -> None:
    with Tracker(db, track_id="old") as old, Tracker(db, table="kept", track_id="old") as kept:
        old.log_batch([{"x": 1}, {"old column": object}])
        stored = kept.log({"x": 1})
    with Tracker(db, reset=True, track_id="new") as new:
        assert len(new) == 0
        new.log({"x": "text"})
    reader = Reader(db)
    assert reader.track_ids() == ["new"]
    assert reader.columns == {"timestamp": "TEXT", "track_id": "TEXT", "x": "TEXT"}
    assert Reader(db, table="kept").rows() == [stored]
    assert len(reader.assets) == 0


def test_reset_of_a_file_that_is_not_there_makes_it(db: str) -> None:
    with Tracker(db, reset=True) as tracker:
        tracker.log({"x": 1})
        assert tracker.column("x") == [1]


# -- time -----------------------------------------------------------------------------------------


def test_timestamps_are_strictly_rising_whichever_way_rows_are_logged(tracker: Tracker) -> None:
    tracker.log_batch([{"x": number} for number in range(10_000)])
    for number in range(100):
        tracker.log({"x": number})
    with tracker.batch():
        for number in range(10_000):
            tracker.log({"x": number})
    tracker.log_batch([{"x": 1}, {"y": 2}, {"z": 3}])
    tracker.log({"x": 1})
    stamps = stamps_of(tracker.rows())
    assert len(stamps) == 20_104
    assert stamps == sorted(set(stamps))
    assert all(map(STAMP.fullmatch, stamps))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "XXX-14"])
def test_timestamps_are_utc_whatever_the_zone(
    db: str, run_python: Callable[..., str], monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    before = datetime.now(timezone.utc)
    run_python(
        """
import sys
with xetrack.Tracker(sys.argv[1]) as tracker:
    tracker.log({"x": 1})
    tracker.log_batch([{"x": 2}])
    with tracker.batch():
        tracker.log({"x": 3})
""",
        db,
    )
    after = datetime.now(timezone.utc)
    assert all(before <= utc_of(stamp) <= after for stamp in Reader(db).column("timestamp"))


# -- where rows are kept --------------------------------------------------------------------------


def test_a_tracker_makes_its_file_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "track.db"
    with Tracker(path) as tracker:
        stored = tracker.log({"x": 1})
        assert tracker.db == str(path)
    assert Reader(path).rows() == [stored]


def test_without_a_path_the_file_is_track_db_in_the_working_folder(tmp_path: Path) -> None:
    with Tracker() as tracker:
        stored = tracker.log({"x": 1})
    assert tracker.db == str(tmp_path / "track.db")
    assert Reader().rows() == [stored]


@pytest.mark.parametrize("name", ["a b", "per%20cent", "what?", "hash#tag", "naïve", "q'uo\"te"])
def test_the_name_of_a_file_may_have_any_characters(tmp_path: Path, name: str) -> None:
    with Tracker(tmp_path / name) as tracker:
        stored = tracker.log({"x": 1})
        assert tracker.conn.execute("SELECT x FROM db.events").fetchall() == [(1,)]
    assert Reader(tmp_path / name).rows() == [stored]
    assert name in {path.name for path in tmp_path.iterdir()}


def test_a_tracker_in_memory_makes_no_file(memory: Tracker, tmp_path: Path) -> None:
    memory.set_param("p", 1)
    stored = memory.log({"x": 1})
    memory.log_batch([{"x": 0.5}, {"x": NAN, "asset": {1, 2}}])
    memory.set_where("y", 1, "x", 0.5)
    assert memory.rows(head=1) == [{**stored, "x": 1.0, "y": None, "asset": None}]
    assert memory.get("asset") == {1, 2}
    assert memory.db == Tracker.IN_MEMORY
    assert list(tmp_path.iterdir()) == []


def test_trackers_in_memory_are_apart(memory: Tracker) -> None:
    memory.log({"x": 1})
    with Tracker(Tracker.IN_MEMORY) as other:
        assert other.rows(all=True) == []


def test_skip_insert_keeps_nothing_and_feeds_the_sinks(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with Tracker(Tracker.SKIP_INSERT, {"p": 1}, jsonl=path) as tracker:
        rows = [tracker.log({"x": 1}), tracker.log({"y": (2,)})]
        assert tracker.latest == rows[1]
        assert tracker.log_batch([{"x": 3}]) == 1
        rows.append(tracker.latest)
        with tracker.batch():
            rows.append(tracker.log({"x": 4}))
        assert (len(tracker), tracker.rows(), tracker.set_value("x", 1)) == (0, [], 0)
    logged: list[dict[str, Any]] = [{"x": 1}, {"y": [2]}, {"x": 3}, {"x": 4}]
    assert values_of(rows) == [{"p": 1, **row} for row in logged]
    assert Reader.read_jsonl(path) == rows
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_skip_insert_refuses_what_has_no_place_and_what_has_no_name() -> None:
    with Tracker(Tracker.SKIP_INSERT) as tracker:
        with pytest.raises(AssetError, match="'x' is a set"):
            tracker.log({"x": {1}})
        with pytest.raises(KeyNameError):
            tracker.log({"": 1})
        assert tracker.log({"x": 1})["x"] == 1


def test_jsonl_gets_each_row_as_one_line_when_it_is_stored(db: str, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "rows.jsonl"
    with Tracker(db, {"p": 1}, jsonl=path) as tracker:
        first = tracker.log({"x": "é\n"})
        assert json.loads(path.read_text("utf-8")) == first
        tracker.log_batch([{"x": 2}, {"y": 3}])
        with tracker.batch():
            last = tracker.log({"x": 4})
            assert len(Reader.read_jsonl(path)) == 3
        assert values_of(Reader.read_jsonl(path)) == values_of(tracker.rows())
        assert Reader.read_jsonl(path)[-1] == last
    assert path.read_bytes().count(b"\n") == 4


def test_jsonl_gets_nothing_of_what_was_refused(db: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with Tracker(db, jsonl=path) as tracker:
        with pytest.raises(KeyNameError):
            tracker.log({"": 1})
        with pytest.raises(KeyNameError):
            tracker.log_batch([{"x": 1}, {"": 1}])
        with suppress(RuntimeError):
            log_in_batch(tracker, broken([{"x": 1}]))
    assert path.read_bytes() == b""


def test_jsonl_goes_on_where_another_tracker_ended(db: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for number in range(2):
        with Tracker(db, jsonl=path) as tracker:
            tracker.log({"x": number})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"x": 2, "cut')  # by a full disk
    with Tracker(db, jsonl=path) as tracker:
        tracker.log({"x": 3})
    assert [row["x"] for row in Reader.read_jsonl(path)] == [0, 1, 3]


# -- life -----------------------------------------------------------------------------------------


def test_a_closed_tracker_opens_again_when_it_is_needed(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    for number in range(2, 5):
        tracker.close()
        tracker.close()
        tracker.log({"x": number})
    tracker.close()
    assert tracker.column("x") == [1, 2, 3, 4]
    tracker.close()
    assert tracker.conn.execute("SELECT count(*) FROM db.events").fetchone() == (4,)


def test_a_closed_tracker_leaves_one_file_that_has_all(tracker: Tracker, tmp_path: Path) -> None:
    # SQLite clears its -wal away when the last connection closes, unless that one only reads.
    for number in range(10):
        tracker.log({"x": number})
        assert tracker.conn.execute("SELECT max(x) FROM db.events").fetchone() == (number,)
        tracker.close()
        assert [path.name for path in tmp_path.iterdir()] == ["track.db"]


def test_a_file_that_another_of_other_columns_replaced_gets_the_next_row(
    tracker: Tracker, tmp_path: Path
) -> None:
    tracker.log({"x": 1})
    with Tracker(tmp_path / "other.db", track_id="other") as other:
        other.log({"y": 1})
    for path in tmp_path.glob("track.db*"):
        path.unlink()
    (tmp_path / "other.db").rename(tracker.db)
    tracker.log({"x": 2})
    tracker.log({"x": 3})
    assert values_of(tracker.rows(all=True)) == [{"y": 1}, {"x": 2}, {"x": 3}]


def test_memory_is_gone_when_it_is_closed(memory: Tracker) -> None:
    memory.log({"x": 1})
    memory.close()
    assert len(memory) == 0
    stored = memory.log({"y": 2})
    assert memory.rows() == [stored]


def test_a_pickled_tracker_goes_on_with_its_run(db: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with Tracker(db, {"p": 1}, reset=True, table="t", jsonl=path) as tracker:
        tracker.set_param("q", [2])
        tracker.log({"x": 1})
        with pickle.loads(pickle.dumps(tracker)) as again:
            assert (again.db, again.track_id) == (db, tracker.track_id)
            assert again.params == {"p": 1, "q": [2]}
            again.log({"x": 2})
        tracker.log({"x": 3})
    assert Reader(db, table="t").column("x") == [1, 2, 3]
    assert [row["x"] for row in Reader.read_jsonl(path)] == [1, 2, 3]


def test_a_tracker_is_unpickled_by_another_process(
    db: str, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    with Tracker(db, {"p": 1}) as tracker:
        tracker.log({"x": 1})
        (tmp_path / "tracker.pickle").write_bytes(pickle.dumps(tracker))
        run_python(
            """
import os, pickle
with open("tracker.pickle", "rb") as file:
    tracker = pickle.load(file)
os.mkdir("elsewhere")
os.chdir("elsewhere")
tracker.log({"x": 2})
"""
        )
        assert values_of(tracker.rows()) == [{"x": 1, "p": 1}, {"x": 2, "p": 1}]


@pytest.mark.parametrize("where", [Tracker.IN_MEMORY, Tracker.SKIP_INSERT])
def test_a_tracker_without_a_file_cannot_be_pickled(where: str) -> None:
    with Tracker(where) as tracker, pytest.raises(TypeError, match="give it a file"):
        pickle.dumps(tracker)


# -- conn -----------------------------------------------------------------------------------------


def test_conn_has_the_file_as_db_and_sees_later_rows(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    conn = tracker.conn
    assert conn.execute("SELECT track_id, x FROM db.events").fetchall() == [("run", 1)]
    tracker.log({"x": 0.5, "new": "column"})
    assert conn.execute("SELECT x, new FROM db.events").fetchall() == [(1.0, None), (0.5, "column")]
    assert tracker.conn is conn
    assert [name for _, name, _ in conn.execute("PRAGMA database_list")] == ["main", "db"]


EDITS = [
    "UPDATE db.events SET x = 2",
    "INSERT INTO db.events (timestamp, track_id) VALUES ('now', 'run')",
    "DELETE FROM db.events",
    "DROP TABLE db.events",
    "CREATE TABLE db.mine (x)",
    "ALTER TABLE db.events ADD COLUMN y",
    "PRAGMA db.user_version = 9",
]


@pytest.mark.parametrize("statement", EDITS)
@pytest.mark.parametrize("where", ["file", "memory"])
def test_conn_refuses_to_write(db: str, where: str, statement: str) -> None:
    with Tracker(db if where == "file" else Tracker.IN_MEMORY) as tracker:
        stored = tracker.log({"x": 1})
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            tracker.conn.execute(statement)
        assert tracker.rows() == [stored]
        assert tracker.log({"x": 2})["x"] == 2


@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_query_half_read_does_not_hinder_the_tracker(db: str, where: str) -> None:
    with Tracker(db if where == "file" else Tracker.IN_MEMORY) as tracker:
        tracker.log_batch([{"x": number} for number in range(2000)])
        cursor = tracker.conn.execute("SELECT x FROM db.events")
        assert cursor.fetchone() == (0,)
        tracker.log({"x": 0.5, "new": 1})
        tracker.set_value("new", 2)
        assert len(cursor.fetchall()) == 1999
        assert len(tracker) == 2001


def test_conn_of_memory_is_a_copy_as_of_its_access(memory: Tracker) -> None:
    memory.log({"x": 1})
    conn = memory.conn
    assert memory.conn is conn
    memory.log({"x": 2})
    assert conn.execute("SELECT x FROM db.events").fetchall() == [(1,)]
    assert memory.conn.execute("SELECT x FROM db.events").fetchall() == [(1,), (2,)]


def test_conn_is_never_the_one_that_writes(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    tracker.conn.close()
    stored = tracker.log({"x": 2})
    assert tracker.rows(tail=1) == [stored]


# -- durability -----------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_rows_survive_a_process_that_dies_without_closing(
    db: str, start_python: Callable[..., subprocess.Popen[str]], durability: str
) -> None:
    process = start_python(
        """
import os, sys
tracker = xetrack.Tracker(sys.argv[1], durability=sys.argv[2])
tracker.log({"x": 1})
tracker.log_batch([{"x": 2}, {"x": 0.5}])
with tracker.batch():
    tracker.log({"x": 3})
os._exit(3)
""",
        db,
        durability,
    )
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert Reader(db).column("x") == [1.0, 2.0, 0.5, 3.0]


SYNCHRONOUS = [("normal", 1), ("full", 2)]


@pytest.mark.parametrize(("durability", "synchronous"), SYNCHRONOUS)
def test_durability_decides_how_sqlite_synchronizes(
    db: str, durability: str, synchronous: int
) -> None:
    with Tracker(db, durability=durability) as tracker:
        tracker.log({"x": 1})
        # An attached file starts at FULL, and the pragma without "db." does not reach it.
        assert tracker.conn.execute("PRAGMA db.synchronous").fetchone() == (synchronous,)
        assert tracker.conn.execute("PRAGMA db.journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(("durability", "synchronous"), SYNCHRONOUS)
def test_durability_decides_how_the_connection_that_writes_synchronizes(
    db: str, durability: str, synchronous: int
) -> None:
    database = Database(db, create=True, durability=durability)
    writer = database.connection()
    assert writer.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


# -- arguments ------------------------------------------------------------------------------------

BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "db is no path": ({"db": 3}, TypeError, "db=3"),
    "db is None": ({"db": None}, TypeError, "db=None"),
    "db is empty": ({"db": ""}, ValueError, "db=''"),
    "db has a NUL": ({"db": "a\0b"}, ValueError, "db='a"),
    "durability": ({"durability": "most"}, ValueError, "durability='most'.*'normal', 'full'"),
    "on_storage_error": ({"on_storage_error": 1}, ValueError, "on_storage_error=1.*'raise'"),
    "engine": ({"engine": "mysql"}, ValueError, "engine='mysql'.*'sqlite', 'duckdb'"),
    "table": ({"table": ""}, TableNameError, "table ''"),
    "track_id": ({"track_id": ""}, KeyNameError, "track_id"),
    "params": ({"params": {"timestamp": 1}}, KeyNameError, "'timestamp'"),
}


@pytest.mark.parametrize(("arguments", "error", "said"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_an_argument_that_makes_no_sense_is_shown(
    db: str, arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Tracker(**{"db": db, **arguments})


def test_a_bad_argument_does_not_reset_the_file(db: str) -> None:
    with Tracker(db) as tracker:
        stored = tracker.log({"x": 1})
    for arguments in ({"track_id": ""}, {"params": {"": 1}}, {"engine": "?"}, {"table": ""}):
        with pytest.raises(ValueError):  # noqa: PT011  # said what is wrong, see above
            Tracker(db, reset=True, **arguments)
        assert Reader(db).rows() == [stored]


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Tracker(tmp_path)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but a text of some length " * 40)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"notes\.txt"):
        Tracker(path, reset=True)
    assert path.read_bytes() == before


def test_an_object_as_a_param_is_stored_once_whatever_kind_of_key_it_has(db: str) -> None:
    with Tracker(db, params={1: {1, 2}, "two": {3}}) as tracker:  # type: ignore[dict-item]
        rows = [tracker.log({"x": x}) for x in range(2)]
        assert [row["1"] for row in rows] == [tracker.params["1"]] * 2
        assert (tracker.get("1"), tracker.get("two")) == ({1, 2}, {3})
        assert len(tracker.assets) == 2
