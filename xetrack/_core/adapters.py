"""The one door to the extras: each is imported when first needed, and its absence explained.

Nothing else in the core knows the extras, and nothing in the extras knows the tracker.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

# The packages that each extra stands on; its adapter is extras/<extra>.py.
PACKAGES = {
    "pandas": ("pandas",),
    "duckdb": ("duckdb",),
    "logs": ("loguru",),
    "system": ("psutil",),
    "assets": ("cloudpickle",),
}


def load(extra: str, asked: str) -> ModuleType:
    """The adapter of *extra*, which *asked* (a call, a parameter) needs.

    Raises:
        MissingExtraError: its package is not installed. A package that is there and broken keeps
            its own error.
    """
    for package in PACKAGES[extra]:
        _require(package, extra, asked)
    return module(extra)


def module(extra: str) -> ModuleType:
    """The adapter of *extra*, by who knows that what it needs is there."""
    return import_module(f"...extras.{extra}", __name__)


def is_installed(extra: str) -> bool:
    """Whether the packages of *extra* are there; they are not imported."""
    return all(map(_is_there, PACKAGES[extra]))


def _is_there(package: str) -> bool:
    from importlib.util import find_spec

    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def _require(package: str, extra: str, asked: str) -> None:
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(asked, package, extra) from error
