"""The door to the extras: what is said when a package is not there, and when it is broken."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Callable

import pytest

from xetrack import MissingExtraError, Reader, Tracker

if TYPE_CHECKING:
    from pathlib import Path

ASKED: dict[str, tuple[str, str, Callable[[Tracker, Reader], Any]]] = {
    "to_df": ("pandas", "to_df()", lambda tracker, _: tracker.to_df()),
    "head": ("pandas", "head()", lambda tracker, _: tracker.head(2)),
    "tail": ("pandas", "tail()", lambda tracker, _: tracker.tail(2)),
    "tracker[...]": ("pandas", "tracker[...]", lambda tracker, _: tracker["x"]),
    "Reader.to_df": ("pandas", "to_df()", lambda _, reader: reader.to_df()),
    "Reader.latest": ("pandas", "latest()", lambda _, reader: reader.latest()),
}
PARAMETERS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "duckdb": ("duckdb", "duckdb", 'engine="duckdb"', {"engine": "duckdb"}),
    "logs_stdout": ("loguru", "logs", "logs_path= and logs_stdout=", {"logs_stdout": True}),
    "logs_path": ("loguru", "logs", "logs_path= and logs_stdout=", {"logs_path": "logs"}),
    "system": (
        "psutil",
        "system",
        "log_system_params= and log_network_params=",
        {"log_system_params": True},
    ),
    "network": (
        "psutil",
        "system",
        "log_system_params= and log_network_params=",
        {"log_network_params": True},
    ),
}


def sentence(asked: str, package: str, extra: str) -> str:
    return (
        f"{asked} needs the package {package}, which is not installed: "
        f"pip install 'xetrack[{extra}]'"
    )


@pytest.mark.parametrize("name", ASKED)
def test_a_call_says_which_extra_it_needs_and_the_rest_goes_on(
    db: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    package, asked, call = ASKED[name]
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails, installed or not
    with Tracker(db) as tracker, Reader(db) as reader:
        stored = tracker.log({"x": 1})
        with pytest.raises(MissingExtraError) as caught:
            call(tracker, reader)
        assert str(caught.value) == sentence(asked, package, package)
        assert isinstance(caught.value, ImportError)
        assert tracker.rows() == reader.rows() == [stored]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_says_which_extra_it_needs_before_a_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    package, extra, asked, parameter = PARAMETERS[name]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        Tracker("track.db", **parameter)
    assert str(caught.value) == sentence(asked, package, extra)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_package_keeps_its_own_error(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    (tmp_path / "pandas.py").write_text("import a_part_that_is_not_there")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
try:
    xetrack.Tracker(xetrack.Tracker.IN_MEMORY).to_df()
except ImportError as error:
    print(type(error).__name__, error.name)
"""
    assert run_python(code, tmp_path) == "ModuleNotFoundError a_part_that_is_not_there\n"
