"""Objects live once in the file under their SHA-256, and nothing but ``get`` ever unpickles."""

from __future__ import annotations

import hashlib
import pickle
import sqlite3
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import pytest

from xetrack import (
    AmbiguousAssetError,
    DamagedAssetError,
    PickleForbiddenError,
    Reader,
    StorageError,
    Tracker,
    UnknownAssetError,
    UnpicklableError,
    copy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = Fraction(1, 3)
OTHER = Fraction(2, 3)
ADD_ASSET = "INSERT INTO assets VALUES (?, ?, 'bytes', 'bytes', 0, '')"
REFERENCES = 'SELECT "table", track_id, key, asset FROM db.asset_refs ORDER BY 1, 2, 3, timestamp'


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db, track_id="first") as tracker:
        yield tracker


def execute(db: str, statement: str, *values: object) -> None:
    """What somebody else does to the file."""
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute(statement, values)


def references(tracker: Tracker) -> list[tuple[str, ...]]:
    return list(tracker.conn.execute(REFERENCES))


def sha256_of(value: object) -> str:
    """The SHA-256 under which a file keeps *value*."""
    with Tracker("elsewhere.db") as tracker:
        tracker.assets.add(value)
        return str(tracker.assets.list()[-1]["sha256"])


# -- identity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [MODEL, b"bytes", "text", [1, 2]], ids=repr)
def test_an_id_is_the_start_of_the_sha256_of_the_exported_file(
    tracker: Tracker, tmp_path: Path, value: object
) -> None:
    asset = tracker.assets.add(value)
    size = tracker.assets.export(asset, tmp_path / "out")
    exported = (tmp_path / "out").read_bytes()
    assert size == len(exported)
    assert asset == hashlib.sha256(exported).hexdigest()[:16]


def test_the_exported_file_of_an_object_is_its_pickle(tracker: Tracker, tmp_path: Path) -> None:
    row = tracker.log({"model": MODEL})
    tracker.assets.export(row["model"], tmp_path / "model.pickle")
    assert pickle.loads((tmp_path / "model.pickle").read_bytes()) == MODEL


def test_a_row_holds_the_id_of_an_object(tracker: Tracker) -> None:
    row = tracker.log({"accuracy": 0.9, "model": MODEL})
    assert row["model"] == sha256_of(MODEL)[:16]
    assert tracker.rows() == [row]
    assert tracker.latest == row
    assert Reader(tracker.db).columns["model"] == "TEXT"
    assert tracker.get(row["model"]) == MODEL


def test_an_object_is_stored_once(tracker: Tracker) -> None:
    row = tracker.log({"model": MODEL, "again": Fraction(1, 3)})
    tracker.log({"model": MODEL})
    with Tracker(tracker.db) as another:
        another.log({"model": MODEL})
        another.assets.add(MODEL)
    assert set(Reader(tracker.db).column("model")) == {row["again"]}
    assert list(tracker.assets) == [row["model"]]


def test_an_object_may_be_all_of_the_first_row_of_a_new_file(tracker: Tracker) -> None:
    row = tracker.log({"model": MODEL})
    assert Reader(tracker.db).columns == {"timestamp": "TEXT", "track_id": "TEXT", "model": "TEXT"}
    assert Reader(tracker.db).get(row["model"]) == MODEL


def test_an_object_among_numbers_is_an_asset_too(tracker: Tracker) -> None:
    tracker.log({"x": 0.5})
    row = tracker.log({"x": MODEL})
    assert tracker.column("x") == [0.5, row["x"]]
    assert tracker.conn.execute("SELECT typeof(x) FROM db.events").fetchall() == [
        ("real",),
        ("null",),
    ]
    assert tracker.get("x") == MODEL


def test_an_object_under_a_key_that_sql_cannot_name_is_an_asset_too(tracker: Tracker) -> None:
    row = tracker.log({"rowid": MODEL})
    assert tracker.rows() == [row]
    assert tracker.get("rowid") == MODEL


