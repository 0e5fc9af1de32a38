"""Commands that change a file: set, delete, copy."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from ..merge import copy as copy_rows
from ..reader import Reader
from ..values import BLOB, BOOLEAN, INTEGER, JSON, REAL, TEXT, affinity

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from .commands import Commands

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def register(commands: Commands) -> None:
    """Add the commands."""
    example = "set track.db accuracy 0.8 --where-key params --where-value 1b5b2294fc521d12"
    parser = commands.add(
        "set", "set a key of rows that are there, back in time", example, commands.of_table
    )
    parser.add_argument("key")
    parser.add_argument("value", help="read by the type of the column; null for none")
    parser.add_argument("--track-id", help="only of this run (default: of every run)")
    parser.add_argument("--where-key", help="only rows in which this key")
    parser.add_argument("--where-value", help="has this value")
    parser.set_defaults(run=set_value, parser=parser)

    example = "delete track.db ebony-loon-6720"
    parser = commands.add(
        "delete", "delete a run and what only it used", example, commands.of_table
    )
    parser.add_argument("track_id")
    parser.set_defaults(run=delete)

    parser = commands.add("copy", "add the rows of a file to another", "copy source.db target.db")
    parser.add_argument("source", help="the file to read")
    parser.add_argument("target", help="the file to add to; made if it is not there")
    parser.add_argument("--no-assets", action="store_true", help="leave the assets behind")
    parser.add_argument("--table", action="append", help="only this table; may be given again")
    parser.add_argument(
        "--on-conflict",
        choices=("target", "source", "both"),
        default="target",
        help="which version of a row to keep that both have (default: target)",
    )
    parser.set_defaults(run=copy)


def set_value(args: Namespace) -> int:
    """Set a key and say of how many rows."""
    if (args.where_key is None) != (args.where_value is None):
        args.parser.error("--where-key and --where-value go together")
    with Reader(args.db, args.table) as reader:
        columns = reader.columns
        value = parsed(args.value, args.key, columns.get(args.key))
        if args.where_key is None:
            changed = reader.set_value(args.key, value, args.track_id)
        else:
            wanted = parsed(args.where_value, args.where_key, columns.get(args.where_key))
            changed = reader.set_where(args.key, value, args.where_key, wanted, args.track_id)
    print(f"{changed} rows set")
    return 0


def delete(args: Namespace) -> int:
    """Delete a run and say what went."""
    with Reader(args.db, args.table) as reader:
        before = os.path.getsize(args.db)
        deleted = reader.delete_run(args.track_id)
        freed = before - os.path.getsize(args.db)
    print(f"{deleted} rows deleted, {max(freed, 0)} bytes freed")
    return 0


def copy(args: Namespace) -> int:
    """Copy and say what came."""
    report = copy_rows(
        args.source,
        args.target,
        assets=not args.no_assets,
        tables=args.table,
        on_conflict=args.on_conflict,
    )
    print(f"{int(report)} rows and {report.assets} assets added, {report.present} were there")
    if report.conflicts:
        kept = {"target": "the target's was kept", "source": "the source's was taken"}
        what = kept.get(args.on_conflict, "both were kept")
        print(f"{report.conflicts} rows differ in the two files: {what}", file=sys.stderr)
    return 0


def parsed(text: str, key: str, declared: str | None) -> object:
    """*text*, as typed, as a value for the column *key*.

    Raises:
        ValueError: it is none for a column of this type.
    """
    if text.lower() == "null":
        return None
    if declared is None:
        return _guessed(text)
    try:
        return _READ_AS[affinity(declared)](text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no value for the column {key!r}, which is {declared}"
        ) from None


def _boolean(text: str) -> object:
    word = text.lower()
    return _WORDS[word] if word in _WORDS else _number(text)


def _guessed(text: str) -> object:
    try:
        return _number(text)
    except ValueError:
        return {"true": True, "false": False}.get(text.lower(), text)


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


_READ_AS: dict[str, Callable[[str], object]] = {
    BOOLEAN: _boolean,
    INTEGER: _number,
    REAL: float,
    TEXT: str,
    JSON: json.loads,
    BLOB: bytes.fromhex,
}
