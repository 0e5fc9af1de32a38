"""DataFrames: columns in their order, types as logged, exact values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from xetrack import Reader, Tracker, UnknownColumnError, UnknownRunError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db, params={"model": "resnet18"}, track_id="run") as made:
        yield made


def test_columns_are_in_the_order_in_which_they_appeared(tracker: Tracker) -> None:
    tracker.log({"loss": 0.5, "epoch": 1})
    tracker.log({"accuracy": 0.9})
    expected = ["timestamp", "track_id", "model", "loss", "epoch", "accuracy"]
    assert list(tracker.to_df().columns) == expected


def test_types_are_those_that_were_logged(tracker: Tracker) -> None:
    row = {"b": True, "i": 1, "f": 0.5, "t": "x", "blob": b"y", "j": [1, {"k": None}]}
    tracker.log_batch([row, row])
    types = {name: str(kind) for name, kind in tracker.to_df().dtypes.items()}
    assert types == {
        "timestamp": "str",
        "track_id": "str",
        "model": "str",
        "b": "bool",
        "i": "int64",
        "f": "float64",
        "t": "str",
        "blob": "object",
        "j": "object",
    }
    assert tracker.to_df()["j"].tolist() == [[1, {"k": None}]] * 2


def test_gaps_leave_integers_integers_and_booleans_booleans(tracker: Tracker) -> None:
    tracker.log({"i": 2**53 + 1, "b": True, "t": "x", "f": 0.5})
    tracker.log({})
    frame = tracker.to_df()
    assert (str(frame["i"].dtype), str(frame["b"].dtype)) == ("Int64", "boolean")
    assert frame["i"].tolist() == [2**53 + 1, pd.NA]
    assert frame["b"].tolist() == [True, pd.NA]
    assert frame["t"].isna().tolist() == frame["f"].isna().tolist() == [False, True]


def test_gaps_in_one_chunk_of_many_rows_count_for_the_column(tracker: Tracker) -> None:
    tracker.log_batch([{"i": number} for number in range(5000)])
    tracker.log({"x": 1})
    column = tracker.to_df()["i"]
    assert str(column.dtype) == "Int64"
    assert column.tolist() == [*range(5000), pd.NA]


def test_what_no_column_can_hold_is_there_all_the_same(tracker: Tracker) -> None:
    tracker.log({"loss": 0.5, "Loss": "first"})
    tracker.log({"loss": math.nan})
    tracker.log({"loss": "failed", "n": 2**70})
    frame = tracker.to_df()
    assert frame["loss"].tolist()[::2] == [0.5, "failed"]
    assert math.isnan(frame["loss"][1])
    assert frame["Loss"].tolist() == ["first", None, None]
    assert frame["n"].tolist() == [None, None, 2**70]


def test_nan_alone_leaves_a_column_of_floats(tracker: Tracker) -> None:
    tracker.log_batch([{"loss": 0.5}, {"loss": math.nan}, {"loss": math.inf}])
    assert str(tracker["loss"].dtype) == "float64"
    assert tracker["loss"].tolist()[::2] == [0.5, math.inf]


def test_a_frame_is_of_the_run_or_of_all_runs(tracker: Tracker) -> None:
    with Tracker(tracker.db, track_id="other") as other:
        tracker.log({"x": 1})
        other.log({"x": 2})
        assert tracker.to_df()["x"].tolist() == [1]
        assert tracker.to_df(all=True)["x"].tolist() == [1, 2]
        assert Reader(tracker.db).to_df()["x"].tolist() == [1, 2]
        assert Reader(tracker.db).to_df("run")["x"].tolist() == [1]
        assert Reader(tracker.db).latest()["x"].tolist() == [2]
        with pytest.raises(UnknownRunError):
            Reader(tracker.db).to_df("nobody")


def test_head_and_tail_are_the_ends(tracker: Tracker) -> None:
    tracker.log_batch([{"x": number} for number in range(20)])
    assert tracker.head()["x"].tolist() == [0, 1, 2, 3, 4]
    assert tracker.tail(2)["x"].tolist() == [18, 19]
    assert Reader(tracker.db).to_df(head=1)["x"].tolist() == [0]
    assert Reader(tracker.db).to_df(tail=1)["x"].tolist() == [19]


def test_timestamps_sort_as_they_came(tracker: Tracker) -> None:
    tracker.log_batch([{"x": number} for number in range(1000)])
    assert tracker.to_df().sort_values("timestamp")["x"].tolist() == list(range(1000))


def test_a_column_that_is_not_there_is_an_error(tracker: Tracker) -> None:
    tracker.log({"x": 1})
    with pytest.raises(UnknownColumnError):
        tracker["y"]


def test_no_rows_make_an_empty_frame(tracker: Tracker) -> None:
    assert len(tracker.to_df()) == 0
    with Tracker(tracker.db, track_id="other") as other:
        other.log({"x": 1, "b": True})
    empty = tracker.to_df()
    assert len(empty) == 0
    assert list(empty.columns) == ["timestamp", "track_id", "x", "b"]


def test_a_frame_can_be_logged_and_comes_back(tracker: Tracker) -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": [0.5, math.nan],
            "t": ["x", None],
            "b": [True, False],
            "when": pd.to_datetime(["2026-11-23 10:00", None]),
        }
    )
    assert tracker.log_batch(frame) == 2
    assert [{k: row[k] for k in ("i", "f", "t", "b", "when")} for row in tracker.rows()] == [
        {"i": 1, "f": 0.5, "t": "x", "b": True, "when": "2026-11-23T10:00:00"},
        {"i": None, "f": None, "t": None, "b": False, "when": None},
    ]
    assert "_overflow" not in tracker.conn.execute("SELECT sql FROM db.sqlite_master").fetchall()


def test_numbers_of_numpy_are_numbers(tracker: Tracker) -> None:
    row = {"f": np.float32(0.5), "i": np.int64(3), "b": np.bool_(True), "z": np.array(7)}
    stored = tracker.log(row)
    assert [stored[key] for key in row] == [0.5, 3, True, 7]
    assert [type(stored[key]) for key in row] == [float, int, bool, int]
    days = tracker.log({"day": np.datetime64("2026-11-23"), "none": np.datetime64("NaT")})
    assert (days["day"], days["none"]) == ("2026-11-23", None)


def test_a_notebook_shows_a_table(tracker: Tracker) -> None:
    tracker.log({"x": "<b>"})
    html = tracker._repr_html_()
    assert html.startswith("<table><thead><tr><th>timestamp</th><th>track_id</th><th>model</th>")
    assert "<td>&lt;b&gt;</td></tr></tbody></table><p>1 rows x 4 columns</p>" in html