def test_ids_are_longer_where_two_meet(tracker: Tracker, tmp_path: Path) -> None:
    sha256 = sha256_of(MODEL)
    tracker.assets.add(b"makes the file")
    twin = sha256[:16] + ("0" if sha256[16] != "0" else "1") * 48
    execute(tracker.db, ADD_ASSET, twin[:16], twin)
    row = tracker.log({"model": MODEL})
    assert row["model"] == sha256[:17]
    assert tracker.log({"model": MODEL})["model"] == sha256[:17]
    assert tracker.rows()[0] == row
    assert tracker.get(row["model"]) == MODEL
    tracker.assets.export(row["model"], tmp_path / "out")
    assert hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest() == sha256


# -- get -----------------------------------------------------------------------------------------


def test_a_unique_prefix_finds_an_object(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL})["model"]
    assert [tracker.get(asset[:length]) for length in (1, 4, 15)] == [MODEL] * 3
    assert tracker.get(sha256_of(MODEL)) == MODEL


def test_a_prefix_that_fits_several_names_them(tracker: Tracker) -> None:
    ids = [tracker.assets.add(range(number)) for number in range(17)]
    first = next(asset[0] for asset in ids if sum(other[0] == asset[0] for other in ids) > 1)
    with pytest.raises(AmbiguousAssetError) as caught:
        tracker.get(first, default="none")
    assert caught.value.prefix == first
    assert caught.value.ids == tuple(sorted(asset for asset in ids if asset[0] == first))


def test_a_key_finds_what_this_run_logged_last_under_it(tracker: Tracker) -> None:
    tracker.log({"model": OTHER})
    tracker.log({"model": MODEL})
    tracker.log({"loss": 0.5})
    with Tracker(tracker.db) as another:
        another.log({"model": OTHER})
    assert tracker.get("model") == MODEL
    assert tracker.assets.get("model") == MODEL


def test_a_key_finds_for_a_reader_what_any_run_logged_last_under_it(tracker: Tracker) -> None:
    tracker.log({"model": MODEL})
    with Tracker(tracker.db) as another:
        another.log({"model": OTHER})
    assert Reader(tracker.db).get("model") == OTHER
    tracker.log({"model": MODEL})
    assert Reader(tracker.db).get("model") == MODEL


def test_a_key_of_another_table_finds_nothing(tracker: Tracker) -> None:
    with Tracker(tracker.db, table="others") as another:
        another.log({"model": MODEL})
    assert tracker.get("model") is None
    assert Reader(tracker.db, "others").get("model") == MODEL


def test_an_object_that_was_logged_before_is_the_last_once_it_is_logged_again(
    tracker: Tracker,
) -> None:
    for model in (MODEL, OTHER, MODEL):
        tracker.log({"model": model})
    assert tracker.get("model") == MODEL


def test_an_id_that_was_logged_before_is_the_last_once_it_is_logged_again(
    tracker: Tracker,
) -> None:
    first, second = tracker.assets.add(MODEL), tracker.assets.add(OTHER)
    for asset in (first, second, first):
        tracker.log({"model": asset})
    assert tracker.get("model") == MODEL


@pytest.mark.parametrize(
    "value", [frozenset(), complex(0), range(0), b"", "", [], {}, 0, False], ids=repr
)
def test_an_object_whose_truth_value_is_false_comes_back(tracker: Tracker, value: object) -> None:
    found = tracker.get(tracker.assets.add(value), default="none")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("name", ["", "no such key", "0123456789abcdef", "g", "%", "A'"])
def test_what_is_not_there_is_the_default(tracker: Tracker, name: str) -> None:
    tracker.log({"model": MODEL, "loss": 0.5})
    assert tracker.get(name) is None
    assert tracker.get(name, default=OTHER) is OTHER
    assert Reader(tracker.db).get(name, OTHER) is OTHER
    assert name not in tracker.assets


def test_a_key_of_plain_values_is_no_asset(tracker: Tracker) -> None:
    tracker.log({"loss": 0.5})
    assert tracker.get("loss", default="none") == "none"


# -- references ----------------------------------------------------------------------------------


