"""xt demo: a real benchmark of the running interpreter's own codecs."""

from __future__ import annotations

import bz2
import lzma
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Callable

import pytest

from xetrack import Reader
from xetrack import __file__ as package_file

Xt = Callable[..., Any]

CALLS = [("zlib", 1), ("zlib", 6), ("zlib", 9), ("bz2", 1), ("bz2", 9)]
CALLS += [("lzma", 0), ("lzma", 3), ("lzma", 6)]
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.decompress,
    "bz2": bz2.decompress,
    "lzma": lzma.decompress,
}
HEADS = ["track_id", "codec", "level", "ratio", "mb_per_s", "function_time", "sample"]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_demo_records_a_run_for_each_codec(xt: Xt) -> None:
    said = xt("demo")
    rows = Reader("demo.db").rows()
    assert said.code == 0
    assert [(row["codec"], row["level"]) for row in rows] == CALLS
    assert len({row["track_id"] for row in rows}) == 3
    assert {(row["function_name"], row["error"]) for row in rows} == {("compress", "")}
    assert all(row["ratio"] > 1 and row["mb_per_s"] > 0 < row["function_time"] for row in rows)

    best = max(rows, key=lambda row: float(row["ratio"]))
    assert [row["sample"] for row in rows if row is not best] == [None] * 7
    sample = DECOMPRESS[best["codec"]](Reader("demo.db").get(best["sample"]))
    assert len(sample) == round(best["ratio"] * len(Reader("demo.db").get("sample")))

    lines = said.out.splitlines()
    summary = (
        f"8 calls of 3 runs are in demo.db; the best, {best['codec']} at level {best['level']}, "
        f"makes the sample {best['ratio']:.2f} times smaller."
    )
    assert cells(lines[0]) == HEADS
    assert [cells(line)[0:2] for line in lines[2:10]] == [
        [row["track_id"], row["codec"]] for row in rows
    ]
    assert lines[10:13] == ["", summary, "Try next:"]
    assert [line[:2] for line in lines[13:]] == ["  "] * 3
    assert re.fullmatch(r"compressing \d\.\d MB of \d+ Python files \.\.\.\n", said.err)


def test_the_demo_adds_to_a_file_that_is_there(xt: Xt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzma", None)
    monkeypatch.setitem(sys.modules, "zlib", None)
    for _ in range(2):
        assert xt("demo", "mine.db").code == 0
    assert Reader("mine.db").column("codec") == ["bz2"] * 4
    assert len(Reader("mine.db").track_ids()) == 2


def test_a_codec_that_this_python_lacks_is_left_out(
    xt: Xt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lzma", None)
    said = xt("demo")
    assert said.code == 0
    assert said.err.splitlines()[1:] == ["this Python was built without lzma"]
    assert Reader("demo.db").column("codec") == ["zlib"] * 3 + ["bz2"] * 2


def test_a_python_without_codecs_is_told_so(xt: Xt, monkeypatch: pytest.MonkeyPatch) -> None:
    for codec in DECOMPRESS:
        monkeypatch.setitem(sys.modules, codec, None)
    said = xt("demo")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[-1].startswith("xt: ")
    assert not Path("demo.db").exists()


@pytest.mark.slow
def test_the_commands_that_the_demo_names_work(tmp_path: Path, package: str) -> None:
    # As on a fresh clone: "python -m" in the folder that has the package, nothing installed.
    root = Path(package_file).parents[package.count(".") + 1]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": str(root), "PATH": path}
    command = [sys.executable, "-m", package, "demo", "it's a demo.db"]
    demo = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=True)
    steps = [line[2:] for line in demo.stdout.splitlines() if line.startswith("  ")]
    outs = [
        subprocess.run(step, shell=True, capture_output=True, text=True, env=env, check=True).stdout
        for step in steps
    ]
    rows = Reader("it's a demo.db").rows()
    best = max(rows, key=lambda row: float(row["ratio"]))
    assert [step.split()[:4] for step in steps] == [
        ["python", "-m", package, name] for name in ("tail", "sql", "get")
    ]
    assert [cells(line)[2] for line in outs[0].splitlines()[2:]] == [best["track_id"]] * 3
    assert [cells(line)[0] for line in outs[1].splitlines()[2:]] == ["bz2", "lzma", "zlib"]
    assert outs[2] == ""
    written = Path(f"sample.{best['codec']}").read_bytes()
    assert written == Reader("it's a demo.db").get("sample")
