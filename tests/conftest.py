"""Every test has a folder of its own, as working folder and as home; processes are real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, NamedTuple

import pytest

import xetrack

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = xetrack.__name__
ROOT = Path(xetrack.__file__).resolve().parents[PACKAGE.count(".") + 1]


class Said(NamedTuple):
    """What a command of the command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def db(tmp_path: Path) -> str:
    """The path of a database that is not there yet."""
    return str(tmp_path / "track.db")


@pytest.fixture
def package() -> str:
    """The name under which the package is imported: another one in a vendored copy."""
    return PACKAGE


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``python -c code *args`` in which ``xetrack`` is the package under test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", f"import {PACKAGE} as xetrack\n{code}", *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_python(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Run such a process to its end, which must be a good one; what it printed."""

    def run(code: str, *args: object) -> str:
        process = start_python(code, *args)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    return run


@pytest.fixture
def xt(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command of the command line in this process."""
    from xetrack._core.cli import main

    def run(*argv: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in argv])
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run