def test_a_reference_says_which_run_logged_what_under_which_key(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL, "again": MODEL})["model"]
    other = tracker.log({"model": OTHER})["model"]
    with Tracker(tracker.db, track_id="second", table="others") as another:
        another.log({"x": asset})
    assert references(tracker) == [
        ("events", "first", "again", asset),
        ("events", "first", "model", asset),
        ("events", "first", "model", other),
        ("others", "second", "x", asset),
    ]


def test_a_hash_logged_as_text_stays_the_reference_it_is(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL})["model"]
    with Tracker(tracker.db, track_id="second") as another:
        for _ in range(3):
            assert another.log({"model": asset})["model"] == asset
    Reader(tracker.db).delete_run("first")
    assert Reader(tracker.db).get(asset) == MODEL
    assert references(tracker) == [("events", "second", "model", asset)]
    Reader(tracker.db).delete_run("second")
    assert len(tracker.assets) == 0


@pytest.mark.parametrize("number", [1, 2, 1500])
def test_hashes_logged_in_a_batch_are_references_too(tracker: Tracker, number: int) -> None:
    asset = tracker.log({"model": MODEL})["model"]
    with Tracker(tracker.db, track_id="second") as another:
        another.log({"model": "none yet"})
        another.log_batch([{"model": asset}] * number)
    Reader(tracker.db).delete_run("first")
    assert Reader(tracker.db).get(asset) == MODEL


def test_text_that_looks_like_a_hash_stays_text(tracker: Tracker) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    for _ in range(2):
        assert tracker.log({"commit": commit})["commit"] == commit
    assert tracker.column("commit") == [commit, commit]
    assert references(tracker) == []


def test_text_becomes_a_reference_once_there_is_an_asset_of_that_id(tracker: Tracker) -> None:
    asset = sha256_of(MODEL)[:16]
    with Tracker(tracker.db, track_id="second") as another:
        another.log({"model": asset})
        tracker.log({"model": MODEL})
        another.log({"model": asset})
        Reader(tracker.db).delete_run("first")
        assert another.get("model") == MODEL


def test_a_reference_that_was_overwritten_is_made_again(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL})["model"]
    with Tracker(tracker.db, track_id="second") as another:
        another.log({"model": asset})
        another.set_value("model", "replaced")
        another.log({"model": asset})
        Reader(tracker.db).delete_run("first")
        assert another.column("model") == ["replaced", asset]
        assert another.get(asset) == MODEL


def test_an_asset_goes_with_the_last_run_that_used_it(tracker: Tracker) -> None:
    tracker.log({"model": MODEL, "own": OTHER})
    with Tracker(tracker.db, track_id="second") as another:
        asset = another.log({"model": MODEL})["model"]
    reader = Reader(tracker.db)
    reader.delete_run("first")
    assert list(reader.assets) == [asset]
    reader.delete_run("second")
    assert list(reader.assets) == []
    assert tracker.conn.execute("SELECT count(*) FROM db.asset_chunks").fetchall() == [(0,)]


def test_the_same_run_of_another_table_keeps_its_assets(tracker: Tracker) -> None:
    tracker.log({"model": MODEL})
    with Tracker(tracker.db, track_id="first", table="others") as another:
        another.log({"model": MODEL})
    Reader(tracker.db).delete_run("first")
    assert Reader(tracker.db, "others").get("model") == MODEL


def test_a_value_set_back_in_time_may_be_an_object(tracker: Tracker) -> None:
    tracker.log({"epoch": 1})
    tracker.log({"epoch": 2})
    assert tracker.set_value("model", MODEL) == 2
    asset = sha256_of(MODEL)[:16]
    assert tracker.column("model") == [asset, asset]
    assert tracker.get("model") == MODEL
    assert tracker.set_where("best", OTHER, "epoch", 2) == 1
    assert tracker.column("best") == [None, sha256_of(OTHER)[:16]]
    assert tracker.get("best") == OTHER


