"""Rows as text: Markdown for people, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import json
import unicodedata
from base64 import b64encode
from html import escape
from typing import IO, TYPE_CHECKING, Any

from .overflow import to_text
from .values import number_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

_NO_WIDTH = ("Mn", "Me", "Cf")  # marks on other characters, and what only formats
_ROOM = 2  # a column is wider than its head by so much, which leaves room for its values


def columns_of(rows: Iterable[Row], first: Iterable[str] = ()) -> list[str]:
    """The keys of *rows*, in the order in which they appear, after those of *first*."""
    names = dict.fromkeys(first)
    for row in rows:
        names.update(dict.fromkeys(row))
    return list(names)


def markdown(rows: Sequence[Row], columns: Sequence[str] = (), *, index: bool = True) -> str:
    """A Markdown table, aligned for the terminal, numbers to the right."""
    columns = columns or columns_of(rows)
    cells = [[_shown(row.get(column)) for column in columns] for row in rows]
    right = [all(_is_number(row.get(column)) for row in rows) and bool(rows) for column in columns]
    heads = [printable(column).replace("|", "\\|") for column in columns]
    if index:
        cells = [[str(number), *line] for number, line in enumerate(cells)]
        heads, right = ["", *heads], [True, *right]
    widths = [max(_width(column[0]) + _ROOM, *map(_width, column)) for column in zip(heads, *cells)]
    rule = [("-" * (w + 1) + ":" if r else ":" + "-" * (w + 1)) for w, r in zip(widths, right)]
    lines = [_line(heads, widths, right), "|" + "|".join(rule) + "|"]
    lines += [_line(line, widths, right) for line in cells]
    return "\n".join(lines)


def shortened(rows: Sequence[Row], total: int, columns: Sequence[str] = ()) -> str:
    """A table of *rows*, which are the two ends of *total* rows, and how many there are."""
    table = markdown(rows, columns)
    if len(rows) < total:
        lines = table.split("\n")
        lines.insert(2 + (len(rows) + 1) // 2, "...")
        table = "\n".join(lines)
    return f"{table}\n\n[{total} rows x {len(columns or columns_of(rows))} columns]"


def html(rows: Sequence[Row], total: int, columns: Sequence[str]) -> str:
    """The same for a notebook."""

    def line(tag: str, texts: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    lines = [line("td", [_shown(row.get(column)) for column in columns]) for row in rows]
    if len(rows) < total:
        lines.insert((len(rows) + 1) // 2, line("td", ["..."] * len(columns)))
    head = line("th", map(printable, columns))
    return (
        f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"
        f"<p>{total} rows x {len(columns)} columns</p>"
    )


def json_lines(rows: Iterable[Row]) -> Iterable[str]:
    """Each row as one line of strict JSON, as ``jsonl=`` writes it."""
    return map(to_text, rows)


def write_csv(rows: Iterable[Row], columns: Sequence[str], file: IO[str]) -> int:
    """Write *rows* under a line of names; how many. None is empty, lists are JSON, bytes base64."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    number = 0
    for row in rows:
        writer.writerow([text_of(row.get(column)) for column in columns])
        number += 1
    return number


def text_of(value: object) -> str:
    """A value as text for programs: None is empty, lists are strict JSON, bytes base64."""
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        return to_text(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return number_text(value) if isinstance(value, int) else str(value)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float):
        return f"{value:.10g}"
    return printable(text_of(value)).replace("|", "\\|")


def printable(text: str) -> str:
    """*text* in one line, with nothing that would move the cursor or speak to the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_json(line: str) -> str:
    """A line of JSON that says the same and speaks to no terminal."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for cell, width, is_right in zip(cells, widths, right):
        blank = " " * (width - _width(cell))
        padded.append(blank + cell if is_right else cell + blank)
    return "| " + " | ".join(padded) + " |"


def _width(text: str) -> int:
    """How many places of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in _NO_WIDTH for c in text)
