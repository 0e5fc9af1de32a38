"""xt demo: the main job on real input, with nothing installed.

Compresses the sources of the running interpreter's standard library with each codec it has, at
several levels, one run a codec, and keeps what the best of them made as an asset.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .. import render
from ..errors import StorageError
from ..tracker import Tracker
from .commands import program

if TYPE_CHECKING:
    from argparse import Namespace

    from .commands import Commands

_SAMPLE_BYTES = 1_500_000
_LEVELS = {"zlib": (1, 6, 9), "bz2": (1, 9), "lzma": (0, 3, 6)}
_SHOWN = ("track_id", "codec", "level", "ratio", "mb_per_s", "function_time", "sample")


def register(commands: Commands) -> None:
    """Add the command."""
    sentence = "record a real benchmark: zlib, bz2 and lzma over the standard library"
    parser = commands.add("demo", sentence, "demo demo.db")
    parser.add_argument("path", nargs="?", default="demo.db", help="the file (default: demo.db)")
    parser.set_defaults(run=demo)


def demo(args: Namespace) -> int:
    """Benchmark, print the table, and say what to try next."""
    sample, files = stdlib_sample()
    print(f"compressing {len(sample) / 1e6:.1f} MB of {files} Python files ...", file=sys.stderr)
    rows = [row for codec in _LEVELS for row in benchmark(args.path, codec, sample)]
    if not rows:
        raise StorageError(args.path, "not written: this Python has none of zlib, bz2 and lzma")
    best = max(rows, key=lambda row: float(row["ratio"]))
    best["sample"] = keep_sample(args.path, best, sample)
    print(render.markdown(rows, _SHOWN, index=False))
    print(
        f"\n{len(rows)} calls of {len({row['track_id'] for row in rows})} runs are in {args.path}; "
        f"the best, {best['codec']} at level {best['level']}, makes the sample {best['ratio']:.2f} "
        "times smaller.\nTry next:"
    )
    for command in _next_commands(args.path, best):
        print(f"  {command}")
    return 0


def benchmark(path: str, codec: str, sample: bytes) -> list[dict[str, Any]]:
    """One run: the codec at each of its levels; its rows, none where this Python lacks it."""
    try:
        module: Any = import_module(codec)
    except ImportError:
        print(f"this Python was built without {codec}", file=sys.stderr)
        return []

    def compress(level: int) -> dict[str, float]:
        started = time.perf_counter()
        compressed = _compressed(module, level, sample)
        seconds = time.perf_counter() - started
        if module.decompress(compressed) != sample:
            raise ValueError(f"{codec} did not give back what it was given")
        return {"ratio": len(sample) / len(compressed), "mb_per_s": len(sample) / 1e6 / seconds}

    params = {"codec": codec, "python": sys.version.split()[0]}
    with Tracker(path, params=params) as tracker:
        for level in _LEVELS[codec]:
            tracker.track(compress, args=[level], params={"level": level})
        return tracker.rows()


def keep_sample(path: str, best: dict[str, Any], sample: bytes) -> str:
    """Store the compressed sample of the best call as an asset of its row; the id."""
    with Tracker(path, track_id=best["track_id"]) as tracker:
        module = import_module(best["codec"])
        asset = tracker.assets.add(_compressed(module, best["level"], sample))
        tracker.set_where("sample", asset, "level", best["level"])
    return asset


def stdlib_sample() -> tuple[bytes, int]:
    """Source files of the standard library, one after the other, and how many they are.

    Raises:
        StorageError: this Python keeps them where they cannot be read.
    """
    folder = os.path.dirname(os.__file__)
    pieces: list[bytes] = []
    size = 0
    try:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".py") and size < _SAMPLE_BYTES:
                with open(os.path.join(folder, name), "rb") as file:
                    pieces.append(file.read(_SAMPLE_BYTES - size))
                size += len(pieces[-1])
    except OSError as error:
        raise StorageError(folder, f"cannot be read ({error.strerror})") from error
    return b"".join(pieces), len(pieces)


def _compressed(module: Any, level: int, sample: bytes) -> bytes:
    named = {"preset": level} if module.__name__ == "lzma" else {}
    return bytes(module.compress(sample, **named) if named else module.compress(sample, level))


def _next_commands(path: str, best: dict[str, Any]) -> list[str]:
    xt, db = program(), shlex.quote(path)
    query = "SELECT codec, max(ratio), max(mb_per_s) FROM db.events GROUP BY codec"
    return [
        f"{xt} tail {db} --n 3 --track-id {best['track_id']}",
        f'{xt} sql {db} "{query}"',
        f"{xt} get {db} {best['sample']} sample.{best['codec']}",
    ]