def test_setting_an_object_where_something_holds_refers_to_the_runs_it_holds_in(
    tracker: Tracker,
) -> None:
    tracker.log({"epoch": 1})
    with Tracker(tracker.db, track_id="second") as another:
        another.log({"epoch": 2})
    reader = Reader(tracker.db)
    assert reader.set_where("model", MODEL, "epoch", 1) == 1
    assert [asset["runs"] for asset in reader.assets.list()] == [1]
    reader.delete_run("first")
    assert list(reader.assets) == []


def test_an_object_for_rows_that_are_not_there_is_not_kept(tracker: Tracker) -> None:
    tracker.log({"epoch": 1})
    assert tracker.set_where("model", MODEL, "epoch", 2) == 0
    assert len(tracker.assets) == 0


# -- removal -------------------------------------------------------------------------------------


def test_a_removed_asset_leaves_empty_cells(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL, "loss": 0.5})["model"]
    other = tracker.log({"model": OTHER})["model"]
    with Tracker(tracker.db, table="others") as another:
        another.log({"x": asset})
        assert tracker.remove_asset(asset) == 2
        assert another.column("x") == [None]
    assert tracker.column("model") == [None, other]
    assert tracker.column("loss") == [0.5, None]
    assert tracker.get(asset) is None
    assert list(tracker.assets) == [other]
    assert references(tracker) == [("events", "first", "model", other)]


def test_an_asset_is_removed_from_one_column_alone(tracker: Tracker) -> None:
    asset = tracker.log({"a": MODEL, "b": MODEL})["a"]
    assert tracker.remove_asset(asset, column="a") == 1
    assert (tracker.column("a"), tracker.column("b")) == ([None], [asset])
    assert tracker.get(asset) == MODEL
    assert tracker.remove_asset(asset, column="b") == 1
    assert tracker.column("b") == [None]
    assert len(tracker.assets) == 0


def test_an_asset_is_removed_from_the_overflow_too(tracker: Tracker) -> None:
    tracker.log({"x": 0.5, "rowid": 1})
    tracker.log({"x": MODEL, "rowid": MODEL, "loss": float("inf"), "big": 2**70})
    assert tracker.remove_asset("x") == 2
    assert tracker.column("x") == [0.5, None]
    assert tracker.column("rowid") == [1, None]
    assert tracker.column("big") == [None, 2**70]


def test_an_asset_can_be_removed_by_key_and_by_prefix(tracker: Tracker) -> None:
    tracker.log({"model": MODEL})
    assert tracker.assets.remove("model") == 1
    tracker.log({"model": MODEL})
    assert tracker.assets.remove(sha256_of(MODEL)[:5]) == 1
    assert tracker.column("model") == [None, None]


def test_an_asset_that_no_row_names_can_be_removed(tracker: Tracker) -> None:
    asset = tracker.assets.add(MODEL)
    assert tracker.remove_asset(asset) == 0
    assert asset not in tracker.assets


def test_to_remove_what_is_not_there_is_an_error(tracker: Tracker) -> None:
    tracker.log({"model": MODEL})
    with pytest.raises(UnknownAssetError) as caught:
        tracker.remove_asset("nothing")
    assert (caught.value.name, caught.value.path) == ("nothing", tracker.db)
    assert tracker.get("model") == MODEL


def test_a_removed_asset_can_be_logged_again(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL})["model"]
    tracker.remove_asset(asset)
    assert tracker.log({"model": MODEL})["model"] == asset
    assert tracker.column("model") == [None, asset]
    assert tracker.get(asset) == MODEL


# -- params --------------------------------------------------------------------------------------


def test_an_object_in_the_params_is_stored_once_and_in_every_row(db: str) -> None:
    with Tracker(db, params={"model": MODEL}, track_id="first") as tracker:
        asset = sha256_of(MODEL)[:16]
        assert tracker.params == {"model": asset}
        assert [tracker.log({"epoch": epoch})["model"] for epoch in range(3)] == [asset] * 3
        tracker.log_batch([{"epoch": 3}])
        assert tracker.column("model") == [asset] * 4
        assert list(tracker.assets) == [asset]
        assert references(tracker) == [("events", "first", "model", asset)]
        assert tracker.get("model") == MODEL


