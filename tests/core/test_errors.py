"""Errors say what happened and travel between processes; the public face is whole."""

from __future__ import annotations

import pickle
from importlib import import_module
from inspect import ismodule
from typing import Callable

import pytest

from xetrack._core import errors

HINT = (
    "log what it is made of, or, if it is a lambda or a local class: pip install 'xetrack[assets]'"
)
FORBIDDEN_HINT = (
    "if you trust who wrote it, allow pickle, or write its bytes to a file with: xt get DB ID FILE"
)
DAMAGED_HINT = "it is not loaded, restore it from a copy of the file"
LONG = tuple(f"run-{number}" for number in range(13))

# One of each, with the sentence that it says.
SAID: list[tuple[Exception, str]] = [
    (errors.XetrackError("what happened"), "what happened"),
    (errors.AssetError("what happened"), "what happened"),
    (errors.StorageWarning("what happened"), "what happened"),
    (errors.KeyNameError("", "is empty"), "key '' is empty"),
    (errors.TableNameError("runs", "is taken"), "table 'runs' is taken"),
    (errors.UnknownError("x", "a.db"), "no name 'x' in a.db; the file has none yet"),
    (
        errors.UnknownRunError("x", "a.db", ("r1", "r2")),
        "no run 'x' in a.db; there are: r1, r2",
    ),
    (
        errors.UnknownColumnError("x", "a.db", LONG),
        "no column 'x' in a.db; there are: " + ", ".join(LONG[:12]) + ", ...",
    ),
    (errors.UnknownTableError("x", "a.db", ("t",)), "no table 'x' in a.db; there are: t"),
    (
        errors.UnknownAssetError("x", "a.db"),
        "no asset 'x' in a.db; list them with: xt assets ls",
    ),
    (
        errors.UnpicklableError("function 'f'", "PicklingError: no"),
        f"cannot store function 'f' as an asset: PicklingError: no; {HINT}",
    ),
    (
        errors.PickleForbiddenError("53425a65a40a49f4", "allow_pickle is False"),
        f"asset 53425a65a40a49f4 is a pickle, and allow_pickle is False; {FORBIDDEN_HINT}",
    ),
    (
        errors.DamagedAssetError("53425a65a40a49f4", "aa", "bb"),
        f"asset 53425a65a40a49f4 was changed: its SHA-256 is bb, stored as aa; {DAMAGED_HINT}",
    ),
    (
        errors.AmbiguousAssetError("5", ("50", "51")),
        "asset '5' is not unique; it could be: 50, 51",
    ),
    (errors.StorageError("a.db", "disk full"), "a.db: disk full"),
    (
        errors.MissingFileError("a.db"),
        "a.db: no such file; nothing was created, check the path",
    ),
    (errors.NotADatabaseError("a.db", "is text"), "a.db: is text"),
    (errors.ForeignFileError("a.db", "is not ours"), "a.db: is not ours"),
    (errors.LaterFormatError("a.db", "has format 9"), "a.db: has format 9"),
    (
        errors.BusyError("a.db", 60.0),
        "a.db: another writer held the file for 60 s; nothing was stored, retry",
    ),
    (errors.QueryError("SELEC 1", "syntax error"), "SQL refused: syntax error; in: SELEC 1"),
    (
        errors.MissingExtraError("to_df()", "pandas", "pandas"),
        "to_df() needs the package pandas, which is not installed: pip install 'xetrack[pandas]'",
    ),
]
EXAMPLES = [error for error, _ in SAID]
ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}


def name(value: object) -> str:
    return type(value).__name__


def test_each_error_stands_in_these_tests() -> None:
    assert sorted(map(name, EXAMPLES)) == sorted(ERRORS)


@pytest.mark.parametrize(
    ("error", "sentence"), SAID, ids=[type(error).__name__ for error in EXAMPLES]
)
def test_an_error_says_what_happened(error: Exception, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize("error", EXAMPLES, ids=name)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(error: Exception) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        travelled = pickle.loads(pickle.dumps(error, protocol))
        assert type(travelled) is type(error)
        assert travelled.args == error.args
        assert str(travelled) == str(error)
        assert vars(travelled) == vars(error)


def test_an_error_of_another_process_is_raised_here_as_it_was_there(
    run_python: Callable[..., str],
) -> None:
    code = """
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    try:
        pool.apply(xetrack.Reader, ("missing.db",))
    except xetrack.MissingFileError as error:
        print(error.path.endswith("missing.db"), error.reason)
"""
    assert run_python(code) == "True no such file; nothing was created, check the path\n"


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.KeyNameError, ValueError),
        (errors.TableNameError, ValueError),
        (errors.UnknownError, LookupError),
        (errors.UnknownRunError, LookupError),
        (errors.UnknownColumnError, LookupError),
        (errors.UnknownTableError, LookupError),
        (errors.UnknownAssetError, LookupError),
        (errors.UnpicklableError, TypeError),
        (errors.PickleForbiddenError, PermissionError),
        (errors.AmbiguousAssetError, LookupError),
        (errors.StorageError, OSError),
        (errors.MissingFileError, FileNotFoundError),
        (errors.NotADatabaseError, OSError),
        (errors.ForeignFileError, OSError),
        (errors.LaterFormatError, OSError),
        (errors.BusyError, TimeoutError),
        (errors.QueryError, ValueError),
        (errors.MissingExtraError, ImportError),
        (errors.StorageWarning, UserWarning),
    ],
    ids=lambda kind: str(kind.__name__),
)
def test_an_error_is_also_one_of_the_standard_library(
    error: type[Exception], standard: type[Exception]
) -> None:
    assert issubclass(error, standard)


def test_every_error_but_the_warning_has_one_base() -> None:
    others = [kind for kind in ERRORS.values() if not issubclass(kind, errors.XetrackError)]
    assert others == [errors.StorageWarning]


def test_every_error_is_in_the_public_face(package: str) -> None:
    face = import_module(package)
    assert {name: getattr(face, name, None) for name in ERRORS} == ERRORS
    assert ERRORS.keys() <= set(face.__all__)


def test_all_is_sorted_and_complete(package: str) -> None:
    face = import_module(package)
    public = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_") and not ismodule(value) and name != "annotations"
    }
    assert face.__all__ == sorted(public)
    assert {"Tracker", "Reader", "copy", "CopyReport", "Assets"} <= public


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawing = (errors.__doc__ or "").split("\n\n")[1]
    drawn = [line.lstrip("│├└─ ").split()[0] for line in drawing.splitlines()]
    assert sorted(drawn) == sorted(ERRORS.keys() - {"StorageWarning"})
