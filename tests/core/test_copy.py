"""copy() is the union of two files by the identity of a row, whatever their columns and assets."""

from __future__ import annotations

import math
import os
import sqlite3
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import (
    CopyReport,
    ForeignFileError,
    MissingFileError,
    NotADatabaseError,
    Reader,
    StorageError,
    Tracker,
    UnknownTableError,
    copy,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping

MODEL = Fraction(1, 3)
OTHER = Fraction(2, 3)
SOURCE, TARGET = "source.db", "target.db"


def write(db: str, run: str, *rows: Mapping[Any, Any], table: str = "events") -> None:
    with Tracker(db, track_id=run, table=table) as tracker:
        for row in rows:
            tracker.log(row)


def execute(db: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """What somebody else does to the file."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def told(report: CopyReport) -> tuple[int, int, int, int]:
    """Rows added, present, in conflict; and assets added."""
    return int(report), report.present, report.conflicts, report.assets


def values(db: str, table: str = "events") -> list[dict[str, Any]]:
    """The rows without their identity, and without what they have no value for."""
    return [
        {k: v for k, v in row.items() if v is not None and k not in ("timestamp", "track_id")}
        for row in Reader(db, table).rows()
    ]


def same_cells(db: str) -> None:
    """Every cell has the type that its column declares, or is NULL."""
    allowed = {
        "BOOLEAN": {"integer"},
        "INTEGER": {"integer"},
        "REAL": {"real"},
        "TEXT": {"text"},
        "BLOB": {"blob"},
        "JSON": {"text"},
    }
    for column, declared in Reader(db).columns.items():
        name = column.replace('"', '""')
        found = execute(db, f'SELECT DISTINCT typeof(events."{name}") FROM events')
        assert {kind for (kind,) in found} <= {*allowed[declared], "null"}, column


# -- the union -----------------------------------------------------------------------------------


def test_a_target_that_is_not_there_is_made(tmp_path: Path) -> None:
    write(SOURCE, "first", {"loss": 0.5}, {"loss": 0.25, "epoch": 2})
    target = tmp_path / "deep" / "target.db"
    os.mkdir(tmp_path / "deep")
    assert told(copy(Path(SOURCE), target)) == (2, 0, 0, 0)
    assert Reader(target).rows() == Reader(SOURCE).rows()
    assert Reader(target).columns == Reader(SOURCE).columns


def test_rows_of_both_files_are_there_once() -> None:
    write(SOURCE, "first", {"loss": 0.5}, {"loss": 0.25})
    write(TARGET, "second", {"loss": 0.75})
    before = Reader(TARGET).rows()
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 0)
    assert Reader(TARGET).rows() == before + Reader(SOURCE).rows()


def test_to_repeat_a_copy_adds_nothing() -> None:
    write(SOURCE, "first", {"loss": 0.5, "model": MODEL}, {"loss": math.nan, "big": 2**70})
    write(TARGET, "second", {"loss": 1, "note": "x"})
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 1)
    before = execute(TARGET, "SELECT * FROM events")
    assert told(copy(SOURCE, TARGET)) == (0, 2, 0, 0)
    assert execute(TARGET, "SELECT * FROM events") == before


def test_a_copy_there_and_back_makes_two_equal_files() -> None:
    write(SOURCE, "first", {"loss": 0.5, "a": MODEL}, {"Loss": 1})
    write(TARGET, "second", {"loss": 2, "b": OTHER}, {"loss": "text"})
    copy(SOURCE, TARGET)
    copy(TARGET, SOURCE)
    assert told(copy(SOURCE, TARGET)) == (0, 4, 0, 0)

    def by_identity(db: str) -> list[dict[str, Any]]:
        return sorted(Reader(db).rows(), key=lambda row: str(row["timestamp"]))

    assert by_identity(SOURCE) == by_identity(TARGET)
    assert sorted(Reader(SOURCE).assets) == sorted(Reader(TARGET).assets)


def test_new_rows_of_a_run_that_is_there_are_added() -> None:
    write(SOURCE, "first", {"epoch": 0})
    copy(SOURCE, TARGET)
    write(SOURCE, "first", {"epoch": 1})
    assert told(copy(SOURCE, TARGET)) == (1, 1, 0, 0)
    assert values(TARGET) == [{"epoch": 0}, {"epoch": 1}]


def test_rows_keep_the_order_of_the_source() -> None:
    trackers = [Tracker(SOURCE, track_id=name) for name in ("zebra", "apple")]
    for epoch in range(4):
        trackers[epoch % 2].log({"epoch": epoch})
    for tracker in trackers:
        tracker.close()
    copy(SOURCE, TARGET)
    assert Reader(TARGET).column("epoch") == [0, 1, 2, 3]
    assert Reader(TARGET).column("track_id") == ["zebra", "apple"] * 2


def test_runs_keep_the_times_at_which_they_started() -> None:
    write(SOURCE, "oldest", {"epoch": 0})
    write(TARGET, "middle", {"epoch": 1})
    write(SOURCE, "newest", {"epoch": 2})
    write(SOURCE, "oldest", {"epoch": 3})
    copy(SOURCE, TARGET)
    assert Reader(TARGET).track_ids() == ["oldest", "middle", "newest"]
    assert [row["epoch"] for row in Reader(TARGET).latest_rows()] == [2]


def test_a_run_of_both_files_started_when_its_first_row_was_logged() -> None:
    write(SOURCE, "both", {"epoch": 0})
    write(TARGET, "between", {"epoch": 1})
    write(TARGET, "both", {"epoch": 2})
    copy(SOURCE, TARGET)
    assert Reader(TARGET).track_ids() == ["both", "between"]
    assert [row["epoch"] for row in Reader(TARGET).rows("both")] == [2, 0]


def test_a_run_can_be_continued_where_it_was_copied_to() -> None:
    write(SOURCE, "first", {"epoch": 0})
    copy(SOURCE, TARGET)
    write(TARGET, "first", {"epoch": 1})
    assert values(TARGET) == [{"epoch": 0}, {"epoch": 1}]


def test_the_source_stays_as_it_is() -> None:
    write(SOURCE, "first", {"epoch": 0, "model": MODEL})
    write(TARGET, "second", {"epoch": "text", "other": 1})
    before = Path(SOURCE).read_bytes()
    copy(SOURCE, TARGET)
    assert Path(SOURCE).read_bytes() == before


def test_a_file_in_which_nothing_was_logged_adds_nothing() -> None:
    Tracker(SOURCE).close()
    write(TARGET, "second", {"epoch": 0})
    assert told(copy(SOURCE, TARGET)) == (0, 0, 0, 0)
    assert values(TARGET) == [{"epoch": 0}]


def test_pages_of_rows_are_all_there() -> None:
    with Tracker(SOURCE, track_id="many") as tracker:
        tracker.log_batch([{"step": step} for step in range(2500)])
        tracker.log_batch([{"step": step, "extra": math.nan} for step in range(2500, 5000)])
    execute(SOURCE, "DELETE FROM events WHERE step IN (0, 998, 999, 1000, 2001)")
    write(TARGET, "other", {"step": -1})
    assert told(copy(SOURCE, TARGET)) == (4995, 0, 0, 0)
    assert Reader(TARGET).column("step", "many") == Reader(SOURCE).column("step")
    assert len(Reader(TARGET)) == 4996


def test_pages_of_rows_that_are_there_in_part_are_completed() -> None:
    with Tracker(SOURCE, track_id="many") as tracker:
        tracker.log_batch([{"step": step} for step in range(5000)])
    copy(SOURCE, TARGET)
    execute(TARGET, "DELETE FROM events WHERE step % 3 = 0 OR step BETWEEN 900 AND 2100")
    left = len(Reader(TARGET))
    execute(TARGET, "UPDATE events SET step = -step WHERE step IN (4, 4000)")
    assert told(copy(SOURCE, TARGET)) == (5000 - left, left - 2, 2, 0)
    steps = sorted(abs(step) for step in Reader(TARGET).column("step"))
    assert steps == list(range(5000))


def test_tables_as_wide_as_they_can_be_are_united() -> None:
    wide = {f"key {number}": number for number in range(2100)}
    write(SOURCE, "first", wide)
    write(TARGET, "second", {"another key": 0.5})
    assert told(copy(SOURCE, TARGET)) == (1, 0, 0, 0)
    assert told(copy(SOURCE, TARGET)) == (0, 1, 0, 0)
    assert values(TARGET) == [{"another key": 0.5}, wide]


# -- columns -------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "bool": True,
    "int": -5,
    "big": 2**63 - 1,
    "huge": 2**70,
    "float": 0.1,
    "infinity": -math.inf,
    "text": "1e3",
    "surrogate": "\ud800",
    "bytes": b"\x00\xff",
    "list": [1, [None, math.inf]],
    "dict": {"a": {"$f": "x"}},
    "train/loss": 1,
    "order": 2,
    'quo"te': 3,
    "rowid": 4,
    "nul\0": 5,
    "Loss": 6,
    "loss": 7,
}


@pytest.mark.parametrize(
    "there",
    [
        {},
        {"unrelated": 1},
        dict.fromkeys(EVERYTHING, "text"),
        dict.fromkeys(EVERYTHING, 0.5),
        dict.fromkeys(EVERYTHING, True),
        dict.fromkeys(EVERYTHING, b"bytes"),
        {key: [1] for key in EVERYTHING},
        {key.swapcase(): 1 for key in EVERYTHING},
    ],
    ids=["nothing", "unrelated", "text", "real", "boolean", "blob", "json", "other case"],
)
def test_every_value_arrives_whatever_the_columns_of_the_target(there: dict[str, Any]) -> None:
    write(SOURCE, "first", EVERYTHING, {"int": 1, "loss": "diverged", "float": 2})
    write(TARGET, "second", there)
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 0)
    assert values(TARGET) == [there, *values(SOURCE)]
    same_cells(TARGET)
    assert told(copy(SOURCE, TARGET)) == (0, 2, 0, 0)


@pytest.mark.parametrize(
    ("source", "target", "joined"),
    [
        (True, 2, "INTEGER"),
        (2, True, "INTEGER"),
        (True, 0.5, "REAL"),
        (0.5, True, "REAL"),
        (2, 0.5, "REAL"),
        (0.5, 2, "REAL"),
        ("x", 0.5, "REAL"),
        (0.5, "x", "TEXT"),
        (b"x", "x", "TEXT"),
        ([1], 1, "INTEGER"),
        (1, [1], "JSON"),
        (math.nan, 1, "REAL"),
        (None, 1, "INTEGER"),
    ],
    ids=repr,
)
def test_the_types_of_a_column_are_joined(source: object, target: object, joined: str) -> None:
    write(SOURCE, "first", {"x": source, "epoch": 0})
    write(TARGET, "second", {"x": target})
    copy(SOURCE, TARGET)
    assert Reader(TARGET).columns == {
        "timestamp": "TEXT",
        "track_id": "TEXT",
        "x": joined,
        "epoch": "INTEGER",
    }
    pairs = zip((target, source), Reader(TARGET).column("x"))
    assert all(value == found or repr(value) == repr(found) == "nan" for value, found in pairs)
    same_cells(TARGET)


@pytest.mark.parametrize("big", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)], ids=str)
@pytest.mark.parametrize("there", [0.5, True, 7, "x"], ids=repr)
def test_a_big_integer_stays_exact_in_a_column_of_another_type(big: int, there: object) -> None:
    write(SOURCE, "first", {"x": big}, {"x": 3})
    write(TARGET, "second", {"x": there})
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 0)
    assert Reader(TARGET).column("x") == [there, big, 3]
    assert told(copy(SOURCE, TARGET)) == (0, 2, 0, 0)


def test_a_big_integer_of_the_target_stays_exact_when_its_column_widens() -> None:
    write(SOURCE, "first", {"x": 0.5})
    write(TARGET, "second", {"x": 2**53 + 1})
    copy(SOURCE, TARGET)
    assert Reader(TARGET).column("x") == [2**53 + 1, 0.5]
    assert Reader(TARGET).columns["x"] == "REAL"


def test_a_big_integer_that_was_copied_stays_exact_when_its_column_widens() -> None:
    write(SOURCE, "first", {"x": 2**53 + 1})
    copy(SOURCE, TARGET)
    write(TARGET, "second", {"x": 0.5})
    assert Reader(TARGET).column("x") == [2**53 + 1, 0.5]


def test_keys_that_differ_in_case_alone_are_kept_apart() -> None:
    write(SOURCE, "first", {"Loss": 1.0, "ÄRGER": 1})
    write(TARGET, "second", {"loss": 2.0, "ärger": 2})
    copy(SOURCE, TARGET)
    assert values(TARGET) == [{"loss": 2.0, "ärger": 2}, {"Loss": 1.0, "ÄRGER": 1}]
    assert list(Reader(TARGET).columns)[2:] == ["loss", "ärger", "ÄRGER"]
    assert told(copy(SOURCE, TARGET)) == (0, 1, 0, 0)


def test_columns_in_another_order_are_matched_by_name() -> None:
    write(SOURCE, "first", {"a": 1, "b": 2})
    write(TARGET, "second", {"b": 20, "a": 10})
    copy(SOURCE, TARGET)
    assert values(TARGET) == [{"b": 20, "a": 10}, {"b": 2, "a": 1}]


def test_a_column_that_somebody_made_with_sql_comes_along() -> None:
    write(SOURCE, "first", {"a": 1})
    execute(SOURCE, "ALTER TABLE events ADD COLUMN note VARCHAR(20)")
    execute(SOURCE, "UPDATE events SET note = 'by hand'")
    copy(SOURCE, TARGET)
    assert values(TARGET) == [{"a": 1, "note": "by hand"}]


# -- tables --------------------------------------------------------------------------------------


@pytest.fixture
def of_tables() -> None:
    for table in ("events", "validation", "a table"):
        write(SOURCE, "first", {"table": table, "model": Fraction(1, len(table))}, table=table)


@pytest.mark.usefixtures("of_tables")
def test_all_tables_are_copied() -> None:
    write(TARGET, "second", {"epoch": 1}, table="validation")
    assert told(copy(SOURCE, TARGET)) == (3, 0, 0, 3)
    assert Reader(TARGET).tables() == ["validation", "events", "a table"]
    for table in ("events", "validation", "a table"):
        assert Reader(TARGET, table).rows("first") == [
            {**row, **({"epoch": None} if table == "validation" else {})}
            for row in Reader(SOURCE, table).rows()
        ]
        assert Reader(TARGET, table).get("model") == Fraction(1, len(table))
    assert told(copy(SOURCE, TARGET)) == (0, 3, 0, 0)


@pytest.mark.usefixtures("of_tables")
@pytest.mark.parametrize(
    "tables", [["validation"], ("validation",), "validation", iter(["validation"])], ids=repr
)
def test_only_the_tables_asked_for_are_copied(tables: Iterable[str]) -> None:
    assert told(copy(SOURCE, TARGET, tables=tables)) == (1, 0, 0, 1)
    assert Reader(TARGET, "validation").tables() == ["validation"]
    assert Reader(TARGET, "validation").get("model") == Fraction(1, 10)


@pytest.mark.usefixtures("of_tables")
def test_no_tables_asked_for_are_no_tables() -> None:
    assert told(copy(SOURCE, TARGET, tables=[])) == (0, 0, 0, 0)


@pytest.mark.usefixtures("of_tables")
def test_a_table_named_twice_is_copied_once() -> None:
    tables = ["events", "validation", "events"]
    assert told(copy(SOURCE, TARGET, tables=tables)) == (2, 0, 0, 2)


@pytest.mark.usefixtures("of_tables")
def test_a_table_that_the_source_does_not_have_is_an_error() -> None:
    write(TARGET, "second", {"epoch": 1})
    with pytest.raises(UnknownTableError) as caught:
        copy(SOURCE, TARGET, tables=["events", "nothing"])
    assert caught.value.args == ("nothing", SOURCE, ("events", "validation", "a table"))
    assert values(TARGET) == [{"epoch": 1}]


# -- assets --------------------------------------------------------------------------------------


def references(db: str) -> list[tuple[Any, ...]]:
    statement = 'SELECT "table", track_id, key, asset FROM asset_refs ORDER BY 1, 2, 3, 4'
    return execute(db, statement)


def test_assets_come_along_once_with_their_references() -> None:
    write(SOURCE, "first", {"model": MODEL, "own": b"x"}, {"model": OTHER})
    write(TARGET, "second", {"model": MODEL})
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 1)
    assert len(Reader(TARGET).assets) == 2
    with Tracker(TARGET, track_id="first") as tracker:
        assert tracker.get("model") == OTHER
    shared = Reader(TARGET).column("model")[0]
    assert [run for _, run, _, asset in references(TARGET) if asset == shared] == [
        "first",
        "second",
    ]
    assert references(TARGET) == sorted(
        [*references(SOURCE), ("events", "second", "model", shared)]
    )


def test_an_asset_that_two_runs_use_stays_until_the_second_goes() -> None:
    write(SOURCE, "first", {"model": MODEL})
    write(TARGET, "second", {"model": MODEL})
    copy(SOURCE, TARGET)
    reader = Reader(TARGET)
    reader.delete_run("second")
    assert reader.get("model") == MODEL
    reader.delete_run("first")
    assert len(reader.assets) == 0


def test_an_asset_of_several_chunks_comes_along() -> None:
    large = {1, b"0123456789" * 300_000}
    write(SOURCE, "first", {"large": large})
    assert told(copy(SOURCE, TARGET)) == (1, 0, 0, 1)
    assert Reader(TARGET).get("large") == large


def test_an_asset_that_no_row_names_comes_along_with_a_whole_file() -> None:
    with Tracker(SOURCE) as tracker:
        asset = tracker.assets.add(b"weights")
    assert told(copy(SOURCE, TARGET)) == (0, 0, 0, 1)
    assert Reader(TARGET).assets.get(asset) == b"weights"


def test_without_assets_their_ids_stay_in_the_rows() -> None:
    write(SOURCE, "first", {"model": MODEL})
    assert told(copy(SOURCE, TARGET, assets=False)) == (1, 0, 0, 0)
    assert Reader(TARGET).rows() == Reader(SOURCE).rows()
    assert Reader(TARGET).get("model") is None
    assert len(Reader(TARGET).assets) == 0


def test_a_later_copy_with_assets_makes_one_without_whole() -> None:
    write(SOURCE, "first", {"model": MODEL})
    copy(SOURCE, TARGET, assets=False)
    assert told(copy(SOURCE, TARGET)) == (0, 1, 0, 1)
    assert Reader(TARGET).get("model") == MODEL
    assert references(TARGET) == references(SOURCE)
    Reader(TARGET).delete_run("first")
    assert len(Reader(TARGET).assets) == 0


def collide(db: str, value: object, twin: object) -> str:
    """Give *twin*, which *db* has, the id of *value*, as if their hashes began alike; the id."""
    with Tracker("elsewhere.db") as tracker:
        ids = [tracker.assets.add(value), tracker.assets.add(twin)]
    for statement in (
        "UPDATE assets SET id = ? WHERE id = ?",
        "UPDATE asset_chunks SET asset = ? WHERE asset = ?",
        "UPDATE asset_refs SET asset = ? WHERE asset = ?",
        "UPDATE events SET model = ? WHERE model = ?",
    ):
        execute(db, statement, *ids)
    return ids[0]


@pytest.fixture
def met() -> str:
    """Files in which one id names two objects, MODEL and in the target OTHER; the id."""
    write(SOURCE, "first", {"model": MODEL}, {"model": "none"})
    write(TARGET, "second", {"model": OTHER})
    return collide(TARGET, MODEL, OTHER)


def longer_id(db: str) -> str:
    return str(Reader(db).assets.list()[-1]["sha256"][:17])


def test_an_id_is_another_in_the_target_where_two_meet(met: str) -> None:
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 1)
    longer = longer_id(TARGET)
    assert longer[:16] == met
    assert Reader(TARGET).column("model") == [met, longer, "none"]
    reader = Reader(TARGET)
    assert [reader.get(asset) for asset in (met, longer)] == [OTHER, MODEL]
    assert references(TARGET) == [
        ("events", "first", "model", longer),
        ("events", "second", "model", met),
    ]


def test_where_two_ids_meet_each_asset_goes_with_its_own_run(met: str) -> None:
    copy(SOURCE, TARGET)
    reader = Reader(TARGET)
    reader.delete_run("first")
    assert [reader.get(asset) for asset in reader.assets] == [OTHER]
    assert reader.column("model") == [met]


def test_where_two_ids_meet_a_copy_can_be_repeated(met: str) -> None:
    copy(SOURCE, TARGET)
    before = Reader(TARGET).rows(), references(TARGET)
    assert told(copy(SOURCE, TARGET)) == (0, 2, 0, 0)
    assert (Reader(TARGET).rows(), references(TARGET)) == before
    assert Reader(TARGET).get(met) == OTHER


# -- conflicts -----------------------------------------------------------------------------------


@pytest.fixture
def edited() -> dict[str, Any]:
    """Two files with the same three rows, the second of them edited in the source; that row."""
    write(TARGET, "first", {"epoch": 0}, {"epoch": 1, "note": "ours"}, {"epoch": 2})
    copy(TARGET, SOURCE)
    Reader(SOURCE).set_where("note", "theirs", "epoch", 1)
    return Reader(TARGET).rows()[1]


def next_microsecond(stamp: str, later: int = 1) -> str:
    """For tests alone: no second ends within it."""
    return f"{stamp[:-6]}{int(stamp[-6:]) + later:06d}"


@pytest.mark.usefixtures("edited")
@pytest.mark.parametrize("asked", [{}, {"on_conflict": "target"}], ids=["by default", "asked for"])
def test_of_two_versions_that_of_the_target_is_kept(asked: dict[str, str]) -> None:
    before = Reader(TARGET).rows()
    for _ in range(2):
        assert told(copy(SOURCE, TARGET, **asked)) == (0, 2, 1, 0)  # type: ignore[arg-type]
        assert Reader(TARGET).rows() == before


@pytest.mark.usefixtures("edited")
def test_of_two_versions_that_of_the_source_is_taken_if_so_asked() -> None:
    Reader(TARGET).set_where("ours alone", 5, "epoch", 1)
    assert told(copy(SOURCE, TARGET, on_conflict="source")) == (0, 2, 1, 0)
    assert values(TARGET) == [{"epoch": 0}, {"epoch": 1, "note": "theirs"}, {"epoch": 2}]
    assert told(copy(SOURCE, TARGET, on_conflict="source")) == (0, 3, 0, 0)


def test_both_versions_are_kept_if_so_asked(edited: dict[str, Any]) -> None:
    before = Reader(TARGET).rows()
    other = {**edited, "note": "theirs", "timestamp": next_microsecond(edited["timestamp"])}
    assert told(copy(SOURCE, TARGET, on_conflict="both")) == (1, 2, 1, 0)
    assert Reader(TARGET).rows() == [*before, other]


@pytest.mark.usefixtures("edited")
def test_to_keep_both_again_adds_nothing() -> None:
    copy(SOURCE, TARGET, on_conflict="both")
    before = Reader(TARGET).rows()
    assert told(copy(SOURCE, TARGET, on_conflict="both")) == (0, 2, 1, 0)
    assert Reader(TARGET).rows() == before


def test_an_equal_row_met_on_the_way_is_that_row(edited: dict[str, Any]) -> None:
    stamps = [next_microsecond(edited["timestamp"], later) for later in range(3)]
    add = "INSERT INTO events (timestamp, track_id, epoch, note) VALUES (?, 'first', 1, ?)"
    execute(TARGET, add, stamps[1], "another still")
    execute(TARGET, add, stamps[2], "theirs")
    before = Reader(TARGET).rows()
    assert told(copy(SOURCE, TARGET, on_conflict="both")) == (0, 2, 1, 0)
    assert Reader(TARGET).rows() == before


def test_the_next_free_microsecond_may_be_in_the_next_year() -> None:
    write(TARGET, "first", {"epoch": 0})
    execute(TARGET, "UPDATE events SET timestamp = '2023-12-31 23:59:59.999999'")
    copy(TARGET, SOURCE)
    Reader(SOURCE).set_value("epoch", 1)
    assert told(copy(SOURCE, TARGET, on_conflict="both")) == (1, 0, 1, 0)
    assert Reader(TARGET).column("timestamp") == [
        "2023-12-31 23:59:59.999999",
        "2024-01-01 00:00:00.000000",
    ]


def test_both_versions_are_kept_of_rows_a_microsecond_apart() -> None:
    with Tracker(TARGET, track_id="first") as tracker:
        tracker.log_batch([{"epoch": epoch} for epoch in range(3)])
    copy(TARGET, SOURCE)
    Reader(SOURCE).set_value("note", "theirs")
    copy(SOURCE, TARGET, on_conflict="both")
    found = sorted(values(TARGET), key=lambda row: (row["epoch"], len(row)))
    assert found == [
        row for epoch in range(3) for row in ({"epoch": epoch}, {"epoch": epoch, "note": "theirs"})
    ]
    assert int(copy(SOURCE, TARGET, on_conflict="both")) == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (math.nan, 0.5),
        (0.5, math.nan),
        (2**70, 2**70 + 1),
        (2**53, 2**53 + 1),
        ([1], [2]),
        ("x", b"x"),
        (None, 0.5),
        (0.5, None),
    ],
    ids=repr,
)
def test_a_difference_in_any_value_is_a_conflict(ours: object, theirs: object) -> None:
    write(TARGET, "first", {"x": ours, "epoch": 0})
    copy(TARGET, SOURCE)
    Reader(SOURCE).set_value("x", theirs)
    assert told(copy(SOURCE, TARGET)) == (0, 0, 1, 0)
    assert told(copy(SOURCE, TARGET, on_conflict="source")) == (0, 0, 1, 0)
    found = Reader(TARGET).column("x")
    assert [repr(value) for value in found] == [repr(theirs)]


def test_a_row_that_only_looks_different_is_present() -> None:
    write(TARGET, "first", {"x": 1, "nan": math.nan, "json": {"a": 1, "b": 2}})
    copy(TARGET, SOURCE)
    write(SOURCE, "second", {"x": 0.5})  # the column is REAL there
    execute(SOURCE, """UPDATE events SET json = '{"b": 2,  "a": 1}' WHERE json IS NOT NULL""")
    assert told(copy(SOURCE, TARGET)) == (1, 1, 0, 0)


def test_an_empty_cell_is_equal_to_a_column_that_is_not_there() -> None:
    write(TARGET, "first", {"x": 1})
    copy(TARGET, SOURCE)
    write(TARGET, "second", {"only here": 1})
    write(SOURCE, "third", {"only there": 1})
    assert told(copy(SOURCE, TARGET)) == (1, 1, 0, 0)


def test_a_conflict_is_settled_in_one_of_three_ways() -> None:
    write(SOURCE, "first", {"x": 1})
    with pytest.raises(
        ValueError, match="on_conflict='ours' is none of 'target', 'source', 'both'"
    ):
        copy(SOURCE, TARGET, on_conflict="ours")
    assert not os.path.exists(TARGET)


def test_the_assets_of_a_replaced_row_and_of_its_replacement_go_with_their_run() -> None:
    write(TARGET, "first", {"model": MODEL})
    copy(TARGET, SOURCE)
    Reader(SOURCE).set_value("model", OTHER)
    copy(SOURCE, TARGET, on_conflict="source")
    reader = Reader(TARGET)
    assert reader.assets.get(reader.column("model")[0]) == OTHER
    reader.delete_run("first")
    assert len(reader.assets) == 0


# -- files that will not do ----------------------------------------------------------------------


def test_a_missing_source_is_an_error_and_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        copy(SOURCE, TARGET)
    assert caught.value.path == str(tmp_path / SOURCE)
    assert list(tmp_path.iterdir()) == []


def test_a_source_or_target_of_something_else_is_refused(tmp_path: Path) -> None:
    write(SOURCE, "first", {"x": 1})
    execute("foreign.db", "CREATE TABLE events (timestamp TEXT, track_id TEXT, x)")
    Path("text.db").write_text("not a database " * 100)
    for kind, name in ((ForeignFileError, "foreign.db"), (NotADatabaseError, "text.db")):
        before = Path(name).read_bytes()
        for source, target in ((name, TARGET), (SOURCE, name)):
            with pytest.raises(kind) as caught:
                copy(source, target)
            assert caught.value.args[0] == str(tmp_path / name)
        assert Path(name).read_bytes() == before
    assert not os.path.exists(TARGET)


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["itself", "symlink", "hardlink"])
def test_a_file_is_not_copied_into_itself(link: Callable[[str, str], None] | None) -> None:
    write(SOURCE, "first", {"x": 1})
    target = SOURCE if link is None else "link.db"
    if link is not None:
        link(SOURCE, target)
    with pytest.raises(StorageError, match="is source and target of a copy; give two files"):
        copy(SOURCE, target)
    assert values(SOURCE) == [{"x": 1}]


def test_a_copy_that_fails_leaves_the_target_as_it_was() -> None:
    write(SOURCE, "first", {"x": 0.5, "model": MODEL}, {"x": 2, "new": "x"})
    write(TARGET, "second", {"x": 1})
    execute(
        TARGET,
        "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN new.x = 2 "
        "BEGIN SELECT RAISE(ABORT, 'two is refused'); END",
    )
    schema = execute(TARGET, "SELECT sql FROM sqlite_master")
    with pytest.raises(StorageError, match="two is refused"):
        copy(SOURCE, TARGET)
    assert values(TARGET) == [{"x": 1}]
    assert execute(TARGET, "SELECT sql FROM sqlite_master") == schema
    assert len(Reader(TARGET).assets) == 0
    execute(TARGET, "DROP TRIGGER refuse")
    assert told(copy(SOURCE, TARGET)) == (2, 0, 0, 1)


WRITER = """
import sys
with xetrack.Tracker(sys.argv[1], track_id="writer") as tracker:
    tracker.log({"step": 0})
    print("ready", flush=True)
    for step in range(1, 500):
        tracker.log({"step": step, f"key{step // 50}": step})
"""


@pytest.mark.parametrize("written", [SOURCE, TARGET])
def test_a_file_can_be_copied_while_it_is_written(
    start_python: Callable[..., subprocess.Popen[str]], written: str
) -> None:
    write(SOURCE, "first", {"x": 0.5, "model": MODEL})
    write(TARGET, "second", {"x": 1})
    writer = start_python(WRITER, written)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    reports = [copy(SOURCE, TARGET) for _ in range(5)]
    assert writer.wait(timeout=60) == 0
    reports.append(copy(SOURCE, TARGET))
    assert Reader(TARGET).column("step", "writer") == list(range(500))
    assert sum(reports) == len(Reader(SOURCE))
    assert sum(report.conflicts for report in reports) == 0
    assert execute(TARGET, "PRAGMA integrity_check") == [("ok",)]


def test_a_report_is_the_number_of_rows_added() -> None:
    write(SOURCE, "first", {"x": 0.5, "model": MODEL})
    report = copy(SOURCE, TARGET)
    assert isinstance(report, int)
    assert report == 1
    assert (report.present, report.conflicts, report.assets) == (0, 0, 1)