def test_a_param_that_is_set_later_may_be_an_object(tracker: Tracker) -> None:
    asset = sha256_of(OTHER)[:16]
    assert tracker.set_param("model", OTHER) == {"model": asset}
    assert tracker.log({})["model"] == asset
    Reader(tracker.db).delete_run("first")
    assert len(tracker.assets) == 0


# -- the shelf -----------------------------------------------------------------------------------


def test_the_list_says_what_the_file_knows_of_each_asset(tracker: Tracker) -> None:
    row = tracker.log({"model": MODEL})
    with Tracker(tracker.db) as another:
        another.log({"model": MODEL})
    note = tracker.assets.add("note")
    model, text = tracker.assets.list()
    assert model == {
        "id": row["model"],
        "sha256": sha256_of(MODEL),
        "kind": "pickle",
        "type": "fractions.Fraction",
        "size": tracker.assets.export(row["model"], "out"),
        "created": row["timestamp"],
        "runs": 2,
    }
    assert text == {
        "id": note,
        "sha256": hashlib.sha256(b"note").hexdigest(),
        "kind": "text",
        "type": "str",
        "size": 4,
        "created": text["created"],
        "runs": 0,
    }
    assert list(tracker.assets) == [row["model"], note]
    assert len(tracker.assets) == 2
    assert row["model"] in tracker.assets
    assert 5 not in tracker.assets


class Kept(NamedTuple):
    """A value, as what it is stored, and what comes back."""

    value: object
    kind: str
    exported: bytes
    back: object


UNPICKLED = [
    Kept(b"\x00\xff", "bytes", b"\x00\xff", b"\x00\xff"),
    Kept(bytearray(b"ab"), "bytes", b"ab", b"ab"),
    Kept(memoryview(b"ab"), "bytes", b"ab", b"ab"),
    Kept("naïve\r\n", "text", "naïve\r\n".encode(), "naïve\r\n"),
    Kept("\ud800", "text", b"\xed\xa0\x80", "\ud800"),
    Kept(Path("a/b"), "text", str(Path("a/b")).encode(), str(Path("a/b"))),
    Kept({"a": [1, None]}, "json", b'{"a": [1, null]}', {"a": [1, None]}),
    Kept((1, "x"), "json", b'[1, "x"]', [1, "x"]),
    Kept(2**70, "json", str(2**70).encode(), 2**70),
    Kept(None, "json", b"null", None),
    Kept(True, "json", b"true", True),
]


@pytest.mark.parametrize("allow_pickle", [True, False])
@pytest.mark.parametrize("kept", UNPICKLED, ids=lambda kept: ascii(kept.value)[:20])
def test_bytes_text_and_json_come_back_without_pickle(
    db: str, *, allow_pickle: bool, kept: Kept
) -> None:
    with Tracker(db, allow_pickle=allow_pickle) as tracker:
        asset = tracker.assets.add(kept.value)
        assert [known["kind"] for known in tracker.assets.list()] == [kept.kind]
        tracker.assets.export(asset, "out")
        assert Path("out").read_bytes() == kept.exported
        found = tracker.get(asset, default="none")
        assert found == kept.back
        assert type(found) is type(kept.back)


def test_an_id_from_the_shelf_makes_a_row_refer_to_it(tracker: Tracker) -> None:
    asset = tracker.assets.add(b"weights")
    tracker.log({"weights": asset})
    assert tracker.get("weights") == b"weights"
    assert references(tracker) == [("events", "first", "weights", asset)]


def test_what_was_added_stays_until_it_is_removed(tracker: Tracker) -> None:
    asset = tracker.assets.add(b"weights")
    tracker.log({"loss": 0.5})
    Reader(tracker.db).delete_run("first")
    assert list(Reader(tracker.db).assets) == [asset]


def test_an_export_of_what_is_not_there_is_an_error_and_makes_no_file(tracker: Tracker) -> None:
    tracker.assets.add(MODEL)
    with pytest.raises(UnknownAssetError):
        tracker.assets.export("nothing", "out")
    assert not Path("out").exists()


