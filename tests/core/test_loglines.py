"""Log files are read back with nothing installed, whatever else stands in them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xetrack import MissingFileError, StorageError, Tracker
from xetrack._core.loglines import (
    message_text,
    pretty_row_text,
    read_log_rows,
    row_text,
)

HEAD = "2023-12-14 21:46:55.290 | TRACKING | app.train:main:69"
PRETTY_HEAD = "2023-12-14 21:46:56.001 | EXPERIMENT | app.train:main:70"
MESSAGE_HEAD = "2023-12-14 21:46:57.002 | INFO | app.train:main:71"
SEED_LINE = (
    "2023-12-14 21:46:55.290 | TRACKING | xetrack.logging:log:69!📁!"
    '{"a": 1, "b": 2, "timestamp": "2023-12-14 21:46:55.290098", '
    '"track_id": "marvellous-stork-4885"}\n'
)

VALUES = {
    "none": None,
    "yes": True,
    "integer": 3,
    "long integer": 2**80,
    "float": 0.1,
    "infinite": float("-inf"),
    "text": 'several\nlines, "quoted", with !📁!{ in them',
    "no utf-8": "\ud800",
    "bytes": b"\x00\xff",
    "list": [1, [2.5, None], {"$f": "own key"}],
    "dict": {"a": {"b": []}, "": "empty key"},
    "looks like a log": f'\n{HEAD}!📁!{{"a": 1}}\n',
}


def write(name: str, *lines: str, age_s: int = 0) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    return path


def line(**row: Any) -> str:
    return f"{HEAD}{row_text(row)}\n"


def pretty(**row: Any) -> str:
    return f"{PRETTY_HEAD}{pretty_row_text(row)}\n"


def serialized(level: str, message: object) -> str:
    record = {"level": {"name": level, "no": 22}, "message": message}
    return json.dumps({"text": "...", "record": record}) + "\n"


# -- what is a row ---------------------------------------------------------------------------


def test_the_line_of_the_seed_is_read() -> None:
    assert read_log_rows(write("a.log", SEED_LINE)) == [
        {
            "a": 1,
            "b": 2,
            "timestamp": "2023-12-14 21:46:55.290098",
            "track_id": "marvellous-stork-4885",
        }
    ]


@pytest.mark.parametrize("form", [line, pretty], ids=["on one line", "pretty"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_value_comes_back(form: Any, value: object) -> None:
    (row,) = read_log_rows(write("a.log", form(key=value)))
    assert row == {"key": value}
    assert type(row["key"]) is type(value)


@pytest.mark.parametrize("level", ["MONITOR", "TRACKING", "EXPERIMENT", "TRACKING  "])
def test_the_levels_of_rows_are_read(level: str) -> None:
    path = write(
        "a.log", f'2023-12-14 21:46:55.290 | {level} | __main__:<module>:1!📁!{{"a": 1}}\n'
    )
    assert read_log_rows(path) == [{"a": 1}]


def test_rows_over_several_lines_stand_between_others() -> None:
    path = write("a.log", line(a=1), pretty(b=[1, 2], c={}), pretty(d=None), line(e=2))
    assert read_log_rows(path) == [{"a": 1}, {"b": [1, 2], "c": {}}, {"d": None}, {"e": 2}]


def test_a_row_that_others_printed_prettily_is_read() -> None:
    body = json.dumps({"a": {"b": [1]}}, indent=4)
    assert read_log_rows(write("a.log", f"{PRETTY_HEAD}!📁!{body}\n")) == [{"a": {"b": [1]}}]


@pytest.mark.parametrize("text", [row_text, pretty_row_text], ids=["on one line", "pretty"])
def test_rows_that_loguru_serialized_are_read(text: Any) -> None:
    message = text({"a": float("inf")}).partition("!📁!")[2]
    path = write("a.log", serialized("MONITOR", message), serialized("EXPERIMENT", message))
    assert read_log_rows(path) == [{"a": float("inf")}] * 2


def test_lines_may_end_as_on_windows() -> None:
    path = write(
        "a.log", "\ufeff", *(text.replace("\n", "\r\n") for text in (line(a=1), pretty(b=2)))
    )
    assert read_log_rows(path) == [{"a": 1}, {"b": 2}]


# -- what is none ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        "",
        "\n",
        "}\n",
        '{"a": 1}\n',
        '{"record": 1}\n',
        '{"record": {"level": {"name": "TRACKING"}}}\n',
        '{"record": {"level": [], "message": "{}"}}\n',
        '["record"]\n',
        "Traceback (most recent call last):\n  File\n",
        "127.0.0.1 - - [14/Dec/2023:21:46:55] GET / 200\n",
        'note: !📁!{"a": 1}\n',
        f'{MESSAGE_HEAD} - {{"a": 1}}\n',
        f'{MESSAGE_HEAD}!📁!{{"a": 1}}\n',
        f'he wrote: {HEAD}!📁!{{"a": 1}}\n',
        f"{HEAD}!📁![1, 2]\n",
        f"{HEAD}!📁!not JSON\n",
        f"{HEAD}!📁!{{}}\n",
        f'{HEAD}!📁!{{"a": {{"$i": "no number"}}}}\n',
        f'{HEAD}!📁!{{"a": {{"$f": 1{"0" * 400}}}}}\n',
        f"{HEAD}!📁!{'[' * 100_000}\n",
        "{" * 100_000 + '"record"\n',
        serialized("INFO", '{"a": 1}'),
        serialized("TRACKING", "not JSON"),
        serialized("TRACKING", 1),
        "\x00\x01\udcff\udcfe\n",
    ],
)
def test_lines_of_other_programs_are_passed_over(other: str) -> None:
    path = write("a.log", line(a=1), other, pretty(b=2), other, line(c=3))
    assert read_log_rows(path) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_no_line_of_a_message_is_a_row() -> None:
    message = message_text(f"several\n{line(forged=1)}{pretty(forged=2)}")
    assert read_log_rows(write("a.log", f"{MESSAGE_HEAD}{message}\n", line(a=1))) == [{"a": 1}]


@pytest.mark.parametrize("form", [line, pretty], ids=["on one line", "pretty"])
def test_a_line_that_was_cut_anywhere_is_passed_over(form: Any) -> None:
    whole = form(a=1, text=f'{HEAD}!📁!{{"quoted": 1}}', inner={"b": [1]})
    for end in range(len(whole) - 2):  # all but the last brace, or more
        before, after = write("before.log", line(n=0), whole[:end]), line(n=1)
        assert read_log_rows(before) == [{"n": 0}]
        assert read_log_rows(write("next.log", whole[:end], "\n", after)) == [{"n": 1}]


def test_a_row_that_was_glued_to_a_cut_one_is_found() -> None:
    path = write("a.log", line(a=1)[:-4], line(b=2), line(c=3)[:-4], pretty(d=4), line(e=5))
    assert read_log_rows(path) == [{"b": 2}, {"d": 4}, {"e": 5}]


def test_a_whole_row_needs_no_end_of_line() -> None:
    assert read_log_rows(write("a.log", line(a=1).rstrip("\n"))) == [{"a": 1}]
    assert read_log_rows(write("b.log", pretty(a=1).rstrip("\n"))) == [{"a": 1}]


@given(
    st.lists(
        st.binary()
        | st.sampled_from(
            [
                b"\n",
                b"{",
                b"}",
                b" ",
                *map(
                    str.encode,
                    (
                        HEAD,
                        PRETTY_HEAD,
                        "!📁!",
                        '{"a": 1}',
                        serialized("MONITOR", "{}"),
                    ),
                ),
            ]
        )
    )
)
@example([b"\xff\xfe\x00"])
@settings(max_examples=100, deadline=None)
def test_reading_never_fails_whatever_a_file_holds(pieces: list[bytes]) -> None:
    Path("any.log").write_bytes(b"".join(pieces))
    assert isinstance(read_log_rows("any.log"), list)


# -- files and folders -----------------------------------------------------------------------


def test_of_a_folder_the_file_written_last_comes_first() -> None:
    write("logs/2023-12-13.log", line(day=13, n=1), line(day=13, n=2), age_s=20)
    write("logs/2023-12-15.log", line(day=15, n=1), line(day=15, n=2), age_s=0)
    write("logs/2023-12-14.log", line(day=14, n=1), age_s=10)
    found = [(row["day"], row["n"]) for row in read_log_rows("logs")]
    assert found == [(15, 1), (15, 2), (14, 1), (13, 1), (13, 2)]


def test_files_of_the_same_time_come_by_their_names() -> None:
    write("logs/2023-12-14.log", line(day=14))
    write("logs/2023-12-15.log", line(day=15))
    assert read_log_rows(Path("logs")) == [{"day": 15}, {"day": 14}]


@pytest.mark.parametrize("limit", [None, 0, 1, 2, 3, 9])
def test_a_limit_stops_in_that_order(limit: int | None) -> None:
    write("logs/new.log", line(n=0), line(n=1))
    write("logs/old.log", line(n=2), age_s=9)
    assert read_log_rows("logs", limit) == [{"n": n} for n in range(3)][:limit]


def test_a_limit_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^limit=-1 is no number of rows"):
        read_log_rows(write("a.log"), limit=-1)


def test_of_a_folder_only_what_is_named_as_a_log_is_read() -> None:
    for name in ("a.log", "b.txt", "c.log.1", "D.LOG", "e.2023.json", "x", "x.csv", "log", "x.db"):
        write(f"logs/{name}", line(name=name))
    Path("logs/folder.log").mkdir()
    found = sorted(row["name"] for row in read_log_rows("logs"))
    assert found == ["D.LOG", "a.log", "b.txt", "c.log.1", "e.2023.json"]


def test_an_empty_folder_and_an_empty_file_have_no_rows() -> None:
    Path("logs").mkdir()
    assert read_log_rows("logs") == []
    assert read_log_rows(write("logs/a.log")) == []
    assert read_log_rows("logs") == []


@pytest.mark.parametrize("path", ["missing.log", "missing/a.log", "a\0b"])
def test_a_missing_file_is_said(path: str) -> None:
    with pytest.raises(MissingFileError) as caught:
        read_log_rows(path)
    assert caught.value.path == path
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_that_cannot_be_read_is_said() -> None:
    path = write("a.log", line(a=1))
    path.chmod(0)
    with pytest.raises(StorageError, match=r"a\.log: cannot be read"):
        read_log_rows(path)


def test_a_path_below_a_file_is_said() -> None:
    write("a.log")
    with pytest.raises(StorageError, match=r"cannot be read"):
        read_log_rows("a.log/b.log")


def test_an_open_database_is_never_opened_as_a_log() -> None:
    with Tracker("logs/runs.log", track_id="run") as tracker:
        tracker.log({"a": 1})
        write("logs/a.log", line(b=2))
        assert read_log_rows("logs") == [{"b": 2}]
        with pytest.raises(StorageError, match="is a database, not a log"):
            read_log_rows("logs/runs.log")
