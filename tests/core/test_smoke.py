from __future__ import annotations

from xetrack import Reader, Tracker


def test_what_is_logged_is_read_back(db: str) -> None:
    with Tracker(db, params={"model": "resnet18"}) as tracker:
        row = tracker.log({"accuracy": 0.9, "loss": 0.1, "epoch": 1})
    assert Reader(db).rows() == [row]
    assert row["model"] == "resnet18"