def test_an_export_that_cannot_be_written_says_so(tracker: Tracker) -> None:
    asset = tracker.assets.add(MODEL)
    with pytest.raises(StorageError) as caught:
        tracker.assets.export(asset, "no such folder/out")
    assert caught.value.args == (
        "no such folder/out",
        "cannot be written (No such file or directory)",
    )


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_an_export_over_the_database_itself_is_refused(
    run_python: Callable[..., str], db: str, ending: str
) -> None:
    code = """
import sys
with xetrack.Tracker(sys.argv[1]) as tracker:
    tracker.log({"weights": tracker.assets.add(b"weights")})
    try:
        tracker.assets.export("weights", sys.argv[1] + sys.argv[2])
    except xetrack.StorageError:
        print("refused")
"""
    assert run_python(code, db, ending) == "refused\n"
    assert Reader(db).get("weights") == b"weights"


def test_an_asset_in_memory_comes_back(tmp_path: Path) -> None:
    with Tracker(Tracker.IN_MEMORY) as tracker:
        asset = tracker.log({"model": MODEL})["model"]
        assert tracker.get(asset) == MODEL
        assert tracker.assets.export(asset, tmp_path / "out") == (tmp_path / "out").stat().st_size


# -- pickle is dangerous -------------------------------------------------------------------------


def leave_mark(path: str) -> Trap:
    Path(path).write_text("code of the pickle ran")
    return Trap(path)


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return leave_mark, (self.path,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def test_get_unpickles(tracker: Tracker, mark: Path) -> None:
    tracker.log({"trap": Trap(str(mark))})
    assert tracker.get("trap").path == str(mark)
    assert mark.exists()


def test_nothing_of_a_tracker_but_get_unpickles(tracker: Tracker, mark: Path) -> None:
    tracker.set_param("param", Trap(str(mark)))
    row = tracker.log({"trap": Trap(str(mark))})
    tracker.log_batch([{"trap": Trap(str(mark))}, {"trap": row["trap"]}])
    tracker.track(Trap, str(mark))
    tracker.set_value("trap", Trap(str(mark)))
    assert row["trap"] in tracker.assets
    assert "trap" in tracker.assets
    tracker.rows()
    tracker.column("trap")
    tracker.to_csv("out.csv")
    str(tracker)
    tracker.assets.list()
    tracker.assets.export("trap", "out")
    tracker.remove_asset("trap")
    tracker.close()
    assert not mark.exists()


def test_nothing_of_a_reader_but_get_unpickles(tracker: Tracker, mark: Path) -> None:
    tracker.log({"trap": Trap(str(mark))})
    reader = Reader(tracker.db)
    reader.rows()
    reader.latest_rows()
    reader.set_value("again", reader.column("trap")[0])
    copy(tracker.db, "copied.db")
    Reader("copied.db").assets.export("trap", "out")
    reader.delete_run("first")
    assert len(reader.assets) == 0
    assert not mark.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["head", "{db}"],
        ["tail", "{db}", "--json"],
        ["ls", "{db}", "trap"],
        ["sql", "{db}", "SELECT * FROM db.asset_chunks"],
        ["get", "{db}", "trap", "out"],
        ["assets", "ls", "{db}"],
        ["assets", "export", "{db}", "trap", "out"],
        ["assets", "delete", "{db}", "trap"],
        ["copy", "{db}", "copied.db"],
        ["delete", "{db}", "first"],
    ],
    ids=lambda words: " ".join(words).replace("{db} ", ""),
)
def test_no_command_unpickles(
    tracker: Tracker, mark: Path, xt: Callable[..., Any], words: list[str]
) -> None:
    tracker.log({"trap": Trap(str(mark))})
    assert xt(*[word.format(db=tracker.db) for word in words]).code == 0
    assert not mark.exists()


@pytest.mark.parametrize("opened", [Tracker, Reader], ids=["tracker", "reader"])
def test_a_pickle_is_refused_where_pickle_is_not_allowed(
    tracker: Tracker, mark: Path, opened: Callable[..., Any]
) -> None:
    asset = tracker.log({"trap": Trap(str(mark))})["trap"]
    with opened(tracker.db, allow_pickle=False) as careful:
        for get in (careful.get, careful.assets.get):
            with pytest.raises(PickleForbiddenError) as caught:
                get(asset, default="none")
            assert caught.value.args == (asset, "allow_pickle is False")
        assert careful.assets.export(asset, "out") > 0
    assert not mark.exists()


