"""The commands for objects: get, assets ls, assets export, assets delete."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any, Callable

import pytest

from xetrack import Reader, Tracker

Xt = Callable[..., Any]

WRITERS = [["get"], ["assets", "export"]]


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def with_model(db: str) -> str:
    """A file of one row that has an object; the object's id."""
    with Tracker(db, track_id="run") as tracker:
        return str(tracker.log({"model": {1, 2, 3}, "epoch": 1})["model"])


@pytest.mark.parametrize("name", ["id", "key", "prefix", "sha256"])
@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_the_bytes_of_an_asset_are_written_to_a_file(
    db: str, xt: Xt, command: list[str], name: str
) -> None:
    asset = with_model(db)
    sha256 = Reader(db).assets.list()[0]["sha256"]
    names = {"id": asset, "key": "model", "prefix": asset[:5], "sha256": sha256}
    said = xt(*command, db, names[name], "model.pickle")
    written = Path("model.pickle").read_bytes()
    assert said == (0, "", f"{len(written)} bytes written to model.pickle\n")
    assert hashlib.sha256(written).hexdigest() == sha256
    assert pickle.loads(written) == {1, 2, 3}


@pytest.mark.parametrize(
    ("value", "written"),
    [(b"\0\xff", b"\0\xff"), ("é\n", "é\n".encode()), ([1, "a"], b'[1, "a"]')],
    ids=["bytes", "text", "json"],
)
def test_what_needs_no_pickle_is_written_as_it_is(
    db: str, xt: Xt, value: object, written: bytes
) -> None:
    with Tracker(db) as tracker:
        asset = tracker.assets.add(value)
    assert xt("get", db, asset, "out").code == 0
    assert Path("out").read_bytes() == written


def test_no_command_unpickles_anything(db: str, xt: Xt, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tracker(db) as tracker:
        asset = tracker.log({"trap": Trap()})["trap"]
    monkeypatch.setenv("XETRACK_ALLOW_PICKLE", "0")
    for argv in (
        ["get", db, asset, "out"],
        ["assets", "export", db, asset, "out"],
        ["assets", "ls", db],
        ["head", db],
        ["ls", db, "trap"],
        ["copy", db, "copy.db"],
        ["assets", "delete", db, asset],
    ):
        assert xt(*argv).code == 0
    assert not Path("sprung").exists()


def test_an_older_file_is_replaced_by_the_export(db: str, xt: Xt) -> None:
    asset = with_model(db)
    Path("out").write_bytes(b"x" * 10_000)
    assert xt("get", db, asset, "out").code == 0
    assert pickle.loads(Path("out").read_bytes()) == {1, 2, 3}
    assert len(Path("out").read_bytes()) == Reader(db).assets.list()[0]["size"]


def test_an_older_file_stays_where_there_is_no_such_asset(db: str, xt: Xt) -> None:
    with_model(db)
    Path("out").write_bytes(b"mine")
    assert xt("get", db, "nothing", "out").code == 1
    assert Path("out").read_bytes() == b"mine"


def test_a_changed_asset_is_not_written(db: str, xt: Xt) -> None:
    asset = with_model(db)
    assert xt("sql", db, "UPDATE db.asset_chunks SET data = x'00'", "--write").code == 0
    said = xt("get", db, asset, "out")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"xt: asset {asset} was changed: its SHA-256 is ")
    assert not Path("out").exists()


def test_a_prefix_of_several_assets_is_refused_with_all_of_them(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        assets = sorted(tracker.assets.add(f"text {number}") for number in range(17))
    first = next(a for a, b in zip(assets, assets[1:]) if a[0] == b[0])[0]
    meant = ", ".join(asset for asset in assets if asset[0] == first)
    expected = f"xt: asset {first!r} is not unique; it could be: {meant}\n"
    assert xt("get", db, first, "out") == (1, "", expected)
    assert not Path("out").exists()


def test_assets_are_listed_as_json(db: str, xt: Xt) -> None:
    asset = with_model(db)
    with Tracker(db) as tracker:
        tracker.log({"model": asset})
        unused = tracker.assets.add("a text")
    listed = json.loads(xt("assets", "ls", db, "--json").out)
    created = [entry.pop("created") for entry in listed]
    assert created == [entry["created"] for entry in Reader(db).assets.list()]
    size = Reader(db).assets.export(asset, "out")
    assert listed == [
        {"id": asset, "kind": "pickle", "type": "set", "size": size, "runs": 2},
        {"id": unused, "kind": "text", "type": "str", "size": 6, "runs": 0},
    ]


def test_assets_are_listed_as_a_table(db: str, xt: Xt) -> None:
    with_model(db)
    (entry,) = Reader(db).assets.list()
    shown = [str(entry[name]) for name in ("id", "kind", "type", "size", "created", "runs")]
    heads, rule, line = xt("assets", "ls", db).out.splitlines()
    assert " ".join(heads.split()) == "| id | kind | type | size | created | runs |"
    assert re.fullmatch(r"(\|[:-]-+[:-]){6}\|", rule)
    assert [cell.strip() for cell in line[1:-1].split("|")] == shown


def test_a_file_without_assets_lists_none(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log({"epoch": 1})
    assert xt("assets", "ls", db, "--json") == (0, "[]\n", "")
    assert len(xt("assets", "ls", db).out.splitlines()) == 2


def test_a_deleted_asset_leaves_no_cell_that_names_it(db: str, xt: Xt) -> None:
    asset = with_model(db)
    with Tracker(db) as tracker:
        tracker.log({"model": asset, "copy_of_it": asset, "epoch": 2})
    assert xt("assets", "delete", db, asset[:6]) == (0, "3 cells set to null\n", "")
    assert Reader(db).column("model") == [None, None]
    assert Reader(db).column("copy_of_it") == [None, None]
    assert Reader(db).column("epoch") == [1, 2]
    assert Reader(db).assets.list() == []


def test_an_asset_stays_while_another_column_names_it(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        asset = tracker.log({"model": {1}, "best": {1}})["model"]
    command = ("assets", "delete", db, asset, "--column")
    assert xt(*command, "model") == (0, "1 cells set to null\n", "")
    assert (Reader(db).column("model"), Reader(db).get(asset)) == ([None], {1})
    assert xt(*command, "best") == (0, "1 cells set to null\n", "")
    assert (Reader(db).column("best"), Reader(db).get(asset)) == ([None], None)
