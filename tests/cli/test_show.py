"""The commands that look: head, tail, columns, ls, sql."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable

import pytest

from xetrack import Reader, Tracker

Xt = Callable[..., Any]

CHANGES = {
    "update": "UPDATE db.events SET epoch = 9",
    "insert": "INSERT INTO db.events (timestamp, track_id) VALUES ('1', '2')",
    "delete": "DELETE FROM db.events",
    "drop": "DROP TABLE db.events",
    "create": "CREATE TABLE db.mine (x)",
    "pragma": "PRAGMA db.user_version = 7",
}


def seven_rows(db: str) -> None:
    with Tracker(db, track_id="first") as tracker:
        tracker.log_batch({"epoch": epoch} for epoch in range(4))
    with Tracker(db, track_id="second") as tracker:
        tracker.log_batch({"epoch": epoch} for epoch in range(4, 7))


def table(text: str) -> list[list[str]]:
    """The cells of a Markdown table, line by line, without the line under the heads."""
    lines = text.splitlines()
    assert re.fullmatch(r"\|([:-]-+[:-]\|)+", lines.pop(1))
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_table_is_the_one_that_the_seed_prints(db: str, xt: Xt) -> None:
    row = {"model": "lightgbm", "accuracy": 0.9, "data": "mnist", "params": "1b5b2294fc521d12"}
    with Tracker(db, track_id="ebony-loon-6720") as tracker:
        stamp = tracker.log(row)["timestamp"]
    expected = (
        "|    | timestamp                  | track_id        | model    "
        "|   accuracy | data   | params           |\n"
        "|---:|:---------------------------|:----------------|:---------"
        "|-----------:|:-------|:-----------------|\n"
        f"|  0 | {stamp} | ebony-loon-6720 | lightgbm "
        "|        0.9 | mnist  | 1b5b2294fc521d12 |\n"
    )
    assert xt("tail", db, "--n=1") == (0, expected, "")


@pytest.mark.parametrize(
    ("argv", "epochs"),
    [
        ("head", [0, 1, 2, 3, 4]),
        ("tail", [2, 3, 4, 5, 6]),
        ("head --n=2", [0, 1]),
        ("tail -n 2", [5, 6]),
        ("head --n 0", []),
        ("tail --n 0", []),
        ("head --n 8", [0, 1, 2, 3, 4, 5, 6]),
        ("tail --n 8", [0, 1, 2, 3, 4, 5, 6]),
        ("head --n 1 --track-id second", [4]),
        ("tail --n 1 --track-id first", [3]),
    ],
)
def test_head_and_tail_pick_rows_by_their_order(
    db: str, xt: Xt, argv: str, epochs: list[int]
) -> None:
    seven_rows(db)
    command, *options = argv.split()
    said = xt(command, db, *options, "--json")
    assert (said.code, [row["epoch"] for row in json.loads(said.out)]) == (0, epochs)


@pytest.mark.parametrize("command", ["head", "tail"])
def test_more_rows_than_sqlite_can_count_are_all_rows(db: str, xt: Xt, command: str) -> None:
    seven_rows(db)
    said = xt(command, db, "--n", 10**30, "--json")
    assert (said.code, [row["epoch"] for row in json.loads(said.out)]) == (0, list(range(7)))


def test_rows_are_numbered_from_zero_at_both_ends(db: str, xt: Xt) -> None:
    seven_rows(db)
    for command in ("head", "tail"):
        assert [line[0] for line in table(xt(command, db, "--n", 3).out)] == ["", "0", "1", "2"]


def test_json_is_a_list_of_rows_one_on_a_line(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"accuracy": 0.9, "ok": True, "tags": ["a", {"b": None}], "name": "naïve"})
        tracker.log({"accuracy": 1.0, "note": 'a "quote"\n| and a line'})
    said = xt("head", db, "--json")
    assert json.loads(said.out) == Reader(db).rows()
    assert len(said.out.splitlines()) == 2


def test_json_is_strict_where_json_has_no_value(db: str, xt: Xt) -> None:
    def refused(text: str) -> None:
        raise AssertionError(text)

    with Tracker(db, track_id="run") as tracker:
        tracker.log({"loss": float("nan"), "big": 2**64, "raw": b"\0\xff"})
    (row,) = json.loads(xt("head", db, "--json").out, parse_constant=refused)
    del row["timestamp"]
    assert row == {
        "track_id": "run",
        "loss": {"$f": "nan"},
        "big": {"$i": "0x10000000000000000"},
        "raw": {"$b": "AP8="},
    }


def test_cells_show_every_type_of_value(db: str, xt: Xt) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({"i": 1, "r": 0.25, "b": True, "t": "x", "j": [1, "é"], "raw": b"abc"})
        tracker.log({"i": 2**70, "r": float("-inf")})
    heads, first, second = table(xt("head", db).out)
    assert heads == ["", "timestamp", "track_id", "i", "r", "b", "t", "j", "raw"]
    assert first[2:] == ["run", "1", "0.25", "True", "x", '[1, "é"]', "<3 bytes>"]
    assert second[2:] == ["run", "1180591620717411303424", "-inf", "", "", "", ""]


def test_a_table_of_no_rows_has_its_heads(db: str, xt: Xt) -> None:
    seven_rows(db)
    said = xt("head", db, "--n", 0)
    assert (said.code, table(said.out)) == (0, [["", "timestamp", "track_id", "epoch"]])


def test_another_table_is_shown_when_it_is_asked_for(db: str, xt: Xt) -> None:
    seven_rows(db)
    with Tracker(db, table="other table") as tracker:
        tracker.log({"x": 1})
    assert xt("ls", db, "x", "--table", "other table") == (0, "1\n", "")
    assert table(xt("head", db, "--table", "other table").out)[0][1:] == [
        "timestamp",
        "track_id",
        "x",
    ]


def test_what_another_process_writes_is_seen_while_it_writes(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"epoch": 1})
        assert xt("ls", db, "epoch") == (0, "1\n", "")
        tracker.log({"epoch": 2})
        assert xt("ls", db, "epoch") == (0, "1\n2\n", "")
        assert json.loads(xt("sql", db, "SELECT count(*) AS n FROM db.events", "--json").out) == [
            {"n": 2}
        ]


def test_columns_lists_names_and_types_in_their_order(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"i": 1, "r": 0.5, "b": True, "t": "x", "j": [1], "raw": b"abc"})
        tracker.log({"nan": float("nan")})
    expected = [
        ["timestamp", "TEXT"],
        ["track_id", "TEXT"],
        ["i", "INTEGER"],
        ["r", "REAL"],
        ["b", "BOOLEAN"],
        ["t", "TEXT"],
        ["j", "JSON"],
        ["raw", "BLOB"],
        ["nan", "REAL"],
    ]
    assert table(xt("columns", db).out) == [["column", "type"], *expected]
    assert json.loads(xt("columns", db, "--json").out) == [
        {"column": name, "type": kind} for name, kind in expected
    ]


def test_columns_prints_an_aligned_table(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"epoch": 1})
    expected = (
        "| column    | type    |\n"
        "|:----------|:--------|\n"
        "| timestamp | TEXT    |\n"
        "| track_id  | TEXT    |\n"
        "| epoch     | INTEGER |\n"
    )
    assert xt("columns", db) == (0, expected, "")


def test_ls_lists_the_columns(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"train/loss": 0.5, "naïve": 1, "big": 2**70})
    assert xt("ls", db) == (0, "timestamp\ntrack_id\ntrain/loss\nnaïve\nbig\n", "")
    assert json.loads(xt("ls", db, "--json").out)[2:] == [
        {"column": "train/loss"},
        {"column": "naïve"},
        {"column": "big"},
    ]


def test_ls_lists_the_values_of_a_column_a_line_each(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"model": "a|b", "j": [1, "é"], "raw": b"abc", "r": 0.1 + 0.2, "big": 2**70})
        tracker.log({"other": 1})
    assert xt("ls", db, "model").out == "a|b\n\n"
    assert xt("ls", db, "j").out == '[1, "é"]\n\n'
    assert xt("ls", db, "raw").out == "YWJj\n\n"
    assert xt("ls", db, "r").out == "0.30000000000000004\n\n"
    assert xt("ls", db, "big").out == "1180591620717411303424\n\n"
    assert json.loads(xt("ls", db, "model", "--json").out) == [{"model": "a|b"}, {"model": None}]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "a", "b", None, "a"], "b\na\n"),
        ([1, 2, 1], "1\n2\n"),
        ([[1], [2], [1]], "[1]\n[2]\n"),
        ([float("nan"), float("nan"), 1.0], "nan\n1.0\n"),
    ],
    ids=["text", "integers", "lists", "nan"],
)
def test_unique_values_come_once_in_order_of_arrival(
    db: str, xt: Xt, values: list[object], expected: str
) -> None:
    with Tracker(db) as tracker:
        tracker.log_batch({"key": value} for value in values)
    assert xt("ls", db, "key", "--unique") == (0, expected, "")


def test_ls_of_a_run_has_only_its_values(db: str, xt: Xt) -> None:
    seven_rows(db)
    assert xt("ls", db, "epoch", "--track-id", "second") == (0, "4\n5\n6\n", "")


def test_sql_prints_a_table_or_json(db: str, xt: Xt) -> None:
    seven_rows(db)
    query = "SELECT track_id, max(epoch) AS last FROM db.events GROUP BY track_id"
    assert table(xt("sql", db, query).out) == [
        ["track_id", "last"],
        ["first", "3"],
        ["second", "6"],
    ]
    assert json.loads(xt("sql", db, query, "--json").out) == [
        {"track_id": "first", "last": 3},
        {"track_id": "second", "last": 6},
    ]


def test_columns_of_one_name_are_told_apart(db: str, xt: Xt) -> None:
    seven_rows(db)
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_2"
    (row,) = json.loads(xt("sql", db, query, "--json").out)
    assert list(row.values()) == [1, 2, 3]


def test_sql_without_a_result_prints_the_heads_or_an_empty_list(db: str, xt: Xt) -> None:
    seven_rows(db)
    query = "SELECT epoch, track_id FROM db.events WHERE epoch > 99"
    assert table(xt("sql", db, query).out) == [["epoch", "track_id"]]
    assert xt("sql", db, query, "--json") == (0, "[]\n", "")


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_sql_cannot_change_the_file_by_itself(db: str, xt: Xt, statement: str) -> None:
    seven_rows(db)
    before = Path(db).read_bytes()
    said = xt("sql", db, statement)
    assert (said.code, said.out) == (1, "")
    assert re.fullmatch(
        r"xt: SQL refused: .* \(to change the file: xt sql --write\); .*\n", said.err
    )
    assert Path(db).read_bytes() == before


def test_sql_changes_the_file_when_told_to(db: str, xt: Xt) -> None:
    seven_rows(db)
    statement = "UPDATE db.events SET epoch = 9 WHERE track_id = 'second'"
    assert xt("sql", db, "--write", statement) == (0, "3 rows changed\n", "")
    assert Reader(db).column("epoch") == [0, 1, 2, 3, 9, 9, 9]
    assert xt("sql", db, "--write", "--json", statement) == (0, "[]\n", "")