def test_the_environment_forbids_pickle_to_a_whole_process(
    tracker: Tracker, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = tracker.log({"trap": Trap(str(mark))})["trap"]
    text = tracker.assets.add("text")
    monkeypatch.setenv("XETRACK_ALLOW_PICKLE", "0")
    for opened in (tracker, Reader(tracker.db, allow_pickle=True)):
        with pytest.raises(PickleForbiddenError) as caught:
            opened.get(asset)
        reason = "XETRACK_ALLOW_PICKLE=0 forbids it to this process"
        assert caught.value.args == (asset, reason)
        assert opened.get(text) == "text"
    assert not mark.exists()
    monkeypatch.setenv("XETRACK_ALLOW_PICKLE", "1")
    assert tracker.get(asset).path == str(mark)


def test_where_pickle_is_not_allowed_objects_are_stored_all_the_same(db: str) -> None:
    with Tracker(db, allow_pickle=False) as tracker:
        tracker.log({"model": MODEL})
    assert Reader(db).get("model") == MODEL


# -- damage --------------------------------------------------------------------------------------

DAMAGE = {
    "changed": "UPDATE asset_chunks SET data = CAST(replace(data, 'r', 's') AS BLOB)",
    "made text": "UPDATE asset_chunks SET data = 'text'",
    "made text of no encoding": "UPDATE asset_chunks SET data = CAST(x'80ff' AS TEXT)",
    "cut": "UPDATE asset_chunks SET data = substr(data, 1, 5)",
    "missing": "DELETE FROM asset_chunks",
    "longer": "INSERT INTO asset_chunks SELECT asset, position + 1, data FROM asset_chunks",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_changed_asset_is_refused_before_it_is_unpickled(
    tracker: Tracker, mark: Path, damage: str
) -> None:
    asset = tracker.log({"trap": Trap(str(mark))})["trap"]
    tracker.assets.export(asset, "whole")
    execute(tracker.db, damage)
    with pytest.raises(DamagedAssetError) as caught:
        tracker.get(asset, default="none")
    expected = hashlib.sha256(Path("whole").read_bytes()).hexdigest()
    assert (caught.value.asset, caught.value.expected) == (asset, expected)
    assert caught.value.found != expected
    with pytest.raises(DamagedAssetError):
        tracker.assets.export(asset, "out")
    assert not Path("out").exists()
    assert not mark.exists()


def test_a_changed_text_is_refused_too(tracker: Tracker) -> None:
    asset = tracker.assets.add("text")
    execute(tracker.db, "UPDATE asset_chunks SET data = ?", b"test")
    with pytest.raises(DamagedAssetError) as caught:
        tracker.get(asset)
    assert caught.value.found == hashlib.sha256(b"test").hexdigest()


def test_a_damaged_asset_can_be_removed(tracker: Tracker) -> None:
    asset = tracker.log({"model": MODEL})["model"]
    execute(tracker.db, "DELETE FROM asset_chunks")
    assert tracker.remove_asset(asset) == 1
    assert tracker.column("model") == [None]


# -- what cannot be pickled ----------------------------------------------------------------------


def local_object() -> object:
    class Local:
        """Known only here."""

    return Local()


class Stubborn:
    def __reduce__(self) -> tuple[Any, ...]:
        raise RuntimeError("not me")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (lambda: 0, "function '<lambda>'"),
        (local_object(), "a local_object.<locals>.Local"),
        ([lambda: 0], "a list"),
        (Stubborn(), "a Stubborn"),
    ],
    ids=["lambda", "local class", "in a list", "its own error"],
)
def test_what_pickle_cannot_do_says_that_the_assets_extra_can(
    tracker: Tracker, value: object, what: str
) -> None:
    with pytest.raises(UnpicklableError) as caught:
        tracker.log({"model": value})
    assert caught.value.what == what
    assert str(caught.value).startswith(f"cannot store {what} as an asset: ")
    assert str(caught.value).endswith("[assets]'")


