"""Commands for the objects in a file: get, assets. None of them unpickles anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..reader import Reader
from .show import print_rows

if TYPE_CHECKING:
    from argparse import Namespace

    from .commands import Commands

_NAME = "its id, a key it was logged under, or a unique prefix"
_COLUMNS = ("id", "kind", "type", "size", "created", "runs")


def register(commands: Commands) -> None:
    """Add the commands."""
    example = "get track.db 53425a65a40a49f4 model.pickle"
    parser = commands.add(
        "get", "write the bytes of an asset to a file", example, commands.of_table
    )
    parser.add_argument("asset", help=_NAME)
    parser.add_argument("output", help="the file to write")
    parser.set_defaults(run=export)

    assets = commands.group("assets", "list, export or delete assets", "assets ls track.db")
    parser = assets.add("ls", "list them", "assets ls track.db", commands.of_table)
    parser.add_argument("--json", action="store_true", help="a list of objects, one on a line")
    parser.set_defaults(run=listed)
    example = "assets export track.db 53425a65a40a49f4 model.pickle"
    parser = assets.add("export", "write one to a file, like get", example, commands.of_table)
    parser.add_argument("asset", help=_NAME)
    parser.add_argument("output", help="the file to write")
    parser.set_defaults(run=export)
    example = "assets delete track.db 53425a65a40a49f4"
    parser = assets.add("delete", "delete one", example, commands.of_table)
    parser.add_argument("asset", help=_NAME)
    parser.add_argument("--column", help="only the cells of this column")
    parser.set_defaults(run=delete)


def export(args: Namespace) -> int:
    """Write an asset to a file."""
    with Reader(args.db, args.table) as reader:
        size = reader.assets.export(args.asset, args.output)
    print(f"{size} bytes written to {args.output}", file=sys.stderr)
    return 0


def listed(args: Namespace) -> int:
    """Print every asset."""
    with Reader(args.db, args.table) as reader:
        rows = reader.assets.list()
    return print_rows(rows, _COLUMNS, as_json=args.json, index=False)


def delete(args: Namespace) -> int:
    """Delete an asset and say how many cells named it."""
    with Reader(args.db, args.table) as reader:
        cleared = reader.assets.remove(args.asset, args.column)
    print(f"{cleared} cells set to null")
    return 0
