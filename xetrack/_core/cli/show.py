"""Commands that look: head, tail, columns, ls, sql."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import query, render
from ..reader import Reader

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Mapping, Sequence

    from .commands import Commands


def register(commands: Commands) -> None:
    """Add the commands."""
    for name, which in (("head", "first"), ("tail", "last")):
        sentence = f"print the {which} rows"
        parser = commands.add(name, sentence, f"{name} track.db --n 5", commands.of_table)
        parser.add_argument("--n", "-n", type=_number, default=5, help="how many (default: 5)")
        parser.add_argument("--track-id", help="only of this run")
        _add_json(parser)
        parser.set_defaults(run=head if name == "head" else tail)

    parser = commands.add(
        "columns", "list the columns and their types", "columns track.db", commands.of_table
    )
    _add_json(parser)
    parser.set_defaults(run=columns)

    parser = commands.add(
        "ls",
        "list the columns, or the values of one",
        "ls track.db model --unique",
        commands.of_table,
    )
    parser.add_argument("column", nargs="?", help="list the values of this column")
    parser.add_argument("--unique", action="store_true", help="each value once")
    parser.add_argument("--track-id", help="only of this run")
    _add_json(parser)
    parser.set_defaults(run=ls)

    example = 'sql track.db "SELECT model, max(accuracy) FROM db.events GROUP BY model"'
    parser = commands.add(
        "sql", "run one SQL statement, in which the file is db", example, commands.of_file
    )
    parser.add_argument("query", help="the statement; quote it for your shell")
    parser.add_argument("--write", action="store_true", help="let it change the file")
    parser.add_argument(
        "--engine", choices=("sqlite", "duckdb"), default="sqlite", help="whose SQL it is"
    )
    _add_json(parser)
    parser.set_defaults(run=sql, parser=parser)


def head(args: Namespace) -> int:
    """Print the first rows."""
    with Reader(args.db, args.table) as reader:
        rows = reader.rows(args.track_id, head=args.n)
        return _print_rows(args, rows, list(reader.columns))


def tail(args: Namespace) -> int:
    """Print the last rows."""
    with Reader(args.db, args.table) as reader:
        rows = reader.rows(args.track_id, tail=args.n)
        return _print_rows(args, rows, list(reader.columns))


def columns(args: Namespace) -> int:
    """Print the columns with their types."""
    with Reader(args.db, args.table) as reader:
        rows = [{"column": name, "type": kind} for name, kind in reader.columns.items()]
    return print_rows(rows, ["column", "type"], as_json=args.json, index=False)


def ls(args: Namespace) -> int:
    """Print the names of the columns, or the values of one, a line each."""
    with Reader(args.db, args.table) as reader:
        if args.column is None:
            return _print_values("column", list(reader.columns), args.json)
        values = reader.column(args.column, args.track_id)
    if args.unique:
        values = list({repr(value): value for value in values if value is not None}.values())
    return _print_values(args.column, values, args.json)


def sql(args: Namespace) -> int:
    """Run a statement and print what it gives."""
    if args.engine == "duckdb":
        if args.write:
            args.parser.error("--engine duckdb can only read; leave out --write, or the engine")
        result = query.run_in_duckdb(args.db, args.query)
    else:
        result = query.run(args.db, args.query, write=args.write)
    if result.columns:
        names = _distinct(result.columns)
        rows = [dict(zip(names, row)) for row in result.rows]
        return print_rows(rows, names, as_json=args.json, index=False)
    if args.json:
        print("[]")
    else:
        print(f"{result.changed} rows changed")
    return 0


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, index: bool
) -> int:
    """Print rows as a table, or as a JSON list with an object a line."""
    if as_json:
        lines = render.json_lines({name: row.get(name) for name in columns} for row in rows)
        print("[" + ",\n".join(map(render.printable_json, lines)) + "]")
    elif columns:
        print(render.markdown(rows, columns, index=index))
    return 0


def _print_rows(args: Namespace, rows: list[dict[str, Any]], columns: Iterable[str]) -> int:
    return print_rows(rows, render.columns_of(rows, columns), as_json=args.json, index=True)


def _print_values(name: str, values: Sequence[object], as_json: bool) -> int:
    if as_json:
        return print_rows([{name: value} for value in values], [name], as_json=True, index=False)
    for value in values:
        print(render.printable(render.text_of(value)))
    return 0


def _distinct(names: Sequence[str]) -> list[str]:
    """*names*, those that come again with a number: a row has one value for each."""
    seen: dict[str, int] = {}
    for name in names:
        number = 1
        distinct = name
        while distinct in seen:
            number += 1
            distinct = f"{name}_{number}"
        seen[distinct] = number
    return list(seen)


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a list of objects, one on a line")


def _number(text: str) -> int:
    import argparse

    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows, such as 5")
    return int(text)