def test_nothing_is_stored_of_a_row_with_what_pickle_cannot_do(tracker: Tracker) -> None:
    with pytest.raises(UnpicklableError):
        tracker.log({"good": MODEL, "loss": 0.5, "bad": lambda: 0})
    assert tracker.rows() == []
    assert len(tracker.assets) == 0
    assert Reader(tracker.db).columns == {}
    row = tracker.log({"good": OTHER})
    assert tracker.rows() == [row]
    assert tracker.get("good") == OTHER


def test_nothing_is_stored_of_a_batch_with_what_pickle_cannot_do(tracker: Tracker) -> None:
    tracker.log({"epoch": 0})
    with pytest.raises(UnpicklableError):
        tracker.log_batch([{"good": MODEL}, {"epoch": 1}, {"bad": lambda: 0}])
    assert tracker.column("epoch") == [0]
    assert len(tracker.assets) == 0
    assert tracker.log_batch([{"good": MODEL}]) == 1


def test_params_stay_as_they_are_where_pickle_cannot_do_one(tracker: Tracker) -> None:
    tracker.set_params({"model": "m"})
    with pytest.raises(UnpicklableError):
        tracker.set_params({"model": "n", "bad": lambda: 0})
    assert tracker.params == {"model": "m"}


# -- large ones, and many ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "chunks"),
    [
        (bytes(range(256)) * 4 * 1024 * 3, 3),
        (bytes(range(256)) * 4 * 1024 * 3 + b"x", 4),
        ({1, b"0123456789" * 300_000}, 3),
    ],
    ids=["whole chunks", "one byte more", "pickled"],
)
def test_an_asset_of_several_chunks_comes_back(
    tracker: Tracker, value: object, chunks: int
) -> None:
    asset = tracker.assets.add(value)
    count = tracker.conn.execute("SELECT count(*) FROM db.asset_chunks").fetchone()
    assert count == (chunks,)
    assert tracker.get(asset) == value
    assert tracker.assets.export(asset, "out") == tracker.assets.list()[0]["size"]
    assert hashlib.sha256(Path("out").read_bytes()).hexdigest()[:16] == asset


def test_the_file_shrinks_when_a_large_asset_goes(tracker: Tracker) -> None:
    tracker.log({"loss": 0.5})
    tracker.close()
    before = Path(tracker.db).stat().st_size
    asset = tracker.log({"large": {1, b"0123456789" * 300_000}})["large"]
    tracker.remove_asset(asset)
    tracker.close()
    assert Path(tracker.db).stat().st_size < before + 100_000


def test_objects_in_a_batch_are_stored_with_it(tracker: Tracker) -> None:
    with tracker.batch():
        row = tracker.log({"model": MODEL})
        again = tracker.log({"model": MODEL, "other": OTHER})
        assert len(tracker.assets) == 0
    assert tracker.rows() == [{**row, "other": None}, again]
    assert [tracker.get(row["model"]), tracker.get(again["other"])] == [MODEL, OTHER]
    assert list(tracker.assets) == [row["model"], again["other"]]


def test_objects_of_a_batch_that_fails_are_not_stored(tracker: Tracker) -> None:
    tracker.log({"epoch": 0})

    def train() -> None:
        with tracker.batch():
            tracker.log({"model": MODEL})
            raise RuntimeError("the training failed")

    with pytest.raises(RuntimeError, match="the training failed"):
        train()
    assert len(tracker) == 1
    assert len(tracker.assets) == 0
    assert references(tracker) == []


def test_objects_of_many_rows_are_stored_with_them(tracker: Tracker) -> None:
    models = [Fraction(number, 1009) for number in range(5)]
    assert tracker.log_batch([{"model": model} for model in (*models, *models)]) == 10
    assert [tracker.get(asset) for asset in tracker.column("model")] == models * 2
    assert len(tracker.assets) == 5
    assert tracker.get("model") == models[-1]
